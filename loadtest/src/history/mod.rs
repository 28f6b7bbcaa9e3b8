//! The history: what every client asked and saw, and when, on one monotonic clock.
//!
//! It is the only thing that the checker and the reports read, so a history that was kept can be judged
//! again, alone. What does not belong here: any opinion about what was seen.

mod file;
mod header;
mod mark;
mod moment;
mod outcome;
mod record;
mod recorder;

pub use file::{HistoryError, read, write};
pub use header::{Header, Limits, ProductUnderTest, ScenarioPlan, Scope, TargetKind};
pub use mark::Mark;
pub use moment::Moment;
pub use outcome::{Code, HoldStatus, HoldView, OrderStatus, OrderView, Outcome, ProductView, Why};
pub use record::{Key, News, Operation, Record, ScenarioName};
pub use recorder::{Live, Recorder, Tape, Writing};

/// A history, whole, in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// What was tried, and with what.
    pub header: Header,
    /// The requests, in no order.
    pub records: Vec<Record>,
    /// What happened besides, in the order of time.
    pub marks: Vec<Mark>,
}
