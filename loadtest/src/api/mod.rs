//! The client's side of the API: requests built, sent and timed, answers read for what they say.
//!
//! Only an answer of the documented shape is an outcome; whatever else comes back, or does not, is
//! unknown. Nothing is sent twice unless a scenario says so: no retries, no redirects.
//!
//! What does not belong here: who asks for what, and when (scenarios), and whether an answer is right
//! (the checker).

mod answer;
mod book;
mod caller;
mod connect;
mod lose;
mod pulse;
mod request;
mod secrets;
mod shopper;

pub use answer::read as read_answer;
pub use book::{Book, Left};
pub use caller::{Call, Caller, Shop};
pub use connect::Connector;
pub use lose::Lose;
pub use pulse::Pulse;
pub use request::{Requests, SetupError};
pub use secrets::Secrets;
pub use shopper::{Shopper, Shopping, shopper_client};
