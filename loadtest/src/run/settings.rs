//! What a run is asked to do.
//!
//! What does not belong here: how that is written on a command line.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::api::Secrets;
use crate::history::ScenarioName;
use crate::target::PrivateDatabase;

/// What a run is asked to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server it aims at.
    pub aim: Aim,
    /// The scenarios, in any order.
    pub scenarios: Vec<ScenarioName>,
    /// Whether everything is made small enough to be over within seconds.
    pub quick: bool,
    /// Users of a sustained scenario, and clients of a burst.
    pub users: u32,
    /// How long a sustained scenario goes on.
    pub duration: Duration,
    /// In what time its users arrive.
    pub ramp: Duration,
    /// Units of each product; `None` leaves that to the scenarios.
    pub stock: Option<u64>,
    /// What all choices are drawn from.
    pub seed: u64,
    /// How long an outcome or a deadline may be waited for.
    pub max_wait: Duration,
    /// How long a client waits for an answer.
    pub request_timeout: Duration,
    /// Where the history is kept. `None`: in the temporary folder, and only if something was not as it
    /// should be.
    pub history: Option<PathBuf>,
    /// The folder for goose's own reports.
    pub goose_reports: Option<PathBuf>,
    /// The command line that repeats it, without secrets.
    pub command: String,
}

/// The server that a run aims at.
#[derive(Clone, Debug)]
pub enum Aim {
    /// One that is started for the run.
    Private {
        /// Its binary; `None` looks for one.
        server: Option<PathBuf>,
        /// Its database.
        database: PrivateDatabase,
        /// Its settings besides, by the names of environment variables.
        settings: Vec<(String, String)>,
    },
    /// One that somebody else runs.
    Host {
        /// Its URL, without a slash at the end.
        url: String,
        /// What it is known by.
        secrets: Arc<Secrets>,
        /// What is bought there.
        products: Products,
    },
}

/// What is bought on a server that somebody else runs.
#[derive(Clone, Debug)]
pub enum Products {
    /// Products that the run makes for itself, as an operator.
    Own,
    /// One that is there.
    Given {
        /// Its id.
        product: u64,
        /// If nobody else buys it: the units it has, all of them free.
        sole_stock: Option<u64>,
    },
}
