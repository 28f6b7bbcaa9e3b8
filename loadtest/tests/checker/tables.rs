//! For each check what breaks it, and beside it the nearest story that a right server can tell.

use holdfast_loadtest::check::Check::{
    self, Counters, Deadlines, FinalStates, FreshReads, NoFalseSoldOut, NoOversell, NothingLost, OneOrderPerHold,
    PaymentKeys, Replays, UnitsConserved,
};
use holdfast_loadtest::history::{Code, HoldStatus, News, OrderStatus, Outcome};

use super::story::{
    Line, Story, accepted, counters, event, held, held_as, hold_shown, not_sent, order, order_shown, ordered,
    ordered_as, place, refused, release, released, shelf, shelf_at_rest, sold_out, story, unknown,
};
use HoldStatus::{Active, Expired, GivenBack, PaymentFailed, PaymentOverdue, Redeemed};
use News::{Failure, Pending, Success};
use OrderStatus::{Cancelled, Paid, PendingPayment};

/// What is told, what is broken by it, the story.
type Row = (&'static str, Option<Check>, Story);

fn check(rows: impl IntoIterator<Item = Row>) {
    for (name, expected, story) in rows {
        let broken = story.broken();
        assert_eq!(broken, Vec::from_iter(expected), "{name}");
    }
}

/// One hold of one unit, number 1, placed from 0 to 10 ms.
fn one() -> Story {
    story(5).line(0, 10, held(1, 1))
}

/// It became order 101, from 20 to 30 ms.
fn one_ordered() -> Story {
    one().line(20, 30, ordered(1, 11))
}

#[test]
fn no_oversell() {
    let full = || story(2).line(0, 10, held(1, 1)).line(0, 11, held(2, 1));
    check([
        ("three units of two", Some(NoOversell), full().line(20, 30, held(3, 1))),
        ("quantities count", Some(NoOversell), story(3).line(0, 10, held(1, 2)).line(0, 10, held(2, 2))),
        ("as many as there are", None, full()),
        ("one may have been given back before", None, full().line(9, 15, unknown(release(1))).line(12, 30, held(3, 1))),
        (
            "the release was refused",
            Some(NoOversell),
            full().line(9, 15, refused(release(1), 503, Code::Overloaded)).line(12, 30, held(3, 1)),
        ),
        (
            "the release was not sent",
            Some(NoOversell),
            full().line(9, 15, not_sent(release(1))).line(12, 30, held(3, 1)),
        ),
        ("one may have expired", None, full().line(1899, 1999, held(3, 1))),
        ("none can have expired", Some(NoOversell), full().line(1800, 1890, held(3, 1))),
        (
            "an order keeps its units",
            Some(NoOversell),
            full().line(12, 20, ordered(1, 11)).line(3500, 3600, held(3, 1)).line(3500, 3600, held(4, 1)),
        ),
        (
            "its payment may have failed",
            None,
            story(1)
                .line(0, 10, held(1, 1))
                .line(12, 20, ordered(1, 11))
                .line(3400, 3450, unknown(event(21, 101, Failure)))
                .line(3500, 3600, held(2, 1)),
        ),
        (
            "paid keeps its units for good",
            Some(NoOversell),
            story(1)
                .line(0, 10, held(1, 1))
                .line(12, 20, ordered(1, 11))
                .line(30, 40, accepted(21, 101, Success))
                .line(50, 60, accepted(22, 101, Failure))
                .line(90_000, 90_010, held(2, 1)),
        ),
        (
            "its window may be over",
            None,
            story(1).line(0, 10, held(1, 1)).line(12, 20, ordered(1, 11)).line(4900, 5000, held(2, 1)),
        ),
        (
            "placed once, asked for often",
            None,
            story(1).line(0, 5, unknown(place(1, 1))).line(6, 10, held(1, 1)).line(12, 20, held(1, 1)),
        ),
    ]);
}

#[test]
fn no_false_sold_out() {
    check([
        ("refused while all are free", Some(NoFalseSoldOut), story(2).line(0, 10, sold_out(1, 1, 0))),
        ("refused, since more was asked for", None, story(2).line(0, 10, sold_out(1, 3, 2))),
        (
            "another one may be under way",
            None,
            story(1).line(5, 6, unknown(place(2, 1))).line(10, 20, sold_out(1, 1, 0)),
        ),
        (
            "the other one was not sent",
            Some(NoFalseSoldOut),
            story(1).line(5, 6, not_sent(place(2, 1))).line(10, 20, sold_out(1, 1, 0)),
        ),
        (
            "the other one came later",
            Some(NoFalseSoldOut),
            story(1).line(0, 10, sold_out(1, 1, 0)).line(11, 20, held(2, 1)),
        ),
        ("the other one was at the same time", None, story(1).line(0, 10, sold_out(1, 1, 0)).line(9, 20, held(2, 1))),
        (
            "given back before",
            Some(NoFalseSoldOut),
            story(1).line(0, 10, held(1, 1)).line(20, 30, released(1)).line(31, 40, sold_out(2, 1, 0)),
        ),
        (
            "given back meanwhile",
            None,
            story(1).line(0, 10, held(1, 1)).line(20, 30, released(1)).line(29, 40, sold_out(2, 1, 0)),
        ),
        (
            "expired long ago",
            Some(NoFalseSoldOut),
            story(1).line(0, 10, held(1, 1)).line(3200, 3300, sold_out(2, 1, 0)),
        ),
        ("perhaps not expired yet", None, story(1).line(0, 10, held(1, 1)).line(3100, 3300, sold_out(2, 1, 0))),
        (
            "expired, as its lifetime shows",
            Some(NoFalseSoldOut),
            story(1).line(0, 10, held(1, 1)).line(20, 30, hold_shown(1, Active)).line(2200, 2300, sold_out(2, 1, 0)),
        ),
        (
            "perhaps it was ordered in time",
            None,
            story(1).line(0, 10, held(1, 1)).line(1000, 1100, unknown(order(1, 11))).line(
                9000,
                9100,
                sold_out(2, 1, 0),
            ),
        ),
        (
            "the order came too late",
            None,
            story(1)
                .line(0, 10, held(1, 1))
                .line(1000, 1100, unknown(order(1, 11)))
                .line(4000, 4100, refused(order(1, 12), 409, Code::HoldExpired))
                .line(9000, 9100, sold_out(2, 1, 0)),
        ),
        (
            "the same order came too late",
            Some(NoFalseSoldOut),
            story(1)
                .line(0, 10, held(1, 1))
                .line(1000, 1100, unknown(order(1, 11)))
                .line(4000, 4100, refused(order(1, 11), 409, Code::HoldExpired))
                .line(9000, 9100, sold_out(2, 1, 0)),
        ),
        (
            "its payment failed",
            Some(NoFalseSoldOut),
            story(1)
                .line(0, 10, held(1, 1))
                .line(20, 30, ordered(1, 11))
                .line(40, 50, accepted(21, 101, Failure))
                .line(60, 70, sold_out(2, 1, 0)),
        ),
        (
            "it may have been paid before",
            None,
            story(1)
                .line(0, 10, held(1, 1))
                .line(20, 30, ordered(1, 11))
                .line(31, 32, unknown(event(22, 101, Success)))
                .line(40, 50, accepted(21, 101, Failure))
                .line(60, 70, sold_out(2, 1, 0)),
        ),
        ("refused, though enough is named", Some(NoFalseSoldOut), one().line(20, 30, sold_out(2, 5, 5))),
        ("refused with too few named", Some(NoFalseSoldOut), one().line(20, 30, sold_out(2, 5, 3))),
        ("refused with what there is", None, one().line(20, 30, sold_out(2, 5, 4))),
    ]);
}

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

#[test]
fn deadlines() {
    let lived = || one().line(12, 15, hold_shown(1, Active));
    check([
        ("redeemed in time", None, lived().line(1900, 1950, ordered(1, 11))),
        ("redeemed within the margin", None, lived().line(2111, 2150, ordered(1, 11))),
        ("redeemed past it", Some(Deadlines), lived().line(2113, 2150, ordered(1, 11))),
        (
            "asked for in time, answered past it",
            None,
            lived().line(1900, 1950, unknown(order(1, 11))).line(3000, 3100, ordered(1, 11)),
        ),
        ("its lifetime is not known exactly", None, one().line(3112, 3150, ordered(1, 11))),
        ("past the longest that it may live", Some(Deadlines), one().line(3114, 3150, ordered(1, 11))),
        ("expired early", Some(Deadlines), lived().line(1800, 1890, refused(order(1, 11), 409, Code::HoldExpired))),
        ("expired within the margin", None, lived().line(1800, 1899, refused(order(1, 11), 409, Code::HoldExpired))),
        ("shown as expired early", Some(Deadlines), one().line(1800, 1890, hold_shown(1, Expired))),
        ("active past it", Some(Deadlines), lived().line(2113, 2150, hold_shown(1, Active))),
        (
            "seen as expired, then ordered",
            Some(Deadlines),
            lived().line(2000, 2010, hold_shown(1, Expired)).line(2020, 2030, ordered(1, 11)),
        ),
        ("given back, whatever the time", None, one().line(40, 50, released(1)).line(60, 70, hold_shown(1, GivenBack))),
    ]);
}

#[test]
fn replays() {
    let other_bytes = |line: Line| {
        let (operation, outcome) = line;
        match outcome {
            Outcome::Held { hold, expires_at, replayed, body } => {
                (operation, Outcome::Held { hold, expires_at, replayed, body: body + 1 })
            }
            other => (operation, other),
        }
    };
    check([
        ("the same answer", None, one().line(20, 30, held(1, 1))),
        ("other bytes", Some(Replays), one().line(20, 30, other_bytes(held(1, 1)))),
        ("another hold", Some(Replays), one().line(20, 30, held_as(1, 1, 2))),
        ("another body, refused", None, one().line(20, 30, refused(place(1, 2), 422, Code::IdempotencyKeyReused))),
        ("another body, taken", Some(Replays), one().line(20, 30, held_as(1, 2, 2))),
        (
            "sold out since: the first answer again",
            Some(Replays),
            one().line(12, 13, held(2, 4)).line(20, 30, sold_out(1, 1, 0)),
        ),
        (
            "refused before",
            None,
            story(5).line(0, 5, refused(place(1, 1), 409, Code::ProductSuspended)).line(6, 10, held(1, 1)),
        ),
        (
            "refused at the same time",
            None,
            story(5).line(0, 5, refused(place(1, 1), 409, Code::ProductSuspended)).line(3, 10, held(1, 1)),
        ),
        ("not now", None, one().line(20, 30, refused(place(1, 1), 503, Code::Overloaded))),
        (
            "an order, refused after it was made",
            Some(Replays),
            one_ordered().line(40, 50, refused(order(1, 11), 409, Code::HoldAlreadyRedeemed)),
        ),
    ]);
}

#[test]
fn of_a_history_that_is_cut_off_only_what_contradicts_itself_is_believed() {
    let sold = || story(1).line(0, 10, held(1, 1)).line(20, 30, held(2, 1));
    assert_eq!(sold().broken(), [NoOversell]);
    assert_eq!(sold().broken_if_cut_off(), [], "a release may be missing");
    assert_eq!(one_ordered().line(60, 70, order_shown(1, Paid)).broken_if_cut_off(), [], "an event may be missing");
    assert_eq!(one_ordered().line(25, 35, ordered_as(1, 12, 102)).broken_if_cut_off(), [OneOrderPerHold]);
}
