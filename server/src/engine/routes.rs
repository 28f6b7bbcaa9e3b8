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
    /// An id with that of its product; 0 where there is none. Plain numbers: then a table that is empty takes no memory.
    places: Mutex<Box<[(u64, u64)]>>,
    ids: PhantomData<fn(Id)>,
}

impl<Id: Routed> Routes<Id> {
    /// None yet.
    pub(super) fn new() -> Self {
        Self::with_places(PLACES)
    }

    fn with_places(count: usize) -> Self {
        Self { places: Mutex::new(vec![(0, 0); count].into_boxed_slice()), ids: PhantomData }
    }

    /// The product of `id`, if it is remembered.
    pub(super) fn get(&self, id: Id) -> Option<ProductId> {
        let places = self.lock();
        let (known, product_id) = *places.get(place(id.number(), places.len()))?;
        (known == id.number()).then_some(ProductId(product_id))
    }

    /// Remembers them.
    pub(super) fn insert(&self, routes: impl IntoIterator<Item = (Id, ProductId)>) {
        let mut places = self.lock();
        let count = places.len();
        for (id, product_id) in routes {
            if let Some(place) = places.get_mut(place(id.number(), count)) {
                *place = (id.number(), product_id.0);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Box<[(u64, u64)]>> {
        // A place is written at once.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(id: u64, count: usize) -> usize {
    usize::try_from(id % count.max(1) as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered() {
        let routes = Routes::with_places(100);
        assert_eq!(routes.get(HoldId(5)), None);
        routes.insert((1..=250).map(|id| (HoldId(id), ProductId(id / 7))));
        for id in 1..=250 {
            assert_eq!(routes.get(HoldId(id)), (id > 150).then_some(ProductId(id / 7)), "{id}");
        }
        routes.insert([(HoldId(3), ProductId(9))]);
        assert_eq!((routes.get(HoldId(3)), routes.get(HoldId(203))), (Some(ProductId(9)), None));
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
