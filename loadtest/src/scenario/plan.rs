//! What scenarios need before they start: products, time, and a server that they can be run against.

use std::time::Duration;

use super::Stage;
use crate::history::{Limits, ScenarioName, TargetKind};

/// What decides how much a scenario has to sell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Units of each product, if that was asked for.
    pub stock: Option<u64>,
    /// Users of a sustained scenario, and clients of a burst.
    pub users: u32,
    /// Whether everything is made small enough to be over within seconds.
    pub quick: bool,
}

/// How long after the last deadline the server may need to write down that it has passed.
pub(super) const SWEEP: Duration = Duration::from_secs(2);

/// In how many holds a client takes all units of a product, at most.
pub(super) const MOST_HOLDS: usize = 200;

/// Whether a client can take all units of a product, where `limits` say how many a hold has.
pub fn can_be_sold_out(stock: u64, limits: &Limits) -> bool {
    // The last hold is for what came back meanwhile.
    stock <= (MOST_HOLDS as u64 - 1) * u64::from(limits.max_qty_per_hold)
}

/// The stock of each product that a scenario sells.
pub fn products(name: ScenarioName, sizes: &Sizes) -> Vec<u64> {
    let users = u64::from(sizes.users.max(1));
    let (count, quick, whole) = match name {
        // One for single units, one for mixed quantities, one for a careful client alone.
        ScenarioName::Boundary => (3, 20, 100),
        // Enough for a queue, and too few for all.
        ScenarioName::Rush => (2, users * 4, users * 10),
        ScenarioName::Duplicates => (super::duplicates::LANES, 40, 400),
        ScenarioName::Expiry => (super::expiry::PARTS, 12, 20),
        ScenarioName::Retries => (2, 200, 2_000),
        ScenarioName::Many => (if sizes.quick { 100 } else { 1_000 }, 3, 3),
        ScenarioName::Soldout => (2, 2, 5),
        ScenarioName::Chaos => (3, 150, 1_000),
    };
    let stock = sizes.stock.unwrap_or(if sizes.quick { quick } else { whole });
    vec![stock; count]
}

/// About how long a scenario takes.
pub fn expected(name: ScenarioName, stage: &Stage) -> Duration {
    let crowd = stage.ramp + stage.duration + Duration::from_secs(1);
    match name {
        ScenarioName::Boundary | ScenarioName::Duplicates => {
            stage.sized(Duration::from_secs(1), Duration::from_secs(4))
        }
        ScenarioName::Rush | ScenarioName::Many | ScenarioName::Soldout => crowd,
        ScenarioName::Expiry => super::expiry::expected(stage),
        ScenarioName::Retries => stage.sized(Duration::from_secs(1), stage.duration),
        ScenarioName::Chaos => stage.sized(Duration::from_secs(3), Duration::from_secs(12)),
    }
}

/// Why a scenario cannot be run against a server, decided before the start.
pub fn left_out(name: ScenarioName, limits: &Limits, target: TargetKind, max_wait: Duration) -> Option<String> {
    let longest_hold = Duration::from_secs(limits.hold_ttl_seconds.saturating_add(1)).saturating_add(SWEEP);
    match name {
        ScenarioName::Expiry if longest_hold > max_wait => Some(format!(
            "holds live {} s here, which is longer than --max-wait ({} s) allows to wait for",
            limits.hold_ttl_seconds,
            max_wait.as_secs()
        )),
        ScenarioName::Chaos if target == TargetKind::Host => {
            Some("only a server that the harness started may be killed".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(hold_ttl_seconds: u64) -> Limits {
        Limits { hold_ttl_seconds, payment_window_seconds: 900, max_qty_per_hold: 1000 }
    }

    #[test]
    fn what_takes_too_long_or_breaks_too_much_is_left_out() {
        let (host, private) = (TargetKind::Host, TargetKind::Private);
        let rows = [
            (ScenarioName::Expiry, 120, host, 180, false),
            (ScenarioName::Expiry, 177, host, 180, false),
            (ScenarioName::Expiry, 178, private, 180, true),
            (ScenarioName::Expiry, u64::MAX, private, 180, true),
            (ScenarioName::Chaos, 2, private, 180, false),
            (ScenarioName::Chaos, 2, host, 180, true),
            (ScenarioName::Rush, 600, host, 180, false),
        ];
        for (name, ttl, target, max_wait, is_left_out) in rows {
            let reason = left_out(name, &limits(ttl), target, Duration::from_secs(max_wait));
            assert_eq!(reason.is_some(), is_left_out, "{name} {ttl} {target:?}: {reason:?}");
        }
    }

    #[test]
    fn what_a_client_cannot_take_cannot_be_sold_out() {
        assert!(can_be_sold_out(100_000, &limits(2)));
        assert!(can_be_sold_out(199_000, &limits(2)));
        assert!(!can_be_sold_out(199_001, &limits(2)));
        assert!(!can_be_sold_out(u64::MAX, &limits(2)));
    }

    #[test]
    fn every_scenario_has_something_to_sell() {
        for name in ScenarioName::ALL {
            for quick in [false, true] {
                for (stock, users) in [(None, 0), (None, 100), (Some(7), 100)] {
                    let stocks = products(name, &Sizes { stock, users, quick });
                    assert!(!stocks.is_empty() && stocks.iter().all(|units| *units > 0), "{name}: {stocks:?}");
                    assert!(stock.is_none_or(|stock| stocks.iter().all(|units| *units == stock)));
                }
            }
        }
    }
}
