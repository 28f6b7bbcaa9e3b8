//! Holds of a product that has ten million of them already, against one that has none.
//!
//! The table is filled behind the server's back, with what a long sale leaves: holds that expired, and both movements
//! of each, so that every invariant holds and the audit passes. The two servers are measured in turn. What does not
//! belong here: how fast the filling is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::results::Results;
use super::rounds::{self, Hands};
use super::row::Row;
use super::settings::Database;
use super::stage::{Fresh, PLENTY, Station};
use super::wrk::Load;
use super::{BenchError, WARM_UP};
use crate::rig::database::Session;

/// At how many connections.
pub(super) const CONNECTIONS: u32 = 256;
/// Holds that one transaction writes.
const CHUNK: u64 = 250_000;
/// How long ago the first of them was placed: older than any deadline of the bench.
const AGE_SECONDS: i64 = 7 * 86_400;
/// How long they lived.
const TTL_SECONDS: i64 = 120;

/// Fills, and measures each round.
///
/// # Errors
/// If something cannot be measured.
pub(super) async fn measure(hands: &Hands<'_>, results: &mut Results) -> Result<(), BenchError> {
    hands.go_on()?;
    let (filled, filled_product) = filled(hands).await?;
    results.filled_holds = hands.settings.filled_holds;
    let empty = hands.servers.start(hands.databases.fresh().await?, &[]).await?;
    let empty_product = empty.add_product("hot", PLENTY).await?;
    let sides = [(Row::EmptyTable, &empty, empty_product), (Row::TenMillion, &filled, filled_product)];
    for (_, station, product) in &sides {
        hands.wrk.run(&station.url(), &Load::Holds { product: *product }, CONNECTIONS, WARM_UP).await?;
    }
    for round in 1..=hands.settings.rounds {
        let order: Vec<_> = if round.is_multiple_of(2) { sides.iter().rev().collect() } else { sides.iter().collect() };
        for (row, station, product) in order {
            hands.go_on()?;
            let load = Load::Holds { product: *product };
            let sample =
                rounds::run(hands, &station.url(), station.process_id(), &load, CONNECTIONS, *row, round).await?;
            rounds::tell(hands, round, *row, CONNECTIONS, &sample);
            results.add(*row, CONNECTIONS, sample);
        }
    }
    for station in [empty, filled] {
        rounds::audit(hands, &station, results).await?;
        station.end().await?;
    }
    Ok(())
}

/// A server on a full table, and the product that filled it.
async fn filled(hands: &Hands<'_>) -> Result<(Station, u64), BenchError> {
    let holds = hands.settings.filled_holds;
    let station = hands.servers.start(hands.databases.fresh().await?, &[]).await?;
    let product = station.add_product("hot", PLENTY).await?;
    // A server takes ids ahead, and knows what it wrote: none runs while others write.
    let database = station.leave().await?;
    let name = hands.databases.kind.name();
    (hands.say)(&format!("{name}: filling a table with {} holds", crate::report::thousands(holds)));
    let began = Instant::now();
    fill(hands, &database, product, holds).await?;
    (hands.say)(&format!("{name}: filled in {} s", began.elapsed().as_secs()));
    Ok((hands.servers.start(database, &[]).await?, product))
}

async fn fill(hands: &Hands<'_>, database: &Fresh, product: u64, holds: u64) -> Result<(), BenchError> {
    let mut session = Session::open(&database.url).await?;
    let first = next_id(&mut session).await?;
    let (row, now) = (Numbers { product, first, began: now() - AGE_SECONDS * 1_000_000 }, now());
    let mut from = 0;
    while from < holds {
        hands.go_on()?;
        let count = CHUNK.min(holds - from);
        session.execute(&chunk(hands.databases.kind, &row, from, count)).await?;
        from += count;
    }
    // What the ledger ends with is what the product's row says; and no id is given twice.
    session
        .execute(&format!(
            "UPDATE products SET movement_seq = {last}, updated_at = {now} WHERE id = {product}; \
             UPDATE id_blocks SET next_id = {next} WHERE name = 'holds'",
            last = 1 + 2 * holds,
            next = first + holds,
        ))
        .await?;
    Ok(())
}

/// What the rows are numbered from.
struct Numbers {
    product: u64,
    first: u64,
    /// In microseconds.
    began: i64,
}

/// One transaction: the holds from `from` on, and their movements, both in the order of their keys.
fn chunk(kind: Database, numbers: &Numbers, from: u64, count: u64) -> String {
    let Numbers { product, first, began } = numbers;
    let begin = match kind {
        Database::MariaDb => "START TRANSACTION",
        Database::Sqlite => "BEGIN IMMEDIATE",
    };
    // A thousand a second, so that no two fall on one moment; a deadline is a whole second.
    let created = format!("({began} + n * 1000)");
    let expires = format!("({created} + {ttl} - ({created} % 1000000))", ttl = TTL_SECONDS * 1_000_000);
    // One hold after the other: placed, and gone before the next.
    let hold = "((n - n % 2) / 2)";
    format!(
        "{begin}; \
         INSERT INTO holds (id, product_id, quantity, status, release_reason, created_at, expires_at, released_at) \
         SELECT {first} + n, {product}, 1, 'released', 'expired', {created}, {expires}, {expires} FROM {holds}; \
         INSERT INTO movements (product_id, seq, kind, available_change, reserved_change, stock_available, \
         stock_reserved, hold_id, order_id, at) \
         SELECT {product}, 2 + n, CASE n % 2 WHEN 0 THEN 'hold_placed' ELSE 'hold_expired' END, 0, \
         CASE n % 2 WHEN 0 THEN 1 ELSE -1 END, {PLENTY}, CASE n % 2 WHEN 0 THEN 1 ELSE 0 END, {first} + {hold}, NULL, \
         {began} + {hold} * 1000 FROM {movements}; \
         COMMIT",
        holds = integers(kind, from, from + count - 1),
        movements = integers(kind, 2 * from, 2 * (from + count) - 1),
    )
}

/// A table of the integers `n` from `from` to `to`.
fn integers(kind: Database, from: u64, to: u64) -> String {
    match kind {
        // MariaDB makes one from the name.
        Database::MariaDb => format!("(SELECT seq AS n FROM seq_{from}_to_{to}) numbers"),
        Database::Sqlite => format!(
            "(WITH RECURSIVE numbers (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n < {to}) \
             SELECT n FROM numbers)"
        ),
    }
}

/// The next id that no server has taken.
async fn next_id(session: &mut Session) -> Result<u64, BenchError> {
    let rows = session.rows("SELECT next_id FROM id_blocks WHERE name = 'holds'").await?;
    let text = rows.into_iter().flatten().next().flatten().unwrap_or_default();
    text.parse().map_err(|_| BenchError::Unreadable { what: "the next id of holds from the database" })
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
