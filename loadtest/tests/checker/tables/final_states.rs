//! `final_states`: what can make an order final, and what cannot.

use holdfast_loadtest::check::Check::FinalStates;
use holdfast_loadtest::history::Code;
use holdfast_loadtest::history::HoldStatus::PaymentOverdue;
use holdfast_loadtest::history::News::{Failure, Pending, Success};
use holdfast_loadtest::history::OrderStatus::{Cancelled, Paid, PendingPayment};

use super::{check, one_ordered};
use crate::story::{accepted, event, hold_shown, order_shown, refused, unknown};

#[test]
fn final_states() {
    check([
        ("paid", None, one_ordered().line(40, 50, accepted(21, 101, Success)).line(60, 70, order_shown(1, Paid))),
        ("paid by nothing", Some(FinalStates), one_ordered().line(60, 70, order_shown(1, Paid))),
        (
            "paid by a pending",
            Some(FinalStates),
            one_ordered().line(40, 50, accepted(21, 101, Pending)).line(60, 70, order_shown(1, Paid)),
        ),
        (
            "paid by an event that nobody heard of again",
            None,
            one_ordered().line(40, 50, unknown(event(21, 101, Success))).line(60, 70, order_shown(1, Paid)),
        ),
        (
            "paid by a refused event",
            Some(FinalStates),
            one_ordered().line(40, 50, refused(event(21, 101, Success), 500, Code::Internal)).line(
                60,
                70,
                order_shown(1, Paid),
            ),
        ),
        ("cancelled by nothing", Some(FinalStates), one_ordered().line(60, 70, order_shown(1, Cancelled))),
        (
            "cancelled by its window",
            None,
            one_ordered().line(5000, 5100, order_shown(1, Cancelled)).line(5200, 5300, hold_shown(1, PaymentOverdue)),
        ),
        (
            "overdue before its window was over",
            Some(FinalStates),
            one_ordered().line(40, 50, accepted(21, 101, Failure)).line(60, 70, hold_shown(1, PaymentOverdue)),
        ),
        (
            "paid, then cancelled",
            Some(FinalStates),
            one_ordered().line(40, 50, accepted(21, 101, Success)).line(60, 70, accepted(22, 101, Failure)).line(
                80,
                90,
                order_shown(1, Cancelled),
            ),
        ),
        (
            "cancelled, then paid",
            Some(FinalStates),
            one_ordered().line(40, 50, accepted(21, 101, Failure)).line(60, 70, accepted(22, 101, Success)).line(
                80,
                90,
                order_shown(1, Paid),
            ),
        ),
        (
            "both at once: either",
            None,
            one_ordered().line(40, 60, accepted(21, 101, Failure)).line(50, 70, accepted(22, 101, Success)).line(
                80,
                90,
                order_shown(1, Paid),
            ),
        ),
        (
            "both seen",
            Some(FinalStates),
            one_ordered()
                .line(40, 60, accepted(21, 101, Failure))
                .line(50, 70, accepted(22, 101, Success))
                .line(80, 90, order_shown(1, Paid))
                .line(100, 110, order_shown(1, Cancelled)),
        ),
        (
            "pending after its payment",
            Some(FinalStates),
            one_ordered().line(40, 50, accepted(21, 101, Success)).line(60, 70, order_shown(1, PendingPayment)),
        ),
        (
            "pending meanwhile",
            None,
            one_ordered().line(40, 50, accepted(21, 101, Success)).line(45, 70, order_shown(1, PendingPayment)),
        ),
        (
            "paid, its window long over",
            None,
            one_ordered().line(40, 50, accepted(21, 101, Success)).line(9000, 9100, order_shown(1, Paid)),
        ),
        (
            "paid in time, and cancelled by its window",
            Some(FinalStates),
            one_ordered().line(40, 50, accepted(21, 101, Success)).line(9000, 9100, order_shown(1, Cancelled)),
        ),
        (
            "paid perhaps too late, and cancelled",
            None,
            one_ordered().line(4900, 5100, accepted(21, 101, Success)).line(9000, 9100, order_shown(1, Cancelled)),
        ),
    ]);
}
