//! What the tables of successes expect: an outcome and every row that is written.

use sale::{Changes, Command, Hold, HoldId, HoldStatus, Movement, OrderId, Outcome, Product, ReleaseReason};

use crate::world::{NOW, P, SEQ, World, at, product, quantity};

pub(crate) type Row = (&'static str, World, Command, Outcome, Changes);

pub(crate) fn check(rows: Vec<Row>) {
    for (name, world, command, outcome, changes) in rows {
        let step = world.step(name, command);
        assert_eq!(step.1.is_empty(), changes == Changes::default(), "{name}");
        assert_eq!(step, (outcome, changes), "{name}");
    }
}

/// A product after `movements` of a step at [`NOW`].
pub(crate) fn moved(stock_available: u64, stock_reserved: u64, movements: u64) -> Product {
    Product { movement_seq: SEQ + movements, updated_at: NOW, ..product(stock_available, stock_reserved) }
}

pub(crate) fn of_hold(mut movement: Movement, id: u64) -> Movement {
    movement.hold_id = Some(HoldId(id));
    movement
}

pub(crate) fn of_order(mut movement: Movement, id: u64) -> Movement {
    movement.order_id = Some(OrderId(id));
    movement
}

/// An overdue hold after its expiry: released at its deadline, whenever that was noticed.
pub(crate) fn expired(hold: Hold) -> Hold {
    let at = hold.expires_at;
    Hold { status: HoldStatus::Released { at, reason: ReleaseReason::Expired, order_id: None }, ..hold }
}

/// A hold that was placed at [`NOW`].
pub(crate) fn new_hold(id: u64, units: u32) -> Hold {
    Hold {
        id: HoldId(id),
        product_id: P,
        quantity: quantity(units),
        status: HoldStatus::Active,
        created_at: NOW,
        // Half a second past a whole one, two minutes on, rounded up.
        expires_at: at(120_500),
        key: None,
    }
}
