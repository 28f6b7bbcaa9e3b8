//! What settings read as, and what is said of wrong ones.

use std::collections::HashMap;
use std::ffi::OsString;

use super::*;

const WEBHOOK_SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz";

fn with<T>(variables: &[(&str, &str)], read: impl Fn(&Sources<'_>) -> Result<T, ConfigError>) -> Result<T, String> {
    let variables: HashMap<String, OsString> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
    let environment = move |name: &str| variables.get(name).cloned();
    read(&Sources::new(Given::new(), &environment)).map_err(|error| error.to_string())
}

fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
    with(variables, Config::read)
}

#[test]
fn nothing_has_to_be_set() {
    let config = read(&[]).expect("defaults are right");
    assert_eq!(config.database.url.to_string(), "sqlite:holdfast.db");
    assert!(config.database.is_default && config.database.migrate_on_start);
    assert_eq!(config.listen_addr.to_string(), "127.0.0.1:8080");
    assert_eq!(config.ops_addr, None);
    assert_eq!(config.terms, Terms { hold_ttl_seconds: 120, payment_window_seconds: 900, max_qty_per_hold: 1000 });
    let seconds =
        [config.request_timeout, config.product_cache, config.reconcile_interval, config.drain_delay, config.drain];
    assert_eq!(seconds.map(|duration| duration.as_secs()), [5, 300, 30, 0, 20]);
    assert!(config.batch_max >= 1);
    assert_eq!((config.idle_timeout.as_secs(), config.max_connections), (75, 10_000));
    assert_eq!((config.quotas, config.metrics_access), (QuotaSettings::default(), MetricsAccess::Anyone));
    assert!(config.webhook_secrets.is_none() && config.admin_tokens.is_none() && config.api_tokens.is_none());
    let log = with(&[], |sources| read_log_settings(sources, "info")).expect("defaults are right");
    assert_eq!(log, LogSettings { format: None, filter: "info".to_owned() });
}

