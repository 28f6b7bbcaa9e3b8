//! `deadlines`: expired, redeemed and active, before and past it.

use holdfast_loadtest::check::Check::Deadlines;
use holdfast_loadtest::history::Code;
use holdfast_loadtest::history::HoldStatus::{Active, Expired, GivenBack};

use super::{check, one};
use crate::story::{hold_shown, order, ordered, refused, released, unknown};

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
