//! The settings of traces: the standard `OTEL_` variables.
//!
//! What belongs here: those that decide whether and what is recorded. What does not: where spans go
//! (`OTEL_EXPORTER_OTLP_*`), how they are batched (`OTEL_BSP_*`, but for the length of the queue) and limited, and what the service is called;
//! the OpenTelemetry libraries read those themselves. As the specification wants it, a value that makes no sense
//! is warned of and taken as unset.

use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;

/// What `OTEL_EXPORTER_OTLP_TIMEOUT` is where it is unset.
pub(super) const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// What `OTEL_BSP_MAX_QUEUE_SIZE` is where it is unset.
pub(super) const QUEUE_MAX: usize = 2048;
/// The most that it may be. The library makes room for all of them at once, some hundreds of bytes each.
pub(super) const QUEUE_LIMIT: usize = 65_536;

/// How to trace.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// What is recorded.
    pub(super) sampler: Sampler,
    /// How long the collector may take for one batch of spans.
    pub(super) export_timeout: Duration,
    /// The most spans that wait to be exported.
    pub(super) queue_max: usize,
    /// Whether the settings say what the service is called.
    pub(super) names_service: bool,
}

/// Reads the settings of traces. `None`: no collector is set, or traces are turned off. With it comes what
/// makes no sense, for people.
pub fn read_settings(environment: &dyn Fn(&str) -> Option<String>) -> (Option<TraceSettings>, Vec<String>) {
    let mut reading = Reading { environment, warnings: Vec::new() };
    let settings = reading.settings();
    (settings, reading.warnings)
}

/// Standard variables that somebody may count on, and what is done without them.
const UNREAD: [(&str, &str); 6] = [
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "the system's root certificates are used"),
    ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "the system's root certificates are used"),
    ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "no certificate is shown to the collector"),
    ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "no certificate is shown to the collector"),
    ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "no certificate is shown to the collector"),
    ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "no certificate is shown to the collector"),
];

struct Reading<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    warnings: Vec<String>,
}