#[test]
fn what_is_set_is_read() {
    let config = read(&[
        ("DATABASE_URL", "mysql://app:swordfish@db/shop"),
        ("LISTEN_ADDR", "[::]:80"),
        ("OPS_ADDR", "0.0.0.0:9090"),
        ("BATCH_MAX", " 1 "),
        ("MIGRATE_ON_START", "False"),
        ("HOLD_TTL_SECONDS", ""),
        ("ADMIN_TOKEN", "key-of-the-shop"),
        ("API_TOKENS", "the-first-shop\n the,second=shop"),
        ("WEBHOOK_SECRET", WEBHOOK_SECRET),
    ])
    .expect("all is right");
    assert_eq!(config.database.url.expose(), "mysql://app:swordfish@db/shop");
    assert!(!config.database.is_default && !config.database.migrate_on_start);
    assert_eq!(config.listen_addr.to_string(), "[::]:80");
    assert_eq!(config.ops_addr.map(|address| address.port()), Some(9090));
    assert_eq!((config.batch_max, config.terms.hold_ttl_seconds), (1, 120));
    assert!(config.webhook_secrets.is_some() && config.admin_tokens.is_some() && config.api_tokens.is_some());
    let edge = read(&[
        ("ADDRESS_REQUESTS_PER_SECOND", "50"),
        ("TOKEN_REQUESTS_PER_SECOND", "2000"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("METRICS_ACCESS", "admin"),
        ("ADMIN_TOKEN", "key-of-the-shop"),
    ])
    .expect("all is right");
    assert_eq!(edge.quotas.address_requests_per_second, NonZeroU32::new(50));
    assert_eq!(edge.quotas.token_requests_per_second, NonZeroU32::new(2000));
    assert_eq!(Ok(edge.quotas.trusted_proxies), TrustedProxies::parse("10.0.0.0/8 ::1"));
    assert_eq!(edge.metrics_access, MetricsAccess::Operators);
    let shown = format!("{config:?}");
    for secret in ["swordfish", "key-of-the-shop", "the,second", WEBHOOK_SECRET] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_wrong_value_is_named_with_what_would_be_right() {
    for (name, value, message) in [
        ("HOLD_TTL_SECONDS", "0", "is \"0\", but must be a whole number from 1 to 86400"),
        ("HOLD_TTL_SECONDS", "2m", "is \"2m\", but must be a whole number from 1 to 86400"),
        ("PAYMENT_WINDOW_SECONDS", "-1", "is \"-1\", but must be a whole number from 1 to 2592000"),
        ("MAX_QTY_PER_HOLD", "1000001", "is \"1000001\", but must be a whole number from 1 to 1000000"),
        ("BATCH_MAX", "0", "is \"0\", but must be a whole number from 1 to 10000"),
        ("REQUEST_TIMEOUT_SECONDS", "1.5", "is \"1.5\", but must be a whole number from 1 to 300"),
        ("PRODUCT_CACHE_SECONDS", "never", "is \"never\", but must be a whole number from 0 to 86400"),
        ("RECONCILE_SECONDS", "0", "is \"0\", but must be a whole number from 1 to 86400"),
        ("DRAIN_SECONDS", "99999999999", "is \"99999999999\", but must be a whole number from 0 to 3600"),
        ("IDLE_TIMEOUT_SECONDS", "0", "is \"0\", but must be a whole number from 1 to 3600"),
        ("MAX_CONNECTIONS", "0", "is \"0\", but must be a whole number from 1 to 1000000"),
        (
            "TRUSTED_PROXIES",
            "10.0.0.1 proxy.example",
            "cannot be used: \"proxy.example\" is neither an IP address nor a network such as 10.0.0.0/8",
        ),
        ("METRICS_ACCESS", "me", "is \"me\", but must be anyone, api or admin"),
        ("METRICS_ACCESS", "api", "is api, but API_TOKENS is not set: set it, or choose anyone"),
        ("METRICS_ACCESS", "admin", "is admin, but ADMIN_TOKEN is not set: set it, or choose anyone"),
        ("MIGRATE_ON_START", "maybe", "is \"maybe\", but must be true or false"),
        (
            "LISTEN_ADDR",
            "8080",
            "is \"8080\", but must be an IP address and a port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080",
        ),
        ("OPS_ADDR", "127.0.0.1:8080", "is 127.0.0.1:8080 like LISTEN_ADDR: choose another port, or unset it"),
        (
            "DATABASE_URL",
            "postgres://app:swordfish@db/shop",
            "is \"postgres://app:***@db/shop\", but must be sqlite:PATH or mysql://user:password@host:port/name",
        ),
        (
            "DATABASE_URL",
            "root:swordfish@h/x",
            "must be sqlite:PATH or mysql://user:password@host:port/name; what is set is not shown, since it may hold \
             a password",
        ),
        (
            "DATABASE_URL",
            "mysql://app:sword?fish@db/shop",
            "is \"mysql://app:***@db/shop\": the database URL has an unknown parameter; known: ssl-mode, sslmode, \
             ssl-ca, sslca, ssl-cert, sslcert, ssl-key, sslkey, socket",
        ),
        (
            "DATABASE_URL",
            "mysql://app:swordfish@db/",
            "is \"mysql://app:***@db/\": the database URL names no database: mysql://user@host:port/NAME",
        ),
        (
            "DATABASE_URL",
            "mysql://app:swordfish@db/shop?ssl-ca=%2Fno%2Fsuch%2Ffile",
            "names the file ssl-ca=/no/such/file, which cannot be read: No such file or directory (os error 2)",
        ),
        (
            "REQUIRE_DATABASE_URL",
            "true",
            "DATABASE_URL is not set, and REQUIRE_DATABASE_URL is: set it to mysql://user:password@host:port/name, \
             or to sqlite:PATH",
        ),
        (
            "ADMIN_TOKEN",
            "a-token-of-Zürich",
            "cannot be used: token 1 has characters that are not visible ASCII; several are separated by spaces",
        ),
        (
            "ADMIN_TOKEN",
            "long-enough short",
            "cannot be used: token 2 has fewer than 8 characters; several are separated by spaces",
        ),
        (
            "ADMIN_TOKEN",
            "x,Zk9",
            "cannot be used: token 1 has fewer than 8 characters; several are separated by spaces",
        ),
        ("API_TOKENS", " \n", "cannot be used: there is no token; several are separated by spaces"),
        (
            "WEBHOOK_SECRET",
            "whsec_c2hvcnQ=",
            "cannot be used: webhook secret 1 has fewer than 24 bytes; it must be whsec_ and base64 of 24 bytes or \
             more; several are separated by spaces",
        ),
    ] {
        let error = read(&[(name, value)]).expect_err(name);
        let message =
            if message.starts_with("DATABASE_URL") { message.to_owned() } else { format!("{name} {message}") };
        assert_eq!(error, format!("a setting is wrong:\n  {message}"));
    }
}

#[test]
fn all_that_is_wrong_is_reported_at_once() {
    let error = read(&[("BATCH_MAX", "x"), ("DRAIN_SECONDS", "y"), ("WEBHOOK_SECRET_FILE", "/no/such/file")])
        .expect_err("three are wrong");
    assert_eq!(error.lines().count(), 4, "{error}");
    for name in ["BATCH_MAX", "DRAIN_SECONDS", "WEBHOOK_SECRET_FILE"] {
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn the_log_is_set_apart() {
    let log = with(&[("LOG_FORMAT", "json"), ("RUST_LOG", "warn,holdfast=debug")], |sources| {
        read_log_settings(sources, "info")
    });
    let expected = LogSettings { format: Some(LogFormat::Json), filter: "warn,holdfast=debug".to_owned() };
    assert_eq!(log, Ok(expected));
    let error =
        with(&[("LOG_FORMAT", "xml"), ("RUST_LOG", "holdfast=loud")], |sources| read_log_settings(sources, "info"))
            .expect_err("both wrong");
    assert!(error.contains("LOG_FORMAT is \"xml\", but must be text or json"), "{error}");
    assert!(error.contains("RUST_LOG is \"holdfast=loud\", but must be a filter such as info: "), "{error}");
}

#[test]
fn the_commands_beside_serve_read_the_database_alone() {
    let database = with(&[("DATABASE_URL", "sqlite:shop.db"), ("BATCH_MAX", "x")], DatabaseConfig::read);
    assert_eq!(database.map(|database| database.url.to_string()), Ok("sqlite:shop.db".to_owned()));
}
