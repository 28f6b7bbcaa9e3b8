//! The real server passes, whatever the seed. No false alarm, ever.

use holdfast_test_support::{Setup, for_both, rounds, seed};

use crate::harness::Harness;

for_both!(a_quick_run_passes_with_every_seed);

async fn a_quick_run_passes_with_every_seed(setup: Setup) {
    let mut random = seed();
    for round in 0..rounds(5, 100) {
        let database = setup.database().await;
        let run = Harness::quick(database.url(), random.u64(..1 << 53)).finish().await;
        assert_eq!(run.finished.code(), Some(0), "round {round}:\n{}\n{}", run.finished.out, run.finished.err);
        for checked in run.report()["checks"].as_array().expect("checks") {
            assert_eq!(checked["standing"], "held", "round {round}: {checked}");
        }
    }
}
