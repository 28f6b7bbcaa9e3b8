//! Thresholds: `--fail-if 'p99(hold) > 50ms'`, read and held against the figures of a run.
//!
//! | figure | means | limit |
//! |---|---|---|
//! | `p50`, `p99`, `p99.9`, … | how long all but the slowest answers took | `250us`, `50ms`, `1.5s`, `1m` |
//! | `mean`, `max` | how long answers took on average, and the longest | the same |
//! | `errors` | 5xx, cut connections, time-outs, undocumented answers | a count, `5`, or a share, `0.1%` |
//! | `rate` | answers a second that are no errors, from the first request to the last answer | `1000` |
//!
//! `(hold)` after it names an endpoint; without one it means all of them together. What happens in the
//! chaos scenario does not count, since that breaks things on purpose. A threshold says when to **fail**,
//! and one for which nothing was seen is unknown, since it proves nothing either way.
//!
//! What does not belong here: exit codes, and what a report makes of it.

use std::fmt;
use std::str::FromStr;

use super::{Endpoint, Measures, as_float};
use crate::history::Operation;

const MICROSECOND: f64 = 1e3;
const MILLISECOND: f64 = 1e6;
const SECOND: f64 = 1e9;
const MINUTE: f64 = 60e9;

/// A condition under which the run is to fail.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    figure: Figure,
    endpoint: Option<&'static str>,
    comparison: Comparison,
    limit: Limit,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    Percentile(f64),
    Mean,
    Max,
    Errors,
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Over,
    AtLeast,
    Under,
    AtMost,
}

/// What it is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    /// Nanoseconds.
    Time(f64),
    /// From 0 to 100.
    Percent(f64),
    /// Errors.
    Count(f64),
    /// Answers a second.
    PerSecond(f64),
}

/// Why a threshold cannot be read: what is wrong with it, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}': {what}; {right}")]
pub struct ThresholdError {
    text: String,
    what: String,
    right: String,
}

/// How a threshold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// The run stayed within it.
    Met,
    /// It did not.
    Missed,
    /// Nothing was seen that it could be held against.
    Unknown,
}

/// A threshold, held against a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The threshold.
    pub threshold: Threshold,
    /// How it ended.
    pub reached: Reached,
    /// The figure that was seen, in the unit of its limit, such as `48.2ms` or `0.02%`; why there is none, if it is unknown.
    pub seen: String,
    /// How many requests or answers it was taken from.
    pub samples: u64,
}

impl Threshold {
    /// Holds it against the figures of a run.
    pub fn judge(&self, measures: &Measures) -> Judged {
        let endpoint = match self.endpoint {
            None => Some(&measures.total),
            Some(name) => measures.endpoints.iter().find(|endpoint| endpoint.name == name),
        };
        let figure = endpoint.and_then(|endpoint| self.figure_of(endpoint));
        let Some((seen, samples)) = figure else {
            let what = if self.is_time() { "answer" } else { "request" };
            let of = self.endpoint.map_or_else(String::new, |endpoint| format!(" of {endpoint}"));
            // Who asks about a run of chaos alone is to hear why nothing of it counts.
            let seen = match measures.chaos {
                Some(_) => format!("no {what}{of} was seen outside chaos, which breaks things on purpose"),
                None => format!("no {what}{of} was seen"),
            };
            return Judged { threshold: self.clone(), reached: Reached::Unknown, seen, samples: 0 };
        };
        let missed = match self.comparison {
            Comparison::Over => seen.value() > self.limit.value(),
            Comparison::AtLeast => seen.value() >= self.limit.value(),
            Comparison::Under => seen.value() < self.limit.value(),
            Comparison::AtMost => seen.value() <= self.limit.value(),
        };
        let reached = if missed { Reached::Missed } else { Reached::Met };
        Judged { threshold: self.clone(), reached, seen: seen.brief().to_string(), samples }
    }

