//! Reading answers: how many of which kind, numbers, deadlines.
//!
//! What does not belong here: what an answer should have been.

use std::collections::BTreeMap;
use std::time::SystemTime;

use holdfast_loadtest::rig::RigError;
use holdfast_loadtest::rig::client::Answer;
use serde_json::Value;

use crate::wait::OrFail;

/// The answers to a burst; fails if a request got none.
#[track_caller]
pub fn all(answers: Vec<Result<Answer, RigError>>) -> Vec<Answer> {
    answers.into_iter().map(OrFail::or_fail).collect()
}

/// How many answers have which status and which code. The code of a success is empty.
pub fn statuses(answers: &[Answer]) -> BTreeMap<(u16, String), usize> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        *counts.entry((answer.status, answer.code())).or_default() += 1;
    }
    counts
}

/// A whole number in an answer.
#[track_caller]
pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no whole number: {value}"))
}

/// The time in `expires_at` of a hold, as shown.
#[track_caller]
pub fn deadline_of(hold: &Value) -> SystemTime {
    let text = hold["expires_at"].as_str().unwrap_or_else(|| panic!("no expires_at in {hold}"));
    text.parse::<jiff::Timestamp>().or_fail().into()
}
