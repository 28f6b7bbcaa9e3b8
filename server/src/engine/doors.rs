//! The products whose queue takes no more holds at this moment, for those who ask to be told so without its lock.
//!
//! Under overload refusals are many times the work that is done. They must not wait for each other, nor keep
//! workers from the queue. So the queue decides once, shuts the door of that product, and opens it with the
//! next batch that it hands out; until then whoever comes is refused from here. How often the queue's lock is taken
//! follows what is let in, not what is offered.
//!
//! What does not belong here: when a door is shut (`admission`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use sale::ProductId;
use tokio::time::Instant;

/// After so long the queue is asked again: callers may have left it meanwhile.
const REVIEW_AFTER: Duration = Duration::from_millis(20);

/// The doors that are shut. Bounded by the number of products that commands wait for.
#[derive(Debug, Default)]
pub(super) struct Doors {
    /// Whether any is: nobody looks further while none is.
    any: AtomicBool,
    shut: RwLock<HashMap<ProductId, Shut>>,
}

#[derive(Clone, Copy, Debug)]
struct Shut {
    until: Instant,
    wait: Duration,
}

impl Doors {
    /// How long a hold of this product would have to wait, if its door is shut.
    pub(super) fn refusal(&self, product_id: ProductId) -> Option<Duration> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        // A map is usable whatever happened to who held the lock.
        let shut = self.shut.read().unwrap_or_else(PoisonError::into_inner).get(&product_id).copied()?;
        (Instant::now() < shut.until).then_some(shut.wait)
    }

    /// Shuts a door: a hold would have to wait for `wait`.
    pub(super) fn shut(&self, product_id: ProductId, now: Instant, wait: Duration) {
        let mut shut = self.shut.write().unwrap_or_else(PoisonError::into_inner);
        shut.insert(product_id, Shut { until: now + REVIEW_AFTER, wait });
        self.any.store(true, Ordering::Release);
    }

    /// Opens a door, if it is shut.
    pub(super) fn open(&self, product_id: ProductId) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        let mut shut = self.shut.write().unwrap_or_else(PoisonError::into_inner);
        shut.remove(&product_id);
        if shut.is_empty() {
            self.any.store(false, Ordering::Release);
        }
    }
}
