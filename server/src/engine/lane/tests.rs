//! In which order commands go, and how those of callers who left are forgotten.

use std::sync::Arc;

use sale::{Command, HoldId, Key, OrderId, PaymentStatus, ProductId, Quantity};

use super::super::ticket::Caller;
use super::super::waiting::Waiting;
use super::*;
use crate::telemetry::Metrics;

const ONE: ProductId = ProductId(1);

struct Counter(Arc<Waiting>);

impl Counter {
    fn new() -> Self {
        Self(Arc::new(Waiting::new(Metrics::new().engine)))
    }

    fn wish(&self, key: Option<&str>) -> (Ticket, Caller) {
        let key = key.map(|key| Key::new(key.as_bytes()).unwrap());
        let quantity = Quantity::new(1).unwrap();
        let command = Command::PlaceHold { hold_id: HoldId(0), product_id: ONE, quantity, key };
        self.ticket(command, Class::Hold)
    }

    fn payment(&self) -> (Ticket, Caller) {
        let key = Key::new(b"event").unwrap();
        let command = Command::SettlePayment { key, order_id: OrderId(1), status: PaymentStatus::Success };
        self.ticket(command, Class::Money)
    }

    fn ticket(&self, command: Command, class: Class) -> (Ticket, Caller) {
        Ticket::new(ONE, command, class, Some(Instant::now() + Duration::from_mins(1)), &self.0)
    }
}

/// How many holds, and how many other commands, a batch of `most` takes.
fn take(lane: &mut Lane, most: usize) -> (usize, usize) {
    let (mut holds, mut others) = (0, 0);
    let taken = lane.take(most, |_, ticket| {
        *(if ticket.class == Class::Hold { &mut holds } else { &mut others }) += 1;
        true
    });
    assert_eq!(taken, holds + others);
    (holds, others)
}

#[test]
fn money_goes_first_and_leaves_an_eighth_to_wishes() {
    let counter = Counter::new();
    for (holds, others, most, expected) in [
        (100, 5, 16, (11, 5)),
        (100, 100, 16, (2, 14)),
        (1, 100, 16, (1, 15)),
        (0, 100, 16, (0, 16)),
        // A transaction for each command: money first.
        (100, 100, 1, (0, 1)),
        (100, 0, 1, (1, 0)),
        (3, 3, 16, (3, 3)),
    ] {
        let mut lane = Lane::new(most, true);
        let mut callers = Vec::new();
        for (ticket, caller) in (0..holds).map(|_| counter.wish(None)).chain((0..others).map(|_| counter.payment())) {
            lane.push(ticket);
            callers.push(caller);
        }
        assert_eq!(take(&mut lane, most), expected, "of {holds} holds and {others} others");
    }
}

#[test]
fn callers_who_left_take_no_more_room_than_those_who_wait() {
    let counter = Counter::new();
    let mut lane = Lane::new(8, true);
    // Nothing is taken: somebody keeps the product locked, and customers come and go.
    let mut waiting = VecDeque::new();
    for n in 0..20_000 {
        let (ticket, caller) = counter.wish(None);
        lane.push(ticket);
        waiting.push_back(caller);
        if n >= 100 {
            waiting.pop_front();
        }
        assert!(lane.holds() <= 400, "{} tickets for {} callers", lane.holds(), waiting.len());
    }
    lane.forget_gone();
    assert_eq!(take(&mut lane, 20_000), (waiting.len(), 0), "those who wait are all there");
}

#[test]
fn who_is_forgotten_gives_its_key_back() {
    let counter = Counter::new();
    let mut lane = Lane::new(8, true);
    let (gone, caller) = counter.wish(Some("k"));
    lane.push(gone);
    let (stays, _caller) = counter.wish(Some("l"));
    lane.push(stays);
    drop(caller);
    assert_eq!(lane.forget_gone(), [KeyName::Hold(Key::new(b"k").unwrap())]);
    assert_eq!(lane.holds(), 1);
    assert_eq!(lane.forget_gone(), []);
}

#[test]
fn a_wish_goes_with_no_batch_that_it_cannot_wait_for() {
    let counter = Counter::new();
    let (wish, _caller) = counter.wish(None);
    assert!(!wish.take(Instant::now(), Duration::from_mins(2)), "its deadline is in a minute");
    assert!(wish.take(Instant::now(), Duration::from_secs(1)));
    let (payment, _caller) = counter.payment();
    assert!(
        payment.take(Instant::now(), Duration::from_mins(2)),
        "a payment counts, whether its answer is heard or not"
    );
}

#[test]
fn whose_deadline_has_come_is_gone() {
    let counter = Counter::new();
    let mut lane = Lane::new(8, true);
    let command = counter.wish(None).0.command.clone();
    let (ticket, _caller) = Ticket::new(ONE, command, Class::Hold, Some(Instant::now()), &counter.0);
    assert!(!ticket.take(Instant::now(), Duration::ZERO) && !ticket.claim(Instant::now()));
    lane.push(ticket);
    assert_eq!(lane.oldest(Class::Hold), None);
    lane.forget_gone();
    assert_eq!(lane.holds(), 0);
}
