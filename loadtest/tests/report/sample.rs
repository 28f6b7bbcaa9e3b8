//! A sale in miniature that writes histories like real ones, with verdicts of every standing.
//!
//! The verdicts are made by hand: what the checker would say is not what is tested here.

use holdfast_loadtest::check::{Breach, Check, Checked, Standing, Verdict};
use holdfast_loadtest::history::{
    Code, Header, History, Key, Limits, Mark, Moment, News, Operation, OrderStatus, OrderView, Outcome,
    ProductUnderTest, Record, ScenarioName, ScenarioPlan, TargetKind, Why,
};
use holdfast_loadtest::measure::Measures;
use holdfast_loadtest::measure::threshold::Judged;
use holdfast_loadtest::report::Run;

const MILLISECOND: u64 = 1_000_000;
/// By the wall clock, in microseconds: 2 December 2025, 02:00.
const BEGAN_AT: i64 = 1_764_640_800_000_000;
/// What would break any report that does not escape it.
pub(crate) const NASTY: &str = "<script>alert('x')</script> | `a` \"b\" & \u{1b}[31m\u{0} ]]> \n c";

/// A run that owns what a [`Run`] borrows.
pub(crate) struct Sample {
    pub(crate) history: History,
    pub(crate) verdict: Verdict,
    pub(crate) measures: Measures,
    pub(crate) thresholds: Vec<Judged>,
    pub(crate) exit_code: u8,
}

impl Sample {
    fn new(history: History, verdict: Verdict, thresholds: &[&str], exit_code: u8) -> Self {
        let measures = Measures::of(&history);
        let judge =
            |text: &&str| text.parse::<holdfast_loadtest::measure::threshold::Threshold>().unwrap().judge(&measures);
        let thresholds = thresholds.iter().map(judge).collect();
        Self { history, verdict, measures, thresholds, exit_code }
    }

    pub(crate) fn run(&self) -> Run<'_> {
        Run {
            history: &self.history,
            verdict: &self.verdict,
            measures: &self.measures,
            thresholds: &self.thresholds,
            exit_code: self.exit_code,
            history_path: Some(std::path::Path::new("loadtest.history")),
            goose_reports: &[],
        }
    }

    /// All held, all thresholds met.
    pub(crate) fn held() -> Self {
        let verdict = verdict(|check| match check {
            Check::Audit => Standing::NotApplicable,
            _ => Standing::Held,
        });
        Self::new(history(false), verdict, &["p99(hold) > 1s", "errors > 1%"], 0)
    }

    /// An oversell, and an order that changed its mind; one check judged too little; a threshold missed.
    pub(crate) fn broken() -> Self {
        let history = history(true);
        let mut verdict = verdict(|check| match check {
            Check::NoOversell | Check::FinalStates => Standing::Broken,
            Check::Deadlines => Standing::Unknown,
            Check::Audit => Standing::NotApplicable,
            _ => Standing::Held,
        });
        for checked in verdict.checks.iter_mut().filter(|checked| checked.standing == Standing::Broken) {
            let what = match checked.check {
                Check::NoOversell => "104 units of 100 were surely held or sold at 1.204 s: product 1",
                _ => "order 12 was paid at 2.101 s and cancelled at 2.340 s",
            };
            checked.breaches = vec![Breach {
                what: what.to_owned(),
                product: Some(1),
                at: Moment(1_204 * MILLISECOND),
                records: vec![3, 5, usize::MAX],
            }];
            checked.breaches_in_all = 5;
        }
        Self::new(history, verdict, &["p99(hold) > 1us", "errors > 50%", "max(read_order) > 1s"], 1)
    }

    /// Cut off, with text that nobody should trust.
    pub(crate) fn nasty() -> Self {
        let mut history = history(false);
        NASTY.clone_into(&mut history.header.run);
        NASTY.clone_into(&mut history.header.command);
        history.header.target = TargetKind::Host;
        NASTY.clone_into(&mut history.header.url);
        history.header.database = Some(NASTY.to_owned());
        history.marks.push(Mark::Fault {
            what: NASTY.to_owned(),
            kills: true,
            began: Moment(0),
            ended: Moment(u64::MAX),
        });
        let mut verdict = verdict(|check| if check == Check::Replays { Standing::Broken } else { Standing::Unknown });
        verdict.interrupted = true;
        verdict.troubles = vec![NASTY.to_owned()];
        for checked in &mut verdict.checks {
            NASTY.clone_into(&mut checked.detail);
            if checked.standing == Standing::Broken {
                let breach = Breach { what: NASTY.to_owned(), product: None, at: Moment(0), records: vec![0] };
                (checked.breaches, checked.breaches_in_all) = (vec![breach], 1);
            }
        }
        Self::new(history, verdict, &[], 1)
    }

    /// Nothing was ever asked.
    pub(crate) fn empty() -> Self {
        let mut history = history(false);
        history.records.clear();
        history.marks.clear();
        history.header.products.clear();
        let mut verdict = verdict(|_| Standing::Unknown);
        verdict.interrupted = true;
        Self::new(history, verdict, &["p99 > 1s"], 3)
    }
}

