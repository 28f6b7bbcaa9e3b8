//! `no_oversell`: what surely is out, and what only may be.

use holdfast_loadtest::check::Check::NoOversell;
use holdfast_loadtest::history::Code;
use holdfast_loadtest::history::News::{Failure, Success};

use super::check;
use crate::story::{accepted, event, held, not_sent, ordered, place, refused, release, story, unknown};

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
