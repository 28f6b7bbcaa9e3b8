//! The operations of the API: what each takes, answers, and refuses.
//!
//! What does not belong here: what follows from the route table (`routes.rs`), and how it is written
//! down (`openapi.rs`).

use sale::{Breach, Invariant, ProductId};

use super::super::errors::{FieldErrors, Problem, RetryAfter};
use super::super::format;
use super::super::signature::SignatureError;

/// What the table of routes does not say about an operation.
pub(super) struct Description {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) detail: &'static str,
    pub(super) parameters: &'static [&'static str],
    /// The name of the body's schema, and whether there must be one.
    pub(super) body: Option<(&'static str, bool)>,
    pub(super) success: Success,
    /// Refusals besides those that follow from the path, the access and the body: an example of each.
    pub(super) refusals: fn() -> Vec<Problem>,
    /// How it can fail without being anybody's fault.
    pub(super) trouble: &'static [Problem],
}

pub(super) struct Success {
    pub(super) status: u16,
    pub(super) what: &'static str,
    pub(super) content: Content,
    pub(super) headers: &'static [&'static str],
}

pub(super) enum Content {
    Nothing,
    Text(&'static str),
    AnyJson,
    Json(&'static str),
}

const NO_DATABASE: &[Problem] = &[Problem::Internal];
const READ_TROUBLE: &[Problem] =
    &[Problem::Internal, Problem::Overloaded(RetryAfter::SOON), Problem::DatabaseUnavailable];
/// Of what goes past the queue.
const DIRECT_TROUBLE: &[Problem] = &[Problem::Internal, Problem::DatabaseUnavailable, Problem::OutcomeUnknown];
const WRITE_TROUBLE: &[Problem] =
    &[Problem::Internal, Problem::Overloaded(RetryAfter::SOON), Problem::DatabaseUnavailable, Problem::OutcomeUnknown];

const ID: &[&str] = &["Id", "RequestId"];
const PLAIN: &[&str] = &["RequestId"];
const KEYED: &[&str] = &["IdempotencyKey", "RequestId"];

const fn ok(what: &'static str, schema: &'static str) -> Success {
    Success { status: 200, what, content: Content::Json(schema), headers: &[] }
}

const fn created(what: &'static str, schema: &'static str, headers: &'static [&'static str]) -> Success {
    Success { status: 201, what, content: Content::Json(schema), headers }
}

fn invalid(field: &str, problem: &str) -> Problem {
    FieldErrors::of(field, problem).into()
}

/// All of them.
pub(super) const DESCRIPTIONS: &[Description] = &[
    Description {
        method: "GET",
        path: "/api/products",
        name: "listProducts",
        tag: "products",
        summary: "Lists the products that are on sale",
        detail: "In the order of their ids, a page at a time. Suspended products are left out.",
        parameters: &["Limit", "After", "RequestId"],
        body: None,
        success: ok("A page of products.", "ProductPage"),
        refusals: || vec![invalid("limit", "must be an integer from 1 to 200")],
        trouble: READ_TROUBLE,
    },
    Description {
        method: "GET",
        path: "/api/products/{id}",
        name: "getProduct",
        tag: "products",
        summary: "Shows a product",
        detail: "The stock fields are never stale: they show every hold that was answered before this request came.",
        parameters: ID,
        body: None,
        success: ok("The product.", "ProductAnswer"),
        refusals: Vec::new,
        trouble: READ_TROUBLE,
    },
    Description {
        method: "POST",
        path: "/api/holds",
        name: "placeHold",
        tag: "holds",
        summary: "Keeps units of a product for a customer",
        detail: "All or nothing. The hold lives until `expires_at`. Send it again with the same `Idempotency-Key` after \
                 an answer that got lost: the first answer comes again, byte for byte.",
        parameters: KEYED,
        body: Some(("NewHold", true)),
        success: created("The hold.", "PlacedHold", &["IdempotentReplayed"]),
        refusals: || {
            vec![
                invalid("qty", "must be an integer from 1 to 1000"),
                invalid("product_id", "is unknown"),
                Problem::InsufficientStock { available: 3 },
                Problem::ProductSuspended,
                Problem::KeyReused,
            ]
        },
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "GET",
        path: "/api/holds/{id}",
        name: "getHold",
        tag: "holds",
        summary: "Shows a hold",
        detail: "As it is by the clock: a hold past its `expires_at` is released.",
        parameters: ID,
        body: None,
        success: ok("The hold.", "HoldAnswer"),
        refusals: Vec::new,
        trouble: READ_TROUBLE,
    },
    Description {
        method: "DELETE",
        path: "/api/holds/{id}",
        name: "giveBackHold",
        tag: "holds",
        summary: "Gives the units of a hold back",
        detail: "A hold that was released before, for whatever reason, is fine too.",
        parameters: ID,
        body: None,
        success: Success { status: 204, what: "The units are back.", content: Content::Nothing, headers: &[] },
        refusals: || vec![Problem::HoldAlreadyRedeemed { order_id: 12 }],
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "POST",
        path: "/api/orders",
        name: "placeOrder",
        tag: "orders",
        summary: "Makes a hold an order",
        detail: "The order waits for its payment for `payment_window_seconds`; then it is cancelled.",
        parameters: KEYED,
        body: Some(("NewOrder", true)),
        success: created("The order.", "OrderAnswer", &["IdempotentReplayed"]),
        refusals: || {
            vec![
                invalid("hold_id", "is unknown"),
                Problem::HoldExpired,
                Problem::HoldReleased,
                Problem::HoldAlreadyRedeemed { order_id: 12 },
                Problem::KeyReused,
            ]
        },
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "GET",
        path: "/api/orders/{id}",
        name: "getOrder",
        tag: "orders",
        summary: "Shows an order",
        detail: "",
        parameters: ID,
        body: None,
        success: ok("The order.", "OrderAnswer"),
        refusals: Vec::new,
        trouble: READ_TROUBLE,
    },
    Description {
        method: "POST",
        path: "/api/payments/webhook",
        name: "takePaymentEvent",
        tag: "payments",
        summary: "Takes news of a payment from the provider",
        detail: "Where a secret is set, the event must be signed as in the Standard Webhooks specification. Its key is \
                 the first there is of `payment_idempotency_key`, `idempotency_key`, the signed `webhook-id`, and, only \
                 where no secret is set, the header `Idempotency-Key`. The same key with the same news again has no \
                 effect. An event for an order that does not exist writes nothing, so that it can be sent again.",
        parameters: &["WebhookId", "WebhookTimestamp", "WebhookSignature", "UnsignedPaymentKey", "RequestId"],
        body: Some(("PaymentNews", true)),
        success: ok("The event was taken, now or before.", "WebhookAnswer"),
        refusals: || {
            vec![
                Problem::Unsigned(SignatureError::Mismatch),
                Problem::MissingIdempotencyKey,
                invalid("order_id", "is unknown"),
                Problem::OrderNotFound,
                Problem::PaymentKeyConflict,
            ]
        },
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "GET",
        path: "/api/limits",
        name: "getLimits",
        tag: "products",
        summary: "Shows the settings that clients may want to know",
        detail: "",
        parameters: PLAIN,
        body: None,
        success: ok("The limits.", "LimitsAnswer"),
        refusals: Vec::new,
        trouble: NO_DATABASE,
    },
    Description {
        method: "POST",
        path: "/api/products",
        name: "addProduct",
        tag: "operators",
        summary: "Makes a product",
        detail: "",
        parameters: PLAIN,
        body: Some(("NewProduct", true)),
        success: created("The product.", "ProductAnswer", &[]),
        refusals: || vec![invalid("price", format::PRICE_FORM)],
        trouble: DIRECT_TROUBLE,
    },
    Description {
        method: "POST",
        path: "/api/products/{id}/restock",
        name: "restockProduct",
        tag: "operators",
        summary: "Changes the physical stock of a product",
        detail: "Units that holds keep cannot be taken away.",
        parameters: ID,
        body: Some(("StockChange", true)),
        success: ok("The product.", "ProductAnswer"),
        refusals: || vec![invalid("qty", "must not be 0"), Problem::InsufficientStock { available: 3 }],
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "POST",
        path: "/api/products/{id}/suspend",
        name: "suspendProduct",
        tag: "operators",
        summary: "Takes no new holds of a product",
        detail: "Holds and orders that exist go on. Of two suspensions the first reason stays.",
        parameters: ID,
        body: Some(("Suspension", false)),
        success: ok("The product.", "ProductAnswer"),
        refusals: || vec![invalid("reason", "must be a string of 1 to 255 characters")],
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "POST",
        path: "/api/products/{id}/resume",
        name: "resumeProduct",
        tag: "operators",
        summary: "Takes new holds of a product again",
        detail: "The product is audited first; if it breaks an invariant it stays suspended, unless `force` is true.",
        parameters: ID,
        body: Some(("Resumption", false)),
        success: ok("The product.", "ProductAnswer"),
        refusals: || {
            let breach = Breach {
                product_id: ProductId(1),
                invariant: Invariant::ReservedIsHeld,
                detail: "stock_reserved is 12, active holds keep 10".to_owned(),
            };
            vec![invalid("force", "must be true or false"), Problem::ProductInconsistent(vec![breach])]
        },
        trouble: WRITE_TROUBLE,
    },
    Description {
        method: "GET",
        path: "/metrics",
        name: "getMetrics",
        tag: "operations",
        summary: "Shows what was counted and measured",
        detail: "Where an address for operations is set, it is there, and so are the health checks.",
        parameters: PLAIN,
        body: None,
        success: Success {
            status: 200,
            what: "Metrics, in the text format of Prometheus.",
            content: Content::Text("text/plain"),
            headers: &[],
        },
        refusals: Vec::new,
        trouble: NO_DATABASE,
    },
    Description {
        method: "GET",
        path: "/healthz",
        name: "getHealth",
        tag: "operations",
        summary: "Tells whether the process runs",
        detail: "",
        parameters: PLAIN,
        body: None,
        success: ok("It does.", "Health"),
        refusals: Vec::new,
        trouble: NO_DATABASE,
    },
    Description {
        method: "GET",
        path: "/readyz",
        name: "getReadiness",
        tag: "operations",
        summary: "Tells whether the server should be sent requests",
        detail: "",
        parameters: PLAIN,
        body: None,
        success: ok("It should.", "Health"),
        refusals: Vec::new,
        trouble: NO_DATABASE,
    },
    Description {
        method: "GET",
        path: "/openapi.json",
        name: "getDescription",
        tag: "operations",
        summary: "Shows this document",
        detail: "",
        parameters: PLAIN,
        body: None,
        success: Success { status: 200, what: "This document.", content: Content::AnyJson, headers: &[] },
        refusals: Vec::new,
        trouble: NO_DATABASE,
    },
    Description {
        method: "GET",
        path: "/docs",
        name: "getDocs",
        tag: "operations",
        summary: "Shows this document to people",
        detail: "",
        parameters: PLAIN,
        body: None,
        success: Success { status: 200, what: "A page.", content: Content::Text("text/html"), headers: &[] },
        refusals: Vec::new,
        trouble: NO_DATABASE,
    },
];
