//! What the queue hands out, in which order, and what it counts: without a store, and without workers.

mod keeping_back;

use sale::{Command, HoldId, Key, OrderId, PaymentStatus, Quantity};

use super::super::ticket::{Caller, Left, Waited};
use super::super::waiting::HOLDS_MAX;
use super::*;
use crate::telemetry::Metrics;

const ONE: ProductId = ProductId(1);
const TWO: ProductId = ProductId(2);

fn queue_of(batch_max: usize, workers: usize) -> Queue {
    Queue::new(batch_max, workers, Arc::new(Waiting::new(Metrics::new().engine)))
}

/// A deadline that no test should reach.
fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn waiting(queue: &Queue) -> Arc<Waiting> {
    Arc::clone(&queue.waiting)
}

/// How many holds, and how many other commands, wait.
fn counts(queue: &Queue) -> (usize, usize) {
    let waiting = waiting(queue);
    (waiting.count(Class::Hold), waiting.count(Class::Money))
}

fn place(queue: &Arc<Queue>, product_id: ProductId, key: Option<&str>) -> Caller {
    let key = key.map(|key| Key::new(key.as_bytes()).unwrap());
    let command = Command::PlaceHold { hold_id: HoldId(0), product_id, quantity: Quantity::new(1).unwrap(), key };
    push(queue, product_id, command, Class::Hold)
}

fn settle(queue: &Arc<Queue>, product_id: ProductId, order_id: u64) -> Caller {
    let key = Key::new(format!("event {order_id}").as_bytes()).unwrap();
    let command = Command::SettlePayment { key, order_id: OrderId(order_id), status: PaymentStatus::Success };
    push(queue, product_id, command, Class::Money)
}

fn push(queue: &Arc<Queue>, product_id: ProductId, command: Command, class: Class) -> Caller {
    let (ticket, caller) = Ticket::new(product_id, command, class, Some(soon()), &waiting(queue));
    queue.push(ticket).unwrap();
    caller
}

/// The batch that is ready at this moment; empty if there is none.
fn take(queue: &Queue) -> Vec<Ticket> {
    let taken = queue.lock().take_batch(queue.batch_max);
    taken.map(|taken| taken.tickets).unwrap_or_default()
}

/// What is under way of these products ends.
fn finish(queue: &Queue, products: impl IntoIterator<Item = ProductId>) {
    for product_id in products {
        for flight in flights(queue, product_id) {
            queue.finish(flight, [product_id]);
        }
    }
}

/// Commands come back from the first batch of their products.
fn put_back(queue: &Queue, tickets: Vec<Ticket>) {
    for ticket in tickets.into_iter().rev() {
        let flight = flights(queue, ticket.product_id)[0];
        queue.put_back(flight, vec![ticket]);
    }
}

fn flights(queue: &Queue, product_id: ProductId) -> Vec<FlightId> {
    queue.lock().lanes.get(&product_id).map(|lane| lane.flights.ids()).unwrap_or_default()
}

fn products(batch: &[Ticket]) -> Vec<u64> {
    batch.iter().map(|ticket| ticket.product_id.0).collect()
}

#[test]
fn a_product_is_in_flight_once_and_what_comes_meanwhile_goes_into_the_next_batch() {
    let queue = Arc::new(queue_of(10, 4));
    let _first = place(&queue, ONE, None);
    assert_eq!(products(&take(&queue)), [1]);
    let _second = place(&queue, ONE, None);
    let _third = place(&queue, ONE, None);
    let _other = place(&queue, TWO, None);
    assert_eq!(products(&take(&queue)), [2], "product 1 is in flight");
    finish(&queue, [ONE]);
    assert_eq!(products(&take(&queue)), [1, 1]);
}

/// Sends the commit of the only batch of a product, or has it fail.
fn set_committing(queue: &Queue, product_id: ProductId, is_committing: bool) {
    let flight = flights(queue, product_id)[0];
    queue.set_committing(flight, [&product_id], is_committing);
}

