//! The load-test harness, from outside: its own binary against the real server, on real databases.
//!
//! What does not belong here: how a history is judged (tests of the checker), and servers with bugs (they
//! have a package of their own).

mod alone;
mod bench;
mod clean;
mod exits;
mod harness;
mod pgo;
mod staging;
mod stopped;
