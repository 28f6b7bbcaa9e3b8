//! Ids that are known before their rows are written.
//!
//! Each server reserves blocks ahead in transactions of their own, the next one while the one before is
//! half used, so that a batch hardly ever waits for them. What a stopped server did not use is lost,
//! which does no harm: ids are unique, not gapless.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::calls::answered;
use crate::store::{Sequence, Store, StoreError};

const SMALLEST_BLOCK: u64 = 64;
const LARGEST_BLOCK: u64 = 65_536;
/// A block that is used up faster than this is followed by one of twice the size.
const BLOCK_SHOULD_LAST: Duration = Duration::from_secs(1);

/// The ids of one sequence that this server may give. Cheap to clone.
#[derive(Clone)]
pub(super) struct Ids {
    store: Arc<dyn Store>,
    sequence: Sequence,
    blocks: Arc<Mutex<Blocks>>,
    /// One reservation at a time.
    reserving: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Blocks {
    left: Range<u64>,
    next: Option<Range<u64>>,
    size: u64,
    reserved_at: Option<Instant>,
    reserving_ahead: bool,
}

impl Blocks {
    /// Moves up to `missing` ids to `ids`.
    fn give(&mut self, missing: usize, ids: &mut Vec<u64>) {
        let goal = ids.len() + missing;
        while ids.len() < goal {
            if self.left.is_empty() {
                match self.next.take() {
                    Some(next) => self.left = next,
                    None => return,
                }
            }
            let missing = goal - ids.len();
            ids.extend(self.left.by_ref().take(missing));
        }
    }

    fn runs_low(&self) -> bool {
        self.next.is_none() && self.left.end - self.left.start < self.size / 2
    }
}

impl Ids {
    pub(super) fn new(store: Arc<dyn Store>, sequence: Sequence) -> Self {
        let blocks = Blocks { left: 0..0, next: None, size: SMALLEST_BLOCK, reserved_at: None, reserving_ahead: false };
        Self { store, sequence, blocks: Arc::new(Mutex::new(blocks)), reserving: Arc::default() }
    }

    /// The next `count` ids, ascending.
    ///
    /// # Errors
    /// If a block had to be reserved, and could not.
    pub(super) async fn take(&self, count: usize) -> Result<Vec<u64>, StoreError> {
        let mut ids = Vec::with_capacity(count);
        loop {
            if self.give(count, &mut ids) {
                return Ok(ids);
            }
            self.reserve().await?;
        }
    }

    /// The next id, if it need not be waited for.
    pub(super) fn at_hand(&self) -> Option<u64> {
        let mut ids = Vec::with_capacity(1);
        self.give(1, &mut ids);
        ids.pop()
    }

    /// Fills `ids` up to `count`, as far as there are some, and has more reserved if those run low. `false`: there were
    /// not enough.
    fn give(&self, count: usize, ids: &mut Vec<u64>) -> bool {
        let mut blocks = self.blocks();
        blocks.give(count - ids.len(), ids);
        let is_enough = ids.len() == count;
        if is_enough && count > 0 && blocks.runs_low() && !blocks.reserving_ahead {
            blocks.reserving_ahead = true;
            tokio::spawn(self.clone().reserve_ahead());
        }
        is_enough
    }

    async fn reserve_ahead(self) {
        if let Err(error) = self.reserve().await {
            // The batch that needs the block tries again, and is told.
            tracing::debug!(%error, "ids could not be reserved ahead");
        }
        self.blocks().reserving_ahead = false;
    }

    /// Reserves a block, unless somebody else did while this waited for its turn.
    async fn reserve(&self) -> Result<(), StoreError> {
        let _turn = self.reserving.lock().await;
        let size = {
            let blocks = self.blocks();
            if blocks.next.is_some() {
                return Ok(());
            }
            let fast = blocks.reserved_at.is_some_and(|at| at.elapsed() < BLOCK_SHOULD_LAST);
            if fast { (blocks.size * 2).min(LARGEST_BLOCK) } else { blocks.size }
        };
        let first = answered("reserving ids", self.store.reserve_ids(self.sequence, size)).await?;
        let mut blocks = self.blocks();
        blocks.next = Some(first..first + size);
        blocks.size = size;
        blocks.reserved_at = Some(Instant::now());
        Ok(())
    }

    fn blocks(&self) -> MutexGuard<'_, Blocks> {
        // Ranges are usable whatever happened to who held the lock.
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
