//! Drawing a plot: lines and areas as SVG that stretches to its place, labels as text that does not.
//!
//! Colours are classes of the style sheet. What does not belong here: what is plotted.

#![expect(
    clippy::format_push_string,
    reason = "a report is written once, and reads better so than with results to ignore"
)]

use maud::{Markup, html};
use serde_json::json;

use crate::report::words;

/// The width of a drawing in its own units; it is stretched to its place.
const WIDTH: f64 = 1000.0;
/// Its height.
const HEIGHT: f64 = 100.0;

/// How values become heights.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// From 0 up.
    Linear {
        /// The value at the top.
        top: f64,
    },
    /// By powers of ten.
    Logarithmic {
        /// The value at the bottom, over 0.
        bottom: f64,
        /// The value at the top.
        top: f64,
    },
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// From the middle of a step to that of the next; gaps where there is no value.
    Line,
    /// Filled from the ground, or from the series below, and flat within a step.
    Area,
}

/// Values of one kind.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// Its name in the legend.
    pub(super) name: &'static str,
    /// Its class in the style sheet.
    pub(super) class: &'static str,
    /// How it is drawn.
    pub(super) shape: Shape,
    /// Its heights: for a stack, with all that is below it.
    pub(super) values: Vec<Option<f64>>,
    /// Each value, as it is read out.
    pub(super) texts: Vec<String>,
}

/// A plot.
#[derive(Debug)]
pub(super) struct Plot {
    /// What it shows, for those who do not see it.
    pub(super) description: String,
    /// When its first step begins, in seconds.
    pub(super) began: f64,
    /// How long a step is, in seconds.
    pub(super) step: f64,
    /// How many steps there are.
    pub(super) steps: usize,
    /// How values become heights.
    pub(super) scale: Scale,
    /// Values marked on the vertical axis, with their labels.
    pub(super) ticks: Vec<(f64, String)>,
    /// What is drawn, in this order.
    pub(super) series: Vec<Series>,
    /// A value that is not to be exceeded.
    pub(super) limit: Option<f64>,
    /// Spans to mark, in seconds, with what they are.
    pub(super) bands: Vec<(f64, f64, String)>,
}

impl Plot {
    /// Where a moment is, in percent from the left.
    pub(super) fn across(&self, seconds: f64) -> f64 {
        across(self.began, self.step, self.steps, seconds)
    }

    fn y(&self, value: f64) -> f64 {
        let up = match self.scale {
            Scale::Linear { top } => value / top,
            Scale::Logarithmic { bottom, top } => (value.max(bottom) / bottom).log10() / (top / bottom).log10(),
        };
        HEIGHT * (1.0 - up.clamp(0.0, 1.0))
    }

    /// The plot, with its legend.
    pub(super) fn draw(&self) -> Markup {
        html! {
            div.plot data-values=(self.read_out()) {
                p.legend {
                    @for series in self.series.iter().rev() {
                        span class=(series.class) { i {} (series.name) b.value {} }
                    }
                    @if self.limit.is_some() { span.limit { i {} "stock" b.value {} } }
                    span.at {}
                }
                div.axis aria-hidden="true" {
                    @for (value, label) in &self.ticks {
                        span style=(format!("top:{:.2}%", self.y(*value) / HEIGHT * 100.0)) { (label) }
                    }
                }
                div.canvas {
                    (self.drawing())
                    div.cursor hidden {}
                }
                div.times aria-hidden="true" {
                    @for (seconds, label) in self.times() {
                        span style=(format!("left:{:.2}%", self.across(seconds))) { (label) }
                    }
                }
            }
        }
    }

