//! A server that somebody else runs: what may be judged there, and what is left behind.

use std::time::Duration;

use holdfast_test_support::rig::process::Process;
use holdfast_test_support::{ADMIN_TOKEN, OrFail, Sale, Setup, eventually, for_both};
use rustix::process::Signal;

use crate::harness::Harness;

const API_TOKEN: &str = "a-storefront-of-the-tests-0123456789";
const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

for_both!(
    a_run_makes_its_own_products_and_leaves_nothing_open,
    an_interrupted_run_cleans_up_too,
    a_product_that_others_buy_is_judged_only_by_what_stays_sound,
    a_sole_user_who_says_what_is_there_has_everything_judged,
    a_product_that_is_not_as_it_was_vouched_for_is_not_touched,
);

/// A server as it might run in staging, with all its doors locked.
async fn staging(setup: Setup) -> Sale {
    setup
        .setting("API_TOKENS", API_TOKEN)
        .setting("WEBHOOK_SECRET", WEBHOOK_SECRET)
        .setting("HOLD_TTL_SECONDS", "2")
        .setting("PAYMENT_WINDOW_SECONDS", "60")
        .start()
        .await
}

fn against(sale: &Sale, arguments: &[&str]) -> Harness {
    let url = sale.server.url();
    let arguments: Vec<&str> = ["--quick", "--host", &url].into_iter().chain(arguments.iter().copied()).collect();
    Harness::run(&arguments).variable("API_TOKEN", API_TOKEN).variable("WEBHOOK_SECRET", WEBHOOK_SECRET)
}

async fn assert_nothing_is_open(sale: &Sale) {
    // Holds whose answers were lost end by themselves.
    eventually("no hold is active", async || {
        match sale.database.integer("SELECT COUNT(*) FROM holds WHERE status = 'active'").await.or_fail() {
            0 => Ok(()),
            active => Err(active),
        }
    })
    .await;
    let unpaid = "SELECT COUNT(*) FROM orders WHERE status = 'pending_payment'";
    assert_eq!(sale.database.integer(unpaid).await.or_fail(), 0, "orders wait for their payment");
    let on_sale = "SELECT COUNT(*) FROM products WHERE status = 'on_sale' AND name LIKE 'loadtest %'";
    assert_eq!(sale.database.integer(on_sale).await.or_fail(), 0, "products are on sale");
    sale.assert_audit_passes().await;
}

async fn a_run_makes_its_own_products_and_leaves_nothing_open(setup: Setup) {
    let sale = staging(setup).await;
    let run = against(&sale, &[]).variable("ADMIN_TOKEN", ADMIN_TOKEN).finish().await;
    run.assert_code(0);
    assert_eq!(run.standing("no_oversell"), "held");
    assert_eq!(run.standing("audit"), "not_applicable");
    assert_nothing_is_open(&sale).await;
    let everything = run.everything();
    for secret in [ADMIN_TOKEN, API_TOKEN, WEBHOOK_SECRET, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
        assert!(!everything.contains(secret), "a secret was told");
    }
}

async fn an_interrupted_run_cleans_up_too(setup: Setup) {
    let sale = staging(setup).await;
    let harness = against(&sale, &["--scenario", "rush", "--duration", "60s"]).variable("ADMIN_TOKEN", ADMIN_TOKEN);
    let process = Process::spawn(harness.plan()).await.or_fail();
    eventually("there are orders", async || {
        match sale.database.integer("SELECT COUNT(*) FROM orders").await.or_fail() {
            0..20 => Err("too few"),
            _ => Ok(()),
        }
    })
    .await;
    process.signal(Signal::INT).or_fail();
    let status = process.wait_at_most(Duration::from_mins(1)).await.or_fail();
    assert_eq!(status.code(), Some(3), "{}", process.log().text());
    assert_nothing_is_open(&sale).await;
}

async fn a_product_that_others_buy_is_judged_only_by_what_stays_sound(setup: Setup) {
    let sale = staging(setup).await;
    let product = sale.product(100_000).await.to_string();
    let run = against(&sale, &["--product", &product, "--scenario", "rush,duplicates,expiry"]).finish().await;
    run.assert_code(0);
    for check in ["replays", "one_order_per_hold", "final_states", "deadlines", "nothing_lost", "counters"] {
        assert_eq!(run.standing(check), "held", "{check}");
    }
    for check in ["no_oversell", "units_conserved", "no_false_sold_out", "fresh_reads"] {
        assert_eq!(run.standing(check), "not_applicable", "{check}");
    }
    assert_nothing_is_open(&sale).await;
}

async fn a_sole_user_who_says_what_is_there_has_everything_judged(setup: Setup) {
    let sale = staging(setup).await;
    let product = sale.product(500).await.to_string();
    let arguments = ["--product", &product, "--sole-user", "--stocked", "500", "--scenario", "soldout"];
    let run = against(&sale, &arguments).finish().await;
    run.assert_code(0);
    assert_eq!(run.standing("no_oversell"), "held");
    assert_eq!(run.standing("units_conserved"), "held");
}

async fn a_product_that_is_not_as_it_was_vouched_for_is_not_touched(setup: Setup) {
    let sale = staging(setup).await;
    let product = sale.product(500).await.to_string();
    let run = against(&sale, &["--product", &product, "--sole-user", "--stocked", "400"]).finish().await;
    run.assert_code(4);
    assert!(run.finished.err.contains("500 units"), "{}", run.finished.err);
    assert_eq!(sale.database.integer("SELECT COUNT(*) FROM holds").await.or_fail(), 0);
}
