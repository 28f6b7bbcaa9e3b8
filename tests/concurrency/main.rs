//! Many at once, from outside: the real binary, real databases, requests that are truly parallel.
//!
//! What does not belong here: the form of single answers (`contract`), and processes that are killed
//! (`crash`). Each test ends with the audit: I1 to I6 hold whatever the race decided.

mod defects;
mod keys;
mod lock;
mod neighbours;
mod races;
mod scenarios;
mod servers;
