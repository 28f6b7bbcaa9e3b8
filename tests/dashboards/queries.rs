//! A real Prometheus scrapes real servers under load, and everything that dashboards and rules ask for is
//! put to it: whatever has no data would be an empty panel, or an alert that never comes.
//!
//! What does not belong here: what the figures are.

use std::collections::BTreeMap;

use holdfast_test_support::{Kind, Sale, Setup, eventually};
use serde_json::Value;

use crate::dashboards::Dashboard;
use crate::prometheus::{Prometheus, Series};
use crate::rules::without_comparisons;
use crate::traffic::Traffic;

/// What Grafana makes of its own variables; these spans hold several scrapes.
const BUILT_IN: [(&str, &str); 3] = [("__rate_interval", "10s"), ("__interval", "1s"), ("__range", "30s")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_asked_for_has_data() {
    let sales = [
        start(Setup::new(Kind::Sqlite, env!("CARGO_BIN_EXE_holdfast"))).await,
        start(Setup::new(Kind::MariaDb, env!("CARGO_BIN_EXE_holdfast"))).await,
    ];
    let prometheus = Prometheus::start(&sales.each_ref().map(|sale| sale.server.address())).await;
    let traffic = [Traffic::start(&sales[0]).await, Traffic::start(&sales[1]).await];
    for traffic in &traffic {
        traffic.has_done_everything().await;
    }
    // A line needs two points in the shortest span that is asked for.
    eventually("all servers are scraped some times", async || {
        let scrapes = prometheus.now("min(sum_over_time(up[1m]))").await?;
        if scrapes.iter().any(|series| series.numbers.iter().any(|count| *count >= 10.0)) {
            Ok(())
        } else {
            Err(format!("{scrapes:?}"))
        }
    })
    .await;
    let mut failures = Vec::new();
    for dashboard in Dashboard::all() {
        let variables = values(&prometheus, &dashboard, &mut failures).await;
        let queries = dashboard.queries();
        assert!(!queries.is_empty(), "{} asks for nothing", dashboard.file);
        for query in queries {
            let expression = substitute(query.expression, &variables);
            let answer =
                if query.is_instant { prometheus.now(&expression).await } else { prometheus.lately(&expression).await };
            note(&query.place, &expression, &answer, &mut failures);
        }
    }
    let rules = rules_are_evaluated(&prometheus).await;
    assert!(!rules.is_empty(), "Prometheus evaluates no rules");
    for rule in rules {
        let expression = rule["query"].as_str().expect("a rule has a query");
        let place = format!("rule {}", rule["name"]);
        for part in without_comparisons(expression) {
            note(&place, &part, &prometheus.now(&part).await, &mut failures);
        }
        if rule["health"] == "err" {
            failures.push(format!("{place}: {}", rule["lastError"]));
        }
    }
    for traffic in traffic {
        traffic.stop().await;
    }
    assert!(failures.is_empty(), "{} without data:\n{}", failures.len(), failures.join("\n"));
}

/// A sale in which holds and orders end soon, so that their ends are seen, too.
async fn start(setup: Setup) -> Sale {
    setup
        .setting("HOLD_TTL_SECONDS", "1")
        .setting("PAYMENT_WINDOW_SECONDS", "1")
        .setting("RECONCILE_SECONDS", "1")
        .start()
        .await
}

fn note(place: &str, expression: &str, answer: &Result<Vec<Series>, String>, failures: &mut Vec<String>) {
    match answer {
        Ok(series) if series.iter().any(|series| !series.numbers.is_empty()) => {}
        Ok(series) => failures.push(format!("{place}: {} series without a number: {expression}", series.len())),
        Err(error) => failures.push(format!("{place}: {error}: {expression}")),
    }
}

/// Waits until each rule was evaluated after this moment, and again: one rule may build on another.
async fn rules_are_evaluated(prometheus: &Prometheus) -> Vec<Value> {
    let mut rules = Vec::new();
    for _ in 0..2 {
        let moment = jiff::Timestamp::now();
        rules = eventually("all rules are evaluated", async || {
            let rules = prometheus.rules().await;
            let at = |rule: &Value| rule["lastEvaluation"].as_str().unwrap_or_default().parse::<jiff::Timestamp>();
            let late = rules.iter().find(|rule| !at(rule).is_ok_and(|at| at > moment)).cloned();
            late.map_or(Ok(rules), Err)
        })
        .await;
    }
    rules
}

/// The value of each variable: those that are asked for are put to Prometheus, too.
async fn values(
    prometheus: &Prometheus,
    dashboard: &Dashboard,
    failures: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let mut values: BTreeMap<String, String> =
        BUILT_IN.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for (name, variable) in dashboard.variables() {
        let value = match variable["type"].as_str() {
            Some("query") => {
                let query = variable["query"]["query"].as_str().unwrap_or_default();
                let place = format!("{}, variable {name}", dashboard.file);
                let Some((series, label)) = parts_of_label_values(query) else {
                    failures.push(format!("{place}: not of the form label_values(series, label): {query}"));
                    continue;
                };
                let expression = substitute(&format!("count by ({label}) ({series})"), &values);
                let answer = prometheus.now(&expression).await;
                note(&place, &expression, &answer, failures);
                let found: Vec<String> = answer
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|series| series.labels[label].as_str().map(regex_of))
                    .collect();
                if found.is_empty() {
                    failures.push(format!("{place}: {series} has no label {label}"));
                }
                found.join("|")
            }
            _ => variable["current"]["value"].as_str().unwrap_or_default().to_owned(),
        };
        values.insert(name.to_owned(), value);
    }
    values
}

/// As Grafana writes a value into a pattern.
fn regex_of(value: &str) -> String {
    value.replace('.', "\\\\.")
}

fn parts_of_label_values(query: &str) -> Option<(&str, &str)> {
    query.strip_prefix("label_values(")?.strip_suffix(')')?.rsplit_once(", ")
}

/// An expression with the values of its variables, which are written `$name` or `${name}`.
fn substitute(expression: &str, values: &BTreeMap<String, String>) -> String {
    let mut text = expression.to_owned();
    // The longest names first: one may begin like another.
    let mut names: Vec<_> = values.iter().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    for (name, value) in names {
        text = text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
    }
    text
}
