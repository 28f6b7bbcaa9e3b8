//! The load-test harness of Holdfast: what proves, from outside, that a sale did not oversell.
//!
//! What does not belong here: anything of the service's own code. The harness restates the rules,
//! so that a bug in one cannot hide in the other.
//!
//! `cli` reads what is asked for, `run` does it: it aims at a `target`, lets `scenario`s buy there by
//! `api`, and gives the `history` of that to `check`, which judges, and to `measure`, which counts.
//! `report` shows both. `bench` measures how fast all that is. `rig` starts and breaks servers, for the harness and for the tests.

pub mod api;
pub mod bench;
pub mod check;
pub mod cli;
pub mod history;
pub mod measure;
pub mod report;
pub mod rig;
pub mod run;
pub mod scenario;
pub mod target;
