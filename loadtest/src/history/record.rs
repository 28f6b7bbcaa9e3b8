//! One line of a history: a request with its answer, or a mark.
//!
//! Field names are short in the file, since there are millions of them. What does not belong here: how
//! an answer is read (that is in `api`).

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Nanoseconds since the run began, on the harness's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Nanoseconds in a second.
    pub const SECOND: u64 = 1_000_000_000;

    /// This moment, of a run that began at `began`.
    pub fn since(began: Instant) -> Self {
        Self(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// In seconds, for people.
    pub fn seconds(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "shown with a few digits only")]
        let nanoseconds = self.0 as f64;
        nanoseconds / 1e9
    }

    /// The moment `nanoseconds` later; the last one there is if that is beyond it.
    #[must_use]
    pub fn later(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }

    /// The moment `nanoseconds` earlier; the beginning if that was before it.
    #[must_use]
    pub fn earlier(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_sub(nanoseconds))
    }
}

/// A key that the harness made: what goes over the wire is `RUN-N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub u64);

/// The scenarios, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ScenarioName {
    /// N units, and far more parallel holds.
    Boundary,
    /// The funnel: hold, order, webhook, with people who change their minds.
    Rush,
    /// Webhooks and keys that come many times.
    Duplicates,
    /// Holds and orders whose time runs out.
    Expiry,
    /// Clients that lose answers and send again.
    Retries,
    /// A thousand products.
    Many,
    /// The crowd after the last unit.
    Soldout,
    /// Servers, databases and networks that fail.
    Chaos,
}

impl ScenarioName {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 8] = [
        Self::Boundary,
        Self::Rush,
        Self::Duplicates,
        Self::Expiry,
        Self::Retries,
        Self::Many,
        Self::Soldout,
        Self::Chaos,
    ];

    /// As it is written on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boundary => "boundary",
            Self::Rush => "rush",
            Self::Duplicates => "duplicates",
            Self::Expiry => "expiry",
            Self::Retries => "retries",
            Self::Many => "many",
            Self::Soldout => "soldout",
            Self::Chaos => "chaos",
        }
    }
}

impl std::fmt::Display for ScenarioName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One request, and what came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The scenario it belongs to.
    #[serde(rename = "s")]
    pub scenario: ScenarioName,
    /// The client that sent it. A client has one request under way at a time.
    #[serde(rename = "c")]
    pub client: u32,
    /// Just before it was sent.
    #[serde(rename = "i")]
    pub invoked: Moment,
    /// Just after the answer was read, or when the client gave up.
    #[serde(rename = "a")]
    pub ended: Moment,
    /// What was asked for.
    #[serde(rename = "o")]
    pub operation: Operation,
    /// What came back.
    #[serde(rename = "r")]
    pub outcome: Outcome,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `POST /api/holds`.
    PlaceHold {
        /// The product.
        #[serde(rename = "p")]
        product: u64,
        /// The units.
        #[serde(rename = "q")]
        quantity: u32,
        /// The `Idempotency-Key`.
        #[serde(rename = "k")]
        key: Key,
    },
    /// `DELETE /api/holds/{id}`.
    ReleaseHold {
        /// The hold.
        #[serde(rename = "h")]
        hold: u64,
    },
    /// `GET /api/holds/{id}`.
    ReadHold {
        /// The hold.
        #[serde(rename = "h")]
        hold: u64,
    },
    /// `POST /api/orders`.
    PlaceOrder {
        /// The hold.
        #[serde(rename = "h")]
        hold: u64,
        /// The `Idempotency-Key`.
        #[serde(rename = "k")]
        key: Key,
    },
    /// `GET /api/orders/{id}`.
    ReadOrder {
        /// The order.
        #[serde(rename = "d")]
        order: u64,
    },
    /// `POST /api/payments/webhook`.
    Webhook {
        /// The `payment_idempotency_key`.
        #[serde(rename = "k")]
        key: Key,
        /// The order.
        #[serde(rename = "d")]
        order: u64,
        /// The news.
        #[serde(rename = "n")]
        news: News,
    },
    /// `GET /api/products/{id}`.
    ReadProduct {
        /// The product.
        #[serde(rename = "p")]
        product: u64,
        /// Whether the harness has nothing under way for this product, and every outcome is resolved as far
        /// as it can be. A hint for naming a breach: the checker works out for itself what may be under way.
        #[serde(rename = "z", default, skip_serializing_if = "std::ops::Not::not")]
        at_rest: bool,
    },
}

impl Operation {
    /// The endpoint, as thresholds and tables name it.
    pub const fn endpoint(&self) -> &'static str {
        match self {
            Self::PlaceHold { .. } => "hold",
            Self::ReleaseHold { .. } => "release",
            Self::ReadHold { .. } => "read_hold",
            Self::PlaceOrder { .. } => "order",
            Self::ReadOrder { .. } => "read_order",
            Self::Webhook { .. } => "webhook",
            Self::ReadProduct { .. } => "read_product",
        }
    }

    /// All that [`Operation::endpoint`] returns.
    pub const ENDPOINTS: [&'static str; 7] =
        ["hold", "release", "read_hold", "order", "read_order", "webhook", "read_product"];
}

/// What a payment event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// It was paid.
    Success,
    /// It will not be paid.
    Failure,
    /// Nothing is decided yet.
    Pending,
}

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

/// What happened besides requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "mark")]
pub enum Mark {
    /// A scenario ran, from its first request to its last, its clean-up included.
    Scenario {
        /// Which.
        name: ScenarioName,
        /// When it began.
        began: Moment,
        /// When it ended.
        ended: Moment,
        /// Whether it came to its end. A scenario that could not do what it is for has not.
        finished: bool,
        /// What kept it from that, if anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trouble: Option<String>,
    },
    /// The harness broke something on purpose.
    Fault {
        /// What, such as `server killed`, in a few words.
        what: String,
        /// Whether all that ran on this machine as the server was killed: what was acknowledged before
        /// `began` must have outlived that.
        kills: bool,
        /// When.
        began: Moment,
        /// When it was whole again.
        ended: Moment,
    },
    /// What `holdfast audit --json` said, after the last scenario.
    Audit {
        /// Whether it ran and gave a verdict.
        ran: bool,
        /// Whether it found no breach.
        clean: bool,
        /// Its breaches, or why it did not run.
        detail: Vec<String>,
    },
    /// The run was stopped by hand.
    Interrupted {
        /// When.
        at: Moment,
    },
    /// The last line: a history without it is not whole.
    End {
        /// When.
        at: Moment,
        /// How many requests it has.
        records: u64,
    },
}
