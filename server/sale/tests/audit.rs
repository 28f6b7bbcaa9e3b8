//! An independent check of the invariants I1 to I6 and of the rules of time, on all rows of a database.
//!
//! It trusts no rule: everything is counted anew from holds, orders, events and movements.

use std::collections::{BTreeMap, BTreeSet};

use sale::{
    Changes, HoldStatus, Movement, MovementKind, OrderStatus, PaymentEffect, PaymentStatus, Product, ProductId,
    ReleaseReason, Terms, Timestamp,
};

use crate::database::Database;

/// Says what is broken; nothing if the database is as it must be.
pub(crate) fn audit(database: &Database, terms: &Terms) -> Vec<String> {
    let mut broken = Vec::new();
    for product in database.products.values() {
        counters(database, product, &mut broken);
        ledger(database, product, &mut broken);
    }
    holds(database, terms, &mut broken);
    payments(database, terms, &mut broken);
    broken
}

fn expect(broken: &mut Vec<String>, holds: bool, what: impl FnOnce() -> String) {
    if !holds {
        broken.push(what());
    }
}

fn counters(database: &Database, product: &Product, broken: &mut Vec<String>) {
    let id = product.id;
    expect(broken, product.stock_reserved <= product.stock_available, || format!("I1: {product:?}"));
    let active = database.holds.values().filter(|hold| hold.product_id == id && hold.status == HoldStatus::Active);
    let held: u64 = active.map(|hold| hold.quantity.units()).sum();
    expect(broken, product.stock_reserved == held, || format!("I2: holds keep {held}, {product:?}"));
    let standing = database.orders.values().filter(|o| o.product_id == id && o.status != OrderStatus::Cancelled);
    let sold: u64 = standing.map(|order| order.quantity.units()).sum();
    let stockings = movements(database, id)
        .filter(|movement| matches!(movement.kind, MovementKind::Stocked | MovementKind::Restocked));
    let stocked: i64 = stockings.map(|movement| movement.available_change).sum();
    let there = i64::try_from(product.stock_available + sold).expect("the units of a test can be counted");
    expect(broken, there == stocked, || format!("I3: sold {sold}, stocked {stocked}, {product:?}"));
}

fn movements(database: &Database, id: ProductId) -> impl Iterator<Item = &Movement> {
    database.movements.range((id, 0)..=(id, u64::MAX)).map(|(_, movement)| movement)
}

fn ledger(database: &Database, product: &Product, broken: &mut Vec<String>) {
    let (mut seq, mut available, mut reserved, mut time) = (0, 0, 0, Timestamp(i64::MIN));
    for movement in movements(database, product.id) {
        seq += 1;
        available += movement.available_change;
        reserved += movement.reserved_change;
        let after = (movement.stock_available, movement.stock_reserved);
        let balances = u64::try_from(available).ok().zip(u64::try_from(reserved).ok());
        expect(broken, movement.seq == seq && balances == Some(after), || format!("I6: {movement:?} at {seq}"));
        expect(broken, movement.at >= time, || format!("time went back: {movement:?}, before it {time:?}"));
        time = movement.at;
        let (units, hold, order) = movement_shape(database, movement);
        let expected = match movement.kind {
            MovementKind::Stocked | MovementKind::Restocked => (movement.available_change, 0, false, false),
            MovementKind::HoldPlaced => (0, units, true, false),
            MovementKind::HoldGivenBack | MovementKind::HoldExpired => (0, -units, true, false),
            MovementKind::HoldRedeemed => (-units, -units, true, true),
            MovementKind::PaymentFailed | MovementKind::PaymentOverdue => (units, 0, true, true),
        };
        let shape = (movement.available_change, movement.reserved_change, hold, order);
        expect(broken, shape == expected, || format!("{movement:?} should be {expected:?}"));
    }
    let end = (seq, available, reserved);
    let row = (product.movement_seq, product.stock_available, product.stock_reserved);
    let same = u64::try_from(available) == Ok(row.1) && u64::try_from(reserved) == Ok(row.2) && seq == row.0;
    expect(broken, same, || format!("I6: the ledger ends at {end:?}, {product:?}"));
    expect(broken, time <= product.updated_at, || format!("{product:?} is older than its ledger"));
}

/// The units of the hold that moved, and whether a hold and an order are named.
fn movement_shape(database: &Database, movement: &Movement) -> (i64, bool, bool) {
    let hold = movement.hold_id.and_then(|id| database.holds.get(&id));
    let units = hold.map_or(0, |hold| i64::from(hold.quantity.get()));
    let order = movement.order_id.and_then(|id| database.orders.get(&id));
    let linked = order.is_some_and(|order| Some(order.hold_id) == movement.hold_id);
    (units, hold.is_some_and(|hold| hold.product_id == movement.product_id), linked)
}

