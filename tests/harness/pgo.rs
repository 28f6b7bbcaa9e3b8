//! The script that builds a trained server: that it can, or says at once why not.
//!
//! What does not belong here: the builds themselves, which take longer than all tests. `tests/run --long` makes them.

use holdfast_test_support::OrFail;
use holdfast_test_support::rig::process::{self, Plan};

use crate::bench::{LIMIT, plan, without_wrk};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/pgo");

/// Two builds would be over before the harness refused its words.
#[tokio::test]
async fn the_load_that_trains_the_server_is_known_to_the_bench() {
    let script = std::fs::read_to_string(SCRIPT).or_fail();
    let (_, rest) = script.split_once("\ntraining=(").expect("the load");
    let (words, _) = rest.split_once(")\n").expect("its end");
    let words: Vec<&str> = words.split_whitespace().collect();
    assert!(words.contains(&"--only"), "{words:?}");
    let folder = tempfile::tempdir().or_fail();
    // The words are read first, so that the bench stops where its load generator is missing.
    let plan = without_wrk(plan(&words, &folder.path().join("bench.json")), folder.path());
    let finished = process::run(&plan, LIMIT).await.or_fail();
    assert!(finished.err.contains("apt-get install wrk"), "{words:?}: {}", finished.err);
}

#[tokio::test]
async fn what_the_training_lacks_is_told_before_anything_is_built() {
    for (arguments, profdata, told) in [
        (&["--check"][..], "/missing/llvm-profdata", "LLVM_PROFDATA names no program: /missing/llvm-profdata"),
        (&[], "/missing/llvm-profdata", "LLVM_PROFDATA names no program: /missing/llvm-profdata"),
        (&["--check"], "true", "is not of LLVM"),
        (&["--chekc"], "true", "unknown argument: --chekc"),
    ] {
        let mut plan = Plan::new(SCRIPT);
        plan.arguments = arguments.iter().map(Into::into).collect();
        plan.environment = ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"]
            .into_iter()
            .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
            .collect();
        plan.environment.push(("LLVM_PROFDATA".into(), profdata.into()));
        let finished = process::run(&plan, LIMIT).await.or_fail();
        assert_eq!(finished.code(), Some(1), "{arguments:?}: {}{}", finished.out, finished.err);
        assert!(finished.err.contains(told), "{arguments:?}: {}", finished.err);
        assert_eq!(finished.out, "", "{arguments:?}");
    }
}
