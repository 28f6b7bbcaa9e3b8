//! Which product a hold or an order belongs to. That never changes, so it is remembered, and a command finds its queue
//! without a question to the database.
//!
//! The latest are asked for, and ids come one after the other: so each has a place that follows from it, and takes
//! it from the one that came so many ids before. To keep those that are used most would cost every hold as much as
//! its decision.

use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sale::{HoldId, OrderId, ProductId};

/// How many are remembered.
const PLACES: usize = 1 << 18;
/// How many of them are made room for at once: 64 KiB.
const BLOCK: usize = 1 << 12;

/// What has an id, and belongs to a product.
pub(super) trait Routed: Copy {
    /// Its id, which is not 0.
    fn number(self) -> u64;
}

impl Routed for HoldId {
    fn number(self) -> u64 {
        self.0
    }
}

impl Routed for OrderId {
    fn number(self) -> u64 {
        self.0
    }
}

/// The products of ids.
#[derive(Debug)]
pub(super) struct Routes<Id> {
    /// Places, by blocks: one that nobody has needed takes no memory.
    blocks: Mutex<Box<[Option<Block>]>>,
    ids: PhantomData<fn(Id)>,
}

/// Ids, each with its product; 0 where there is none.
type Block = Box<[(u64, ProductId)]>;

impl<Id: Routed> Routes<Id> {
    /// None yet.
    pub(super) fn new() -> Self {
        Self::with_blocks(PLACES / BLOCK)
    }

    fn with_blocks(count: usize) -> Self {
        Self { blocks: Mutex::new(vec![None; count].into_boxed_slice()), ids: PhantomData }
    }

    /// The product of `id`, if it is remembered.
    pub(super) fn get(&self, id: Id) -> Option<ProductId> {
        let blocks = self.lock();
        let (block, place) = place(id.number(), blocks.len());
        let (known, product_id) = *blocks.get(block)?.as_ref()?.get(place)?;
        (known == id.number()).then_some(product_id)
    }

    /// Remembers them.
    pub(super) fn insert(&self, routes: impl IntoIterator<Item = (Id, ProductId)>) {
        let mut blocks = self.lock();
        let count = blocks.len();
        for (id, product_id) in routes {
            let (block, place) = place(id.number(), count);
            let Some(block) = blocks.get_mut(block) else { continue };
            let block = block.get_or_insert_with(|| vec![(0, ProductId(0)); BLOCK].into_boxed_slice());
            if let Some(place) = block.get_mut(place) {
                *place = (id.number(), product_id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Box<[Option<Block>]>> {
        // A place is written at once.
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The block of an id, of `count`, and its place there.
fn place(id: u64, count: usize) -> (usize, usize) {
    let index = usize::try_from(id % (count.max(1) * BLOCK) as u64).unwrap_or_default();
    (index / BLOCK, index % BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let places = 2 * BLOCK as u64;
        let routes = Routes::with_blocks(2);
        assert_eq!(routes.get(HoldId(5)), None);
        routes.insert((1..=places + 150).map(|id| (HoldId(id), ProductId(id / 7))));
        for id in 1..=places + 150 {
            assert_eq!(routes.get(HoldId(id)), (id > 150).then_some(ProductId(id / 7)), "{id}");
        }
        routes.insert([(HoldId(3), ProductId(9))]);
        assert_eq!((routes.get(HoldId(3)), routes.get(HoldId(places + 3))), (Some(ProductId(9)), None));
    }

    #[test]
    fn no_id_is_taken_for_another() {
        let routes = Routes::<OrderId>::new();
        routes.insert([(OrderId(7), ProductId(1))]);
        for other in [1, 8, 7 + PLACES as u64, 7 * PLACES as u64] {
            assert_eq!(routes.get(OrderId(other)), None);
        }
        assert_eq!(routes.get(OrderId(7)), Some(ProductId(1)));
    }
}
