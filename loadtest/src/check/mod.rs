//! The checker: whether a history can be that of a sale which keeps its promises.
//!
//! It sees what clients saw and nothing else, shares no code with the service, and takes time linear in
//! the history, but for one sort. An outcome that is unknown counts as "perhaps" in both directions, and only what surely
//! happened may break an invariant: a server that keeps the rules is never accused. Each check begins with why that is so.
//!
//! `ledger` sorts the history by what it is about, `ledger/spans` says when the units of a hold were out, `shelf` adds that
//! up for each product; the checks read these three. What does not belong here: how a verdict is shown.

mod audit;
mod clock;
mod deadlines;
mod final_states;
mod findings;
mod holds_used_once;
mod identities;
mod ledger;
mod no_oversell;
mod payment_keys;
mod plan;
mod product_reads;
mod replays;
mod shelf;
mod sold_out;
mod state_reads;
mod steps;
mod verdict;
mod words;

use indexmap::IndexMap;

use crate::history::{Header, History, Mark, Scope};
use findings::{Findings, Found};
use ledger::Ledger;

pub use plan::plan;
pub use verdict::{Breach, Check, Checked, Planned, Standing, Verdict};

/// Judges a history.
pub fn judge(history: &History) -> Verdict {
    let header = &history.header;
    let ledger = Ledger::new(history, stock(header));
    let shelves = shelf::shelves(&ledger);
    let mut findings = Findings::default();
    no_oversell::judge(&ledger, &shelves, &mut findings);
    product_reads::judge(&ledger, &shelves, &mut findings);
    sold_out::judge(&ledger, &shelves, &mut findings);
    holds_used_once::judge(&ledger, &mut findings);
    final_states::judge(&ledger, &mut findings);
    payment_keys::judge(&ledger, &mut findings);
    deadlines::judge(&ledger, &mut findings);
    replays::judge(&ledger, &mut findings);
    state_reads::judge(&ledger, plan::across_kills(header), &mut findings);
    identities::judge(&ledger, &mut findings);
    audit::judge(history, &mut findings);
    let checks = plan(header)
        .into_iter()
        .map(|planned| {
            let found =
                if plan::is_sound(header, planned.check) { findings.take(planned.check) } else { Found::default() };
            conclude(planned, found, ledger.whole)
        })
        .collect();
    Verdict { checks, interrupted: is_interrupted(history), troubles: troubles(history) }
}

/// The units of each product, where nobody else takes any.
fn stock(header: &Header) -> IndexMap<u64, i64> {
    match header.scope {
        Scope::Shared => IndexMap::new(),
        Scope::Sole => header
            .products
            .iter()
            .map(|product| (product.product, i64::try_from(product.stock).unwrap_or(i64::MAX)))
            .collect(),
    }
}

/// How a check ended: a breach counts before anything else, then what was planned.
fn conclude(planned: Planned, found: Found, whole: bool) -> Checked {
    let Planned { check, floor, left_out } = planned;
    let Found { judged, breaches, breaches_in_all, note, missing } = found;
    let what = judged_by(check);
    let standing = match &left_out {
        _ if breaches_in_all > 0 => Standing::Broken,
        Some(_) => Standing::NotApplicable,
        None if judged < floor || missing.is_some() || (!whole && check != Check::Audit) => Standing::Unknown,
        None => Standing::Held,
    };
    let mut detail = match (standing, left_out) {
        (Standing::NotApplicable, Some(why)) => why,
        (Standing::Unknown, _) if judged < floor => format!("{what}: too few to tell"),
        (Standing::Unknown, _) => match missing {
            Some(missing) => format!("{what}, but {missing}: too few to tell"),
            None => format!("{what}, but the history is not whole"),
        },
        _ => what.to_owned(),
    };
    if let Some(note) = note.filter(|_| standing != Standing::NotApplicable) {
        detail = format!("{detail}; {note}");
    }
    Checked { check, standing, judged, floor, detail, breaches, breaches_in_all }
}

/// What a check counts.
const fn judged_by(check: Check) -> &'static str {
    match check {
        Check::NoOversell => "holds acknowledged",
        Check::UnitsConserved => "reads at rest",
        Check::NoFalseSoldOut => "refusals as sold out",
        Check::OneOrderPerHold => "holds redeemed",
        Check::FinalStates => "final orders read",
        Check::PaymentKeys => "repeated payment events",
        Check::Deadlines => "holds seen expired",
        Check::Replays => "repeated requests",
        Check::FreshReads => "reads after an answer",
        Check::Counters => "reads of products",
        Check::NothingLost => "holds and orders read back",
        Check::Audit => "audits",
    }
}

/// Whether the run was stopped by hand, or its history is cut off.
fn is_interrupted(history: &History) -> bool {
    let ended = history.marks.iter().any(|mark| matches!(mark, Mark::End { .. }));
    !ended || history.marks.iter().any(|mark| matches!(mark, Mark::Interrupted { .. }))
}

/// What kept scenarios from doing what they are for, and clocks from telling how long anything took.
fn troubles(history: &History) -> Vec<String> {
    let marks = history.marks.iter();
    let ended = marks.filter_map(|mark| match mark {
        Mark::Scenario { name, finished, trouble, .. } => Some((*name, *finished, trouble.as_deref())),
        _ => None,
    });
    let mut troubles: Vec<String> = ended
        .clone()
        .filter_map(|(name, finished, trouble)| match (finished, trouble) {
            (_, Some(trouble)) => Some(format!("{name}: {trouble}")),
            (false, None) => Some(format!("{name} did not come to its end")),
            (true, None) => None,
        })
        .collect();
    let planned = history.header.scenarios.iter().filter(|plan| plan.left_out.is_none());
    let missing = planned.filter(|plan| !ended.clone().any(|(name, ..)| name == plan.name));
    troubles.extend(missing.map(|plan| format!("{} did not run to its end", plan.name)));
    let stepped = history.marks.iter().filter(|mark| matches!(mark, Mark::ClockStepped { .. }));
    troubles.extend(
        stepped.filter_map(Mark::of_the_machine).map(|what| {
            format!("{what}: how long holds and orders lived cannot be told from its clock, so run it again")
        }),
    );
    troubles
}
