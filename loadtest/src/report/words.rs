//! How reports put things: figures with units, requests and answers in words, names of standings.
//!
//! What does not belong here: any markup, and escaping (that is each report's own).

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;

use super::Run;
use crate::check::{Check, Standing};
use crate::history::{
    Header, History, HoldStatus, Mark, Moment, News, Operation, OrderStatus, Outcome, Record, Scope, TargetKind,
};
use crate::measure::threshold::Reached;
use crate::measure::{Measures, Percentiles, Stock, as_float, code_name, why_name};

/// The verdict in one sentence.
pub(crate) fn verdict(run: &Run) -> String {
    match run.verdict.standing() {
        Standing::Broken => {
            let broken: Vec<_> =
                run.verdict.checks.iter().filter(|checked| checked.standing == Standing::Broken).collect();
            match broken.as_slice() {
                [only] if only.check == Check::NoOversell => "Broken: the sale oversold".to_owned(),
                [only] => format!("Broken: the check {} found breaches", only.check.name()),
                several if several.iter().any(|checked| checked.check == Check::NoOversell) => {
                    let more = several.len() - 1;
                    format!("Broken: the sale oversold, and {} found breaches", counted(more as u64, "more check"))
                }
                several => format!("Broken: {} checks found breaches", several.len()),
            }
        }
        Standing::Held => "Held: the sale kept every promise that was checked".to_owned(),
        Standing::Unknown | Standing::NotApplicable => format!("Unknown: {}", why_unknown(run)),
    }
}

/// What keeps the verdict from being one.
fn why_unknown(run: &Run) -> String {
    let unknown = run.checks(Standing::Unknown);
    if run.verdict.interrupted {
        "the run was interrupted, or its history is cut off".to_owned()
    } else if run.history.marks.iter().any(|mark| matches!(mark, Mark::ClockStepped { .. })) {
        "this machine slept, or its time was set".to_owned()
    } else if !run.verdict.troubles.is_empty() {
        format!("{} did not do what they are for", counted(run.verdict.troubles.len() as u64, "scenario"))
    } else if unknown > 0 {
        format!("{} judged too little", counted(unknown as u64, "check"))
    } else {
        "no check applied".to_owned()
    }
}

/// A standing, as one word or two.
pub(crate) const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Held => "held",
        Standing::Broken => "broken",
        Standing::Unknown => "unknown",
        Standing::NotApplicable => "not applicable",
    }
}

/// How a threshold ended, as one word.
pub(super) const fn reached(reached: Reached) -> &'static str {
    match reached {
        Reached::Met => "met",
        Reached::Missed => "missed",
        Reached::Unknown => "unknown",
    }
}

/// What an exit code says.
pub(super) const fn exit_code(code: u8) -> &'static str {
    match code {
        0 => "all held",
        1 => "a promise was broken",
        2 => "a threshold was missed",
        3 => "the verdict is unknown",
        _ => "wrong usage, or no server answered",
    }
}

/// `12,345`.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 unit`, `2 units`.
pub(super) fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// `1 breach`, `2 breaches`.
pub(super) fn breaches(count: u64) -> String {
    format!("{} breach{}", thousands(count), if count == 1 { "" } else { "es" })
}

/// A rate, per second: three digits if it is small.
pub(super) fn rate(per_second: f64) -> String {
    if per_second >= 100.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is positive, and a cast saturates"
        )]
        let whole = per_second.round() as u64;
        thousands(whole)
    } else if per_second >= 10.0 {
        format!("{per_second:.1}")
    } else {
        format!("{per_second:.2}")
    }
}

/// A share from 0 to 1 as percent. What is not 0 never looks like 0, what is not all never like all.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        value if value <= 0.0 => "0 %".to_owned(),
        value if value < 0.01 => "< 0.01 %".to_owned(),
        value if value < 10.0 => format!("{value:.2} %"),
        value if value < 99.95 => format!("{value:.1} %"),
        value if value < 100.0 => "> 99.9 %".to_owned(),
        _ => "100 %".to_owned(),
    }
}

/// The figures of a run, in a line or two: how much, how fast, how many errors; then what chaos broke on purpose,
/// which counts for no threshold either.
pub(super) fn figures(measures: &Measures) -> Vec<String> {
    let steady = (measures.total.requests > 0 || measures.chaos.is_none()).then(|| steady_figures(measures));
    steady.into_iter().chain(chaos_figures(measures)).collect()
}

fn steady_figures(measures: &Measures) -> String {
    let total = &measures.total;
    let mut text = format!(
        "{} in {}, {} a second, {} ({})",
        counted(total.requests, "request"),
        time(total.took()),
        rate(total.rate()),
        counted(total.errors, "error"),
        percent(total.error_share()),
    );
    if let Some(figures) = total.latency.percentiles() {
        // Writing to a string cannot fail.
        let _ = write!(text, "; p50 {}, p99 {}", time(figures.p50), time(figures.p99));
    }
    text
}

