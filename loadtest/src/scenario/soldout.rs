//! Sold out: a crowd after the last unit, which now and then somebody gives back, and then somebody must get.

use std::time::Duration;

use fastrand::Rng;

use super::boundary::{PATIENCE, edges};
use super::crowd::{self, Crowd};
use super::parts::{Careful, Customer, take_all};
use super::{Stage, Trouble, settle};
use crate::api::{Shop, Shopping};
use crate::history::{News, ProductUnderTest, ScenarioName};

pub(super) async fn run(stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    let hunt = Hunt { products: stage.products.clone() };
    crowd::run(ScenarioName::Soldout, stage, shop, hunt).await?;
    settle::clear(stage, shop).await?;
    let mut careful = Careful::new(shop, PATIENCE);
    for number in 0..stage.products.len().min(2) {
        if stage.stop.is_set() {
            break;
        }
        let product = stage.product(number).product;
        hand_over(stage, shop, product).await;
        edges(&mut careful, product, stage.limits.max_qty_per_hold).await;
    }
    Ok(())
}

/// People who want one unit, and some of whom let it go again.
struct Hunt {
    products: Vec<ProductUnderTest>,
}

impl Crowd for Hunt {
    fn wishes(&self) -> &'static [(&'static str, usize)] {
        &[("hold and give back", 3), ("order and fail", 1)]
    }

    fn think(&self) -> (Duration, Duration) {
        (Duration::ZERO, Duration::from_millis(2))
    }

    async fn visit(&self, wish: &'static str, client: &mut Shopping<'_>, choices: &mut Rng) {
        let Some(product) = choices.choice(&self.products).map(|product| product.product) else { return };
        if choices.u8(..8) == 0 {
            client.look(product).await;
        }
        let Some(granted) = client.hold(product, 1).await else { return };
        tokio::time::sleep(Duration::from_millis(choices.u64(0..20))).await;
        match wish {
            "hold and give back" => client.release(granted.hold).await,
            _ => {
                if let Some(order) = client.order(granted.hold).await.order() {
                    client.news(order, News::Failure).await;
                }
            }
        }
    }
}

/// The last unit goes from hand to hand between two clients who take turns: whoever asks after it came back
/// must get it.
async fn hand_over(stage: &Stage, shop: &Shop, product: u64) {
    let mut clients = [Careful::new(shop, PATIENCE), Careful::new(shop, PATIENCE)];
    let (mut kept, is_all) = take_all(&mut clients[0], product, stage.limits.max_qty_per_hold).await;
    let mut last = if is_all { kept.pop() } else { None };
    for turn in 0..stage.sized(6, 30) {
        let Some(granted) = last.take() else { break };
        if stage.stop.is_set() {
            break;
        }
        let [one, other] = &mut clients;
        let (giving, taking) = if turn % 2 == 0 { (one, other) } else { (other, one) };
        taking.hold(product, granted.units).await;
        // By each of the ways in which a unit comes back.
        if turn % 3 == 2 {
            if let Some(order) = giving.order(granted.hold).await.order() {
                giving.news(order, News::Failure).await;
            }
        } else {
            giving.release(granted.hold).await;
        }
        last = taking.hold(product, granted.units).await;
    }
    for granted in kept.into_iter().chain(last) {
        clients[0].release(granted.hold).await;
    }
}
