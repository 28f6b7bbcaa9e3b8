//! One row a success of an operator's command: the exact outcome and every row that it writes.

use sale::{Changes, Command, MAX_STOCK, MovementKind, Outcome, Product, ProductStatus};

use crate::expected::{check, expired, moved, of_hold};
use crate::world::{P, World, movement, overdue, product, restock, suspended};
#[test]
fn restock_product() {
    let most = i64::try_from(MAX_STOCK).expect("fits");
    let restocked = |change, after| movement(MovementKind::Restocked, 1, (change, 0), after);
    let row = |name, world, change: i64, after: (u64, u64)| {
        let changes = Changes {
            movements: vec![restocked(change, after)],
            products: vec![moved(after.0, after.1, 1)],
            ..Changes::default()
        };
        (name, world, restock(change), Outcome::ProductChanged(moved(after.0, after.1, 1)), changes)
    };
    let through_expiry = moved(6, 6, 2);
    check(vec![
        row("some", World::of(product(10, 7)), 5, (15, 7)),
        row("up to the most there may be", World::of(product(10, 7)), most - 10, (MAX_STOCK, 7)),
        // Cancelled orders can bring more back than one may stock.
        row("nothing, over the most there may be", World::of(product(MAX_STOCK + 5, 7)), 0, (MAX_STOCK + 5, 7)),
        row("less, over the most there may be", World::of(product(MAX_STOCK + 5, 7)), -1, (MAX_STOCK + 4, 7)),
        row("all that is free is taken away", World::of(product(10, 7)), -3, (7, 7)),
        (
            "what due holds kept can be taken away",
            World::of(product(10, 8)).hold(overdue(1, 2)).due_holds(&[1], false, None),
            restock(-4),
            Outcome::ProductChanged(through_expiry.clone()),
            Changes {
                changed_holds: vec![expired(overdue(1, 2))],
                movements: vec![
                    of_hold(movement(MovementKind::HoldExpired, 1, (0, -2), (10, 6)), 1),
                    movement(MovementKind::Restocked, 2, (-4, 0), (6, 6)),
                ],
                products: vec![through_expiry],
                ..Changes::default()
            },
        ),
        (
            "too few due holds are at hand",
            World::of(product(10, 10)).hold(overdue(1, 2)).due_holds(&[1], true, None),
            restock(-4),
            Outcome::Deferred,
            Changes {
                changed_holds: vec![expired(overdue(1, 2))],
                movements: vec![of_hold(movement(MovementKind::HoldExpired, 1, (0, -2), (10, 8)), 1)],
                products: vec![moved(10, 8, 1)],
                ..Changes::default()
            },
        ),
    ]);
}

#[test]
fn suspend_and_resume() {
    let suspend = |reason: &str| Command::Suspend { product_id: P, reason: reason.to_owned() };
    let resume = || Command::Resume { product_id: P };
    let with =
        |reason: &str, product| Product { status: ProductStatus::Suspended { reason: reason.to_owned() }, ..product };
    let written = |product: Product| Changes { products: vec![product], ..Changes::default() };
    let row = |name, before, command, after: Product, changes| {
        (name, World::of(before), command, Outcome::ProductChanged(after), changes)
    };
    let checking = with("checking", moved(10, 3, 0));
    check(vec![
        row("suspend", product(10, 3), suspend("checking"), checking.clone(), written(checking)),
        row(
            "suspend again",
            suspended(product(10, 3)),
            suspend("other"),
            suspended(product(10, 3)),
            Changes::default(),
        ),
        row("resume", suspended(product(10, 3)), resume(), moved(10, 3, 0), written(moved(10, 3, 0))),
        row("resume again", product(10, 3), resume(), product(10, 3), Changes::default()),
        row(
            "an inconsistent product can be suspended: that is what it is for",
            product(3, 4),
            suspend("inconsistent"),
            with("inconsistent", moved(3, 4, 0)),
            written(with("inconsistent", moved(3, 4, 0))),
        ),
        row(
            "and resumed, by force",
            with("inconsistent", product(3, 4)),
            resume(),
            moved(3, 4, 0),
            written(moved(3, 4, 0)),
        ),
    ]);
}
