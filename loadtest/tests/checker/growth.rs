//! That the work grows with the history, not with its square.

use std::time::{Duration, Instant};

use holdfast_loadtest::check::judge;
use holdfast_loadtest::history::{HoldStatus, OrderStatus};

use super::story::{Story, held, hold_shown, order_shown, ordered, released, shelf, sold_out, story};

/// Holds that come and go, some ordered, some refused, with reads, on one product.
fn long(holds: u64) -> Story {
    let mut told = story(3);
    for hold in 1..=holds {
        let at = hold * 10;
        told =
            told.line(at, at + 5, held(hold, 1)).line(at + 6, at + 7, shelf(3, 1)).line(at, at + 9, sold_out(0, 4, 2));
        told = match hold % 3 {
            0 => told.line(at + 7, at + 8, ordered(hold, hold)).line(
                at + 8,
                at + 9,
                order_shown(hold, OrderStatus::Paid),
            ),
            _ => told.line(at + 7, at + 8, hold_shown(hold, HoldStatus::Active)).line(at + 8, at + 9, released(hold)),
        };
    }
    told
}

#[test]
fn eight_times_the_history_takes_about_eight_times_the_work() {
    let [short, long] = [4_000, 32_000].map(|holds| long(holds).told(true));
    let fastest = |history| {
        let times = (0..4).map(|_| {
            let began = Instant::now();
            let verdict = judge(history);
            assert!(verdict.checks.iter().any(|checked| checked.breaches_in_all > 1000), "it had much to say");
            began.elapsed()
        });
        times.min().unwrap_or(Duration::MAX)
    };
    let ratio = fastest(&long).as_secs_f64() / fastest(&short).as_secs_f64();
    assert!(ratio < 28.0, "8 times the history took {ratio:.1} times the work; 64 would be its square");
}
