//! Holds: placing, reading, giving back.
//!
//! What does not belong here: when a hold is refused (`sale`) and how a refusal looks (`errors.rs`).
//! The answer to a new hold is made of what never changes about it, so that a replay is the first
//! answer byte for byte.

use http::StatusCode;
use sale::{Hold as HoldRow, HoldStatus, MAX_QUANTITY, ProductId, Quantity, ReleaseReason};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Answer;
use super::errors::{FieldErrors, Named, Problem};
use super::format;
use super::json::{self, Object};
use super::request::{Call, object};

/// What a new hold is asked for with.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct NewHold {
    /// Of what.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64, example = 1)]
    product_id: u64,
    /// How many units: from 1 to `max_qty_per_hold` of `/api/limits`.
    #[schema(minimum = 1, maximum = 1_000_000, example = 5)]
    qty: u32,
}

/// A new hold.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PlacedHold {
    /// Names it.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64, example = 1)]
    hold_id: u64,
    /// It lives as long as now is before this moment.
    #[schema(format = DateTime, example = "2025-12-02T01:00:00Z")]
    expires_at: String,
}

impl From<&HoldRow> for PlacedHold {
    fn from(row: &HoldRow) -> Self {
        Self { hold_id: row.id.0, expires_at: format::whole_second(row.expires_at) }
    }
}

/// A hold as it is now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Hold {
    /// Names it.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64, example = 1)]
    id: u64,
    /// The product whose units it keeps.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64, example = 1)]
    product_id: u64,
    /// How many.
    #[schema(minimum = 1, maximum = 1_000_000, example = 5)]
    quantity: u32,
    /// What became of it.
    status: HoldState,
    /// Why it was released; null if it was not.
    #[schema(required = true)]
    release_reason: Option<HoldReleaseReason>,
    /// The order that it is, or was before that was cancelled; null if there is none.
    #[schema(required = true, minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    order_id: Option<u64>,
    /// When it was placed.
    #[schema(format = DateTime, example = "2025-12-02T00:58:00.123456Z")]
    created_at: String,
    /// It lives as long as now is before this moment.
    #[schema(format = DateTime, example = "2025-12-02T01:00:00Z")]
    expires_at: String,
    /// When it was released; of an expired hold its `expires_at`; null if it was not.
    #[schema(required = true, format = DateTime)]
    released_at: Option<String>,
}

/// What became of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum HoldState {
    /// It keeps its units.
    Active,
    /// It is an order.
    Redeemed,
    /// Its units went back.
    Released,
}

/// Why a hold was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum HoldReleaseReason {
    /// Its deadline came.
    Expired,
    /// The customer gave it back.
    GivenBack,
    /// The payment of its order failed.
    PaymentFailed,
    /// Its order was not paid in its payment window.
    PaymentOverdue,
}

impl From<&HoldRow> for Hold {
    fn from(row: &HoldRow) -> Self {
        let (status, release_reason, order_id, released_at) = match row.status {
            HoldStatus::Active => (HoldState::Active, None, None, None),
            HoldStatus::Redeemed { order_id } => (HoldState::Redeemed, None, Some(order_id), None),
            HoldStatus::Released { at, reason, order_id } => {
                let reason = match reason {
                    ReleaseReason::Expired => HoldReleaseReason::Expired,
                    ReleaseReason::GivenBack => HoldReleaseReason::GivenBack,
                    ReleaseReason::PaymentFailed => HoldReleaseReason::PaymentFailed,
                    ReleaseReason::PaymentOverdue => HoldReleaseReason::PaymentOverdue,
                };
                (HoldState::Released, Some(reason), order_id, Some(at))
            }
        };
        Self {
            id: row.id.0,
            product_id: row.product_id.0,
            quantity: row.quantity.get(),
            status,
            release_reason,
            order_id: order_id.map(|id| id.0),
            created_at: format::time(row.created_at),
            expires_at: format::whole_second(row.expires_at),
            released_at: released_at.map(format::time),
        }
    }
}

/// One hold.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct HoldAnswer {
    pub(super) data: Hold,
}

pub(super) async fn place(mut call: Box<Call>) -> Result<Answer, Problem> {
    let body = call.json_bytes().await?;
    let wish = object(&body)?;
    let key = call.idempotency_key()?;
    let max_qty = call.shared().config.terms.max_qty_per_hold;
    // With a key this may be a replay of a hold from before the limit was lowered: only the rules know.
    let limit = if key.is_some() { MAX_QUANTITY } else { max_qty.min(MAX_QUANTITY) };
    let (product_id, quantity) = new_hold(&wish, limit, max_qty)?;
    drop(wish);
    drop(body);
    let (client, deadline) = call.into_waiting();
    let placed = client.engine()?.place_hold(product_id, quantity, key, deadline).await;
    let placed = placed.map_err(|it| Problem::rejected(&it, Named::InBody))?;
    tracing::debug!(
        hold_id = placed.row.id.0,
        product_id = product_id.0,
        quantity = quantity.get(),
        replayed = placed.replayed,
        "hold placed"
    );
    Ok(Answer::json(StatusCode::CREATED, &PlacedHold::from(&placed.row)).replayed(placed.replayed))
}

