//! How often one client may call, and who it is taken for.

use holdfast_test_support::{
    ADMIN_TOKEN, Answer, Client, OrFail, Request, Sale, Setup, for_both, hold, operator, payment,
};

for_both!(
    an_address_has_a_quota,
    nobody_gets_a_new_address_by_saying_so,
    a_trusted_proxy_says_who_its_client_is,
    a_token_has_a_quota,
);

/// Few, so that a test uses them up in less time than one comes back.
const QUOTA: u32 = 5;

async fn burst(sale: &Sale, requests: impl Iterator<Item = Request>) -> Vec<Answer> {
    let requests: Vec<Request> = requests.collect();
    holdfast_test_support::all(sale.client.burst(requests).await)
}

fn refused(answers: &[Answer]) -> usize {
    for answer in answers.iter().filter(|answer| answer.status == 429) {
        assert_eq!(answer.code(), "rate_limited");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(answer.header("x-request-id").is_some());
    }
    answers.iter().filter(|answer| answer.status == 429).count()
}

async fn an_address_has_a_quota(setup: Setup) {
    let sale = setup.setting("ADDRESS_REQUESTS_PER_SECOND", &QUOTA).start().await;
    let product = sale.product(10_000).await;
    let requests = (0..200).map(|_| hold(product, 1));
    let answers = burst(&sale, requests).await;
    let (placed, refused) = (answers.iter().filter(|answer| answer.status == 201).count(), refused(&answers));
    assert_eq!(placed + refused, 200);
    assert!(placed >= 1 && refused >= 100, "{placed} placed, {refused} refused");
    // The provider and whoever watches are served all the same, whatever shoppers do.
    for _ in 0..20 {
        assert_eq!(sale.send(&payment("evt_1", 1, "success")).await.status, 422);
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(sale.client.get(path).await.or_fail().status, 200, "{path}");
        }
    }
    let metrics = sale.client.get("/metrics").await.or_fail().text();
    assert!(
        metrics.contains(&format!("holdfast_rate_limited_requests_total{{quota=\"address\"}} {refused}\n")),
        "{metrics}"
    );
    assert!(metrics.contains("holdfast_rate_limited_requests_total{quota=\"token\"} 0\n"), "{metrics}");
    sale.assert_audit_passes().await;
}

async fn nobody_gets_a_new_address_by_saying_so(setup: Setup) {
    // One with a proxy elsewhere, one without any.
    for trusted in ["10.0.0.0/8", ""] {
        let setup = setup.clone().setting("ADDRESS_REQUESTS_PER_SECOND", &QUOTA).setting("TRUSTED_PROXIES", trusted);
        let sale = setup.start().await;
        let spoofed = (0..200_u32)
            .map(|number| Request::get("/api/limits").header("x-forwarded-for", &format!("192.0.2.{number}")));
        let answers = burst(&sale, spoofed).await;
        assert!(refused(&answers) >= 100, "trusted: {trusted:?}");
        sale.assert_audit_passes().await;
    }
}

async fn a_trusted_proxy_says_who_its_client_is(setup: Setup) {
    let setup = setup.setting("ADDRESS_REQUESTS_PER_SECOND", &QUOTA).setting("TRUSTED_PROXIES", "127.0.0.1 10.0.0.0/8");
    let sale = setup.start().await;
    let from = |forwarded: String| Request::get("/api/limits").header("x-forwarded-for", &forwarded);
    // As many clients as requests: nobody is refused.
    let each = (0..200_u32).map(|number| from(format!("192.0.2.{number}, 10.0.0.1")));
    assert_eq!(refused(&burst(&sale, each).await), 0);
    // One client that writes what it likes before its proxy writes the truth.
    let one = (0..200_u32).map(|number| from(format!("192.0.2.{number}, 203.0.113.7")));
    assert!(refused(&burst(&sale, one).await) >= 100);
    // One client with all addresses of its network.
    let one = (0..200_u32).map(|number| from(format!("2001:db8::{number:x}")));
    assert!(refused(&burst(&sale, one).await) >= 100);
    sale.assert_audit_passes().await;
}

async fn a_token_has_a_quota(setup: Setup) {
    const TOKENS: [&str; 2] = ["a-storefront-of-the-tests", "another-storefront-of-the-tests"];
    let setup = setup.setting("API_TOKENS", &TOKENS.join(" ")).setting("TOKEN_REQUESTS_PER_SECOND", &QUOTA);
    let sale = setup.start().await;
    let with = |token: &str| Request::get("/api/limits").header("authorization", &format!("Bearer {token}"));
    assert!(refused(&burst(&sale, (0..200).map(|_| with(TOKENS[0]))).await) >= 100);
    // The other has its own, operators have none, and a guess is none's.
    assert_eq!(sale.send(&with(TOKENS[1])).await.status, 200);
    for _ in 0..20 {
        assert_eq!(sale.send(&with("a-storefront-of-nobody")).await.status, 401);
        let unknown = Request::post("/api/products/999/suspend", &serde_json::json!({}));
        assert_eq!(sale.send(&operator(unknown)).await.status, 404, "{ADMIN_TOKEN}");
    }
    let client = Client::http2(&sale.server.url());
    assert!(matches!(client.send(&with(TOKENS[1])).await.or_fail().status, 200 | 429));
    sale.assert_audit_passes().await;
}