fn verdict(standing: impl Fn(Check) -> Standing) -> Verdict {
    let checked = |check: Check| {
        let standing = standing(check);
        let (judged, detail) = match standing {
            Standing::NotApplicable => (0, "no private server was asked to audit itself"),
            Standing::Unknown => (3, "orders with a deadline"),
            _ => (12_345, "holds and orders"),
        };
        let detail = detail.to_owned();
        Checked { check, standing, judged, floor: 50, detail, breaches: Vec::new(), breaches_in_all: 0 }
    };
    Verdict { checks: Check::ALL.into_iter().map(checked).collect(), interrupted: false, troubles: Vec::new() }
}

/// Three scenarios: a burst on 100 units, a funnel with 400, and one in which a server is killed.
fn history(oversold: bool) -> History {
    let mut sale = Sale { random: 7, records: Vec::new(), next: 1 };
    sale.burst(ScenarioName::Boundary, 1, if oversold { 112 } else { 100 });
    sale.funnel(ScenarioName::Rush, 2, 1_500, 5_000, 400);
    sale.funnel(ScenarioName::Chaos, 3, 5_100, 8_000, 300);
    let began = |milliseconds: u64| Moment(milliseconds * MILLISECOND);
    let scenario =
        |name, from, to| Mark::Scenario { name, began: began(from), ended: began(to), finished: true, trouble: None };
    let fault =
        |what: &str, from, to| Mark::Fault { what: what.to_owned(), kills: true, began: began(from), ended: began(to) };
    let records = u64::try_from(sale.records.len()).unwrap();
    let marks = vec![
        scenario(ScenarioName::Boundary, 0, 1_400),
        scenario(ScenarioName::Rush, 1_450, 5_050),
        fault("server killed", 5_600, 5_900),
        fault("database killed", 6_500, 7_050),
        scenario(ScenarioName::Chaos, 5_050, 8_100),
        Mark::End { at: began(8_150), records },
    ];
    let product = |product, scenario, stock| ProductUnderTest { product, scenario, stock, made: Moment(0) };
    let plan = |name, left_out: Option<&str>| ScenarioPlan { name, left_out: left_out.map(str::to_owned) };
    let limits = Limits { hold_ttl_seconds: 2, payment_window_seconds: 5, max_qty_per_hold: 1_000 };
    let header = Header {
        run: "lt-4821".to_owned(),
        seed: 4_821,
        began_at: BEGAN_AT,
        command: "holdfast-loadtest run --seed 4821 --quick".to_owned(),
        url: "http://127.0.0.1:40123".to_owned(),
        database: Some("sqlite".to_owned()),
        users: 64,
        duration_milliseconds: 4_000,
        max_wait_milliseconds: 180_000,
        scenarios: vec![
            plan(ScenarioName::Boundary, None),
            plan(ScenarioName::Rush, None),
            plan(ScenarioName::Expiry, Some("a hold lives 600 s here, longer than --max-wait 180")),
            plan(ScenarioName::Chaos, None),
        ],
        products: vec![
            product(1, ScenarioName::Boundary, 100),
            product(2, ScenarioName::Rush, 400),
            product(3, ScenarioName::Chaos, 300),
        ],
        ..Header::bare(limits)
    };
    History { header, records: sale.records, marks }
}

