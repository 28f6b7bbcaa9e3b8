//! What customers and the payment provider ask of the engine: which product a request belongs to, whether
//! it is worth a lock, its command, and what its outcome means.
//!
//! What does not belong here: what becomes of a command once it is queued (`queue`, `worker`).

use sale::{
    Command, Hold, HoldId, Key, Order, OrderId, Outcome, PaymentEffect, PaymentEvent, PaymentStatus, ProductId,
    ProductStatus, Quantity, Refusal,
};
use tokio::time::Instant;

use super::tally::{tally, watch};
use super::ticket::{KeyName, Left, Waited};
use super::waiting::Class;
use super::{Engine, Overload, Payment, Placed, Rejection, StockQuery};
use crate::telemetry::labels::{HoldOutcome, OrderOutcome, PaymentOutcome};

impl Engine {
    /// Keeps units for a customer.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn place_hold(
        &self,
        product_id: ProductId,
        quantity: Quantity,
        key: Option<Key>,
        deadline: Instant,
    ) -> Result<Placed<Hold>, Rejection> {
        let open = tally(&self.shared.metrics, &self.shared.metrics.holds);
        let placed = self.try_place_hold(product_id, quantity, key, deadline).await;
        open.ended_as(placed, |placed| if placed.replayed { HoldOutcome::Replayed } else { HoldOutcome::Placed })
    }

    async fn try_place_hold(
        &self,
        product_id: ProductId,
        quantity: Quantity,
        key: Option<Key>,
        deadline: Instant,
    ) -> Result<Placed<Hold>, Rejection> {
        let limit = self.terms().max_qty_per_hold;
        if quantity.get() > limit && key.is_none() {
            return Err(Rejection::Refused(Refusal::QuantityOverLimit { limit }));
        }
        if self.shared.health.is_cut_off() {
            return Err(Rejection::DatabaseUnavailable);
        }
        self.shared.queue.admits_hold(product_id).map_err(|rejection| self.blamed(rejection))?;
        if !self.is_worth_queueing(product_id, quantity) {
            self.refuse_if_sold_out(product_id, quantity, key.as_ref(), deadline).await?;
        }
        let command = Command::PlaceHold { hold_id: HoldId(0), product_id, quantity, key };
        match self.run(product_id, command, Class::Hold, deadline).await {
            Ok(Outcome::HoldPlaced { hold, replayed }) => Ok(Placed { row: hold, replayed }),
            Ok(outcome) => Err(unexpected(&outcome)),
            Err(rejection) => {
                if let Rejection::Refused(Refusal::ProductSuspended) | Rejection::Inconsistent = rejection {
                    self.shared.learn_suspended(product_id);
                }
                Err(rejection)
            }
        }
    }

    fn is_worth_queueing(&self, product_id: ProductId, quantity: Quantity) -> bool {
        self.shared.hint(product_id).is_some_and(|free| free >= quantity.units())
    }

    /// Asks the database, in the query that all who wait for this product share, whether a hold has a
    /// chance. It is refused without a lock only if the units were really not there at that moment
    /// (I8), and no hold of its key exists or is being made.
    async fn refuse_if_sold_out(
        &self,
        product_id: ProductId,
        quantity: Quantity,
        key: Option<&Key>,
        deadline: Instant,
    ) -> Result<(), Rejection> {
        if key.is_some_and(|key| self.shared.queue.is_at_work(&KeyName::Hold(key.clone()))) {
            return Ok(());
        }
        let query = StockQuery { product_id, key: key.cloned() };
        let Some((stock, key_known)) = self.read(deadline, self.stocks.get(query)).await? else {
            return Err(Rejection::Refused(Refusal::ProductUnknown));
        };
        self.shared.learn_stock(product_id, &stock);
        if key_known || quantity.get() > self.terms().max_qty_per_hold {
            return Ok(());
        }
        if stock.status != ProductStatus::OnSale {
            return Err(Rejection::Refused(Refusal::ProductSuspended));
        }
        if stock.free() < quantity.units() {
            return Err(Rejection::Refused(Refusal::InsufficientStock { available: stock.free() }));
        }
        Ok(())
    }

    /// Gives a hold's units back; fine if they were back already.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn give_back_hold(&self, hold_id: HoldId, deadline: Instant) -> Result<(), Rejection> {
        let open = watch(&self.shared.metrics);
        open.ended(self.try_give_back_hold(hold_id, deadline).await)
    }

    async fn try_give_back_hold(&self, hold_id: HoldId, deadline: Instant) -> Result<(), Rejection> {
        let product_id = self.route_of_hold(hold_id, deadline).await?;
        match self.run(product_id, Command::GiveBackHold { hold_id }, Class::Money, deadline).await? {
            Outcome::HoldGivenBack { .. } => Ok(()),
            outcome => Err(unexpected(&outcome)),
        }
    }

    /// Makes a hold an order. A replayed order is as it is stored: its first answer showed it pending,
    /// updated when it was created.
    ///
    /// # Errors
    /// As [`Rejection`] says.
    pub async fn redeem_hold(
        &self,
        hold_id: HoldId,
        key: Option<Key>,
        deadline: Instant,
    ) -> Result<Placed<Order>, Rejection> {
        let open = tally(&self.shared.metrics, &self.shared.metrics.orders);
        let placed = self.try_redeem_hold(hold_id, key, deadline).await;
        open.ended_as(placed, |placed| if placed.replayed { OrderOutcome::Replayed } else { OrderOutcome::Placed })
    }

    async fn try_redeem_hold(
        &self,
        hold_id: HoldId,
        key: Option<Key>,
        deadline: Instant,
    ) -> Result<Placed<Order>, Rejection> {
        let product_id = self.route_of_hold(hold_id, deadline).await?;
        let command = Command::RedeemHold { hold_id, order_id: OrderId(0), key };
        match self.run(product_id, command, Class::Money, deadline).await? {
            Outcome::OrderPlaced { order, replayed } => Ok(Placed { row: order, replayed }),
            outcome => Err(unexpected(&outcome)),
        }
    }

    /// Whether this order is known: the check of a webhook's fields, before its command.
    ///
    /// # Errors
    /// If the database did not answer before `deadline`.
    pub async fn knows_order(&self, order_id: OrderId, deadline: Instant) -> Result<bool, Rejection> {
        let open = watch(&self.shared.metrics);
        match open.ended(self.route_of_order(order_id, deadline).await) {
            Ok(_) => Ok(true),
            Err(Rejection::Refused(Refusal::OrderUnknown)) => Ok(false),
            Err(rejection) => Err(rejection),
        }
    }

    /// Takes news of a payment.
    ///
    /// # Errors
    /// As [`Rejection`] says; `OrderUnknown` if the order is gone under the lock.
    pub async fn settle_payment(
        &self,
        key: Key,
        order_id: OrderId,
        status: PaymentStatus,
        deadline: Instant,
    ) -> Result<Payment, Rejection> {
        let metrics = &self.shared.metrics;
        let open = tally(metrics, &metrics.payment_events);
        let payment = self.try_settle_payment(key, order_id, status, deadline).await;
        let payment = open.ended_as(payment, |payment| match payment {
            Payment { repeated: true, .. } => PaymentOutcome::Repeated,
            Payment { event, .. } => event.effect.into(),
        });
        if let Ok(Payment { event: PaymentEvent { effect: PaymentEffect::RefundRequired, .. }, repeated: false }) =
            &payment
        {
            metrics.refunds_required.inc();
        }
        payment
    }

    async fn try_settle_payment(
        &self,
        key: Key,
        order_id: OrderId,
        status: PaymentStatus,
        deadline: Instant,
    ) -> Result<Payment, Rejection> {
        let product_id = self.route_of_order(order_id, deadline).await?;
        let command = Command::SettlePayment { key, order_id, status };
        match self.run(product_id, command, Class::Money, deadline).await? {
            Outcome::PaymentTaken { event, repeated } => Ok(Payment { event, repeated }),
            outcome => Err(unexpected(&outcome)),
        }
    }

    async fn route_of_hold(&self, id: HoldId, deadline: Instant) -> Result<ProductId, Rejection> {
        if let Some(product_id) = self.shared.hold_routes.get(id) {
            return Ok(product_id);
        }
        match self.read(deadline, self.holds.get_for_money(id)).await? {
            Some((hold, _)) => {
                self.shared.hold_routes.insert([(id, hold.product_id)]);
                Ok(hold.product_id)
            }
            None => Err(Rejection::Refused(Refusal::HoldUnknown)),
        }
    }

    async fn route_of_order(&self, id: OrderId, deadline: Instant) -> Result<ProductId, Rejection> {
        if let Some(product_id) = self.shared.order_routes.get(id) {
            return Ok(product_id);
        }
        match self.read(deadline, self.orders.get_for_money(id)).await? {
            Some(order) => {
                self.shared.order_routes.insert([(id, order.product_id)]);
                Ok(order.product_id)
            }
            None => Err(Rejection::Refused(Refusal::OrderUnknown)),
        }
    }

    /// Queues a command and waits for its outcome.
    pub(super) async fn run(
        &self,
        product_id: ProductId,
        command: Command,
        class: Class,
        deadline: Instant,
    ) -> Result<Outcome, Rejection> {
        if !self.shared.health.admits_write() {
            return Err(Rejection::DatabaseUnavailable);
        }
        let queued = self.shared.queue_command(product_id, command, class, Some(deadline));
        let caller = queued.map_err(|rejection| self.blamed(rejection))?;
        match caller.wait(Some(deadline)).await {
            Waited::Answered(Ok(Outcome::Refused(refusal))) => Err(Rejection::Refused(refusal)),
            Waited::Answered(answer) => answer,
            Waited::Left(Left::Undecided) => Err(Rejection::OutcomeUnknown),
            Waited::Left(Left::Withdrawn) if self.shared.health.is_failing() => Err(Rejection::DatabaseUnavailable),
            Waited::Left(Left::Withdrawn) => Err(Rejection::TimedOut),
        }
    }

    /// A queue that is slow because the database says nothing is the database's fault.
    fn blamed(&self, rejection: Rejection) -> Rejection {
        match rejection {
            Rejection::Overloaded(Overload::QueueSlow { .. }) if self.shared.health.is_failing() => {
                Rejection::DatabaseUnavailable
            }
            rejection => rejection,
        }
    }
}

/// An outcome that does not belong to its command is a bug.
pub(super) fn unexpected(outcome: &Outcome) -> Rejection {
    tracing::error!(?outcome, "an outcome does not belong to its command");
    Rejection::Internal
}
