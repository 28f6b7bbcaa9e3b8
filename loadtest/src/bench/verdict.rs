//! The proof under the table: the harness's scenarios on the same binary and kind of database, and the audits of what
//! the bench sold.
//!
//! What does not belong here: what is checked.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::results::Audited;
use super::settings::Database;
use super::{BenchError, Say};
use crate::check::Standing;
use crate::history::ScenarioName;
use crate::measure::Measures;
use crate::report;
use crate::run::{self, Aim, Settings, Silent};
use crate::scenario::Stop;
use crate::target::PrivateDatabase;

/// The size of `run --quick`.
const USERS: u32 = 16;
const DURATION: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_mins(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What is proven of what was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// On which database.
    pub database: Database,
    /// How the scenarios ended.
    pub standing: &'static str,
    /// The same in a sentence.
    pub sentence: String,
    /// How many checks held.
    pub held: usize,
    /// Those that did not, and what is wrong.
    pub troubles: Vec<String>,
    /// What broke in the databases that were benched.
    pub audited: Audited,
    #[serde(skip)]
    verdict: Standing,
}

impl Proof {
    /// How scenarios and audits stand together.
    pub fn standing(&self) -> Standing {
        if self.audited.breaches.is_empty() { self.verdict } else { Standing::Broken }
    }
}

/// Runs all scenarios, small.
///
/// # Errors
/// If they cannot run.
pub(super) async fn prove(
    database: Database,
    server: &Path,
    seed: u64,
    audited: &Audited,
    stop: &Stop,
    say: &Say<'_>,
) -> Result<Proof, BenchError> {
    say(&format!("{}: running the harness's scenarios, small", database.name()));
    let settings = Settings {
        aim: Aim::Private {
            server: Some(server.to_owned()),
            database: match database {
                Database::Sqlite => PrivateDatabase::Temporary,
                Database::MariaDb => PrivateDatabase::MariaDb,
            },
            settings: Vec::new(),
        },
        scenarios: ScenarioName::ALL.to_vec(),
        quick: true,
        users: USERS,
        duration: DURATION,
        ramp: Duration::ZERO,
        stock: None,
        seed,
        max_wait: MAX_WAIT,
        request_timeout: REQUEST_TIMEOUT,
        history: None,
        goose_reports: None,
        command: format!("holdfast-loadtest run --quick --seed {seed}"),
    };
    let finished = run::run(&settings, stop, Arc::new(Silent)).await?;
    let measures = Measures::of(&finished.history);
    let shown = report::Run {
        history: &finished.history,
        verdict: &finished.verdict,
        measures: &measures,
        thresholds: &[],
        exit_code: 0,
        history_path: Some(&finished.history_path),
        goose_reports: &[],
    };
    let verdict = finished.verdict.standing();
    let sentence = report::verdict_sentence(&shown);
    let mut troubles = finished.verdict.troubles.clone();
    let fallen = |standing| matches!(standing, Standing::Broken | Standing::Unknown);
    for checked in finished.verdict.checks.iter().filter(|checked| fallen(checked.standing)) {
        troubles.push(format!("{}: {}", checked.check.name(), checked.detail));
        troubles.extend(checked.breaches.iter().map(|breach| format!("{}: {}", checked.check.name(), breach.what)));
    }
    if verdict == Standing::Held {
        // There is nothing to look at.
        let _ = std::fs::remove_file(&finished.history_path);
    } else {
        troubles.push(format!("its history: {}", finished.history_path.display()));
    }
    Ok(Proof {
        database,
        standing: report::standing_word(verdict),
        sentence,
        held: finished.verdict.checks.iter().filter(|checked| checked.standing == Standing::Held).count(),
        troubles,
        audited: audited.clone(),
        verdict,
    })
}
