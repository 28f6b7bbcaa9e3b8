//! A product's lock, taken by hand.
//!
//! What does not belong here: tests.

use holdfast_test_support::{Kind, OrFail, Sale, Session};

/// A lock that lasts until it is released or dropped. On SQLite it locks all products.
pub(crate) struct Lock(Session);

impl Lock {
    /// Takes the lock of a product; waits for whoever has it.
    pub(crate) async fn take(sale: &Sale, product_id: u64) -> Self {
        let mut session = sale.database.session().await.or_fail();
        match sale.database.kind() {
            Kind::Sqlite => session.execute("BEGIN IMMEDIATE").await.or_fail(),
            Kind::MariaDb => {
                session.execute("START TRANSACTION").await.or_fail();
                let lock = format!("SELECT id FROM products WHERE id = {product_id} FOR UPDATE");
                assert_eq!(session.rows(&lock).await.or_fail().len(), 1);
            }
        }
        Self(session)
    }

    /// Releases it without a change.
    pub(crate) async fn release(mut self) {
        self.0.execute("ROLLBACK").await.or_fail();
    }
}