#[test]
fn a_product_whose_batch_commits_may_have_one_more_under_way() {
    let queue = Arc::new(queue_of(10, 4));
    let _callers: Vec<Caller> = (0..2).map(|_| place(&queue, ONE, None)).collect();
    assert_eq!(take(&queue).len(), 2);
    let _second = place(&queue, ONE, None);
    assert!(take(&queue).is_empty());
    set_committing(&queue, ONE, true);
    assert_eq!(take(&queue).len(), 1, "it waited when the commit was sent");
    let _third = place(&queue, ONE, None);
    assert!(take(&queue).is_empty(), "two are under way");
    let [first, second] = flights(&queue, ONE)[..] else { panic!("two are under way") };
    assert_eq!(queue.shared_with_another(second, [&ONE, &TWO]), BTreeSet::from([ONE]));
    // The second is not committing yet, so nobody follows it.
    queue.finish(first, [ONE]);
    assert!(take(&queue).is_empty());
    assert_eq!(queue.shared_with_another(second, [&ONE]), BTreeSet::new());
    queue.set_committing(second, [&ONE], true);
    assert_eq!(take(&queue).len(), 1);
    finish(&queue, [ONE]);
    assert!(queue.lock().lanes.is_empty());
}

#[test]
fn a_batch_is_followed_by_as_many_or_by_holds_that_may_be_joined() {
    let queue = Arc::new(queue_of(10, 4));
    let mut callers: Vec<Caller> = (0..4).map(|_| place(&queue, ONE, None)).collect();
    assert_eq!(take(&queue).len(), 4);
    set_committing(&queue, ONE, true);
    callers.push(place(&queue, ONE, Some("k")));
    callers.push(place(&queue, ONE, Some("l")));
    callers.push(place(&queue, ONE, Some("m")));
    assert!(take(&queue).is_empty(), "three after four are too few");
    callers.push(settle(&queue, ONE, 7));
    assert_eq!(take(&queue).len(), 4);
    finish(&queue, [ONE]);
    callers.extend((0..4).map(|_| place(&queue, ONE, None)));
    assert_eq!(take(&queue).len(), 4);
    set_committing(&queue, ONE, true);
    callers.push(place(&queue, ONE, None));
    assert_eq!(take(&queue).len(), 1, "others can join it");
}

