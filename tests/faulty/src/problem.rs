//! Every way in which a request can fail, with its status and code.
//!
//! What does not belong here: the checks themselves.

use std::borrow::Cow;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("The body is not JSON.")]
    InvalidJson,
    #[error("Missing idempotency key")]
    MissingIdempotencyKey,
    #[error("The request cannot be read.")]
    BadRequest,
    #[error("A bearer token or a signature is required.")]
    Unauthorized,
    #[error("There is nothing here.")]
    NotFound,
    #[error("The body is longer than 16 KiB.")]
    BodyTooLarge,
    #[error("The body must be sent as application/json.")]
    UnsupportedMediaType,
    #[error("The request is not valid.")]
    Validation { field: &'static str, problem: Cow<'static, str> },
    #[error("This idempotency key was used for another request.")]
    KeyReused,
    #[error("Not enough units are available.")]
    InsufficientStock { available: i64 },
    #[error("The product is suspended.")]
    ProductSuspended,
    #[error("The hold has expired.")]
    HoldExpired,
    #[error("The hold was released.")]
    HoldReleased,
    #[error("The hold was made an order before.")]
    HoldAlreadyRedeemed { order_id: u64 },
    #[error("This payment key was used for other news.")]
    PaymentKeyConflict,
    #[error("Internal Server Error")]
    Internal,
    #[error("The server is too busy; nothing was changed.")]
    Overloaded,
}

impl Problem {
    /// A field with a wrong value.
    pub(crate) fn field(field: &'static str, problem: impl Into<Cow<'static, str>>) -> Self {
        Self::Validation { field, problem: problem.into() }
    }

    /// A field that names what is not there.
    pub(crate) fn unknown(field: &'static str) -> Self {
        Self::field(field, "is unknown")
    }

    /// The status and the code that it is answered with.
    pub(crate) const fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::InvalidJson => (400, "invalid_json"),
            Self::MissingIdempotencyKey => (400, "missing_idempotency_key"),
            Self::BadRequest => (400, "bad_request"),
            Self::Unauthorized => (401, "unauthorized"),
            Self::NotFound => (404, "not_found"),
            Self::BodyTooLarge => (413, "body_too_large"),
            Self::UnsupportedMediaType => (415, "unsupported_media_type"),
            Self::Validation { .. } => (422, "validation_failed"),
            Self::KeyReused => (422, "idempotency_key_reused"),
            Self::InsufficientStock { .. } => (409, "insufficient_stock"),
            Self::ProductSuspended => (409, "product_suspended"),
            Self::HoldExpired => (409, "hold_expired"),
            Self::HoldReleased => (409, "hold_released"),
            Self::HoldAlreadyRedeemed { .. } => (409, "hold_already_redeemed"),
            Self::PaymentKeyConflict => (409, "payment_key_conflict"),
            Self::Internal => (500, "internal"),
            Self::Overloaded => (503, "overloaded"),
        }
    }
}
