//! Races between different steps, many rounds each: whoever wins, exactly one does, and the units add up.
//!
//! Where a race is for a moment of the clock, requests are aimed at it from both sides; which side each
//! one falls on is not asserted, only that its answer fits what happened.
//!
//! What does not belong here: one step against itself (`scenarios`, `defects`, `keys`).

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use holdfast_test_support::{
    Answer, Client, OrFail, Request, Sale, Setup, Stock, all, burst, clock_is, deadline_of, eventually, for_both,
    for_mariadb, give_back, hold, number, order, payment, rounds, seed,
};
use serde_json::Value;

use crate::lock::Lock;

for_both!(
    redeem_against_expiry,
    success_against_failure,
    release_against_redeem,
    window_against_success,
    a_redeem_that_waited_across_the_deadline_is_late,
);

/// Two servers on one database: the row lock decides.
mod on_two_servers {
    use super::*;

    for_mariadb!(holds_at_the_boundary, success_against_failure, release_against_redeem, redeem_against_expiry);

    async fn holds_at_the_boundary(setup: Setup) {
        let sale = setup.start().await;
        let other = sale.another_server().await;
        let clients = [sale.client.clone(), other.client()];
        for _ in 0..rounds(5, 50) {
            let product = sale.product(10).await;
            let requests = (0..200).map(|n| (clients[n % 2].clone(), hold(product, 1))).collect();
            let answers = all(burst(requests).await);
            assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 10);
            assert_eq!(answers.iter().filter(|answer| answer.code() == "insufficient_stock").count(), 190);
            let mut ids: Vec<u64> = placed(&answers).map(|answer| number(&answer["hold_id"])).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), 10, "each hold is one of its own");
            // A read that starts after a hold was answered shows it, whichever server answered it.
            for client in &clients {
                let shown = client.get(&format!("/api/products/{product}")).await.or_fail().json();
                assert_eq!(shown["data"]["available_stock"], 0);
            }
        }
        sale.assert_audit_passes().await;
    }

    async fn success_against_failure(setup: Setup) {
        let sale = setup.start().await;
        let other = sale.another_server().await;
        super::success_against_failure_with(&sale, &other.client()).await;
    }

    async fn release_against_redeem(setup: Setup) {
        let sale = setup.start().await;
        let other = sale.another_server().await;
        super::release_against_redeem_with(&sale, &other.client()).await;
    }

    async fn redeem_against_expiry(setup: Setup) {
        let sale = setup.setting("HOLD_TTL_SECONDS", "1").start().await;
        let other = sale.another_server().await;
        super::redeem_against_expiry_with(&sale, &other.client()).await;
    }
}

fn placed(answers: &[Answer]) -> impl Iterator<Item = Value> {
    answers.iter().filter(|answer| answer.status == 201).map(Answer::json)
}

/// Holds of a product, placed at the same moment, so that they have the same deadline, or nearly.
async fn place(sale: &Sale, product: u64, count: usize) -> Vec<(u64, SystemTime)> {
    let answers = all(sale.client.burst(vec![hold(product, 1); count]).await);
    let holds: Vec<_> = placed(&answers).map(|hold| (number(&hold["hold_id"]), deadline_of(&hold))).collect();
    assert_eq!(holds.len(), count);
    holds
}

async fn redeem_against_expiry(setup: Setup) {
    let sale = setup.setting("HOLD_TTL_SECONDS", "1").start().await;
    redeem_against_expiry_with(&sale, &sale.client).await;
}

