//! The rows that a sale keeps: products, holds, orders, payment events, movements.
//!
//! These are the stored facts. What the API shows of them (money as text, a hold that the clock has
//! ended) is made at the edge.

use crate::values::{HoldId, Key, Money, OrderId, ProductId, Quantity, Timestamp};

/// The part of a product's row that the rules read and change; its lock is the lock of the product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Names the product.
    pub id: ProductId,
    /// The price of one unit.
    pub price: Money,
    /// Whether new holds are taken.
    pub status: ProductStatus,
    /// Physical units not yet sold to an order.
    pub stock_available: u64,
    /// Units of `stock_available` that active holds keep.
    pub stock_reserved: u64,
    /// The number of the product's last movement (I6).
    pub movement_seq: u64,
    /// When this row last changed; the product's clock is never before it.
    pub updated_at: Timestamp,
}

impl Product {
    /// Units that no active hold keeps, as stored: `stock_available - stock_reserved`. 0 if I1 is broken.
    pub fn free(&self) -> u64 {
        self.stock_available.saturating_sub(self.stock_reserved)
    }
}

/// Whether a product takes new holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProductStatus {
    /// It does.
    OnSale,
    /// It does not; holds and orders that exist go on.
    Suspended {
        /// Why, for operators.
        reason: String,
    },
}

/// A reservation with a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Names the hold.
    pub id: HoldId,
    /// The product whose units it keeps.
    pub product_id: ProductId,
    /// How many.
    pub quantity: Quantity,
    /// What became of it, as stored.
    pub status: HoldStatus,
    /// When it was placed.
    pub created_at: Timestamp,
    /// A whole second. The hold lives while now < `expires_at`.
    pub expires_at: Timestamp,
    /// The caller's idempotency key.
    pub key: Option<Key>,
}

impl Hold {
    /// Whether it is active as stored, but its deadline has come: it keeps no units.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.status == HoldStatus::Active && now >= self.expires_at
    }
}

/// What became of a hold, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldStatus {
    /// It keeps its units, if its deadline has not come.
    Active,
    /// It became an order.
    Redeemed {
        /// The one order that it became.
        order_id: OrderId,
    },
    /// Its units went back.
    Released {
        /// When; for an expired hold its `expires_at`.
        at: Timestamp,
        /// Why.
        reason: ReleaseReason,
        /// The order that it was, if that was cancelled.
        order_id: Option<OrderId>,
    },
}

/// Why a hold was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReleaseReason {
    /// Its deadline came.
    Expired,
    /// The customer gave it back.
    GivenBack,
    /// The payment of its order failed.
    PaymentFailed,
    /// Its order was not paid in its payment window.
    PaymentOverdue,
}

/// A sale of the units of one hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Names the order.
    pub id: OrderId,
    /// The hold that it redeemed.
    pub hold_id: HoldId,
    /// The product that is sold.
    pub product_id: ProductId,
    /// How many units.
    pub quantity: Quantity,
    /// The price of all units together, at the time of the order.
    pub total_amount: Money,
    /// How far the payment is.
    pub status: OrderStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub updated_at: Timestamp,
    /// When its payment window is over.
    pub payment_deadline: Timestamp,
    /// The caller's idempotency key.
    pub key: Option<Key>,
}

/// How far the payment of an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderStatus {
    /// No final news yet.
    PendingPayment,
    /// Paid; final.
    Paid,
    /// Cancelled, its units went back; final.
    Cancelled,
}

/// What the provider says of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentStatus {
    /// The money is there.
    Success,
    /// The money will not come.
    Failure,
    /// No news yet.
    Pending,
}

/// One accepted delivery of the provider's webhook. Final news (not `Pending`) uses up its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentEvent {
    /// Names the event.
    pub key: Key,
    /// The order that it is about.
    pub order_id: OrderId,
    /// What it says.
    pub status: PaymentStatus,
    /// What it did.
    pub effect: PaymentEffect,
    /// When it took effect.
    pub received_at: Timestamp,
}

/// What a payment event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaymentEffect {
    /// The order is paid.
    Paid,
    /// The order is cancelled and its units are back.
    Cancelled,
    /// The order was final already, or the news was `Pending`.
    NoEffect,
    /// Money was taken for an order that is cancelled: a person must pay it back.
    RefundRequired,
}

/// One row of a product's append-only ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Whose ledger.
    pub product_id: ProductId,
    /// From 1 up without a gap (I6).
    pub seq: u64,
    /// What happened.
    pub kind: MovementKind,
    /// The change of `stock_available`.
    pub available_change: i64,
    /// The change of `stock_reserved`.
    pub reserved_change: i64,
    /// `stock_available` after it.
    pub stock_available: u64,
    /// `stock_reserved` after it.
    pub stock_reserved: u64,
    /// The hold that moved, if one did.
    pub hold_id: Option<HoldId>,
    /// The order that was made or cancelled, if one was.
    pub order_id: Option<OrderId>,
    /// When.
    pub at: Timestamp,
}

/// Why units moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MovementKind {
    /// The product was made with its first stock.
    Stocked,
    /// An operator changed the stock.
    Restocked,
    /// A hold was placed.
    HoldPlaced,
    /// A hold was given back.
    HoldGivenBack,
    /// A hold's deadline came.
    HoldExpired,
    /// A hold became an order.
    HoldRedeemed,
    /// The payment of an order failed.
    PaymentFailed,
    /// An order was not paid in its window.
    PaymentOverdue,
}
