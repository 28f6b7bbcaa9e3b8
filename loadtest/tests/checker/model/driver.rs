//! The crowd, in virtual time: when each request is sent, takes effect and is answered, and who hears of it.
//!
//! Everything that a network and a busy server may do to a request happens here: slow commits, decisions made
//! some time before they are written down, answers that get lost, requests that arrive seconds late or never, kills.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use fastrand::Rng;
use holdfast_loadtest::history::{
    Code, Header, History, Key, Limits, Mark, Moment, News, Operation, Outcome, ProductUnderTest, Record, ScenarioName,
    Why,
};

use super::Bug;
use super::sale::Sale;

const MILLISECOND: u64 = 1_000_000;

/// What kind of crowd it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    pub(crate) seed: u64,
    pub(crate) clients: u32,
    /// How many requests each sends, about.
    pub(crate) requests: u32,
    /// Of each of two products.
    pub(crate) stock: u64,
    pub(crate) hold_ttl_seconds: u64,
    pub(crate) payment_window_seconds: u64,
    /// How many of a hundred requests lose their answer.
    pub(crate) lost: u32,
    /// How many of a hundred pauses between requests are long ones.
    pub(crate) pauses: u32,
    /// How often the server is killed.
    pub(crate) kills: u32,
    /// When the harness's machine sleeps, and how long, in nanoseconds: its own clock stands still, the server's does
    /// not, and nobody asks anything.
    pub(crate) slept: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Send(usize),
    Effect(usize),
    Answer(usize),
    Cancel,
    Snapshot,
    Kill,
}

struct Request {
    client: usize,
    operation: Operation,
    invoked: u64,
    outcome: Option<Outcome>,
    /// Whether the client still waits.
    open: bool,
    /// Whether it may still take effect.
    under_way: bool,
}

#[derive(Default)]
struct Client {
    left: u32,
    /// Sent next, before anything new.
    again: Option<Operation>,
}

struct World {
    crowd: Crowd,
    rng: Rng,
    sale: Sale,
    snapshots: VecDeque<(u64, Sale)>,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    requests: Vec<Request>,
    clients: Vec<Client>,
    last_commit: BTreeMap<u64, u64>,
    next_key: u64,
    /// What clients have heard of.
    holds: Vec<u64>,
    orders: Vec<u64>,
    /// What was answered, to send again.
    sent: Vec<Operation>,
    events: Vec<(Key, u64, News)>,
    records: Vec<Record>,
    marks: Vec<Mark>,
    bug: Option<Bug>,
}

/// A history of a crowd at a sale, right or with a bug.
pub(crate) fn run(crowd: Crowd, bug: Option<Bug>) -> History {
    let limits = Limits {
        hold_ttl_seconds: crowd.hold_ttl_seconds,
        payment_window_seconds: crowd.payment_window_seconds,
        max_qty_per_hold: 1000,
    };
    let sale = Sale::new(bug, limits, &[crowd.stock, crowd.stock * 2]);
    let clients = (0..crowd.clients).map(|_| Client { left: crowd.requests, again: None }).collect();
    let mut world = World {
        crowd,
        rng: Rng::with_seed(crowd.seed),
        snapshots: VecDeque::from([(0, sale.clone())]),
        sale,
        queue: BinaryHeap::new(),
        sequence: 0,
        requests: Vec::new(),
        clients,
        last_commit: BTreeMap::new(),
        next_key: 1,
        holds: Vec::new(),
        orders: Vec::new(),
        sent: Vec::new(),
        events: Vec::new(),
        records: Vec::new(),
        marks: Vec::new(),
        bug,
    };
    world.run();
    let World { mut records, mut marks, mut rng, .. } = world;
    rng.shuffle(&mut records);
    let at = records.iter().map(|record| record.ended).max().unwrap_or_default();
    marks.push(Mark::End { at, records: records.len() as u64 });
    History { header: header(limits, &[crowd.stock, crowd.stock * 2]), records, marks }
}

