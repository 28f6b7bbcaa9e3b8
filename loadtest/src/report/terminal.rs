//! What a run prints at its end: the verdict, each check, the thresholds, what broke, how to repeat it.
//!
//! Colours come and go with the terminal (and `NO_COLOR`); nothing is said by colour alone.

#![expect(
    clippy::format_push_string,
    reason = "a report is written once, and reads better so than with results to ignore"
)]

use console::{Style, measure_text_width};

use super::words::{self, counted, thousands};
use super::{Run, words::Line};
use crate::check::{Checked, Standing};
use crate::measure::threshold::Reached;

/// The verdict of `run` for people at a terminal, on several lines, the last one ended.
pub fn terminal(run: &Run) -> String {
    let mut lines = Vec::new();
    lines.push(String::new());
    lines.extend(table(run.verdict.checks.iter().map(check_row)));
    if !run.thresholds.is_empty() {
        lines.push(String::new());
        lines.extend(table(run.thresholds.iter().map(|judged| {
            let style = match judged.reached {
                Reached::Met => Style::new().green(),
                Reached::Missed => Style::new().red().bold(),
                Reached::Unknown => Style::new().yellow(),
            };
            let seen =
                if judged.reached == Reached::Unknown { judged.seen.clone() } else { format!("saw {}", judged.seen) };
            vec![
                style.apply_to(words::reached(judged.reached)).to_string(),
                format!("fail if {}", judged.threshold),
                seen,
            ]
        })));
    }
    for trouble in &run.verdict.troubles {
        lines.push(String::new());
        lines.push(format!("{} {}", Style::new().yellow().apply_to("trouble:"), words::plain(trouble)));
    }
    lines.extend(breaches(run));
    lines.push(String::new());
    lines.extend(words::figures(run.measures));
    lines.extend(run.measures.notes.iter().map(|note| format!("note: {note}")));
    lines.push(String::new());
    lines.push(sentence(run));
    lines.extend(where_things_are(run));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn style_of(standing: Standing) -> Style {
    match standing {
        Standing::Held => Style::new().green(),
        Standing::Broken => Style::new().red().bold(),
        Standing::Unknown => Style::new().yellow(),
        Standing::NotApplicable => Style::new().dim(),
    }
}

fn check_row(checked: &Checked) -> Vec<String> {
    let detail = words::plain(&checked.detail);
    let judged = match checked.standing {
        Standing::NotApplicable => detail,
        Standing::Unknown => {
            format!("{} judged, {} needed: {}", thousands(checked.judged), thousands(checked.floor), detail)
        }
        Standing::Held | Standing::Broken => format!("{} judged: {detail}", thousands(checked.judged)),
    };
    vec![
        style_of(checked.standing).apply_to(words::standing(checked.standing)).to_string(),
        checked.check.name().to_owned(),
        judged,
    ]
}

/// Rows of equal columns, two spaces apart.
pub(crate) fn table(rows: impl IntoIterator<Item = Vec<String>>) -> Vec<String> {
    let rows: Vec<_> = rows.into_iter().collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| measure_text_width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str("  ");
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - measure_text_width(cell)));
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn breaches(run: &Run) -> Vec<String> {
    let mut lines = Vec::new();
    for checked in &run.verdict.checks {
        for breach in &checked.breaches {
            let style = style_of(Standing::Broken);
            lines.push(String::new());
            lines.push(format!(
                "{} {}",
                style.apply_to(format!("{}:", checked.check.name())),
                words::plain(&breach.what)
            ));
            let records = breach.records.iter().filter_map(|position| words::line(run.history, *position));
            lines.extend(table(records.map(|Line { when, who, request, answer }| {
                vec![String::new(), when, who, request, format!("-> {answer}")]
            })));
        }
        let more = checked.breaches_in_all.saturating_sub(checked.breaches.len() as u64);
        if more > 0 && !checked.breaches.is_empty() {
            lines.push(format!("  and {} more of {}", thousands(more), checked.check.name()));
        }
    }
    lines
}

fn sentence(run: &Run) -> String {
    let standing = run.verdict.standing();
    let mut text = style_of(standing).bold().apply_to(words::verdict(run)).to_string();
    let missed = run.thresholds.iter().filter(|judged| judged.reached == Reached::Missed).count();
    if missed > 0 {
        text.push_str(&format!("; {} missed", counted(missed as u64, "threshold")));
    }
    text
}

fn where_things_are(run: &Run) -> Vec<String> {
    let header = &run.history.header;
    let mut rows = vec![vec!["seed".to_owned(), header.seed.to_string()]];
    rows.push(vec!["repeat".to_owned(), words::plain(&header.command)]);
    if let Some(path) = run.history_path {
        rows.push(vec!["history".to_owned(), words::plain(&path.display().to_string())]);
    }
    for path in run.goose_reports {
        rows.push(vec!["goose".to_owned(), words::plain(&path.display().to_string())]);
    }
    rows.push(vec!["exit".to_owned(), format!("{}: {}", run.exit_code, words::exit_code(run.exit_code))]);
    table(rows)
}