struct Sale {
    random: u64,
    records: Vec<Record>,
    next: u64,
}

impl Sale {
    /// From 0 to under `below`, the same in each run.
    fn below(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn ask(&mut self, scenario: ScenarioName, at: u64, operation: Operation, outcome: Outcome) -> u64 {
        let microseconds = 600 + self.below(900) + if self.below(40) == 0 { self.below(30_000) } else { 0 };
        let (invoked, ended) = (Moment(at * 1_000), Moment((at + microseconds) * 1_000));
        let client = u32::try_from(self.below(64)).unwrap() + 1;
        self.records.push(Record { scenario, client, invoked, ended, operation, outcome });
        at + microseconds
    }

    fn hold(&mut self, scenario: ScenarioName, at: u64, product: u64, quantity: u32) -> (u64, u64) {
        let id = self.next;
        self.next += 1;
        let expires_at = BEGAN_AT + i64::try_from(at).unwrap() + 2_500_000;
        let outcome = Outcome::Held { hold: id, expires_at, replayed: false, body: id };
        (id, self.ask(scenario, at, Operation::PlaceHold { product, quantity, key: Key(id) }, outcome))
    }

    /// Three hundred at once for `granted` units, all given back a second later.
    fn burst(&mut self, scenario: ScenarioName, product: u64, granted: u64) {
        for asked in 0..300 {
            let at = 100_000 + self.below(40_000);
            if asked < granted {
                let (hold, _) = self.hold(scenario, at, product, 1);
                let released = 1_000_000 + self.below(300_000);
                self.ask(scenario, released, Operation::ReleaseHold { hold }, Outcome::Released);
            } else {
                let operation = Operation::PlaceHold { product, quantity: 1, key: Key(100_000 + asked) };
                let refused =
                    Outcome::Refused { status: 409, code: Code::InsufficientStock, available: Some(0), order: None };
                self.ask(scenario, at, operation, refused);
            }
        }
    }

    /// Holds, most of which are ordered, most of which are paid. Times are milliseconds.
    fn funnel(&mut self, scenario: ScenarioName, product: u64, from: u64, to: u64, stock: u64) {
        let mut sold = 0;
        for at in (from..to).step_by(4) {
            let at = at * 1_000;
            let broken = scenario == ScenarioName::Chaos
                && ((5_600_000..5_900_000).contains(&at) || (6_500_000..7_050_000).contains(&at));
            if broken {
                let operation = Operation::PlaceHold { product, quantity: 1, key: Key(at) };
                self.ask(scenario, at, operation, Outcome::Unknown { why: Why::Cut, status: None });
            } else if sold + 4 < stock {
                let (hold, at) = self.hold(scenario, at, product, 2);
                // As if nothing came back: a sale that never has more out than its stock.
                sold += 2;
                if self.below(4) == 0 {
                    continue;
                }
                let order = OrderView { order: hold, hold, quantity: 2, status: OrderStatus::PendingPayment };
                let operation = Operation::PlaceOrder { hold, key: Key(1_000_000 + hold) };
                let thought = at + self.below(400_000);
                let at =
                    self.ask(scenario, thought, operation, Outcome::Ordered { order, replayed: false, body: hold });
                let news = if self.below(10) == 0 { News::Failure } else { News::Success };
                let paid = at + self.below(200_000);
                let operation = Operation::Webhook { key: Key(2_000_000 + hold), order: hold, news };
                self.ask(scenario, paid, operation, Outcome::Accepted);
            } else {
                let operation = Operation::PlaceHold { product, quantity: 2, key: Key(at) };
                let refused =
                    Outcome::Refused { status: 409, code: Code::InsufficientStock, available: Some(1), order: None };
                self.ask(scenario, at, operation, refused);
            }
        }
    }
}
