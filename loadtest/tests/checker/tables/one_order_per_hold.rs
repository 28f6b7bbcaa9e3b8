//! `one_order_per_hold`: a hold is redeemed once, or given back.

use holdfast_loadtest::check::Check::OneOrderPerHold;
use holdfast_loadtest::history::HoldStatus::Redeemed;
use holdfast_loadtest::history::News::Failure;

use super::{check, one, one_ordered};
use crate::story::{accepted, hold_shown, ordered, ordered_as, released};

#[test]
fn one_order_per_hold() {
    check([
        ("two orders", Some(OneOrderPerHold), one_ordered().line(25, 35, ordered_as(1, 12, 102))),
        ("one order, named again", None, one_ordered().line(40, 50, hold_shown(1, Redeemed))),
        (
            "given back, then ordered",
            Some(OneOrderPerHold),
            one().line(12, 15, released(1)).line(20, 30, ordered(1, 11)),
        ),
        ("ordered, then given back", Some(OneOrderPerHold), one_ordered().line(40, 50, released(1))),
        (
            "ordered, failed, then given back",
            None,
            one_ordered().line(35, 38, accepted(21, 101, Failure)).line(40, 50, released(1)),
        ),
        ("ordered, perhaps overdue, then given back", None, one_ordered().line(5000, 5010, released(1))),
    ]);
}
