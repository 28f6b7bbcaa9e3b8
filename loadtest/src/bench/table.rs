//! The bench for people: ratios against their goals first, then rates, then what they cost, then the verdict.
//!
//! What does not belong here: any figure that is not in [`Bench`].

use super::figures::{Figure, ratios};
use super::goals::{Better, Judged, Standing};
use super::results::Results;
use super::row::Row;
use super::{Bench, as_float};
use crate::check;
use crate::report;

/// The table, with its verdict, on several lines, the last one ended.
pub fn table(bench: &Bench) -> String {
    let mut lines = vec![String::new()];
    lines.extend(measured_on(bench));
    if bench.is_debug_build {
        lines.push("A DEBUG BUILD: these figures mean nothing. Build with --release.".to_owned());
    }
    if !bench.goals.is_empty() {
        lines.push(String::new());
        lines.push(
            "Ratios: the median of the rounds, its least and most; what it must be, and what is aimed for".to_owned(),
        );
        lines.extend(report::table(bench.goals.iter().map(goal)));
    }
    for results in &bench.results {
        lines.push(String::new());
        lines.extend(rates(results));
        lines.extend(others(results));
    }
    lines.push(String::new());
    lines.extend(bench.proofs.iter().flat_map(proof));
    lines.push(String::new());
    lines.join("\n")
}

fn measured_on(bench: &Bench) -> Vec<String> {
    let machine = &bench.machine;
    let parts = [
        Some(format!("{} processors", machine.processors)),
        machine.processor.clone(),
        machine.memory_bytes.map(|bytes| format!("{:.0} GB", as_float(bytes) / 1e9)),
        machine.file_system.as_ref().map(|kind| format!("databases on {kind}")),
        machine.wrk.clone(),
    ];
    let mut lines = vec![
        format!(
            "{} rounds of {} s; {}",
            bench.rounds,
            bench.cell_seconds,
            parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
        ),
        format!("the server as shipped, but for {}", bench.server_settings.join(", ")),
    ];
    if bench.results.iter().any(|results| results.database == super::Database::MariaDb) {
        lines.push(format!("MariaDB with --innodb-flush-log-at-trx-commit=1 {}", bench.mariadb_settings.join(" ")));
    }
    if matches!(machine.file_system.as_deref(), Some("tmpfs" | "ramfs")) {
        lines.push("THE DATABASES ARE IN MEMORY: a commit costs no disk. Set TMPDIR to a folder on one.".to_owned());
    }
    lines
}

fn goal(judged: &Judged) -> Vec<String> {
    let (least, most) = (judged.figure.least, judged.figure.most);
    let word = match judged.standing {
        Standing::Unjudged => "too small to judge",
        Standing::Missed => "missed",
        Standing::Reached => "reached",
        Standing::Aimed => "reached the aim",
    };
    let bound = if judged.better == Better::More { "at least" } else { "at most" };
    vec![
        judged.database.name().to_owned(),
        judged.what.clone(),
        ratio(judged.figure.median),
        format!("({} to {})", ratio(least), ratio(most)),
        format!("{bound} {}", judged.at_least),
        format!("aim {}", judged.aim),
        word.to_owned(),
    ]
}

/// Three digits that mean something.
fn ratio(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 0.1 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

/// A line a row, a column a number of connections.
fn rates(results: &Results) -> Vec<String> {
    let is_shown = |cell: &&super::results::Cell| cell.row.is_load();
    let mut connections: Vec<u32> = results.cells.iter().filter(is_shown).map(|cell| cell.connections).collect();
    connections.sort_unstable();
    connections.dedup();
    if connections.is_empty() {
        return Vec::new();
    }
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(connections.iter().map(|number| format!("{number} conn.")));
    for row in Row::all().iter().filter(|row| row.is_load()) {
        let cells: Vec<String> = connections.iter().map(|number| rate(results, *row, *number)).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            rows.push(std::iter::once(row.title().to_owned()).chain(cells).collect());
        }
    }
    let title = format!(
        "{}, {}: requests a second, how far a round was off at most, and the ratio to the ceiling",
        results.database.name(),
        results.version
    );
    std::iter::once(title).chain(report::table(rows)).collect()
}

