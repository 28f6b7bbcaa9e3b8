//! Customers who do everything that a sale knows, until they are told to stop, and who remember what
//! was acknowledged.
//!
//! What does not belong here: what is done to the servers meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast_loadtest::rig::client::{Answer, Client, Request};
use tokio::task::JoinSet;

use crate::answers::number;
use crate::facts::{Fact, Facts, Open};
use crate::requests::{give_back, hold, order, payment};
use crate::wait::{OrFail, eventually};

/// How many customers there are; with fewer, transactions would hardly be shared.
const CUSTOMERS: usize = 16;
/// How long a customer who was not served waits before the next try.
const PAUSE: Duration = Duration::from_millis(5);
/// Of so many who were not served it is kept what they were told.
const REASONS_MAX: usize = 5;

/// Customers at work. Dropping it sends them away.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    customers: JoinSet<Facts>,
}

/// What all customers were told together.
#[derive(Debug, Default)]
struct Counts {
    acknowledged: AtomicU64,
    /// Answers of 503, and requests without an answer.
    not_served: AtomicU64,
    /// What the first of them were told.
    reasons: Mutex<Vec<String>>,
}

impl Counts {
    fn note(&self, told: Option<String>, after: Duration) {
        let mut reasons = self.reasons.lock().or_fail();
        if reasons.len() < REASONS_MAX {
            reasons.push(format!("after {after:?}: {}", told.unwrap_or_default()));
        }
    }
}

/// What a customer makes of an answer.
enum Heard {
    Yes(Answer),
    No,
    /// No, since the server cannot; nothing happened.
    NotServed,
    /// Perhaps it happened.
    Nothing,
}

struct Customer {
    client: Client,
    products: Vec<u64>,
    name: String,
    random: fastrand::Rng,
    facts: Facts,
    counts: Arc<Counts>,
}

impl Load {
    /// Sends customers to a server. `name` makes the keys of this load its own.
    pub fn start(client: &Client, products: &[u64], name: &str, random: &mut fastrand::Rng) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Counts::default());
        let mut customers = JoinSet::new();
        for n in 0..CUSTOMERS {
            let customer = Customer {
                client: client.clone(),
                products: products.to_vec(),
                name: format!("{name}-{n}"),
                random: random.fork(),
                facts: Facts::default(),
                counts: Arc::clone(&counts),
            };
            customers.spawn(customer.work(Arc::clone(&stop)));
        }
        Self { stop, counts, customers }
    }

    /// Waits until so many requests were acknowledged.
    pub async fn acknowledged(&self, count: u64) {
        eventually("the load goes on", async || match self.acknowledged_so_far() {
            seen if seen >= count => Ok(()),
            seen => Err(format!("{seen} of {count} acknowledged")),
        })
        .await;
    }

    /// How many requests were acknowledged so far.
    pub fn acknowledged_so_far(&self) -> u64 {
        self.counts.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests were acknowledged.
    pub async fn acknowledged_more(&self, count: u64) {
        self.acknowledged(self.acknowledged_so_far() + count).await;
    }

    /// How many requests were told that they are not served, or got no answer.
    pub fn not_served_so_far(&self) -> u64 {
        self.counts.not_served.load(Ordering::Relaxed)
    }

    /// What the first of those were told, and how long after they had asked.
    pub fn reasons_so_far(&self) -> Vec<String> {
        self.counts.reasons.lock().or_fail().clone()
    }

    /// Tells the customers to stop after what they are at, and collects what they know.
    pub async fn stop(mut self) -> Facts {
        self.stop.store(true, Ordering::Relaxed);
        let mut facts = Facts::default();
        while let Some(known) = self.customers.join_next().await {
            facts.extend(known.or_fail());
        }
        facts
    }
}

impl Customer {
    async fn work(mut self, stop: Arc<AtomicBool>) -> Facts {
        let mut step = 0;
        while !stop.load(Ordering::Relaxed) {
            step += 1;
            self.buy(step).await;
        }
        self.facts
    }

    /// One customer's way, up to where an answer is missing.
    async fn buy(&mut self, step: u32) {
        let product = self.products[self.random.usize(..self.products.len())];
        let key = format!("{}-{step}", self.name);
        let request = hold(product, self.random.u64(1..=3)).key(&key);
        let Heard::Yes(answer) = self.ask(&request, None).await else { return };
        let hold_id = number(&answer.json()["hold_id"]);
        self.facts.holds.insert(hold_id, Fact::Placed);
        self.facts.replays.push((request, answer.body));
        match self.random.u32(..10) {
            0..2 => return,
            2..4 => {
                if let Heard::Yes(_) = self.ask(&give_back(hold_id), Some(hold_id)).await {
                    self.facts.holds.insert(hold_id, Fact::GivenBack);
                }
                return;
            }
            _ => {}
        }
        let request = order(hold_id).key(&key);
        let Heard::Yes(answer) = self.ask(&request, Some(hold_id)).await else { return };
        let order_id = number(&answer.json()["data"]["id"]);
        self.facts.holds.insert(hold_id, Fact::Ordered(order_id));
        self.facts.replays.push((request, answer.body));
        let (status, fact) = match self.random.u32(..10) {
            0..6 => ("success", Fact::Paid(order_id)),
            6..8 => ("failure", Fact::Failed(order_id)),
            _ => return,
        };
        if let Heard::Yes(_) = self.ask(&payment(&key, order_id, status), Some(hold_id)).await {
            self.facts.holds.insert(hold_id, fact);
        }
    }

    async fn ask(&mut self, request: &Request, hold_id: Option<u64>) -> Heard {
        let asked_at = Instant::now();
        let answer = self.client.send(request).await;
        let told = match &answer {
            Ok(answer) if answer.status < 500 => None,
            Ok(answer) => Some(format!("{} {}", answer.status, answer.text())),
            Err(error) => Some(error.to_string()),
        };
        let heard = match answer {
            Ok(answer) if matches!(answer.status, 200 | 201 | 204) => Heard::Yes(answer),
            Ok(answer) if answer.status == 503 && answer.code() != "outcome_unknown" => Heard::NotServed,
            // A hold whose deadline came while the server was away.
            Ok(answer) if answer.status == 409 => Heard::No,
            Ok(answer) if answer.code() != "outcome_unknown" => {
                panic!("{request:?} was answered {} {}", answer.status, answer.text())
            }
            Ok(_) | Err(_) => Heard::Nothing,
        };
        match heard {
            Heard::Yes(_) => {
                self.counts.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Heard::Nothing => self.facts.open.push(Open { request: request.clone(), hold_id }),
            Heard::No | Heard::NotServed => {}
        }
        if matches!(heard, Heard::Nothing | Heard::NotServed) {
            self.counts.not_served.fetch_add(1, Ordering::Relaxed);
            self.counts.note(told, asked_at.elapsed());
            // As people do; and the processor is the server's, too.
            tokio::time::sleep(PAUSE).await;
        }
        heard
    }
}
