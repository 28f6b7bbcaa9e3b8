//! The figures of a run, out of its history: how much, how fast, how many units, when.
//!
//! Reports and thresholds read nothing else of the requests. What does not belong here: whether an
//! invariant was broken (that is the checker's), and what figures look like.

mod answers;
mod latency;
mod stock;
pub mod threshold;
mod timeline;

use std::collections::HashMap;

pub use answers::{AnswerCount, Answers, code_name, why_name};
pub use latency::{Latency, Percentiles};
pub use stock::{Fullest, Level, Stock};
pub use timeline::{STEPS_MAX, Step, Steps, Timeline};

use crate::history::{History, Mark, Moment, Operation, Outcome, Record, ScenarioName, Why};

/// The figures of a run.
#[derive(Clone, Debug)]
pub struct Measures {
    /// When the last thing of it ended: its length, since it begins at 0.
    pub ended: Moment,
    /// Each endpoint that was asked, in the order of [`Operation::ENDPOINTS`].
    pub endpoints: Vec<Endpoint>,
    /// All endpoints together.
    pub total: Endpoint,
    /// The same without the chaos scenario, which breaks things on purpose: what thresholds look at.
    pub steady: Vec<Endpoint>,
    /// All endpoints of `steady` together.
    pub steady_total: Endpoint,
    /// Each scenario that ran, in the order of time.
    pub scenarios: Vec<Scenario>,
    /// What the harness broke on purpose, in the order of time.
    pub faults: Vec<Fault>,
    /// What ended when.
    pub timeline: Timeline,
    /// Units over time, for each scenario that sold any.
    pub stocks: Vec<Stock>,
}

/// The requests to an endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name; `all` for all of them together.
    pub name: &'static str,
    /// How many requests ended.
    pub requests: u64,
    /// Those of them that count as errors: 5xx, cut connections, time-outs and answers that are not
    /// documented, never a documented refusal, nor an answer that the client threw away on purpose.
    pub errors: u64,
    /// When the first one was sent.
    pub began: Moment,
    /// When the last one ended.
    pub ended: Moment,
    /// What came back.
    pub answers: Answers,
    /// How long whole answers took, and time-outs, which took at least that long. Connections that were
    /// cut or not made took no time that says anything.
    pub latency: Latency,
}

/// A scenario that ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Which.
    pub name: ScenarioName,
    /// When it began.
    pub began: Moment,
    /// When it ended.
    pub ended: Moment,
    /// Requests that ended.
    pub requests: u64,
    /// Those of them that count as errors.
    pub errors: u64,
    /// Whether it came to its end.
    pub finished: bool,
    /// What kept it from that, if anything.
    pub trouble: Option<String>,
}

/// Something that the harness broke on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What, in a few words.
    pub what: String,
    /// When.
    pub began: Moment,
    /// When it was whole again.
    pub ended: Moment,
}

impl Endpoint {
    fn new(name: &'static str) -> Self {
        let (answers, latency) = (Answers::default(), Latency::default());
        Self { name, requests: 0, errors: 0, began: Moment(u64::MAX), ended: Moment(0), answers, latency }
    }

    fn record(&mut self, record: &Record) {
        let error = is_error(&record.outcome);
        self.requests += 1;
        self.errors += u64::from(error);
        self.began = self.began.min(record.invoked);
        self.ended = self.ended.max(record.ended);
        self.answers.record(&record.outcome, error);
        if let Some(nanoseconds) = latency(record) {
            self.latency.record(nanoseconds);
        }
    }

    /// Answers a second that count as no error, from the first request to the last answer.
    pub fn rate(&self) -> f64 {
        let seconds = Moment(self.ended.0.saturating_sub(self.began.0)).seconds();
        if seconds > 0.0 { as_float(self.requests - self.errors) / seconds } else { 0.0 }
    }

    /// The share of errors, from 0 to 1; 0 without a request.
    pub fn error_share(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { as_float(self.errors) / as_float(self.requests) }
    }
}

/// A count, to calculate with.
pub(crate) fn as_float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53, and figures are rounded for people")]
    let count = count as f64;
    count
}

/// An answer that the client threw away is no error of the server's.
fn is_error(outcome: &Outcome) -> bool {
    outcome.is_error() && !matches!(outcome, Outcome::Unknown { why: Why::Lost, .. })
}

