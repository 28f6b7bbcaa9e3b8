//! The rows of a sale, as they are kept and journalled.
//!
//! Counters are signed, since a fault may take them below 0. What does not belong here: how rows change,
//! and how they are shown.

use serde::{Deserialize, Serialize};

/// A product with its counters, in units.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Product {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) description: String,
    /// Of one unit, in minor units of money.
    pub(crate) price: i64,
    pub(crate) suspended: bool,
    pub(crate) available: i64,
    pub(crate) reserved: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

impl Product {
    /// What a new hold may take.
    pub(crate) const fn free(&self) -> i64 {
        self.available - self.reserved
    }
}

/// Why a hold was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    Expired,
    GivenBack,
    PaymentFailed,
    PaymentOverdue,
}

/// Where a hold is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HoldState {
    Active,
    Redeemed { order_id: u64 },
    Released { at: i64, reason: Reason, order_id: Option<u64> },
}

/// A hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) id: u64,
    pub(crate) product_id: u64,
    pub(crate) quantity: i64,
    pub(crate) state: HoldState,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
    pub(crate) key: Option<String>,
}

/// Where an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderState {
    PendingPayment,
    Paid,
    Cancelled,
}

/// An order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) id: u64,
    pub(crate) hold_id: u64,
    pub(crate) product_id: u64,
    pub(crate) quantity: i64,
    /// In minor units of money.
    pub(crate) total: i64,
    pub(crate) state: OrderState,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) payment_deadline: i64,
    pub(crate) key: Option<String>,
}

/// What a payment event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum News {
    Success,
    Failure,
    Pending,
}

/// A payment event that was taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) key: String,
    pub(crate) order_id: u64,
    pub(crate) news: News,
}

/// One row that changed, as the journal keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Row {
    Product(Product),
    Hold(Hold),
    Order(Order),
    Event(Event),
}
