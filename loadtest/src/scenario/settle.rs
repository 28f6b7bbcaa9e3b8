//! The end of every scenario: outcomes that are unknown are asked for again until they are known, what is
//! open is ended, and then, at rest, everything is read back.
//!
//! Only after this does the history say what became of each unit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{Stage, Trouble};
use crate::api::{Call, Shop};
use crate::history::{News, Operation, ScenarioName};

/// How many clients settle at a time.
const PARALLEL: usize = 16;
/// How long outcomes are asked for when the run is to end soon.
const HURRY: Duration = Duration::from_secs(2);
/// How long they are asked for at most, whatever the run may wait for: a server that does not answer for so long
/// is gone.
const PATIENCE: Duration = Duration::from_mins(1);

/// Settles what the clients of `shop` left.
pub(super) async fn settle(name: ScenarioName, stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    clear(stage, shop).await?;
    if stage.stop.is_set() {
        return Ok(());
    }
    read_back(name, stage, shop).await
}

/// Finds out what nobody knows, and ends what is open: all units are free again that are not sold.
pub(super) async fn clear(stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    if shop.pulse().has_stopped() {
        // Whoever was not answered for so long is not asked again.
        return Ok(());
    }
    resolve(stage, shop).await?;
    if stage.stop.is_set() {
        return Ok(());
    }
    end(stage, shop).await?;
    resolve(stage, shop).await
}

/// Repeats what nobody knows the outcome of.
async fn resolve(stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    let patience = patience(stage);
    let until = Instant::now() + patience;
    each(stage, shop, shop.book().unresolved(), until).await?;
    let count = shop.book().unresolved().len();
    if count > 0 && !stage.stop.is_set() {
        return Err(Trouble::Unsettled { count, seconds: patience.as_secs() });
    }
    Ok(())
}

fn patience(stage: &Stage) -> Duration {
    if stage.stop.is_set() { HURRY } else { stage.max_wait.min(PATIENCE) }
}

/// Gives back what is held, and fails what is not paid.
async fn end(stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    let left = shop.book().left();
    let until = Instant::now() + patience(stage);
    let failures = left.orders.into_iter().map(|order| {
        let key = shop.recorder().new_key();
        Operation::Webhook { key, order, news: News::Failure }
    });
    let releases = left.holds.into_iter().map(|hold| Operation::ReleaseHold { hold });
    each(stage, shop, failures.chain(releases).collect(), until).await
}

/// Reads products, orders and holds, and the products again.
async fn read_back(name: ScenarioName, stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    // What was acknowledged before a kill must all be there; elsewhere a sample tells enough.
    let most = if name == ScenarioName::Chaos { usize::MAX } else { stage.sized(100, 1_000) };
    let products =
        || stage.products.iter().map(|product| Operation::ReadProduct { product: product.product, at_rest: true });
    let orders = shop.book().orders().into_iter().map(|order| Operation::ReadOrder { order });
    let holds = sample(shop.book().holds().into_iter().collect(), most).map(|hold| Operation::ReadHold { hold });
    let between: Vec<_> = orders.chain(holds).collect();
    let until = Instant::now() + patience(stage);
    for reads in [products().collect(), between, products().collect()] {
        each(stage, shop, reads, until).await?;
    }
    Ok(())
}

/// At most `most` of them, evenly.
fn sample(all: Vec<u64>, most: usize) -> impl Iterator<Item = u64> {
    let step = all.len().div_ceil(most.max(1)).max(1);
    all.into_iter().step_by(step)
}

/// Sends each request until its outcome is known or `until` has come, some of them at a time. When the run is to end
/// it ends soon, too; if that was so from the beginning, `until` is soon.
async fn each(stage: &Stage, shop: &Shop, operations: Vec<Operation>, until: Instant) -> Result<(), Trouble> {
    let clients = PARALLEL.min(operations.len());
    let operations = Arc::new(operations);
    let next = Arc::new(AtomicUsize::new(0));
    let in_a_hurry = stage.stop.is_set();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (operations, next) = (Arc::clone(&operations), Arc::clone(&next));
            let mut client = shop.caller();
            tokio::spawn(async move {
                while let Some(operation) = operations.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if in_a_hurry {
                        let settled = tokio::time::timeout_at(until, client.settle(*operation, until));
                        if settled.await.is_err() {
                            return;
                        }
                    } else {
                        if client.is_over() {
                            return;
                        }
                        client.insist(*operation, until).await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::sample;

    #[test]
    fn a_sample_is_never_larger_than_asked_for() {
        for (all, most) in [(0, 3), (1, 3), (3, 3), (4, 3), (100, 7), (100, 0)] {
            let sampled = sample((0..all).collect(), most).count();
            assert!(sampled <= most.max(1) && (sampled > 0 || all == 0), "{sampled} of {all}, at most {most}");
        }
    }
}
