//! Checks of the invariants: the full audit, the reconciler's quick check, and the quarantine.
//!
//! An audit reads one snapshot, so that what it compares was true at one moment. The quick check costs
//! no more than the products that changed; the quarantine repeats it under the product's lock, so that
//! nothing is suspended for a difference that was only seen half-way.

use sale::{Breach, Invariant, ProductId, Timestamp};

use super::admin::ended;
use super::rows::Reader;
use super::session::{Cells, ResultSet, Session};
use super::sql::refund;
use super::statements::checks::{self, Check, Figure};
use super::statements::{self, desk};
use super::{AuditReport, INCONSISTENT, Quarantine, ReconcileMark, StoreError};

/// How many products one quick check takes.
const PRODUCTS_PER_CHECK: usize = 200;

/// Checks everything, of one product or of all.
pub(super) async fn audit<S: Session>(session: &mut S, product: Option<ProductId>) -> Result<AuditReport, StoreError> {
    session.begin_snapshot().await?;
    let mut report = AuditReport::default();
    let counted = session.run(checks::counts(product)).await?;
    if let Some(row) = first_row(&counted) {
        let mut reader = Reader::new(row);
        report.products = reader.count()?;
        report.holds = reader.count()?;
        report.orders = reader.count()?;
        report.payment_events = reader.count()?;
        report.movements = reader.count()?;
    }
    for check in checks::all(product) {
        let results = session.run(check.sql.clone()).await?;
        for row in results.iter().flat_map(|result| &result.rows) {
            report.breaches.push(breach(&check, row)?);
        }
    }
    let results = session.run(statements::refunds(product)).await?;
    for row in results.iter().flat_map(|result| &result.rows) {
        report.refunds.push(refund(&mut Reader::new(row))?);
    }
    report.breaches.sort_by_key(|breach| (breach.product_id, breach.invariant));
    session.rollback().await?;
    Ok(report)
}

fn breach<R: Cells>(check: &Check, row: &R) -> Result<Breach, StoreError> {
    let mut reader = Reader::new(row);
    // A payment event of an order that is not there belongs to no product.
    let product_id = ProductId(reader.optional_count()?.unwrap_or(0));
    let mut detail = check.wrong.to_owned();
    for (i, figure) in check.figures.iter().enumerate() {
        detail.push_str(if i == 0 { ": " } else { ", " });
        let (name, value) = match figure {
            Figure::Number(name) => (name, reader.optional_integer()?.map(|value| value.to_string())),
            Figure::Word(name) => (name, reader.optional_text()?.map(str::to_owned)),
        };
        detail.push_str(name);
        detail.push(' ');
        detail.push_str(value.as_deref().unwrap_or("none"));
    }
    Ok(Breach { product_id, invariant: check.invariant, detail })
}

/// Does the quick check of the products that changed since `since`.
pub(super) async fn suspects<S: Session>(
    session: &mut S,
    since: &mut ReconcileMark,
) -> Result<Vec<Breach>, StoreError> {
    session.begin_snapshot().await?;
    let results = session.run(checks::MARKS.to_owned()).await?;
    let (mut seen, mut suspended, mut inconsistent) = (Vec::new(), 0, 0);
    for row in results.iter().flat_map(|result| &result.rows) {
        let mut reader = Reader::new(row);
        seen.push((ProductId(reader.count()?), (reader.count()?, reader.timestamp()?)));
        let is_suspended = reader.count()?;
        suspended += is_suspended;
        if reader.optional_text()? == Some(INCONSISTENT) {
            inconsistent += is_suspended;
        }
    }
    let mark = |id: &ProductId, at: &(u64, Timestamp)| since.seen.get(id) != Some(at);
    let changed: Vec<ProductId> = seen.iter().filter(|(id, at)| mark(id, at)).map(|(id, _)| *id).collect();
    let mut breaches = Vec::new();
    let mut look_again = Vec::new();
    for products in changed.chunks(PRODUCTS_PER_CHECK) {
        let results = session.run(checks::quick(products)).await?;
        for row in results.iter().flat_map(|result| &result.rows) {
            let quick = Quick::read(row)?;
            let broken = quick.unaccepted_breaches();
            // Until it is suspended it is a suspect again next time.
            if !broken.is_empty() && quick.on_sale {
                look_again.push(quick.id);
            }
            breaches.extend(broken);
        }
    }
    session.rollback().await?;
    since.seen = seen.into_iter().collect();
    (since.suspended, since.inconsistent) = (suspended, inconsistent);
    for id in look_again {
        since.seen.remove(&id);
    }
    Ok(breaches)
}

