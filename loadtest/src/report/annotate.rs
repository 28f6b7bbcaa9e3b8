//! `--annotate`: tells a Grafana when the run, each scenario and each fault began and ended.
//!
//! What does not belong here: failing a run. Whoever calls it makes a warning of its error.

use std::time::Duration;

use reqwest::{Client, Url};
use serde::Serialize;

use super::{Run, words};
use crate::history::{Header, Moment};

/// The most time that one annotation may take.
const TIME_OUT: Duration = Duration::from_secs(10);
/// The tag of all annotations, which dashboards look for.
const TAG: &str = "loadtest";

/// Where annotations go, and as whom. Its `Debug` shows no secret.
#[derive(Clone)]
pub struct Grafana {
    endpoint: Url,
    login: Login,
}

#[derive(Clone)]
enum Login {
    Nobody,
    Token(String),
    User { name: String, password: String },
}

/// Why annotations were not made.
#[derive(Debug, thiserror::Error)]
pub enum AnnotateError {
    /// What was given is no address of a Grafana. It is not shown, since it may have a password.
    #[error("the address of Grafana is no URL of http or https: {0}")]
    Url(String),
    /// It could not be reached, or did not answer in time.
    #[error("Grafana could not be reached: {0}")]
    Unreachable(#[source] reqwest::Error),
    /// It said no.
    #[error("Grafana answered {status}: {body}")]
    Refused {
        /// The status code.
        status: u16,
        /// The first words of the body.
        body: String,
    },
}

/// An annotation, as Grafana's HTTP API takes it. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotation {
    time: i64,
    time_end: i64,
    tags: Vec<String>,
    text: String,
}

impl std::fmt::Debug for Grafana {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Grafana").field("endpoint", &self.endpoint.as_str()).finish_non_exhaustive()
    }
}

impl Grafana {
    /// The Grafana at `url`, such as `https://grafana.example/` or, with a path, one behind a proxy. `token`
    /// is that of a service account; without one the URL's own user and password count.
    ///
    /// # Errors
    /// If it is no URL of http or https.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, AnnotateError> {
        let mut url = Url::parse(url).map_err(|error| AnnotateError::Url(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(AnnotateError::Url(format!("it begins with {}:", url.scheme())));
        }
        let login = match token.filter(|token| !token.is_empty()) {
            Some(token) => Login::Token(token.to_owned()),
            None if url.username().is_empty() => Login::Nobody,
            None => {
                Login::User { name: decoded(url.username()), password: url.password().map(decoded).unwrap_or_default() }
            }
        };
        // These fail only for URLs without a host, which http and https always have.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        let path = format!("{}/api/annotations", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Self { endpoint: url, login })
    }

    /// Makes an annotation for the run, for each scenario and for each fault. Returns how many.
    ///
    /// # Errors
    /// At the first one that Grafana did not take.
    pub async fn annotate(&self, run: &Run<'_>) -> Result<usize, AnnotateError> {
        let client = Client::builder().timeout(TIME_OUT).build().map_err(AnnotateError::Unreachable)?;
        let annotations = annotations(run);
        for annotation in &annotations {
            let request = client.post(self.endpoint.clone()).json(annotation);
            let request = match &self.login {
                Login::Nobody => request,
                Login::Token(token) => request.bearer_auth(token),
                Login::User { name, password } => request.basic_auth(name, Some(password)),
            };
            let answer = request.send().await.map_err(|error| AnnotateError::Unreachable(error.without_url()))?;
            if !answer.status().is_success() {
                let status = answer.status().as_u16();
                let body = answer.text().await.unwrap_or_default().chars().take(200).collect();
                return Err(AnnotateError::Refused { status, body });
            }
        }
        Ok(annotations.len())
    }
}

/// `%40` as `@`, as user information in a URL has it.
fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn annotations(run: &Run) -> Vec<Annotation> {
    let header = &run.history.header;
    let measures = run.measures;
    let annotation = |began: Moment, ended: Moment, tags: &[&str], text: String| Annotation {
        time: milliseconds(header, began),
        time_end: milliseconds(header, ended.max(began).min(measures.ended.max(began))),
        tags: [TAG, &header.run].iter().chain(tags).map(|tag| (*tag).to_owned()).collect(),
        text,
    };
    let mut all = vec![annotation(
        Moment(0),
        measures.ended,
        &["run"],
        format!("Load test {}: {}, {}", header.run, words::verdict(run), words::target(header)),
    )];
    for scenario in &measures.scenarios {
        let name = scenario.name.name();
        let trouble = scenario.trouble.as_ref().map_or_else(String::new, |trouble| format!(": {trouble}"));
        let requests = words::counted(scenario.requests, "request");
        let text = format!("Scenario {name}, {requests}{trouble}");
        all.push(annotation(scenario.began, scenario.ended, &["scenario", name], text));
    }
    for fault in &measures.faults {
        all.push(annotation(fault.began, fault.ended, &["fault"], format!("Fault: {}", fault.what)));
    }
    all
}

/// A moment by the wall clock that the run began by.
fn milliseconds(header: &Header, moment: Moment) -> i64 {
    let since = i64::try_from(moment.0 / 1_000_000).unwrap_or(i64::MAX);
    (header.began_at / 1_000).saturating_add(since)
}