fn rate(results: &Results, row: Row, connections: u32) -> String {
    let rates = results.rates(row, connections);
    let Some(figure) = Figure::of(&rates.values().copied().collect::<Vec<_>>()) else { return String::new() };
    let to_ceiling =
        Figure::of(&ratios(&rates, &results.rates(Row::Ceiling, connections))).filter(|_| row != Row::Ceiling);
    let failed = results.cell(row, connections).is_some_and(|cell| cell.samples.iter().any(is_bad));
    format!(
        "{} ±{:.0}%{}{}",
        whole(figure.median),
        figure.deviation() * 100.0,
        to_ceiling.map(|figure| format!(" {}", ratio(figure.median))).unwrap_or_default(),
        // What failed is in the JSON, and was told.
        if failed { "!" } else { "" },
    )
}

/// Whether requests failed, or none was answered at all.
fn is_bad(sample: &super::results::Sample) -> bool {
    sample.failed > 0 || sample.requests == 0
}

/// What has no column of its own.
fn others(results: &Results) -> Vec<String> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for cell in results.cells.iter().filter(|cell| !cell.row.is_load()) {
        let text = format!("{} at {} connections", rate(results, cell.row, cell.connections), cell.connections);
        let title = match cell.row {
            Row::TenMillion => format!("holds after {} holds", report::thousands(results.filled_holds)),
            row => row.title().to_owned(),
        };
        rows.push(vec![title, text]);
    }
    let alone = |row| Figure::of(&results.median_latencies(row, 1).values().copied().collect::<Vec<_>>());
    for row in [Row::Hot, Row::BatchMax1] {
        if let Some(figure) = alone(row) {
            rows.push(vec![
                format!("median latency alone, {}", row.name()),
                format!("{} us ({} to {})", whole(figure.median), whole(figure.least), whole(figure.most)),
            ]);
        }
    }
    if let Some(figure) = paced(results, |sample| as_float(sample.p99_microseconds)) {
        let of = |value: fn(&super::results::PacedSample) -> f64| {
            paced(results, value).map(|figure| whole(figure.median)).unwrap_or_default()
        };
        rows.push(vec![
            Row::Paced.title().to_owned(),
            format!(
                "p99 {} us ({} to {}), p50 {} us, at {}/s of {}/s wanted; a transaction {} us at the median (mean {} us), its commit {} us",
                whole(figure.median),
                whole(figure.least),
                whole(figure.most),
                of(|sample| as_float(sample.p50_microseconds)),
                of(|sample| sample.per_second),
                of(|sample| sample.wanted_per_second),
                of(|sample| sample.transaction_microseconds),
                of(|sample| sample.mean_transaction_microseconds),
                of(|sample| sample.commit_phase_microseconds),
            ),
        ]);
    }
    if let Some(memory) = results.memory {
        let megabytes = |bytes: u64| format!("{:.1} MB", as_float(bytes) / 1e6);
        rows.push(vec![
            "resident memory".to_owned(),
            format!(
                "{} idle, {} with {} idle connections, at most {} under load at {} connections",
                megabytes(memory.idle_bytes),
                megabytes(memory.with_idle_connections_bytes),
                report::thousands(memory.idle_connections.into()),
                megabytes(memory.peak_bytes),
                memory.peak_connections,
            ),
        ]);
    }
    let hot = results.cells.iter().filter(|cell| cell.row == Row::Hot).map(|cell| cell.connections);
    for connections in hot {
        let costs = results.costs(Row::Hot, connections);
        let of = |name: &str| costs.get(name).map(|figure| figure.median);
        let seconds = |name, what| of(name).map(|value| format!("{value:.3} s of processor in the {what}"));
        let parts = [
            seconds("server_cpu_seconds_per_10000", "server"),
            seconds("database_cpu_seconds_per_10000", "database"),
            of("written_bytes_each").map(|value| format!("{} bytes written each", whole(value))),
        ];
        let text: Vec<String> = parts.into_iter().flatten().collect();
        rows.push(vec![format!("10,000 holds at {connections} connections"), text.join(", ")]);
    }
    report::table(rows)
}

fn paced(results: &Results, value: impl Fn(&super::results::PacedSample) -> f64) -> Option<Figure> {
    Figure::of(&results.paced.iter().map(value).collect::<Vec<_>>())
}

fn whole(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is positive, and a cast saturates")]
    let whole = value.round() as u64;
    report::thousands(whole)
}

fn proof(proof: &super::Proof) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: {} ({} checks held). {}",
        proof.database.name(),
        proof.sentence,
        proof.held,
        audited(&proof.audited),
    )];
    lines.extend(proof.troubles.iter().chain(&proof.audited.breaches).map(|line| format!("  {line}")));
    if proof.standing() == check::Standing::Broken {
        lines.push("  these figures are worth nothing: the sale was not kept".to_owned());
    }
    lines
}

