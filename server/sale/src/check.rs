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
    let Some(&(product_id, before)) = step.touched.iter().min_by_key(|(id, _)| *id) else { return Ok(()) };
    let breach = |invariant, detail| Err(Breach { product_id, invariant, detail });
    if let Some((other, _)) = step.touched.iter().find(|(id, _)| *id != product_id) {
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

#[cfg(test)]
mod tests {
    //! Steps that do not add up, made by hand: no state can make the rules take one.

    use super::*;
    use crate::rows::{
        Hold, HoldStatus, MovementKind, Order, OrderStatus, PaymentEffect, PaymentEvent, PaymentStatus, ProductStatus,
        ReleaseReason,
    };
    use crate::state::State;
    use crate::units::move_units;
    use crate::values::{HoldId, Key, Money, OrderId, Quantity, Timestamp};

    const P: ProductId = ProductId(1);
    const NOW: Timestamp = Timestamp(1_000_000);

    fn units(units: u32) -> Quantity {
        Quantity::new(units).expect("in range")
    }

    fn product(id: u64) -> Product {
        Product {
            id: ProductId(id),
            price: Money(100),
            status: ProductStatus::OnSale,
            stock_available: 10,
            stock_reserved: 4,
            movement_seq: 7,
            updated_at: NOW,
        }
    }

    fn hold(id: u64, product_id: ProductId) -> Hold {
        Hold {
            id: HoldId(id),
            product_id,
            quantity: units(2),
            status: HoldStatus::Active,
            created_at: NOW,
            expires_at: NOW.plus_seconds(9),
            key: None,
        }
    }

    fn order(id: u64) -> Order {
        Order {
            id: OrderId(id),
            hold_id: HoldId(1),
            product_id: P,
            quantity: units(2),
            total_amount: Money(200),
            status: OrderStatus::PendingPayment,
            created_at: NOW,
            updated_at: NOW,
            payment_deadline: NOW.plus_seconds(9),
            key: None,
        }
    }

    /// Two products, an active hold and a pending order of the first.
    fn books() -> Books {
        let mut state = State { now: Some(NOW), ..State::default() };
        state.products.extend([(P, product(1)), (ProductId(2), product(2))]);
        state.holds.insert(HoldId(1), hold(1, P));
        state.orders.insert(OrderId(1), order(1));
        let mut books = Books::open(state, 1);
        books.begin_step();
        books
    }

    fn shift(books: &mut Books, available: i64, reserved: i64) {
        move_units(books, P, MovementKind::Restocked, available, reserved, None, None).expect("in range");
    }

    fn released(order_id: Option<OrderId>) -> HoldStatus {
        HoldStatus::Released { at: NOW, reason: ReleaseReason::GivenBack, order_id }
    }

    fn event(status: PaymentStatus) -> PaymentEvent {
        let key = Key::new(b"k").expect("one byte");
        PaymentEvent { key, order_id: OrderId(1), status, effect: PaymentEffect::NoEffect, received_at: NOW }
    }

    #[test]
    fn a_step_that_does_not_add_up_names_the_invariant() {
        use Invariant::{HoldUsedOnce, LedgerChained, ReservedIsHeld, SettledOnce, UnitsConserved};
        type Step = fn(&mut Books);
        let steps: [(&str, Invariant, Step); 22] = [
            ("a hold without a movement", ReservedIsHeld, |b| b.insert_hold(hold(2, P))),
            ("a movement without a hold", ReservedIsHeld, |b| shift(b, 0, 2)),
            ("too many units move", ReservedIsHeld, |b| {
                b.insert_hold(hold(2, P));
                shift(b, 0, 3);
            }),
            ("units move the wrong way", ReservedIsHeld, |b| {
                b.set_hold_status(HoldId(1), released(None));
                shift(b, 0, 2);
            }),
            ("a hold twice", ReservedIsHeld, |b| {
                b.insert_hold(hold(1, P));
                shift(b, 0, 2);
            }),
            ("an order without a movement", UnitsConserved, |b| b.insert_order(order(2))),
            ("stock from nowhere", UnitsConserved, |b| shift(b, 2, 0)),
            ("a cancelled order whose units stay away", UnitsConserved, |b| {
                b.set_order_status(OrderId(1), OrderStatus::Cancelled, NOW);
            }),
            ("a paid order whose units come back", UnitsConserved, |b| {
                b.set_order_status(OrderId(1), OrderStatus::Paid, NOW);
                shift(b, 2, 0);
            }),
            ("stocked, but not counted", UnitsConserved, |b| {
                b.step.stocked_change += 2;
                shift(b, 1, 0);
            }),
            ("an order twice", UnitsConserved, |b| {
                b.insert_order(order(1));
                shift(b, -2, 0);
            }),
            ("two products at once", UnitsConserved, |b| {
                b.set_hold_status(HoldId(1), released(None));
                shift(b, 0, -2);
                b.insert_hold(hold(2, ProductId(2)));
            }),
            ("a row of a product that is not locked", UnitsConserved, |b| b.insert_hold(hold(2, ProductId(3)))),
            ("a hold used twice", HoldUsedOnce, |b| {
                b.set_hold_status(HoldId(1), released(None));
                b.set_hold_status(HoldId(1), released(None));
                shift(b, 0, -2);
            }),
            ("a released hold comes back", HoldUsedOnce, |b| {
                b.set_hold_status(HoldId(1), released(None));
                b.set_hold_status(HoldId(1), HoldStatus::Active);
            }),
            ("an active hold released by an order", HoldUsedOnce, |b| {
                b.set_hold_status(HoldId(1), released(Some(OrderId(1))));
                shift(b, 0, -2);
            }),
            ("a redeemed hold released by another order", HoldUsedOnce, |b| {
                b.set_hold_status(HoldId(1), HoldStatus::Redeemed { order_id: OrderId(1) });
                b.set_hold_status(HoldId(1), released(Some(OrderId(2))));
                shift(b, 0, -2);
            }),
            ("a paid order cancelled", SettledOnce, |b| {
                b.set_order_status(OrderId(1), OrderStatus::Paid, NOW);
                b.set_order_status(OrderId(1), OrderStatus::Cancelled, NOW);
                shift(b, 2, 0);
            }),
            ("a payment key twice", SettledOnce, |b| {
                b.record_payment(P, event(PaymentStatus::Success));
                b.record_payment(P, event(PaymentStatus::Failure));
            }),
            ("a counter without a movement", LedgerChained, |b| {
                b.product_mut(P).expect("locked").stock_available += 1;
            }),
            ("a gap in the ledger", LedgerChained, |b| {
                b.product_mut(P).expect("locked").movement_seq += 1;
                b.step.stocked_change += 2;
                shift(b, 2, 0);
            }),
            ("a movement that says another balance", LedgerChained, |b| {
                b.step.stocked_change += 2;
                shift(b, 2, 0);
                b.movements[0].stock_available += 1;
                b.product_mut(P).expect("locked").stock_available += 1;
            }),
        ];
        for (name, invariant, step) in steps {
            let mut books = books();
            step(&mut books);
            match check_step(&books) {
                Err(breach) => assert_eq!(breach.invariant, invariant, "{name}: {breach}"),
                Ok(()) => panic!("{name}: no breach"),
            }
        }
    }

    #[test]
    fn a_step_is_charged_for_its_own_changes_only() {
        let mut books = books();
        books.set_hold_status(HoldId(1), released(None));
        shift(&mut books, 0, -2);
        assert_eq!(check_step(&books), Ok(()));
        books.begin_step();
        assert_eq!(check_step(&books), Ok(()), "nothing changed");
        books.insert_hold(hold(2, ProductId(2)));
        let breach = check_step(&books).expect_err("a hold without a movement");
        assert_eq!((breach.product_id, breach.invariant), (ProductId(2), Invariant::ReservedIsHeld));
    }

    #[test]
    fn a_movement_stops_at_the_counters_range() {
        let moved = |available, reserved| {
            let mut books = books();
            let moved = move_units(&mut books, P, MovementKind::Restocked, available, reserved, None, None);
            moved.map_err(|breach| (breach.product_id, breach.invariant))
        };
        let out_of_range = Err((P, Invariant::CountersInRange));
        assert_eq!(moved(0, 6), Ok(()));
        assert_eq!(moved(0, 7), out_of_range, "more is reserved than is there");
        assert_eq!(moved(-6, 0), Ok(()));
        assert_eq!(moved(-7, 0), out_of_range, "less is there than is reserved");
        assert_eq!(moved(0, -5), out_of_range, "below 0");
        assert_eq!(moved(-11, 0), out_of_range, "below 0");
        assert_eq!(moved(i64::MAX, i64::MIN), out_of_range);
    }

    #[test]
    fn a_movement_of_another_product_does_not_count() {
        let mut books = books();
        books.step.stocked_change += 2;
        shift(&mut books, 2, 0);
        books.movements[0].product_id = ProductId(2);
        assert_eq!(check_step(&books).map_err(|breach| breach.invariant), Err(Invariant::LedgerChained));
    }

    #[test]
    fn one_row_more_reserved_than_there_are_is_one_too_many() {
        let row = |stock_available, stock_reserved| Product { stock_available, stock_reserved, ..product(1) };
        assert_eq!(check_counters(&row(4, 4)), Ok(()));
        let breach = check_counters(&row(3, 4)).expect_err("I1");
        assert_eq!((breach.product_id, breach.invariant), (P, Invariant::CountersInRange));
    }
}