    /// The figure of an endpoint, in the unit of the limit, and from how many requests or answers it is.
    fn figure_of(&self, endpoint: &Endpoint) -> Option<(Limit, u64)> {
        let latency = &endpoint.latency;
        let time = |nanoseconds: Option<u64>| Some((Limit::Time(as_float(nanoseconds?)), latency.count()));
        let (errors, requests) = (endpoint.errors, endpoint.requests);
        match (self.figure, self.limit) {
            (Figure::Percentile(percentile), _) => time(latency.percentile(percentile)),
            (Figure::Mean, _) => time(latency.mean()),
            (Figure::Max, _) => time(latency.longest()),
            _ if requests == 0 => None,
            (Figure::Errors, Limit::Percent(_)) => Some((Limit::Percent(endpoint.error_share() * 100.0), requests)),
            (Figure::Errors, _) => Some((Limit::Count(as_float(errors)), requests)),
            (Figure::Rate, _) => Some((Limit::PerSecond(endpoint.rate()), requests - errors)),
        }
    }

    fn is_time(&self) -> bool {
        matches!(self.limit, Limit::Time(_))
    }
}

impl Limit {
    /// With four significant digits, as people read a figure. A count stays as it is.
    fn brief(self) -> Self {
        let brief = |value: f64| {
            let digits = 10_f64.powf(3.0 - value.abs().max(1e-9).log10().floor());
            (value * digits).round() / digits
        };
        match self {
            Self::Time(value) => Self::Time(brief(value)),
            Self::Percent(value) => Self::Percent(brief(value)),
            Self::Count(value) => Self::Count(value),
            Self::PerSecond(value) => Self::PerSecond(brief(value)),
        }
    }

    fn value(self) -> f64 {
        match self {
            Self::Time(value) | Self::Percent(value) | Self::Count(value) | Self::PerSecond(value) => value,
        }
    }
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Self, ThresholdError> {
        let wrong = |(what, right): (String, String)| ThresholdError { text: text.to_owned(), what, right };
        let (place, comparison, limit) = parted(text).map_err(wrong)?;
        let (figure, endpoint) = looked_at(place).map_err(wrong)?;
        let limit = limit_of(figure, limit).map_err(wrong)?;
        Ok(Self { figure, endpoint, comparison, limit })
    }
}

/// What is wrong, and what would be right.
type Wrong = (String, String);

const EXAMPLE: &str = "write it like 'p99(hold) > 50ms' or 'errors > 0.1%'";

/// What is left and right of the comparison.
fn parted(text: &str) -> Result<(&str, Comparison, &str), Wrong> {
    let Some(at) = text.find(['<', '>', '=', '!']) else {
        return Err(("it compares nothing".to_owned(), EXAMPLE.to_owned()));
    };
    let (place, rest) = text.split_at(at);
    let sign = rest.len() - rest.trim_start_matches(['<', '>', '=', '!']).len();
    let (sign, limit) = rest.split_at(sign);
    let comparison = match sign {
        ">" => Comparison::Over,
        ">=" => Comparison::AtLeast,
        "<" => Comparison::Under,
        "<=" => Comparison::AtMost,
        _ => return Err((format!("'{sign}' is no comparison"), "there are >, >=, < and <=".to_owned())),
    };
    Ok((place.trim(), comparison, limit.trim()))
}

/// `p99(hold)`, `errors`.
fn looked_at(place: &str) -> Result<(Figure, Option<&'static str>), Wrong> {
    let (name, endpoint) = match place.split_once('(') {
        None => (place, None),
        Some((name, rest)) => {
            let Some(endpoint) = rest.strip_suffix(')') else {
                return Err(("the bracket is not closed".to_owned(), EXAMPLE.to_owned()));
            };
            (name.trim_end(), Some(endpoint.trim()))
        }
    };
    let figure = match name {
        "mean" => Figure::Mean,
        "max" => Figure::Max,
        "errors" => Figure::Errors,
        "rate" => Figure::Rate,
        _ => Figure::Percentile(percentile(name)?),
    };
    let Some(asked) = endpoint else { return Ok((figure, None)) };
    match Operation::ENDPOINTS.into_iter().find(|name| *name == asked) {
        Some(endpoint) => Ok((figure, Some(endpoint))),
        None => {
            Err((format!("there is no endpoint '{asked}'"), format!("there are {}", Operation::ENDPOINTS.join(", "))))
        }
    }
}

