//! A real Prometheus of the test's own, with the rules of the repository, and `promtool`.
//!
//! What does not belong here: what is asked of them.

use std::time::Duration;

use holdfast_test_support::rig::process::{Finished, Plan, Process, run};
use holdfast_test_support::{Client, OrFail, Request, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::files::root;

/// How long `promtool` may take: its tests of windows of days are work for many seconds of a quiet processor.
const LIMIT: Duration = Duration::from_mins(5);

/// A Prometheus that scrapes and evaluates rules every second. Dropping it kills it.
pub(crate) struct Prometheus {
    client: Client,
    process: Process,
    _folder: TempDir,
}

/// What Prometheus answers to a query: for each series its labels and the numbers that it has.
#[derive(Debug)]
pub(crate) struct Series {
    /// Its labels.
    pub(crate) labels: Value,
    /// Its values, without those that are not numbers.
    pub(crate) numbers: Vec<f64>,
}

impl Prometheus {
    /// Starts one that scrapes these addresses as the job `holdfast`.
    pub(crate) async fn start(targets: &[&str]) -> Self {
        let folder = tempfile::tempdir().or_fail();
        // JSON is YAML.
        let config = json!({
            // A server on a busy machine takes a while to answer, and a scrape may not take longer than its interval.
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [root().join("dashboards/prometheus/rules.yml")],
            "scrape_configs": [{"job_name": "holdfast", "static_configs": [{"targets": targets}]}],
        });
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config.to_string()).or_fail();
        let mut plan = Plan::new("prometheus");
        plan.arguments = vec![
            format!("--config.file={}", file.display()).into(),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()).into(),
            "--web.listen-address=127.0.0.1:0".into(),
        ];
        let process = Process::spawn(&plan).await.or_fail();
        let address = process.log().wait_for(|line| {
            let (_, address) = line.text.split_once("msg=\"Listening on\" address=")?;
            Some(address.trim().to_owned())
        });
        let address = address.await.unwrap_or_else(|| panic!("Prometheus ended:\n{}", process.log().text()));
        let client = Client::new(&format!("http://{address}"));
        eventually("Prometheus is ready", async || match client.get("/-/ready").await {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(answer.text()),
            Err(error) => Err(error.to_string()),
        })
        .await;
        Self { client, process, _folder: folder }
    }

    /// Asks for one moment, now. An error is what Prometheus says is wrong with the query.
    pub(crate) async fn now(&self, expression: &str) -> Result<Vec<Series>, String> {
        self.ask("/api/v1/query", &[("query", expression)]).await
    }

    /// Asks for the last ten seconds, as a panel does that shows a line.
    pub(crate) async fn lately(&self, expression: &str) -> Result<Vec<Series>, String> {
        let end = jiff::Timestamp::now();
        let start = end.as_second() - 10;
        let end = end.as_second();
        let span = [("start", start.to_string()), ("end", end.to_string()), ("step", "1".to_owned())];
        let parameters: Vec<(&str, &str)> =
            span.iter().map(|(name, value)| (*name, value.as_str())).chain([("query", expression)]).collect();
        self.ask("/api/v1/query_range", &parameters).await
    }

    /// Every rule that it evaluates, as it understood them.
    pub(crate) async fn rules(&self) -> Vec<Value> {
        let answer = self.client.get("/api/v1/rules").await.or_fail().json();
        let groups = answer["data"]["groups"].as_array().expect("groups of rules");
        groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
    }

    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Vec<Series>, String> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        let request = Request::new(http::Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        assert_eq!(self.process.ended(), None, "Prometheus ended:\n{}", self.process.log().text());
        let answer = self.client.send(&request).await.or_fail().json();
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        let data = &answer["data"];
        match data["resultType"].as_str() {
            Some("scalar") => Ok(vec![Series { labels: json!({}), numbers: numbers([&data["result"]]) }]),
            Some("vector" | "matrix") => Ok(data["result"].as_array().expect("series").iter().map(series).collect()),
            other => Err(format!("a result of the type {other:?}")),
        }
    }
}

fn series(series: &Value) -> Series {
    let values = match series.get("values") {
        Some(values) => values.as_array().expect("values").iter().collect(),
        None => vec![&series["value"]],
    };
    Series { labels: series["metric"].clone(), numbers: numbers(values) }
}

/// The second of each pair of time and value, as far as it is a number.
fn numbers<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<f64> {
    let value = |pair: &Value| pair[1].as_str()?.parse::<f64>().ok().filter(|value| value.is_finite());
    values.into_iter().filter_map(value).collect()
}

/// Runs `promtool` with these arguments, at the top of the repository.
pub(crate) async fn promtool(arguments: &[&str]) -> Finished {
    let mut plan = Plan::new("promtool");
    plan.arguments = arguments.iter().map(Into::into).collect();
    plan.directory = Some(root());
    run(&plan, LIMIT).await.or_fail()
}
