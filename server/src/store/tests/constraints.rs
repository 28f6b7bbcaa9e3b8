//! What the database refuses even if the rules ask for it: an oversell, a second order of a hold, a
//! second effect of a payment.

use sale::{
    HoldStatus, Movement, MovementKind, OrderStatus, PaymentEffect, PaymentEvent, Product, ProductStatus,
    ReleaseReason, Timestamp,
};

use super::*;
use crate::store::rows::Word;

on_both_databases!(
    an_oversell_is_refused,
    impossible_rows_are_refused,
    what_was_committed_can_be_repeated_by_no_bug,
    a_column_of_words_takes_those_and_no_other,
);

/// Tries to commit `changes`, and expects that nothing of it is there afterwards.
async fn refused(place: &Place, product_id: ProductId, what: &str, changes: Changes) {
    let mut writer = place.writer().await;
    writer.load(&needs_of(product_id)).await.expect("the product is locked");
    let batch = place.batch();
    let result = writer.commit(batch, &changes).await;
    assert_eq!(result.map_err(|error| error.fault).err(), Some(Fault::Refused), "{what}");
    assert!(!writer.was_committed(batch).await.expect("known"), "{what}");
}

async fn row(place: &Place, product_id: ProductId) -> Product {
    let mut writer = place.writer().await;
    let state = writer.load(&needs_of(product_id)).await.expect("the product is locked").state;
    writer.rollback().await.expect("the lock is given back");
    state.products[&product_id].clone()
}

async fn an_oversell_is_refused(place: Place) {
    let product_id = place.product(10).await;
    place.hold(product_id, 7, None).await;
    let product = row(&place, product_id).await;
    for (what, available, reserved) in [("more held than there is", 10, 11), ("fewer there than held", 6, 7)] {
        let changed = Product { stock_available: available, stock_reserved: reserved, ..product.clone() };
        refused(&place, product_id, what, by_a_bug(|changes| changes.products.push(changed))).await;
    }
    // Servers that ignore CHECK refuse it all the same.
    let mut by_hand = place.by_hand().await;
    if place.is_mysql() {
        by_hand.run("SET SESSION check_constraint_checks = 0").await.expect("checks are off");
        assert!(by_hand.run("UPDATE products SET stock_reserved = 11").await.is_err());
        assert!(by_hand.run("UPDATE products SET stock_available = 6").await.is_err());
        assert!(by_hand.run("UPDATE products SET stock_available = stock_available - 11").await.is_err());
    }
}

async fn impossible_rows_are_refused(place: Place) {
    let product_id = place.product(10).await;
    let hold = place.hold(product_id, 1, None).await;
    let order = place.order(&place.hold(product_id, 2, None).await, None).await;
    let new = |id: u64, status| Hold { id: HoldId(id), status, ..hold.clone() };
    let released = |at, reason| HoldStatus::Released { at, reason, order_id: None };
    let holds = [
        ("a deadline before its hold", Hold { created_at: hold.expires_at, ..new(900, HoldStatus::Active) }),
        (
            "a deadline that is no whole second",
            Hold { expires_at: Timestamp(hold.expires_at.0 + 1), ..new(901, HoldStatus::Active) },
        ),
        ("a hold of no product", Hold { product_id: ProductId(900), ..new(902, HoldStatus::Active) }),
        ("an expiry before its time", new(903, released(hold.created_at, ReleaseReason::Expired))),
        ("the same hold again", new(hold.id.0, HoldStatus::Active)),
    ];
    for (what, row) in holds {
        refused(&place, product_id, what, by_a_bug(|changes| changes.new_holds.push(row))).await;
    }
    let orders = [
        ("a second order of a hold", Order { id: OrderId(900), ..order.clone() }),
        ("the same order again", Order { hold_id: hold.id, ..order.clone() }),
        ("an order of no hold", Order { id: OrderId(901), hold_id: HoldId(900), ..order.clone() }),
        (
            "an order of no product",
            Order { id: OrderId(902), hold_id: hold.id, product_id: ProductId(900), ..order.clone() },
        ),
    ];
    for (what, row) in orders {
        refused(&place, product_id, what, by_a_bug(|changes| changes.new_orders.push(row))).await;
    }
    let event = |order_id, status, effect| PaymentEvent {
        key: key("evt"),
        order_id,
        status,
        effect,
        received_at: Timestamp(1),
    };
    let events = [
        ("an event of no order", event(OrderId(900), PaymentStatus::Success, PaymentEffect::Paid)),
        ("a failure that pays", event(order.id, PaymentStatus::Failure, PaymentEffect::Paid)),
        ("a success that cancels", event(order.id, PaymentStatus::Success, PaymentEffect::Cancelled)),
    ];
    for (what, row) in events {
        refused(&place, product_id, what, by_a_bug(|changes| changes.payment_events.push(row))).await;
    }
    let movement = Movement {
        product_id,
        seq: 900,
        kind: MovementKind::Restocked,
        available_change: 0,
        reserved_change: 0,
        stock_available: 1,
        stock_reserved: 1,
        hold_id: None,
        order_id: None,
        at: Timestamp(1),
    };
    let movements = [
        ("a movement again", Movement { seq: 1, ..movement.clone() }),
        ("a movement of no product", Movement { product_id: ProductId(900), ..movement.clone() }),
        ("a movement out of range", Movement { stock_reserved: 2, ..movement.clone() }),
        ("a movement before the first", Movement { seq: 0, ..movement }),
    ];
    for (what, row) in movements {
        refused(&place, product_id, what, by_a_bug(|changes| changes.movements.push(row))).await;
    }
    assert_eq!(place.store.audit(None).await.expect("the audit is done").breaches, []);
}

