//! Databases, clocks and signals that misbehave: no answer is ever wrong, and the service is back by itself.
//!
//! What does not belong here: processes and connections that are killed or cut while they commit (`crash`), and
//! races without a fault (`concurrency`). Each test ends with what was acknowledged, held against what is there.

mod clock;
mod cluster;
mod cut;
mod deadlock;
mod disk;
mod endure;
mod locked_out;
mod slow;
mod stop;
mod volume;
