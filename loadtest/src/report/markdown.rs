//! The report for a step summary or a comment: short, in GitHub's Markdown.
//!
//! All that comes from the history is escaped, since a table ends where a cell has a bar or a new line.

#![expect(
    clippy::format_push_string,
    reason = "a report is written once, and reads better so than with results to ignore"
)]

use super::Run;
use super::words::{self, Line, thousands};
use crate::check::{Checked, Standing};
use crate::measure::threshold::Reached;

/// The report.
pub(super) fn summary(run: &Run) -> String {
    let header = &run.history.header;
    let mut text = format!("## {} {}\n\n", mark(run.verdict.standing()), escaped(&words::verdict(run)));
    text.push_str(&format!(
        "Against {}, seed {}, in {}: {}.\n\n",
        escaped(&words::target(header)),
        header.seed,
        words::time(run.measures.ended.0),
        words::figures(run.measures).join("; and "),
    ));
    for trouble in run.verdict.troubles.iter().chain(&run.measures.notes) {
        text.push_str(&format!("> {}\n\n", escaped(trouble)));
    }
    text.push_str("| | check | judged | promise |\n|---|---|--:|---|\n");
    for checked in &run.verdict.checks {
        text.push_str(&check(checked));
    }
    if !run.thresholds.is_empty() {
        text.push_str("\n| | fail if | seen |\n|---|---|---|\n");
        for judged in run.thresholds {
            let mark = match judged.reached {
                Reached::Met => "✅ met",
                Reached::Missed => "❌ missed",
                Reached::Unknown => "❔ unknown",
            };
            text.push_str(&format!(
                "| {mark} | {} | {} |\n",
                code(&judged.threshold.to_string()),
                escaped(&judged.seen)
            ));
        }
    }
    text.push_str(&breaches(run));
    text.push_str(&endpoints(run));
    text.push_str(&format!("\nRepeat it:\n\n{}\n", block(&header.command)));
    text
}

const fn mark(standing: Standing) -> &'static str {
    match standing {
        Standing::Held => "✅",
        Standing::Broken => "❌",
        Standing::Unknown => "❔",
        Standing::NotApplicable => "➖",
    }
}

fn check(checked: &Checked) -> String {
    let note = match checked.standing {
        Standing::Held => String::new(),
        Standing::Broken => format!(": {}", words::breaches(checked.breaches_in_all)),
        Standing::Unknown => format!(": {} needed; {}", thousands(checked.floor), checked.detail),
        Standing::NotApplicable => format!(": {}", checked.detail),
    };
    format!(
        "| {} {} | `{}` | {} | {}{} |\n",
        mark(checked.standing),
        words::standing(checked.standing),
        checked.check.name(),
        if checked.standing == Standing::NotApplicable { "–".to_owned() } else { thousands(checked.judged) },
        checked.check.promise(),
        escaped(&note),
    )
}

fn breaches(run: &Run) -> String {
    let mut text = String::new();
    for checked in &run.verdict.checks {
        for breach in &checked.breaches {
            text.push_str(&format!("\n**{}**: {}\n", checked.check.name(), escaped(&breach.what)));
            let lines: Vec<_> = breach
                .records
                .iter()
                .filter_map(|position| words::line(run.history, *position))
                .map(|Line { when, who, request, answer }| format!("{when}  {who}  {request} -> {answer}"))
                .collect();
            if !lines.is_empty() {
                text.push_str(&format!("\n{}\n", block(&lines.join("\n"))));
            }
        }
    }
    text
}

fn endpoints(run: &Run) -> String {
    let mut text = String::from("\n| endpoint | requests | errors |");
    for name in words::PERCENTILES {
        text.push_str(&format!(" {name} |"));
    }
    text.push_str("\n|---|--:|--:|");
    text.push_str(&"--:|".repeat(words::PERCENTILES.len()));
    text.push('\n');
    for endpoint in run.measures.endpoints.iter().chain(&run.measures.chaos) {
        let figures = words::percentiles(endpoint.latency.percentiles()).join(" | ");
        let (requests, errors) = (thousands(endpoint.requests), thousands(endpoint.errors));
        text.push_str(&format!("| {} | {requests} | {errors} | {figures} |\n", endpoint.name));
    }
    text
}

/// Text that is nothing but text, on one line.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '!' | '@' => {
                // As entities, since a backslash before a bar is read differently inside code.
                safe.push_str(&format!("&#{};", u32::from(letter)));
            }
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
    }
    safe
}

/// Text as code within a line. Only for what has no backtick, bar or new line in it.
fn code(text: &str) -> String {
    format!("`{text}`")
}

/// Text as a block of code, fenced with more backticks than it has in a row.
fn block(text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let text: String =
        text.chars().map(|letter| if letter.is_control() && letter != '\n' { ' ' } else { letter }).collect();
    format!("{fence}text\n{text}\n{fence}")
}