/// Checks a product under its lock, and suspends it if it breaks something.
pub(super) async fn quarantine<S: Session>(
    session: &mut S,
    product: ProductId,
    reason: &str,
) -> Result<Quarantine, StoreError> {
    let (quick, now) = lock_and_look(session, product).await?;
    let breaches = quick.as_ref().map(Quick::unaccepted_breaches).unwrap_or_default();
    let suspended = quick.is_some_and(|quick| quick.on_sale) && !breaches.is_empty();
    if suspended {
        session.commit_with(vec![desk::suspend(S::DIALECT, product, reason, now)]).await?;
    } else {
        session.rollback().await?;
    }
    Ok(Quarantine { breaches, suspended })
}

/// Accepts what a product breaks now, or forgets what was accepted.
pub(super) async fn accept_breaches<S: Session>(
    session: &mut S,
    product: ProductId,
    force: bool,
) -> Result<Vec<Breach>, StoreError> {
    let (quick, _) = lock_and_look(session, product).await?;
    let breaches = quick.filter(|_| force).as_ref().map(Quick::breaches).unwrap_or_default();
    let codes: Vec<&str> = breaches.iter().map(|breach| breach.invariant.code()).collect();
    let codes = Some(codes.join(",")).filter(|codes| !codes.is_empty());
    session.commit_with(vec![desk::accept_breaches(S::DIALECT, product, codes.as_deref())]).await?;
    Ok(breaches)
}

/// Locks a product and reads the figures of its quick check. The transaction stays open.
async fn lock_and_look<S: Session>(
    session: &mut S,
    product: ProductId,
) -> Result<(Option<Quick>, Timestamp), StoreError> {
    let lock = statements::lock_products(S::DIALECT, [product]);
    let begun = session.begin(lock, vec![checks::quick(&[product])]).await?;
    let quick = first_row(&begun.rest).map(Quick::read).transpose();
    Ok((ended(session, quick).await?, begun.now))
}

fn first_row<R>(results: &[ResultSet<R>]) -> Option<&R> {
    results.iter().find_map(|result| result.rows.first())
}

/// The invariants of stored codes, such as `I2,I6`.
fn accepted(codes: &str) -> Vec<Invariant> {
    let named = |invariant: &Invariant| codes.split(',').any(|code| code == invariant.code());
    Invariant::ALL.into_iter().filter(named).collect()
}

/// The figures of the quick check.
struct Quick {
    id: ProductId,
    on_sale: bool,
    /// What an operator accepted.
    accepted: Vec<Invariant>,
    stock_available: i64,
    stock_reserved: i64,
    held_units: i64,
    movement_seq: i64,
    last_seq: i64,
    last_balances: Option<(i64, i64)>,
}

impl Quick {
    fn read<R: Cells>(row: &R) -> Result<Self, StoreError> {
        let mut reader = Reader::new(row);
        Ok(Self {
            id: ProductId(reader.count()?),
            on_sale: reader.text()? == "on_sale",
            accepted: accepted(reader.optional_text()?.unwrap_or_default()),
            stock_available: reader.integer()?,
            stock_reserved: reader.integer()?,
            held_units: reader.integer()?,
            movement_seq: reader.integer()?,
            last_seq: reader.integer()?,
            last_balances: reader.optional_integer()?.zip(reader.optional_integer()?),
        })
    }

    /// Those for which the product is suspended.
    fn unaccepted_breaches(&self) -> Vec<Breach> {
        let mut breaches = self.breaches();
        breaches.retain(|breach| !self.accepted.contains(&breach.invariant));
        breaches
    }

    fn breaches(&self) -> Vec<Breach> {
        let Self { stock_available, stock_reserved, held_units, movement_seq, last_seq, .. } = self;
        let mut breaches = Vec::new();
        let mut broken = |invariant, detail| breaches.push(Breach { product_id: self.id, invariant, detail });
        if stock_reserved > stock_available || *stock_reserved < 0 {
            let detail = format!("stock_available {stock_available}, stock_reserved {stock_reserved}");
            broken(Invariant::CountersInRange, detail);
        }
        if stock_reserved != held_units {
            let detail = format!("stock_reserved {stock_reserved}, units of active holds {held_units}");
            broken(Invariant::ReservedIsHeld, detail);
        }
        if movement_seq != last_seq || self.last_balances != Some((*stock_available, *stock_reserved)) {
            let detail = format!(
                "movement_seq {movement_seq}, last movement {last_seq}, stock_available {stock_available}, \
                 stock_reserved {stock_reserved}, in the ledger {:?}",
                self.last_balances
            );
            broken(Invariant::LedgerChained, detail);
        }
        breaches
    }
}
