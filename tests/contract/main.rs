//! The contract of the API, from outside: every route, status and code, on both databases.
//!
//! What belongs here: what a client can see of one server, and that what is refused changes nothing.
//! What does not: races (`concurrency`) and crashes (`crash`). Every answer is also held against the
//! server's own description of itself ([`contract`]).

mod bad_input;
mod commands;
mod contract;
mod documentation;
mod holds;
mod life;
mod operators;
mod orders;
mod process;
mod products;
mod raw;
mod signatures;
mod transport;
mod webhook;
