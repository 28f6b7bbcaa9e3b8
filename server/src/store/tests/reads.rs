//! What reads show: stock with due units, pages, overdue products, refunds.

use std::collections::HashSet;

use sale::{ProductStatus, Timestamp};

use super::*;
use crate::store::{Description, ProductReading, Sequence, Stock};

on_both_databases!(
    stock_counts_due_holds_as_free,
    stocks_and_keys_are_read_together,
    a_products_clock_does_not_go_back,
    products_are_listed_in_pages,
    descriptions_come_back_as_given,
    overdue_products_are_found,
    refunds_wait_until_they_are_done,
    a_broken_idle_connection_is_replaced,
    reads_do_not_wait_for_locks,
    a_row_that_cannot_be_read_is_left_out,
);

async fn stock(place: &Place, product_id: ProductId) -> Stock {
    place.store.stocks(&[product_id], &[]).await.expect("the stock is read").stocks[&product_id].clone()
}

async fn stock_counts_due_holds_as_free(place: Place) {
    let product_id = place.product(10).await;
    let due = place.hold(product_id, 3, None).await;
    place.hold(product_id, 4, None).await;
    let before = stock(&place, product_id).await;
    assert_eq!((before.due_units, before.free(), before.reserved()), (0, 3, 7));
    place.make_due(&due, 1).await;
    let after = stock(&place, product_id).await;
    assert_eq!((after.stock_available, after.stock_reserved, after.due_units), (10, 7, 3));
    assert_eq!((after.free(), after.reserved(), &after.status), (6, 4, &ProductStatus::OnSale));
    let listed = place.store.list_products(ProductId(0), 10, false).await.expect("the page is read");
    assert_eq!(listed[0].stock, after);
}

async fn stocks_and_keys_are_read_together(place: Place) {
    let (one, other) = (place.product(10).await, place.product(20).await);
    place.hold(one, 1, Some("a")).await;
    place.hold(other, 2, Some("b")).await;
    let keys = ["a", "b", "c"].map(key);
    let read = place.store.stocks(&[one, ProductId(900), other], &keys).await.expect("the stocks are read");
    assert_eq!(read.known_keys, HashSet::from([key("a"), key("b")]));
    assert_eq!(read.stocks.keys().copied().collect::<HashSet<_>>(), HashSet::from([one, other]));
    assert_eq!((read.stocks[&one].stock_reserved, read.stocks[&other].stock_reserved), (1, 2));
    let nothing = place.store.stocks(&[], &[]).await.expect("nothing is read");
    assert!(nothing.stocks.is_empty() && nothing.known_keys.is_empty());
    let only_keys = place.store.stocks(&[], &keys).await.expect("the keys are read");
    assert_eq!(only_keys.known_keys, read.known_keys);
}

async fn a_products_clock_does_not_go_back(place: Place) {
    let product_id = place.product(10).await;
    let hold = place.hold(product_id, 3, None).await;
    // The server that changed it last was ahead of this clock, by more than the hold lives.
    let ahead = hold.expires_at.0 + 1_000_000;
    place.by_hand().await.run(&format!("UPDATE products SET updated_at = {ahead}")).await.expect("it is ahead");
    assert_eq!(stock(&place, product_id).await.due_units, 3);
    let listed = place.store.list_products(ProductId(0), 10, false).await.expect("the page is read");
    assert_eq!(listed[0].stock.due_units, 3);
    assert_eq!(place.store.holds(&[hold.id]).await.expect("the hold is read")[&hold.id].1, Timestamp(ahead));
    assert_eq!(place.store.overdue().await.expect("they are found").holds, [product_id]);
    let mut needs = needs_of(product_id);
    needs.expire.insert(product_id);
    let mut writer = place.writer().await;
    let state = writer.load(&needs).await.expect("loaded").state;
    writer.rollback().await.expect("the lock is given back");
    assert_eq!(state.due_holds[&product_id].ids, [hold.id]);
}

async fn products_are_listed_in_pages(place: Place) {
    let mut ids = Vec::new();
    for stock in 0..5 {
        ids.push(place.product(stock).await);
    }
    let suspended = Command::Suspend { product_id: ids[1], reason: "why".to_owned() };
    place.act(ids[1], &[suspended]).await;
    let page = async |after, limit, include| {
        let page = place.store.list_products(after, limit, include).await.expect("the page is read");
        page.iter().map(|ProductReading { id, .. }| *id).collect::<Vec<_>>()
    };
    assert_eq!(page(ProductId(0), 2, false).await, [ids[0], ids[2]]);
    assert_eq!(page(ids[2], 2, false).await, [ids[3], ids[4]]);
    assert_eq!(page(ids[4], 2, false).await, []);
    assert_eq!(page(ProductId(0), 3, true).await, [ids[0], ids[1], ids[2]]);
}

async fn descriptions_come_back_as_given(place: Place) {
    let product = NewProduct {
        name: "Kräuter 'n\" \\ ; DROP TABLE products; -- 😀".to_owned(),
        description: "\u{1F600}".repeat(2000),
        price: Money(sale::MAX_PRICE_MINOR),
        stock: sale::MAX_STOCK,
    };
    let id = place.store.create_product(&product).await.expect("the product is made");
    let read = place.store.descriptions(&[id, ProductId(900)]).await.expect("it is described");
    let Description { name, description, price, created_at } = read[&id].clone();
    assert_eq!((read.len(), &name, &description, price), (1, &product.name, &product.description, product.price));
    let stock = stock(&place, id).await;
    assert_eq!((stock.stock_available, stock.updated_at), (product.stock, created_at));
    let report = place.store.audit(Some(id)).await.expect("the audit is done");
    assert_eq!((report.breaches, report.movements), (vec![], 1));
}

