//! What came back to a request, as far as it says anything.
//!
//! Field names are short in the file, since there are millions of them. What does not belong here: how an answer is
//! read (that is in `api`), and what follows from it (that is the checker's).

use serde::{Deserialize, Serialize};

/// What came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// 201 to a hold.
    Held {
        /// Its id.
        #[serde(rename = "h")]
        hold: u64,
        /// Its deadline on the server's clock, in microseconds since 1970.
        #[serde(rename = "x")]
        expires_at: i64,
        /// Whether the server said that it had answered before (`Idempotent-Replayed`).
        #[serde(rename = "y", default, skip_serializing_if = "std::ops::Not::not")]
        replayed: bool,
        /// A hash of the body's bytes.
        #[serde(rename = "b")]
        body: u64,
    },
    /// 204 to a release.
    Released,
    /// 201 to an order.
    Ordered {
        /// What it shows.
        #[serde(rename = "v")]
        order: OrderView,
        /// Whether the server said that it had answered before.
        #[serde(rename = "y", default, skip_serializing_if = "std::ops::Not::not")]
        replayed: bool,
        /// A hash of the body's bytes.
        #[serde(rename = "b")]
        body: u64,
    },
    /// 200 to a webhook.
    Accepted,
    /// 200 to a read of a product.
    Product(ProductView),
    /// 200 to a read of a hold.
    Hold(HoldView),
    /// 200 to a read of an order.
    Order(OrderView),
    /// A refusal of the documented shape, after which nothing was changed by this request.
    Refused {
        /// The status code.
        #[serde(rename = "t")]
        status: u16,
        /// The documented code.
        #[serde(rename = "e")]
        code: Code,
        /// The units that `insufficient_stock` says there are.
        #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
        available: Option<u64>,
        /// The order that `hold_already_redeemed` names.
        #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
        order: Option<u64>,
    },
    /// Nothing that says what was done: perhaps it was, or is yet to be.
    Unknown {
        /// Why nothing is known.
        #[serde(rename = "w")]
        why: Why,
        /// The status code, if there was one.
        #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
}

impl Outcome {
    /// The status code, if one came.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Held { .. } | Self::Ordered { .. } => Some(201),
            Self::Released => Some(204),
            Self::Accepted | Self::Product(_) | Self::Hold(_) | Self::Order(_) => Some(200),
            Self::Refused { status, .. } => Some(*status),
            Self::Unknown { status, .. } => *status,
        }
    }

    /// Whether it counts as an error for thresholds: 5xx, cut connections, time-outs and answers that are
    /// not documented, never a documented refusal, nor an answer that the client itself threw away.
    pub const fn is_error(&self) -> bool {
        match self {
            Self::Unknown { why: Why::Lost, .. } => false,
            Self::Unknown { .. } => true,
            Self::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }
}

/// Why an outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// No connection was made. It cannot have been carried out.
    NotSent,
    /// The client waited as long as it was told to.
    TimedOut,
    /// The connection broke, or the answer was not whole.
    Cut,
    /// The client threw the answer away unread, as one whose connection breaks would.
    Lost,
    /// The server said `outcome_unknown`.
    OutcomeUnknown,
    /// An answer that is not of the documented shape: a gateway's page, another status, other fields.
    Undocumented,
}

/// The documented codes of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the API, which documents them")]
pub enum Code {
    InvalidJson,
    MissingIdempotencyKey,
    BadRequest,
    Unauthorized,
    NotFound,
    MethodNotAllowed,
    BodyTooLarge,
    UnsupportedMediaType,
    InsufficientStock,
    ProductSuspended,
    HoldExpired,
    HoldReleased,
    HoldAlreadyRedeemed,
    PaymentKeyConflict,
    ValidationFailed,
    IdempotencyKeyReused,
    RateLimited,
    Internal,
    Overloaded,
    DatabaseUnavailable,
}

/// A product, as read. Signed and wide, since a faulty server may show anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductView {
    /// `available_stock`: what a new hold may take.
    #[serde(rename = "f")]
    pub free: i64,
    /// `stock_available`.
    #[serde(rename = "v")]
    pub available: i64,
    /// `stock_reserved`.
    #[serde(rename = "r")]
    pub reserved: i64,
    /// Whether its status is `suspended`.
    #[serde(rename = "u", default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
}

/// A hold, as read. Times are the server's, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// Its product.
    #[serde(rename = "p")]
    pub product: u64,
    /// Its units.
    #[serde(rename = "q")]
    pub quantity: i64,
    /// Its status.
    #[serde(rename = "t")]
    pub status: HoldStatus,
    /// The order it was redeemed into.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub order: Option<u64>,
    /// When it was placed.
    #[serde(rename = "m")]
    pub created_at: i64,
    /// Its deadline.
    #[serde(rename = "x")]
    pub expires_at: i64,
}

/// Where a hold is, with the reason if it was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldStatus {
    /// It keeps its units.
    Active,
    /// It became an order.
    Redeemed,
    /// Its time ran out.
    Expired,
    /// It was given back.
    GivenBack,
    /// The payment of its order failed.
    PaymentFailed,
    /// Its order was not paid in time.
    PaymentOverdue,
}

/// An order, as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderView {
    /// Its id.
    #[serde(rename = "d")]
    pub order: u64,
    /// Its hold.
    #[serde(rename = "h")]
    pub hold: u64,
    /// Its units.
    #[serde(rename = "q")]
    pub quantity: i64,
    /// Its status.
    #[serde(rename = "t")]
    pub status: OrderStatus,
}

/// Where an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// It waits for its payment.
    PendingPayment,
    /// It was paid: final.
    Paid,
    /// It was not, and its units are free again: final.
    Cancelled,
}
