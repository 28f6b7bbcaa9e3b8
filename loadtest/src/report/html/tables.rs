//! The tables of the page: checks, breaches, thresholds, endpoints, scenarios, faults, settings.

use maud::{Markup, html};

use super::{class, sign};
use crate::check::{Check, Checked, Standing};
use crate::history::TargetKind;
use crate::measure::as_float;
use crate::measure::threshold::Reached;
use crate::report::Run;
use crate::report::words::{self, Line, counted, percent, rate, thousands};

/// Faults of a run that are listed; of more, the first.
const FAULTS_MAX: usize = 40;

/// What was broken, with the requests that show it.
pub(super) fn breaches(run: &Run) -> Markup {
    let broken: Vec<_> = run.verdict.checks.iter().filter(|checked| checked.standing == Standing::Broken).collect();
    html! {
        @if !broken.is_empty() {
            section #breaches {
                h2 { "What was broken" }
                @for checked in broken { (breaches_of(run, checked)) }
            }
        }
    }
}

fn breaches_of(run: &Run, checked: &Checked) -> Markup {
    let more = checked.breaches_in_all.saturating_sub(checked.breaches.len() as u64);
    html! {
        @for breach in &checked.breaches {
            article.breach {
                h3 { code { (checked.check.name()) } " " span.note { (checked.check.promise()) " (" (checked.check.invariants()) ")" } }
                p { (breach.what) }
                div.wide {
                    table {
                        thead { tr { th.number { "sent" } th { "by" } th { "request" } th { "answer" } } }
                        tbody {
                            @for Line { when, who, request, answer } in
                                breach.records.iter().filter_map(|position| words::line(run.history, *position)) {
                                tr { td.number { (when) } td { (who) } td { (request) } td { (answer) } }
                            }
                        }
                    }
                }
            }
        }
        @if more > 0 { p.note { "and " (thousands(more)) " more of " code { (checked.check.name()) } } }
    }
}

/// Every check, with what it rests on.
pub(super) fn checks(run: &Run) -> Markup {
    html! {
        section #checks {
            h2 { "Checks" }
            div.wide {
                table {
                    thead {
                        tr { th { "standing" } th { "check" } th.number { "judged" } th.number { "floor" } th { "what was judged" } }
                    }
                    tbody {
                        @for checked in &run.verdict.checks { (check(checked)) }
                    }
                }
            }
        }
    }
}

fn check(checked: &Checked) -> Markup {
    let applies = checked.standing != Standing::NotApplicable;
    let figure = |count: u64| if applies { thousands(count) } else { "–".to_owned() };
    html! {
        tr id=(checked.check.name()) {
            td.standing.(class(checked.standing)) {
                span.sign aria-hidden="true" { (sign(checked.standing)) } (words::standing(checked.standing))
            }
            td.promise { (promise(checked.check)) }
            td.number { (figure(checked.judged)) }
            td.number { (figure(checked.floor)) }
            td.note {
                (checked.detail)
                @if checked.breaches_in_all > 0 { " · " b.broken { (thousands(checked.breaches_in_all)) " broken" } }
            }
        }
    }
}

fn promise(check: Check) -> Markup {
    html! { (check.promise()) br; code.name { (check.name()) } }
}

