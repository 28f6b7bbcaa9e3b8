//! More is asked for than the database can do: what can be done is done, all else is told so at once.
//!
//! What does not belong here: databases that fail (`crash`), and clients that are not honest.

mod brake;
mod crowd;
mod deadlines;
#[path = "../telemetry/scraped.rs"]
mod scraped;
mod shedding;