pub(crate) fn header(limits: Limits, stocks: &[u64]) -> Header {
    let product = |(product, stock): (u64, &u64)| ProductUnderTest {
        product,
        scenario: ScenarioName::Rush,
        stock: *stock,
        made: Moment(0),
    };
    Header { products: (1..).zip(stocks).map(product).collect(), ..Header::bare(limits) }
}

impl World {
    fn run(&mut self) {
        for client in 0..self.clients.len() {
            let at = self.rng.u64(0..20 * MILLISECOND);
            self.at(at, Event::Send(client));
        }
        self.at(0, Event::Snapshot);
        self.at(0, Event::Cancel);
        for _ in 0..self.crowd.kills {
            let at = self.rng.u64(0..5_000 * MILLISECOND);
            self.at(at, Event::Kill);
        }
        let mut now = 0;
        while let Some(Reverse((at, _, event))) = self.queue.pop() {
            now = now.max(at);
            let busy = self.clients.iter().any(|client| client.left > 0) || self.requests.iter().any(|r| r.open);
            match event {
                Event::Send(client) => self.send(client, at),
                Event::Effect(request) => self.effect(request, at),
                Event::Answer(request) => self.answer(request, at),
                Event::Cancel if busy => {
                    self.cancel_overdue(at);
                    let pause = self.rng.u64(50..800) * MILLISECOND;
                    self.at(at + pause, Event::Cancel);
                }
                Event::Snapshot if busy => {
                    self.snapshots.push_back((at, self.sale.clone()));
                    if self.snapshots.len() > 3 {
                        self.snapshots.pop_front();
                    }
                    self.at(at + 50 * MILLISECOND, Event::Snapshot);
                }
                Event::Kill if busy => self.kill(at),
                Event::Cancel | Event::Snapshot | Event::Kill => {}
            }
        }
        self.rest(now + 10 * MILLISECOND);
    }

