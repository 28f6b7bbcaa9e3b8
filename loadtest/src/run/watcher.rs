//! Who looks on while a run goes on.

use std::time::Duration;

use crate::check::Planned;
use crate::history::{Header, Recorder, ScenarioName};

/// Is told what happens, so that it can show it.
pub trait Watcher: Send + Sync {
    /// The run is about to begin, with these checks, and takes about so long.
    fn begun(&self, _recorder: &Recorder, _header: &Header, _plan: &[Planned], _expected: Duration) {}
    /// A scenario begins, and takes about so long.
    fn scenario(&self, _name: ScenarioName, _expected: Duration) {}
    /// A scenario has ended.
    fn scenario_ended(&self, _name: ScenarioName) {}
    /// Something that somebody who waits would want to know.
    fn note(&self, _text: &str) {}
    /// The last request was made.
    fn ended(&self) {}
}

/// Shows nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Watcher for Silent {}
