//! Time that runs out: holds that expire, alone and under load, are redeemed at their deadline or bought again
//! after it; orders that are paid, long past the deadline of their hold; orders that nobody pays.
//!
//! It waits for the server's own times, and says how long. The deadline is worked out from what the server
//! shows and from when its answer came; whether the server kept it is for the checker to say.

use std::time::Duration;

use tokio::time::Instant;

use super::boundary::PATIENCE;
use super::parts::{Careful, Customer, Granted, take_all};
use super::plan::SWEEP;
use super::{Stage, Trouble};
use crate::api::Shop;
use crate::history::{News, OrderStatus};

/// The parts, each with a product of its own.
pub(super) const PARTS: usize = 5;

/// How long before the deadline the first of those who redeem at it begin.
const EARLY: Duration = Duration::from_millis(500);
/// How long after a deadline a client that wants to be sure waits.
const WELL_PAST: Duration = Duration::from_millis(500);

pub(super) async fn run(stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    let window = window(stage);
    stage.notes.say(&format!(
        "expiry: holds live {} s here; waiting {} s for them to expire{}",
        stage.limits.hold_ttl_seconds,
        longest(stage).as_secs(),
        match window {
            Some(window) => format!(", and {} s for orders that nobody pays", window.as_secs()),
            None => ", and not for orders that nobody pays".to_owned(),
        }
    ));
    let parts = Parts { stage: stage.clone(), shop: shop.clone() };
    let tasks = [
        tokio::spawn({
            let parts = parts.clone();
            async move { parts.bought_again().await }
        }),
        tokio::spawn({
            let parts = parts.clone();
            async move { parts.paid().await }
        }),
        tokio::spawn({
            let parts = parts.clone();
            async move { parts.at_the_deadline().await }
        }),
        tokio::spawn({
            let parts = parts.clone();
            async move { parts.under_load().await }
        }),
        tokio::spawn(async move { parts.never_paid(window).await }),
    ];
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// About how long it takes.
pub(super) fn expected(stage: &Stage) -> Duration {
    longest(stage).max(window(stage).unwrap_or_default()) + SWEEP
}

/// The longest that a hold lives: its deadline is rounded up to a whole second.
fn longest(stage: &Stage) -> Duration {
    Duration::from_secs(stage.limits.hold_ttl_seconds.saturating_add(1))
}

/// How long orders wait for their payment, if that is short enough to wait for.
fn window(stage: &Stage) -> Option<Duration> {
    let window = Duration::from_secs(stage.limits.payment_window_seconds);
    let limit = stage.sized(Duration::from_secs(5), stage.max_wait);
    (window + SWEEP <= stage.max_wait && window <= limit).then_some(window)
}

#[derive(Clone, Debug)]
struct Parts {
    stage: Stage,
    shop: Shop,
}

impl Parts {
    fn careful(&self) -> Careful {
        Careful::new(&self.shop, PATIENCE)
    }

    fn most(&self) -> u32 {
        self.stage.limits.max_qty_per_hold
    }

    /// Waits until `moment`; false if the run is to end before.
    async fn until(&self, moment: Instant) -> bool {
        self.stage.stop.sleep(moment.saturating_duration_since(Instant::now())).await
    }

    /// When a hold is surely over.
    fn over(&self, granted: &Granted) -> Instant {
        granted.answered + longest(&self.stage) + WELL_PAST
    }

    /// Everything is held, expires, and is bought again, as soon as it can be.
    async fn bought_again(&self) -> Result<(), Trouble> {
        let product = self.stage.product(0).product;
        let mut client = self.careful();
        let (mut taken, is_all) = take_all_in_parts(&mut client, product, self.most()).await;
        for _ in 0..self.stage.sized(1, 2) {
            let Some(last) = taken.last().copied().filter(|_| is_all) else { return Ok(()) };
            let latest = self.over(&last) + SWEEP;
            // Somebody asks all the time: the units are there when the deadline has passed, and not before.
            let mut next = Vec::new();
            let mut units: u32 = taken.iter().map(|granted| granted.units).sum();
            while units > 0 && Instant::now() < latest {
                if let Some(granted) = client.hold(product, 1).await {
                    units -= 1;
                    next.push(granted);
                    continue;
                }
                client.look(product).await;
                client.look_at_hold(taken[0].hold).await;
                if !self.stage.stop.sleep(Duration::from_millis(40)).await {
                    return Ok(());
                }
            }
            client.hold(product, 1).await;
            // What is over stays over, and gives nothing back twice.
            for granted in &taken {
                client.order(granted.hold).await;
                client.release(granted.hold).await;
                client.look_at_hold(granted.hold).await;
            }
            client.look(product).await;
            taken = next;
        }
        Ok(())
    }

    /// Paid, and looked at again well past the deadline of the hold: nothing came back.
    async fn paid(&self) -> Result<(), Trouble> {
        let product = self.stage.product(1).product;
        let mut client = self.careful();
        let mut orders = Vec::new();
        let mut latest = Instant::now();
        for number in 0..4 {
            let Some(granted) = client.hold(product, 1).await else { break };
            let Some(order) = client.order(granted.hold).await.order() else { break };
            // One of them stays unpaid: its hold is redeemed as well.
            if number != 3 {
                client.news(order, News::Success).await;
            }
            orders.push((order, granted.hold));
            latest = latest.max(self.over(&granted));
        }
        let forgotten = client.hold(product, 1).await;
        client.look(product).await;
        if !self.until(latest + WELL_PAST + self.stage.sized(Duration::ZERO, SWEEP)).await {
            return Ok(());
        }
        client.look(product).await;
        for (order, hold) in &orders {
            client.look_at_order(*order).await;
            client.look_at_hold(*hold).await;
            client.release(*hold).await;
        }
        if let Some(forgotten) = forgotten {
            client.look_at_hold(forgotten.hold).await;
        }
        client.look(product).await;
        // All that is left can be bought, and not one unit more.
        let (_, is_all) = take_all(&mut client, product, self.most()).await;
        if is_all {
            client.hold(product, 1).await;
        }
        client.look(product).await;
        Ok(())
    }

    /// Redeemed a little before the deadline, at it, and after it.
    async fn at_the_deadline(&self) -> Result<(), Trouble> {
        let product = self.stage.product(2).product;
        let count = self.stage.sized(10, 16);
        let tasks: Vec<_> = (0..count)
            .map(|number| {
                let parts = self.clone();
                tokio::spawn(async move {
                    let mut client = parts.careful();
                    let Some(granted) = client.hold(product, 1).await else { return };
                    let Some(view) = client.look_at_hold(granted.hold).await else { return };
                    let lives = u64::try_from(view.expires_at.saturating_sub(view.created_at)).unwrap_or_default();
                    // From well before to surely after, closer together near the deadline.
                    let after = [100, 350, 440, 480, 500, 520, 560, 650, 900, 1_400][number % 10];
                    let deadline = granted.answered + Duration::from_micros(lives);
                    let moment = (deadline + Duration::from_millis(after)).checked_sub(EARLY).unwrap_or(deadline);
                    if !parts.until(moment).await {
                        return;
                    }
                    let order = client.order(granted.hold).await.order();
                    client.look_at_hold(granted.hold).await;
                    if let Some(order) = order {
                        let news = if number % 2 == 0 { News::Success } else { News::Failure };
                        client.news(order, news).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        self.careful().look(product).await;
        Ok(())
    }

    /// A crowd that takes what it can get, and forgets most of it.
    async fn under_load(&self) -> Result<(), Trouble> {
        let product = self.stage.product(3).product;
        let until = Instant::now() + longest(&self.stage) + WELL_PAST + self.stage.sized(WELL_PAST, SWEEP);
        let tasks: Vec<_> = (0..self.stage.sized(4, 12))
            .map(|number| {
                let parts = self.clone();
                let mut choices = self.stage.choices(3, number);
                let mut client = self.shop.caller();
                tokio::spawn(async move {
                    while Instant::now() < until {
                        if let Some(granted) = client.hold(product, 1).await {
                            match choices.u8(..8) {
                                0 => client.release(granted.hold).await,
                                1 => {
                                    if let Some(order) = client.order(granted.hold).await.order() {
                                        client.news(order, News::Failure).await;
                                    }
                                }
                                _ => {}
                            }
                        } else if choices.u8(..4) == 0 {
                            client.look(product).await;
                        }
                        if !parts.stage.stop.sleep(Duration::from_millis(choices.u64(5..60))).await {
                            return;
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

    /// Orders that nobody pays, until the server gives them up: one is paid in time, and one too late.
    async fn never_paid(&self, window: Option<Duration>) -> Result<(), Trouble> {
        let Some(window) = window else { return Ok(()) };
        let product = self.stage.product(4).product;
        let mut client = self.careful();
        let (taken, is_all) = take_all_in_parts(&mut client, product, self.most()).await;
        let mut orders = Vec::new();
        for granted in &taken {
            if let Some(order) = client.order(granted.hold).await.order() {
                orders.push(order);
            }
        }
        client.look(product).await;
        let ordered = Instant::now();
        let Some((&first, rest)) = orders.split_first() else { return Ok(()) };
        if !self.until(ordered + window / 2).await {
            return Ok(());
        }
        client.news(first, News::Success).await;
        for order in rest {
            client.look_at_order(*order).await;
        }
        let mut open: Vec<u64> = rest.to_vec();
        let latest = ordered + window + SWEEP * 3;
        while !open.is_empty() && Instant::now() < latest {
            if !self.stage.stop.sleep(Duration::from_millis(100)).await {
                return Ok(());
            }
            let mut still_open = Vec::new();
            for order in open {
                match client.look_at_order(order).await {
                    Some(view) if view.status != OrderStatus::PendingPayment => {}
                    _ => still_open.push(order),
                }
            }
            open = still_open;
            client.look(product).await;
        }
        if let Some(late) = rest.first() {
            client.news(*late, News::Success).await;
            client.look_at_order(*late).await;
        }
        client.look_at_order(first).await;
        client.look(product).await;
        if is_all {
            let (_, is_all) = take_all(&mut client, product, self.most()).await;
            if is_all {
                client.hold(product, 1).await;
            }
        }
        Ok(())
    }
}

/// Takes all free units in at least four holds, if there are so many, and says whether none is left.
async fn take_all_in_parts(client: &mut Careful, product: u64, most: u32) -> (Vec<Granted>, bool) {
    let mut taken = Vec::new();
    let Some(view) = client.look(product).await else { return (taken, false) };
    let part = u32::try_from((view.free / 5).max(1)).unwrap_or(u32::MAX).min(most);
    for _ in 0..4 {
        if let Some(granted) = client.hold(product, part).await {
            taken.push(granted);
        }
    }
    let (rest, is_all) = take_all(client, product, most).await;
    taken.extend(rest);
    (taken, is_all)
}
