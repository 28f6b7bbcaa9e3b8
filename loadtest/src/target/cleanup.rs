//! What a run leaves behind on a server that others use: nothing that keeps units.
//!
//! It goes by the history, so it works after an interrupt too. What does not belong here: requests that
//! are judged; these come after the last of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Operator, TargetError};
use crate::api::Requests;
use crate::history::{History, HoldStatus, Key, News, Operation, OrderStatus, Outcome};

/// How many requests are under way at a time: a clean-up is no load test.
const PARALLEL: usize = 8;

/// What was cleaned up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Holds that were given back.
    pub holds: usize,
    /// Orders whose payment was failed.
    pub orders: usize,
    /// Products that were suspended.
    pub products: usize,
    /// Requests that did not work.
    pub failed: usize,
}

/// What a history left open, as far as it shows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Open {
    holds: BTreeSet<u64>,
    orders: BTreeSet<u64>,
}

impl Open {
    fn of(history: &History) -> Self {
        let mut open = Self::default();
        let mut closed = Self::default();
        for record in &history.records {
            match (&record.operation, &record.outcome) {
                (_, Outcome::Held { hold, .. }) => drop(open.holds.insert(*hold)),
                (Operation::ReleaseHold { hold }, Outcome::Released) => drop(closed.holds.insert(*hold)),
                (Operation::ReadHold { hold }, Outcome::Hold(view)) if view.status != HoldStatus::Active => {
                    closed.holds.insert(*hold);
                }
                (Operation::Webhook { order, news: News::Success | News::Failure, .. }, Outcome::Accepted) => {
                    closed.orders.insert(*order);
                }
                (_, Outcome::Ordered { order, .. } | Outcome::Order(order)) => {
                    closed.holds.insert(order.hold);
                    let orders = if order.status == OrderStatus::PendingPayment { &mut open } else { &mut closed };
                    orders.orders.insert(order.order);
                }
                (Operation::PlaceOrder { hold, .. }, Outcome::Refused { order: Some(order), .. }) => {
                    closed.holds.insert(*hold);
                    open.orders.insert(*order);
                }
                _ => {}
            }
        }
        open.holds.retain(|hold| !closed.holds.contains(hold));
        open.orders.retain(|order| !closed.orders.contains(order));
        open
    }
}

/// Gives back the holds that may be active, fails the orders that may be unpaid, and suspends `products`. Holds
/// whose answers were lost end by themselves. `requests` must make keys of its own, that the run did not use.
pub async fn clean_up(operator: &Operator, requests: &Arc<Requests>, history: &History, products: &[u64]) -> Cleaned {
    let open = Open::of(history);
    let mut cleaned = Cleaned::default();
    let tally = |done: Vec<Result<(), TargetError>>, failed: &mut usize| {
        let worked = done.iter().filter(|done| done.is_ok()).count();
        *failed += done.len() - worked;
        worked
    };
    // Products first: nothing new comes while the rest is cleaned up.
    let done = each(products, |product| {
        let operator = operator.clone();
        async move { operator.suspend_product(product).await }
    });
    cleaned.products = tally(done.await, &mut cleaned.failed);
    let orders: Vec<u64> = open.orders.into_iter().collect();
    let done = each(&orders, |order| {
        let (operator, requests) = (operator.clone(), Arc::clone(requests));
        let failure = Operation::Webhook { key: Key(order), order, news: News::Failure };
        async move { operator.end(&requests, &failure).await }
    });
    cleaned.orders = tally(done.await, &mut cleaned.failed);
    let holds: Vec<u64> = open.holds.into_iter().collect();
    let done = each(&holds, |hold| {
        let (operator, requests) = (operator.clone(), Arc::clone(requests));
        async move { operator.end(&requests, &Operation::ReleaseHold { hold }).await }
    });
    cleaned.holds = tally(done.await, &mut cleaned.failed);
    cleaned
}

/// Does something with each id, some of them at a time.
async fn each<F>(ids: &[u64], act: impl Fn(u64) -> F) -> Vec<Result<(), TargetError>>
where
    F: Future<Output = Result<(), TargetError>> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(PARALLEL));
    let tasks: Vec<_> = ids
        .iter()
        .map(|id| {
            let (permits, action) = (Arc::clone(&permits), act(*id));
            tokio::spawn(async move {
                // The semaphore is never closed.
                let _permit = permits.acquire_owned().await;
                action.await
            })
        })
        .collect();
    let mut done = Vec::with_capacity(tasks.len());
    for task in tasks {
        done.push(match task.await {
            Ok(outcome) => outcome,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        });
    }
    done
}
