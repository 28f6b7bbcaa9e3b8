//! The books at the end of a test: everything acknowledged is there, once, and no unit is missing.
//!
//! What does not belong here: what happened before. Holds must live for seconds only, or it takes long.

use std::time::{Duration, SystemTime};

use crate::facts::Facts;
use crate::sale::Sale;
use crate::wait::{OrFail, clock_is};

impl Sale {
    /// Fails unless everything acknowledged is there, once, the audit passes, and, when the last hold's deadline
    /// is over, no unit of `products`, each of which had `stock`, is away but those of orders.
    pub async fn assert_books(&self, products: &[u64], stock: u64, known: &Facts) {
        assert!(known.holds.len() > 20, "hardly anything was acknowledged");
        known.check(&self.client).await;
        for product in products {
            let sold =
                format!("SELECT SUM(quantity) FROM orders WHERE status <> 'cancelled' AND product_id = {product}");
            // No unit stays away for longer than its hold lives, swept or not.
            let last = format!("SELECT MAX(expires_at) FROM holds WHERE product_id = {product}");
            let last = u64::try_from(self.database.integer(&last).await.or_fail()).or_fail();
            clock_is(Duration::ZERO, SystemTime::UNIX_EPOCH + Duration::from_micros(last)).await;
            assert_eq!(self.stock(*product).await.reserved, 0);
            let sold = u64::try_from(self.database.integer(&sold).await.or_fail()).or_fail();
            assert_eq!(self.stock(*product).await.free, stock - sold);
        }
        let twice = "SELECT COUNT(idempotency_key) - COUNT(DISTINCT idempotency_key) FROM holds";
        assert_eq!(self.database.integer(twice).await.or_fail(), 0, "a key made two holds");
        self.assert_audit_passes().await;
    }
}
