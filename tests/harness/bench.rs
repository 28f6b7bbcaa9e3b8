//! The bench, small: that it measures what it says, on both databases, and proves it.
//!
//! What does not belong here: any figure. This is a debug build on a busy machine, and says so.

use std::path::Path;
use std::time::Duration;

use holdfast_test_support::rig::process::{self, Finished, Plan};
use holdfast_test_support::{Kind, OrFail, Setup, for_both};
use serde_json::Value;

use crate::harness::{SERVER, binary};

/// How long a bench may take before it counts as hanging.
pub(crate) const LIMIT: Duration = Duration::from_mins(4);

for_both!(a_quick_bench_measures_every_kind_of_row_and_proves_it);

async fn a_quick_bench_measures_every_kind_of_row_and_proves_it(setup: Setup) {
    let folder = tempfile::tempdir().or_fail();
    let json = folder.path().join("bench.json");
    let is_sqlite = setup.kind == Kind::Sqlite;
    let database = if is_sqlite { "sqlite" } else { "mariadb" };
    // What differs from one database to the other is measured on both.
    let rows = if is_sqlite {
        "hot,plain-sql,even,zipf,funnel,product,sold-out,mixed,paced,memory,ten-million"
    } else {
        "hot,plain-sql,ten-million"
    };
    let arguments = ["--quick", "--only", rows, "--database", database, "--seed", "7"];
    let finished = bench(&arguments, &json).await;
    assert_eq!(finished.code(), Some(0), "{}{}", finished.out, finished.err);
    assert!(finished.err.contains("debug build"), "{}", finished.err);
    for told in ["A DEBUG BUILD", "one hot product / ceiling", "base: plain SQL", "Held", "no breach"] {
        assert!(finished.out.contains(told), "{told}: {}", finished.out);
    }
    let found: Value = serde_json::from_slice(&std::fs::read(&json).or_fail()).or_fail();
    let results = &found["results"][0];
    assert_eq!(results["database"], database);
    let mut measured: Vec<&str> = Vec::new();
    for cell in results["cells"].as_array().expect("cells") {
        for sample in cell["samples"].as_array().expect("samples") {
            assert!(sample["per_second"].as_f64().expect("a rate") > 0.0, "{cell}");
            assert_eq!(sample["failed"], 0, "{cell}");
        }
        measured.push(cell["row"].as_str().expect("a row"));
    }
    let of_cells = rows.split(',').filter(|row| !["paced", "memory"].contains(row));
    for row in of_cells.chain(["ceiling", "batch-max1", "empty-table"]) {
        assert!(measured.contains(&row), "{row}: {measured:?}");
    }
    if is_sqlite {
        assert_eq!(results["paced"][0]["failed"], 0, "{results}");
        assert!(results["paced"][0]["transaction_microseconds"].as_f64().expect("a time") > 0.0, "{results}");
        let memory = |name: &str| results["memory"][name].as_u64().expect("bytes");
        // Of the first two either may be more: an allocator gives back what it does not need.
        let most = memory("idle_bytes").max(memory("with_idle_connections_bytes"));
        assert!(memory("idle_bytes") > 0 && memory("peak_bytes") >= most, "{results}");
    }
    // Those of the round, that of memory, the empty one and the full one.
    assert!(results["audited"]["databases"].as_u64().expect("a number") >= 4, "{results}");
    assert_eq!(found["proofs"][0]["standing"], "held", "{found}");
    assert_eq!(found["is_debug_build"], true);
}

#[tokio::test]
async fn a_missing_load_generator_is_told_with_what_to_install() {
    let folder = tempfile::tempdir().or_fail();
    let plan = without_wrk(plan(&["--quick"], &folder.path().join("bench.json")), folder.path());
    let finished = process::run(&plan, LIMIT).await.or_fail();
    assert_eq!(finished.code(), Some(4), "{}{}", finished.out, finished.err);
    assert!(finished.err.contains("apt-get install wrk"), "{}", finished.err);
}

/// `plan` on a machine that has no load generator, with a folder for the programs that it has.
pub(crate) fn without_wrk(mut plan: Plan, programs: &Path) -> Plan {
    // What starts every child of these tests must still be found.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let setpriv = std::env::split_paths(&path).map(|folder| folder.join("setpriv")).find(|file| file.is_file());
    std::os::unix::fs::symlink(setpriv.expect("setpriv"), programs.join("setpriv")).or_fail();
    plan.environment.push(("PATH".into(), programs.into()));
    plan
}

async fn bench(arguments: &[&str], json: &Path) -> Finished {
    process::run(&plan(arguments, json), LIMIT).await.or_fail()
}

pub(crate) fn plan(arguments: &[&str], json: &Path) -> Plan {
    let mut plan = Plan::new(binary());
    plan.arguments.push("bench".into());
    plan.arguments.extend(arguments.iter().map(Into::into));
    plan.arguments.extend(["--server-bin".into(), SERVER.into(), "--json".into(), json.into()]);
    plan
}