/// The thresholds that were asked for.
pub(super) fn thresholds(run: &Run) -> Markup {
    let look = |reached| match reached {
        Reached::Met => Standing::Held,
        Reached::Missed => Standing::Broken,
        Reached::Unknown => Standing::Unknown,
    };
    html! {
        @if !run.thresholds.is_empty() {
            section #thresholds {
                h2 { "Thresholds" }
                div.wide {
                    table {
                        thead { tr { th { "standing" } th { "fail if" } th.number { "seen" } th.number { "samples" } } }
                        tbody {
                            @for judged in run.thresholds {
                                tr {
                                    td.standing.(class(look(judged.reached))) {
                                        span.sign aria-hidden="true" { (sign(look(judged.reached))) } (words::reached(judged.reached))
                                    }
                                    td { code { (judged.threshold) } }
                                    td.number { (judged.seen) }
                                    td.number { (thousands(judged.samples)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// How long answers took, and what they were.
pub(super) fn endpoints(run: &Run) -> Markup {
    let measures = run.measures;
    html! {
        section #endpoints {
            h2 { "Endpoints" }
            div.wide {
                table {
                    thead {
                        tr {
                            th { "endpoint" } th.number { "requests" } th.number { "a second" } th.number { "errors" }
                            @for name in words::PERCENTILES { th.number { (name) } }
                        }
                    }
                    tbody {
                        @for endpoint in measures.endpoints.iter().chain((measures.endpoints.len() > 1).then_some(&measures.total)).chain(&measures.chaos) {
                            tr.total[endpoint.name == "all"] {
                                td { code { (endpoint.name) } @if endpoint.name == "chaos" { span.note { " things are broken on purpose" } } }
                                td.number { (thousands(endpoint.requests)) }
                                td.number { (rate(endpoint.rate())) }
                                td.number.bad[endpoint.errors > 0] { (thousands(endpoint.errors)) }
                                @for figure in words::percentiles(endpoint.latency.percentiles()) { td.number { (figure) } }
                            }
                        }
                    }
                }
            }
            h2 { "Answers" }
            div.answers {
                @for endpoint in measures.endpoints.iter().chain(&measures.chaos) {
                    table {
                        caption { code { (endpoint.name) } }
                        tbody {
                            @for row in endpoint.answers.rows() {
                                tr {
                                    td.bad[row.error] { (row.label()) }
                                    td.number { (thousands(row.count)) }
                                    td.number.note { (percent(as_float(row.count) / as_float(endpoint.requests))) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What ran, and what was broken on purpose.
pub(super) fn scenarios(run: &Run) -> Markup {
    let measures = run.measures;
    let left_out = run.history.header.scenarios.iter().filter_map(|plan| Some((plan.name, plan.left_out.as_ref()?)));
    html! {
        section #scenarios {
            h2 { "Scenarios" }
            div.wide {
                table {
                    thead { tr { th { "scenario" } th.number { "began" } th.number { "took" } th.number { "requests" } th.number { "errors" } th { "units" } th { "end" } } }
                    tbody {
                        @for scenario in &measures.scenarios {
                            @let stock = measures.stocks.iter().find(|stock| stock.scenario == scenario.name);
                            tr {
                                td { code { (scenario.name) } }
                                td.number { (words::moment(scenario.began)) }
                                td.number { (words::time(scenario.ended.0.saturating_sub(scenario.began.0))) }
                                td.number { (thousands(scenario.requests)) }
                                td.number { (thousands(scenario.errors)) }
                                td.note { @if let Some(stock) = stock { (words::most_out(stock)) } }
                                td.unknown[!scenario.finished] {
                                    @match (&scenario.trouble, scenario.finished) {
                                        (Some(trouble), _) => (trouble),
                                        (None, true) => "finished",
                                        (None, false) => "not finished",
                                    }
                                }
                            }
                        }
                        @for (name, why) in left_out {
                            tr { td { code { (name) } } td.note colspan="6" { "left out: " (why) } }
                        }
                    }
                }
            }
            @if !measures.faults.is_empty() {
                details {
                    summary { (counted(measures.faults.len() as u64, "fault")) " on purpose" }
                    div.wide {
                        table {
                            thead { tr { th { "fault" } th.number { "began" } th.number { "whole again after" } } }
                            tbody {
                                @for fault in measures.faults.iter().take(FAULTS_MAX) {
                                    tr {
                                        td { (fault.what) }
                                        td.number { (words::moment(fault.began)) }
                                        td.number { (words::time(fault.ended.0.saturating_sub(fault.began.0))) }
                                    }
                                }
                                @if measures.faults.len() > FAULTS_MAX {
                                    tr { td.note colspan="3" { "and " (measures.faults.len() - FAULTS_MAX) " more" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// With what it ran.
pub(super) fn settings(run: &Run) -> Markup {
    let header = &run.history.header;
    let target = match header.target {
        TargetKind::Private => "private server",
        TargetKind::Host => "somebody else's server",
    };
    let settings = [
        ("target", format!("{target}, {}", header.url)),
        ("database", header.database.clone().unwrap_or_else(|| "not known".to_owned())),
        ("scope", words::scope(header.scope).to_owned()),
        ("a hold lives", counted(header.limits.hold_ttl_seconds, "second")),
        ("an order waits for its payment", counted(header.limits.payment_window_seconds, "second")),
        ("units of one hold at most", thousands(u64::from(header.limits.max_qty_per_hold))),
        ("users", thousands(u64::from(header.users))),
        ("a sustained scenario goes on", words::duration(header.duration_milliseconds)),
        ("longest wait", words::duration(header.max_wait_milliseconds)),
        ("products", thousands(header.products.len() as u64)),
        ("harness", header.harness.clone()),
        ("exit code", format!("{}: {}", run.exit_code, words::exit_code(run.exit_code))),
    ];
    html! {
        section #settings {
            h2 { "Settings" }
            dl.settings {
                @for (name, value) in settings { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}
