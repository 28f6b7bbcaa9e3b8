//! What the queue hands out, in which order, and what it counts: without a store, and without workers.

use sale::{Command, HoldId, Key, OrderId, PaymentStatus, Quantity};

use super::super::ticket::{Caller, Waited};
use super::super::waiting::HOLDS_MAX;
use super::*;
use crate::telemetry::Metrics;

const ONE: ProductId = ProductId(1);
const TWO: ProductId = ProductId(2);

fn queue_of(batch_max: usize, workers: usize) -> Queue {
    Queue::new(batch_max, workers, Arc::new(Waiting::new(Metrics::new().engine)))
}

fn waiting(queue: &Queue) -> Arc<Waiting> {
    Arc::clone(&queue.lock().waiting)
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
    let (ticket, caller) = Ticket::new(product_id, command, class, &waiting(queue));
    queue.push(ticket).unwrap();
    caller
}

/// The batch that is ready at this moment; empty if there is none.
fn take(queue: &Queue) -> Vec<Ticket> {
    let taken = queue.lock().take_batch(queue.batch_max, queue.suspects_max);
    taken.map(|taken| taken.tickets).unwrap_or_default()
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
    queue.finish([ONE]);
    assert_eq!(products(&take(&queue)), [1, 1]);
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

#[test]
fn bounds_are_apart_and_internal_work_has_none() {
    let queue = Arc::new(queue_of(10, 4));
    let callers: Vec<Caller> = (0..HOLDS_MAX).map(|_| place(&queue, ONE, None)).collect();
    let wish =
        Command::PlaceHold { hold_id: HoldId(0), product_id: ONE, quantity: Quantity::new(1).unwrap(), key: None };
    let (ticket, caller) = Ticket::new(ONE, wish, Class::Hold, &waiting(&queue));
    assert_eq!(queue.push(ticket), Err(Rejection::Overloaded));
    caller.never_queued();
    assert_eq!(counts(&queue).0, HOLDS_MAX, "a refused wish was never counted");
    let _payment = settle(&queue, ONE, 1);
    let _expiry = push(&queue, ONE, Command::ExpireHolds { product_id: ONE }, Class::Internal);
    drop(callers);
    assert_eq!(counts(&queue), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_locked_product_rests_alone_and_keeps_half_of_the_workers_at_most() {
    let queue = Arc::new(queue_of(10, 4));
    let blocked: Vec<ProductId> = (10..13).map(ProductId).collect();
    let _callers: Vec<Caller> = blocked.iter().map(|product_id| place(&queue, *product_id, None)).collect();
    for ticket in take(&queue) {
        let product_id = ticket.product_id;
        queue.suspect(product_id);
        queue.put_back(vec![ticket]);
        queue.finish([product_id]);
    }
    let _other = place(&queue, ONE, None);
    assert_eq!(products(&take(&queue)), [1], "it rests");
    tokio::time::advance(REST).await;
    let (first, second) = (take(&queue), take(&queue));
    assert_eq!((first.len(), second.len()), (1, 1), "each is tried alone");
    assert!(take(&queue).is_empty(), "half of the workers are left to the others");
    queue.finish([first[0].product_id]);
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
    queue.finish([ONE, TWO]);
    let (_suspect, _other) = (place(&queue, ONE, None), place(&queue, TWO, None));
    assert_eq!(take(&queue).len(), 2, "it is trusted again");
}

#[test]
fn a_lane_whose_callers_left_while_it_was_in_flight_is_served_again() {
    let queue = Arc::new(queue_of(10, 4));
    let gone = place(&queue, ONE, None);
    let batch = take(&queue);
    drop(gone);
    queue.put_back(batch);
    queue.finish([ONE]);
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
    queue.finish([ONE]);
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
    queue.put_back(batch);
    queue.finish([ONE, TWO]);
    assert_eq!(ages(), (3.0, 0.0), "it came back from its batch");
    assert_eq!(take(&queue).len(), 1);
    queue.finish([ONE]);
    assert_eq!(ages(), (1.0, 0.0), "the second waits yet");
}
