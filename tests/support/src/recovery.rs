//! How soon a server must be itself again once its database is.
//!
//! What does not belong here: what a test does to the database meanwhile.

use std::time::{Duration, Instant};

use crate::load::Load;
use crate::sale::Sale;

/// How long a server may take from the moment at which its database serves and takes writes again. It is what the server's own
/// settings add up to at the worst, and a few seconds for a machine that has other work:
/// - 5 s: a call that was sent just before, and whose answer never comes, is given up (the time-out of answers);
/// - 1 s: the longest back-off before the next try;
/// - 5 s: that try may wait for a connection that was begun before, too (the time-out of connecting);
/// - 1 s: the back-off after it;
/// - 1 s: the locks of a transaction that broke off are waited for (the lock wait);
/// - 4 s: a small write of the server's own is believed 3 s after the last that failed, and tried every second.
pub const RECOVERY_MAX: Duration = Duration::from_secs(20);

/// Waits until the server is itself again, as `again` sees it, and fails if that took longer than [`RECOVERY_MAX`]. To be
/// called at the moment at which the database is back.
#[track_caller]
pub fn recovers<T>(again: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    let over = Instant::now();
    async move {
        let seen = again.await;
        let took = over.elapsed();
        eprintln!("{caller}: itself again {} ms after its database", took.as_millis());
        assert!(took <= RECOVERY_MAX, "{caller}: that took {took:?}, which is more than {RECOVERY_MAX:?}");
        seen
    }
}

/// Waits until customers are served again, and the server says that it is ready.
pub async fn sells_and_is_ready(sale: &Sale, load: &Load) {
    load.acknowledged_more(100).await;
    sale.readiness_is(200).await;
}
