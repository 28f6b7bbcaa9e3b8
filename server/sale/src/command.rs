//! What can be asked of a sale, and what it can answer.
//!
//! Ids of rows that a command may make are in the command: they are reserved before, so that a
//! batch whose commit has an unknown outcome can be decided again with the same ids.

use crate::rows::{Hold, Order, PaymentEvent, PaymentStatus, Product};
use crate::values::{HoldId, Key, OrderId, ProductId, Quantity, Timestamp};

/// The settings that the rules depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a hold lives, in seconds, from 1 up.
    pub hold_ttl_seconds: u32,
    /// How long an order waits for its payment, in seconds, from 1 up.
    pub payment_window_seconds: u32,
    /// The most units of one hold.
    pub max_qty_per_hold: u32,
}

/// One thing to do to one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Keep units for a customer.
    PlaceHold {
        /// The id of the hold, if it is made.
        hold_id: HoldId,
        /// Of what.
        product_id: ProductId,
        /// How many units.
        quantity: Quantity,
        /// The caller's idempotency key.
        key: Option<Key>,
    },
    /// Give a hold's units back.
    GiveBackHold {
        /// Which hold.
        hold_id: HoldId,
    },
    /// Make a hold an order.
    RedeemHold {
        /// Which hold.
        hold_id: HoldId,
        /// The id of the order, if it is made.
        order_id: OrderId,
        /// The caller's idempotency key.
        key: Option<Key>,
    },
    /// Take news of a payment.
    SettlePayment {
        /// Names the event.
        key: Key,
        /// Which order.
        order_id: OrderId,
        /// What the provider says.
        status: PaymentStatus,
    },
    /// Release the loaded holds whose deadline has come.
    ExpireHolds {
        /// Of which product.
        product_id: ProductId,
    },
    /// Cancel the loaded orders whose payment window is over. Decided after all other commands of
    /// its batch, so that a payment that gets there first counts.
    CancelUnpaidOrders {
        /// Of which product.
        product_id: ProductId,
    },
    /// Change the physical stock.
    Restock {
        /// Of which product.
        product_id: ProductId,
        /// Units to add; negative: to take away.
        change: i64,
    },
    /// Take no new holds.
    Suspend {
        /// Of which product.
        product_id: ProductId,
        /// Why, for operators.
        reason: String,
    },
    /// Take new holds again.
    Resume {
        /// Of which product.
        product_id: ProductId,
    },
}

/// The answer to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The hold exists. A replayed hold may have ended since; the first answer is still its answer.
    HoldPlaced {
        /// The hold.
        hold: Hold,
        /// Whether an earlier request with the same key made it.
        replayed: bool,
    },
    /// The hold's units are back.
    HoldGivenBack {
        /// Whether they were before this command.
        already: bool,
    },
    /// The order exists.
    OrderPlaced {
        /// The order, as stored: a replayed one may be paid or cancelled since.
        order: Order,
        /// Whether an earlier request with the same key made it.
        replayed: bool,
    },
    /// The event was taken.
    PaymentTaken {
        /// The event as recorded; of a repeated one, the first.
        event: PaymentEvent,
        /// Whether it was recorded before.
        repeated: bool,
    },
    /// The due holds that were loaded are released.
    HoldsExpired {
        /// How many holds.
        holds: u64,
        /// How many units they kept.
        units: u64,
        /// What is left to do, and when.
        next: NextDue,
    },
    /// The unpaid orders that were loaded are cancelled.
    OrdersCancelled {
        /// Which.
        orders: Vec<OrderId>,
        /// What is left to do, and when.
        next: NextDue,
    },
    /// The product after an operator's command.
    ProductChanged(Product),
    /// A rule said no. Nothing was changed for this command.
    Refused(Refusal),
    /// So many due holds had to be released first that not all were loaded. Those that were are
    /// released: ask again.
    Deferred,
}

/// When a product has due work next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextDue {
    /// At once: there was more than was loaded.
    Now,
    /// At this moment of the product's clock, whose reading is `now`.
    At {
        /// When.
        deadline: Timestamp,
        /// The clock when this was decided.
        now: Timestamp,
    },
    /// Nothing is waiting.
    Never,
}

/// The rule that said no. The order is that of precedence within one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such product.
    ProductUnknown,
    /// There is no such hold.
    HoldUnknown,
    /// There is no such order.
    OrderUnknown,
    /// The idempotency key was used with another body.
    KeyReused,
    /// The payment key was used with other news.
    PaymentKeyConflict,
    /// More units than one hold may have.
    QuantityOverLimit {
        /// The most units of one hold.
        limit: u32,
    },
    /// The stock would be more than can be counted.
    StockOverLimit,
    /// The product takes no new holds.
    ProductSuspended,
    /// The units are not there.
    InsufficientStock {
        /// Units that were free at that moment.
        available: u64,
    },
    /// The hold is an order already.
    HoldAlreadyRedeemed {
        /// Which order.
        order_id: OrderId,
    },
    /// The hold's deadline has come.
    HoldExpired,
    /// The hold's units went back for another reason.
    HoldReleased,
}
