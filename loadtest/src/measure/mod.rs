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
    /// Each endpoint that was asked, in the order of [`Operation::ENDPOINTS`], without what chaos asked: it
    /// breaks things on purpose, and what comes of that is no figure of the server's.
    pub endpoints: Vec<Endpoint>,
    /// All of `endpoints` together: what headlines and thresholds look at.
    pub total: Endpoint,
    /// What the chaos scenario asked, all endpoints together, if it ran.
    pub chaos: Option<Endpoint>,
    /// Each scenario that ran, in the order of time.
    pub scenarios: Vec<Scenario>,
    /// What the harness broke on purpose, in the order of time.
    pub faults: Vec<Fault>,
    /// When the harness stood still, in words: whoever reads figures should know.
    pub notes: Vec<String>,
    /// What ended when.
    pub timeline: Timeline,
    /// Units over time, for each scenario that sold any.
    pub stocks: Vec<Stock>,
}

/// The requests to an endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name; `all` or `chaos` for several together.
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
    /// cut or not made took no time that says anything, nor did what was under way while the harness stood still.
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

    fn record(&mut self, record: &Record, error: bool, latency: Option<u64>) {
        self.requests += 1;
        self.errors += u64::from(error);
        self.began = self.began.min(record.invoked);
        self.ended = self.ended.max(record.ended);
        self.answers.record(&record.outcome, error);
        if let Some(nanoseconds) = latency {
            self.latency.record(nanoseconds);
        }
    }

    /// From the first request to the last answer, in nanoseconds.
    pub fn took(&self) -> u64 {
        self.ended.0.saturating_sub(self.began.0)
    }

    /// Answers a second that count as no error, from the first request to the last answer.
    pub fn rate(&self) -> f64 {
        let seconds = Moment(self.took()).seconds();
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

/// When the harness stood still: what was under way then took no time that says anything.
#[derive(Debug, Default)]
struct Stills(Vec<(Moment, Moment)>);

impl Stills {
    fn of(history: &History) -> Self {
        let stills = history.marks.iter().filter_map(|mark| match mark {
            Mark::StoodStill { began, ended } => Some((*began, *ended)),
            _ => None,
        });
        let mut stills: Vec<_> = stills.collect();
        stills.sort_unstable();
        Self(stills)
    }

    /// They do not overlap each other, so that their ends are in order, too.
    fn touch(&self, record: &Record) -> bool {
        let next = self.0.partition_point(|(_, ended)| *ended < record.invoked);
        self.0.get(next).is_some_and(|(began, _)| *began <= record.ended)
    }
}

/// Whether it counts as an error. A client that was not there to hear the answer waited in vain by its own fault.
fn is_error(record: &Record, stills: &Stills) -> bool {
    let timed_out = matches!(record.outcome, Outcome::Unknown { why: Why::TimedOut, .. });
    record.outcome.is_error() && !(timed_out && stills.touch(record))
}

/// How long the answer took, in nanoseconds, if that says anything.
fn latency(record: &Record, stills: &Stills) -> Option<u64> {
    match record.outcome {
        _ if stills.touch(record) => None,
        Outcome::Unknown { why: Why::NotSent | Why::Cut | Why::Lost, .. } => None,
        _ => Some(record.ended.0.saturating_sub(record.invoked.0)),
    }
}

impl Measures {
    /// The figures of `history`, in time linear in it, but for a sort of its holds and orders.
    pub fn of(history: &History) -> Self {
        let ended = end_of(history);
        let mut endpoints = Operation::ENDPOINTS.map(Endpoint::new);
        let mut chaos = Endpoint::new("chaos");
        let stills = Stills::of(history);
        let mut timeline = Timeline::new(Steps::over(Moment(0), ended));
        let mut scenarios: HashMap<ScenarioName, Scenario> = HashMap::new();
        for record in &history.records {
            let name = record.operation.endpoint();
            let latency = latency(record, &stills);
            let error = is_error(record, &stills);
            if record.scenario == ScenarioName::Chaos {
                chaos.record(record, error, latency);
            } else if let Some(endpoint) = endpoints.iter_mut().find(|endpoint| endpoint.name == name) {
                endpoint.record(record, error, latency);
            }
            timeline.record(record.ended, error, latency);
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
                Mark::ClockStepped { .. }
                | Mark::StoodStill { .. }
                | Mark::Audit { .. }
                | Mark::Interrupted { .. }
                | Mark::End { .. } => {}
            }
        }
        faults.sort_by_key(|fault| (fault.began, fault.ended));
        let mut scenarios: Vec<_> = scenarios.into_values().collect();
        scenarios.sort_by_key(|scenario| (scenario.began, scenario.name));
        let spans: Vec<_> = scenarios.iter().map(|scenario| (scenario.name, scenario.began, scenario.ended)).collect();
        // That clocks came apart makes the verdict unknown, so it is told with that.
        let stood_still = history.marks.iter().filter(|mark| matches!(mark, Mark::StoodStill { .. }));
        let endpoints: Vec<_> = endpoints.into_iter().filter(|endpoint| endpoint.requests > 0).collect();
        Self {
            ended,
            total: sum("all", &endpoints),
            endpoints,
            chaos: Some(chaos).filter(|chaos| chaos.requests > 0),
            scenarios,
            faults,
            notes: stood_still.filter_map(Mark::of_the_machine).collect(),
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
        Mark::Audit { .. } | Mark::ClockStepped { .. } | Mark::StoodStill { .. } => Moment(0),
    });
    history.records.iter().map(|record| record.ended).chain(marks).max().unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