async fn overdue_products_are_found(place: Place) {
    let (one, other, neither) = (place.product(10).await, place.product(10).await, place.product(10).await);
    let hold = place.hold(one, 1, None).await;
    let order = place.order(&place.hold(other, 1, None).await, None).await;
    place.order(&place.hold(neither, 1, None).await, None).await;
    place.hold(neither, 1, None).await;
    let overdue = place.store.overdue().await.expect("they are found");
    assert_eq!((overdue.holds, overdue.orders), (vec![], vec![]));
    place.make_due(&hold, 1).await;
    place.make_overdue(&order, 1).await;
    let overdue = place.store.overdue().await.expect("they are found");
    assert_eq!((overdue.holds, overdue.orders), (vec![one], vec![other]));
    place.act(one, &[Command::ExpireHolds { product_id: one }]).await;
    place.act(other, &[Command::CancelUnpaidOrders { product_id: other }]).await;
    let overdue = place.store.overdue().await.expect("they are found");
    assert_eq!((overdue.holds, overdue.orders), (vec![], vec![]));
}

async fn refunds_wait_until_they_are_done(place: Place) {
    let product_id = place.product(10).await;
    let order = place.order(&place.hold(product_id, 2, None).await, None).await;
    place.pay(&order, "evt_1", PaymentStatus::Failure).await;
    assert_eq!(place.store.refunds().await.expect("they are read"), []);
    place.pay(&order, "evt_2", PaymentStatus::Success).await;
    let refunds = place.store.refunds().await.expect("they are read");
    assert_eq!(refunds.len(), 1);
    assert_eq!((&refunds[0].key, refunds[0].order_id, refunds[0].amount), (&key("evt_2"), order.id, Money(19_998)));
    let report = place.store.audit(None).await.expect("the audit is done");
    assert_eq!((report.breaches, report.refunds), (vec![], refunds));
    assert!(!place.store.refund_done(&key("evt_1")).await.expect("it is looked up"));
    assert!(place.store.refund_done(&key("evt_2")).await.expect("it is noted"));
    assert!(!place.store.refund_done(&key("evt_2")).await.expect("it is looked up"), "once");
    assert_eq!(place.store.refunds().await.expect("they are read"), []);
    assert_eq!(place.store.audit(None).await.expect("the audit is done").breaches, []);
}

async fn a_broken_idle_connection_is_replaced(place: Place) {
    let product_id = place.product(10).await;
    stock(&place, product_id).await;
    place.store.reserve_ids(Sequence::Holds, 1).await.expect("they are reserved");
    if place.is_mysql() {
        super::classification::kill_all_but_ours(&place).await;
    }
    stock(&place, product_id).await;
    place.store.reserve_ids(Sequence::Holds, 1).await.expect("they are reserved");
    place.store.close().await;
    assert_eq!(fault(place.store.stocks(&[product_id], &[]).await), Some(Fault::Disconnected));
}

async fn reads_do_not_wait_for_locks(place: Place) {
    let product_id = place.product(10).await;
    let hold = place.hold(product_id, 1, Some("a")).await;
    let mut writer = place.writer().await;
    writer.load(&needs_of(product_id)).await.expect("the product is locked");
    within(async {
        stock(&place, product_id).await;
        place.store.holds(&[hold.id]).await.expect("read");
        place.store.orders(&[OrderId(1)]).await.expect("read");
        place.store.overdue().await.expect("read");
        place.store.audit(None).await.expect("read");
    })
    .await;
    writer.rollback().await.expect("the lock is given back");
}

async fn a_row_that_cannot_be_read_is_left_out(place: Place) {
    let mut products = Vec::new();
    for _ in 0..4 {
        products.push(place.product(10).await);
    }
    let (bad, good) = (place.hold(products[0], 1, None).await, place.hold(products[0], 1, None).await);
    let (bad_order, good_order) = (
        place.order(&place.hold(products[0], 1, None).await, None).await,
        place.order(&place.hold(products[0], 1, None).await, None).await,
    );
    let mut by_hand = place.by_hand().await;
    let unchecked = if place.is_mysql() {
        "SET SESSION check_constraint_checks = 0"
    } else {
        "PRAGMA ignore_check_constraints = ON"
    };
    // Redeemed without an order; released for no reason; suspended and on sale at once.
    let tampering = format!(
        "{unchecked}; UPDATE holds SET status = 'redeemed' WHERE id = {}; \
         UPDATE holds SET status = 'released' WHERE id = {}; \
         UPDATE products SET suspended_reason = 'none' WHERE id IN ({}, {})",
        bad.id, bad_order.hold_id, products[1], products[2]
    );
    by_hand.run(&tampering).await.expect("they are changed");

    let holds = place.store.holds(&[bad.id, good.id]).await.expect("read");
    assert_eq!(holds.into_keys().collect::<Vec<_>>(), [good.id]);
    let orders = place.store.orders(&[bad_order.id, good_order.id]).await.expect("read");
    assert_eq!(orders.into_keys().collect::<Vec<_>>(), [good_order.id]);
    let stocks = place.store.stocks(&products, &[]).await.expect("read").stocks;
    assert_eq!(stocks.into_keys().collect::<HashSet<_>>(), HashSet::from([products[0], products[3]]));
    // Those left out do not make a page short, which would look like the last one.
    let mut pages = Vec::new();
    for (after, limit) in [(ProductId(0), 1), (products[0], 1), (products[3], 1), (ProductId(0), 2), (ProductId(0), 9)]
    {
        let page = place.store.list_products(after, limit, true).await.expect("read");
        pages.push(page.into_iter().map(|product| product.id).collect::<Vec<_>>());
    }
    let (first, last) = (products[0], products[3]);
    assert_eq!(pages, [vec![first], vec![last], vec![], vec![first, last], vec![first, last]]);
}
