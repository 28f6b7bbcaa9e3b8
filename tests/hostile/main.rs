//! Clients that mean no good, or know no better: slow ones, silent ones, too many, too large, forged. None gets in, none
//! costs the others much, and each test ends with the invariants checked.
//!
//! What belongs here: what the edge of the server answers for. What does not: the API for those who keep to it
//! (`contract`), and databases that misbehave (`crash`).

mod access;
mod connections;
mod described;
mod forged;
mod http2;
mod oversized;
mod quotas;

mod secrets;
mod slow;
mod wire;
