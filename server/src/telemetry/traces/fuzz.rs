//! The readers of the `OTEL_` variables, on a corpus and on what can be made of that: whatever they are set to, they are read as they are
//! meant or told of and left out, and none keeps the server from starting.
//!
//! What does not belong here: how inputs are made (`crate::fuzz`), and which value means what (`settings.rs`).

use std::collections::HashMap;

use proptest::collection::hash_map;
use proptest::prelude::*;
use proptest::sample::select;

use super::settings::{EXPORT_TIMEOUT, QUEUE_LIMIT, QUEUE_MAX};
use super::*;
use crate::fuzz::{corpus, texts};

const VALUES: &str = include_str!("../../../../tests/hostile/corpus/otel.txt");

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";

/// All that are read here.
const NAMES: [&str; 20] = [
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_EXPORTER",
    ENDPOINTS[0],
    ENDPOINTS[1],
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    "OTEL_PROPAGATORS",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SERVICE_NAME",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    TIMEOUTS[0],
    TIMEOUTS[1],
    QUEUE,
];

/// Some of them, with values; mostly with a collector, since without one the others do not matter.
fn variables() -> impl Strategy<Value = HashMap<&'static str, String>> {
    let some = hash_map(select(NAMES.to_vec()), texts(VALUES), 0..NAMES.len());
    (some, prop::bool::weighted(0.9)).prop_map(|(mut variables, has_collector)| {
        if has_collector {
            variables.insert(ENDPOINTS[1], "http://collector:4318".to_owned());
        }
        variables
    })
}

/// What is read of these variables is what they say, or they are told of.
fn check(variables: &HashMap<&str, String>) {
    let (settings, warnings) = read_settings(&|name| {
        assert!(NAMES.contains(&name), "{name} is read, and never tried here");
        variables.get(name).cloned()
    });
    // An empty variable is none.
    let set = |name: &str| variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let is_on = ENDPOINTS.iter().any(|name| set(name).is_some())
        && !set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        && set("OTEL_TRACES_EXPORTER") != Some("none");
    assert_eq!(settings.is_some(), is_on);
    let is_of = |warning: &str, name: &str| {
        set(name).is_some_and(|value| warning.starts_with(&format!("{name} is {value:?}; ")))
    };
    for warning in &warnings {
        assert!(NAMES.iter().any(|name| is_of(warning, name)), "{warning}");
    }
    let told = |name: &str| warnings.iter().filter(|warning| is_of(warning, name)).count();
    assert!(NAMES.into_iter().all(|name| told(name) <= 1), "{warnings:?}");
    let Some(settings) = settings else { return };
    let queue = set(QUEUE).and_then(|value| value.parse().ok()).filter(|queue| (1..=QUEUE_LIMIT).contains(queue));
    assert_eq!(settings.queue_max, queue.unwrap_or(QUEUE_MAX));
    assert_eq!(told(QUEUE) == 1, set(QUEUE).is_some() && queue.is_none());
    let timeout = TIMEOUTS.into_iter().find(|name| set(name).is_some());
    let millis = timeout.and_then(set).and_then(|value| value.parse().ok());
    assert_eq!(settings.export_timeout, millis.map_or(EXPORT_TIMEOUT, Duration::from_millis));
    assert_eq!(timeout.is_some_and(|name| told(name) == 1), timeout.is_some() && millis.is_none());
    if let Sampler::TraceIdRatioBased(ratio) = settings.sampler {
        assert!((0.0..=1.0).contains(&ratio), "{ratio}");
    }
}

proptest! {
    #[test]
    fn settings_are_read_or_told_of(variables in variables()) {
        check(&variables);
    }
}

/// Each entry as each variable, beside a collector and the sampler that has an argument.
#[test]
fn the_corpus_is_read_or_told_of() {
    for name in NAMES {
        for value in corpus(VALUES) {
            let value = String::from_utf8_lossy(&value).into_owned();
            let mut variables = HashMap::from([
                (ENDPOINTS[1], "http://collector:4318".to_owned()),
                ("OTEL_TRACES_SAMPLER", "traceidratio".to_owned()),
            ]);
            variables.insert(name, value);
            check(&variables);
        }
    }
}

/// The longest queue there may be: the library makes room for it when it starts.
#[test]
fn traces_start_with_the_longest_queue() {
    let value = |name: &str| match name {
        QUEUE => Some(QUEUE_LIMIT.to_string()),
        name if name == ENDPOINTS[1] => Some("http://127.0.0.1:9".to_owned()),
        _ => None,
    };
    let (settings, warnings) = read_settings(&value);
    assert_eq!(warnings, [] as [String; 0]);
    assert!(Traces::start(settings.as_ref()).expect("the settings are fine").is_on());
}
