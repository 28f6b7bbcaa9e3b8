//! Runs requests on the database in memory as the engine does: routed, loaded, decided, written, put off
//! and asked again, and halved where one of them breaks its batch.
//!
//! After every commit the whole database is audited.

use sale::{Command, Decision, HoldId, HoldStatus, Needs, OrderStatus, Outcome, ProductId, Terms, Timestamp, decide};

use crate::audit::{audit, times};
use crate::commands::command;
use crate::database::{Database, Limits};
use crate::naive::Ask;

/// What became of one request: `None` if it broke its batch alone.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) ask: Ask,
    pub(crate) outcome: Option<Outcome>,
}

/// A request on its way.
#[derive(Clone, Debug)]
pub(crate) struct Routed {
    pub(crate) product_id: ProductId,
    pub(crate) ask: Ask,
    pub(crate) command: Command,
}

/// Routes requests; those that name a row that nobody ever heard of are left out.
pub(crate) fn route(database: &Database, asks: &[Ask]) -> (Vec<Routed>, Vec<Ask>) {
    // A row that another request of the batch may make goes where that one goes.
    let of_hold = |id: u64| {
        let places = asks.iter().filter_map(|ask| match *ask {
            Ask::Place { hold, product, .. } if hold == id => Some(ProductId(product)),
            _ => None,
        });
        database.holds.get(&HoldId(id)).map(|hold| hold.product_id).or(the_only(places))
    };
    let of_order = |id: u64| {
        the_only(asks.iter().filter_map(|ask| match *ask {
            Ask::Redeem { hold, order, .. } if order == id => of_hold(hold),
            _ => None,
        }))
    };
    let (mut routed, mut unknown) = (Vec::new(), Vec::new());
    for ask in asks {
        let command = command(ask);
        let product_id = database.route(&command).or_else(|| match *ask {
            Ask::GiveBack { hold } | Ask::Redeem { hold, .. } => of_hold(hold),
            Ask::Settle { order, .. } => of_order(order),
            _ => None,
        });
        match product_id {
            Some(product_id) => routed.push(Routed { product_id, ask: ask.clone(), command }),
            None => unknown.push(ask.clone()),
        }
    }
    (routed, unknown)
}

/// Where all agree. An id that is given to rows of two products leads nowhere.
fn the_only(mut places: impl Iterator<Item = ProductId>) -> Option<ProductId> {
    let first = places.next()?;
    places.all(|other| other == first).then_some(first)
}

/// Decides and writes one batch.
///
/// # Errors
/// What stood in the way; then nothing is written.
pub(crate) fn commit(
    database: &mut Database,
    batch: &[Routed],
    now: Timestamp,
    limits: Limits,
    terms: &Terms,
) -> Result<Decision, String> {
    let needs = Needs::of(batch.iter().map(|routed| (routed.product_id, &routed.command)));
    let commands: Vec<Command> = batch.iter().map(|routed| routed.command.clone()).collect();
    let decision = decide(database.load(&needs, now, limits), &commands, terms).map_err(|breach| breach.to_string())?;
    assert_eq!(decision.outcomes.len(), batch.len(), "one outcome a command");
    let broken = times(database, &decision.changes);
    assert!(broken.is_empty(), "{broken:#?} in {:#?}", decision.changes);
    database.apply(&decision.changes).map_err(|refused| refused.0)?;
    let broken = audit(database, terms);
    assert!(broken.is_empty(), "{broken:#?} after {commands:#?}");
    Ok(decision)
}

/// Runs a batch to its end and returns its requests in the order in which they took effect.
pub(crate) fn run(
    database: &mut Database,
    batch: Vec<Routed>,
    now: Timestamp,
    limits: Limits,
    terms: &Terms,
) -> Vec<Done> {
    let mut done = Vec::new();
    let mut waiting = batch;
    while !waiting.is_empty() {
        let mut put_off = Vec::new();
        attempt(database, &waiting, now, limits, terms, &mut done, &mut put_off);
        waiting = put_off;
    }
    done
}

fn attempt(
    database: &mut Database,
    batch: &[Routed],
    now: Timestamp,
    limits: Limits,
    terms: &Terms,
    done: &mut Vec<Done>,
    put_off: &mut Vec<Routed>,
) {
    let before = database.clone();
    let decision = match commit(database, batch, now, limits, terms) {
        Ok(decision) => decision,
        Err(_) if batch.len() > 1 => {
            let (first, second) = batch.split_at(batch.len() / 2);
            attempt(database, first, now, limits, terms, done, put_off);
            attempt(database, second, now, limits, terms, done, put_off);
            return;
        }
        Err(_) => {
            assert_eq!(*database, before, "what was not committed changed nothing");
            done.push(Done { ask: batch[0].ask.clone(), outcome: None });
            return;
        }
    };
    let last = |routed: &Routed| matches!(routed.command, Command::CancelUnpaidOrders { .. });
    let answered = || batch.iter().zip(&decision.outcomes);
    let in_order = answered().filter(|(routed, _)| !last(routed)).chain(answered().filter(|(routed, _)| last(routed)));
    for (routed, outcome) in in_order {
        if *outcome == Outcome::Deferred {
            let due = |database: &Database| database.due(routed.product_id, now).count();
            assert!(due(database) < due(&before), "put off without progress: {routed:?}");
            put_off.push(routed.clone());
        } else {
            done.push(Done { ask: routed.ask.clone(), outcome: Some(outcome.clone()) });
        }
    }
    if let ([routed], [outcome]) = (batch, &decision.outcomes[..]) {
        check_alone(&before, database, routed.product_id, outcome, &decision, now, limits);
    }
}

/// What only holds of a command that has a batch to itself.
fn check_alone(
    before: &Database,
    after: &Database,
    product_id: ProductId,
    outcome: &Outcome,
    decision: &Decision,
    now: Timestamp,
    limits: Limits,
) {
    use sale::NextDue::{At, Never, Now};
    let clock = after.clock(product_id, now);
    match outcome {
        Outcome::Refused(_) => assert!(decision.changes.is_empty(), "a refusal wrote {:?}", decision.changes),
        Outcome::HoldsExpired { holds, units, next } => {
            let due: Vec<_> = before.due(product_id, now).collect();
            let all: u64 = due.iter().map(|hold| hold.quantity.units()).sum();
            let taken = due.len().min(limits.due_per_command) as u64;
            assert_eq!(*holds, taken, "an expiry takes all that is due, up to its limit");
            assert!(*units == all || taken < due.len() as u64, "{units} of {all} units");
            let active =
                after.holds.values().filter(|hold| hold.product_id == product_id && hold.status == HoldStatus::Active);
            let expected = match active.map(|hold| hold.expires_at).min() {
                None => Never,
                Some(deadline) if deadline <= clock => Now,
                Some(deadline) => At { deadline, now: clock },
            };
            assert_eq!(*next, expected, "the next deadline of a hold");
        }
        Outcome::OrdersCancelled { next, .. } => {
            let unpaid = after
                .orders
                .values()
                .filter(|order| order.product_id == product_id && order.status == OrderStatus::PendingPayment);
            let expected = match unpaid.map(|order| order.payment_deadline).min() {
                None => Never,
                Some(deadline) if deadline <= clock => Now,
                Some(deadline) => At { deadline, now: clock },
            };
            assert_eq!(*next, expected, "the next deadline of an order");
        }
        _ => {}
    }
}
