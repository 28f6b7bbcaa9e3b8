//! Idempotency keys: whatever happened in between, the first answer comes again, byte for byte.
//!
//! What does not belong here: the form of keys (`contract`), and payment keys (`defects`).

use std::collections::BTreeMap;

use holdfast_test_support::{
    Answer, OrFail, Request, Sale, Setup, all, burst, eventually, for_both, for_mariadb, give_back, hold, number,
    order, rounds, statuses,
};

for_both!(
    a_hold_is_replayed_when_all_is_sold,
    a_hold_is_replayed_after_its_deadline,
    a_hold_is_replayed_after_a_restart,
    an_order_is_replayed_whatever_became_of_it,
    one_key_fifty_times_at_once_makes_one_hold,
    one_key_fifty_times_at_once_makes_one_order,
    a_refusal_uses_up_no_key,
    one_key_for_two_products_makes_one_hold,
    one_key_for_two_holds_makes_one_order,
);

mod on_two_servers {
    use super::*;

    for_mariadb!(a_hold_and_an_order_are_replayed, one_key_for_two_products_makes_one_hold);

    async fn a_hold_and_an_order_are_replayed(setup: Setup) {
        let sale = setup.start().await;
        let server = sale.another_server().await;
        let other = server.client();
        let product = sale.product(1).await;
        let request = hold(product, 1).key("hold");
        let first = expect(sale.send(&request).await, 201);
        expect_replay(&first, &other.send(&request).await.or_fail());
        let request = order(number(&first.json()["hold_id"])).key("order");
        let first = expect(other.send(&request).await.or_fail(), 201);
        expect_replay(&first, &sale.send(&request).await);
        sale.assert_audit_passes().await;
    }

    async fn one_key_for_two_products_makes_one_hold(setup: Setup) {
        let sale = setup.start().await;
        let other = sale.another_server().await;
        one_key_for_two_products(&sale, &other.client()).await;
    }
}

fn expect(answer: Answer, status: u16) -> Answer {
    assert_eq!(answer.status, status, "{}", answer.text());
    answer
}

#[track_caller]
fn expect_replay(first: &Answer, again: &Answer) {
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("content-type"), first.header("content-type"));
}

async fn a_hold_is_replayed_when_all_is_sold(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(5).await;
    let request = hold(product, 5).key("k");
    let first = expect(sale.send(&request).await, 201);
    assert_eq!(first.header("idempotent-replayed"), None);
    let other = sale.send(&hold(product, 1).key("other")).await;
    assert_eq!((other.status, other.code().as_str()), (409, "insufficient_stock"));
    expect_replay(&first, &sale.send(&request).await);
    // Other content under the same key is a mistake of the caller's.
    let reused = sale.send(&hold(product, 4).key("k")).await;
    assert_eq!((reused.status, reused.code().as_str()), (422, "idempotency_key_reused"));
    expect(sale.send(&give_back(number(&first.json()["hold_id"]))).await, 204);
    expect_replay(&first, &sale.send(&request).await);
    assert_eq!(sale.stock(product).await.reserved, 0);
    sale.assert_audit_passes().await;
}

async fn a_hold_is_replayed_after_its_deadline(setup: Setup) {
    let sale = setup.setting("HOLD_TTL_SECONDS", "1").start().await;
    let product = sale.product(5).await;
    let request = hold(product, 5).key("k");
    let first = expect(sale.send(&request).await, 201);
    let id = number(&first.json()["hold_id"]);
    eventually("the hold is released", async || {
        let shown = sale.hold_shown(id).await;
        if shown["status"] == "released" { Ok(()) } else { Err(shown) }
    })
    .await;
    expect_replay(&first, &sale.send(&request).await);
    assert_eq!(sale.stock(product).await.free, 5);
    sale.assert_audit_passes().await;
}

async fn a_hold_is_replayed_after_a_restart(setup: Setup) {
    let mut sale = setup.start().await;
    let product = sale.product(5).await;
    let request = hold(product, 5).key("k");
    let first = expect(sale.send(&request).await, 201);
    sale.server.restart().await.or_fail();
    expect_replay(&first, &sale.server.client().send(&request).await.or_fail());
    sale.assert_audit_passes().await;
}

