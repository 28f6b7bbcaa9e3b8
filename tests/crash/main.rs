//! What is killed comes back with everything it acknowledged (I7): servers and databases under load,
//! connections at the moment of the commit, and servers in the middle of their first migration.
//!
//! What does not belong here: races without a crash (`concurrency`). Each test ends with the audit.

mod commit;
mod killed;
mod migration;
