//! What a run says at its end, for people and for programs.
//!
//! All of it comes from [`Run`]: the history, its verdict, its figures and its thresholds, so a history that
//! was kept can be reported again. What does not belong here: any opinion of its own.

pub mod annotate;
mod html;
mod json;
mod junit;
mod markdown;
pub mod progress;
mod terminal;
mod words;

use std::path::{Path, PathBuf};
use std::str::FromStr;

pub(crate) use terminal::table;
pub use terminal::terminal;
pub(crate) use words::{standing as standing_word, thousands, verdict as verdict_sentence};

use crate::check::{Standing, Verdict};
use crate::history::History;
use crate::measure::Measures;
use crate::measure::threshold::Judged;

/// A run that has ended, with all that is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// What was asked and seen.
    pub history: &'a History,
    /// What the checker says of it.
    pub verdict: &'a Verdict,
    /// The figures of it.
    pub measures: &'a Measures,
    /// The thresholds that were asked for, judged.
    pub thresholds: &'a [Judged],
    /// What the process will exit with.
    pub exit_code: u8,
    /// Where the history is kept, if it is.
    pub history_path: Option<&'a Path>,
    /// Reports that goose wrote.
    pub goose_reports: &'a [PathBuf],
}

impl Run<'_> {
    /// How many checks ended as `standing`.
    fn checks(&self, standing: Standing) -> usize {
        self.verdict.checks.iter().filter(|checked| checked.standing == standing).count()
    }
}

/// A form of report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One file for people, which needs nothing else.
    Html,
    /// All figures, for programs.
    Json,
    /// A test case for each check and threshold, for CI.
    Junit,
    /// A short one for a step summary or a comment.
    Markdown,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Html, Self::Json, Self::Junit, Self::Markdown];

    const fn name(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Markdown => "markdown",
        }
    }
}

/// A report that was asked for: `html=PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its form.
    pub kind: Kind,
    /// Where it goes.
    pub path: PathBuf,
}

/// Why what was asked for is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no report: write KIND=PATH, such as html=report.html; kinds are html, json, junit and markdown")]
pub struct WantedError {
    text: String,
}

impl FromStr for Wanted {
    type Err = WantedError;

    fn from_str(text: &str) -> Result<Self, WantedError> {
        let wanted = text.split_once('=').filter(|(_, path)| !path.is_empty()).and_then(|(name, path)| {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name)?;
            Some(Self { kind, path: path.into() })
        });
        wanted.ok_or_else(|| WantedError { text: text.to_owned() })
    }
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file could not be written.
    #[error("cannot write the report {path}: {source}", path = path.display())]
    File {
        /// Where it was to go.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The figures have no form as JSON, which only a bug can cause.
    #[error("cannot write the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The verdict has no form as JUnit, which only a bug can cause.
    #[error("cannot write the report as JUnit: {0}")]
    Junit(#[from] quick_junit::SerializeError),
}

/// Writes a report of `run` to `path`, whose folder is made if it is missing.
///
/// # Errors
/// If it cannot be written there.
pub fn write(kind: Kind, path: &Path, run: &Run) -> Result<(), ReportError> {
    let text = match kind {
        Kind::Html => html::page(run, path.parent()),
        Kind::Json => json::document(run)?,
        Kind::Junit => junit::document(run)?,
        Kind::Markdown => markdown::summary(run),
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = folder.map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, text));
    written.map_err(|source| ReportError::File { path: path.to_owned(), source })
}

/// Writes what there is to say of a run that came to no verdict, so that nobody takes an older report for its.
///
/// # Errors
/// If it cannot be written there.
pub fn write_no_verdict(kind: Kind, path: &Path, why: &str, exit_code: u8) -> Result<(), ReportError> {
    let text = match kind {
        Kind::Html => html::no_verdict(why),
        Kind::Json => {
            format!("{:#}\n", serde_json::json!({"format": 1, "verdict": "none", "why": why, "exit_code": exit_code}))
        }
        Kind::Junit => junit::no_verdict(why)?,
        Kind::Markdown => format!("## No verdict\n\n{}\n", markdown::escaped(why)),
    };
    std::fs::write(path, text).map_err(|source| ReportError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_asked_for_by_kind_and_path() {
        for kind in Kind::ALL {
            let wanted = Wanted { kind, path: "a=b/c.x".into() };
            assert_eq!(format!("{}=a=b/c.x", kind.name()).parse(), Ok(wanted));
        }
        for text in ["", "html", "html=", "=x", "pdf=x.pdf", "HTML=x"] {
            let error = text.parse::<Wanted>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("'{text}' is no report")) && error.contains("html=report.html"),
                "{error}"
            );
        }
    }
}
