//! Every setting that is text, on a corpus and on what can be made of that: a value is read or refused with a sentence that names its
//! setting, and no password is ever shown.
//!
//! What does not belong here: how inputs are made (`crate::fuzz`), and which value means what (`tests.rs`).

use std::collections::HashMap;
use std::ffi::OsString;

use proptest::prelude::*;

use super::*;
use crate::fuzz::{corpus, texts};

const VALUES: &str = include_str!("../../../tests/hostile/corpus/settings.txt");
const URLS: &str = include_str!("../../../tests/hostile/corpus/database_urls.txt");

/// The password in the URLs of the corpus.
const PASSWORD: &str = "swordfish";

fn read(name: &str, value: &str) -> Result<Config, String> {
    let variables = HashMap::from([(name.to_owned(), OsString::from(value))]);
    let environment = move |name: &str| variables.get(name).cloned();
    Config::read(&Sources::new(Given::new(), &environment)).map_err(|error| error.to_string())
}

/// The settings whose values come from people, secrets too.
fn names() -> impl Strategy<Value = &'static str> {
    let of_server = SETTINGS
        .iter()
        .map(|setting| setting.name)
        .filter(|name| !["DATABASE_URL", "LOG_FORMAT", "RUST_LOG"].contains(name));
    let names: Vec<&str> = of_server.chain(["WEBHOOK_SECRET", "ADMIN_TOKEN", "API_TOKENS"]).collect();
    prop::sample::select(names)
}

proptest! {
    #[test]
    fn a_setting_is_read_or_refused_by_its_name(name in names(), value in texts(VALUES)) {
        match read(name, &value) {
            Ok(config) => {
                prop_assert!(config.max_connections >= 1 && config.batch_max >= 1);
                prop_assert!(!config.idle_timeout.is_zero() && !config.request_timeout.is_zero());
                prop_assert!(config.terms.hold_ttl_seconds >= 1 && config.terms.max_qty_per_hold >= 1);
            }
            Err(error) => {
                // DATABASE_URL is at fault where it is required.
                prop_assert!(error.contains(name), "{}", error);
                let is_secret = ["WEBHOOK_SECRET", "ADMIN_TOKEN", "API_TOKENS"].contains(&name);
                let shown = is_secret && value.len() > 20 && error.contains(value.trim());
                prop_assert!(!shown, "{}", error);
            }
        }
    }

    #[test]
    fn a_database_url_is_read_or_refused(value in texts(URLS)) {
        if let Err(error) = read("DATABASE_URL", &value) {
            prop_assert!(error.contains("DATABASE_URL"), "{}", error);
        }
    }
}

#[test]
fn no_password_of_the_corpus_is_shown() {
    for url in corpus(URLS) {
        let url = String::from_utf8(url).expect("text");
        let shown = match read("DATABASE_URL", &url) {
            Ok(config) => format!("{config:?} {}", config.database.url),
            Err(error) => error,
        };
        assert!(!shown.contains(PASSWORD), "{shown}");
    }
}
