//! One line of a history: a request with its answer.
//!
//! Field names are short in the file, since there are millions of them. What does not belong here: what an answer
//! can be (that is `outcome`), and what happens besides requests (that is `mark`).

use serde::{Deserialize, Serialize};

use super::{Moment, Outcome};

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