    fn at(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence, event)));
    }

    /// The server's clock: from another beginning, and a little fast.
    fn clock(&self, at: u64) -> i64 {
        let slept = self.crowd.slept.map_or(0, |(from, long)| if at < from { 0 } else { long });
        let microseconds = i64::try_from((at + slept) / 1000).unwrap();
        1_700_000_000_123_456 + microseconds + microseconds / 2000
    }

    /// How long it is until shortly before or after the next whole second of the server, when holds end.
    fn until_deadlines(&mut self, now: u64) -> u64 {
        let left = 1_000_000 - self.clock(now).rem_euclid(1_000_000);
        (u64::try_from(left).unwrap() * 1000).saturating_sub(20 * MILLISECOND) + self.rng.u64(0..60 * MILLISECOND)
    }

    fn delay(&mut self) -> u64 {
        match self.rng.u32(0..100) {
            0..70 => self.rng.u64(1..4 * MILLISECOND),
            70..95 => self.rng.u64(1..60 * MILLISECOND),
            _ => self.rng.u64(1..700 * MILLISECOND),
        }
    }

    fn send(&mut self, client: usize, now: u64) {
        if self.clients[client].left == 0 {
            return;
        }
        self.clients[client].left -= 1;
        let operation = match self.clients[client].again.take() {
            Some(operation) => operation,
            None => self.choose(),
        };
        let request = self.requests.len();
        let mut under_way = true;
        if self.rng.u32(0..100) < self.crowd.lost {
            // The client gives up; the request may not arrive, or be under way for a long time yet.
            let gives_up = now + self.delay() + 1;
            self.at(gives_up, Event::Answer(request));
            match self.rng.u32(0..4) {
                0 => under_way = false,
                1 => {
                    let at = now + self.rng.u64(1..4_000 * MILLISECOND);
                    self.at(at, Event::Effect(request));
                }
                _ => {
                    let at = now + self.delay();
                    self.at(at, Event::Effect(request));
                }
            }
        } else {
            let at = now + self.delay();
            self.at(at, Event::Effect(request));
            let answered = at + self.delay();
            self.at(answered, Event::Answer(request));
        }
        let lost = self.queue.iter().all(|Reverse((_, _, event))| *event != Event::Effect(request));
        let shed = !lost && self.rng.u32(0..100) < self.crowd.lost / 4;
        let not_sent = lost && self.rng.bool();
        let outcome = if shed {
            under_way = false;
            Some(Outcome::Refused { status: 503, code: Code::Overloaded, available: None, order: None })
        } else if not_sent {
            Some(Outcome::Unknown { why: Why::NotSent, status: None })
        } else {
            None
        };
        self.requests.push(Request { client, operation, invoked: now, outcome, open: true, under_way });
    }

    /// What somebody in the crowd does next.
    fn choose(&mut self) -> Operation {
        let product = self.rng.u64(1..=2);
        let key = Key(self.next_key);
        self.next_key += 1;
        // Mostly what was placed of late, since that is still open.
        let recent = |ids: &[u64], rng: &mut Rng| {
            let from = if rng.bool() { ids.len().saturating_sub(3) } else { 0 };
            rng.choice(&ids[from..]).copied()
        };
        let hold = recent(&self.holds, &mut self.rng);
        let order = recent(&self.orders, &mut self.rng);
        match (self.rng.u32(0..100), hold, order) {
            (0..8, Some(hold), _) => Operation::ReleaseHold { hold },
            (8..16, Some(hold), _) => Operation::ReadHold { hold },
            (16..34, Some(hold), _) => Operation::PlaceOrder { hold, key },
            (34..42, _, Some(order)) => Operation::ReadOrder { order },
            (42..60, _, Some(order)) => self.event(key, order),
            (60..72, ..) => Operation::ReadProduct { product, at_rest: false },
            (72..78, ..) if !self.sent.is_empty() => {
                let sent = self.sent[self.rng.usize(0..self.sent.len())];
                match sent {
                    Operation::PlaceHold { product, quantity, key } if self.rng.bool() => {
                        Operation::PlaceHold { product, quantity: quantity + 1, key }
                    }
                    sent => sent,
                }
            }
            _ => Operation::PlaceHold { product, quantity: self.rng.u32(1..4), key },
        }
    }

    fn event(&mut self, key: Key, order: u64) -> Operation {
        let news = [News::Success, News::Failure, News::Failure, News::Pending][self.rng.usize(0..4)];
        let (key, order, news) = match (self.rng.u32(0..8), self.rng.choice(&self.events).copied()) {
            (0 | 1, Some(event)) => event,
            (2, Some((key, ..))) => (key, order, news),
            (3, Some((key, order, _))) => (key, order, news),
            (4, _) => (key, 9_007_199_254_740_991, news),
            _ => (key, order, news),
        };
        self.events.push((key, order, news));
        Operation::Webhook { key, order, news }
    }

    fn effect(&mut self, request: usize, now: u64) {
        if !self.requests[request].under_way {
            return;
        }
        let operation = self.requests[request].operation;
        let clock = self.clock(now);
        let outcome = match self.sale.product_of(&operation) {
            None if matches!(operation, Operation::ReadProduct { .. }) && self.bug == Some(Bug::StaleReads) => {
                let (_, stale) = self.snapshots.front().unwrap();
                stale.read(&operation, clock)
            }
            None if operation.endpoint().starts_with("read") => self.sale.read(&operation, clock),
            product => self.write(request, operation, product, now),
        };
        let request = &mut self.requests[request];
        request.under_way = false;
        if request.open {
            request.outcome = Some(outcome);
        }
    }

    fn write(&mut self, request: usize, operation: Operation, product: Option<u64>, now: u64) -> Outcome {
        let key = |operation: &Operation| match *operation {
            Operation::PlaceHold { key, .. } | Operation::PlaceOrder { key, .. } => Some(key),
            _ => None,
        };
        let clock = self.clock(now);
        let alone = !self.requests.iter().enumerate().any(|(other, r)| {
            other != request && r.under_way && r.invoked <= now && key(&r.operation) == key(&operation)
        });
        if self.rng.bool()
            && let Some(refusal) = self.sale.refuse_without_lock(&operation, clock, alone)
        {
            return refusal;
        }
        // The clock is read under the lock, some time before the commit.
        let free_from = product.and_then(|product| self.last_commit.get(&product)).copied().unwrap_or_default();
        let earliest = self.requests[request].invoked.max(free_from).min(now);
        let decided = if self.rng.u32(0..3) == 0 { self.rng.u64(earliest..=now) } else { now };
        if let Some(product) = product {
            self.last_commit.insert(product, now);
        }
        let clock = self.clock(decided);
        self.sale.write(&operation, clock)
    }

    fn answer(&mut self, request: usize, now: u64) {
        let request = &mut self.requests[request];
        if !request.open {
            return;
        }
        request.open = false;
        let outcome = match request.outcome.clone() {
            Some(outcome) => outcome,
            None => Outcome::Unknown { why: Why::TimedOut, status: None },
        };
        let (client, operation, invoked) = (request.client, request.operation, request.invoked);
        self.take_down(client, operation, invoked, now, outcome.clone());
        match &outcome {
            Outcome::Held { hold, .. } => self.holds.push(*hold),
            Outcome::Ordered { order, .. } => self.orders.push(order.order),
            Outcome::Refused { order: Some(order), .. } => self.orders.push(*order),
            Outcome::Unknown { .. } if self.rng.u32(0..4) > 0 => self.clients[client].again = Some(operation),
            _ => {}
        }
        if matches!(outcome, Outcome::Held { .. } | Outcome::Ordered { .. }) {
            self.sent.push(operation);
        }
        let pause = match self.rng.u32(0..100) {
            0..12 => self.until_deadlines(now),
            12.. if self.rng.u32(0..100) < self.crowd.pauses => self.rng.u64(1..2_500 * MILLISECOND),
            _ => self.rng.u64(1..3 * MILLISECOND),
        };
        self.at(now + pause, Event::Send(client));
    }

    fn take_down(&mut self, client: usize, operation: Operation, invoked: u64, ended: u64, outcome: Outcome) {
        self.records.push(Record {
            scenario: ScenarioName::Rush,
            client: u32::try_from(client).unwrap(),
            invoked: Moment(invoked),
            ended: Moment(ended),
            operation,
            outcome,
        });
    }

    fn cancel_overdue(&mut self, now: u64) {
        for product in 1..=2 {
            self.last_commit.insert(product, now);
            let clock = self.clock(now);
            self.sale.cancel_overdue(product, clock);
        }
    }

    /// What is under way is cut; it may have been written down, or not.
    fn kill(&mut self, now: u64) {
        for request in 0..self.requests.len() {
            if self.requests[request].under_way && self.requests[request].invoked <= now && self.rng.bool() {
                self.requests[request].under_way = false;
            }
            let cut = &mut self.requests[request];
            if cut.open && cut.invoked <= now {
                cut.outcome = Some(Outcome::Unknown { why: Why::Cut, status: None });
                self.answer(request, now + 1);
            }
        }
        let before = self.snapshots.front().unwrap().1.clone();
        self.sale.restart(&before);
        let what = "server killed".to_owned();
        self.marks.push(Mark::Fault { what, kills: true, began: Moment(now + 2), ended: Moment(now + 3) });
    }

    /// Everything is over: look at all that there is, one after the other.
    fn rest(&mut self, mut now: u64) {
        let orders = std::mem::take(&mut self.orders).into_iter().map(|order| Operation::ReadOrder { order });
        let holds = std::mem::take(&mut self.holds).into_iter().map(|hold| Operation::ReadHold { hold });
        let products = [1, 2, 1, 2].map(|product| Operation::ReadProduct { product, at_rest: true });
        for operation in orders.chain(holds).chain(products) {
            let (invoked, effect) = (now, now + 1000);
            now += 2000;
            let outcome = match operation {
                Operation::ReadProduct { .. } if self.bug == Some(Bug::StaleReads) => {
                    self.snapshots.back().unwrap().1.read(&operation, self.clock(effect))
                }
                _ => self.sale.read(&operation, self.clock(effect)),
            };
            self.take_down(0, operation, invoked, now, outcome);
        }
    }
}
