//! What scenarios are made of: what a client does in one step, clients that do not give up, and bursts.
//!
//! What does not belong here: the order of steps.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;
use tokio::time::Instant;

use super::Trouble;
use super::plan::MOST_HOLDS;
use crate::api::{Call, Caller, Shop};
use crate::history::{Code, HoldView, News, Operation, OrderView, Outcome, ProductView, Recorder, Why};

/// A hold that was granted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) hold: u64,
    pub(super) units: u32,
    /// When its answer was there.
    pub(super) answered: Instant,
}

/// What came of asking for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redeemed {
    /// The hold is this order, of this request or of another.
    Order(u64),
    /// There is none, and will be none.
    Refused,
    /// Nobody knows.
    Unknown,
}

impl Redeemed {
    pub(super) fn order(self) -> Option<u64> {
        match self {
            Self::Order(order) => Some(order),
            Self::Refused | Self::Unknown => None,
        }
    }
}

/// The steps of a customer, each one request.
pub(super) trait Customer: Call {
    /// Holds units.
    fn hold(&mut self, product: u64, units: u32) -> impl Future<Output = Option<Granted>> + Send {
        async move {
            let key = self.new_key();
            match self.call(Operation::PlaceHold { product, quantity: units, key }).await {
                Outcome::Held { hold, .. } => Some(Granted { hold, units, answered: Instant::now() }),
                _ => None,
            }
        }
    }

    /// Gives a hold back.
    fn release(&mut self, hold: u64) -> impl Future<Output = ()> + Send {
        async move {
            self.call(Operation::ReleaseHold { hold }).await;
        }
    }

    /// Makes a hold an order.
    fn order(&mut self, hold: u64) -> impl Future<Output = Redeemed> + Send {
        async move {
            let key = self.new_key();
            redeemed(&self.call(Operation::PlaceOrder { hold, key }).await)
        }
    }

    /// Sends news of a payment, with a key of its own.
    fn news(&mut self, order: u64, news: News) -> impl Future<Output = ()> + Send {
        async move {
            let key = self.new_key();
            self.call(Operation::Webhook { key, order, news }).await;
        }
    }

    /// Looks at a product.
    fn look(&mut self, product: u64) -> impl Future<Output = Option<ProductView>> + Send {
        async move {
            match self.call(Operation::ReadProduct { product, at_rest: false }).await {
                Outcome::Product(view) => Some(view),
                _ => None,
            }
        }
    }

    /// Looks at a hold.
    fn look_at_hold(&mut self, hold: u64) -> impl Future<Output = Option<HoldView>> + Send {
        async move {
            match self.call(Operation::ReadHold { hold }).await {
                Outcome::Hold(view) => Some(view),
                _ => None,
            }
        }
    }

    /// Looks at an order.
    fn look_at_order(&mut self, order: u64) -> impl Future<Output = Option<OrderView>> + Send {
        async move {
            match self.call(Operation::ReadOrder { order }).await {
                Outcome::Order(view) => Some(view),
                _ => None,
            }
        }
    }
}

impl<C: Call> Customer for C {}

pub(super) fn redeemed(outcome: &Outcome) -> Redeemed {
    match outcome {
        Outcome::Ordered { order, .. } => Redeemed::Order(order.order),
        Outcome::Refused { code: Code::HoldAlreadyRedeemed, order: Some(order), .. } => Redeemed::Order(*order),
        Outcome::Refused { .. } => Redeemed::Refused,
        _ => Redeemed::Unknown,
    }
}

/// What comes of a request that nobody sends any more, since the scenario is to end. It is not taken down.
const NOT_ASKED: Outcome = Outcome::Unknown { why: Why::NotSent, status: None };

/// A client that repeats each request until its outcome is known, or its patience ends.
#[derive(Debug)]
pub(super) struct Careful {
    caller: Caller,
    patience: Duration,
}

impl Careful {
    pub(super) fn new(shop: &Shop, patience: Duration) -> Self {
        Self { caller: shop.caller(), patience }
    }
}

impl Call for Careful {
    async fn call(&mut self, operation: Operation) -> Outcome {
        if self.is_over() {
            return NOT_ASKED;
        }
        let until = Instant::now() + self.patience;
        self.caller.insist(operation, until).await
    }

    fn recorder(&self) -> &Recorder {
        self.caller.recorder()
    }

    fn is_over(&self) -> bool {
        self.caller.is_over()
    }
}

/// Clients that act at the same moment, each on a connection that was open before.
#[derive(Debug)]
pub(super) struct Crew {
    callers: Vec<Caller>,
}

impl Crew {
    pub(super) fn new(shop: &Shop, size: usize) -> Self {
        Self { callers: (0..size).map(|_| shop.caller()).collect() }
    }

    pub(super) fn size(&self) -> usize {
        self.callers.len()
    }

    /// Sends all operations at once, at most one a client, and returns their outcomes in the same order.
    pub(super) async fn burst(&mut self, operations: Vec<Operation>) -> Result<Vec<Outcome>, Trouble> {
        let count = operations.len().min(self.callers.len());
        if self.callers.iter().any(Caller::is_over) {
            return Ok(vec![NOT_ASKED; count]);
        }
        let start = Arc::new(Barrier::new(count));
        let idle = self.callers.split_off(count);
        let acting = std::mem::replace(&mut self.callers, idle);
        let tasks: Vec<_> = acting
            .into_iter()
            .zip(operations)
            .map(|(mut caller, operation)| {
                let start = Arc::clone(&start);
                tokio::spawn(async move {
                    caller.connect().await;
                    start.wait().await;
                    let outcome = caller.call(operation).await;
                    (caller, outcome)
                })
            })
            .collect();
        let mut outcomes = Vec::with_capacity(tasks.len());
        for task in tasks {
            let (caller, outcome) = task.await?;
            self.callers.push(caller);
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }
}

/// The holds among outcomes.
pub(super) fn held(outcomes: &[Outcome]) -> Vec<u64> {
    outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Held { hold, .. } => Some(*hold),
            _ => None,
        })
        .collect()
}

/// Takes all free units in as few holds as may be, and says whether none is left. It gives up on a product
/// that [`can_be_sold_out`](super::can_be_sold_out) denies.
pub(super) async fn take_all(client: &mut impl Customer, product: u64, most: u32) -> (Vec<Granted>, bool) {
    take_all_but(client, product, most, 0).await
}

/// The same, but for `left` units, which stay free.
pub(super) async fn take_all_but(
    client: &mut impl Customer,
    product: u64,
    most: u32,
    left: u32,
) -> (Vec<Granted>, bool) {
    let mut taken = Vec::new();
    while taken.len() < MOST_HOLDS {
        let Some(view) = client.look(product).await else { break };
        let free = u32::try_from(view.free.saturating_sub(i64::from(left)).max(0)).unwrap_or(u32::MAX).min(most);
        if free == 0 {
            return (taken, true);
        }
        match client.hold(product, free).await {
            Some(granted) => taken.push(granted),
            // Somebody else was faster; or the server is wrong, which the checker says.
            None if taken.is_empty() => break,
            None => return (taken, false),
        }
    }
    (taken, false)
}
