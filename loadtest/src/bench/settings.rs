//! What the bench is asked to do.
//!
//! What does not belong here: how that is written on a command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::row::Row;

/// The databases that Holdfast is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Database {
    /// A file, its log synchronised at every commit.
    Sqlite,
    /// A MariaDB of the bench's own, with full durability.
    #[value(name = "mariadb")]
    MariaDb,
}

impl Database {
    /// Its name, as it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::MariaDb => "mariadb",
        }
    }
}

/// What the bench is asked to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's binary; `None` looks for one.
    pub server: Option<PathBuf>,
    /// Where the sale is kept: one after the other.
    pub databases: Vec<Database>,
    /// What is measured: all that the comparisons need, in the order of the table.
    pub rows: Vec<Row>,
    /// The connections of the loads, ascending.
    pub connections: Vec<u32>,
    /// How long each load goes on in each round, in whole seconds.
    pub cell: Duration,
    /// How often everything is measured.
    pub rounds: u32,
    /// Holds in the table of [`Row::TenMillion`].
    pub filled_holds: u64,
    /// Connections that are open and idle when memory is read.
    pub idle_connections: u32,
    /// What the choices of the checks and of the loads are drawn from.
    pub seed: u64,
}