fn chaos_figures(measures: &Measures) -> Option<String> {
    let chaos = measures.chaos.as_ref()?;
    Some(format!(
        "{} in chaos, which breaks things on purpose, {} of them in vain: these count in no other figure and for no threshold",
        counted(chaos.requests, "request"),
        thousands(chaos.errors),
    ))
}

/// A time with three digits and the unit that suits it.
pub(super) fn time(nanoseconds: u64) -> String {
    let (value, unit) = match nanoseconds {
        0..1_000 => return format!("{nanoseconds} ns"),
        1_000..1_000_000 => (as_float(nanoseconds) / 1e3, "µs"),
        1_000_000..1_000_000_000 => (as_float(nanoseconds) / 1e6, "ms"),
        1_000_000_000..120_000_000_000 => (as_float(nanoseconds) / 1e9, "s"),
        _ => (as_float(nanoseconds) / 60e9, "min"),
    };
    match value {
        value if value < 9.995 => format!("{value:.2} {unit}"),
        value if value < 99.95 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    }
}

/// A time that may not be known.
pub(super) fn time_or_dash(nanoseconds: Option<u64>) -> String {
    nanoseconds.map_or_else(|| "–".to_owned(), time)
}

/// A moment of the run: `3.204 s`.
pub(super) fn moment(moment: Moment) -> String {
    format!("{:.3} s", moment.seconds())
}

/// When the run began, to the second, in UTC.
pub(super) fn began(header: &Header) -> String {
    let whole_seconds = header.began_at.div_euclid(1_000_000);
    match Timestamp::from_second(whole_seconds) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => format!("{whole_seconds} s since 1970"),
    }
}

/// The same in the form that programs read, `2025-12-02T19:00:26`, in UTC.
pub(super) fn began_for_programs(header: &Header) -> Option<String> {
    let time = Timestamp::from_second(header.began_at.div_euclid(1_000_000)).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

/// What the run aimed at: `private server on sqlite`.
pub(super) fn target(header: &Header) -> String {
    let server = match header.target {
        TargetKind::Private => "private server",
        TargetKind::Host => header.url.as_str(),
    };
    header.database.as_ref().map_or_else(|| server.to_owned(), |database| format!("{server} on {database}"))
}

/// What may be concluded.
pub(super) const fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Sole => "nobody else buys: everything is judged",
        Scope::Shared => "others may buy too: only what stays sound is judged",
    }
}

