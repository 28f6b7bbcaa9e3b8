//! `payment_keys`: a key takes effect once, for one event.

use holdfast_loadtest::check::Check::PaymentKeys;
use holdfast_loadtest::history::Code;
use holdfast_loadtest::history::News::{Pending, Success};

use super::{check, one_ordered};
use crate::story::{accepted, event, held, ordered, refused, unknown};

#[test]
fn payment_keys() {
    let two = || one_ordered().line(12, 13, held(2, 1)).line(21, 31, ordered(2, 12));
    let conflict = |key, order, news| refused(event(key, order, news), 409, Code::PaymentKeyConflict);
    let unheard = || refused(event(21, 9_007_199_254_740_991, Success), 422, Code::ValidationFailed);
    check([
        ("again", None, two().line(40, 50, accepted(21, 101, Success)).line(60, 70, accepted(21, 101, Success))),
        (
            "two orders",
            Some(PaymentKeys),
            two().line(40, 50, accepted(21, 101, Success)).line(60, 70, accepted(21, 102, Success)),
        ),
        (
            "two orders, one refused",
            None,
            two().line(40, 50, accepted(21, 101, Success)).line(60, 70, conflict(21, 102, Success)),
        ),
        (
            "pending uses up nothing",
            None,
            two()
                .line(40, 50, accepted(21, 101, Pending))
                .line(60, 70, accepted(21, 102, Success))
                .line(80, 90, conflict(21, 102, Pending))
                .line(92, 95, accepted(21, 101, Pending)),
        ),
        (
            "a conflict with a pending",
            Some(PaymentKeys),
            two().line(40, 50, accepted(21, 101, Pending)).line(60, 70, conflict(21, 102, Success)),
        ),
        (
            "a refused event uses up nothing",
            None,
            two().line(40, 50, unheard()).line(60, 70, accepted(21, 101, Success)),
        ),
        (
            "a refused event used its key up",
            Some(PaymentKeys),
            two().line(40, 50, unheard()).line(60, 70, conflict(21, 101, Success)),
        ),
        (
            "a conflict with an event that may be under way",
            None,
            two().line(40, 50, unknown(event(21, 102, Success))).line(60, 70, conflict(21, 101, Success)),
        ),
        (
            "a conflict with an event that was sent later",
            Some(PaymentKeys),
            two().line(60, 70, conflict(21, 101, Success)).line(71, 72, unknown(event(21, 102, Success))),
        ),
        (
            "accepted and in conflict",
            Some(PaymentKeys),
            two().line(40, 50, accepted(21, 101, Success)).line(60, 70, conflict(21, 101, Success)),
        ),
    ]);
}