async fn redeem_against_expiry_with(sale: &Sale, other: &Client) {
    const HOLDS: usize = 40;
    const AIM: Duration = Duration::from_millis(40);
    let mut random = seed();
    for _ in 0..rounds(5, 40) {
        let product = sale.product(HOLDS as u64).await;
        let holds = place(sale, product, HOLDS).await;
        let tasks = holds.iter().enumerate().map(|(n, (id, deadline))| {
            let client = if n % 2 == 0 { sale.client.clone() } else { other.clone() };
            let (id, deadline) = (*id, *deadline);
            // Its way to the lock takes some milliseconds: so from well before to a little after.
            let before = AIM.mul_f64(random.f64());
            tokio::spawn(async move {
                clock_is(before, deadline).await;
                (client.send(&order(id)).await.or_fail(), SystemTime::now())
            })
        });
        let mut redeemed = 0;
        for (task, (id, deadline)) in tasks.collect::<Vec<_>>().into_iter().zip(&holds) {
            let (answer, answered_at) = task.await.or_fail();
            let shown = sale.hold_shown(*id).await;
            if answer.status == 201 {
                redeemed += 1;
                let order = answer.json()["data"].clone();
                assert_eq!((&shown["status"], &shown["order_id"]), (&"redeemed".into(), &order["id"]));
                assert!(created_at(&order) < *deadline, "redeemed at or after its deadline: {order}");
            } else {
                assert_eq!((answer.status, answer.code().as_str()), (409, "hold_expired"));
                assert!(answered_at >= *deadline, "expired before its deadline");
                assert_eq!((&shown["status"], &shown["release_reason"]), (&"released".into(), &"expired".into()));
            }
        }
        let left = HOLDS as u64 - redeemed;
        eventually("all deadlines have come", async || {
            let stock = sale.stock(product).await;
            if stock == (Stock { free: left, available: left, reserved: 0 }) {
                Ok(())
            } else {
                Err(format!("{stock:?}"))
            }
        })
        .await;
    }
    sale.assert_audit_passes().await;
}

/// The keys of all payments that were taken for nothing.
async fn refunds(sale: &Sale) -> BTreeSet<String> {
    let sql = "SELECT payment_key FROM payment_events WHERE effect = 'refund_required'";
    sale.database.rows(sql).await.or_fail().into_iter().flatten().flatten().collect()
}

fn created_at(order: &Value) -> SystemTime {
    deadline_of(&serde_json::json!({"expires_at": order["created_at"]}))
}

async fn success_against_failure(setup: Setup) {
    let sale = setup.start().await;
    success_against_failure_with(&sale, &sale.client).await;
}

