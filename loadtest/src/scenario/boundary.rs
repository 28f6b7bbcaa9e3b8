//! The last unit: N units and far more parallel holds, of one unit each, then of mixed quantities; then one
//! careful client alone, whose answers leave no doubt.
//!
//! Bursts go out behind a barrier, on connections that were open before.

use std::time::Duration;

use super::parts::{Careful, Crew, Customer, held, redeemed, take_all, take_all_but};
use super::{Stage, Trouble};
use crate::api::Shop;
use crate::history::{News, Operation};

/// How long a careful client repeats a request.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn run(stage: &Stage, shop: &Shop) -> Result<(), Trouble> {
    let clients = stage.sized(48, (stage.users as usize * 4).clamp(64, 512));
    let mut crew = Crew::new(shop, clients);
    let mut careful = Careful::new(shop, PATIENCE);
    single_units(stage, &mut crew, &mut careful).await?;
    mixed_quantities(stage, &mut crew, &mut careful).await?;
    one_hold_many_orders(stage, &mut crew, &mut careful).await?;
    for _ in 0..stage.sized(2, 5) {
        if stage.stop.is_set() {
            break;
        }
        edges(&mut careful, stage.product(2).product, stage.limits.max_qty_per_hold).await;
    }
    Ok(())
}

/// Bursts of holds of one unit until all are gone, and once more when they were given back.
async fn single_units(stage: &Stage, crew: &mut Crew, careful: &mut Careful) -> Result<(), Trouble> {
    let product = stage.product(0).product;
    // A large stock is made a small one first.
    let few = u32::try_from(crew.size()).unwrap_or(u32::MAX).saturating_mul(2);
    let (put_away, _) = take_all_but(careful, product, stage.limits.max_qty_per_hold, few).await;
    for round in 0..stage.sized(2, 4) {
        let mut taken = Vec::new();
        // More than enough bursts for what is left.
        for _ in 0..50 {
            if stage.stop.is_set() {
                return Ok(());
            }
            let asked = (0..crew.size()).map(|_| hold(careful, product, 1)).collect();
            let outcomes = crew.burst(asked).await?;
            let granted = held(&outcomes);
            careful.look(product).await;
            taken.extend_from_slice(&granted);
            if granted.len() < outcomes.len() {
                break;
            }
        }
        // While some give back, others ask: each unit is somebody's before and after.
        let back = taken.len() / 2;
        let mut operations: Vec<_> =
            taken[..back].iter().take(crew.size() / 2).map(|hold| Operation::ReleaseHold { hold: *hold }).collect();
        while operations.len() < crew.size() {
            operations.push(hold(careful, product, 1));
        }
        stage.choices(1, round).shuffle(&mut operations);
        let outcomes = crew.burst(operations).await?;
        careful.look(product).await;
        // All of it goes back, twice over, and must be there once.
        let all: Vec<_> = taken.into_iter().chain(held(&outcomes)).collect();
        for some in all.chunks(crew.size() / 2) {
            let releases = || some.iter().map(|hold| Operation::ReleaseHold { hold: *hold });
            crew.burst(releases().chain(releases()).collect()).await?;
        }
        careful.look(product).await;
    }
    for granted in put_away {
        careful.release(granted.hold).await;
    }
    Ok(())
}

/// Bursts of holds of mixed quantities, and what is left over to the unit.
async fn mixed_quantities(stage: &Stage, crew: &mut Crew, careful: &mut Careful) -> Result<(), Trouble> {
    let product = stage.product(1).product;
    let most = stage.limits.max_qty_per_hold;
    for round in 0..stage.sized(2, 4) {
        if stage.stop.is_set() {
            return Ok(());
        }
        let mut choices = stage.choices(2, round);
        let asked = (0..crew.size()).map(|_| hold(careful, product, choices.u32(1..=7.min(most)))).collect();
        let outcomes = crew.burst(asked).await?;
        let mut taken = held(&outcomes);
        let (rest, is_all) = take_all(careful, product, most).await;
        if is_all {
            careful.hold(product, 1).await;
        }
        careful.look(product).await;
        taken.extend(rest.iter().map(|granted| granted.hold));
        for hold in taken {
            careful.release(hold).await;
        }
        careful.look(product).await;
    }
    Ok(())
}

