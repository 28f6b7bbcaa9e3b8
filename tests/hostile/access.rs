//! Who may do what: storefronts, operators, whoever watches, the payment provider.

use holdfast_test_support::{ADMIN_TOKEN, Client, OrFail, Request, Setup, for_both, hold, payment};

for_both!(a_token_opens_its_own_doors_only, metrics_ask_for_the_token_that_a_setting_names, a_token_is_no_signature);

const API_TOKEN: &str = "a-storefront-of-the-tests";
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";

fn with(request: Request, token: &str) -> Request {
    request.header("authorization", &format!("Bearer {token}"))
}

async fn a_token_opens_its_own_doors_only(setup: Setup) {
    let sale = setup.setting("API_TOKENS", API_TOKEN).start().await;
    let product = sale.product(10).await;
    let suspend = Request::post(&format!("/api/products/{product}/suspend"), &serde_json::json!({}));
    for (request, token, status) in [
        (hold(product, 1), Some(API_TOKEN), 201),
        // Operators are no storefronts, and storefronts no operators.
        (hold(product, 1), Some(ADMIN_TOKEN), 401),
        (hold(product, 1), None, 401),
        (suspend.clone(), Some(API_TOKEN), 401),
        (suspend, None, 401),
        (Request::get("/api/holds/1"), None, 401),
        (Request::get("/api/orders/1"), Some("a-storefront-of-the-test"), 401),
        (Request::get("/healthz"), None, 200),
        (Request::get("/readyz"), None, 200),
    ] {
        let what = format!("{} {} {token:?}", request.method(), request.path());
        let request = token.map_or(request.clone(), |token| with(request, token));
        let answer = sale.send(&request).await;
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.header("www-authenticate"), (status == 401).then_some("Bearer"), "{what}");
    }
    sale.assert_audit_passes().await;
}

async fn metrics_ask_for_the_token_that_a_setting_names(setup: Setup) {
    for (access, own_listener, admitted, refused) in [
        ("api", true, API_TOKEN, ADMIN_TOKEN),
        ("admin", true, ADMIN_TOKEN, API_TOKEN),
        ("admin", false, ADMIN_TOKEN, API_TOKEN),
    ] {
        let mut setup = setup.clone().setting("API_TOKENS", API_TOKEN).setting("METRICS_ACCESS", access);
        if own_listener {
            setup = setup.setting("OPS_ADDR", "127.0.0.1:0");
        }
        let sale = setup.start().await;
        let ops = Client::new(&sale.server.ops_url());
        let metrics = Request::get("/metrics");
        assert_eq!(ops.send(&metrics).await.or_fail().status, 401, "{access}");
        assert_eq!(ops.send(&with(metrics.clone(), refused)).await.or_fail().status, 401, "{access}");
        assert_eq!(ops.send(&with(metrics.clone(), admitted)).await.or_fail().status, 200, "{access}");
        // Health checks have no secrets, and load balancers no tokens.
        assert_eq!(ops.get("/readyz").await.or_fail().status, 200);
        sale.assert_audit_passes().await;
    }
}

/// The provider has no token of ours, and whoever has one is not the provider.
async fn a_token_is_no_signature(setup: Setup) {
    let sale = setup.setting("API_TOKENS", API_TOKEN).setting("WEBHOOK_SECRET", SECRET).start().await;
    let before = sale.database.snapshot(&[]).await.or_fail();
    for token in [API_TOKEN, ADMIN_TOKEN] {
        let answer = sale.send(&with(payment("evt_1", 1, "success"), token)).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"));
    }
    // Signed, and without any token: taken, but for the order that there is not.
    let signed = crate::forged::signed(SECRET, &payment("evt_1", 1, "success"), 0);
    assert_eq!(sale.send(&signed).await.status, 422);
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);
    sale.assert_audit_passes().await;
}
