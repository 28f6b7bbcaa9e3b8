//! Everything fails: the server is killed and started again and again, its database too where the harness runs
//! it, and the network between delays, cuts and half-closes. In the end everything that was
//! acknowledged is read back.
//!
//! Nothing is killed before something was acknowledged, and after each kill some of what was is asked for again
//! with the same key, and read: that an answer outlives the server is seen in every run, however fast it is.
//!
//! The way to the server leads through a proxy for one half of the clients, and directly for the other.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::parts::Customer;
use super::{Stage, Trouble};
use crate::api::{Call, Caller, Lose, Shop};
use crate::history::{Mark, News, Operation, Outcome};
use crate::rig::proxy::{Direction, Proxy};
use crate::target::Private;

/// How long a client insists on an outcome before it goes on; what it gives up is settled in the end.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many answers must be there before something is killed, unless nothing is left to sell.
const BEFORE_A_KILL: u64 = 4;
/// How many of the last answers are asked for again after a kill.
const AGAIN: usize = 8;

pub(super) async fn run(stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    let private = stage.private.clone().ok_or(Trouble::NotPrivate)?;
    let address = private.url().trim_start_matches("http://").to_owned();
    let proxy = Proxy::tcp(&address).await?;
    let detour = stage.detour(shop, &format!("http://{}", proxy.address()))?;
    let over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(Answered::default());
    let clients: Vec<JoinHandle<()>> = (0..stage.sized(8, stage.users.clamp(8, 48)))
        .map(|number| {
            let mut client = Shaken {
                caller: if number % 2 == 0 { shop.caller() } else { detour.caller() },
                product: stage.product(number as usize).product,
                choices: stage.choices(0, u64::from(number)),
                answered: Arc::clone(&answered),
            };
            let over = Arc::clone(&over);
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    client.buy().await;
                }
            })
        })
        .collect();
    let mut witness = Witness { caller: shop.caller(), answered };
    let broken = break_things(stage, &private, &proxy, &mut witness).await;
    over.store(true, Ordering::Relaxed);
    proxy.heal();
    for client in clients {
        client.await?;
    }
    broken
}

/// One fault after the other, with sales between them.
async fn break_things(stage: &Stage, private: &Private, proxy: &Proxy, witness: &mut Witness) -> Result<(), Trouble> {
    let mut choices = stage.choices(1, 0);
    for round in 0..stage.sized(3, 8) {
        if round > 0 {
            for _ in 0..stage.sized(1, 3) {
                network(stage, proxy, &mut choices).await;
            }
        }
        if !sell_a_while(stage, &mut choices).await || !witness.wait(stage).await {
            return Ok(());
        }
        if private.owns_database() && round % 2 == 1 {
            let began = stage.recorder.now();
            private.kill_database().await;
            private.restart_database().await?;
            mark(stage, "database killed", true, began);
        } else {
            let began = stage.recorder.now();
            private.kill_server().await;
            private.restart_server().await?;
            mark(stage, "server killed", true, began);
        }
        witness.ask_again(stage).await;
    }
    sell_a_while(stage, &mut choices).await;
    Ok(())
}

/// Lets the clients be for a while; false if the run is to end.
async fn sell_a_while(stage: &Stage, choices: &mut Rng) -> bool {
    let longest = stage.sized(200, 800);
    stage.stop.sleep(Duration::from_millis(choices.u64(longest / 4..longest))).await
}

/// A fault of the network: connections cut now, after some bytes either way, delayed, or frozen.
async fn network(stage: &Stage, proxy: &Proxy, choices: &mut Rng) {
    let began = stage.recorder.now();
    let pause = Duration::from_millis(choices.u64(10..stage.sized(60, 200)));
    let bytes = choices.usize(1..2_000);
    let what = match choices.u8(..6) {
        0 => {
            proxy.cut();
            "connections cut"
        }
        1 => {
            proxy.cut_after(Direction::ToServer, bytes);
            "requests cut off"
        }
        2 => {
            proxy.cut_after(Direction::ToClient, bytes);
            "answers cut off"
        }
        3 => {
            proxy.delay(pause / 4);
            "network slow"
        }
        4 => {
            proxy.freeze();
            "network silent"
        }
        _ => {
            proxy.refuse(true);
            proxy.cut();
            "connections refused"
        }
    };
    stage.stop.sleep(pause).await;
    proxy.heal();
    mark(stage, what, false, began);
}

