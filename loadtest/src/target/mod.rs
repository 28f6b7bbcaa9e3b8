//! What a run aims at: a private server that is started and killed here, or one that somebody else runs, with
//! the products that are made there and cleaned up after.
//!
//! What does not belong here: load, and any opinion about answers to it.

mod cleanup;
mod error;
mod operator;
mod private;
mod retry;

pub use cleanup::{Cleaned, Left, Mess, clean_up, clean_up_within};
pub use error::TargetError;
pub use operator::{Ended, Found, Operator};
pub use private::{AuditAnswer, Private, PrivateDatabase, audit_answer, find_server, random_secrets};
pub use retry::retry;
