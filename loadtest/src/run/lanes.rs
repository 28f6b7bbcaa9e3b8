//! Which scenarios run when.
//!
//! `expiry` mostly waits, so it runs beside all the others; the others run one after the other, so that their
//! figures are their own. A quick run has no figures to keep apart: there those that goose drives run beside
//! those that it does not. `chaos` kills the server, so it comes last, alone.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::{Aim, Products, Settings, Target, Watcher};
use crate::history::{Header, Mark, Recorder, ScenarioName};
use crate::scenario::{self, Notes, Stage, Stop};

/// What every scenario is handed.
pub(super) struct Hands<'a> {
    pub(super) settings: &'a Settings,
    pub(super) target: &'a Target,
    pub(super) header: &'a Header,
    pub(super) recorder: &'a Recorder,
    pub(super) stop: &'a Stop,
    pub(super) watcher: &'a Arc<dyn Watcher>,
}

/// Which scenarios run beside which, each lane in its order; what is last runs alone.
struct Lanes {
    beside: Vec<Vec<ScenarioName>>,
    last: Vec<ScenarioName>,
}

impl Lanes {
    fn of(header: &Header, settings: &Settings) -> Self {
        let runs = |names: &[ScenarioName]| -> Vec<ScenarioName> {
            names.iter().copied().filter(|name| header.runs(*name)).collect()
        };
        let waiting = runs(&[ScenarioName::Expiry]);
        let beside = if let Aim::Host { products: Products::Given { .. }, .. } = settings.aim {
            // One product for all: what one scenario leaves at rest, another would move.
            vec![runs(&ScenarioName::ALL[..ScenarioName::ALL.len() - 1])]
        } else if settings.quick {
            let bursts = runs(&[ScenarioName::Boundary, ScenarioName::Duplicates, ScenarioName::Retries]);
            let crowds = runs(&[ScenarioName::Rush, ScenarioName::Many, ScenarioName::Soldout]);
            vec![waiting, bursts, crowds]
        } else {
            let others = runs(&[
                ScenarioName::Boundary,
                ScenarioName::Rush,
                ScenarioName::Duplicates,
                ScenarioName::Retries,
                ScenarioName::Many,
                ScenarioName::Soldout,
            ]);
            vec![waiting, others]
        };
        Self { beside, last: runs(&[ScenarioName::Chaos]) }
    }
}

/// About how long all of it takes.
pub(super) fn expected(hands: &Hands<'_>) -> Duration {
    let lanes = Lanes::of(hands.header, hands.settings);
    let takes = |names: &Vec<ScenarioName>| -> Duration {
        names.iter().map(|name| scenario::expected(*name, &hands.stage(*name))).sum()
    };
    lanes.beside.iter().map(takes).max().unwrap_or_default() + takes(&lanes.last)
}

/// Runs all scenarios that are planned.
pub(super) async fn run(hands: &Hands<'_>) {
    let lanes = Lanes::of(hands.header, hands.settings);
    join_all(lanes.beside.into_iter().map(|names| lane(hands, names))).await;
    lane(hands, lanes.last).await;
}

/// Runs scenarios one after the other.
async fn lane(hands: &Hands<'_>, names: Vec<ScenarioName>) {
    for name in names {
        if hands.stop.is_set() {
            return;
        }
        let began = hands.recorder.now();
        let stage = hands.stage(name);
        hands.watcher.scenario(name, scenario::expected(name, &stage));
        // A task of its own: one that panics has not done what it is for, and the others go on.
        let ran = tokio::spawn(scenario::run(name, stage)).await;
        let trouble = match ran {
            Ok(Ok(())) => None,
            Ok(Err(trouble)) => Some(trouble.to_string()),
            Err(error) => Some(format!("the harness failed: {error}")),
        };
        hands.watcher.scenario_ended(name);
        let ended = hands.recorder.now();
        let finished = trouble.is_none() && !hands.stop.is_set();
        hands.recorder.mark(Mark::Scenario { name, began, ended, finished, trouble });
    }
}

impl Hands<'_> {
    fn stage(&self, name: ScenarioName) -> Stage {
        let own: Vec<_> = self.header.products.iter().filter(|product| product.scenario == name).copied().collect();
        let watcher = Arc::clone(self.watcher);
        Stage {
            recorder: self.recorder.clone(),
            base_url: self.target.url.clone(),
            secrets: Arc::clone(&self.target.secrets),
            run: self.header.run.clone(),
            limits: self.target.limits,
            // A product that was given is there for every scenario.
            products: if own.is_empty() { self.header.products.clone() } else { own },
            users: self.settings.users,
            duration: self.settings.duration,
            ramp: self.settings.ramp,
            seed: self.settings.seed,
            quick: self.settings.quick,
            max_wait: self.settings.max_wait,
            request_timeout: self.settings.request_timeout,
            stop: self.stop.clone(),
            private: self.target.private.clone(),
            goose_reports: self.settings.goose_reports.clone(),
            notes: Notes::new(move |text| watcher.note(text)),
        }
    }
}
