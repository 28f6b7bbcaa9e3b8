//! The loads: each round measures each row at each number of connections, on fresh databases.
//!
//! All that is compared is measured in turn, in one round: what changes on the machine from minute to minute changes
//! for all. Every other round goes backwards, so that no row always comes after the same one; only what is compared for
//! how long a hold takes alone comes first in each. What does not belong here: what the figures mean.

use super::parts::{self, Ceiling};
use super::plain_sql::Placed;
use super::results::{Results, Sample};
use super::row::Row;
use super::settings::Settings;
use super::stage::{Databases, PLENTY, Servers, Station};
use super::usage::Usage;
use super::wrk::{Load, Ran, Wrk};
use super::{BenchError, Say, WARM_UP, as_float};
use crate::scenario::Stop;

/// Products of the rows that have many.
const MANY: u64 = 1_000;
/// The connections of [`Row::PlainSql`].
pub(super) const PLAIN_CONNECTIONS: u32 = 16;
/// The connections of the load before the first that counts.
const WARM_UP_CONNECTIONS: u32 = 64;

/// What every measurement needs.
pub(super) struct Hands<'a> {
    pub(super) settings: &'a Settings,
    pub(super) databases: &'a Databases,
    pub(super) servers: &'a Servers,
    pub(super) ceiling: &'a Ceiling,
    pub(super) wrk: &'a Wrk,
    pub(super) stop: &'a Stop,
    pub(super) say: &'a Say<'a>,
}

impl Hands<'_> {
    /// Whether a row is to be measured.
    pub(super) fn wants(&self, row: Row) -> bool {
        self.settings.rows.contains(&row)
    }

    /// # Errors
    /// [`BenchError::Stopped`] if it is to end.
    pub(super) fn go_on(&self) -> Result<(), BenchError> {
        if self.stop.is_set() { Err(BenchError::Stopped) } else { Ok(()) }
    }
}

/// The servers of one round, with their products.
struct Stations {
    main: Station,
    hot: u64,
    sold_out: u64,
    many: u64,
    batch_max_1: Option<(Station, u64)>,
}

impl Stations {
    async fn start(hands: &Hands<'_>) -> Result<Self, BenchError> {
        let main = hands.servers.start(hands.databases.fresh().await?, &[]).await?;
        let hot = main.add_product("hot", PLENTY).await?;
        let sold_out = main.add_product("sold out", 0).await?;
        let wants_many = hands.wants(Row::Even) || hands.wants(Row::Zipf);
        let many = if wants_many { main.add_products(MANY, PLENTY).await? } else { 0 };
        let batch_max_1 = if hands.wants(Row::BatchMax1) {
            let station = hands.servers.start(hands.databases.fresh().await?, &[("BATCH_MAX", "1")]).await?;
            let product = station.add_product("hot", PLENTY).await?;
            Some((station, product))
        } else {
            None
        };
        Ok(Self { main, hot, sold_out, many, batch_max_1 })
    }
}

/// Measures all loads once.
///
/// # Errors
/// If something cannot be measured.
pub(super) async fn measure(hands: &Hands<'_>, round: u32, results: &mut Results) -> Result<(), BenchError> {
    let stations = Stations::start(hands).await?;
    let rows = hands.settings.rows.iter().copied().filter(|row| row.is_load());
    let connections = hands.settings.connections.iter().copied();
    let mut plan: Vec<(Row, u32)> = connections.flat_map(|number| rows.clone().map(move |row| (row, number))).collect();
    if round.is_multiple_of(2) {
        plan.reverse();
    }
    // How long a hold takes alone is compared with `BATCH_MAX=1` while neither server has more than a few: in a table that
    // other loads have filled it takes longer.
    let (alone, others): (Vec<_>, Vec<_>) =
        plan.into_iter().partition(|(row, connections)| is_alone(*row, *connections));
    if !alone.is_empty() {
        warm_up(hands, &stations, 1).await?;
        measure_plan(hands, &stations, alone, round, results).await?;
    }
    warm_up(hands, &stations, WARM_UP_CONNECTIONS).await?;
    measure_plan(hands, &stations, others, round, results).await?;
    if hands.wants(Row::PlainSql) {
        hands.go_on()?;
        let sample = measure_plain_sql(hands, round).await?;
        tell(hands, round, Row::PlainSql, PLAIN_CONNECTIONS, &sample);
        results.add(Row::PlainSql, PLAIN_CONNECTIONS, sample);
    }
    if hands.wants(Row::Paced)
        && let Some(best) = results.best_rate(Row::Hot, round)
    {
        hands.go_on()?;
        let sample = super::latency::measure(hands, &stations.main, stations.hot, round, best).await?;
        results.paced.push(sample);
    }
    let Stations { main, batch_max_1, .. } = stations;
    for station in std::iter::once(main).chain(batch_max_1.map(|(station, _)| station)) {
        audit(hands, &station, results).await?;
        station.end().await?;
    }
    Ok(())
}

