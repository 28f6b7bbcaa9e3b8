//! Who looks on while a run goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
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

/// Somebody who may look away: one who panics, as whoever writes to a stream that nobody reads does, does not
/// end the run that they look at.
pub(super) struct Shielded(pub(super) Arc<dyn Watcher>);

impl Shielded {
    fn show(&self, show: impl FnOnce(&dyn Watcher)) {
        // The panic has been told already, if there is anywhere to tell it.
        let _ = catch_unwind(AssertUnwindSafe(|| show(self.0.as_ref())));
    }
}

impl Watcher for Shielded {
    fn begun(&self, recorder: &Recorder, header: &Header, plan: &[Planned], expected: Duration) {
        self.show(|watcher| watcher.begun(recorder, header, plan, expected));
    }

    fn scenario(&self, name: ScenarioName, expected: Duration) {
        self.show(|watcher| watcher.scenario(name, expected));
    }

    fn scenario_ended(&self, name: ScenarioName) {
        self.show(|watcher| watcher.scenario_ended(name));
    }

    fn note(&self, text: &str) {
        self.show(|watcher| watcher.note(text));
    }

    fn ended(&self) {
        self.show(|watcher| watcher.ended());
    }
}
