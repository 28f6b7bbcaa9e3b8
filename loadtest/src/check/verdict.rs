//! What the checker says: its checks by name, and how each ended.
//!
//! What does not belong here: how a check is made, and what a report looks like.

use serde::Serialize;

use crate::history::Moment;

/// The checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Units surely acknowledged never exceed the units stocked, at any moment.
    NoOversell,
    /// The stock shown at rest is what was stocked less what is sold and held.
    UnitsConserved,
    /// A hold is refused only if the units were really not there.
    NoFalseSoldOut,
    /// A hold became one order at most.
    OneOrderPerHold,
    /// An order has one final state, one that some event or its payment window asked for.
    FinalStates,
    /// A payment key takes effect once, for one order, with one content; a refused event uses up nothing.
    PaymentKeys,
    /// No hold is redeemed past its deadline, or expired before it.
    Deadlines,
    /// The same key gets the same answer, another body with it none.
    Replays,
    /// Reads never go back behind an answer given.
    FreshReads,
    /// The counters of a product make sense in every answer.
    Counters,
    /// All that was acknowledged is there, whatever was killed since.
    NothingLost,
    /// `holdfast audit` finds no breach.
    Audit,
}

impl Check {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 12] = [
        Self::NoOversell,
        Self::UnitsConserved,
        Self::NoFalseSoldOut,
        Self::OneOrderPerHold,
        Self::FinalStates,
        Self::PaymentKeys,
        Self::Deadlines,
        Self::Replays,
        Self::FreshReads,
        Self::Counters,
        Self::NothingLost,
        Self::Audit,
    ];

    /// Its name in reports for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoOversell => "no_oversell",
            Self::UnitsConserved => "units_conserved",
            Self::NoFalseSoldOut => "no_false_sold_out",
            Self::OneOrderPerHold => "one_order_per_hold",
            Self::FinalStates => "final_states",
            Self::PaymentKeys => "payment_keys",
            Self::Deadlines => "deadlines",
            Self::Replays => "replays",
            Self::FreshReads => "fresh_reads",
            Self::Counters => "counters",
            Self::NothingLost => "nothing_lost",
            Self::Audit => "audit",
        }
    }

    /// The promise that it checks, for people.
    pub const fn promise(self) -> &'static str {
        match self {
            Self::NoOversell => "Units acknowledged never exceed the units stocked",
            Self::UnitsConserved => "The stock at rest is what was stocked, less what is sold and held",
            Self::NoFalseSoldOut => "A hold is refused only if the units are really not there",
            Self::OneOrderPerHold => "A hold becomes one order at most",
            Self::FinalStates => "An order reaches one final state, one that something asked for",
            Self::PaymentKeys => "A payment key takes effect once",
            Self::Deadlines => "No hold is redeemed past its deadline, or expires before it",
            Self::Replays => "The same key gets the same answer",
            Self::FreshReads => "Reads never go back behind an answer given",
            Self::Counters => "The counters of a product make sense in every answer",
            Self::NothingLost => "All that was acknowledged is there",
            Self::Audit => "The service's own audit finds no breach",
        }
    }

    /// The invariants of the service that it stands for.
    pub const fn invariants(self) -> &'static str {
        match self {
            Self::NoOversell => "I1-I3",
            Self::UnitsConserved => "I2, I3, I4, I5",
            Self::NoFalseSoldOut | Self::FreshReads => "I8",
            Self::OneOrderPerHold => "I4",
            Self::FinalStates | Self::PaymentKeys => "I5",
            Self::Deadlines => "time",
            Self::Replays => "safe retries",
            Self::Counters => "I1",
            Self::NothingLost => "I7",
            Self::Audit => "I1-I6",
        }
    }
}

/// What was decided about a check before the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Planned {
    /// The check.
    pub check: Check,
    /// How many operations it must judge at least: below that it is unknown.
    pub floor: u64,
    /// Why it does not apply, if it does not.
    pub left_out: Option<String>,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It judged enough, and found nothing.
    Held,
    /// It found a breach.
    Broken,
    /// It judged too little.
    Unknown,
    /// It does not apply to this run.
    NotApplicable,
}

/// A check, made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// The check.
    pub check: Check,
    /// How it ended.
    pub standing: Standing,
    /// How many operations it judged.
    pub judged: u64,
    /// How many it had to.
    pub floor: u64,
    /// What was judged, such as `holds`, or why it is not.
    pub detail: String,
    /// The first breaches, a bounded number of them.
    pub breaches: Vec<Breach>,
    /// How many there are in all.
    pub breaches_in_all: u64,
}

/// Something that cannot happen in a sale that keeps its promises.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Breach {
    /// What happened, in a sentence, with figures.
    pub what: String,
    /// The product, if it is about one.
    pub product: Option<u64>,
    /// When it was certain.
    pub at: Moment,
    /// The first requests that show it, as positions in the history's records.
    pub records: Vec<usize>,
}

/// What the checker says of a history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Every check, in the order of [`Check::ALL`].
    pub checks: Vec<Checked>,
    /// Whether the run was stopped by hand, or its history is cut off.
    pub interrupted: bool,
    /// What kept scenarios from doing what they are for, or this machine from telling time: each makes the verdict unknown.
    pub troubles: Vec<String>,
}

impl Verdict {
    /// How the run ended: broken before unknown before held.
    pub fn standing(&self) -> Standing {
        if self.checks.iter().any(|checked| checked.standing == Standing::Broken) {
            Standing::Broken
        } else if self.interrupted
            || !self.troubles.is_empty()
            || self.checks.iter().any(|checked| checked.standing == Standing::Unknown)
            || !self.checks.iter().any(|checked| checked.standing == Standing::Held)
        {
            Standing::Unknown
        } else {
            Standing::Held
        }
    }
}