/// What happened to each hold, by its movements, must be what its status says, once.
fn holds(database: &Database, terms: &Terms, broken: &mut Vec<String>) {
    let mut lives: BTreeMap<u64, Vec<MovementKind>> = BTreeMap::new();
    for movement in database.movements.values() {
        if let Some(id) = movement.hold_id {
            lives.entry(id.0).or_default().push(movement.kind);
        }
    }
    for hold in database.holds.values() {
        use MovementKind::{HoldExpired, HoldGivenBack, HoldPlaced, HoldRedeemed, PaymentFailed, PaymentOverdue};
        let life = lives.remove(&hold.id.0).unwrap_or_default();
        let (expected, order_id): (&[MovementKind], _) = match hold.status {
            HoldStatus::Active => (&[HoldPlaced], None),
            HoldStatus::Redeemed { order_id } => (&[HoldPlaced, HoldRedeemed], Some(order_id)),
            HoldStatus::Released { reason, order_id, .. } => match reason {
                ReleaseReason::Expired => (&[HoldPlaced, HoldExpired], order_id),
                ReleaseReason::GivenBack => (&[HoldPlaced, HoldGivenBack], order_id),
                ReleaseReason::PaymentFailed => (&[HoldPlaced, HoldRedeemed, PaymentFailed], order_id),
                ReleaseReason::PaymentOverdue => (&[HoldPlaced, HoldRedeemed, PaymentOverdue], order_id),
            },
        };
        expect(broken, life == expected, || format!("I4: {hold:?} lived through {life:?}"));
        let orders: Vec<_> = database.orders.values().filter(|order| order.hold_id == hold.id).collect();
        let ended = matches!(hold.status, HoldStatus::Released { .. });
        let linked = match (&orders[..], order_id) {
            ([], None) => true,
            ([order], Some(id)) => order.id == id && ended == (order.status == OrderStatus::Cancelled),
            _ => false,
        };
        expect(broken, linked, || format!("I4: {hold:?} has the orders {orders:?}"));

        let lived_micros = hold.expires_at.0 - hold.created_at.0;
        let ttl_micros = i64::from(terms.hold_ttl_seconds) * 1_000_000;
        let whole = hold.expires_at.0 % 1_000_000 == 0;
        let rounded_up = (ttl_micros..ttl_micros + 1_000_000).contains(&lived_micros);
        expect(broken, whole && rounded_up, || format!("expires_at: {hold:?}"));
        if let HoldStatus::Released { at, reason, .. } = hold.status {
            let right = match reason {
                ReleaseReason::Expired => at == hold.expires_at,
                ReleaseReason::GivenBack => at >= hold.created_at && at < hold.expires_at,
                ReleaseReason::PaymentFailed | ReleaseReason::PaymentOverdue => at >= hold.created_at,
            };
            expect(broken, right, || format!("released_at: {hold:?}"));
        }
    }
    expect(broken, lives.is_empty(), || format!("movements of holds that are not there: {lives:?}"));
}

/// What happened to each order, by the events about it, must be what its status says, once.
fn payments(database: &Database, terms: &Terms, broken: &mut Vec<String>) {
    for order in database.orders.values() {
        let final_events = || database.payments.values().filter(|event| event.order_id == order.id);
        let count = |effect| final_events().filter(|event| event.effect == effect).count();
        let overdue = database
            .movements
            .values()
            .filter(|movement| movement.order_id == Some(order.id) && movement.kind == MovementKind::PaymentOverdue);
        let ends = (count(PaymentEffect::Paid), count(PaymentEffect::Cancelled) + overdue.count());
        let expected = match order.status {
            OrderStatus::PendingPayment => (0, 0),
            OrderStatus::Paid => (1, 0),
            OrderStatus::Cancelled => (0, 1),
        };
        expect(broken, ends == expected, || format!("I5: {order:?} ended {ends:?} times"));
        let refunds = final_events().filter(|event| event.effect == PaymentEffect::RefundRequired);
        let successes = final_events().filter(|event| event.status == PaymentStatus::Success);
        let all_refunds = order.status != OrderStatus::Cancelled || refunds.count() == successes.count();
        expect(broken, all_refunds, || format!("money for {order:?} was taken and is not marked to be paid back"));
        let window_micros = order.payment_deadline.0 - order.created_at.0;
        let in_window = window_micros == i64::from(terms.payment_window_seconds) * 1_000_000;
        expect(broken, in_window && order.updated_at >= order.created_at, || format!("times: {order:?}"));
        let hold = database.holds.get(&order.hold_id);
        let alike = hold.is_some_and(|h| h.product_id == order.product_id && h.quantity == order.quantity);
        expect(broken, alike, || format!("{order:?} is not like its hold {hold:?}"));
    }
    let pending = database.pending_payments.values();
    let harmless = pending.filter(|event| event.effect != PaymentEffect::NoEffect).count() == 0;
    expect(broken, harmless, || "an event without news had an effect".to_owned());
    let known: BTreeSet<_> = database.orders.keys().collect();
    let strangers = database.payments.values().filter(|event| !known.contains(&event.order_id)).count();
    expect(broken, strangers == 0, || "an event about an order that is not there was recorded".to_owned());
}

/// No time that a commit writes is before the last one of its product.
pub(crate) fn times(before: &Database, changes: &Changes) -> Vec<String> {
    let mut written: Vec<(ProductId, Timestamp)> = Vec::new();
    written.extend(changes.movements.iter().map(|movement| (movement.product_id, movement.at)));
    written.extend(changes.new_holds.iter().map(|hold| (hold.product_id, hold.created_at)));
    written.extend(changes.new_orders.iter().map(|order| (order.product_id, order.created_at)));
    let orders = || changes.new_orders.iter().chain(&changes.changed_orders);
    written.extend(orders().map(|order| (order.product_id, order.updated_at)));
    written.extend(changes.products.iter().map(|product| (product.id, product.updated_at)));
    for event in &changes.payment_events {
        let known = before.orders.get(&event.order_id);
        let order = known.or_else(|| orders().find(|order| order.id == event.order_id));
        written.extend(order.map(|order| (order.product_id, event.received_at)));
    }
    let mut broken = Vec::new();
    for (id, time) in written {
        let last = before.products.get(&id).map_or(time, |product| product.updated_at);
        let now = changes.products.iter().find(|product| product.id == id).map_or(last, |product| product.updated_at);
        expect(&mut broken, last <= time && time <= now, || {
            format!("product {id}: {time:?} was written after {last:?}, and its row says {now:?}")
        });
    }
    broken
}
