//! `replays`: the first answer again, or a refusal that fits.

use holdfast_loadtest::check::Check::Replays;
use holdfast_loadtest::history::{Code, Outcome};

use super::{check, one, one_ordered};
use crate::story::{Line, held, held_as, order, place, refused, sold_out, story};

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
