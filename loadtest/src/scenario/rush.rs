//! The rush: a crowd that looks, holds, thinks, orders and pays, or changes its mind at any of these.

use std::time::Duration;

use fastrand::Rng;

use super::boundary::{PATIENCE, edges};
use super::crowd::{self, Crowd};
use super::parts::{Careful, Customer};
use super::{Stage, Trouble, settle};
use crate::api::{Shop, Shopping};
use crate::history::{News, ProductUnderTest, ScenarioName};

pub(super) async fn run(stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    let think = stage.sized(Duration::from_millis(10), Duration::from_millis(60));
    let funnel = Funnel { products: stage.products.clone(), most: stage.limits.max_qty_per_hold.min(3), think };
    crowd::run(ScenarioName::Rush, stage, shop, funnel).await?;
    settle::clear(stage, shop).await?;
    if !stage.stop.is_set() {
        let mut careful = Careful::new(shop, PATIENCE);
        edges(&mut careful, stage.product(0).product, stage.limits.max_qty_per_hold).await;
    }
    Ok(())
}

/// From the shop window to the payment, with ways out.
pub(super) struct Funnel {
    pub(super) products: Vec<ProductUnderTest>,
    /// The most units that somebody wants.
    pub(super) most: u32,
    /// How long somebody thinks at most.
    pub(super) think: Duration,
}

impl Crowd for Funnel {
    fn wishes(&self) -> &'static [(&'static str, usize)] {
        &[
            ("look around", 3),
            ("buy", 4),
            ("fail to pay", 4),
            ("pay late", 1),
            ("give back", 4),
            ("walk away", 2),
            ("never pay", 2),
        ]
    }

    fn think(&self) -> (Duration, Duration) {
        (Duration::ZERO, self.think)
    }

    async fn visit(&self, wish: &'static str, client: &mut Shopping<'_>, choices: &mut Rng) {
        let Some(product) = choices.choice(&self.products).map(|product| product.product) else { return };
        client.look(product).await;
        if wish == "look around" {
            return;
        }
        let Some(granted) = client.hold(product, choices.u32(1..=self.most.max(1))).await else { return };
        self.ponder(choices).await;
        match wish {
            "walk away" => return,
            "give back" => {
                client.release(granted.hold).await;
                if choices.u8(..4) == 0 {
                    client.release(granted.hold).await;
                }
                client.look(product).await;
                return;
            }
            _ => {}
        }
        let Some(order) = client.order(granted.hold).await.order() else { return };
        if choices.bool() {
            client.look_at_hold(granted.hold).await;
        }
        self.ponder(choices).await;
        match wish {
            "never pay" => {
                client.look_at_order(order).await;
            }
            "fail to pay" => {
                client.news(order, News::Failure).await;
                client.look(product).await;
                client.look_at_order(order).await;
            }
            "pay late" => {
                client.news(order, News::Pending).await;
                self.ponder(choices).await;
                client.news(order, News::Success).await;
                client.look_at_order(order).await;
            }
            _ => {
                client.news(order, News::Success).await;
                if choices.u8(..4) == 0 {
                    client.news(order, News::Failure).await;
                }
                client.look_at_order(order).await;
            }
        }
    }
}

impl Funnel {
    async fn ponder(&self, choices: &mut Rng) {
        tokio::time::sleep(self.think.mul_f64(choices.f64())).await;
    }
}
