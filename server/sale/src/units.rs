//! How units move: the one place that changes a counter, and the expiry that makes room.
//!
//! What does not belong here: whether a command may move them (`decide`). Keeps I1 and I6 by
//! construction, and I8: a hold past its deadline keeps no units from anybody, swept or not.

use crate::books::Books;
use crate::check::{check_counters, not_locked};
use crate::invariant::{Breach, Invariant};
use crate::rows::{HoldStatus, Movement, MovementKind, Product, ReleaseReason};
use crate::values::{HoldId, OrderId, ProductId};

/// Whether units are free.
pub(crate) enum Room {
    /// So many units are free.
    Made,
    /// They are not, even if every due hold is counted as gone.
    Short { available: u64 },
    /// They may be once more due holds are loaded; those at hand are released.
    Unsure,
}

/// Sees to it that `units` are free: a hold past its deadline keeps none (I8). Only as many due holds
/// are released as it takes, and none if that would not be enough.
pub(crate) fn make_room(books: &mut Books, product_id: ProductId, units: u64) -> Result<Room, Breach> {
    let free = |books: &Books| books.state.products.get(&product_id).map_or(0, Product::free);
    if free(books) >= units {
        return Ok(Room::Made);
    }
    let (due_units, more) = due_units(books, product_id);
    let available = free(books).saturating_add(due_units);
    if available < units && !more {
        return Ok(Room::Short { available });
    }
    while free(books) < units {
        if expire_oldest(books, product_id)?.is_none() {
            return Ok(Room::Unsure);
        }
    }
    Ok(Room::Made)
}

fn due_units(books: &Books, product_id: ProductId) -> (u64, bool) {
    let Some(due) = books.state.due_holds.get(&product_id) else { return (0, false) };
    let now = books.now_of(product_id);
    let holds = due.ids.iter().filter_map(|id| books.state.holds.get(id)).filter(|hold| hold.is_due(now));
    (holds.map(|hold| hold.quantity.units()).sum(), due.more)
}

/// Releases the oldest due hold and says how many units it kept; `None` if there is none at hand.
pub(crate) fn expire_oldest(books: &mut Books, product_id: ProductId) -> Result<Option<u64>, Breach> {
    let now = books.now_of(product_id);
    loop {
        let Some(hold_id) = books.state.due_holds.get_mut(&product_id).and_then(|due| due.ids.pop_front()) else {
            return Ok(None);
        };
        let Some(hold) = books.state.holds.get(&hold_id).filter(|hold| hold.is_due(now)) else { continue };
        let (quantity, at) = (hold.quantity, hold.expires_at);
        books.set_hold_status(hold_id, HoldStatus::Released { at, reason: ReleaseReason::Expired, order_id: None });
        move_units(books, product_id, MovementKind::HoldExpired, 0, -quantity.signed(), Some(hold_id), None)?;
        return Ok(Some(quantity.units()));
    }
}

/// Writes one movement and its counters. Nothing else changes a counter.
pub(crate) fn move_units(
    books: &mut Books,
    product_id: ProductId,
    kind: MovementKind,
    available_change: i64,
    reserved_change: i64,
    hold_id: Option<HoldId>,
    order_id: Option<OrderId>,
) -> Result<(), Breach> {
    let now = books.now_of(product_id);
    let Some(product) = books.product_mut(product_id) else { return Err(not_locked(product_id)) };
    // Before it too: a movement must not make counters that were wrong look right.
    check_counters(product)?;
    let available = product.stock_available.checked_add_signed(available_change);
    let reserved = product.stock_reserved.checked_add_signed(reserved_change);
    let (Some(available), Some(reserved)) = (available, reserved) else {
        return Err(Breach {
            product_id,
            invariant: Invariant::CountersInRange,
            detail: format!(
                "stock_available {} {available_change:+}, stock_reserved {} {reserved_change:+}",
                product.stock_available, product.stock_reserved
            ),
        });
    };
    product.stock_available = available;
    product.stock_reserved = reserved;
    product.movement_seq += 1;
    product.updated_at = now;
    let movement = Movement {
        product_id,
        seq: product.movement_seq,
        kind,
        available_change,
        reserved_change,
        stock_available: available,
        stock_reserved: reserved,
        hold_id,
        order_id,
        at: now,
    };
    check_counters(product)?;
    books.movements.push(movement);
    Ok(())
}
