//! The [`Store`] over any backend: single reads here, transactions of their own in `admin`, checks in
//! `audit`, migrations in `migrate`.

use std::collections::HashMap;
use std::time::Duration;

use super::kept::Kept;
use super::readers::Readers;
use super::rows::Reader;
use super::session::{Backend, Cells, Purpose, Session, packet};
use super::writer::BatchWriter;
use super::{
    AuditReport, Description, NewProduct, Overdue, ProductReading, Quarantine, ReconcileMark, Refund, Sequence, Stock,
    Stocks, Store, StoreError, Writer, admin, audit, migrate, statements,
};
use async_trait::async_trait;
use sale::{Breach, Hold, HoldId, Key, Money, Order, OrderId, ProductId, Timestamp};

/// How long a kept connection may take to reserve ids, before a new one is tried: longer than a lock is
/// waited for, and short enough that the caller's patience lasts for both.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A store.
pub(super) struct SqlStore<B: Backend> {
    backend: B,
    readers: Readers<B>,
    /// Connections that ids were reserved on: they are needed again soon.
    ids: Kept<B::Session>,
}

impl<B: Backend> SqlStore<B> {
    /// With at most `readers` connections for reads.
    pub(super) fn new(backend: B, readers: usize) -> Self {
        Self { backend, readers: Readers::new(readers), ids: Kept::new() }
    }

    /// Runs one read and reads its rows, each of which begins with the id of a `what`. One that cannot be read
    /// is left out: many callers share a read, and those who asked for other rows must have their answers.
    async fn read<T>(
        &self,
        what: &'static str,
        sql: impl Fn(&str) -> String + Send + Sync,
        mut row: impl FnMut(&mut Reader<'_, <B::Session as Session>::Row>) -> Result<T, StoreError> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let results = self.readers.run(&self.backend, || sql(&B::Session::statement_clock())).await?;
        let rows = results.iter().flat_map(|result| &result.rows);
        Ok(rows.filter_map(|cells| readable(what, cells, row(&mut Reader::new(cells)))).collect())
    }

    async fn desk(&self) -> Result<B::Session, StoreError> {
        self.backend.connect(Purpose::Desk).await
    }
}

#[async_trait]
impl<B: Backend> Store for SqlStore<B> {
    async fn writer(&self) -> Result<Box<dyn Writer>, StoreError> {
        let session = self.backend.connect(Purpose::Batches).await?;
        Ok(Box::new(BatchWriter::new(session)))
    }

    fn max_writers(&self) -> usize {
        B::MAX_WRITERS
    }

    fn system(&self) -> &'static str {
        B::Session::DIALECT.system()
    }

    async fn reserve_ids(&self, sequence: Sequence, count: u64) -> Result<u64, StoreError> {
        if let Some(mut session) = self.ids.take() {
            let reserving = admin::reserve_ids(&mut session, sequence, count);
            if let Ok(Ok(first)) = tokio::time::timeout(RESERVE_TIMEOUT, reserving).await {
                self.ids.put_back(session);
                return Ok(first);
            }
        }
        let mut session = self.desk().await?;
        let first = admin::reserve_ids(&mut session, sequence, count).await?;
        self.ids.put_back(session);
        Ok(first)
    }

    async fn create_product(&self, product: &NewProduct) -> Result<ProductId, StoreError> {
        let mut session = self.desk().await?;
        let created = admin::create_product(&mut session, product).await;
        session.close().await;
        created
    }

    async fn stocks(&self, products: &[ProductId], keys: &[Key]) -> Result<Stocks, StoreError> {
        let mut stocks = Stocks::default();
        if products.is_empty() && keys.is_empty() {
            return Ok(stocks);
        }
        let sql = |clock: &str| statements::stocks(B::Session::DIALECT, clock, products, keys);
        self.read("product", sql, |row| {
            if let Some(id) = row.optional_count()? {
                stocks.stocks.insert(ProductId(id), stock(row)?);
            } else {
                row.skip(6);
                stocks.known_keys.insert(row.key()?);
            }
            Ok(())
        })
        .await?;
        Ok(stocks)
    }

    async fn descriptions(&self, products: &[ProductId]) -> Result<HashMap<ProductId, Description>, StoreError> {
        let rows = self.read("product", |_| statements::descriptions(products), described).await?;
        Ok(rows.into_iter().collect())
    }

    async fn list_products(
        &self,
        after: ProductId,
        limit: u32,
        include_suspended: bool,
    ) -> Result<Vec<ProductReading>, StoreError> {
        let dialect = B::Session::DIALECT;
        let (mut page, mut after) = (Vec::new(), after);
        loop {
            let missing = limit.saturating_sub(u32::try_from(page.len()).unwrap_or(u32::MAX));
            let (mut seen, mut last) = (0, after);
            let sql = |clock: &str| statements::list_products(dialect, clock, after, missing, include_suspended);
            let readable = self.read("product", sql, |row| {
                last = ProductId(row.count()?);
                seen += 1;
                let stock = stock(row)?;
                let (id, description) = described(row)?;
                Ok(ProductReading { id, description, stock })
            });
            page.extend(readable.await?);
            // A page that is short looks like the last one, so that others take the place of those left out.
            if page.len() >= limit as usize || seen < missing {
                return Ok(page);
            }
            after = last;
        }
    }