/// Which product, and how many units up to `limit`; `shown_limit` is what people are told.
pub(super) fn new_hold(
    object: &Object<'_>,
    limit: u32,
    shown_limit: u32,
) -> Result<(ProductId, Quantity), FieldErrors> {
    let mut errors = FieldErrors::default();
    let product_id = errors.check("product_id", json::id(object.get("product_id")));
    let quantity = json::integer(object.get("qty"), &(1..=i64::from(limit)))
        .ok()
        .and_then(|units| u32::try_from(units).ok())
        .and_then(Quantity::new);
    // Said again with the limit that the caller should keep to.
    let quantity = quantity.ok_or_else(|| match json::integer(object.get("qty"), &(1..=i64::from(shown_limit))) {
        Err(problem) => problem,
        Ok(_) => format!("must be an integer from 1 to {shown_limit}"),
    });
    let quantity = errors.check("qty", quantity);
    match (product_id, quantity) {
        (Some(product_id), Some(quantity)) => Ok((ProductId(product_id), quantity)),
        (None, _) | (_, None) => Err(errors),
    }
}

pub(super) async fn show(call: Box<Call>) -> Result<Answer, Problem> {
    let hold_id = call.hold_id();
    let (client, deadline) = call.into_waiting();
    let reading = client.engine()?.hold(hold_id, deadline).await;
    let reading = reading.map_err(|it| Problem::rejected(&it, Named::InPath))?.ok_or(Problem::NotFound)?;
    Ok(Answer::json(StatusCode::OK, &HoldAnswer { data: Hold::from(&reading) }))
}

pub(super) async fn give_back(call: Box<Call>) -> Result<Answer, Problem> {
    let given_back = call.client.engine()?.give_back_hold(call.hold_id(), call.deadline).await;
    given_back.map_err(|it| Problem::rejected(&it, Named::InPath))?;
    // Its units may have been back before: the movements tell.
    tracing::debug!(hold_id = call.path_id, "a hold keeps no units any more");
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

#[cfg(test)]
mod tests {
    use sale::{HoldId, OrderId, Timestamp};
    use serde_json::json;

    use super::*;

    const NOON: Timestamp = Timestamp(1_764_637_200_000_000);

    fn row(status: HoldStatus) -> HoldRow {
        HoldRow {
            id: HoldId(1),
            product_id: ProductId(7),
            quantity: Quantity::new(5).expect("in range"),
            status,
            created_at: Timestamp(NOON.0 - 119_876_544),
            expires_at: NOON,
            key: None,
        }
    }

    #[test]
    fn a_new_hold_is_shown_by_what_never_changes() {
        let expected = r#"{"hold_id":1,"expires_at":"2025-12-02T01:00:00Z"}"#;
        let released = HoldStatus::Released { at: NOON, reason: ReleaseReason::Expired, order_id: None };
        for status in [HoldStatus::Active, HoldStatus::Redeemed { order_id: OrderId(3) }, released] {
            let shown = serde_json::to_string(&PlacedHold::from(&row(status))).expect("JSON");
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn a_hold_shows_what_became_of_it() {
        let shown = |status| serde_json::to_value(Hold::from(&row(status))).expect("JSON");
        let mut expected = json!({
            "id": 1, "product_id": 7, "quantity": 5, "status": "active", "release_reason": null, "order_id": null,
            "created_at": "2025-12-02T00:58:00.123456Z", "expires_at": "2025-12-02T01:00:00Z", "released_at": null,
        });
        assert_eq!(shown(HoldStatus::Active), expected);
        expected["status"] = json!("redeemed");
        expected["order_id"] = json!(3);
        assert_eq!(shown(HoldStatus::Redeemed { order_id: OrderId(3) }), expected);
        expected["status"] = json!("released");
        expected["released_at"] = json!("2025-12-02T01:00:00.000000Z");
        for (reason, name) in [
            (ReleaseReason::Expired, "expired"),
            (ReleaseReason::GivenBack, "given_back"),
            (ReleaseReason::PaymentFailed, "payment_failed"),
            (ReleaseReason::PaymentOverdue, "payment_overdue"),
        ] {
            expected["release_reason"] = json!(name);
            assert_eq!(shown(HoldStatus::Released { at: NOON, reason, order_id: Some(OrderId(3)) }), expected);
        }
    }

    #[test]
    fn a_new_hold_needs_a_product_and_a_quantity() {
        let check = |body: &str, limit| {
            let object = object(body.as_bytes()).expect("an object");
            new_hold(&object, limit, 10)
        };
        assert!(check(r#"{"product_id":1,"qty":10,"unknown":[]}"#, 10).is_ok());
        assert!(check(r#"{"product_id":1,"qty":11}"#, MAX_QUANTITY).is_ok());
        for (body, limit, expected) in [
            (r#"{"qty":1}"#, 10, json!({"product_id": ["is required"]})),
            (r#"{"product_id":1}"#, 10, json!({"qty": ["is required"]})),
            (r#"{"product_id":1,"qty":11}"#, 10, json!({"qty": ["must be an integer from 1 to 10"]})),
            (r#"{"product_id":1,"qty":1000001}"#, MAX_QUANTITY, json!({"qty": ["must be an integer from 1 to 10"]})),
            ("{}", 10, json!({"product_id": ["is required"], "qty": ["is required"]})),
        ] {
            let errors = check(body, limit).expect_err(body);
            assert_eq!(serde_json::to_value(&errors).expect("JSON"), expected, "{body}");
        }
    }
}
