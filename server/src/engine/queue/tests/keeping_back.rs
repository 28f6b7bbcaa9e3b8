//! When a batch waits beside the one that set out last, and what ends that.

use super::*;

/// So many products with a hold each, from `first` on.
fn place_one_each(queue: &Arc<Queue>, first: u64, count: u64) -> Vec<Caller> {
    (first..first + count).map(|id| place(queue, ProductId(id), None)).collect()
}

#[tokio::test(start_paused = true)]
async fn few_products_wait_for_more_or_for_the_end_of_the_latest_batch() {
    let queue = Arc::new(queue_of(100, 4));
    let mut callers = place_one_each(&queue, 1, 20);
    assert_eq!(take(&queue).len(), 20);
    callers.extend(place_one_each(&queue, 101, 19));
    assert_eq!(take(&queue).len(), 0);
    callers.extend(place_one_each(&queue, 120, 1));
    assert_eq!(take(&queue).len(), 20, "as many as the latest has");

    callers.extend(place_one_each(&queue, 201, 3));
    finish(&queue, (1..21).map(ProductId));
    assert_eq!(take(&queue).len(), 0, "that was not the latest");
    finish(&queue, (101..121).map(ProductId));
    assert_eq!(take(&queue).len(), 3);

    callers.extend(place_one_each(&queue, 301, 15));
    assert_eq!(take(&queue).len(), 15, "the latest is small");
    callers.extend(place_one_each(&queue, 401, 1));
    assert_eq!(take(&queue).len(), 1, "and so is this one");
    drop(callers);
}

#[tokio::test(start_paused = true)]
async fn what_presses_waits_for_no_other_product() {
    let queue = Arc::new(queue_of(100, 4));
    let mut callers = place_one_each(&queue, 1, 20);
    assert_eq!(take(&queue).len(), 20);
    callers.push(place(&queue, ProductId(101), None));
    assert_eq!(take(&queue).len(), 0);
    callers.push(settle(&queue, ProductId(102), 1));
    assert_eq!(products(&take(&queue)), [101, 102], "money, and who is there already");

    callers.extend(place_one_each(&queue, 201, 20));
    assert_eq!(take(&queue).len(), 20);
    callers.extend((0..15).map(|_| place(&queue, ProductId(103), None)));
    assert_eq!(take(&queue).len(), 0);
    callers.push(place(&queue, ProductId(103), None));
    assert_eq!(take(&queue).len(), 16, "many of one product");

    callers.extend(place_one_each(&queue, 301, 20));
    assert_eq!(take(&queue).len(), 20);
    callers.extend((0..15).map(|_| place(&queue, ProductId(301), None)));
    set_committing(&queue, ProductId(301), true);
    assert_eq!(take(&queue).len(), 0);
    callers.push(place(&queue, ProductId(301), None));
    assert_eq!(take(&queue).len(), 16, "many of a product whose batch commits");
    drop(callers);
}

/// What a worker that waits for a batch gets, and after how many milliseconds.
fn next(queue: &Arc<Queue>) -> tokio::task::JoinHandle<(usize, u128)> {
    let (queue, began) = (Arc::clone(queue), Instant::now());
    tokio::spawn(async move {
        let taken = queue.next_batch().await.expect("it is open");
        (taken.tickets.len(), began.elapsed().as_millis())
    })
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_waits_is_told_when_it_may_set_out() {
    let queue = Arc::new(queue_of(100, 4));
    let mut callers = place_one_each(&queue, 1, 20);
    assert_eq!(take(&queue).len(), 20);

    let worker = next(&queue);
    tokio::task::yield_now().await;
    callers.extend(place_one_each(&queue, 101, 2));
    tokio::task::yield_now().await;
    callers.extend(place_one_each(&queue, 103, 18));
    assert_eq!(worker.await.expect("it took"), (20, 0), "enough");

    let worker = next(&queue);
    tokio::task::yield_now().await;
    callers.extend(place_one_each(&queue, 201, 2));
    tokio::task::yield_now().await;
    finish(&queue, (101..121).map(ProductId));
    assert_eq!(worker.await.expect("it took"), (2, 0), "the end of the latest");

    callers.extend(place_one_each(&queue, 301, 16));
    assert_eq!(take(&queue).len(), 16);
    let worker = next(&queue);
    tokio::task::yield_now().await;
    callers.extend(place_one_each(&queue, 401, 2));
    tokio::task::yield_now().await;
    callers.extend((0..15).map(|_| place(&queue, ProductId(401), None)));
    assert_eq!(worker.await.expect("it took"), (17, 0), "many of one product");

    callers.extend(place_one_each(&queue, 501, 16));
    assert_eq!(take(&queue).len(), 16);
    let worker = next(&queue);
    tokio::task::yield_now().await;
    callers.extend(place_one_each(&queue, 601, 2));
    assert_eq!(worker.await.expect("it took"), (2, 20), "the latest takes its time");
    drop(callers);
}
