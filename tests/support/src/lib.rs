//! What the tests from outside share: a sale on either database, the requests of its API, customers who
//! remember what was acknowledged, and how to wait for a condition.
//!
//! What does not belong here: starting and killing (that is the rig's, in `holdfast-loadtest`), and
//! what only one suite needs.
//!
//! Its functions end a test by a panic that says what went wrong: none returns an error.

mod answers;
mod books;
mod facts;
pub mod http2;
mod load;
mod recovery;
mod requests;
mod sale;
mod setup;
mod wait;

pub use holdfast_loadtest::rig;
pub use holdfast_loadtest::rig::client::{Answer, Client, Request, burst};
pub use holdfast_loadtest::rig::database::{Kind, Session, TestDatabase};
pub use holdfast_loadtest::rig::server::ServerProcess;

pub use self::answers::{all, deadline_of, number, statuses};
pub use self::facts::{Fact, Facts, Open};
pub use self::load::Load;
pub use self::recovery::{RECOVERY_MAX, recovers, sells_and_is_ready};
pub use self::requests::{give_back, hold, order, payment};
pub use self::sale::{HOUSEKEEPING, Sale, Stock, operator};
pub use self::setup::{ADMIN_TOKEN, Setup};
pub use self::wait::{OrFail, clock_is, eventually, is_long, rounds, seed};

/// Makes a test of each function, on both databases: `sqlite::name` and `mariadb::name`. The functions
/// take a [`Setup`] and are async. For test targets of the package that has the binary `holdfast`.
#[macro_export]
macro_rules! for_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $($crate::test_on!($name, Sqlite);)+
        }
        mod mariadb {
            $($crate::test_on!($name, MariaDb);)+
        }
    };
}

/// As [`for_both!`], for what only several servers on one database, or the faulty proxy, can do.
#[macro_export]
macro_rules! for_mariadb {
    ($($name:ident),+ $(,)?) => {
        mod mariadb {
            $($crate::test_on!($name, MariaDb);)+
        }
    };
}

/// One test of a function on one kind of database.
#[doc(hidden)]
#[macro_export]
macro_rules! test_on {
    ($name:ident, $kind:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            super::$name($crate::Setup::new($crate::Kind::$kind, env!("CARGO_BIN_EXE_holdfast"))).await;
        }
    };
}
