//! What a test starts from: a kind of database, the binary, and settings.
//!
//! What does not belong here: anything that runs; that is a [`Sale`].

use std::path::PathBuf;

use holdfast_loadtest::rig::database::{Kind, TestDatabase};
use holdfast_loadtest::rig::server::{ServerBuilder, ServerProcess};

use crate::sale::Sale;
use crate::wait::OrFail;

/// What operators show to the servers of the tests.
pub const ADMIN_TOKEN: &str = "an-operator-of-the-tests-0123456789";

/// A kind of database and how a server on it is set.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The kind of database.
    pub kind: Kind,
    server: ServerBuilder,
}

impl Setup {
    /// The settings of the tests: an operators' token, and else the defaults.
    pub fn new(kind: Kind, program: impl Into<PathBuf>) -> Self {
        Self { kind, server: ServerProcess::builder(program).setting("ADMIN_TOKEN", ADMIN_TOKEN) }
    }

    /// With another setting.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.server = self.server.setting(name, value);
        self
    }

    /// A builder of servers with these settings on the database at `url`.
    pub fn server(&self, url: &str) -> ServerBuilder {
        self.server.clone().database(url)
    }

    /// A fresh, empty database.
    pub async fn database(&self) -> TestDatabase {
        TestDatabase::create(self.kind).await.or_fail()
    }

    /// A server on a fresh database, ready.
    pub async fn start(&self) -> Sale {
        self.start_on(self.database().await).await
    }

    /// A server on a database of the test's own making, ready.
    pub async fn start_on(&self, database: TestDatabase) -> Sale {
        let server = self.server(database.url()).start().await.or_fail();
        Sale { client: server.client(), server, database }
    }
}
