//! Which requests are recorded, and what they are called.

use http::{HeaderMap, HeaderValue};

use super::*;

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

fn headers(flags: &str) -> HeaderMap {
    let parent = format!("00-{TRACE_ID}-b7ad6b7169203331-{flags}");
    HeaderMap::from_iter([(
        http::HeaderName::from_static("traceparent"),
        HeaderValue::from_str(&parent).expect("a header"),
    )])
}

/// Traces with this sampler, and a collector that nothing is ever sent to.
fn traces(sampler: &str, ratio: &str) -> Traces {
    let environment = |name: &str| {
        let value = match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => "http://127.0.0.1:9",
            "OTEL_TRACES_SAMPLER" => sampler,
            "OTEL_TRACES_SAMPLER_ARG" => ratio,
            _ => return None,
        };
        Some(value.to_owned())
    };
    let (settings, warnings) = read_settings(&environment);
    assert_eq!(warnings, [] as [String; 0]);
    Traces::start(settings.as_ref()).expect("the settings are fine")
}

#[test]
fn without_a_collector_only_the_callers_trace_is_known() {
    let off = Traces::default();
    assert!(!off.is_on());
    assert_eq!(off.decide(&HeaderMap::new(), true).trace_id(), None);
    let decision = off.decide(&headers("01"), true);
    assert_eq!(decision.trace_id().map(|id| id.to_string()).as_deref(), Some(TRACE_ID));
    assert!(!decision.is_recorded);
}

#[test]
fn the_sampler_decides_but_not_on_what_is_always_recorded() {
    for (sampler, ratio, alone, asked, unasked) in [
        ("always_on", "", true, true, true),
        ("always_off", "", false, false, false),
        ("traceidratio", "0", false, false, false),
        ("traceidratio", "1", true, true, true),
        ("parentbased_traceidratio", "0", false, true, false),
        ("parentbased_always_on", "", true, true, false),
        ("parentbased_always_off", "", false, true, false),
        ("", "", true, true, false),
    ] {
        let traces = traces(sampler, ratio);
        let is_recorded = |headers: &HeaderMap, always| traces.decide(headers, always).is_recorded;
        assert_eq!(is_recorded(&HeaderMap::new(), false), alone, "{sampler} {ratio}");
        assert_eq!(is_recorded(&headers("01"), false), asked, "{sampler} {ratio}, and its caller is");
        assert_eq!(is_recorded(&headers("00"), false), unasked, "{sampler} {ratio}, and its caller is not");
        assert!(is_recorded(&HeaderMap::new(), true) && is_recorded(&headers("00"), true), "{sampler} {ratio}");
    }
}

#[test]
fn a_request_has_its_callers_trace_or_one_of_its_own() {
    let traces = traces("always_off", "");
    let id = |headers: &HeaderMap| traces.decide(headers, false).trace_id().expect("traces are on");
    assert_eq!(id(&headers("00")).to_string(), TRACE_ID);
    assert_ne!(id(&HeaderMap::new()), id(&HeaderMap::new()));
    let mut wrong = headers("00");
    wrong.insert("traceparent", HeaderValue::from_static("00-00000000000000000000000000000000-0000000000000000-01"));
    assert_ne!(id(&wrong).to_string(), "0".repeat(32));
}