/// Whether holds of this row come one at a time, and are compared for how long each takes.
fn is_alone(row: Row, connections: u32) -> bool {
    connections == 1 && matches!(row, Row::Hot | Row::BatchMax1)
}

/// Holds at both servers, for a moment.
async fn warm_up(hands: &Hands<'_>, stations: &Stations, connections: u32) -> Result<(), BenchError> {
    let main = Some((&stations.main, stations.hot));
    let batch_max_1 = stations.batch_max_1.as_ref().map(|(station, product)| (station, *product));
    for (station, product) in main.into_iter().chain(batch_max_1) {
        hands.wrk.run(&station.url(), &Load::Holds { product }, connections, WARM_UP).await?;
    }
    Ok(())
}

async fn measure_plan(
    hands: &Hands<'_>,
    stations: &Stations,
    plan: Vec<(Row, u32)>,
    round: u32,
    results: &mut Results,
) -> Result<(), BenchError> {
    for (row, connections) in plan {
        hands.go_on()?;
        let sample = measure_load(hands, stations, row, connections, round).await?;
        tell(hands, round, row, connections, &sample);
        results.add(row, connections, sample);
    }
    Ok(())
}

/// Asks for an audit of what was sold, and takes down what it says.
///
/// # Errors
/// If it could not check.
pub(super) async fn audit(hands: &Hands<'_>, station: &Station, results: &mut Results) -> Result<(), BenchError> {
    hands.go_on()?;
    let answer = station.audit().await?;
    results.audited.databases += 1;
    if !answer.clean && answer.breaches.is_empty() {
        results.audited.breaches.push("the audit was not clean".to_owned());
    }
    results.audited.breaches.extend(answer.breaches);
    Ok(())
}

pub(super) fn tell(hands: &Hands<'_>, round: u32, row: Row, connections: u32, sample: &Sample) {
    let failed = if sample.failed > 0 { format!(", {} failed", sample.failed) } else { String::new() };
    (hands.say)(&format!(
        "{} round {round} of {}: {} at {connections}: {:.0}/s{failed}",
        hands.databases.kind.name(),
        hands.settings.rounds,
        row.name(),
        sample.per_second,
    ));
}

async fn measure_load(
    hands: &Hands<'_>,
    stations: &Stations,
    row: Row,
    connections: u32,
    round: u32,
) -> Result<Sample, BenchError> {
    let main = (stations.main.url(), stations.main.process_id());
    let many = |exponent| Load::Products { first: stations.many, count: MANY, exponent, seed: round };
    let (target, load) = match row {
        Row::Ceiling => {
            ((hands.ceiling.url().to_owned(), hands.ceiling.process_id()), Load::Holds { product: stations.hot })
        }
        Row::BatchMax1 => {
            // It is there, since its row is wanted.
            let (station, product) =
                stations.batch_max_1.as_ref().map_or((&stations.main, stations.hot), |(station, hot)| (station, *hot));
            ((station.url(), station.process_id()), Load::Holds { product })
        }
        Row::Even => (main, many(0)),
        Row::Zipf => (main, many(1)),
        Row::Funnel => (main, Load::Funnel { product: stations.hot, name: format!("{round}-{connections}") }),
        Row::Product => (main, Load::Product { product: stations.hot }),
        Row::SoldOut => (main, Load::Holds { product: stations.sold_out }),
        Row::Mixed => (main, Load::Mixed { product: stations.hot }),
        Row::Hot | Row::PlainSql | Row::Paced | Row::Memory | Row::EmptyTable | Row::TenMillion => {
            (main, Load::Holds { product: stations.hot })
        }
    };
    run(hands, &target.0, target.1, &load, connections, row, round).await
}

