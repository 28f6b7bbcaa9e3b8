//! The batches that are measured, the same for the rules and for the databases.
//!
//! What does not belong here: what is measured of them.

use sale::{Command, HoldId, ProductId, Quantity, Terms};

/// Commands in one batch.
pub(crate) const SIZES: [u32; 3] = [1, 64, 1_024];

/// What the rules depend on, as shipped.
pub(crate) const TERMS: Terms = Terms { hold_ttl_seconds: 120, payment_window_seconds: 900, max_qty_per_hold: 1_000 };

/// New holds of one unit each, with ids from `first` on; `products` take turns.
pub(crate) fn holds(size: u32, first: u64, products: &[ProductId]) -> Vec<(ProductId, Command)> {
    let hold = |(i, product_id): (u64, &ProductId)| {
        let quantity = Quantity::new(1).expect("one is a quantity");
        (*product_id, Command::PlaceHold { hold_id: HoldId(first + i), product_id: *product_id, quantity, key: None })
    };
    (0..u64::from(size)).zip(products.iter().cycle()).map(hold).collect()
}
