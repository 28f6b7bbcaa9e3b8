//! What a scenario's clients have open: holds and orders by their answers, and requests whose outcome
//! nobody knows.
//!
//! It is for those who settle and clean up, never for those who judge: they have the history.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::history::{Code, HoldStatus, News, Operation, OrderStatus, Outcome, Why};

/// Holds and orders that may be open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Holds.
    pub holds: Vec<u64>,
    /// Orders.
    pub orders: Vec<u64>,
}

impl Left {
    /// Puts what another scenario left to it.
    pub fn add(&mut self, other: Self) {
        self.holds.extend(other.holds);
        self.orders.extend(other.orders);
    }
}

#[derive(Debug, Default)]
struct Pages {
    /// Whether each hold may be active.
    holds: BTreeMap<u64, bool>,
    /// Whether each order may wait for its payment.
    orders: BTreeMap<u64, bool>,
    unresolved: HashSet<Operation>,
}

/// Kept by all clients of a scenario.
#[derive(Debug, Default)]
pub struct Book {
    pages: Mutex<Pages>,
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes down what an answer means for what is open.
    pub fn enter(&self, operation: &Operation, outcome: &Outcome) {
        let mut pages = self.pages();
        if let Outcome::Unknown { why, .. } = outcome {
            if *why != Why::NotSent && !is_read(operation) {
                pages.unresolved.insert(*operation);
            }
            return;
        }
        if is_final(outcome) && !is_read(operation) {
            pages.unresolved.remove(operation);
        }
        match (operation, outcome) {
            (_, Outcome::Held { hold, .. }) => {
                pages.holds.entry(*hold).or_insert(true);
            }
            (_, Outcome::Ordered { order, .. }) => {
                pages.holds.insert(order.hold, false);
                pages.orders.entry(order.order).or_insert(order.status == OrderStatus::PendingPayment);
            }
            (
                Operation::PlaceOrder { hold, .. } | Operation::ReleaseHold { hold },
                Outcome::Refused { code: Code::HoldAlreadyRedeemed, order: Some(order), .. },
            ) => {
                pages.holds.insert(*hold, false);
                pages.orders.entry(*order).or_insert(true);
            }
            (Operation::ReleaseHold { hold }, Outcome::Released)
            | (
                Operation::PlaceOrder { hold, .. },
                Outcome::Refused { code: Code::HoldExpired | Code::HoldReleased, .. },
            ) => {
                pages.holds.insert(*hold, false);
            }
            (Operation::Webhook { order, news: News::Success | News::Failure, .. }, Outcome::Accepted) => {
                pages.orders.insert(*order, false);
            }
            (Operation::ReadHold { hold }, Outcome::Hold(view)) => {
                pages.holds.insert(*hold, view.status == HoldStatus::Active);
                if let Some(order) = view.order {
                    pages.orders.entry(order).or_insert(view.status == HoldStatus::Redeemed);
                }
            }
            (Operation::ReadOrder { order }, Outcome::Order(view)) => {
                pages.orders.insert(*order, view.status == OrderStatus::PendingPayment);
            }
            _ => {}
        }
    }

    /// Requests that may have changed something, or may yet.
    pub fn unresolved(&self) -> Vec<Operation> {
        self.pages().unresolved.iter().copied().collect()
    }

    /// What may be open.
    pub fn left(&self) -> Left {
        let pages = self.pages();
        let open = |map: &BTreeMap<u64, bool>| map.iter().filter(|(_, open)| **open).map(|(id, _)| *id).collect();
        Left { holds: open(&pages.holds), orders: open(&pages.orders) }
    }

    /// Every hold that was ever answered, in order.
    pub fn holds(&self) -> BTreeSet<u64> {
        self.pages().holds.keys().copied().collect()
    }

    /// Every order that was ever answered, in order.
    pub fn orders(&self) -> BTreeSet<u64> {
        self.pages().orders.keys().copied().collect()
    }
}

fn is_read(operation: &Operation) -> bool {
    matches!(operation, Operation::ReadHold { .. } | Operation::ReadOrder { .. } | Operation::ReadProduct { .. })
}

/// Whether asking again would get the same answer: a refusal for now says nothing of what was sent before.
pub(super) fn is_final(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Unknown { .. } => false,
        Outcome::Refused { status, .. } => *status < 500 && *status != 429,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Key, OrderView};

    const HOLD: Operation = Operation::PlaceHold { product: 1, quantity: 1, key: Key(1) };
    const ORDER: Operation = Operation::PlaceOrder { hold: 5, key: Key(2) };

    fn held() -> Outcome {
        Outcome::Held { hold: 5, expires_at: 0, replayed: false, body: 0 }
    }

    fn refused(status: u16, code: Code) -> Outcome {
        Outcome::Refused { status, code, available: None, order: None }
    }

    #[test]
    fn a_hold_is_open_until_it_is_released_or_an_order() {
        let book = Book::default();
        book.enter(&HOLD, &held());
        assert_eq!(book.left(), Left { holds: vec![5], orders: vec![] });
        let order = OrderView { order: 9, hold: 5, quantity: 1, status: OrderStatus::PendingPayment };
        book.enter(&ORDER, &Outcome::Ordered { order, replayed: false, body: 0 });
        assert_eq!(book.left(), Left { holds: vec![], orders: vec![9] });
        book.enter(&HOLD, &held());
        assert_eq!(book.left().holds, [0; 0], "a replay opens nothing");
        let event = |news| Operation::Webhook { key: Key(3), order: 9, news };
        book.enter(&event(News::Pending), &Outcome::Accepted);
        assert_eq!(book.left().orders, [9]);
        book.enter(&event(News::Failure), &Outcome::Accepted);
        assert_eq!(book.left(), Left::default());
        assert_eq!((book.holds().len(), book.orders().len()), (1, 1));
    }

    #[test]
    fn what_nobody_knows_is_unresolved_until_somebody_does() {
        let book = Book::default();
        let unknown = |why| Outcome::Unknown { why, status: None };
        book.enter(&HOLD, &unknown(Why::NotSent));
        book.enter(&Operation::ReadOrder { order: 1 }, &unknown(Why::Cut));
        assert_eq!(book.unresolved(), []);
        book.enter(&HOLD, &unknown(Why::TimedOut));
        book.enter(&HOLD, &unknown(Why::TimedOut));
        book.enter(&HOLD, &refused(503, Code::Overloaded));
        assert_eq!(book.unresolved(), [HOLD], "a refusal for now does not say what became of it");
        book.enter(&HOLD, &refused(409, Code::InsufficientStock));
        assert_eq!(book.unresolved(), []);
    }
}