    fn drawing(&self) -> Markup {
        let span = |from: f64, to: f64| {
            (self.across(from) * WIDTH / 100.0, (self.across(to) - self.across(from)).max(0.15) * WIDTH / 100.0)
        };
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(self.description) {
                @for (value, _) in &self.ticks {
                    line.grid x1="0" x2=(WIDTH) y1=(format!("{:.2}", self.y(*value))) y2=(format!("{:.2}", self.y(*value))) {}
                }
                // The stack is drawn from its top down, so that what is below lies over it.
                @for series in self.series.iter().rev().filter(|series| series.shape == Shape::Area) {
                    path class=(format!("area {}", series.class)) d=(self.area(&series.values)) {}
                }
                @if let Some(limit) = self.limit { path.over d=(self.over(limit)) {} }
                @for (from, to, what) in &self.bands {
                    @let (x, width) = span(*from, *to);
                    rect.fault x=(format!("{x:.2}")) y="0" width=(format!("{width:.2}")) height=(HEIGHT) { title { (what) } }
                }
                @for series in self.series.iter().filter(|series| series.shape == Shape::Line) {
                    path class=(format!("line {}", series.class)) d=(self.line(&series.values)) {}
                }
                @if let Some(limit) = self.limit {
                    line.limit x1="0" x2=(WIDTH) y1=(format!("{:.2}", self.y(limit))) y2=(format!("{:.2}", self.y(limit))) {}
                }
            }
        }
    }

    fn x(&self, position: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "there are some hundreds of steps")]
        let steps = self.steps as f64;
        position / steps * WIDTH
    }

    fn line(&self, values: &[Option<f64>]) -> String {
        let mut path = String::new();
        let mut alone = true;
        for (step, value) in values.iter().enumerate() {
            let Some(value) = value else {
                alone = true;
                continue;
            };
            #[expect(clippy::cast_precision_loss, reason = "there are some hundreds of steps")]
            let middle = self.x(step as f64 + 0.5);
            // The short stroke makes a dot of a value that has no neighbours.
            let (command, dot) = if alone { ('M', "h0.01") } else { ('L', "") };
            path.push_str(&format!("{command}{middle:.2} {:.2}{dot}", self.y(*value)));
            alone = false;
        }
        path
    }

    fn area(&self, values: &[Option<f64>]) -> String {
        let mut path = format!("M0 {HEIGHT}");
        for (step, value) in values.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "there are some hundreds of steps")]
            let end = self.x(step as f64 + 1.0);
            path.push_str(&format!("V{:.2}H{end:.2}", self.y(value.unwrap_or(0.0))));
        }
        path.push_str(&format!("V{HEIGHT}Z"));
        path
    }

    /// What of the last series that is not up to the limit by its nature is over it.
    fn over(&self, limit: f64) -> String {
        let mut path = String::new();
        let Some(series) = self.series.iter().rfind(|series| series.class != "free") else { return path };
        for (step, value) in series.values.iter().enumerate() {
            let Some(value) = value.filter(|value| *value > limit) else { continue };
            #[expect(clippy::cast_precision_loss, reason = "there are some hundreds of steps")]
            let begin = step as f64;
            let (left, right) = (self.x(begin), self.x(begin + 1.0));
            path.push_str(&format!("M{left:.2} {:.2}V{:.2}H{right:.2}V{0:.2}Z", self.y(limit), self.y(value)));
        }
        path
    }

    /// Moments on the horizontal axis.
    fn times(&self) -> Vec<(f64, String)> {
        #[expect(clippy::cast_precision_loss, reason = "there are some hundreds of steps")]
        let span = self.step * self.steps as f64;
        let distance = round_step(span / 6.0);
        let mut times = Vec::new();
        let mut at = (self.began / distance).ceil() * distance;
        // Not so near to the end that the label would leave the page.
        while at <= self.began + span * 0.97 && times.len() < 12 {
            let digits = if distance >= 1.0 {
                0
            } else if distance >= 0.1 {
                1
            } else {
                2
            };
            times.push((at, format!("{at:.digits$} s")));
            at += distance;
        }
        times
    }

    /// What the script reads out under the pointer.
    fn read_out(&self) -> String {
        let series: Vec<_> = self.series.iter().rev().map(|series| &series.texts).collect();
        json!({ "began": self.began, "step": self.step, "steps": self.steps, "series": series }).to_string()
    }
}

/// Where a moment is, in percent from the left.
pub(super) fn across(began: f64, step: f64, steps: usize, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "there are some hundreds of steps")]
    let span = step * steps as f64;
    ((seconds - began) / span * 100.0).clamp(0.0, 100.0)
}

/// The nearest distance over `least` that reads well: 1, 2 or 5 of a power of ten.
pub(super) fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.max(1e-9).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

/// A linear scale for values up to `most`, with its ticks; the labels are whole numbers where the values are.
pub(super) fn linear(most: f64) -> (Scale, Vec<(f64, String)>) {
    let top = most.max(1.0) * 1.08;
    let step = round_step(top / 4.0).max(if most <= 4.0 { 1.0 } else { 0.0 });
    let ticks = (0_u32..=20)
        .map(|tick| f64::from(tick) * step)
        .take_while(|value| *value <= top)
        .map(|value| (value, short(value)))
        .collect();
    (Scale::Linear { top }, ticks)
}

/// `0.5`, `1,500`, `12k`, `3M`.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e4 => format!("{}k", value / 1e3),
        value if value >= 1e3 => words::rate(value),
        value => format!("{value}"),
    }
}

/// A logarithmic scale over the decades of values from `least` to `most`, with a tick at each.
pub(super) fn logarithmic(least: f64, most: f64, label: impl Fn(f64) -> String) -> (Scale, Vec<(f64, String)>) {
    let bottom = 10_f64.powf(least.max(1.0).log10().floor());
    let mut top = 10_f64.powf(most.max(1.0).log10().ceil());
    if top <= bottom {
        top = bottom * 10.0;
    }
    let mut ticks = Vec::new();
    let mut tick = bottom;
    while tick <= top * 1.01 && ticks.len() < 16 {
        ticks.push((tick, label(tick)));
        tick *= 10.0;
    }
    (Scale::Logarithmic { bottom, top }, ticks)
}
