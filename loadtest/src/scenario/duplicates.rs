//! Everything twice: webhooks that come many times, at once, late, out of order and against each other; one key
//! for two orders; a key for an order that does not exist, and then for one that does.
//!
//! Each lane has a product of its own and reads it after each storm, so that a second effect has nowhere to hide.

use super::boundary::PATIENCE;
use super::parts::{Careful, Crew, Customer};
use super::{Stage, Trouble};
use crate::api::{Call, Shop};
use crate::history::{News, Operation};

/// Lanes that run side by side.
pub(super) const LANES: usize = 4;
/// Clients of a storm.
const STORM: usize = 8;
/// The largest id there can be, and an order that will never be.
const NO_ORDER: u64 = 9_007_199_254_740_991;

pub(super) async fn run(stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    let lanes: Vec<_> = (0..LANES)
        .map(|number| {
            let mut lane = Lane {
                stage: stage.clone(),
                product: stage.product(number).product,
                one: Careful::new(shop, PATIENCE),
                crew: Crew::new(shop, STORM),
                number,
            };
            tokio::spawn(async move { lane.run().await })
        })
        .collect();
    for lane in lanes {
        lane.await??;
    }
    Ok(())
}

struct Lane {
    stage: Stage,
    product: u64,
    one: Careful,
    crew: Crew,
    number: usize,
}

impl Lane {
    async fn run(&mut self) -> Result<(), Trouble> {
        for round in 0..self.stage.sized(2, 12) {
            let mut choices = self.stage.choices(self.number as u64, round);
            let mut storms = [0, 1, 2, 3, 4, 5, 6];
            choices.shuffle(&mut storms);
            for storm in storms {
                if self.stage.stop.is_set() {
                    return Ok(());
                }
                match storm {
                    0 => self.same_event(News::Success).await?,
                    1 => self.same_event(News::Failure).await?,
                    2 => self.contradiction().await?,
                    3 => self.out_of_order().await?,
                    4 => self.key_on_two_orders().await?,
                    5 => self.unknown_order_first().await,
                    _ => self.given_back_by_many().await?,
                }
            }
        }
        Ok(())
    }

    /// An order of one unit, not paid yet.
    async fn order(&mut self) -> Option<u64> {
        let granted = self.one.hold(self.product, 1).await?;
        self.one.order(granted.hold).await.order()
    }

    async fn storm(&mut self, operation: Operation) -> Result<(), Trouble> {
        self.crew.burst(vec![operation; STORM]).await.map(drop)
    }

    async fn look(&mut self, orders: &[u64]) {
        for order in orders {
            self.one.look_at_order(*order).await;
        }
        self.one.look(self.product).await;
    }

    /// The same event many times at once, again later, with other news under its key, and other news under
    /// another key.
    async fn same_event(&mut self, news: News) -> Result<(), Trouble> {
        let Some(order) = self.order().await else { return Ok(()) };
        let other = if news == News::Success { News::Failure } else { News::Success };
        let key = self.one.new_key();
        let event = Operation::Webhook { key, order, news };
        self.look(&[]).await;
        self.storm(event).await?;
        self.look(&[order]).await;
        self.one.call(event).await;
        self.one.call(Operation::Webhook { key, order, news: other }).await;
        self.look(&[order]).await;
        let contradiction = Operation::Webhook { key: self.one.new_key(), order, news: other };
        self.storm(contradiction).await?;
        self.look(&[order]).await;
        // Late: after another order has changed the counters.
        let next = self.order().await;
        self.storm(event).await?;
        self.look(&[order]).await;
        if let Some(next) = next {
            self.one.news(next, News::Failure).await;
        }
        self.look(&[order]).await;
        Ok(())
    }

    /// Success and failure at the same moment, each several times: one of them wins, once.
    async fn contradiction(&mut self) -> Result<(), Trouble> {
        let Some(order) = self.order().await else { return Ok(()) };
        let events = [News::Success, News::Failure].map(|news| {
            let key = self.one.new_key();
            Operation::Webhook { key, order, news }
        });
        self.crew.burst((0..STORM).map(|number| events[number % 2]).collect()).await?;
        self.look(&[order]).await;
        for event in events {
            self.one.call(event).await;
            self.look(&[order]).await;
        }
        Ok(())
    }

    /// Pending after the end, pending before it, and pending under the key that ends it.
    async fn out_of_order(&mut self) -> Result<(), Trouble> {
        let Some(order) = self.order().await else { return Ok(()) };
        let key = self.one.new_key();
        let pending = Operation::Webhook { key, order, news: News::Pending };
        self.storm(pending).await?;
        self.look(&[order]).await;
        let failure = Operation::Webhook { key, order, news: News::Failure };
        self.storm(failure).await?;
        self.look(&[order]).await;
        self.one.news(order, News::Pending).await;
        self.one.news(order, News::Failure).await;
        self.one.call(failure).await;
        self.look(&[order]).await;
        Ok(())
    }

    /// One key on two orders, first one after the other, then at the same moment.
    async fn key_on_two_orders(&mut self) -> Result<(), Trouble> {
        let Some(first) = self.order().await else { return Ok(()) };
        let Some(second) = self.order().await else { return Ok(()) };
        let key = self.one.new_key();
        self.one.call(Operation::Webhook { key, order: first, news: News::Failure }).await;
        self.one.call(Operation::Webhook { key, order: second, news: News::Failure }).await;
        self.look(&[first, second]).await;
        let Some(third) = self.order().await else { return Ok(()) };
        let key = self.one.new_key();
        let events = [second, third].map(|order| Operation::Webhook { key, order, news: News::Failure });
        self.crew.burst((0..STORM).map(|number| events[number % 2]).collect()).await?;
        self.look(&[second, third]).await;
        for order in [second, third] {
            self.one.news(order, News::Failure).await;
        }
        self.look(&[second, third]).await;
        Ok(())
    }

    /// A key for an order that does not exist, and then for one that does: it was not used up.
    async fn unknown_order_first(&mut self) {
        let Some(order) = self.order().await else { return };
        let key = self.one.new_key();
        for order in [NO_ORDER, NO_ORDER, order, order] {
            self.one.call(Operation::Webhook { key, order, news: News::Failure }).await;
        }
        self.look(&[order]).await;
    }

    /// A hold that many give back at once, while others hold, and that is given back again when somebody else has
    /// its unit.
    async fn given_back_by_many(&mut self) -> Result<(), Trouble> {
        let kept = self.one.hold(self.product, 2).await;
        let Some(granted) = self.one.hold(self.product, 1).await else { return Ok(()) };
        let release = Operation::ReleaseHold { hold: granted.hold };
        self.storm(release).await?;
        self.look(&[]).await;
        let next = self.one.hold(self.product, 1).await;
        self.storm(release).await?;
        self.look(&[]).await;
        for granted in kept.into_iter().chain(next) {
            self.one.release(granted.hold).await;
        }
        self.look(&[]).await;
        Ok(())
    }
}
