//! Tokens and secrets in the log, at its most talkative, whatever is sent.

use holdfast_test_support::{
    ADMIN_TOKEN, Client, Kind, OrFail, Request, Sale, Setup, TestDatabase, for_both, hold, payment,
};

use crate::wire::Wire;

for_both!(no_secret_is_ever_logged);

const API_TOKEN: &str = "a-storefront-of-the-tests";
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";

/// Tokens that are refused are secrets as well: mostly they are typing errors.
const WRONG_TOKEN: &str = "a-storefront-of-the-testz";

const DATABASE_PASSWORD: &str = "a-password-of-the-tests";
const COLLECTOR_TOKEN: &str = "a-collector-of-the-tests";

/// The URL of the database for an account that has a password, where there are accounts.
async fn url_with_password(database: &TestDatabase) -> String {
    if database.kind() == Kind::Sqlite {
        return database.url().to_owned();
    }
    let name = database.url().rsplit('/').next().expect("a name");
    let account = format!("'{name}'@'%'");
    let statements =
        format!("CREATE USER {account} IDENTIFIED BY '{DATABASE_PASSWORD}'; GRANT ALL ON `{name}`.* TO {account}");
    database.execute(&statements).await.or_fail();
    format!("mysql://{name}:{DATABASE_PASSWORD}@{}/{name}", database.address())
}

async fn no_secret_is_ever_logged(setup: Setup) {
    let setup = setup
        .setting("RUST_LOG", "trace")
        .setting("API_TOKENS", API_TOKEN)
        .setting("WEBHOOK_SECRET", SECRET)
        .setting("METRICS_ACCESS", "admin")
        .setting("ADDRESS_REQUESTS_PER_SECOND", &1000)
        .setting("TOKEN_REQUESTS_PER_SECOND", &3)
        // Nobody listens there.
        .setting("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        .setting("OTEL_EXPORTER_OTLP_HEADERS", &format!("authorization=Bearer {COLLECTOR_TOKEN}"));
    let database = setup.database().await;
    let server = setup.server(&url_with_password(&database).await).start().await.or_fail();
    let sale = Sale { client: server.client(), server, database };
    let product = sale.product(10).await;
    let signed = crate::forged::signed(SECRET, &payment("evt_1", 1, "success"), 0);
    let forged = crate::forged::signed("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &payment("evt_1", 1, "success"), 0);
    for client in [Client::new(&sale.server.url()), Client::http2(&sale.server.url())] {
        for token in [API_TOKEN, ADMIN_TOKEN, WRONG_TOKEN] {
            for scheme in ["Bearer", "bearer", "Basic", ""] {
                let value = format!("{scheme} {token}");
                for request in [hold(product, 1), Request::get("/metrics"), Request::get("/nowhere")] {
                    client.send(&request.header("authorization", &value)).await.or_fail();
                }
            }
        }
        client.send(&signed).await.or_fail();
        client.send(&forged).await.or_fail();
    }
    // Heads that cannot be read.
    let broken = format!("GET / HTTP/1.1\r\nauthorization: Bearer {API_TOKEN}\r\n: \r\n\r\n");
    Wire::begin(&sale.server, broken.as_bytes()).await.read_to_end().await;
    sale.assert_audit_passes().await;
    assert_eq!(sale.server.terminate().await.or_fail().code(), Some(0));
    let log = sale.server.log().text();
    assert!(log.lines().count() > 100, "nothing is logged at trace: {log}");
    let signature = |request: &Request| request.headers()["webhook-signature"].to_str().map(str::to_owned).or_fail();
    let secrets = [
        API_TOKEN.to_owned(),
        ADMIN_TOKEN.to_owned(),
        WRONG_TOKEN.to_owned(),
        SECRET.trim_start_matches("whsec_").to_owned(),
        signature(&signed).trim_start_matches("v1,").to_owned(),
        signature(&forged).trim_start_matches("v1,").to_owned(),
        DATABASE_PASSWORD.to_owned(),
        COLLECTOR_TOKEN.to_owned(),
    ];
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "{secret} is in the log: {line:?}");
    }
}
