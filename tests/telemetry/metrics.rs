//! `/metrics` of a server that has done nothing yet, and of one that has.

use holdfast_test_support::{Sale, Setup, eventually, for_both, hold, order};

use crate::scraped::Scraped;

for_both!(
    every_label_value_is_there_from_the_start,
    a_sale_is_measured,
    a_suspension_from_elsewhere_is_seen_by_the_reconciler,
    a_suspension_from_elsewhere_is_seen_by_the_first_who_is_refused,
);

/// Every family whose labels are known before anything happens, with the values of its one label. Of histograms the count.
const LABELLED: &[(&str, &str, &[&str])] = &[
    (
        "holdfast_holds_total",
        "outcome",
        &[
            "placed",
            "replayed",
            "insufficient_stock",
            "product_suspended",
            "product_unknown",
            "quantity_over_limit",
            "idempotency_key_reused",
        ],
    ),
    (
        "holdfast_orders_total",
        "outcome",
        &[
            "placed",
            "replayed",
            "hold_expired",
            "hold_released",
            "hold_already_redeemed",
            "hold_unknown",
            "idempotency_key_reused",
        ],
    ),
    (
        "holdfast_payment_events_total",
        "outcome",
        &[
            "paid",
            "cancelled",
            "no_effect",
            "refund_required",
            "repeated",
            "payment_key_conflict",
            "order_unknown",
            "unsigned",
            "validation_failed",
        ],
    ),
    ("holdfast_commit_phase_seconds_count", "phase", &["lock_wait", "load", "decide", "write", "commit"]),
    ("holdfast_queue_depth", "queue", &["holds", "others"]),
    ("holdfast_queue_age_seconds", "queue", &["holds", "others"]),
    ("holdfast_queue_wait_seconds_count", "queue", &["holds", "others"]),
    ("holdfast_turned_away_total", "reason", TURNED_AWAY),
    ("holdfast_holds_total", "outcome", TURNED_AWAY),
    ("holdfast_orders_total", "outcome", TURNED_AWAY),
    ("holdfast_payment_events_total", "outcome", TURNED_AWAY),
    ("holdfast_retries_total", "reason", &["deadlock", "lock_timeout", "row_changed", "duplicate_key", "disconnected"]),
    ("holdfast_unknown_outcomes_total", "resolution", &["committed", "not_committed"]),
    ("holdfast_read_callers_count", "read", &["stock", "description", "hold", "order", "product_list"]),
    ("holdfast_read_duration_seconds_count", "read", &["stock", "description", "hold", "order", "product_list"]),
    ("holdfast_inconsistencies_total", "invariant", &["I1", "I2", "I3", "I4", "I5", "I6"]),
    ("holdfast_suspended_products", "reason", &["inconsistent", "operator"]),
    ("holdfast_http_connections_cut_total", "reason", &["over_limit", "silent", "slow_head"]),
    ("holdfast_rate_limited_requests_total", "quota", &["address", "token"]),
    ("holdfast_trace_spans_total", "result", &["exported", "failed", "dropped"]),
];

/// Why a request was not served, of whatever kind.
const TURNED_AWAY: &[&str] = &[
    "queue_full",
    "queue_slow",
    "reads_full",
    "deadline",
    "hung_up",
    "database_unavailable",
    "outcome_unknown",
    "stopping",
    "internal",
];

/// The families without labels that are at 0 while nothing happens.
const PLAIN: &[&str] = &[
    "holdfast_holds_given_back_total",
    "holdfast_expired_holds_total",
    "holdfast_expired_units_total",
    "holdfast_overdue_orders_total",
    "holdfast_refunds_required_total",
    "holdfast_refunds_waiting",
    "holdfast_batch_commands_count",
    "holdfast_batch_halvings_total",
    "holdfast_expiry_lag_seconds",
    "holdfast_expiry_delay_seconds_count",
    "holdfast_quarantines_total",
    "holdfast_unresolved_outcomes",
    "holdfast_database_durability_problems",
];

async fn every_label_value_is_there_from_the_start(setup: Setup) {
    let sale = setup.start().await;
    let metrics = Scraped::of(&sale.client).await;
    for (family, label, values) in LABELLED {
        for value in *values {
            let series = format!("{family}{{{label}=\"{value}\"}}");
            assert_eq!(metrics.get(&series), Some(0.0), "{series}");
        }
    }
    for series in PLAIN {
        assert_eq!(metrics.get(series), Some(0.0), "{series}");
    }
    let answered = |method: &str, status: u16, route: &str| {
        let labels =
            format!("http_request_method=\"{method}\",http_response_status_code=\"{status}\",http_route=\"{route}\"");
        metrics.get(&format!("http_server_request_duration_seconds_count{{{labels}}}"))
    };
    for (method, route, statuses) in [
        ("POST", "/api/holds", &[201, 400, 409, 413, 415, 422, 499, 500, 503][..]),
        ("DELETE", "/api/holds/{id}", &[204, 404, 409, 500, 503]),
        ("POST", "/api/orders", &[201, 409, 422, 503]),
        ("POST", "/api/payments/webhook", &[200, 400, 401, 404, 409, 422, 500, 503]),
    ] {
        for status in statuses {
            assert_eq!(answered(method, *status, route), Some(0.0), "{method} {route} {status}");
        }
    }
    assert_eq!(metrics.get("holdfast_database_reachable"), Some(1.0));
    // Connections are opened when they are needed, so how many there are is not known; that they are counted is.
    for purpose in ["batches", "reads", "desk", "migration"] {
        let series = format!("holdfast_database_connections{{purpose=\"{purpose}\"}}");
        assert!(metrics.get(&series).is_some(), "{series}");
    }
    assert!(metrics.get("tokio_runtime_workers").is_some_and(|workers| workers >= 1.0));
    assert!(metrics.sum("holdfast_build_info") > 0.0);
    assert!(metrics.sum("process_start_time_seconds") > 0.0);
}

