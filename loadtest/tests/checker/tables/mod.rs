//! For each check what breaks it, and beside it the nearest story that a right server can tell.
//!
//! Each check has a file; here is what they share, and what is believed of a history that is cut off.

mod deadlines;
mod final_states;
mod no_false_sold_out;
mod no_oversell;
mod one_order_per_hold;
mod payment_keys;
mod reads_of_holds_and_orders;
mod reads_of_products;
mod replays;

use holdfast_loadtest::check::Check::{self, NoOversell, OneOrderPerHold};
use holdfast_loadtest::history::OrderStatus::Paid;

use crate::story::{Story, held, order_shown, ordered, ordered_as, story};

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
fn of_a_history_that_is_cut_off_only_what_contradicts_itself_is_believed() {
    let sold = || story(1).line(0, 10, held(1, 1)).line(20, 30, held(2, 1));
    assert_eq!(sold().broken(), [NoOversell]);
    assert_eq!(sold().broken_if_cut_off(), [], "a release may be missing");
    assert_eq!(one_ordered().line(60, 70, order_shown(1, Paid)).broken_if_cut_off(), [], "an event may be missing");
    assert_eq!(one_ordered().line(25, 35, ordered_as(1, 12, 102)).broken_if_cut_off(), [OneOrderPerHold]);
}
