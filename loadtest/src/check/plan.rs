//! Which checks a run makes, and how much each must judge at least to be believed.
//!
//! A floor is small: any run of the scenario reaches it, on a slow machine with `--quick` too, and a server that
//! refuses everything does not. What does not belong here: the checks.

use super::{Check, Planned};
use crate::history::{Header, ScenarioName, Scope};
use crate::scenario;

/// How many operations each scenario gives each check to judge, at least. No number: the scenario is not there for
/// the check. The columns are those of [`ScenarioName::ALL`].
#[rustfmt::skip]
const FLOORS: [(Check, [u64; ScenarioName::ALL.len()]); Check::ALL.len() - 1] = [
    //                        boundary rush duplicates expiry retries many soldout chaos
    (Check::NoOversell,      [    10,    5,       2,      2,      5,    5,    10,    5 ]), // holds acknowledged
    (Check::UnitsConserved,  [     1,    1,       1,      1,      1,    1,     1,    1 ]), // exact reads at rest
    (Check::NoFalseSoldOut,  [    10,    0,       0,      0,      0,    0,    10,    0 ]), // refusals as sold out
    (Check::OneOrderPerHold, [     0,    5,       2,      1,      2,    0,     0,    2 ]), // holds redeemed
    (Check::FinalStates,     [     0,    2,       2,      1,      0,    0,     0,    1 ]), // final orders read
    (Check::PaymentKeys,     [     0,    0,       5,      0,      0,    0,     0,    0 ]), // repeated events
    (Check::Deadlines,       [     0,    0,       0,      2,      0,    0,     0,    0 ]), // holds seen expired
    (Check::Replays,         [     0,    0,       0,      0,      5,    0,     0,    1 ]), // repeated requests
    (Check::FreshReads,      [     1,    1,       1,      1,      1,    1,     1,    1 ]), // reads after an answer
    (Check::Counters,        [     2,    2,       2,      2,      2,    2,     2,    2 ]), // reads of products
    (Check::NothingLost,     [     0,    1,       1,      1,      1,    0,     0,    5 ]), // read back
];

/// How much of what was acknowledged before a kill [`Check::NothingLost`] must see after it, where something is killed.
const ACROSS_KILLS: u64 = 3;

/// Checks that stay sound where somebody else buys, too.
const SOUND_WHERE_OTHERS_BUY: [Check; 7] = [
    Check::OneOrderPerHold,
    Check::FinalStates,
    Check::PaymentKeys,
    Check::Deadlines,
    Check::Replays,
    Check::Counters,
    Check::NothingLost,
];

/// Which checks a run will make, which it cannot make and why, before it starts.
pub fn plan(header: &Header) -> Vec<Planned> {
    Check::ALL.into_iter().map(|check| plan_one(header, check)).collect()
}

/// How much of what was acknowledged before a kill must be read back after it, at least.
pub(super) fn across_kills(header: &Header) -> u64 {
    if header.runs(ScenarioName::Chaos) { ACROSS_KILLS } else { 0 }
}

/// Whether a breach of `check` can be believed, whatever was planned.
pub(super) fn is_sound(header: &Header, check: Check) -> bool {
    header.scope == Scope::Sole || check == Check::Audit || SOUND_WHERE_OTHERS_BUY.contains(&check)
}

/// Whether a scenario can take all units of each product that it sells.
fn sells_out(header: &Header, name: ScenarioName) -> bool {
    let own = header.products.iter().any(|product| product.scenario == name);
    // A product that was given is there for every scenario.
    let mut products = header.products.iter().filter(|product| !own || product.scenario == name);
    products.all(|product| scenario::can_be_sold_out(product.stock, &header.limits))
}

fn plan_one(header: &Header, check: Check) -> Planned {
    let leave_out = |why: &str| Planned { check, floor: 0, left_out: Some(why.to_owned()) };
    if check == Check::Audit {
        return if header.audited {
            Planned { check, floor: 1, left_out: None }
        } else {
            leave_out("the service's database is not ours to audit")
        };
    }
    if !is_sound(header, check) {
        return leave_out("others may buy the same products, so that nobody knows how many units there are");
    }
    let floors = FLOORS.iter().find(|(of, _)| *of == check).map_or([0; ScenarioName::ALL.len()], |(_, floors)| *floors);
    let there_for_it: Vec<_> = ScenarioName::ALL
        .into_iter()
        .zip(floors)
        .filter(|(name, floor)| header.runs(*name) && *floor > 0)
        .filter(|(name, _)| check != Check::NoFalseSoldOut || sells_out(header, *name))
        .collect();
    let is_too_much = check == Check::NoFalseSoldOut
        && there_for_it.is_empty()
        && (header.runs(ScenarioName::Boundary) || header.runs(ScenarioName::Soldout));
    match there_for_it.iter().map(|(_, floor)| floor).sum() {
        0 if is_too_much => leave_out(&format!(
            "there are too many units to sell them all in holds of at most {}",
            header.limits.max_qty_per_hold
        )),
        0 => leave_out("no scenario that runs is there for it"),
        floor => Planned { check, floor, left_out: None },
    }
}