async fn what_was_committed_can_be_repeated_by_no_bug(place: Place) {
    let product_id = place.product(10).await;
    let hold = place.hold(product_id, 1, None).await;
    place.act(product_id, &[Command::GiveBackHold { hold_id: hold.id }]).await;
    let at = hold.created_at;
    let again = HoldStatus::Released { at, reason: ReleaseReason::GivenBack, order_id: None };
    let hold = Hold { status: again, ..hold };
    refused(&place, product_id, "a second release", by_a_bug(|changes| changes.changed_holds.push(hold.clone()))).await;
    let hold = Hold { status: HoldStatus::Redeemed { order_id: OrderId(1) }, ..hold };
    refused(&place, product_id, "a late order", by_a_bug(|changes| changes.changed_holds.push(hold))).await;

    let order = place.order(&place.hold(product_id, 2, None).await, None).await;
    place.pay(&order, "evt_1", PaymentStatus::Success).await;
    let cancelled = Order { status: OrderStatus::Cancelled, ..order.clone() };
    refused(&place, product_id, "a second end", by_a_bug(|changes| changes.changed_orders.push(cancelled))).await;
    let event = PaymentEvent {
        key: key("evt_2"),
        order_id: order.id,
        status: PaymentStatus::Failure,
        effect: PaymentEffect::Cancelled,
        received_at: at,
    };
    refused(&place, product_id, "a second effect", by_a_bug(|changes| changes.payment_events.push(event))).await;
    let product = Product { movement_seq: 1, status: ProductStatus::OnSale, ..row(&place, product_id).await };
    refused(&place, product_id, "a ledger that goes back", by_a_bug(|changes| changes.products.push(product))).await;
}

/// Every word, whichever way through the rules leads to it, and none that only looks like one.
async fn a_column_of_words_takes_those_and_no_other(place: Place) {
    fn words<W: Word>() -> Vec<&'static str> {
        W::WORDS.iter().map(|(_, word)| *word).collect()
    }
    let product_id = place.product(10).await;
    let hold = place.hold(product_id, 1, None).await;
    place.act(product_id, &[Command::GiveBackHold { hold_id: hold.id }]).await;
    place.hold(product_id, 1, None).await;
    let order = place.order(&place.hold(product_id, 2, None).await, None).await;
    place.pay(&order, "evt_1", PaymentStatus::Success).await;
    // Only news without an effect can have any status.
    place.pay(&order, "evt_2", PaymentStatus::Failure).await;
    let columns = [
        ("holds", "status", "status <> 'released'", vec!["active", "redeemed"]),
        ("holds", "released_at = expires_at, release_reason", "status = 'released'", words::<ReleaseReason>()),
        ("orders", "status", "id > 0", words::<OrderStatus>()),
        ("payment_events", "status", "effect = 'no_effect'", vec!["success", "failure"]),
        ("movements", "kind", "seq > 1", words::<MovementKind>()),
    ];
    let mut by_hand = place.by_hand().await;
    for (table, column, rows, words) in columns {
        let changed = by_hand.number(&format!("SELECT COUNT(*) FROM {table} WHERE {rows}")).await;
        assert!(changed > 0, "{table}: {rows}");
        for word in words {
            let sql = format!("UPDATE {table} SET {column} = '{word}' WHERE {rows}");
            by_hand.run(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        for other in ["", "Active", " paid", "shipped"] {
            let sql = format!("UPDATE {table} SET {column} = '{other}' WHERE {rows}");
            assert!(by_hand.run(&sql).await.is_err(), "{sql}");
        }
    }
}

/// A list of words is a table that SQLite makes for each statement, and looks each row up in.
#[tokio::test]
async fn no_check_of_sqlite_makes_a_table() {
    let place = Place::sqlite().await;
    let mut by_hand = place.by_hand().await;
    for table in ["products", "holds", "orders", "payment_events", "movements", "batches"] {
        let steps = by_hand.steps(&format!("INSERT INTO {table} DEFAULT VALUES")).await;
        assert!(steps.iter().any(|step| step == "Insert" || step == "IdxInsert"), "{table}: {steps:?}");
        assert!(steps.iter().all(|step| step != "OpenEphemeral"), "{table}: {steps:?}");
    }
}
