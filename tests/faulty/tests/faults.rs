//! Every planted bug shows itself to the shortest sequence of requests that it is about, and the right
//! server answers that sequence as it should.
//!
//! What does not belong here: whether the harness finds them; that is `planted.rs`. A sequence that is a race
//! is tried again and again, until the bug shows.

use std::time::{Duration, SystemTime};

use holdfast_faulty::Fault;
use holdfast_test_support::{
    Answer, Kind, Request, Sale, Setup, all, clock_is, deadline_of, give_back, hold, number, order, payment,
};

/// How often a server with a bug may get away with it.
const TRIES: usize = 60;
/// How often the right server is tried.
const TRIES_OF_THE_RIGHT_ONE: usize = 2;

/// Far more units than any sequence takes.
const PLENTY: u64 = 10_000;

async fn status(sale: &Sale, request: &Request) -> u16 {
    sale.send(request).await.status
}

/// How many of these, sent at once, were answered 201.
async fn created(sale: &Sale, requests: Vec<Request>) -> Vec<Answer> {
    let mut answers = all(sale.client.burst(requests).await);
    answers.retain(|answer| answer.status == 201);
    answers
}

async fn pending_order(sale: &Sale, product: u64) -> u64 {
    let hold_id = sale.hold(product, 1).await;
    sale.order(hold_id).await
}

async fn order_is(sale: &Sale, order_id: u64, status: &str) -> bool {
    sale.order_shown(order_id).await["status"] == status
}

/// Holds units and waits until they are free again, by the clock.
async fn expired_hold(sale: &Sale, product: u64, qty: u64) -> u64 {
    let hold_id = sale.hold(product, qty).await;
    clock_is(Duration::ZERO, deadline_of(&sale.hold_shown(hold_id).await)).await;
    hold_id
}

async fn check_then_write(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    created(sale, vec![hold(product, 1); 8]).await.len() > 1
}

async fn lost_update(sale: &mut Sale) -> bool {
    let product = sale.product(PLENTY).await;
    let held = created(sale, vec![hold(product, 1); 8]).await.len();
    sale.stock(product).await.reserved < held as u64
}

async fn off_by_one(sale: &mut Sale) -> bool {
    let product = sale.product(3).await;
    status(sale, &hold(product, 4)).await == 201
}

async fn quantity_ignored(sale: &mut Sale) -> bool {
    let product = sale.product(3).await;
    sale.hold(product, 3).await;
    status(sale, &hold(product, 2)).await == 201
}

async fn expiry_returns_redeemed(sale: &mut Sale) -> bool {
    let product = sale.product(2).await;
    let hold_id = sale.hold(product, 1).await;
    sale.order(hold_id).await;
    clock_is(Duration::ZERO, deadline_of(&sale.hold_shown(hold_id).await)).await;
    sale.stock(product).await.available != 1
}

async fn release_twice(sale: &mut Sale) -> bool {
    let product = sale.product(3).await;
    let hold_id = sale.hold(product, 1).await;
    sale.hold(product, 1).await;
    for _ in 0..2 {
        sale.send(&give_back(hold_id)).await;
    }
    sale.stock(product).await.reserved == 0
}

async fn release_redeemed(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    let hold_id = sale.hold(product, 1).await;
    sale.order(hold_id).await;
    status(sale, &give_back(hold_id)).await == 204 && sale.stock(product).await.free == 1
}

async fn duplicate_applied_twice(sale: &mut Sale) -> bool {
    let product = sale.product(2).await;
    let order_id = pending_order(sale, product).await;
    pending_order(sale, product).await;
    let key = format!("twice-{product}");
    sale.pay(&key, order_id, "failure").await;
    sale.pay(&key, order_id, "failure").await;
    sale.stock(product).await.available != 1
}

async fn contradiction_moves_units(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    let order_id = pending_order(sale, product).await;
    sale.pay(&format!("yes-{product}"), order_id, "success").await;
    sale.pay(&format!("no-{product}"), order_id, "failure").await;
    order_is(sale, order_id, "paid").await && sale.stock(product).await.available != 0
}

async fn two_orders_from_one_hold(sale: &mut Sale) -> bool {
    let product = sale.product(PLENTY).await;
    let hold_id = sale.hold(product, 1).await;
    created(sale, vec![order(hold_id); 8]).await.len() > 1
}

async fn expired_redeemed(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    let hold_id = expired_hold(sale, product, 1).await;
    status(sale, &order(hold_id)).await == 201
}

async fn off_by_one_short(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    status(sale, &hold(product, 1)).await == 409
}

