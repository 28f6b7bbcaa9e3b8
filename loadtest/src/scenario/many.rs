//! A thousand products, few units of each, and a crowd that buys one here and one there.

use std::time::Duration;

use super::boundary::{PATIENCE, edges};
use super::parts::Careful;
use super::rush::Funnel;
use super::{Stage, Trouble, crowd, settle};
use crate::api::Shop;
use crate::history::ScenarioName;

pub(super) async fn run(stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    let funnel = Funnel { products: stage.products.clone(), most: 2, think: Duration::ZERO };
    crowd::run(ScenarioName::Many, stage, shop, funnel).await?;
    settle::clear(stage, shop).await?;
    let mut careful = Careful::new(shop, PATIENCE);
    for number in 0..stage.sized(2, 10) {
        if stage.stop.is_set() {
            break;
        }
        edges(&mut careful, stage.product(number).product, stage.limits.max_qty_per_hold).await;
    }
    Ok(())
}