async fn an_order_is_replayed_whatever_became_of_it(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(5).await;
    for (status, round) in ["success", "failure"].into_iter().zip(0..) {
        let hold = sale.hold(product, 2).await;
        let request = order(hold).key(&format!("k{round}"));
        let first = expect(sale.send(&request).await, 201);
        expect_replay(&first, &sale.send(&request).await);
        sale.pay(&format!("evt_{round}"), number(&first.json()["data"]["id"]), status).await;
        expect_replay(&first, &sale.send(&request).await);
    }
    sale.assert_audit_passes().await;
}

/// Sends a request 50 times at once: all answers are the first, and one of them is not a replay.
async fn fifty_at_once(sale: &Sale, request: Request) {
    let answers = all(sale.client.burst(vec![request; 50]).await);
    let first = &answers[0];
    for answer in &answers {
        assert_eq!((answer.status, &answer.body), (201, &first.body), "{}", answer.text());
    }
    let replays = answers.iter().filter(|answer| answer.header("idempotent-replayed") == Some("true")).count();
    assert_eq!(replays, 49);
}

async fn one_key_fifty_times_at_once_makes_one_hold(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(100).await;
    for round in 1..=rounds(3, 30) as u64 {
        fifty_at_once(&sale, hold(product, 1).key(&format!("k{round}"))).await;
        assert_eq!(sale.stock(product).await.reserved, round);
    }
    sale.assert_audit_passes().await;
}

async fn one_key_fifty_times_at_once_makes_one_order(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(100).await;
    for round in 1..=rounds(3, 30) as u64 {
        let hold = sale.hold(product, 1).await;
        fifty_at_once(&sale, order(hold).key(&format!("k{round}"))).await;
        assert_eq!(sale.stock(product).await.available, 100 - round);
    }
    sale.assert_audit_passes().await;
}

async fn a_refusal_uses_up_no_key(setup: Setup) {
    let sale = setup.start().await;
    let product = sale.product(5).await;
    let blocker = sale.hold(product, 5).await;
    let request = hold(product, 2).key("k");
    expect(sale.send(&request).await, 409);
    expect(sale.send(&hold(product, 0).key("k")).await, 422);
    expect(sale.send(&give_back(blocker)).await, 204);
    let placed = expect(sale.send(&request).await, 201);
    assert_eq!(placed.header("idempotent-replayed"), None);
    let unknown = order(u64::from(u32::MAX)).key("k");
    expect(sale.send(&unknown).await, 422);
    // Holds and orders have keys of their own.
    expect(sale.send(&order(number(&placed.json()["hold_id"])).key("k")).await, 201);
    sale.assert_audit_passes().await;
}

async fn one_key_for_two_products_makes_one_hold(setup: Setup) {
    let sale = setup.start().await;
    one_key_for_two_products(&sale, &sale.client).await;
}

async fn one_key_for_two_products(sale: &Sale, other: &holdfast_test_support::Client) {
    let (first, second) = (sale.product(1000).await, sale.product(1000).await);
    let expected = BTreeMap::from([((201, String::new()), 1), ((422, "idempotency_key_reused".to_owned()), 1)]);
    let rounds = rounds(20, 200);
    for round in 0..rounds {
        let key = format!("k{round}");
        let requests =
            vec![(sale.client.clone(), hold(first, 1).key(&key)), (other.clone(), hold(second, 1).key(&key))];
        assert_eq!(statuses(&all(burst(requests).await)), expected);
    }
    let reserved = sale.stock(first).await.reserved + sale.stock(second).await.reserved;
    assert_eq!(reserved, rounds as u64);
    sale.assert_audit_passes().await;
}

async fn one_key_for_two_holds_makes_one_order(setup: Setup) {
    let sale = setup.start().await;
    let (first, second) = (sale.product(1000).await, sale.product(1000).await);
    let expected = BTreeMap::from([((201, String::new()), 1), ((422, "idempotency_key_reused".to_owned()), 1)]);
    for round in 0..rounds(20, 200) {
        let holds = [sale.hold(first, 1).await, sale.hold(second, 1).await];
        let key = format!("k{round}");
        let requests = holds.map(|hold| (sale.client.clone(), order(hold).key(&key)));
        assert_eq!(statuses(&all(burst(requests.to_vec()).await)), expected);
    }
    sale.assert_audit_passes().await;
}
