//! Connections that fall silent, and callers that lose patience: nothing of a call that did not end stays
//! behind, neither a dead connection that the next call would use nor a lock that it would wait for.
//!
//! On MariaDB only: a file does not fall silent.

use holdfast_loadtest::rig::proxy::{Effect, Point, Proxy};

use super::*;
use crate::store::Sequence;
use crate::store::mysql::MySql;
use crate::store::session::{Backend, Cells, Purpose, Session as _};

/// A store that reaches the database of `place` through a proxy.
async fn through_a_proxy(place: &Place) -> (Arc<dyn Store>, Proxy) {
    let proxy = Proxy::mysql(&place.database.address()).await.expect("a port");
    let url = place.database.url_through(&proxy.address());
    (crate::store::open(&url, &OpenOptions::default()).await.expect("the URL is fine"), proxy)
}

#[tokio::test]
async fn ids_are_reserved_though_the_kept_connection_falls_silent() {
    let place = Place::mysql().await;
    let (store, proxy) = through_a_proxy(&place).await;
    let first = store.reserve_ids(Sequence::Holds, 1).await.expect("reserved");
    proxy.on_query("id_blocks", Point::AfterQuery, Effect::Silence);
    let second = within(store.reserve_ids(Sequence::Holds, 1)).await.expect("reserved on another connection");
    assert_eq!(proxy.struck(), 1, "the kept connection was tried");
    assert!(second > first);
}

#[tokio::test]
async fn a_reservation_that_nobody_waited_for_keeps_no_lock_and_no_connection() {
    let place = Place::mysql().await;
    let (store, proxy) = through_a_proxy(&place).await;
    for kept in [false, true] {
        if kept {
            store.reserve_ids(Sequence::Holds, 1).await.expect("reserved");
        }
        let struck = proxy.struck() + 1;
        proxy.on_query("id_blocks", Point::AfterQuery, Effect::Silence);
        within(async {
            tokio::select! {
                answer = store.reserve_ids(Sequence::Holds, 1) => panic!("{answer:?}"),
                () = proxy.wait_until_struck(struck) => {}
            }
        })
        .await;
        // The silent connection is still open at the server: a lock in it would be kept for half a minute.
        for store in [&place.store, &store] {
            let once_more = within(store.reserve_ids(Sequence::Holds, 1)).await;
            once_more.unwrap_or_else(|error| panic!("kept: {kept}: {error}"));
        }
    }
}

#[tokio::test]
async fn a_read_that_nobody_waited_for_keeps_no_connection() {
    let place = Place::mysql().await;
    let products = [place.product(10).await];
    let (store, proxy) = through_a_proxy(&place).await;
    store.stocks(&products, &[]).await.expect("read, and the connection is kept");
    proxy.on_query("products", Point::BeforeQuery, Effect::Silence);
    within(async {
        tokio::select! {
            answer = store.stocks(&products, &[]) => panic!("{answer:?}"),
            () = proxy.wait_until_struck(1) => {}
        }
    })
    .await;
    within(store.stocks(&products, &[])).await.expect("read on another connection");
}

#[tokio::test]
async fn whoever_writes_gives_up_its_locks_when_it_vanishes() {
    let place = Place::mysql().await;
    let backend = MySql::new(place.database.url()).expect("the URL is fine");
    // `wait_timeout`, `net_read_timeout`, `innodb_lock_wait_timeout`, `lock_wait_timeout`, in seconds.
    for (purpose, at_most) in [
        (Purpose::Batches, [30, 30, 1, 1]),
        (Purpose::Desk, [30, 30, 1, 2]),
        (Purpose::Migration, [30, 30, 1, i64::MAX]),
        (Purpose::Reads, [i64::MAX, i64::MAX, 1, 2]),
    ] {
        let mut session = backend.connect(purpose).await.expect("the database answers");
        let names = "SELECT @@wait_timeout, @@net_read_timeout, @@innodb_lock_wait_timeout, @@lock_wait_timeout";
        let results = session.run(names.to_owned()).await.expect("the settings are read");
        let row = &results[0].rows[0];
        for (i, at_most) in at_most.into_iter().enumerate() {
            let seconds = row.integer(i).expect("a number").expect("a value");
            assert!(seconds <= at_most, "{purpose:?}: setting {i} is {seconds}");
        }
        if purpose == Purpose::Migration {
            let patience = row.integer(3).expect("a number").expect("a value");
            assert!(patience > 3_600, "a migration waits for the readers of its tables, not {patience} s");
        }
        session.close().await;
    }
}