    async fn holds(&self, ids: &[HoldId]) -> Result<HashMap<HoldId, (Hold, Timestamp)>, StoreError> {
        let sql = |clock: &str| statements::holds_with_clock(B::Session::DIALECT, clock, ids);
        let rows = self
            .read("hold", sql, |row| {
                let (hold, _) = row.hold_and_order()?;
                // Where there is no order its columns are not read one by one.
                row.go_to(statements::HOLD_AND_ORDER_COLUMNS);
                Ok((hold.id, (hold, row.timestamp()?)))
            })
            .await?;
        Ok(rows.into_iter().collect())
    }

    async fn orders(&self, ids: &[OrderId]) -> Result<HashMap<OrderId, Order>, StoreError> {
        let rows = self
            .read(
                "hold of an order",
                |_| statements::orders(B::Session::DIALECT, ids.iter().copied()),
                |row| Ok(row.hold_and_order()?.1),
            )
            .await?;
        Ok(rows.into_iter().flatten().map(|order| (order.id, order)).collect())
    }

    async fn overdue(&self) -> Result<Overdue, StoreError> {
        let dialect = B::Session::DIALECT;
        let sql = || {
            let clock = B::Session::statement_clock();
            packet([
                statements::products_with_due_holds(dialect, &clock),
                statements::products_with_due_orders(dialect, &clock),
            ])
        };
        let results = self.readers.run(&self.backend, sql).await?;
        let product = |cells| readable("product", cells, product_id(cells));
        let mut lists = results.iter().map(|result| result.rows.iter().filter_map(product).collect());
        Ok(Overdue { holds: lists.next().unwrap_or_default(), orders: lists.next().unwrap_or_default() })
    }

    async fn prune_batches(&self, age: Duration) -> Result<u64, StoreError> {
        let mut session = self.desk().await?;
        let pruned = admin::prune_batches(&mut session, age).await;
        session.close().await;
        pruned
    }

    async fn refunds(&self) -> Result<Vec<Refund>, StoreError> {
        self.read("refund", |_| statements::refunds(None), refund).await
    }

    async fn refund_done(&self, key: &Key) -> Result<bool, StoreError> {
        let mut session = self.desk().await?;
        let done = admin::refund_done(&mut session, key).await;
        session.close().await;
        done
    }

    async fn durability(&self) -> Result<Vec<String>, StoreError> {
        let mut session = self.desk().await?;
        let found = self.backend.durability(&mut session).await;
        session.close().await;
        found
    }

    async fn audit(&self, product: Option<ProductId>) -> Result<AuditReport, StoreError> {
        let mut session = self.desk().await?;
        let report = audit::audit(&mut session, product).await;
        session.close().await;
        report
    }

    async fn suspects(&self, since: &mut ReconcileMark) -> Result<Vec<Breach>, StoreError> {
        let mut session = self.desk().await?;
        let breaches = audit::suspects(&mut session, since).await;
        session.close().await;
        breaches
    }

    async fn quarantine(&self, product: ProductId, reason: &str) -> Result<Quarantine, StoreError> {
        let mut session = self.desk().await?;
        let quarantine = audit::quarantine(&mut session, product, reason).await;
        session.close().await;
        quarantine
    }

    async fn accept_breaches(&self, product: ProductId, force: bool) -> Result<Vec<Breach>, StoreError> {
        let mut session = self.desk().await?;
        let accepted = audit::accept_breaches(&mut session, product, force).await;
        session.close().await;
        accepted
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        migrate::migrate(&self.backend).await
    }

    async fn check_schema(&self) -> Result<(), StoreError> {
        let mut session = self.desk().await?;
        let checked = migrate::check(&mut session).await;
        session.close().await;
        checked
    }

    async fn close(&self) {
        self.readers.close().await;
        self.ids.close().await;
    }
}

/// What was read, unless the row holds what cannot be, which is a matter for people: a hand was in the database.
fn readable<R: Cells, T>(what: &'static str, cells: &R, read: Result<T, StoreError>) -> Option<T> {
    read.inspect_err(|error| {
        let id = cells.integer(0).ok().flatten();
        tracing::error!(what, id, error = %error.source, "a row cannot be read and is left out");
    })
    .ok()
}

/// The columns of a stock that follow its product's id.
fn stock<R: Cells>(row: &mut Reader<'_, R>) -> Result<Stock, StoreError> {
    Ok(Stock {
        status: row.product_status()?,
        stock_available: row.count()?,
        stock_reserved: row.count()?,
        updated_at: row.timestamp()?,
        due_units: row.count()?,
    })
}

fn described<R: Cells>(row: &mut Reader<'_, R>) -> Result<(ProductId, Description), StoreError> {
    let id = ProductId(row.count()?);
    let description = Description {
        name: row.text()?.to_owned(),
        description: row.text()?.to_owned(),
        price: Money(row.count()?),
        created_at: row.timestamp()?,
    };
    Ok((id, description))
}

/// The columns of [`statements::refunds`].
pub(super) fn refund<R: Cells>(row: &mut Reader<'_, R>) -> Result<Refund, StoreError> {
    Ok(Refund {
        key: row.key()?,
        order_id: OrderId(row.count()?),
        amount: Money(row.count()?),
        received_at: row.timestamp()?,
    })
}

fn product_id<R: Cells>(cells: &R) -> Result<ProductId, StoreError> {
    Reader::new(cells).count().map(ProductId)
}
