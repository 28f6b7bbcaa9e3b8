//! The real server passes, whatever the seed. No false alarm, ever.

use std::time::Instant;

use holdfast_test_support::{Setup, for_both, rounds, seed};

use crate::harness::Harness;

for_both!(a_quick_run_passes_with_every_seed);

async fn a_quick_run_passes_with_every_seed(setup: Setup) {
    let mut random = seed();
    for round in 0..rounds(5, 100) {
        let database = setup.database().await;
        let (seed, began) = (random.u64(..1 << 53), Instant::now());
        let run = Harness::quick(database.url(), seed).finish().await;
        assert_eq!(run.finished.code(), Some(0), "seed {seed}:\n{}\n{}", run.finished.out, run.finished.err);
        for checked in run.report()["checks"].as_array().expect("checks") {
            assert_eq!(checked["standing"], "held", "seed {seed}: {checked}");
        }
        eprintln!("round {}: clean with seed {seed}, in {:.1} s", round + 1, began.elapsed().as_secs_f64());
    }
}
