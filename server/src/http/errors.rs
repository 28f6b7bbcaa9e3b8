//! Every way in which a request can fail, with its status and code: the one mapping from what the
//! rules, the engine and the parsers say to what a client is told.
//!
//! What does not belong here: the checks themselves. No text here comes from a database, a path or a
//! stack.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use sale::{Breach, Refusal};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Answer;
use super::json::JsonError;
use super::signature::SignatureError;
use crate::engine::{Overload, Rejection, ResumeError};

/// After how many seconds a client that was not served should try again.
pub(super) const RETRY_AFTER_SECONDS: u16 = 1;

/// The same, where the queue knows better: in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RetryAfter(u16);

impl RetryAfter {
    /// Where nobody knows better.
    pub(super) const SOON: Self = Self(RETRY_AFTER_SECONDS);
    /// The longest that a client is sent away for: what is true of a queue now says little of later.
    const LATEST: Self = Self(10);

    /// When what waits now will be served, in whole seconds.
    fn after(wait: Duration) -> Self {
        let seconds = u16::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u16::MAX);
        Self(seconds.clamp(Self::SOON.0, Self::LATEST.0))
    }
}

/// What a program can tell errors apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Code {
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
    OutcomeUnknown,
}

impl Code {
    /// All of them, by status.
    pub(super) const ALL: [Self; 21] = [
        Self::InvalidJson,
        Self::MissingIdempotencyKey,
        Self::BadRequest,
        Self::Unauthorized,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::InsufficientStock,
        Self::ProductSuspended,
        Self::HoldExpired,
        Self::HoldReleased,
        Self::HoldAlreadyRedeemed,
        Self::PaymentKeyConflict,
        Self::ValidationFailed,
        Self::IdempotencyKeyReused,
        Self::RateLimited,
        Self::Internal,
        Self::Overloaded,
        Self::DatabaseUnavailable,
        Self::OutcomeUnknown,
    ];

    /// The code as it is sent, for logs and for the description of the API.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::MissingIdempotencyKey => "missing_idempotency_key",
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BodyTooLarge => "body_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::InsufficientStock => "insufficient_stock",
            Self::ProductSuspended => "product_suspended",
            Self::HoldExpired => "hold_expired",
            Self::HoldReleased => "hold_released",
            Self::HoldAlreadyRedeemed => "hold_already_redeemed",
            Self::PaymentKeyConflict => "payment_key_conflict",
            Self::ValidationFailed => "validation_failed",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::RateLimited => "rate_limited",
            Self::Internal => "internal",
            Self::Overloaded => "overloaded",
            Self::DatabaseUnavailable => "database_unavailable",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }

    /// The status that answers with this code have.
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::InvalidJson | Self::MissingIdempotencyKey | Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InsufficientStock
            | Self::ProductSuspended
            | Self::HoldExpired
            | Self::HoldReleased
            | Self::HoldAlreadyRedeemed
            | Self::PaymentKeyConflict => StatusCode::CONFLICT,
            Self::ValidationFailed | Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Overloaded | Self::DatabaseUnavailable | Self::OutcomeUnknown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What is wrong with which field; at least one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct FieldErrors(BTreeMap<String, Vec<String>>);

impl FieldErrors {
    /// One thing wrong with one field.
    pub(super) fn of(field: &str, problem: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(field, problem);
        errors
    }

    /// Notes one more thing.
    pub(super) fn add(&mut self, field: &str, problem: impl Into<String>) {
        self.0.entry(field.to_owned()).or_default().push(problem.into());
    }

    /// The value of a field, or a note of what is wrong with it.
    pub(super) fn check<T>(&mut self, field: &str, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|problem| self.add(field, problem)).ok()
    }
}

/// `order_id is required; status is required`.
impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.iter().flat_map(|(field, problems)| problems.iter().map(move |problem| (field, problem)));
        for (position, (field, problem)) in all.enumerate() {
            let separator = if position == 0 { "" } else { "; " };
            write!(f, "{separator}{field} {problem}")?;
        }
        Ok(())
    }
}

