//! What seeing costs: the rate of holds beside a control, in interleaved rounds, each the same number of holds.
//!
//! What does not belong here: what is seen. The rates of one machine in one moment say little, so each round is
//! compared with the control next to it, and the median of many rounds counts.

use std::time::Instant;

use holdfast_test_support::{OrFail, Sale, Setup, eventually, for_both, hold, is_long, rounds};
use tokio::task::JoinSet;

use crate::collector::{Collector, Manner};
use crate::recording::time_of_a_hold;
use crate::scraped::Scraped;

for_both!(a_collector_that_misbehaves_takes_no_holds, seeing_costs_little);

/// How many callers ask at once.
const CALLERS: usize = 32;

/// The holds that a sale places in a second, over a round.
async fn rate(sale: &Sale, product: u64, holds_per_caller: usize) -> f64 {
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let client = sale.client.clone();
        callers.spawn(async move {
            for _ in 0..holds_per_caller {
                let answer = client.send(&hold(product, 1)).await.or_fail();
                assert_eq!(answer.status, 201, "{}", answer.text());
            }
        });
    }
    callers.join_all().await;
    f64::from(u32::try_from(CALLERS * holds_per_caller).unwrap_or(u32::MAX)) / began.elapsed().as_secs_f64()
}

/// The median, over rounds, of the rate beside the collector as a part of the control's.
async fn median_ratio(control: &Sale, beside: &Sale, rounds: usize, holds_per_caller: usize) -> f64 {
    let products = (control.product(1_000_000).await, beside.product(1_000_000).await);
    let mut ratios = Vec::new();
    // The first round only warms up.
    for round in 0..=rounds {
        let (of_control, of_beside);
        // Whoever is second may find a warmer machine, or a busier one.
        if round % 2 == 0 {
            of_control = rate(control, products.0, holds_per_caller).await;
            of_beside = rate(beside, products.1, holds_per_caller).await;
        } else {
            of_beside = rate(beside, products.1, holds_per_caller).await;
            of_control = rate(control, products.0, holds_per_caller).await;
        }
        if round > 0 {
            ratios.push(of_beside / of_control);
        }
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    eprintln!("median {median:.3} of {ratios:.3?}");
    median
}

/// Both have traces on, sampled at 1 %: the control's collector takes them, the other's does not.
async fn a_collector_that_misbehaves_takes_no_holds(setup: Setup) {
    let good = Collector::start(Manner::Takes).await;
    for manner in [Manner::Hangs, Manner::Refuses] {
        let bad = Collector::start(manner).await;
        let traced = |collector: &Collector| collector.traced(setup.clone(), "traceidratio", "0.01");
        let (control, beside) = (traced(&good).start().await, traced(&bad).start().await);
        let ratio = median_ratio(&control, &beside, rounds(2, 11), rounds(10, 60)).await;
        // Few short rounds prove that holds go on, not at which rate.
        if is_long() {
            assert!(ratio >= 0.95, "{manner:?}: {ratio}");
        }
        // A round proves nothing if no span was there to be lost.
        if manner == Manner::Refuses && is_long() {
            eventually("spans were lost", async || {
                match Scraped::of(&beside.client).await.get(r#"holdfast_trace_spans_total{result="failed"}"#) {
                    Some(failed) if failed > 0.0 => Ok(()),
                    failed => Err(format!("{failed:?}")),
                }
            })
            .await;
        }
        assert_eq!(beside.server.terminate().await.or_fail().code(), Some(0));
    }
}

/// Against a server without logs and traces. What is counted is counted on both, since metrics have no switch: their part
/// is what they take of the time between two holds.
async fn seeing_costs_little(setup: Setup) {
    let collector = Collector::start(Manner::Takes).await;
    let control = setup.clone().setting("RUST_LOG", "off").start().await;
    let beside = collector.traced(setup, "parentbased_traceidratio", "0.01").start().await;
    let ratio = median_ratio(&control, &beside, rounds(2, 11), rounds(10, 60)).await;
    // The aim is 0.95, of a release build on a quiet machine; below this something is wrong with any build.
    if is_long() {
        assert!(ratio >= 0.85, "{ratio}");
    }
    let product = control.product(1_000_000).await;
    let each = time_of_a_hold();
    let part = each.as_secs_f64() * rate(&control, product, rounds(10, 60)).await;
    eprintln!("the metrics of a hold take {each:?}: {:.2} % of the time between two holds", part * 100.0);
    assert!(part <= 0.05, "{part}");
}
