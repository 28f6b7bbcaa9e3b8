//! What reads of holds and orders may show: their part of `fresh_reads`, and `nothing_lost`.

use holdfast_loadtest::check::Check::{FreshReads, NothingLost};
use holdfast_loadtest::history::Code;
use holdfast_loadtest::history::HoldStatus::{Active, Expired, PaymentFailed, Redeemed};
use holdfast_loadtest::history::News::{Failure, Success};
use holdfast_loadtest::history::OrderStatus::{Paid, PendingPayment};

use super::{check, one, one_ordered};
use crate::story::{accepted, event, held_as, hold_shown, order, order_shown, ordered, refused, released, unknown};

#[test]
fn reads_of_holds_and_orders() {
    check([
        (
            "a hold's life",
            None,
            one_ordered()
                .line(12, 15, hold_shown(1, Active))
                .line(40, 50, hold_shown(1, Redeemed))
                .line(60, 70, accepted(21, 101, Failure))
                .line(80, 90, hold_shown(1, PaymentFailed)),
        ),
        (
            "active after its release",
            Some(FreshReads),
            one().line(20, 30, released(1)).line(40, 50, hold_shown(1, Active)),
        ),
        ("active meanwhile", None, one().line(20, 30, released(1)).line(29, 50, hold_shown(1, Active))),
        ("active after its order", Some(FreshReads), one_ordered().line(40, 50, hold_shown(1, Active))),
        ("active after a kill", Some(NothingLost), one_ordered().killed(35).line(40, 50, hold_shown(1, Active))),
        ("expired after its order", Some(FreshReads), one_ordered().line(4000, 4010, hold_shown(1, Expired))),
        (
            "expired while its order was written down, then redeemed",
            None,
            one().line(1990, 2300, ordered(1, 11)).line(2110, 2120, hold_shown(1, Expired)).line(
                2400,
                2410,
                hold_shown(1, Redeemed),
            ),
        ),
        (
            "final, then pending",
            Some(FreshReads),
            one_ordered().line(40, 50, unknown(event(21, 101, Success))).line(60, 70, order_shown(1, Paid)).line(
                80,
                90,
                order_shown(1, PendingPayment),
            ),
        ),
        ("no such hold", Some(NothingLost), one().line(20, 30, refused(hold_shown(1, Active).0, 404, Code::NotFound))),
        ("no such hold yet", None, one().line(9, 30, refused(hold_shown(1, Active).0, 404, Code::NotFound))),
        (
            "no such hold to order",
            Some(NothingLost),
            one().line(20, 30, refused(order(1, 11), 422, Code::ValidationFailed)),
        ),
        (
            "no such order to pay",
            Some(NothingLost),
            one_ordered().line(40, 50, refused(event(21, 101, Success), 422, Code::ValidationFailed)),
        ),
        ("an id twice", Some(NothingLost), one().line(20, 30, held_as(2, 1, 1))),
        (
            "paid, then lost by a kill",
            Some(NothingLost),
            one_ordered().line(40, 50, accepted(21, 101, Success)).killed(55).line(
                60,
                70,
                order_shown(1, PendingPayment),
            ),
        ),
    ]);
}