fn audited(audited: &super::results::Audited) -> String {
    match (audited.databases, audited.breaches.len()) {
        (0, _) => "Nothing that was benched needed an audit".to_owned(),
        (databases, 0) => format!("Audited what was benched: {databases} databases, no breach"),
        (databases, breaches) => format!("Audited what was benched: {databases} databases, {breaches} breaches"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::MemoryReading;
    use crate::bench::results::tests::sample;
    use crate::bench::{Database, Machine, goals};

    fn bench() -> Bench {
        let mut results = Results::new(Database::MariaDb, "MariaDB 10.11".to_owned());
        for (round, ceiling, hot) in [(1, 60_000.0, 30_000.0), (2, 50_000.0, 30_000.0), (3, 60_000.0, 36_000.0)] {
            results.add(Row::Ceiling, 256, sample(round, ceiling, 50));
            results.add(Row::Hot, 256, sample(round, hot, 70));
            results.add(Row::PlainSql, 16, sample(round, 1_500.0, 70));
        }
        results.memory = Some(MemoryReading {
            idle_bytes: 20_000_000,
            idle_connections: 10_000,
            with_idle_connections_bytes: 300_000_000,
            peak_bytes: 90_000_000,
            peak_connections: 1_024,
        });
        Bench {
            version: "1",
            is_debug_build: false,
            machine: Machine {
                processors: 2,
                processor: None,
                memory_bytes: None,
                kernel: None,
                file_system: None,
                wrk: None,
            },
            server_settings: vec!["HOLD_TTL_SECONDS=86400".to_owned()],
            mariadb_settings: vec!["--innodb-buffer-pool-size=2G".to_owned()],
            rounds: 3,
            cell_seconds: 2,
            goals: goals::judge(&results),
            results: vec![results],
            proofs: Vec::new(),
        }
    }

    /// The line that begins with these words, its columns one space apart.
    fn line(table: &str, begins: &str) -> String {
        let one_space = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let found = table.lines().map(one_space).find(|line| line.starts_with(begins));
        found.unwrap_or_else(|| panic!("{begins}: {table}"))
    }

    #[test]
    fn ratios_come_first_with_their_goals() {
        let table = table(&bench());
        assert_eq!(
            line(&table, "mariadb one hot product / ceiling"),
            "mariadb one hot product / ceiling, 256 connections 0.60 (0.50 to 0.60) at least 0.5 aim 0.75 reached"
        );
        assert!(
            line(&table, "mariadb resident MB, 10,000 idle connections 300").ends_with("at most 250 aim 120 missed")
        );
        let place = |words: &str| table.find(words).unwrap_or_else(|| panic!("{words}: {table}"));
        assert!(place("one hot product / ceiling") < place("holds, one hot product"));
    }

    #[test]
    fn rates_have_their_spread_and_their_ratio_to_the_ceiling() {
        let table = table(&bench());
        assert_eq!(line(&table, "ceiling: hyper"), "ceiling: hyper, parse, constant 60,000 ±17%");
        assert_eq!(line(&table, "holds, one hot product"), "holds, one hot product 30,000 ±20% 0.60");
        assert_eq!(line(&table, "base: plain SQL"), "base: plain SQL 1,500 ±0% at 16 connections");
        assert_eq!(
            line(&table, "10,000 holds"),
            "10,000 holds at 256 connections 0.500 s of processor in the server, 0.250 s of processor in the database, \
             200 bytes written each"
        );
    }

    #[test]
    fn what_makes_figures_worthless_is_said() {
        let mut bench = bench();
        assert!(!table(&bench).contains("DEBUG"));
        bench.is_debug_build = true;
        bench.machine.file_system = Some("tmpfs".to_owned());
        bench.results[0].add(Row::Hot, 256, super::super::results::Sample { failed: 3, ..sample(4, 30_000.0, 70) });
        let table = table(&bench);
        assert!(table.contains("A DEBUG BUILD") && table.contains("IN MEMORY"), "{table}");
        assert!(line(&table, "holds, one hot product").ends_with('!'), "{table}");
    }

    #[test]
    fn a_ratio_has_three_digits_that_mean_something() {
        for (value, text) in [(0.01234, "0.012"), (0.5, "0.50"), (3.0, "3.00"), (21.46, "21.5"), (250.4, "250")] {
            assert_eq!(ratio(value), text);
        }
    }
}
