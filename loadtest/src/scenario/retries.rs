//! Clients that lose answers and send again, with the same key: until they hear, side by side with
//! themselves, with another body, and long after.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::boundary::PATIENCE;
use super::parts::{Crew, Customer, redeemed};
use super::{Stage, Trouble};
use crate::api::{Call, Caller, Lose, Shop};
use crate::history::{News, Operation, Outcome};

/// How many send the same at once.
const TOGETHER: usize = 3;

pub(super) async fn run(stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    let clients = stage.sized(8, stage.users.clamp(8, 64));
    let until = Instant::now() + stage.sized(Duration::from_millis(600), stage.duration);
    let tasks: Vec<_> = (0..clients)
        .map(|number| {
            let mut client = Forgetful {
                caller: shop.caller(),
                crew: Crew::new(shop, TOGETHER),
                product: stage.product(number as usize).product,
                choices: stage.choices(0, u64::from(number)),
            };
            let stop = stage.stop.clone();
            tokio::spawn(async move {
                let mut rounds = 0;
                // At least one whole round, however slow the machine is.
                while rounds == 0 || (Instant::now() < until && !stop.is_set()) {
                    client.buy().await?;
                    rounds += 1;
                }
                Ok::<_, Trouble>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// A client that loses answers.
struct Forgetful {
    caller: Caller,
    crew: Crew,
    product: u64,
    choices: Rng,
}

impl Forgetful {
    /// From a hold to its end, with each answer lost now and then.
    async fn buy(&mut self) -> Result<(), Trouble> {
        let units = self.choices.u32(1..=2);
        let key = self.caller.new_key();
        let place = Operation::PlaceHold { product: self.product, quantity: units, key };
        let Outcome::Held { hold, .. } = self.insist(place).await? else { return Ok(()) };
        if self.now_and_then() {
            self.caller.call(Operation::PlaceHold { product: self.product, quantity: units + 1, key }).await;
            self.caller.look(self.product).await;
        }
        if self.choices.u8(..3) == 0 {
            self.insist(Operation::ReleaseHold { hold }).await?;
            self.again(place).await;
            self.caller.look(self.product).await;
            return Ok(());
        }
        let key = self.caller.new_key();
        let order = Operation::PlaceOrder { hold, key };
        let Some(number) = redeemed(&self.insist(order).await?).order() else { return Ok(()) };
        self.again(place).await;
        if self.now_and_then() {
            // The same order for another hold, and the same hold under another key.
            if let Some(other) = self.caller.hold(self.product, 1).await {
                self.caller.call(Operation::PlaceOrder { hold: other.hold, key }).await;
                self.caller.release(other.hold).await;
            }
            self.caller.order(hold).await;
        }
        let news = if self.choices.u8(..3) == 0 { News::Success } else { News::Failure };
        let event = Operation::Webhook { key: self.caller.new_key(), order: number, news };
        self.insist(event).await?;
        self.caller.look_at_order(number).await;
        self.again(order).await;
        self.again(place).await;
        self.caller.look(self.product).await;
        Ok(())
    }

    /// Sends until the outcome is known, after losing answers, alone or together with others.
    async fn insist(&mut self, operation: Operation) -> Result<Outcome, Trouble> {
        for _ in 0..self.choices.u8(0..3) {
            let lose = match self.choices.u8(..4) {
                0 => Lose::InAnswer,
                1 => Lose::HalfClosed,
                2 => Lose::After(Duration::ZERO),
                _ => Lose::After(Duration::from_micros(self.choices.u64(0..4_000))),
            };
            self.caller.call_and_lose(operation, lose).await;
        }
        if self.now_and_then() {
            self.crew.burst(vec![operation; TOGETHER]).await?;
        }
        Ok(self.caller.insist(operation, Instant::now() + PATIENCE).await)
    }

    /// Sends something again that was answered before.
    async fn again(&mut self, operation: Operation) {
        if self.now_and_then() {
            self.caller.call(operation).await;
        }
    }

    fn now_and_then(&mut self) -> bool {
        self.choices.u8(..3) == 0
    }
}
