//! What reads of products may show: `counters`, `units_conserved`, and their part of `fresh_reads`.

use holdfast_loadtest::check::Check::{Counters, FreshReads, UnitsConserved};
use holdfast_loadtest::history::HoldStatus::Active;
use holdfast_loadtest::history::News::{Failure, Success};

use super::{check, one, one_ordered};
use crate::story::{
    accepted, counters, held, hold_shown, ordered, place, released, shelf, shelf_at_rest, story, unknown,
};

#[test]
fn reads_of_products() {
    check([
        ("what there is", None, one().line(20, 30, shelf(5, 1)).line(40, 50, shelf_at_rest(5, 1))),
        ("a hold too late", Some(FreshReads), one().line(20, 30, shelf(5, 0))),
        ("a hold being placed", None, one().line(5, 30, shelf(5, 0)).line(5, 9, shelf(5, 1))),
        ("a hold from nowhere", Some(FreshReads), one().line(20, 30, shelf(5, 2))),
        ("units lost at rest", Some(UnitsConserved), one().line(20, 30, shelf_at_rest(4, 1))),
        (
            "and at work: named once",
            Some(UnitsConserved),
            one().line(20, 30, shelf(4, 1)).line(40, 50, shelf_at_rest(4, 1)),
        ),
        (
            "late, and right after that",
            Some(FreshReads),
            one().line(20, 30, shelf_at_rest(5, 0)).line(40, 50, shelf_at_rest(5, 1)),
        ),
        ("units back after a release", None, one().line(20, 30, released(1)).line(40, 50, shelf_at_rest(5, 0))),
        (
            "units back twice",
            Some(UnitsConserved),
            one().line(12, 13, held(2, 1)).line(20, 30, released(1)).line(31, 35, released(1)).line(
                40,
                50,
                shelf_at_rest(5, 0),
            ),
        ),
        ("expired", None, one().line(20, 30, hold_shown(1, Active)).line(2200, 2300, shelf_at_rest(5, 0))),
        (
            "expired, and still reserved",
            Some(UnitsConserved),
            one().line(20, 30, hold_shown(1, Active)).line(2200, 2300, shelf_at_rest(5, 1)),
        ),
        ("an order takes its units from the shelf", None, one_ordered().line(40, 50, shelf_at_rest(4, 0))),
        (
            "paid, and the hold's time gave the units back",
            Some(UnitsConserved),
            one_ordered().line(40, 50, accepted(21, 101, Success)).line(4000, 4100, shelf_at_rest(5, 0)),
        ),
        (
            "failed: units back",
            None,
            one_ordered().line(40, 50, accepted(21, 101, Failure)).line(60, 70, shelf_at_rest(5, 0)),
        ),
        (
            "failed: units back twice",
            Some(UnitsConserved),
            one_ordered().line(40, 50, accepted(21, 101, Failure)).line(60, 70, shelf_at_rest(6, 0)),
        ),
        (
            "failed: units still away",
            Some(UnitsConserved),
            one_ordered().line(40, 50, accepted(21, 101, Failure)).line(60, 70, shelf_at_rest(4, 0)),
        ),
        (
            "an order that was decided in time and written down late",
            None,
            one().line(1990, 2300, ordered(1, 11)).line(2110, 2120, shelf(5, 0)).line(2400, 2410, shelf(4, 0)),
        ),
        (
            "reserved more than there is",
            Some(Counters),
            story(0).line(0, 5, unknown(place(1, 1))).line(10, 20, counters(-1, 0, 1, false)),
        ),
        (
            "a difference that is none",
            Some(Counters),
            story(5).line(0, 1, unknown(place(1, 1))).line(10, 20, counters(4, 5, 0, false)),
        ),
    ]);
}
