//! `audit`: what the service says of itself, with `holdfast audit`.
//!
//! It is the only check that is not from outside, and no other one leans on it.

use super::Check;
use super::findings::Findings;
use crate::history::{History, Mark};

pub(super) fn judge(history: &History, findings: &mut Findings) {
    for mark in &history.marks {
        let Mark::Audit { ran, clean, detail } = mark else { continue };
        if !ran {
            let why = if detail.is_empty() { "no reason given".to_owned() } else { detail.join("; ") };
            findings.note(Check::Audit, format!("it did not run: {why}"));
            continue;
        }
        findings.judged(Check::Audit);
        if !clean {
            let end = history.records.iter().map(|record| record.ended).max().unwrap_or_default();
            let none = ["it found a breach, and did not say which".to_owned()];
            for what in if detail.is_empty() { &none[..] } else { detail } {
                findings.breach(Check::Audit, None, end, &[], || what.clone());
            }
        }
    }
}
