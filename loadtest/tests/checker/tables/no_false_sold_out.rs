//! `no_false_sold_out`: refusals that there was no reason for, and those for which there may have been one.

use holdfast_loadtest::check::Check::NoFalseSoldOut;
use holdfast_loadtest::history::Code;
use holdfast_loadtest::history::HoldStatus::Active;
use holdfast_loadtest::history::News::{Failure, Success};

use super::{check, one};
use crate::story::{
    accepted, event, held, hold_shown, not_sent, order, ordered, place, refused, released, sold_out, story, unknown,
};

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