async fn expired_keeps_units(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    expired_hold(sale, product, 1).await;
    status(sale, &hold(product, 1)).await == 409
}

async fn expiry_by_sweep_only(sale: &mut Sale) -> bool {
    expired_keeps_units(sale).await
}

async fn cancelled_still_counted(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    let order_id = pending_order(sale, product).await;
    sale.pay(&format!("no-{product}"), order_id, "failure").await;
    status(sale, &hold(product, 1)).await == 409
}

async fn sold_out_after_release(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    let hold_id = sale.hold(product, 1).await;
    sale.send(&hold(product, 1)).await;
    sale.send(&give_back(hold_id)).await;
    status(sale, &hold(product, 1)).await == 409
}

async fn sold_out_neighbour(sale: &mut Sale) -> bool {
    let sold_out = sale.product(0).await;
    let mut neighbour = sold_out;
    while neighbour < sold_out + 16 {
        neighbour = sale.product(1).await;
    }
    sale.send(&hold(sold_out, 1)).await;
    status(sale, &hold(neighbour, 1)).await == 409
}

async fn early_expiry(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    let hold_id = sale.hold(product, 1).await;
    let deadline = deadline_of(&sale.hold_shown(hold_id).await);
    clock_is(Duration::from_millis(900), deadline).await;
    let is_released = sale.hold_shown(hold_id).await["status"] == "released";
    is_released && SystemTime::now() < deadline
}

async fn last_webhook_wins(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    let order_id = pending_order(sale, product).await;
    sale.pay(&format!("yes-{product}"), order_id, "success").await;
    sale.pay(&format!("no-{product}"), order_id, "failure").await;
    order_is(sale, order_id, "cancelled").await
}

async fn late_success_pays_cancelled(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    let order_id = pending_order(sale, product).await;
    sale.pay(&format!("no-{product}"), order_id, "failure").await;
    sale.pay(&format!("yes-{product}"), order_id, "success").await;
    order_is(sale, order_id, "paid").await
}

async fn pending_applied(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    let order_id = pending_order(sale, product).await;
    sale.pay(&format!("wait-{product}"), order_id, "pending").await;
    order_is(sale, order_id, "paid").await
}

async fn pending_uses_key(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    let order_id = pending_order(sale, product).await;
    let key = format!("same-{product}");
    sale.pay(&key, order_id, "pending").await;
    status(sale, &payment(&key, order_id, "success")).await == 409
}

async fn key_on_two_orders(sale: &mut Sale) -> bool {
    let product = sale.product(2).await;
    let (one, other) = (pending_order(sale, product).await, pending_order(sale, product).await);
    let key = format!("same-{product}");
    sale.pay(&key, one, "success").await;
    status(sale, &payment(&key, other, "success")).await == 200
}

async fn refused_event_uses_key(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    let order_id = pending_order(sale, product).await;
    let key = format!("same-{product}");
    assert_eq!(status(sale, &payment(&key, 9_007_199_254_740_991, "success")).await, 422);
    status(sale, &payment(&key, order_id, "success")).await == 409
}

async fn window_cancels_paid(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    let order_id = pending_order(sale, product).await;
    sale.pay(&format!("yes-{product}"), order_id, "success").await;
    // The window may have ended before the payment came.
    if !order_is(sale, order_id, "paid").await {
        return false;
    }
    let made = sale.order_shown(order_id).await["created_at"].as_str().and_then(|at| at.parse().ok());
    let made: jiff::Timestamp = made.expect("a time");
    clock_is(Duration::ZERO, SystemTime::from(made) + Duration::from_secs(SECONDS)).await;
    order_is(sale, order_id, "cancelled").await
}

async fn replay_with_other_body(sale: &mut Sale) -> bool {
    let product = sale.product(PLENTY).await;
    let key = format!("same-{product}");
    sale.send(&hold(product, 1).key(&key)).await;
    status(sale, &hold(product, 2).key(&key)).await == 201
}

async fn replay_makes_second_hold(sale: &mut Sale) -> bool {
    let product = sale.product(PLENTY).await;
    let request = hold(product, 1).key(&format!("same-{product}"));
    sale.send(&request).await.body != sale.send(&request).await.body
}

async fn replay_race(sale: &mut Sale) -> bool {
    let product = sale.product(PLENTY).await;
    let placed = created(sale, vec![hold(product, 1).key(&format!("same-{product}")); 8]).await;
    placed.iter().any(|answer| answer.body != placed[0].body)
}

