//! One line of a history that is no request: what the harness did, and what befell it.
//!
//! What does not belong here: what follows from it for the verdict.

use serde::{Deserialize, Serialize};

use super::{Moment, ScenarioName};

/// What happened besides requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "mark")]
pub enum Mark {
    /// A scenario ran, from its first request to its last, its clean-up included.
    Scenario {
        /// Which.
        name: ScenarioName,
        /// When it began.
        began: Moment,
        /// When it ended.
        ended: Moment,
        /// Whether it came to its end. A scenario that could not do what it is for has not.
        finished: bool,
        /// What kept it from that, if anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trouble: Option<String>,
    },
    /// The harness broke something on purpose.
    Fault {
        /// What, such as `server killed`, in a few words.
        what: String,
        /// Whether all that ran on this machine as the server was killed: what was acknowledged before
        /// `began` must have outlived that.
        kills: bool,
        /// When.
        began: Moment,
        /// When it was whole again.
        ended: Moment,
    },
    /// The clock by which all of this is taken down and the wall clock came apart: the machine slept, or its time was
    /// set. No span with that in it is as long as it looks.
    ClockStepped {
        /// They were together until then.
        began: Moment,
        /// They are again since then.
        ended: Moment,
        /// How far they may have come apart, in nanoseconds.
        nanoseconds: u64,
    },
    /// The harness did not run: it was stopped, or got no processor. The clock went on.
    StoodStill {
        /// Since when.
        began: Moment,
        /// Until when.
        ended: Moment,
    },
    /// What `holdfast audit --json` said, after the last scenario.
    Audit {
        /// Whether it ran and gave a verdict.
        ran: bool,
        /// Whether it found no breach.
        clean: bool,
        /// Its breaches, or why it did not run.
        detail: Vec<String>,
    },
    /// The run was stopped by hand.
    Interrupted {
        /// When.
        at: Moment,
    },
    /// The last line: a history without it is not whole.
    End {
        /// When.
        at: Moment,
        /// How many requests it has.
        records: u64,
    },
}

impl Mark {
    /// What befell this machine, in words; none for what was done on purpose, or by the server.
    pub fn of_the_machine(&self) -> Option<String> {
        match self {
            Self::ClockStepped { ended, nanoseconds, .. } => Some(format!(
                "this machine slept, or its time was set, by {:.1} s at {:.1} s",
                Moment(*nanoseconds).seconds(),
                ended.seconds()
            )),
            Self::StoodStill { began, ended } => Some(format!(
                "the harness stood still for {:.1} s from {:.1} s on, stopped or without a processor: what was under way then has no latency",
                Moment(ended.0.saturating_sub(began.0)).seconds(),
                began.seconds()
            )),
            _ => None,
        }
    }
}