/// Runs one load against the server of this URL and process.
///
/// # Errors
/// If wrk fails.
pub(super) async fn run(
    hands: &Hands<'_>,
    url: &str,
    process: i32,
    load: &Load,
    connections: u32,
    row: Row,
    round: u32,
) -> Result<Sample, BenchError> {
    let before = (Usage::of(process), hands.databases.usage());
    let ran = hands.wrk.run(url, load, connections, hands.settings.cell).await?;
    let used = |after: Option<Usage>, before: Option<Usage>| Some(after? - before?);
    let server = used(Usage::of(process), before.0);
    let database = used(hands.databases.usage(), before.1);
    Ok(sample(round, ran, row == Row::SoldOut, server, database))
}

fn sample(round: u32, ran: Ran, refusals_are_right: bool, server: Option<Usage>, database: Option<Usage>) -> Sample {
    let wrong = if refusals_are_right { ran.requests.saturating_sub(ran.refused) } else { ran.refused };
    let requests = ran.requests.saturating_sub(wrong);
    Sample {
        round,
        per_second: as_float(requests) * 1e6 / as_float(ran.microseconds.max(1)),
        requests,
        failed: wrong + ran.failed.all(),
        p50_microseconds: Some(ran.p50),
        p99_microseconds: Some(ran.p99),
        server,
        database,
    }
}

async fn measure_plain_sql(hands: &Hands<'_>, round: u32) -> Result<Sample, BenchError> {
    // The service's tables, and a product in them; then the service is gone.
    let station = hands.servers.start(hands.databases.fresh().await?, &[]).await?;
    let product = station.add_product("hot", PLENTY).await?;
    let database = station.leave().await?;
    let before = hands.databases.usage();
    let arguments = [
        ("url", database.url.clone()),
        ("product", product.to_string()),
        ("connections", PLAIN_CONNECTIONS.to_string()),
        ("seconds", hands.settings.cell.as_secs().to_string()),
    ];
    let placed: Placed = parts::run("plain-sql", arguments, hands.settings.cell).await?;
    let used = hands.databases.usage().zip(before).map(|(after, before)| after - before);
    database.remove().await?;
    Ok(Sample {
        round,
        per_second: as_float(placed.holds) * 1e6 / as_float(placed.microseconds.max(1)),
        requests: placed.holds,
        failed: 0,
        p50_microseconds: None,
        p99_microseconds: None,
        server: None,
        database: used,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(requests: u64, refused: u64) -> Ran {
        let text = format!(
            "{{\"requests\":{requests},\"microseconds\":2000000,\"p50\":5,\"p99\":7,\
             \"failed\":{{\"connect\":0,\"read\":0,\"write\":0,\"timeout\":3}},\"refused\":{refused}}}"
        );
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn only_answers_that_are_right_count() {
        let counted = |ran: Ran, refusals_are_right: bool| {
            let sample = sample(1, ran, refusals_are_right, None, None);
            (sample.requests, sample.failed)
        };
        assert_eq!(counted(ran(1_000, 0), false), (1_000, 3));
        assert_eq!(counted(ran(1_000, 10), false), (990, 13));
        assert_eq!(counted(ran(1_000, 1_000), true), (1_000, 3));
        assert_eq!(counted(ran(1_000, 990), true), (990, 13));
        assert!((sample(1, ran(1_000, 0), false, None, None).per_second - 500.0).abs() < 1e-9);
    }
}