async fn success_against_failure_with(sale: &Sale, other: &Client) {
    const ORDERS: usize = 20;
    for round in 0..rounds(5, 50) {
        let product = sale.product(ORDERS as u64).await;
        let mut orders = Vec::new();
        for (hold, _) in place(sale, product, ORDERS).await {
            orders.push(sale.order(hold).await);
        }
        let news = |n: usize, order: u64, status: &str| payment(&format!("{round}-{n}-{status}"), order, status);
        let mut requests = Vec::new();
        for (n, id) in orders.iter().enumerate() {
            // Not always the same one first.
            let mut pair = [news(n, *id, "success"), news(n, *id, "failure")];
            pair.rotate_left(n % 2);
            let [first, second] = pair;
            requests.extend([(sale.client.clone(), first), (other.clone(), second)]);
        }
        for answer in all(burst(requests).await) {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let refunds = refunds(sale).await;
        let mut cancelled = 0;
        for (n, id) in orders.iter().enumerate() {
            let shown = sale.order_shown(*id).await;
            let is_refunded = refunds.contains(&format!("{round}-{n}-success"));
            match shown["status"].as_str() {
                // Cancelled first, then paid for nothing.
                Some("cancelled") => {
                    cancelled += 1;
                    assert!(is_refunded, "no refund for order {id} in {refunds:?}");
                }
                Some("paid") => assert!(!is_refunded, "a refund for the paid order {id} in {refunds:?}"),
                other => panic!("order {id} is {other:?}"),
            }
        }
        assert_eq!(sale.stock(product).await, Stock { free: cancelled, available: cancelled, reserved: 0 });
    }
    sale.assert_audit_passes().await;
}

async fn release_against_redeem(setup: Setup) {
    let sale = setup.start().await;
    release_against_redeem_with(&sale, &sale.client).await;
}

async fn release_against_redeem_with(sale: &Sale, other: &Client) {
    const HOLDS: usize = 20;
    for _ in 0..rounds(5, 50) {
        let product = sale.product(HOLDS as u64).await;
        let holds = place(sale, product, HOLDS).await;
        let mut requests: Vec<(Client, Request)> = Vec::new();
        for (n, (id, _)) in holds.iter().enumerate() {
            let (first, second) = if n % 2 == 0 { (&sale.client, other) } else { (other, &sale.client) };
            requests.extend([(first.clone(), give_back(*id)), (second.clone(), order(*id))]);
        }
        let answers = all(burst(requests).await);
        let mut back = 0;
        for ((id, _), pair) in holds.iter().zip(answers.chunks(2)) {
            let shown = sale.hold_shown(*id).await;
            match (pair[0].status, pair[1].status) {
                (204, 409) => {
                    back += 1;
                    assert_eq!(pair[1].code(), "hold_released");
                    assert_eq!(
                        (&shown["status"], &shown["release_reason"]),
                        (&"released".into(), &"given_back".into())
                    );
                }
                (409, 201) => {
                    assert_eq!(pair[0].code(), "hold_already_redeemed");
                    assert_eq!(shown["status"], "redeemed");
                }
                other => panic!("release and redeem of hold {id} were answered {other:?}"),
            }
        }
        assert_eq!(sale.stock(product).await, Stock { free: back, available: back, reserved: 0 });
    }
    sale.assert_audit_passes().await;
}

async fn window_against_success(setup: Setup) {
    const ORDERS: usize = 20;
    const AIM: Duration = Duration::from_millis(40);
    let sale = setup.setting("PAYMENT_WINDOW_SECONDS", "1").start().await;
    let mut random = seed();
    for round in 0..rounds(4, 40) {
        let product = sale.product(ORDERS as u64).await;
        let holds = place(&sale, product, ORDERS).await;
        let answers = all(sale.client.burst(holds.iter().map(|(id, _)| order(*id)).collect()).await);
        let orders: Vec<Value> = placed(&answers).map(|order| order["data"].clone()).collect();
        assert_eq!(orders.len(), ORDERS);
        let tasks = orders.iter().enumerate().map(|(n, order)| {
            let client = sale.client.clone();
            let request = payment(&format!("{round}-{n}"), number(&order["id"]), "success");
            let window_ends = created_at(order) + Duration::from_secs(1);
            let before = AIM.mul_f64(random.f64());
            tokio::spawn(async move {
                clock_is(before, window_ends).await;
                client.send(&request).await.or_fail()
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            let answer = task.await.or_fail();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let refunds = refunds(&sale).await;
        let mut cancelled = 0;
        for (n, order) in orders.iter().enumerate() {
            // Its success was answered, so it is final: paid before the window cancelled it, or never.
            let is_refunded = refunds.contains(&format!("{round}-{n}"));
            match (sale.order_shown(number(&order["id"])).await["status"].as_str(), is_refunded) {
                (Some("cancelled"), true) => cancelled += 1,
                (Some("paid"), false) => {}
                other => panic!("an order whose success was answered, and whether it is refunded: {other:?}"),
            }
        }
        assert_eq!(sale.stock(product).await, Stock { free: cancelled, available: cancelled, reserved: 0 });
    }
    sale.assert_audit_passes().await;
}

async fn a_redeem_that_waited_across_the_deadline_is_late(setup: Setup) {
    let sale = setup.setting("HOLD_TTL_SECONDS", "1").start().await;
    let product = sale.product(10).await;
    for _ in 0..rounds(2, 10) {
        let id = sale.hold(product, 4).await;
        let lock = Lock::take(&sale, product).await;
        let deadline = deadline_of(&sale.hold_shown(id).await);
        let client = sale.client.clone();
        let redeem = tokio::spawn(async move { client.send(&order(id)).await.or_fail() });
        clock_is(Duration::ZERO, deadline).await;
        assert!(!redeem.is_finished(), "it did not wait for the lock");
        lock.release().await;
        let answer = redeem.await.or_fail();
        assert_eq!((answer.status, answer.code().as_str()), (409, "hold_expired"), "{}", answer.text());
        assert_eq!(sale.hold_shown(id).await["release_reason"], "expired");
    }
    assert_eq!(sale.stock(product).await.free, 10);
    sale.assert_audit_passes().await;
}
