//! The load-test harness of Holdfast: what proves, from outside, that a sale did not oversell.
//!
//! What does not belong here: anything of the service's own code. The harness restates the rules,
//! so that a bug in one cannot hide in the other.

pub mod api;
pub mod check;
pub mod history;
pub mod measure;
pub mod report;
pub mod rig;
