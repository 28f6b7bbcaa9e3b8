//! What is plotted: units against the stock for each scenario, requests and latency over the whole run.

use maud::{Markup, html};

use super::chart::{Plot, Series, Shape, across, linear, logarithmic};
use crate::measure::{Measures, Step, Stock, as_float};
use crate::report::Run;
use crate::report::words::{self, counted, thousands};

/// Units held, sold and free of each scenario that sold any.
pub(super) fn stocks(run: &Run) -> Markup {
    let stocks = &run.measures.stocks;
    html! {
        @if !stocks.is_empty() {
            section #stock {
                h2 { "Units over time" }
                p.note {
                    "Units that were surely out, as clients were told: from the answer that gave them to the first moment at which "
                    "anything could have given them back. What is left up to the stock is free."
                }
                div.multiples {
                    @for stock in stocks { (multiple(run.measures, stock)) }
                }
            }
        }
    }
}

fn multiple(measures: &Measures, stock: &Stock) -> Markup {
    let over = stock.stocked.is_some_and(|stocked| stock.most().out() > stocked)
        || stock.fullest.is_some_and(|fullest| fullest.out > fullest.stocked);
    html! {
        figure {
            figcaption {
                b { (stock.scenario) } " "
                span class=(if over { "broken" } else { "note" }) { (words::most_out(stock)) }
                @if let (true, Some(fullest)) = (stock.products > 1, stock.fullest) {
                    span class=(if fullest.out > fullest.stocked { "broken" } else { "note" }) {
                        " of " (counted(stock.products as u64, "product")) "; the fullest, " (fullest.product) ", had "
                        (fullest.out) " of " (fullest.stocked)
                    }
                }
            }
            (units(measures, stock).draw())
        }
    }
}

fn units(measures: &Measures, stock: &Stock) -> Plot {
    let most = as_float(stock.most().out().max(stock.stocked.unwrap_or(0)));
    let (scale, ticks) = linear(most);
    let values =
        |of: fn(&crate::measure::Level) -> u64| stock.levels.iter().map(|level| Some(as_float(of(level)))).collect();
    let texts = |of: fn(&crate::measure::Level) -> u64| stock.levels.iter().map(|level| thousands(of(level))).collect();
    let mut series = vec![
        Series {
            name: "sold",
            class: "sold",
            shape: Shape::Area,
            values: values(|level| level.sold),
            texts: texts(|level| level.sold),
        },
        Series {
            name: "held",
            class: "units-held",
            shape: Shape::Area,
            values: values(|level| level.out()),
            texts: texts(|level| level.held),
        },
    ];
    if let Some(stocked) = stock.stocked {
        let free = |level: &crate::measure::Level| thousands(stocked.saturating_sub(level.out()));
        series.push(Series {
            name: "free",
            class: "free",
            shape: Shape::Area,
            values: stock.levels.iter().map(|level| Some(as_float(stocked.max(level.out())))).collect(),
            texts: stock.levels.iter().map(free).collect(),
        });
    }
    Plot {
        description: format!("Units of {} over time: {}", stock.scenario, words::most_out(stock)),
        began: stock.steps.began.seconds(),
        step: stock.steps.seconds(),
        steps: stock.steps.count,
        scale,
        ticks,
        series,
        limit: stock.stocked.map(as_float),
        bands: faults(measures, stock.steps.began.seconds(), stock.steps.begin_of(stock.steps.count).seconds()),
    }
}

/// Faults that overlap a span, in seconds.
fn faults(measures: &Measures, from: f64, to: f64) -> Vec<(f64, f64, String)> {
    let spans = measures.faults.iter().map(|fault| (fault.began.seconds(), fault.ended.seconds(), fault.what.clone()));
    spans.filter(|(began, ended, _)| *began <= to && *ended >= from).collect()
}

/// Scenarios, requests and latency on the axis of the whole run.
pub(super) fn over_time(run: &Run) -> Markup {
    let measures = run.measures;
    html! {
        @if measures.timeline.iter().any(|step| step.requests > 0) {
            section #time {
                h2 { "Over time" }
                (lanes(measures))
                h3 { "Requests a second" }
                (throughput(measures).draw())
                h3 { "How long answers took" }
                (latency(measures).draw())
                @if !measures.faults.is_empty() {
                    p.note { span.swatch.fault {} "Shaded: the harness broke something on purpose." }
                }
            }
        }
    }
}