/// One hold, ordered by many at once, each with a key of its own: one order, and everybody is told which.
async fn one_hold_many_orders(stage: &Stage, crew: &mut Crew, careful: &mut Careful) -> Result<(), Trouble> {
    let product = stage.product(2).product;
    for round in 0..stage.sized(4, 12) {
        if stage.stop.is_set() {
            return Ok(());
        }
        let Some(granted) = careful.hold(product, 1).await else { return Ok(()) };
        let place = |_| Operation::PlaceOrder { hold: granted.hold, key: stage.recorder.new_key() };
        let mut operations: Vec<_> = (0..crew.size().min(16)).map(place).collect();
        if round % 3 == 2 {
            // Somebody gives it back at the same moment: it is one or the other.
            operations.push(Operation::ReleaseHold { hold: granted.hold });
        }
        let outcomes = crew.burst(operations).await?;
        careful.look(product).await;
        let order = outcomes.iter().find_map(|outcome| redeemed(outcome).order());
        careful.look_at_hold(granted.hold).await;
        if let Some(order) = order {
            careful.news(order, News::Failure).await;
            careful.look_at_order(order).await;
            careful.look(product).await;
        }
    }
    Ok(())
}

/// Everything that one client can do at the edges of a stock, one request after the other. It leaves all
/// units free but one, which is sold.
pub(super) async fn edges(client: &mut impl Customer, product: u64, most: u32) {
    // The last unit, nothing beyond it, and at once the one that comes back.
    let (taken, is_all) = take_all(client, product, most).await;
    if !is_all {
        for granted in taken {
            client.release(granted.hold).await;
        }
        return;
    }
    for (number, granted) in taken.iter().enumerate() {
        if number >= 20 {
            // Seen often enough.
            client.release(granted.hold).await;
            continue;
        }
        client.hold(product, 1).await;
        client.release(granted.hold).await;
        client.look(product).await;
        let again = client.hold(product, granted.units).await;
        client.hold(product, 1).await;
        if let Some(again) = again {
            client.release(again.hold).await;
        }
        client.hold(product, granted.units.saturating_add(1)).await;
    }
    give_back_twice(client, product).await;
    pay_and_fail(client, product, most).await;
}

/// A hold that is given back again and again, while others keep theirs.
async fn give_back_twice(client: &mut impl Customer, product: u64) {
    let kept = client.hold(product, 2).await;
    let Some(returned) = client.hold(product, 1).await else { return };
    for _ in 0..3 {
        client.release(returned.hold).await;
        client.look(product).await;
    }
    client.look_at_hold(returned.hold).await;
    client.order(returned.hold).await;
    if let Some(kept) = kept {
        client.release(kept.hold).await;
    }
}

/// Orders that fail and are paid, each with news that contradict it after.
async fn pay_and_fail(client: &mut impl Customer, product: u64, most: u32) {
    for (first, then) in [(News::Failure, News::Success), (News::Success, News::Failure)] {
        let Some(granted) = client.hold(product, 1).await else { return };
        client.look(product).await;
        let Some(order) = client.order(granted.hold).await.order() else { return };
        client.look(product).await;
        client.release(granted.hold).await;
        for news in [News::Pending, first, first, then, News::Pending] {
            client.news(order, news).await;
            client.look_at_order(order).await;
            client.look(product).await;
        }
        client.look_at_hold(granted.hold).await;
        client.order(granted.hold).await;
        // What came back is for sale again, to the last unit, and nothing that did not.
        let (taken, is_all) = take_all(client, product, most).await;
        if is_all {
            client.hold(product, 1).await;
        }
        for granted in taken {
            client.release(granted.hold).await;
        }
        client.look(product).await;
    }
}

/// A request for units, with a key of its own.
pub(super) fn hold(client: &impl Customer, product: u64, units: u32) -> Operation {
    Operation::PlaceHold { product, quantity: units, key: client.new_key() }
}