#[test]
fn a_commit_in_doubt_is_not_followed() {
    let queue = Arc::new(queue_of(10, 4));
    let _first = place(&queue, ONE, None);
    let batch = take(&queue);
    set_committing(&queue, ONE, true);
    // It is its turn, when the commit turns out to be in doubt.
    let _second = place(&queue, ONE, None);
    set_committing(&queue, ONE, false);
    assert!(take(&queue).is_empty());
    drop(batch);
    finish(&queue, [ONE]);
    assert_eq!(take(&queue).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_follows_a_suspect_or_a_product_whose_batches_are_slow_or_where_one_writes_at_a_time() {
    let suspected = Arc::new(queue_of(10, 4));
    suspected.suspect(ONE);
    let one_writer = Arc::new(queue_of(10, 1));
    let slow = Arc::new(queue_of(10, 4));
    let _first = place(&slow, ONE, None);
    let batch = take(&slow);
    let _waits = place(&slow, ONE, None);
    tokio::time::advance(Duration::from_secs(1)).await;
    drop(batch);
    finish(&slow, [ONE]);
    for queue in [suspected, one_writer, slow] {
        let _first = place(&queue, ONE, None);
        let _batch = take(&queue);
        set_committing(&queue, ONE, true);
        let _second = place(&queue, ONE, None);
        assert!(take(&queue).is_empty());
    }
}

#[test]
fn a_batch_that_has_its_lock_takes_in_holds_that_name_nothing_until_another_command_comes() {
    let queue = Arc::new(queue_of(10, 4));
    let _first = place(&queue, ONE, None);
    let _batch = take(&queue);
    let flight = flights(&queue, ONE)[0];
    let mut callers: Vec<Caller> = (0..5).map(|_| place(&queue, ONE, None)).collect();
    assert_eq!(queue.top_up(flight, ONE, 2, |_| true).len(), 2, "there is room for two");
    drop(callers.pop());
    callers.push(place(&queue, ONE, Some("k")));
    callers.push(place(&queue, ONE, None));
    let mut asked = 0;
    let more = queue.top_up(flight, ONE, 10, |_| {
        asked += 1;
        true
    });
    assert_eq!((more.len(), asked), (2, 3), "one caller left, and the one with a key keeps its place");
    assert_eq!(queue.top_up(flight, ONE, 10, |_| true).len(), 0);
    assert_eq!(counts(&queue), (2, 0));
    finish(&queue, [ONE]);
    assert_eq!(take(&queue).len(), 2);
    let flight = flights(&queue, ONE)[0];
    let _plain = place(&queue, ONE, None);
    assert_eq!(queue.top_up(flight, ONE, 10, |_| false).len(), 0, "it is not wanted");
    let _money = settle(&queue, ONE, 7);
    assert_eq!(queue.top_up(flight, ONE, 10, |_| true).len(), 0, "money goes first");
}

#[test]
fn a_batch_is_shared_fairly_and_filled() {
    let queue = Arc::new(queue_of(6, 4));
    let mut callers = Vec::new();
    for _ in 0..9 {
        callers.push(place(&queue, ONE, None));
    }
    callers.push(place(&queue, TWO, None));
    let batch = take(&queue);
    assert_eq!(batch.len(), 6);
    assert_eq!(batch.iter().filter(|ticket| ticket.product_id == TWO).count(), 1);
    assert_eq!(counts(&queue), (4, 0));
}

#[test]
fn money_comes_before_wishes() {
    let queue = Arc::new(queue_of(1, 4));
    let _hold = place(&queue, ONE, None);
    let _payment = settle(&queue, ONE, 7);
    assert_eq!(take(&queue).first().map(|ticket| ticket.class), Some(Class::Money));
}

#[test]
fn who_withdraws_is_not_in_the_batch_and_does_not_count() {
    let queue = Arc::new(queue_of(10, 4));
    let gone = place(&queue, ONE, None);
    let _stays = place(&queue, ONE, None);
    drop(gone);
    assert_eq!(counts(&queue), (1, 0));
    assert_eq!(take(&queue).len(), 1);
    assert_eq!(counts(&queue), (0, 0));
}

#[test]
fn a_lane_whose_every_caller_left_is_forgotten() {
    let queue = Arc::new(queue_of(10, 4));
    drop(place(&queue, ONE, None));
    assert!(take(&queue).is_empty());
    assert!(queue.lock().lanes.is_empty());
    let _next = place(&queue, ONE, None);
    assert_eq!(take(&queue).len(), 1);
}

#[test]
fn a_key_is_at_work_for_one_product_at_a_time() {
    let queue = Arc::new(queue_of(10, 4));
    let _first = place(&queue, ONE, Some("k"));
    let _same = place(&queue, ONE, Some("k"));
    let _other = place(&queue, TWO, Some("k"));
    let batch = take(&queue);
    assert_eq!(products(&batch), [1, 1], "the key is with product 1");
    assert!(take(&queue).is_empty());
    queue.release_keys(batch.iter().filter_map(Ticket::key_name));
    assert_eq!(products(&take(&queue)), [2]);
}

fn wish(queue: &Queue, product_id: ProductId, deadline: Instant) -> (Ticket, Caller) {
    let quantity = Quantity::new(1).unwrap();
    let command = Command::PlaceHold { hold_id: HoldId(0), product_id, quantity, key: None };
    Ticket::new(product_id, command, Class::Hold, Some(deadline), &waiting(queue))
}

/// What a hold is told that is not let in.
fn refusal(queue: &Queue, product_id: ProductId) -> Rejection {
    let (ticket, caller) = wish(queue, product_id, soon());
    let refused = queue.push(ticket).unwrap_err();
    caller.never_queued();
    refused
}

#[test]
fn bounds_are_apart_and_internal_work_has_none() {
    let queue = Arc::new(queue_of(10, 4));
    let callers: Vec<Caller> = (0..HOLDS_MAX as u64).map(|n| place(&queue, ProductId(10 + n % 2), None)).collect();
    assert_eq!(refusal(&queue, ONE), Rejection::Overloaded(Overload::QueueFull));
    assert_eq!(queue.admits_hold(ONE), Err(Rejection::Overloaded(Overload::QueueFull)));
    assert_eq!(counts(&queue).0, HOLDS_MAX, "a refused wish was never counted");
    let _payment = settle(&queue, ONE, 1);
    let _expiry = push(&queue, ONE, Command::ExpireHolds { product_id: ONE }, Class::Internal);
    drop(callers);
    assert_eq!(counts(&queue), (0, 1));
    assert_eq!(queue.admits_hold(ONE), Ok(()));
}

#[test]
fn one_product_leaves_room_to_the_others() {
    let queue = Arc::new(queue_of(10, 4));
    let mut callers: Vec<Caller> = (0..HOLDS_PER_PRODUCT_MAX).map(|_| place(&queue, ONE, None)).collect();
    assert_eq!(refusal(&queue, ONE), Rejection::Overloaded(Overload::QueueFull));
    callers.push(place(&queue, TWO, None));
    // Who leaves makes room, though nothing moves.
    callers.remove(0);
    callers.push(place(&queue, ONE, None));
    assert_eq!(counts(&queue).0, HOLDS_PER_PRODUCT_MAX + 1);
}

#[tokio::test(start_paused = true)]
async fn a_product_that_does_not_move_takes_no_more_holds_until_it_does() {
    let queue = Arc::new(queue_of(10, 4));
    let (_first, _oldest) = (place(&queue, ONE, None), place(&queue, ONE, None));
    let batch = take(&queue);
    let oldest = place(&queue, ONE, None);
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(queue.admits_hold(ONE), Ok(()), "nobody has looked yet");
    let slow = Rejection::Overloaded(Overload::QueueSlow { wait: Duration::from_secs(31) });
    assert_eq!(refusal(&queue, ONE), slow);
    assert_eq!(queue.admits_hold(ONE), Err(slow), "those who come after it need not ask the queue");
    assert_eq!(queue.admits_hold(TWO), Ok(()));
    let _payment = settle(&queue, ONE, 7);
    assert_eq!(counts(&queue), (1, 1), "money comes in");
    finish(&queue, [ONE]);
    drop(batch);
    let batch = take(&queue);
    assert_eq!(batch.iter().map(|ticket| ticket.class).collect::<Vec<_>>(), [Class::Money]);
    assert!(matches!(oldest.wait(None).await, Waited::Left(Left::Withdrawn)), "a batch takes longer than it can wait");
    assert_eq!(queue.admits_hold(ONE), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_product_that_is_found_locked_again_and_again_does_not_move() {
    let queue = Arc::new(queue_of(10, 4));
    let _waits = place(&queue, ONE, None);
    for _ in 0..7 {
        let batch = take(&queue);
        assert_eq!(batch.len(), 1);
        queue.suspect(ONE);
        put_back(&queue, batch);
        finish(&queue, [ONE]);
        tokio::time::advance(Duration::from_secs(5)).await;
    }
    let refused = refusal(&queue, ONE);
    assert_eq!(refused, Rejection::Overloaded(Overload::QueueSlow { wait: Duration::from_secs(35) }));
    // One batch of it that is carried out is enough.
    drop(take(&queue));
    let _next = settle(&queue, ONE, 7);
    finish(&queue, [ONE]);
    let _welcome = place(&queue, ONE, None);
}

#[tokio::test(start_paused = true)]
async fn a_door_is_looked_at_again_and_forgotten_with_its_lane() {
    let queue = Arc::new(queue_of(10, 4));
    let _first = place(&queue, ONE, None);
    let batch = take(&queue);
    let oldest = place(&queue, ONE, None);
    tokio::time::advance(Duration::from_secs(31)).await;
    refusal(&queue, ONE);
    drop(oldest);
    assert!(queue.admits_hold(ONE).is_err());
    tokio::time::advance(Duration::from_millis(20)).await;
    assert_eq!(queue.admits_hold(ONE), Ok(()), "its callers may have left");
    drop(batch);
    finish(&queue, [ONE]);
    assert!(take(&queue).is_empty());
    assert_eq!(queue.doors.refusal(ONE), None);
}

#[tokio::test(start_paused = true)]
async fn past_its_deadline_a_command_goes_with_no_batch() {
    let queue = Arc::new(queue_of(10, 4));
    let (late, late_caller) = wish(&queue, ONE, Instant::now() + Duration::from_secs(1));
    queue.push(late).unwrap();
    let _stays = place(&queue, ONE, None);
    // Its caller did not get round to looking at the clock.
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(take(&queue).len(), 1);
    assert!(matches!(late_caller.wait(None).await, Waited::Left(Left::Withdrawn)), "surely nothing happened");
    assert_eq!(counts(&queue), (0, 0));
}

#[test]
fn callers_that_wait_for_a_key_and_leave_are_forgotten() {
    let queue = Arc::new(queue_of(10, 4));
    let first = place(&queue, ONE, Some("k"));
    for _ in 0..10_000 {
        drop(place(&queue, TWO, Some("k")));
    }
    let _waits = place(&queue, TWO, Some("k"));
    let parked = queue.lock().keys.values().map(|user| user.parked.len()).sum::<usize>();
    assert!(parked < 10, "{parked} tickets for one caller");
    drop(first);
    assert_eq!(products(&take(&queue)), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_locked_product_rests_alone_and_keeps_half_of_the_workers_at_most() {
    let queue = Arc::new(queue_of(10, 4));
    let blocked: Vec<ProductId> = (10..13).map(ProductId).collect();
    let _callers: Vec<Caller> = blocked.iter().map(|product_id| place(&queue, *product_id, None)).collect();
    for ticket in take(&queue) {
        let product_id = ticket.product_id;
        queue.suspect(product_id);
        put_back(&queue, vec![ticket]);
        finish(&queue, [product_id]);
    }
    let _other = place(&queue, ONE, None);
    assert_eq!(products(&take(&queue)), [1], "it rests");
    tokio::time::advance(REST).await;
    let (first, second) = (take(&queue), take(&queue));
    assert_eq!((first.len(), second.len()), (1, 1), "each is tried alone");
    assert!(take(&queue).is_empty(), "half of the workers are left to the others");
    finish(&queue, [first[0].product_id]);
    assert_eq!(take(&queue).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_suspect_that_nobody_wanted_for_a_while_still_goes_alone() {
    let queue = Arc::new(queue_of(10, 4));
    queue.suspect(ONE);
    let (_suspect, _other) = (place(&queue, ONE, None), place(&queue, TWO, None));
    assert_eq!(products(&take(&queue)), [1]);
    assert_eq!(products(&take(&queue)), [2]);
    queue.trust([&ONE]);
    finish(&queue, [ONE, TWO]);
    let (_suspect, _other) = (place(&queue, ONE, None), place(&queue, TWO, None));
    assert_eq!(take(&queue).len(), 2, "it is trusted again");
}

#[test]
fn a_lane_whose_callers_left_while_it_was_in_flight_is_served_again() {
    let queue = Arc::new(queue_of(10, 4));
    let gone = place(&queue, ONE, None);
    let batch = take(&queue);
    drop(gone);
    put_back(&queue, batch);
    finish(&queue, [ONE]);
    assert_eq!(counts(&queue), (0, 0));
    let _next = place(&queue, ONE, None);
    assert_eq!(take(&queue).len(), 1);
}

#[tokio::test]
async fn a_closed_queue_hands_out_what_waits_and_ends() {
    let queue = Arc::new(queue_of(10, 4));
    let caller = place(&queue, ONE, None);
    queue.close();
    let batch = queue.next_batch().await.unwrap();
    for ticket in batch.tickets {
        ticket.answer(Err(Rejection::Internal));
    }
    finish(&queue, [ONE]);
    assert!(queue.next_batch().await.is_none());
    assert!(matches!(caller.wait(None).await, Waited::Answered(Err(Rejection::Internal))));
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_queue_is_that_of_commands_in_flight_too() {
    let metrics = Metrics::new().engine;
    let queue = Arc::new(Queue::new(1, 4, Arc::new(Waiting::new(metrics.clone()))));
    let ages = || {
        queue.show_age();
        let age = |of| metrics.queue_age.of(of).get();
        (age(crate::telemetry::labels::Queue::Holds), age(crate::telemetry::labels::Queue::Others))
    };
    assert_eq!(ages(), (0.0, 0.0));
    let _first = place(&queue, ONE, None);
    tokio::time::advance(Duration::from_secs(2)).await;
    let _second = place(&queue, ONE, None);
    let batch = take(&queue);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(ages(), (3.0, 0.0), "a worker waits for the lock of the first");
    // Due work has no age: the lag of expiry is that.
    let _expiry = push(&queue, TWO, Command::ExpireHolds { product_id: TWO }, Class::Internal);
    assert_eq!(take(&queue).len(), 1);
    put_back(&queue, batch);
    finish(&queue, [ONE, TWO]);
    assert_eq!(ages(), (3.0, 0.0), "it came back from its batch");
    assert_eq!(take(&queue).len(), 1);
    finish(&queue, [ONE]);
    assert_eq!(ages(), (1.0, 0.0), "the second waits yet");
}