async fn replay_not_first_answer(sale: &mut Sale) -> bool {
    let product = sale.product(1).await;
    let request = order(sale.hold(product, 1).await).key(&format!("same-{product}"));
    let first = sale.send(&request).await;
    sale.pay(&format!("yes-{product}"), number(&first.json()["data"]["id"]), "success").await;
    sale.send(&request).await.body != first.body
}

async fn keys_lost_on_restart(sale: &mut Sale) -> bool {
    let product = sale.product(PLENTY).await;
    let request = hold(product, 1).key(&format!("same-{product}"));
    let first = sale.send(&request).await;
    sale.server.restart().await.expect("a server");
    sale.send(&request).await.body != first.body
}

async fn done_but_refused(sale: &mut Sale) -> bool {
    let product = sale.product(PLENTY).await;
    let before = sale.stock(product).await.reserved;
    status(sale, &hold(product, 1)).await == 503 && sale.stock(product).await.reserved > before
}

async fn ack_before_durable(sale: &mut Sale) -> bool {
    let product = sale.product(PLENTY).await;
    let held = sale.send(&hold(product, 1)).await;
    sale.server.restart().await.expect("a server");
    let path = format!("/api/holds/{}", number(&held.json()["hold_id"]));
    status(sale, &Request::get(&path)).await == 404
}

async fn ids_reused_after_restart(sale: &mut Sale) -> bool {
    let product = sale.product(PLENTY).await;
    let first = sale.hold(product, 1).await;
    sale.server.restart().await.expect("a server");
    sale.hold(product, 1).await <= first
}

async fn stale_reads(sale: &mut Sale) -> bool {
    let product = sale.product(PLENTY).await;
    sale.stock(product).await;
    sale.hold(product, 1).await;
    sale.stock(product).await.reserved != 1
}

/// The time to live of holds, and the payment window, where a sequence waits for it.
const SECONDS: u64 = 2;

/// A sale on a server with a bug, or on the right one.
async fn sale_on(fault: Option<Fault>, waits_for: &[&str]) -> Sale {
    let mut setup = Setup::new(Kind::Sqlite, env!("CARGO_BIN_EXE_holdfast-faulty"));
    setup = setup.setting("HOLDFAST_FAULT", fault.map_or("", Fault::name));
    for setting in waits_for {
        setup = setup.setting(setting, &SECONDS);
    }
    setup.start().await
}

macro_rules! shown {
    ($($sequence:ident $($setting:literal)?,)+) => {
        mod shown {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $sequence() {
                    let fault: Fault = stringify!($sequence).parse().expect("the name of a fault");
                    let (mut wrong, mut right) =
                        tokio::join!(sale_on(Some(fault), &[$($setting)?]), sale_on(None, &[$($setting)?]));
                    for _ in 0..TRIES_OF_THE_RIGHT_ONE {
                        assert!(!super::$sequence(&mut right).await, "the right server does it: {}", fault.bug());
                    }
                    for _ in 0..TRIES {
                        if super::$sequence(&mut wrong).await {
                            return;
                        }
                    }
                    panic!("not seen in {TRIES} tries: {}", fault.bug());
                }
            )+
        }

        #[test]
        fn each_fault_is_shown() {
            let shown = [$(stringify!($sequence)),+];
            let all: Vec<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
            assert_eq!(shown.as_slice(), all);
        }
    };
}

shown! {
    check_then_write,
    lost_update,
    off_by_one,
    quantity_ignored,
    expiry_returns_redeemed "HOLD_TTL_SECONDS",
    release_twice,
    release_redeemed,
    duplicate_applied_twice,
    contradiction_moves_units,
    two_orders_from_one_hold,
    expired_redeemed "HOLD_TTL_SECONDS",
    off_by_one_short,
    expired_keeps_units "HOLD_TTL_SECONDS",
    expiry_by_sweep_only "HOLD_TTL_SECONDS",
    cancelled_still_counted,
    sold_out_after_release,
    sold_out_neighbour,
    early_expiry "HOLD_TTL_SECONDS",
    last_webhook_wins,
    late_success_pays_cancelled,
    pending_applied,
    pending_uses_key,
    key_on_two_orders,
    refused_event_uses_key,
    window_cancels_paid "PAYMENT_WINDOW_SECONDS",
    replay_with_other_body,
    replay_makes_second_hold,
    replay_race,
    replay_not_first_answer,
    keys_lost_on_restart,
    done_but_refused,
    ack_before_durable,
    ids_reused_after_restart,
    stale_reads,
}
