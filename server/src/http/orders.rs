//! Orders: making one of a hold, and reading it.
//!
//! What does not belong here: how an order is paid (`webhook.rs`).

use http::StatusCode;
use sale::{HoldId, Order as OrderRow, OrderStatus};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Answer;
use super::errors::{FieldErrors, Named, Problem};
use super::format;
use super::json;
use super::request::{Call, object};

/// What an order is asked for with.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct NewOrder {
    /// The hold that becomes an order.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64, example = 1)]
    hold_id: u64,
}

/// An order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Order {
    /// Names it.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64, example = 12)]
    id: u64,
    /// The hold that it redeemed.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64, example = 1)]
    hold_id: u64,
    /// How far its payment is.
    status: OrderState,
    /// How many units.
    #[schema(minimum = 1, maximum = 1_000_000, example = 40)]
    quantity: u32,
    /// The price of all units together, with commas between thousands and two decimals.
    #[schema(pattern = "^[0-9]{1,3}(,[0-9]{3})*\\.[0-9]{2}$", example = "3,999.60")]
    total_amount: String,
    /// When it was made.
    #[schema(format = DateTime, example = "2025-12-02T19:00:26.000000Z")]
    created_at: String,
    /// When its status last changed.
    #[schema(format = DateTime, example = "2025-12-02T19:00:26.000000Z")]
    updated_at: String,
}

/// How far the payment of an order is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OrderState {
    /// No final news yet.
    PendingPayment,
    /// Paid; final.
    Paid,
    /// Cancelled, its units went back; final.
    Cancelled,
}

impl From<&OrderRow> for Order {
    fn from(row: &OrderRow) -> Self {
        Self {
            id: row.id.0,
            hold_id: row.hold_id.0,
            status: match row.status {
                OrderStatus::PendingPayment => OrderState::PendingPayment,
                OrderStatus::Paid => OrderState::Paid,
                OrderStatus::Cancelled => OrderState::Cancelled,
            },
            quantity: row.quantity.get(),
            total_amount: format::amount(row.total_amount),
            created_at: format::time(row.created_at),
            updated_at: format::time(row.updated_at),
        }
    }
}

impl Order {
    /// As it was shown when it was made, whatever became of it since.
    pub(super) fn first_shown(row: &OrderRow) -> Self {
        let created_at = format::time(row.created_at);
        Self { status: OrderState::PendingPayment, updated_at: created_at, ..Self::from(row) }
    }
}

/// One order.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct OrderAnswer {
    pub(super) data: Order,
}

pub(super) async fn place(mut call: Box<Call>) -> Result<Answer, Problem> {
    let body = call.json_bytes().await?;
    let wish = object(&body)?;
    let key = call.idempotency_key()?;
    let hold_id = json::id(wish.get("hold_id")).map(HoldId);
    let hold_id = hold_id.map_err(|problem| FieldErrors::of("hold_id", problem))?;
    drop(wish);
    drop(body);
    let (client, deadline) = call.into_waiting();
    let placed = client.engine()?.redeem_hold(hold_id, key, deadline).await;
    let placed = placed.map_err(|it| Problem::rejected(&it, Named::InBody))?;
    let row = &placed.row;
    tracing::info!(
        order_id = row.id.0,
        hold_id = row.hold_id.0,
        product_id = row.product_id.0,
        quantity = row.quantity.get(),
        total_amount_minor = row.total_amount.0,
        replayed = placed.replayed,
        "order placed"
    );
    Ok(Answer::json(StatusCode::CREATED, &OrderAnswer { data: Order::first_shown(row) }).replayed(placed.replayed))
}

pub(super) async fn show(call: Box<Call>) -> Result<Answer, Problem> {
    let order_id = call.order_id();
    let (client, deadline) = call.into_waiting();
    let row = client.engine()?.order(order_id, deadline).await;
    let row = row.map_err(|it| Problem::rejected(&it, Named::InPath))?.ok_or(Problem::NotFound)?;
    Ok(Answer::json(StatusCode::OK, &OrderAnswer { data: Order::from(&row) }))
}

#[cfg(test)]
mod tests {
    use sale::{Money, OrderId, ProductId, Quantity, Timestamp};

    use super::*;

    fn row() -> OrderRow {
        let created_at = Timestamp(1_764_702_026_000_000);
        OrderRow {
            id: OrderId(12),
            hold_id: HoldId(1),
            product_id: ProductId(7),
            quantity: Quantity::new(40).expect("in range"),
            total_amount: Money(399_960),
            status: OrderStatus::PendingPayment,
            created_at,
            updated_at: created_at,
            payment_deadline: created_at.plus_seconds(900),
            key: None,
        }
    }

    const FIRST: &str = concat!(
        r#"{"data":{"id":12,"hold_id":1,"status":"pending_payment","quantity":40,"total_amount":"3,999.60","#,
        r#""created_at":"2025-12-02T19:00:26.000000Z","updated_at":"2025-12-02T19:00:26.000000Z"}}"#
    );

    #[test]
    fn an_order_looks_exactly_like_this() {
        let shown = serde_json::to_string(&OrderAnswer { data: Order::from(&row()) }).expect("JSON");
        assert_eq!(shown, FIRST);
    }

    #[test]
    fn a_replay_shows_an_order_as_it_was_first_shown() {
        let mut later = row();
        later.status = OrderStatus::Paid;
        later.updated_at = later.updated_at.plus_seconds(1);
        let shown = |data| serde_json::to_string(&OrderAnswer { data }).expect("JSON");
        assert_eq!(shown(Order::first_shown(&later)), FIRST);
        assert!(shown(Order::from(&later)).contains(r#""status":"paid""#));
    }
}
