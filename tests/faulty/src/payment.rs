//! What news of a payment does to an order, and what cancelling one does.
//!
//! What does not belong here: how an event is read, and its signature (`http.rs`).

use crate::fault::Fault;
use crate::problem::Problem;
use crate::rows::{Event, Hold, HoldState, News, Order, OrderState, Reason, Row};
use crate::sale::Sale;

impl Sale {
    /// Takes news of a payment. `order_field` is the name of the field that named the order.
    pub(crate) fn settle(
        &mut self,
        key: &str,
        order_id: u64,
        news: News,
        order_field: &'static str,
    ) -> Result<(), Problem> {
        let event = Event { key: key.to_owned(), order_id, news };
        let Some(order) = self.orders.get(&order_id).cloned() else {
            if self.has(Fault::RefusedEventUsesKey) {
                self.put(Row::Event(event));
            }
            return Err(Problem::unknown(order_field));
        };
        // Before the key: final news of the same key does not make this delivery another content.
        if news == News::Pending && self.pendings.contains(&(event.key.clone(), order_id)) {
            return Ok(());
        }
        if let Some(known) = self.events.get(&self.unique(&event)) {
            if (known.order_id, known.news) != (order_id, news) {
                return Err(Problem::PaymentKeyConflict);
            }
            if self.has(Fault::DuplicateAppliedTwice) && news == News::Failure {
                self.move_units(order.product_id, order.quantity, 0);
            }
            return Ok(());
        }
        match (news, order.state) {
            (News::Success, OrderState::PendingPayment) => self.set_order(order, OrderState::Paid),
            (News::Failure, OrderState::PendingPayment) => self.cancel(order_id, Reason::PaymentFailed),
            (News::Pending, OrderState::PendingPayment) if self.has(Fault::PendingApplied) => {
                self.set_order(order, OrderState::Paid);
            }
            (News::Success, OrderState::Cancelled)
                if self.has(Fault::LastWebhookWins) || self.has(Fault::LateSuccessPaysCancelled) =>
            {
                self.set_order(order, OrderState::Paid);
            }
            (News::Failure, OrderState::Paid) if self.has(Fault::LastWebhookWins) => {
                self.cancel(order_id, Reason::PaymentFailed);
            }
            (News::Failure, OrderState::Paid) if self.has(Fault::ContradictionMovesUnits) => {
                self.move_units(order.product_id, order.quantity, 0);
            }
            _ => {}
        }
        self.put(Row::Event(event));
        Ok(())
    }

    /// Remembers an event.
    pub(crate) fn apply_event(&mut self, event: Event) {
        if event.news == News::Pending && !self.has(Fault::PendingUsesKey) {
            self.pendings.insert((event.key, event.order_id));
        } else {
            self.events.insert(self.unique(&event), event);
        }
    }

    /// What must be unique about an event.
    fn unique(&self, event: &Event) -> String {
        if self.has(Fault::KeyOnTwoOrders) { format!("{} {}", event.order_id, event.key) } else { event.key.clone() }
    }

    fn set_order(&mut self, order: Order, state: OrderState) {
        self.put(Row::Order(Order { state, updated_at: self.now, ..order }));
    }

    /// Ends an order without a sale: its units go back, its hold is released for good.
    pub(crate) fn cancel(&mut self, order_id: u64, reason: Reason) {
        let Some(order) = self.orders.get(&order_id).cloned() else { return };
        if !self.has(Fault::CancelledStillCounted) {
            self.move_units(order.product_id, order.quantity, 0);
        }
        if let Some(hold) = self.holds.get(&order.hold_id).cloned() {
            let state = HoldState::Released { at: self.now, reason, order_id: Some(order_id) };
            self.put(Row::Hold(Hold { state, ..hold }));
        }
        self.set_order(order, OrderState::Cancelled);
    }
}
