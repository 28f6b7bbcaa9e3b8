//! The report as one page, which needs no network and no script: the verdict first, then what it rests on.
//!
//! All text passes through `maud`, which escapes it. What does not belong here: figures that no other
//! report has.

mod chart;
mod plots;
mod tables;

use std::path::{Component, Path};

use maud::{DOCTYPE, Markup, PreEscaped, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Run;
use super::words::{self, counted, percent, rate};
use crate::check::Standing;
use crate::measure::threshold::Reached;

/// What a path in a link keeps as it is.
const IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');

/// The page. `folder` is where it will be, for links to files beside it.
pub(super) fn page(run: &Run, folder: Option<&Path>) -> String {
    let title = format!("{} · {}", words::verdict(run), run.history.header.run);
    let body = html! {
        main {
            (verdict(run))
            (facts(run))
            (tables::breaches(run))
            (tables::checks(run))
            (tables::thresholds(run))
            (plots::stocks(run))
            (plots::over_time(run))
            (tables::endpoints(run))
            (tables::scenarios(run))
            (tables::settings(run))
        }
        footer { (footer(run, folder)) }
        script { (PreEscaped(include_str!("script.js"))) }
    };
    document(&title, &body)
}

/// The page of a run that came to no verdict.
pub(super) fn no_verdict(why: &str) -> String {
    document("No verdict", &html! { main { h1 { "No verdict" } p { (why) } } })
}

/// A whole file, which needs nothing else and may load nothing.
fn document(title: &str, body: &Markup) -> String {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body { (body) }
        }
    };
    document.into_string()
}

/// The name of a standing in the style sheet.
const fn class(standing: Standing) -> &'static str {
    match standing {
        Standing::Held => "held",
        Standing::Broken => "broken",
        Standing::Unknown => "unknown",
        Standing::NotApplicable => "left-out",
    }
}

/// A sign for those who do not see colours.
const fn sign(standing: Standing) -> &'static str {
    match standing {
        Standing::Held => "✓",
        Standing::Broken => "✕",
        Standing::Unknown => "?",
        Standing::NotApplicable => "–",
    }
}

fn verdict(run: &Run) -> Markup {
    let standing = run.verdict.standing();
    let missed = run.thresholds.iter().filter(|judged| judged.reached == Reached::Missed).count();
    let counts = [Standing::Held, Standing::Broken, Standing::Unknown, Standing::NotApplicable]
        .map(|standing| (standing, run.checks(standing)));
    let header = &run.history.header;
    html! {
        header #verdict class=(format!("verdict {}", class(standing))) data-standing=(words::standing(standing)) {
            p.kicker { "Holdfast load test · " (header.run) " · " (words::began(header)) }
            h1 { span.sign aria-hidden="true" { (sign(standing)) } (words::verdict(run)) }
            p.counts {
                @for (standing, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                    span class=(class(standing)) { b { (count) } " " (words::standing(standing)) }
                }
                @if !run.thresholds.is_empty() {
                    span class=(if missed > 0 { "broken" } else { "left-out" }) {
                        b { (missed) } " of " (counted(run.thresholds.len() as u64, "threshold")) " missed"
                    }
                }
            }
            @for trouble in run.verdict.troubles.iter().chain(&run.measures.notes) {
                p.trouble { (trouble) }
            }
        }
    }
}

fn facts(run: &Run) -> Markup {
    let header = &run.history.header;
    let total = &run.measures.total;
    let figures = total.latency.percentiles();
    let mut facts = vec![
        ("requests", words::thousands(total.requests)),
        ("a second", rate(total.rate())),
        ("errors", format!("{} ({})", words::thousands(total.errors), percent(total.error_share()))),
        ("p50", words::time_or_dash(figures.map(|figures| figures.p50))),
        ("p99", words::time_or_dash(figures.map(|figures| figures.p99))),
        ("took", words::time(run.measures.ended.0)),
        ("target", words::target(header)),
        ("seed", header.seed.to_string()),
        ("exit code", run.exit_code.to_string()),
    ];
    if let Some(chaos) = &run.measures.chaos {
        let in_chaos = format!("{}, {} in vain", counted(chaos.requests, "request"), words::thousands(chaos.errors));
        facts.insert(5, ("chaos, apart", in_chaos));
    }
    html! {
        dl.facts {
            @for (name, value) in facts {
                div { dt { (name) } dd { (value) } }
            }
        }
    }
}

fn footer(run: &Run, folder: Option<&Path>) -> Markup {
    let header = &run.history.header;
    html! {
        p { "Repeat it: " code { (header.command) } }
        @if let Some(path) = run.history_path {
            p { "History: " code { (path.display()) } ", judged again by " code { "holdfast-loadtest check" } }
        }
        @if !run.goose_reports.is_empty() {
            p {
                "Reports of goose:"
                @for path in run.goose_reports {
                    " " a href=(link(path, folder)) { (path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()) }
                }
            }
        }
        p { "Written by holdfast-loadtest " (env!("CARGO_PKG_VERSION")) "." }
    }
}

/// A link to `path` from a page in `folder`.
fn link(path: &Path, folder: Option<&Path>) -> String {
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(to), Ok(from)) = (std::path::absolute(path), std::path::absolute(folder)) else {
        return encoded(path);
    };
    let shared = to.components().zip(from.components()).take_while(|(left, right)| left == right).count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    encoded(&up.chain(to.components().skip(shared)).collect::<std::path::PathBuf>())
}

fn encoded(path: &Path) -> String {
    utf8_percent_encode(&path.to_string_lossy(), IN_PATHS).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_and_no_scheme() {
        for (path, folder, href) in [
            ("out/goose rush.html", Some("out"), "goose%20rush.html"),
            ("goose/a.html", Some("out/html"), "../../goose/a.html"),
            ("javascript:alert(1)", None, "javascript%3Aalert%281%29"),
            ("a.html", Some(""), "a.html"),
        ] {
            assert_eq!(link(Path::new(path), folder.map(Path::new)), href);
        }
    }
}