async fn a_sale_is_measured(setup: Setup) {
    let sale = setup.setting("HOLD_TTL_SECONDS", "1").start().await;
    let product = sale.product(10).await;
    let order_id = sale.order(sale.hold(product, 2).await).await;
    sale.pay("evt_1", order_id, "success").await;
    assert_eq!(sale.send(&payment_of_nobody()).await.status, 422);
    assert_eq!(sale.send(&hold(product, 3)).await.status, 201);
    assert_eq!(sale.send(&hold(product, 6)).await.status, 409);
    assert_eq!(sale.send(&hold(product + 1, 1)).await.status, 422);
    assert_eq!(sale.send(&order(1_000_000)).await.status, 422);
    eventually("the hold expires", async || {
        match Scraped::of(&sale.client).await.get("holdfast_expired_units_total") {
            Some(units) if units >= 3.0 => Ok(()),
            units => Err(format!("{units:?}")),
        }
    })
    .await;
    // The series of the page that showed it may have been read one by one while the expiry was being counted.
    let metrics = Scraped::of(&sale.client).await;
    for (series, value) in [
        (r#"holdfast_holds_total{outcome="placed"}"#, 2.0),
        (r#"holdfast_holds_total{outcome="insufficient_stock"}"#, 1.0),
        (r#"holdfast_holds_total{outcome="product_unknown"}"#, 1.0),
        (r#"holdfast_orders_total{outcome="placed"}"#, 1.0),
        (r#"holdfast_orders_total{outcome="hold_unknown"}"#, 1.0),
        (r#"holdfast_payment_events_total{outcome="paid"}"#, 1.0),
        (r#"holdfast_payment_events_total{outcome="order_unknown"}"#, 1.0),
        ("holdfast_expired_holds_total", 1.0),
        ("holdfast_expiry_delay_seconds_count", 1.0),
    ] {
        assert_eq!(metrics.get(series), Some(value), "{series}");
    }
    let stock = |family: &str| metrics.get(&format!("holdfast_product_{family}{{product_id=\"{product}\"}}"));
    assert_eq!(stock("stock_available_units"), Some(8.0));
    assert_eq!(stock("stock_reserved_units"), Some(0.0));
    assert_eq!(stock("on_sale"), Some(1.0));
    for phase in ["lock_wait", "load", "decide", "write", "commit"] {
        let count = metrics.get(&format!("holdfast_commit_phase_seconds_count{{phase=\"{phase}\"}}"));
        assert!(count.is_some_and(|count| count >= 5.0), "{phase}: {count:?}");
    }
    let writers = metrics.get(r#"holdfast_database_connections{purpose="batches"}"#);
    assert!(writers.is_some_and(|writers| writers >= 1.0), "{writers:?}");
    assert!(metrics.sum("holdfast_queue_wait_seconds_count") >= 4.0);
    assert!(metrics.sum("holdfast_read_callers_count") >= 1.0);
    assert!(metrics.sum("holdfast_read_callers_sum") >= metrics.sum("holdfast_read_callers_count"));
}

fn on_sale(product: u64) -> String {
    format!("holdfast_product_on_sale{{product_id=\"{product}\"}}")
}

/// Another process suspends a product that this server has sold, and restocks it.
async fn suspend_from_elsewhere(sale: &Sale, product: u64) {
    let id = product.to_string();
    for arguments in [&["product", "restock", &id, "--qty", "5"][..], &["product", "suspend", &id]] {
        let finished = sale.holdfast(arguments).await;
        assert_eq!(finished.code(), Some(0), "{arguments:?}: {}", finished.err);
    }
}

async fn a_suspension_from_elsewhere_is_seen_by_the_reconciler(setup: Setup) {
    let sale = setup.setting("RECONCILE_SECONDS", "1").start().await;
    let product = sale.product(10).await;
    sale.hold(product, 2).await;
    assert_eq!(Scraped::of(&sale.client).await.get(&on_sale(product)), Some(1.0));
    suspend_from_elsewhere(&sale, product).await;
    // Nobody asks for the product.
    let metrics = eventually("the reconciler sees it", async || {
        let metrics = Scraped::of(&sale.client).await;
        match metrics.get(&on_sale(product)) {
            Some(0.0) => Ok(metrics),
            on_sale => Err(format!("{on_sale:?}")),
        }
    })
    .await;
    let available = format!("holdfast_product_stock_available_units{{product_id=\"{product}\"}}");
    assert_eq!(metrics.get(&available), Some(15.0));
}

async fn a_suspension_from_elsewhere_is_seen_by_the_first_who_is_refused(setup: Setup) {
    let sale = setup.setting("RECONCILE_SECONDS", "3600").start().await;
    let product = sale.product(10).await;
    sale.hold(product, 2).await;
    suspend_from_elsewhere(&sale, product).await;
    assert_eq!(sale.send(&hold(product, 1)).await.code(), "product_suspended");
    assert_eq!(Scraped::of(&sale.client).await.get(&on_sale(product)), Some(0.0));
}

fn payment_of_nobody() -> holdfast_test_support::Request {
    holdfast_test_support::payment("evt_2", 1_000_000, "success")
}
