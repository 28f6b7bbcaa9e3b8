//! The report for programs: all that the page shows, as numbers.
//!
//! One object, whose `format` is 1 until a member changes its meaning or goes away; members may be added.
//! Times within the run are seconds since it began, how long answers took is in nanoseconds.
//!
//! | member | what it is |
//! |---|---|
//! | `format` | 1 |
//! | `verdict` | `standing` (`held`, `broken`, `unknown`), `sentence`, `exit_code`, `interrupted`, `troubles` |
//! | `run` | the header of the history: name, seed, command, target, limits, scenarios; not its products |
//! | `checks` | each check: `check`, `promise`, `invariants`, `standing`, `judged`, `floor`, `detail`, `breaches_in_all`, `breaches` |
//! | `checks[].breaches` | the first ones: `what`, `product`, `at_seconds`, `records`, each with its `position` in the history, and itself as the history has it |
//! | `thresholds` | each: `fail_if`, `reached` (`met`, `missed`, `unknown`), `seen`, `samples` |
//! | `total`, `endpoints` | requests and errors, `per_second`, `latency_nanoseconds` or null, `answers` by status and code |
//! | `chaos` | the same of all that the chaos scenario asked, which is not in `total` and `endpoints`; null if it did not run |
//! | `scenarios` | each that ran: when, requests, errors, whether it finished, what kept it from that |
//! | `faults` | what the harness broke on purpose, and when |
//! | `notes` | when the harness stood still, in words, since figures may show it |
//! | `timeline` | `step_seconds` and the steps of the run: requests, errors, percentiles in nanoseconds or null |
//! | `stocks` | each scenario's units: products, `stocked` or null, and `held` and `sold` at the fullest moment of each step |
//! | `history`, `goose_reports` | where they are |

use serde::Serialize;
use serde_json::{Value, json};

use super::{Run, words};
use crate::check::{Breach, Checked};
use crate::measure::threshold::Judged;
use crate::measure::{Endpoint, Fault, Scenario, Stock};

/// The version of this form.
const FORMAT: u32 = 1;

/// The report, indented.
pub(super) fn document(run: &Run) -> Result<String, serde_json::Error> {
    let measures = run.measures;
    let header = &run.history.header;
    let document = json!({
        "format": FORMAT,
        "verdict": {
            "standing": run.verdict.standing(),
            "sentence": words::verdict(run),
            "exit_code": run.exit_code,
            "interrupted": run.verdict.interrupted,
            "troubles": run.verdict.troubles,
        },
        "run": {
            "name": header.run,
            "harness": header.harness,
            "began_at": words::began_for_programs(header).map(|time| format!("{time}Z")),
            "seconds": measures.ended.seconds(),
            "seed": header.seed,
            "command": header.command,
            "target": header.target,
            "url": header.url,
            "database": header.database,
            "scope": header.scope,
            "limits": header.limits,
            "users": header.users,
            "duration_milliseconds": header.duration_milliseconds,
            "max_wait_milliseconds": header.max_wait_milliseconds,
            "scenarios": header.scenarios,
            "products": header.products.len(),
        },
        "checks": run.verdict.checks.iter().map(|checked| check(run, checked)).collect::<Vec<_>>(),
        "thresholds": run.thresholds.iter().map(threshold).collect::<Vec<_>>(),
        "total": endpoint(&measures.total),
        "endpoints": measures.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        "chaos": measures.chaos.as_ref().map(endpoint),
        "scenarios": measures.scenarios.iter().map(scenario).collect::<Vec<_>>(),
        "notes": measures.notes,
        "faults": measures.faults.iter().map(fault).collect::<Vec<_>>(),
        "timeline": {
            "step_seconds": measures.timeline.steps.seconds(),
            "steps": measures.timeline.iter().collect::<Vec<_>>(),
        },
        "stocks": measures.stocks.iter().map(stock).collect::<Vec<_>>(),
        "history": run.history_path,
        "goose_reports": run.goose_reports,
    });
    let mut text = Vec::new();
    document.serialize(&mut serde_json::Serializer::pretty(&mut text))?;
    text.push(b'\n');
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn check(run: &Run, checked: &Checked) -> Value {
    json!({
        "check": checked.check,
        "promise": checked.check.promise(),
        "invariants": checked.check.invariants(),
        "standing": checked.standing,
        "judged": checked.judged,
        "floor": checked.floor,
        "detail": checked.detail,
        "breaches_in_all": checked.breaches_in_all,
        "breaches": checked.breaches.iter().map(|found| breach(run, found)).collect::<Vec<_>>(),
    })
}

fn breach(run: &Run, breach: &Breach) -> Value {
    let record = |&position: &usize| {
        let record = run.history.records.get(position)?;
        Some(json!({ "position": position, "record": record }))
    };
    json!({
        "what": breach.what,
        "product": breach.product,
        "at_seconds": breach.at.seconds(),
        "records": breach.records.iter().filter_map(record).collect::<Vec<_>>(),
    })
}

fn threshold(judged: &Judged) -> Value {
    json!({
        "fail_if": judged.threshold.to_string(),
        "reached": judged.reached,
        "seen": judged.seen,
        "samples": judged.samples,
    })
}

fn endpoint(endpoint: &Endpoint) -> Value {
    json!({
        "endpoint": endpoint.name,
        "requests": endpoint.requests,
        "errors": endpoint.errors,
        "per_second": endpoint.rate(),
        "latency_nanoseconds": endpoint.latency.percentiles(),
        "answers": endpoint.answers.rows(),
    })
}

fn scenario(scenario: &Scenario) -> Value {
    json!({
        "scenario": scenario.name,
        "began_seconds": scenario.began.seconds(),
        "ended_seconds": scenario.ended.seconds(),
        "requests": scenario.requests,
        "errors": scenario.errors,
        "finished": scenario.finished,
        "trouble": scenario.trouble,
    })
}

fn fault(fault: &Fault) -> Value {
    json!({ "what": fault.what, "began_seconds": fault.began.seconds(), "ended_seconds": fault.ended.seconds() })
}

fn stock(stock: &Stock) -> Value {
    let fullest = stock.fullest.map(|fullest| {
        json!({
            "product": fullest.product,
            "out": fullest.out,
            "stocked": fullest.stocked,
            "at_seconds": fullest.at.seconds(),
        })
    });
    let step = |(step, level): (usize, &crate::measure::Level)| json!({ "seconds": stock.steps.begin_of(step).seconds(), "held": level.held, "sold": level.sold });
    json!({
        "scenario": stock.scenario,
        "products": stock.products,
        "stocked": stock.stocked,
        "fullest_product": fullest,
        "step_seconds": stock.steps.seconds(),
        "steps": stock.levels.iter().enumerate().map(step).collect::<Vec<_>>(),
    })
}
