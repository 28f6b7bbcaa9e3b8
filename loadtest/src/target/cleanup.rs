//! What a run leaves behind on a server that others use: nothing that keeps units.
//!
//! It goes by the history, so it works after an interrupt too. What does not belong here: requests that
//! are judged; these come after the last of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;

use super::{Ended, Operator, TargetError, retry};
use crate::api::Requests;
use crate::history::{History, HoldStatus, Key, News, Operation, OrderStatus, Outcome};

/// How many requests are under way at a time: a clean-up is no load test.
const PARALLEL: usize = 8;

/// For how long a clean-up goes on, all of it.
const PATIENCE: Duration = Duration::from_mins(1);

/// What there may be to clean up.
#[derive(Clone, Copy, Debug)]
pub struct Mess<'a> {
    /// What was done, as far as it is known.
    pub history: Option<&'a History>,
    /// The products that are known to have been made.
    pub made: &'a [u64],
    /// How the names of all products begin that the run made, if it made any: one whose making was not answered
    /// is found by it.
    pub prefix: Option<&'a str>,
}

/// What was cleaned up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Holds that were given back.
    pub holds: usize,
    /// Orders whose payment was failed.
    pub orders: usize,
    /// Products that were suspended.
    pub products: usize,
    /// Things that could not be done.
    pub failed: usize,
    /// What is left of them, for a person to finish.
    pub left: Left,
}

/// What a clean-up could not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Products that may still be on sale.
    pub products: Vec<u64>,
    /// Orders that may still wait for their payment.
    pub orders: Vec<u64>,
    /// Holds that may still be active, or have become an order that is not known.
    pub holds: Vec<u64>,
    /// If the server's products could not be listed: how the names of those begin that may be on sale as well.
    pub unlisted: Option<String>,
    /// Why, as the server, or the lack of it, said last.
    pub why: Option<String>,
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

/// Suspends the run's products, gives back the holds that may be active, and fails the orders that may be unpaid.
/// Holds whose answers were lost end by themselves. `requests` must make keys of its own, that the run did not
/// use. It asks again where that may help, for a minute in all; then it says what is left.
pub async fn clean_up(operator: &Operator, requests: &Arc<Requests>, mess: Mess<'_>) -> Cleaned {
    clean_up_within(PATIENCE, operator, requests, mess).await
}

/// The same, within `patience`.
pub async fn clean_up_within(
    patience: Duration,
    operator: &Operator,
    requests: &Arc<Requests>,
    mess: Mess<'_>,
) -> Cleaned {
    let deadline = Instant::now() + patience;
    let open = mess.history.map(Open::of).unwrap_or_default();
    let mut cleaned = Cleaned::default();
    // Products first: nothing new comes while the rest is cleaned up.
    let products: BTreeSet<u64> = mess.made.iter().copied().collect();
    let suspend = |product| {
        let operator = operator.clone();
        async move { operator.suspend_product(product).await }
    };
    let mut done = each(deadline, products, suspend).await;
    if let Some(prefix) = mess.prefix {
        match operator.products_named(prefix, deadline).await {
            Ok(found) => {
                // What could not be suspended was tried for as long as it may be.
                let found = found.into_iter().filter(|id| !mess.made.contains(id)).collect();
                done.extend(each(deadline, found, suspend).await);
            }
            Err(error) => {
                cleaned.failed += 1;
                cleaned.left.unlisted = Some(prefix.to_owned());
                cleaned.left.why = Some(error.to_string());
            }
        }
    }
    for (product, suspended) in done {
        match suspended {
            Ok(()) => cleaned.products += 1,
            Err(error) => cleaned.missed(error.to_string()).products.push(product),
        }
    }
    let mut orders = open.orders;
    let done = each(deadline, open.holds, |hold| {
        let (operator, requests) = (operator.clone(), Arc::clone(requests));
        async move { operator.end(&requests, &Operation::ReleaseHold { hold }).await }
    });
    for (hold, released) in done.await {
        match released {
            Ok(Ended::Done) => cleaned.holds += 1,
            // The answer to its order was lost.
            Ok(Ended::Redeemed { order: Some(order) }) => drop(orders.insert(order)),
            Ok(Ended::Redeemed { order: None }) => {
                cleaned.missed("the hold became an order that was not named".to_owned()).holds.push(hold);
            }
            Err(error) => cleaned.missed(error.to_string()).holds.push(hold),
        }
    }
    let done = each(deadline, orders, |order| {
        let (operator, requests) = (operator.clone(), Arc::clone(requests));
        async move { operator.end(&requests, &Operation::Webhook { key: Key(order), order, news: News::Failure }).await }
    });
    for (order, failed) in done.await {
        match failed {
            Ok(_) => cleaned.orders += 1,
            Err(error) => cleaned.missed(error.to_string()).orders.push(order),
        }
    }
    cleaned
}

impl Cleaned {
    /// Counts something that could not be done, and returns where to write down what.
    fn missed(&mut self, why: String) -> &mut Left {
        self.failed += 1;
        self.left.why = Some(why);
        &mut self.left
    }
}

/// Does something with each id until it works or `deadline` is over, some of them at a time.
async fn each<T, F>(deadline: Instant, ids: BTreeSet<u64>, act: impl Fn(u64) -> F) -> Vec<(u64, Result<T, TargetError>)>
where
    F: Future<Output = Result<T, TargetError>>,
{
    let act = &act;
    futures_util::stream::iter(ids)
        .map(|id| async move { (id, retry(deadline, || act(id)).await) })
        .buffer_unordered(PARALLEL)
        .collect()
        .await
}