/// When each scenario ran, and the faults.
fn lanes(measures: &Measures) -> Markup {
    let steps = measures.timeline.steps;
    let place = |began: f64, ended: f64| {
        let across = |seconds| across(0.0, steps.seconds(), steps.count, seconds);
        format!("left:{:.2}%;width:{:.2}%", across(began), (across(ended) - across(began)).max(0.2))
    };
    html! {
        div.lanes {
            @for scenario in &measures.scenarios {
                span.lane-name { (scenario.name) }
                div.lane {
                    span.bar style=(place(scenario.began.seconds(), scenario.ended.seconds()))
                        title=(format!("{}: {} to {}", scenario.name, words::moment(scenario.began), words::moment(scenario.ended))) {}
                }
            }
            @if !measures.faults.is_empty() {
                span.lane-name { "faults" }
                div.lane {
                    @for fault in &measures.faults {
                        span.bar.fault style=(place(fault.began.seconds(), fault.ended.seconds()))
                            title=(format!("{}, {}", fault.what, words::moment(fault.began))) {}
                    }
                }
            }
        }
    }
}

fn over_the_run(
    measures: &Measures,
    description: String,
    scale: super::chart::Scale,
    ticks: Vec<(f64, String)>,
    series: Vec<Series>,
) -> Plot {
    let steps = measures.timeline.steps;
    let bands = faults(measures, 0.0, measures.ended.seconds());
    let (began, step, steps) = (steps.began.seconds(), steps.seconds(), steps.count);
    Plot { description, began, step, steps, scale, ticks, series, limit: None, bands }
}

fn throughput(measures: &Measures) -> Plot {
    let seconds = measures.timeline.steps.seconds();
    let series = |name, class, of: fn(&Step) -> u64| {
        let rates: Vec<_> = measures.timeline.iter().map(|step| as_float(of(&step)) / seconds).collect();
        let texts = rates.iter().map(|value| format!("{}/s", words::rate(*value))).collect();
        Series { name, class, shape: Shape::Line, values: rates.into_iter().map(Some).collect(), texts }
    };
    let mut all = vec![series("requests", "requests", |step| step.requests)];
    if measures.timeline.iter().any(|step| step.errors > 0) {
        all.push(series("errors", "errors", |step| step.errors));
    }
    let most = all[0].values.iter().flatten().copied().fold(0.0, f64::max);
    let (scale, ticks) = linear(most);
    over_the_run(measures, format!("Requests a second over time, {} at most", words::rate(most)), scale, ticks, all)
}

fn latency(measures: &Measures) -> Plot {
    let series = |name, class, of: fn(&Step) -> Option<u64>| {
        let times: Vec<_> = measures.timeline.iter().map(|step| of(&step)).collect();
        let texts = times.iter().map(|time| words::time_or_dash(*time)).collect();
        Series {
            name,
            class,
            shape: Shape::Line,
            values: times.into_iter().map(|time| time.map(as_float)).collect(),
            texts,
        }
    };
    let all = vec![
        series("p50", "p50", |step| step.p50),
        series("p90", "p90", |step| step.p90),
        series("p99", "p99", |step| step.p99),
        series("max", "max", |step| step.max),
    ];
    let seen = || all.iter().flat_map(|series| series.values.iter().flatten().copied());
    let (least, most) = (seen().fold(f64::INFINITY, f64::min), seen().fold(0.0, f64::max));
    let least = if least.is_finite() { least } else { 1.0 };
    let label = |nanoseconds: f64| {
        let (value, unit) = match nanoseconds {
            value if value >= 1e9 => (value / 1e9, "s"),
            value if value >= 1e6 => (value / 1e6, "ms"),
            value if value >= 1e3 => (value / 1e3, "µs"),
            value => (value, "ns"),
        };
        format!("{value:.0} {unit}")
    };
    let (scale, ticks) = logarithmic(least, most, label);
    over_the_run(
        measures,
        "Percentiles of how long answers took over time, on a logarithmic scale".to_owned(),
        scale,
        ticks,
        all,
    )
}
