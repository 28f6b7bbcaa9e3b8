//! A model of the sale, in virtual time, for histories of any length in no time.
//!
//! `sale` is the service: right, or with one bug. `driver` is the crowd: clients with latencies, lost answers,
//! requests that take effect late or never, kills. What does not belong here: what is expected of the checker.

mod bug;
mod driver;
mod sale;

pub(crate) use bug::Bug;
pub(crate) use driver::{Crowd, header, run};