/// Why a request failed. The text is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    #[error("The body {0}.")]
    InvalidJson(#[from] JsonError),
    #[error("Missing idempotency key")]
    MissingIdempotencyKey,
    #[error("{0}")]
    BadRequest(&'static str),
    #[error("{0}")]
    Unauthorized(&'static str),
    #[error("{0}")]
    Unsigned(#[from] SignatureError),
    #[error("There is nothing here.")]
    NotFound,
    #[error("Order/Resource not found")]
    OrderNotFound,
    #[error("This method is not allowed here.")]
    MethodNotAllowed {
        /// The methods that are.
        allow: String,
    },
    #[error("The body is longer than 16 KiB.")]
    BodyTooLarge,
    #[error("The body must be sent as application/json.")]
    UnsupportedMediaType,
    #[error("The request is not valid.")]
    Validation(FieldErrors),
    #[error("This idempotency key was used for another request.")]
    KeyReused,
    #[error("Not enough units are available.")]
    InsufficientStock { available: u64 },
    #[error("The product is suspended.")]
    ProductSuspended,
    #[error("The product breaks invariants and stays suspended.")]
    ProductInconsistent(Vec<Breach>),
    #[error("The hold has expired.")]
    HoldExpired,
    #[error("The hold was released.")]
    HoldReleased,
    #[error("The hold was made an order before.")]
    HoldAlreadyRedeemed { order_id: u64 },
    #[error("This payment key was used for other news.")]
    PaymentKeyConflict,
    #[error("Too many requests; nothing was changed.")]
    RateLimited {
        /// After this time one request is free again.
        retry_after_seconds: u32,
    },
    #[error("Internal Server Error")]
    Internal,
    #[error("The server is too busy, or stopping; nothing was changed.")]
    Overloaded(RetryAfter),
    #[error("The database cannot be reached; nothing was changed.")]
    DatabaseUnavailable,
    #[error("Whether this happened is not known; repeat it with the same Idempotency-Key, or read.")]
    OutcomeUnknown,
}

impl From<FieldErrors> for Problem {
    fn from(errors: FieldErrors) -> Self {
        Self::Validation(errors)
    }
}

/// Where a request named the row that the rules did not find: in the path it is a page that does not
/// exist, in the body a field with a wrong value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// In the path.
    InPath,
    /// In the body.
    InBody,
}

impl Problem {
    /// What a rule's no means to the client.
    pub(super) fn refused(refusal: Refusal, named: Named) -> Self {
        let unknown = |field| match named {
            Named::InPath => Self::NotFound,
            Named::InBody => Self::Validation(FieldErrors::of(field, "is unknown")),
        };
        match refusal {
            Refusal::ProductUnknown => unknown("product_id"),
            Refusal::HoldUnknown => unknown("hold_id"),
            Refusal::OrderUnknown => Self::OrderNotFound,
            Refusal::KeyReused => Self::KeyReused,
            Refusal::PaymentKeyConflict => Self::PaymentKeyConflict,
            Refusal::QuantityOverLimit { limit } => {
                Self::Validation(FieldErrors::of("qty", format!("must be an integer from 1 to {limit}")))
            }
            Refusal::StockOverLimit => {
                Self::Validation(FieldErrors::of("qty", format!("would make the stock more than {}", sale::MAX_STOCK)))
            }
            Refusal::ProductSuspended => Self::ProductSuspended,
            Refusal::InsufficientStock { available } => Self::InsufficientStock { available },
            Refusal::HoldAlreadyRedeemed { order_id } => Self::HoldAlreadyRedeemed { order_id: order_id.0 },
            Refusal::HoldExpired => Self::HoldExpired,
            Refusal::HoldReleased => Self::HoldReleased,
        }
    }

    /// What the engine's no means to the client.
    pub(super) fn rejected(rejection: &Rejection, named: Named) -> Self {
        match rejection {
            Rejection::Refused(refusal) => Self::refused(*refusal, named),
            Rejection::Inconsistent => Self::ProductSuspended,
            Rejection::Overloaded(Overload::QueueSlow { wait }) => Self::Overloaded(RetryAfter::after(*wait)),
            // All of them are true of a client that should come back in a moment.
            Rejection::Overloaded(Overload::QueueFull | Overload::ReadsFull)
            | Rejection::TimedOut
            | Rejection::Stopping => Self::Overloaded(RetryAfter::SOON),
            Rejection::DatabaseUnavailable => Self::DatabaseUnavailable,
            Rejection::OutcomeUnknown => Self::OutcomeUnknown,
            Rejection::Internal => Self::Internal,
        }
    }

    /// What the engine's no to an operator means.
    pub(super) fn not_resumed(error: ResumeError) -> Self {
        match error {
            ResumeError::Inconsistent(breaches) => Self::ProductInconsistent(breaches),
            ResumeError::Rejected(rejection) => Self::rejected(&rejection, Named::InPath),
        }
    }

    /// What programs tell it apart by.
    pub(super) const fn code(&self) -> Code {
        match self {
            Self::InvalidJson(_) => Code::InvalidJson,
            Self::MissingIdempotencyKey => Code::MissingIdempotencyKey,
            Self::BadRequest(_) => Code::BadRequest,
            Self::Unauthorized(_) | Self::Unsigned(_) => Code::Unauthorized,
            Self::NotFound | Self::OrderNotFound => Code::NotFound,
            Self::MethodNotAllowed { .. } => Code::MethodNotAllowed,
            Self::BodyTooLarge => Code::BodyTooLarge,
            Self::UnsupportedMediaType => Code::UnsupportedMediaType,
            Self::Validation(_) => Code::ValidationFailed,
            Self::KeyReused => Code::IdempotencyKeyReused,
            Self::InsufficientStock { .. } => Code::InsufficientStock,
            Self::ProductSuspended | Self::ProductInconsistent(_) => Code::ProductSuspended,
            Self::HoldExpired => Code::HoldExpired,
            Self::HoldReleased => Code::HoldReleased,
            Self::HoldAlreadyRedeemed { .. } => Code::HoldAlreadyRedeemed,
            Self::PaymentKeyConflict => Code::PaymentKeyConflict,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::Internal => Code::Internal,
            Self::Overloaded(_) => Code::Overloaded,
            Self::DatabaseUnavailable => Code::DatabaseUnavailable,
            Self::OutcomeUnknown => Code::OutcomeUnknown,
        }
    }

    /// What is wrong, for the log: as for people, and where fields are at fault, with which and why.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::Validation(errors) => errors.to_string(),
            problem => problem.to_string(),
        }
    }

    /// What the client is told.
    pub(super) fn body(&self) -> ErrorBody {
        let mut body = ErrorBody {
            error: self.to_string(),
            code: self.code(),
            errors: None,
            available: None,
            order_id: None,
            breaches: None,
        };
        match self {
            Self::Validation(errors) => body.errors = Some(errors.clone()),
            Self::KeyReused => {
                body.errors = Some(FieldErrors::of("Idempotency-Key", "was used with another body"));
            }
            Self::InsufficientStock { available } => body.available = Some(*available),
            Self::HoldAlreadyRedeemed { order_id } => body.order_id = Some(*order_id),
            Self::ProductInconsistent(breaches) => {
                body.breaches = Some(breaches.iter().map(ToString::to_string).collect());
            }
            _ => {}
        }
        body
    }

    /// The answer that says so.
    pub(super) fn answer(&self) -> Answer {
        let answer = Answer::json(self.code().status(), &self.body());
        match self {
            Self::MethodNotAllowed { allow } => match HeaderValue::from_str(allow) {
                Ok(allow) => answer.with_header(header::ALLOW, allow),
                Err(_) => answer,
            },
            Self::Unauthorized(_) => answer.with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            Self::RateLimited { retry_after_seconds } => {
                answer.with_header(header::RETRY_AFTER, HeaderValue::from(*retry_after_seconds))
            }
            Self::Overloaded(RetryAfter(seconds)) => {
                answer.with_header(header::RETRY_AFTER, HeaderValue::from(*seconds))
            }
            Self::DatabaseUnavailable | Self::OutcomeUnknown => {
                answer.with_header(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS))
            }
            _ => answer,
        }
    }
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody {
    /// For people.
    #[schema(example = "Not enough units are available.")]
    error: String,
    /// For programs.
    code: Code,
    /// With status 422: what is wrong with which field.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    errors: Option<FieldErrors>,
    /// With `insufficient_stock`: units that were available at that moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    available: Option<u64>,
    /// With `hold_already_redeemed`: the order that the hold became.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    order_id: Option<u64>,
    /// With `product_suspended`, if the product was not resumed: what it breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    breaches: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_named_as_it_is_sent() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).expect("JSON"), code.name());
        }
    }

    #[test]
    fn a_client_is_told_to_come_back_when_the_queue_has_moved_but_within_seconds() {
        for (wait_ms, expected) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (4_999, 5), (10_001, 10), (u64::MAX, 10)] {
            let rejection = Rejection::Overloaded(Overload::QueueSlow { wait: Duration::from_millis(wait_ms) });
            let problem = Problem::rejected(&rejection, Named::InBody);
            assert_eq!(problem, Problem::Overloaded(RetryAfter(expected)), "{wait_ms} ms");
        }
    }

    #[test]
    fn the_log_is_told_which_fields_are_at_fault() {
        let mut errors = FieldErrors::of("status", "is required");
        errors.add("order_id", "is unknown");
        assert_eq!(Problem::from(errors).detail(), "order_id is unknown; status is required");
        assert_eq!(Problem::PaymentKeyConflict.detail(), "This payment key was used for other news.");
    }
}