/// How long the answer took, in nanoseconds, if that says anything.
fn latency(record: &Record) -> Option<u64> {
    match record.outcome {
        Outcome::Unknown { why: Why::NotSent | Why::Cut | Why::Lost, .. } => None,
        _ => Some(record.ended.0.saturating_sub(record.invoked.0)),
    }
}

impl Measures {
    /// The figures of `history`, in time linear in it, but for a sort of its holds and orders.
    pub fn of(history: &History) -> Self {
        let ended = end_of(history);
        let mut endpoints = Operation::ENDPOINTS.map(Endpoint::new);
        let mut chaos = Operation::ENDPOINTS.map(Endpoint::new);
        let mut timeline = Timeline::new(Steps::over(Moment(0), ended));
        let mut scenarios: HashMap<ScenarioName, Scenario> = HashMap::new();
        for record in &history.records {
            let endpoints = if record.scenario == ScenarioName::Chaos { &mut chaos } else { &mut endpoints };
            let name = record.operation.endpoint();
            if let Some(endpoint) = endpoints.iter_mut().find(|endpoint| endpoint.name == name) {
                endpoint.record(record);
            }
            let error = is_error(&record.outcome);
            timeline.record(record.ended, error, latency(record));
            let scenario = scenarios.entry(record.scenario).or_insert_with(|| Scenario::seen_first_in(record));
            scenario.requests += 1;
            scenario.errors += u64::from(error);
            scenario.began = scenario.began.min(record.invoked);
            scenario.ended = scenario.ended.max(record.ended);
        }
        let mut faults = Vec::new();
        for mark in &history.marks {
            match mark {
                Mark::Scenario { name, began, ended, finished, trouble } => {
                    let scenario = scenarios.entry(*name).or_insert_with(|| Scenario::new(*name, *began, *ended));
                    scenario.began = scenario.began.min(*began);
                    scenario.ended = scenario.ended.max(*ended);
                    scenario.finished = *finished;
                    scenario.trouble.clone_from(trouble);
                }
                Mark::Fault { what, began, ended, .. } => {
                    faults.push(Fault { what: what.clone(), began: *began, ended: *ended });
                }
                Mark::Audit { .. } | Mark::Interrupted { .. } | Mark::End { .. } => {}
            }
        }
        faults.sort_by_key(|fault| (fault.began, fault.ended));
        let mut scenarios: Vec<_> = scenarios.into_values().collect();
        scenarios.sort_by_key(|scenario| (scenario.began, scenario.name));
        let spans: Vec<_> = scenarios.iter().map(|scenario| (scenario.name, scenario.began, scenario.ended)).collect();
        let steady = asked(endpoints.to_vec());
        let endpoints = asked(endpoints.iter().zip(&chaos).map(|(steady, chaos)| sum(steady.name, [steady, chaos])));
        Self {
            ended,
            total: sum("all", &endpoints),
            endpoints,
            steady_total: sum("all", &steady),
            steady,
            scenarios,
            faults,
            timeline,
            stocks: stock::of(history, &spans),
        }
    }
}

impl Scenario {
    fn new(name: ScenarioName, began: Moment, ended: Moment) -> Self {
        Self { name, began, ended, requests: 0, errors: 0, finished: false, trouble: None }
    }

    fn seen_first_in(record: &Record) -> Self {
        Self::new(record.scenario, record.invoked, record.ended)
    }
}

fn asked(endpoints: impl IntoIterator<Item = Endpoint>) -> Vec<Endpoint> {
    endpoints.into_iter().filter(|endpoint| endpoint.requests > 0).collect()
}

fn sum<'a>(name: &'static str, parts: impl IntoIterator<Item = &'a Endpoint>) -> Endpoint {
    let mut whole = Endpoint::new(name);
    for part in parts {
        whole.requests += part.requests;
        whole.errors += part.errors;
        whole.began = whole.began.min(part.began);
        whole.ended = whole.ended.max(part.ended);
        whole.answers.add(&part.answers);
        whole.latency.add(&part.latency);
    }
    whole
}

/// When the last thing of a run ended.
fn end_of(history: &History) -> Moment {
    let marks = history.marks.iter().map(|mark| match mark {
        Mark::Scenario { ended, .. } => *ended,
        // What was never whole again may say that it ends at the end of time.
        Mark::Fault { began, .. } => *began,
        Mark::Interrupted { at } | Mark::End { at, .. } => *at,
        Mark::Audit { .. } => Moment(0),
    });
    history.records.iter().map(|record| record.ended).chain(marks).max().unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
