//! What came back, counted: an answer is its status code with the documented code, or why there was none.
//!
//! What does not belong here: what an answer means for the sale (that is the checker's).

use std::collections::HashMap;

use serde::Serialize;

use crate::history::{Code, Outcome, Why};

/// A kind of answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    status: Option<u16>,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reason {
    Yes,
    Refused(Code),
    Unknown(Why),
}

/// How often each kind of answer came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers(HashMap<Kind, AnswerTally>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct AnswerTally {
    count: u64,
    error: bool,
}

/// A row of the table of answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerCount {
    /// The status code, if one came.
    pub status: Option<u16>,
    /// The documented code of a refusal, or why nothing is known; none if the answer says yes.
    pub code: Option<String>,
    /// Whether it counts as an error.
    pub error: bool,
    /// How often it came.
    pub count: u64,
}

impl AnswerCount {
    /// As tables name it, such as `201`, `409 insufficient_stock` or `timed_out`.
    pub fn label(&self) -> String {
        let status = self.status.map(|status| status.to_string());
        [status, self.code.clone()].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

impl Answers {
    /// Takes down one answer.
    pub(super) fn record(&mut self, outcome: &Outcome, error: bool) {
        let reason = match outcome {
            Outcome::Refused { code, .. } => Reason::Refused(*code),
            Outcome::Unknown { why, .. } => Reason::Unknown(*why),
            _ => Reason::Yes,
        };
        let tally = self.0.entry(Kind { status: outcome.status(), reason }).or_default();
        tally.count += 1;
        tally.error = error;
    }

    /// Adds what `other` has counted.
    pub(super) fn add(&mut self, other: &Self) {
        for (kind, tally) in &other.0 {
            let sum = self.0.entry(*kind).or_default();
            sum.count += tally.count;
            sum.error = tally.error;
        }
    }

    /// The kinds that came, by status code, those without one last.
    pub fn rows(&self) -> Vec<AnswerCount> {
        let mut rows: Vec<_> = self
            .0
            .iter()
            .map(|(kind, tally)| AnswerCount {
                status: kind.status,
                code: match kind.reason {
                    Reason::Yes => None,
                    Reason::Refused(code) => Some(code_name(code)),
                    Reason::Unknown(why) => Some(why_name(why)),
                },
                error: tally.error,
                count: tally.count,
            })
            .collect();
        rows.sort_by(|left, right| {
            let place = |row: &AnswerCount| (row.status.is_none(), row.status, row.code.clone());
            place(left).cmp(&place(right))
        });
        rows
    }
}

/// The documented code, as the API writes it.
pub fn code_name(code: Code) -> String {
    snake_case(&format!("{code:?}"))
}

/// Why nothing is known, in the same form.
pub fn why_name(why: Why) -> String {
    snake_case(&format!("{why:?}"))
}

/// `InsufficientStock` as `insufficient_stock`: the names of the API are those of the variants.
fn snake_case(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_history() {
        for code in [Code::InvalidJson, Code::InsufficientStock, Code::Internal, Code::HoldAlreadyRedeemed] {
            assert_eq!(serde_json::to_value(code).unwrap(), code_name(code));
        }
        for why in [Why::NotSent, Why::TimedOut, Why::Cut, Why::OutcomeUnknown] {
            assert_eq!(serde_json::to_value(why).unwrap(), why_name(why));
        }
    }

    #[test]
    fn answers_are_listed_by_status_and_those_without_one_last() {
        let mut answers = Answers::default();
        let refused = |status, code| Outcome::Refused { status, code, available: None, order: None };
        for outcome in [
            Outcome::Unknown { why: Why::Cut, status: None },
            refused(503, Code::Overloaded),
            refused(409, Code::InsufficientStock),
            Outcome::Accepted,
            Outcome::Unknown { why: Why::Undocumented, status: Some(502) },
            Outcome::Accepted,
        ] {
            answers.record(&outcome, outcome.is_error());
        }
        let listed: Vec<_> = answers.rows().iter().map(|row| (row.label(), row.count, row.error)).collect();
        let expected = [
            ("200", 2, false),
            ("409 insufficient_stock", 1, false),
            ("502 undocumented", 1, true),
            ("503 overloaded", 1, true),
            ("cut", 1, true),
        ];
        assert_eq!(listed, expected.map(|(label, count, error)| (label.to_owned(), count, error)));
    }
}