fn mark(stage: &Stage, what: &str, kills: bool, began: crate::history::Moment) {
    stage.notes.say(&format!("chaos: {what}"));
    stage.recorder.mark(Mark::Fault { what: what.to_owned(), kills, began, ended: stage.recorder.now() });
}

/// The last holds and orders that were acknowledged, and how many there were in all.
#[derive(Debug, Default)]
struct Answered {
    last: Mutex<VecDeque<(Operation, Outcome)>>,
    count: watch::Sender<u64>,
}

impl Answered {
    fn enter(&self, operation: Operation, outcome: &Outcome) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.truncate(AGAIN - 1);
        last.push_front((operation, outcome.clone()));
        self.count.send_modify(|count| *count += 1);
    }

    fn last(&self) -> Vec<(Operation, Outcome)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Sees that there is something to lose before a kill, and whether it is there after it.
struct Witness {
    caller: Caller,
    answered: Arc<Answered>,
}

impl Witness {
    /// Waits until enough was acknowledged since it was called; false if the run is to end. Where nothing is left to
    /// sell, what was acknowledged before must do.
    async fn wait(&self, stage: &Stage) -> bool {
        let mut count = self.answered.count.subscribe();
        let enough = *count.borrow_and_update() + BEFORE_A_KILL;
        tokio::select! {
            () = stage.stop.wait() => false,
            _ = tokio::time::timeout(PATIENCE, count.wait_for(|count| *count >= enough)) => true,
        }
    }

    /// Asks for what was acknowledged with the same keys again, and reads it.
    async fn ask_again(&mut self, stage: &Stage) {
        for (operation, outcome) in self.answered.last() {
            if stage.stop.is_set() {
                return;
            }
            self.caller.insist(operation, Instant::now() + PATIENCE).await;
            match outcome {
                Outcome::Held { hold, .. } => drop(self.caller.look_at_hold(hold).await),
                Outcome::Ordered { order, .. } => drop(self.caller.look_at_order(order.order).await),
                _ => {}
            }
        }
    }
}

/// A client that goes on whatever happens.
struct Shaken {
    caller: Caller,
    answered: Arc<Answered>,
    product: u64,
    choices: Rng,
}

impl Shaken {
    async fn buy(&mut self) {
        let units = self.choices.u32(1..=3);
        let place = Operation::PlaceHold { product: self.product, quantity: units, key: self.caller.new_key() };
        let Outcome::Held { hold, .. } = self.insist(place).await else {
            // Sold out, or nobody there: no reason to ask a thousand times a second.
            tokio::time::sleep(Duration::from_millis(20)).await;
            return;
        };
        match self.choices.u8(..8) {
            0 => return,
            1 | 2 => {
                self.insist(Operation::ReleaseHold { hold }).await;
                return;
            }
            _ => {}
        }
        let order = Operation::PlaceOrder { hold, key: self.caller.new_key() };
        let Outcome::Ordered { order, .. } = self.insist(order).await else { return };
        let news = if self.choices.u8(..4) == 0 { News::Success } else { News::Failure };
        self.insist(Operation::Webhook { key: self.caller.new_key(), order: order.order, news }).await;
        if self.choices.bool() {
            self.caller.look_at_order(order.order).await;
            self.caller.look(self.product).await;
        }
    }

    /// Sends until the outcome is known or patience ends, now and then after an answer that got lost.
    async fn insist(&mut self, operation: Operation) -> Outcome {
        let lost = match self.choices.u8(..16) {
            0 => Some(Lose::HalfClosed),
            1 => Some(Lose::InAnswer),
            _ => None,
        };
        if let Some(lose) = lost {
            self.caller.call_and_lose(operation, lose).await;
        }
        let outcome = self.caller.insist(operation, Instant::now() + PATIENCE).await;
        if matches!(outcome, Outcome::Held { .. } | Outcome::Ordered { .. }) {
            self.answered.enter(operation, &outcome);
        }
        outcome
    }
}
