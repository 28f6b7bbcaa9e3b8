//! What every step is held against before its outcome counts, in release builds too.
//!
//! Double entry: holds and orders say how many units they took or gave, and the movements must say the
//! same; the movements say how the counters changed, and the counters must say the same. A step that does
//! not add up is a [`Breach`], and nothing of its batch is written. Keeps I1 on the product's row, I2 and I3
//! for the step, I4 and I5 by how the rows may change, I6 for the step's movements.

use crate::books::{Books, Counters};
use crate::invariant::{Breach, Invariant};
use crate::rows::Product;
use crate::values::ProductId;

/// I1.
pub(crate) fn check_counters(product: &Product) -> Result<(), Breach> {
    if product.stock_reserved <= product.stock_available {
        return Ok(());
    }
    Err(Breach {
        product_id: product.id,
        invariant: Invariant::CountersInRange,
        detail: format!(
            "stock_reserved {} is more than stock_available {}",
            product.stock_reserved, product.stock_available
        ),
    })
}

/// Rows of a product were to change without the lock that makes its changes one after the other.
pub(crate) fn not_locked(product_id: ProductId) -> Breach {
    Breach {
        product_id,
        invariant: Invariant::UnitsConserved,
        detail: "its rows were to change, but its own row is not locked".to_owned(),
    }
}

/// Holds the rows that the step changed, its movements and the counters against one another.
pub(crate) fn check_step(books: &Books) -> Result<(), Breach> {
    let step = &books.step;
    // A step that changed nothing has nothing to add up.
    let Some((&product_id, &before)) = step.touched.iter().next() else { return Ok(()) };
    let breach = |invariant, detail| Err(Breach { product_id, invariant, detail });
    if let Some(&other) = step.touched.keys().nth(1) {
        return breach(Invariant::UnitsConserved, format!("one step changed its rows and those of product {other}"));
    }
    let (Some(before), Some(product)) = (before, books.state.products.get(&product_id)) else {
        return Err(not_locked(product_id));
    };
    if let Some((invariant, detail)) = &step.misstep {
        return breach(*invariant, detail.clone());
    }
    let movements = books.movements.get(step.movements_before..).unwrap_or_default();
    let reserved: i64 = movements.iter().map(|movement| movement.reserved_change).sum();
    let available: i64 = movements.iter().map(|movement| movement.available_change).sum();
    if reserved != step.held_change {
        let detail = format!("active holds changed by {:+} units, stock_reserved by {reserved:+}", step.held_change);
        return breach(Invariant::ReservedIsHeld, detail);
    }
    if available + step.sold_change != step.stocked_change {
        let detail = format!(
            "stocked {:+}, sold {:+} units, but stock_available changed by {available:+}",
            step.stocked_change, step.sold_change
        );
        return breach(Invariant::UnitsConserved, detail);
    }
    let mut end = before;
    for movement in movements {
        let linked = movement.product_id == product_id
            && movement.seq == end.movement_seq + 1
            && end.stock_available.checked_add_signed(movement.available_change) == Some(movement.stock_available)
            && end.stock_reserved.checked_add_signed(movement.reserved_change) == Some(movement.stock_reserved);
        if !linked {
            let detail =
                format!("movement {} of product {} does not follow {end:?}", movement.seq, movement.product_id);
            return breach(Invariant::LedgerChained, detail);
        }
        end = Counters {
            stock_available: movement.stock_available,
            stock_reserved: movement.stock_reserved,
            movement_seq: movement.seq,
        };
    }
    if end != Counters::of(product) {
        let detail = format!("its movements end at {end:?}, its row at {:?}", Counters::of(product));
        return breach(Invariant::LedgerChained, detail);
    }
    Ok(())
}