fn percentile(name: &str) -> Result<f64, Wrong> {
    let Some(digits) = name.strip_prefix('p').filter(|digits| digits.starts_with(|first: char| first.is_ascii_digit()))
    else {
        let what =
            if name.is_empty() { "it names no figure".to_owned() } else { format!("there is no figure '{name}'") };
        return Err((what, "there are mean, max, errors, rate, and percentiles like p50, p99 and p99.9".to_owned()));
    };
    number(digits).filter(|percentile| *percentile > 0.0 && *percentile < 100.0).ok_or_else(|| {
        (format!("'{name}' is no percentile"), "it is over 0 and under 100; for all answers there is max".to_owned())
    })
}

fn limit_of(figure: Figure, text: &str) -> Result<Limit, Wrong> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let right = match figure {
        Figure::Percentile(_) | Figure::Mean | Figure::Max => "a time has a unit: us, ms, s or m, like 50ms or 1.5s",
        Figure::Errors => "a limit of errors is a count, like 5, or a share of the requests, like 0.1%",
        Figure::Rate => "a limit of a rate is a number of answers a second, like 1000",
    };
    let wrong = |what: String| (what, right.to_owned());
    let Some(value) = number(digits) else {
        let what = if text.is_empty() { "there is no limit".to_owned() } else { format!("'{text}' is no limit") };
        return Err(wrong(what));
    };
    match (figure, unit) {
        (Figure::Percentile(_) | Figure::Mean | Figure::Max, unit) => match unit {
            "us" | "µs" => Ok(Limit::Time(value * MICROSECOND)),
            "ms" => Ok(Limit::Time(value * MILLISECOND)),
            "s" => Ok(Limit::Time(value * SECOND)),
            "m" => Ok(Limit::Time(value * MINUTE)),
            "" => Err(wrong(format!("'{text}' has no unit"))),
            _ => Err(wrong(format!("'{unit}' is no unit of time"))),
        },
        (Figure::Errors, "%") if value <= 100.0 => Ok(Limit::Percent(value)),
        (Figure::Errors, "%") => Err(wrong(format!("'{text}' is more than all"))),
        (Figure::Errors, "") if value.fract() == 0.0 => Ok(Limit::Count(value)),
        (Figure::Errors, "") => Err(wrong(format!("'{text}' is no whole count"))),
        (Figure::Rate, "" | "/s") => Ok(Limit::PerSecond(value)),
        (Figure::Errors | Figure::Rate, _) => Err(wrong(format!("'{text}' is no limit"))),
    }
}

/// Digits with at most one point among them; no sign, exponent, `inf` or `nan`, which a float would take.
fn number(text: &str) -> Option<f64> {
    let plain = text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
    if plain { text.parse().ok().filter(|value: &f64| value.is_finite()) } else { None }
}

impl fmt::Display for Threshold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.figure {
            Figure::Percentile(percentile) => write!(formatter, "p{percentile}")?,
            Figure::Mean => formatter.write_str("mean")?,
            Figure::Max => formatter.write_str("max")?,
            Figure::Errors => formatter.write_str("errors")?,
            Figure::Rate => formatter.write_str("rate")?,
        }
        if let Some(endpoint) = self.endpoint {
            write!(formatter, "({endpoint})")?;
        }
        let comparison = match self.comparison {
            Comparison::Over => ">",
            Comparison::AtLeast => ">=",
            Comparison::Under => "<",
            Comparison::AtMost => "<=",
        };
        write!(formatter, " {comparison} {}", self.limit)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Time(nanoseconds) => {
                let (unit, name) = match nanoseconds {
                    value if value >= SECOND => (SECOND, "s"),
                    value if value >= MILLISECOND => (MILLISECOND, "ms"),
                    _ => (MICROSECOND, "us"),
                };
                write!(formatter, "{}{name}", rounded(nanoseconds / unit))
            }
            Self::Percent(percent) => write!(formatter, "{}%", rounded(percent)),
            Self::Count(count) => write!(formatter, "{count}"),
            Self::PerSecond(rate) => write!(formatter, "{}/s", rounded(rate)),
        }
    }
}

/// At most four digits after the point.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
#[path = "threshold/tests.rs"]
mod tests;