impl Reading<'_> {
    fn settings(&mut self) -> Option<TraceSettings> {
        if self.text("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        if endpoints.iter().all(|name| self.text(name).is_none()) {
            return None;
        }
        match self.text("OTEL_TRACES_EXPORTER").as_deref() {
            None | Some("otlp") => {}
            Some("none") => return None,
            Some(other) => self.warn("OTEL_TRACES_EXPORTER", other, "otlp is used: known are otlp and none"),
        }
        let protocols = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
        if let Some((name, value)) = self.first(&protocols)
            && value != "http/protobuf"
        {
            self.warn(name, &value, "http/protobuf is used, the only one that this server speaks");
        }
        for (name, instead) in UNREAD {
            if let Some(value) = self.text(name) {
                self.warn(name, &value, instead);
            }
        }
        // Baggage is nothing that this server would read.
        let are_known = |names: &str| names.split(',').all(|name| ["tracecontext", "baggage"].contains(&name.trim()));
        if let Some(value) = self.text("OTEL_PROPAGATORS").filter(|value| !are_known(value)) {
            self.warn("OTEL_PROPAGATORS", &value, "W3C trace contexts are followed, and no others");
        }
        let attributes = self.text("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let names_service = self.text("OTEL_SERVICE_NAME").is_some()
            || attributes.split(',').any(|pair| pair.trim_start().starts_with("service.name="));
        Some(TraceSettings {
            sampler: self.sampler(),
            export_timeout: self.export_timeout(),
            queue_max: self.queue_max(),
            names_service,
        })
    }

    /// A value; an empty one is none.
    fn text(&self, name: &str) -> Option<String> {
        (self.environment)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn first(&self, names: &[&'static str]) -> Option<(&'static str, String)> {
        names.iter().find_map(|name| Some((*name, self.text(name)?)))
    }

    fn warn(&mut self, name: &str, value: &str, instead: &str) {
        self.warnings.push(format!("{name} is {value:?}; {instead}"));
    }

    fn sampler(&mut self) -> Sampler {
        let name = "OTEL_TRACES_SAMPLER";
        match self.text(name).as_deref() {
            Some("always_on") => Sampler::AlwaysOn,
            Some("always_off") => Sampler::AlwaysOff,
            Some("traceidratio") => self.ratio(),
            Some("parentbased_always_off") => Sampler::ParentBased(Box::new(Sampler::AlwaysOff)),
            Some("parentbased_traceidratio") => Sampler::ParentBased(Box::new(self.ratio())),
            None | Some("parentbased_always_on") => Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
            Some(other) => {
                self.warn(name, other, "parentbased_always_on is used: this server does not know that sampler");
                Sampler::ParentBased(Box::new(Sampler::AlwaysOn))
            }
        }
    }

    fn ratio(&mut self) -> Sampler {
        let name = "OTEL_TRACES_SAMPLER_ARG";
        let Some(value) = self.text(name) else { return Sampler::TraceIdRatioBased(1.0) };
        match value.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Sampler::TraceIdRatioBased(ratio),
            Ok(_) | Err(_) => {
                self.warn(name, &value, "1 is used: it must be a number from 0 to 1");
                Sampler::TraceIdRatioBased(1.0)
            }
        }
    }

    fn export_timeout(&mut self) -> Duration {
        let names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
        let Some((name, value)) = self.first(&names) else { return EXPORT_TIMEOUT };
        let Ok(millis) = value.parse() else {
            self.warn(name, &value, "10000 is used: it must be a whole number of milliseconds");
            return EXPORT_TIMEOUT;
        };
        Duration::from_millis(millis)
    }

    fn queue_max(&mut self) -> usize {
        let name = "OTEL_BSP_MAX_QUEUE_SIZE";
        let Some(value) = self.text(name) else { return QUEUE_MAX };
        value.parse().ok().filter(|queue| (1..=QUEUE_LIMIT).contains(queue)).unwrap_or_else(|| {
            self.warn(name, &value, &format!("2048 is used: it must be a whole number from 1 to {QUEUE_LIMIT}"));
            QUEUE_MAX
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Option<TraceSettings>, Vec<String>) {
        let find = |name: &str| variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
        read_settings(&find)
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    #[test]
    fn traces_are_on_where_there_is_a_collector_and_nobody_turned_them_off() {
        for (variables, is_on) in [
            (&[][..], false),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], false),
            (&[ENDPOINT], true),
            (&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")], true),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")], false),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "no")], true),
            (&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")], false),
            (&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "otlp")], true),
            (&[("OTEL_TRACES_SAMPLER", "always_on")], false),
        ] {
            let (settings, warnings) = read(variables);
            assert_eq!(settings.is_some(), is_on, "{variables:?}");
            assert_eq!(warnings, [] as [String; 0], "{variables:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_warned_of_and_left_out() {
        for wrong in [
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/ca.pem"),
            ("OTEL_PROPAGATORS", "b3"),
            ("OTEL_TRACES_SAMPLER", "xray"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "65537"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "18446744073709551615"),
        ] {
            let (settings, warnings) = read(&[ENDPOINT, wrong]);
            assert!(settings.is_some(), "{wrong:?}");
            let [warning] = &warnings[..] else { panic!("{wrong:?}: {warnings:?}") };
            assert!(warning.contains(wrong.0) && warning.contains(wrong.1), "{warning}");
        }
        let ratio = ("OTEL_TRACES_SAMPLER", "traceidratio");
        assert_eq!(read(&[ENDPOINT, ratio, ("OTEL_TRACES_SAMPLER_ARG", "2")]).1.len(), 1);
        assert_eq!(read(&[ENDPOINT, ratio, ("OTEL_TRACES_SAMPLER_ARG", "0.01")]).1.len(), 0);
        assert_eq!(read(&[ENDPOINT, ("OTEL_PROPAGATORS", "tracecontext, baggage")]).1.len(), 0);
    }

    #[test]
    fn the_service_has_a_name_unless_it_is_given_one() {
        let names = |variable| read(&[ENDPOINT, variable]).0.expect("it is on").names_service;
        assert!(names(("OTEL_SERVICE_NAME", "sale")));
        assert!(names(("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=sale")));
        assert!(!names(("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")));
    }
}
