//! The first line of a history: version, settings, products and their stock.
//!
//! Whoever judges the history knows nothing else of the run. No secret is ever in it.

use serde::{Deserialize, Serialize};

use super::{Moment, ScenarioName};

/// What was tried, and with what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of this format.
    pub format: u32,
    /// The version of the harness that wrote it.
    pub harness: String,
    /// The run's name: keys and products begin with it.
    pub run: String,
    /// The seed that repeats the run's choices.
    pub seed: u64,
    /// When it began, by the wall clock: microseconds since 1970, UTC.
    pub began_at: i64,
    /// The command line that repeats it, without secrets.
    pub command: String,
    /// What kind of server it aims at.
    pub target: TargetKind,
    /// Where that is, without secrets.
    pub url: String,
    /// The database behind a private server (`sqlite`, `mysql`), if it is known.
    pub database: Option<String>,
    /// What may be concluded from what was seen.
    pub scope: Scope,
    /// What `/api/limits` said.
    pub limits: Limits,
    /// Users of a sustained scenario, and clients of a burst.
    pub users: u32,
    /// How long a sustained scenario goes on, in milliseconds.
    pub duration_milliseconds: u64,
    /// How long an outcome or a deadline may be waited for, in milliseconds.
    pub max_wait_milliseconds: u64,
    /// The scenarios that were asked for.
    pub scenarios: Vec<ScenarioPlan>,
    /// The products that they sell.
    pub products: Vec<ProductUnderTest>,
    /// Whether `holdfast audit` is asked at the end.
    pub audited: bool,
}

/// What kind of server a run aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// One that the harness started for itself.
    Private,
    /// One that somebody else runs.
    Host,
}

/// What may be concluded from what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Nobody else buys the products, and their stock is known: everything is judged.
    Sole,
    /// Others may buy them too: only what stays sound is judged.
    Shared,
}

/// The limits that the server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long a hold lives at least, in seconds; its deadline is rounded up to a whole second.
    pub hold_ttl_seconds: u64,
    /// How long an order waits for its payment, in seconds.
    pub payment_window_seconds: u64,
    /// The most units of one hold.
    pub max_qty_per_hold: u32,
}

/// A scenario that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScenarioPlan {
    /// Which.
    pub name: ScenarioName,
    /// Why it does not run, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
}

/// A product that a scenario sells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductUnderTest {
    /// Its id.
    pub product: u64,
    /// Who sells it.
    pub scenario: ScenarioName,
    /// The units it was stocked with, none of them held or sold when the run began. Meaningless if the
    /// scope is [`Scope::Shared`].
    pub stock: u64,
    /// When it was made.
    #[serde(default)]
    pub made: Moment,
}

impl Header {
    /// The version of the format that this harness writes, and the only one that it reads.
    pub const FORMAT: u32 = 1;

    /// The header of a run that asks nothing of a private server with these limits, for histories that no run makes:
    /// what else they say is set by whoever makes them.
    pub fn bare(limits: Limits) -> Self {
        Self {
            format: Self::FORMAT,
            harness: env!("CARGO_PKG_VERSION").to_owned(),
            run: "run".to_owned(),
            seed: 0,
            began_at: 0,
            command: String::new(),
            target: TargetKind::Private,
            url: String::new(),
            database: None,
            scope: Scope::Sole,
            limits,
            users: 1,
            duration_milliseconds: 0,
            max_wait_milliseconds: 0,
            scenarios: Vec::new(),
            products: Vec::new(),
            audited: false,
        }
    }

    /// Whether `name` was asked for and runs.
    pub fn runs(&self, name: ScenarioName) -> bool {
        self.scenarios.iter().any(|plan| plan.name == name && plan.left_out.is_none())
    }
}