/// How long something went on.
pub(super) fn duration(milliseconds: u64) -> String {
    let duration = Duration::from_millis(milliseconds);
    time(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// The percentiles of a table, in its order.
pub(super) fn percentiles(figures: Option<Percentiles>) -> [String; 6] {
    let of = |pick: fn(&Percentiles) -> u64| time_or_dash(figures.as_ref().map(pick));
    [of(|f| f.mean), of(|f| f.p50), of(|f| f.p90), of(|f| f.p99), of(|f| f.p99_9), of(|f| f.max)]
}

/// The heads of that table's columns.
pub(super) const PERCENTILES: [&str; 6] = ["mean", "p50", "p90", "p99", "p99.9", "max"];

/// The most units of a scenario that were out, against its stock.
pub(super) fn most_out(stock: &Stock) -> String {
    let most = stock.most();
    match stock.stocked {
        Some(stocked) => format!("{} of {} units out at most", thousands(most.out()), thousands(stocked)),
        None => format!("{} out at most", counted(most.out(), "unit")),
    }
}

/// Text without control characters, which a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// One request of a breach, in words: when, who, what, and what came back.
pub(super) struct Line {
    /// When it was sent, and how long it took.
    pub(super) when: String,
    /// Which client sent it, in which scenario.
    pub(super) who: String,
    /// What was asked for.
    pub(super) request: String,
    /// What came back.
    pub(super) answer: String,
}

/// The request at `position` of the history, if there is one.
pub(super) fn line(history: &History, position: usize) -> Option<Line> {
    let record = history.records.get(position)?;
    let took = record.ended.0.saturating_sub(record.invoked.0);
    Some(Line {
        when: format!("{} + {}", moment(record.invoked), time(took)),
        who: format!("{} client {}", record.scenario, record.client),
        request: request(&record.operation),
        answer: answer(record),
    })
}

fn request(operation: &Operation) -> String {
    match *operation {
        Operation::PlaceHold { product, quantity, key } => {
            format!("hold {} of product {product}, key {}", counted(u64::from(quantity), "unit"), key.0)
        }
        Operation::ReleaseHold { hold } => format!("release hold {hold}"),
        Operation::ReadHold { hold } => format!("read hold {hold}"),
        Operation::PlaceOrder { hold, key } => format!("order hold {hold}, key {}", key.0),
        Operation::ReadOrder { order } => format!("read order {order}"),
        Operation::Webhook { key, order, news } => {
            let news = match news {
                News::Success => "success",
                News::Failure => "failure",
                News::Pending => "pending",
            };
            format!("webhook {news} for order {order}, key {}", key.0)
        }
        Operation::ReadProduct { product, at_rest } => {
            format!("read product {product}{}", if at_rest { " at rest" } else { "" })
        }
    }
}

fn answer(record: &Record) -> String {
    let mut text = record.outcome.status().map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let replay = |replayed: bool| if replayed { ", replayed" } else { "" };
    // Writing to a string cannot fail.
    let _ = match &record.outcome {
        Outcome::Held { hold, replayed, .. } => write!(text, " hold {hold}{}", replay(*replayed)),
        Outcome::Released | Outcome::Accepted => Ok(()),
        Outcome::Ordered { order, replayed, .. } => {
            write!(text, " order {}, {}{}", order.order, order_status(order.status), replay(*replayed))
        }
        Outcome::Product(view) => write!(
            text,
            " {} free, stock_available {}, stock_reserved {}{}",
            view.free,
            view.available,
            view.reserved,
            if view.suspended { ", suspended" } else { "" }
        ),
        Outcome::Hold(view) => {
            let order = view.order.map_or_else(String::new, |order| format!(", order {order}"));
            write!(text, " {} of {} units{order}", hold_status(view.status), view.quantity)
        }
        Outcome::Order(view) => {
            write!(text, " {}, {} units of hold {}", order_status(view.status), view.quantity, view.hold)
        }
        Outcome::Refused { code, available, order, .. } => {
            let available = available.map_or_else(String::new, |units| format!(", {units} available"));
            let order = order.map_or_else(String::new, |order| format!(", order {order}"));
            write!(text, " {}{available}{order}", code_name(*code))
        }
        Outcome::Unknown { why, .. } => write!(text, ", {}", why_name(*why)),
    };
    text
}

const fn hold_status(status: HoldStatus) -> &'static str {
    match status {
        HoldStatus::Active => "active",
        HoldStatus::Redeemed => "redeemed",
        HoldStatus::Expired => "expired",
        HoldStatus::GivenBack => "given back",
        HoldStatus::PaymentFailed => "released, payment failed",
        HoldStatus::PaymentOverdue => "released, payment overdue",
    }
}

const fn order_status(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::PendingPayment => "pending payment",
        OrderStatus::Paid => "paid",
        OrderStatus::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Code, Key, ProductView, ScenarioName, Why};

    #[test]
    fn figures_read_well() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([counted(1, "unit"), counted(2_000, "unit")], ["1 unit", "2,000 units"]);
        assert_eq!(
            [0.0, 0.000_01, 0.001, 0.25, 0.9999, 1.0].map(percent),
            ["0 %", "< 0.01 %", "0.10 %", "25.0 %", "> 99.9 %", "100 %"]
        );
        assert_eq!([0.5, 42.25, 12_345.6].map(rate), ["0.50", "42.2", "12,346"]);
        let times = [12, 1_500, 9_999_000, 45_600_000, 999_400_000, 61_000_000_000, 180_000_000_000];
        assert_eq!(times.map(time), ["12 ns", "1.50 µs", "10.0 ms", "45.6 ms", "999 ms", "61.0 s", "3.00 min"]);
    }

    #[test]
    fn requests_and_answers_are_put_in_words() {
        let hold = Operation::PlaceHold { product: 3, quantity: 5, key: Key(9) };
        let refused = |status, code| Outcome::Refused { status, code, available: Some(2), order: None };
        let unknown = |why, status| Outcome::Unknown { why, status };
        let view = ProductView { free: -1, available: 4, reserved: 5, suspended: true };
        for (operation, outcome, asked, answered) in [
            (
                hold,
                Outcome::Held { hold: 7, expires_at: 0, replayed: true, body: 0 },
                "hold 5 units of product 3, key 9",
                "201 hold 7, replayed",
            ),
            (
                hold,
                refused(409, Code::InsufficientStock),
                "hold 5 units of product 3, key 9",
                "409 insufficient_stock, 2 available",
            ),
            (Operation::ReleaseHold { hold: 7 }, Outcome::Released, "release hold 7", "204"),
            (
                Operation::ReleaseHold { hold: 7 },
                unknown(Why::TimedOut, None),
                "release hold 7",
                "no answer, timed_out",
            ),
            (
                Operation::ReleaseHold { hold: 7 },
                unknown(Why::Undocumented, Some(502)),
                "release hold 7",
                "502, undocumented",
            ),
            (
                Operation::Webhook { key: Key(1), order: 2, news: News::Failure },
                Outcome::Accepted,
                "webhook failure for order 2, key 1",
                "200",
            ),
            (
                Operation::ReadProduct { product: 3, at_rest: true },
                Outcome::Product(view),
                "read product 3 at rest",
                "200 -1 free, stock_available 4, stock_reserved 5, suspended",
            ),
        ] {
            let (invoked, ended) = (Moment(3_204_000_000), Moment(3_209_000_000));
            let record = Record { scenario: ScenarioName::Rush, client: 4, invoked, ended, operation, outcome };
            assert_eq!((request(&record.operation).as_str(), answer(&record).as_str()), (asked, answered));
        }
    }
}
