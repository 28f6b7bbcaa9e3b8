//! Ids that are known before their rows are written.
//!
//! Each server reserves blocks ahead in transactions of their own. What a stopped server did not use
//! is lost, which does no harm: ids are unique, not gapless.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::store::{Sequence, Store, StoreError};

const SMALLEST_BLOCK: u64 = 64;
const LARGEST_BLOCK: u64 = 65_536;
/// A block that is used up faster than this is followed by one of twice the size.
const BLOCK_SHOULD_LAST: Duration = Duration::from_secs(1);

/// The ids of one sequence that this server may give.
pub(super) struct Ids {
    store: Arc<dyn Store>,
    sequence: Sequence,
    block: Mutex<Block>,
}

struct Block {
    left: Range<u64>,
    size: u64,
    reserved_at: Option<Instant>,
}

impl Ids {
    pub(super) fn new(store: Arc<dyn Store>, sequence: Sequence) -> Self {
        let block = Block { left: 0..0, size: SMALLEST_BLOCK, reserved_at: None };
        Self { store, sequence, block: Mutex::new(block) }
    }

    /// The next `count` ids, ascending; they come from as few blocks as possible.
    ///
    /// # Errors
    /// If a block had to be reserved, and could not.
    pub(super) async fn take(&self, count: usize) -> Result<Vec<u64>, StoreError> {
        let mut ids = Vec::with_capacity(count);
        let mut block = self.block.lock().await;
        while ids.len() < count {
            if block.left.is_empty() {
                let fast = block.reserved_at.is_some_and(|at| at.elapsed() < BLOCK_SHOULD_LAST);
                let size = if fast { (block.size * 2).min(LARGEST_BLOCK) } else { block.size };
                let first = self.store.reserve_ids(self.sequence, size).await?;
                *block = Block { left: first..first + size, size, reserved_at: Some(Instant::now()) };
            }
            let missing = count - ids.len();
            ids.extend(block.left.by_ref().take(missing));
        }
        Ok(ids)
    }
}
