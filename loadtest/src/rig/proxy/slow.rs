//! A database that is slow at one thing: statements that wait before they reach it.
//!
//! Unlike a fault it does not wear off: each such statement of each connection waits, until the proxy is healed.
//! What is sent behind it on the same connection waits too, and other connections do not.

use std::time::Duration;

use super::{Proxy, Shared, wire};

/// Statements that wait, and for how long.
#[derive(Clone, Debug)]
pub(super) struct Slow {
    /// In lower case.
    text: Vec<u8>,
    delay: Duration,
}

impl Proxy {
    /// Lets each statement that contains `text`, in whatever case, wait for `delay` before it reaches the server.
    pub fn slow(&self, text: &str, delay: Duration) {
        self.shared.faults().slow = Some(Slow { text: text.to_ascii_lowercase().into_bytes(), delay });
    }

    /// As [`Proxy::slow`] with `COMMIT`.
    pub fn slow_commit(&self, delay: Duration) {
        self.slow("commit", delay);
    }
}

/// Waits, if this is a packet that has to.
pub(super) async fn wait(shared: &Shared, packet: &[u8]) {
    let Some(slow) = shared.faults().slow.clone() else { return };
    let Some(statement) = wire::statement(packet) else { return };
    let text = statement.to_ascii_lowercase();
    if text.windows(slow.text.len().max(1)).any(|part| part == slow.text) {
        tokio::time::sleep(slow.delay).await;
    }
}
