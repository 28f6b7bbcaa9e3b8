//! What errors mean, as the databases really send them; the tables of numbers are beside the code.

use super::*;

on_both_databases!(a_killed_connection_is_told_from_a_refusal, a_urls_mistakes_are_named);

async fn a_killed_connection_is_told_from_a_refusal(place: Place) {
    let product_id = place.product(10).await;
    if place.is_mysql() {
        let mut writer = place.writer().await;
        kill_all_but_ours(&place).await;
        assert_eq!(fault(writer.load(&needs_of(product_id)).await), Some(Fault::Disconnected));

        let mut writer = place.writer().await;
        writer.load(&needs_of(product_id)).await.expect("locked");
        kill_all_but_ours(&place).await;
        let batch = place.batch();
        let lost = fault(writer.commit(batch, &Changes::default()).await);
        assert!(matches!(lost, Some(Fault::Disconnected | Fault::OutcomeUnknown)), "{lost:?}");
        let mut resolver = place.writer().await;
        assert!(!resolver.was_committed(batch).await.expect("known"));
    }
    // A statement that cannot be run is nobody's connection's fault.
    place.by_hand().await.run("DROP TABLE payment_events").await.expect("dropped");
    let mut needs = needs_of(product_id);
    needs.payment_keys.insert(key("evt"));
    let mut writer = place.writer().await;
    assert_eq!(fault(writer.load(&needs).await), Some(Fault::Refused));
    writer.load(&needs_of(product_id)).await.expect("the transaction before is over");
    assert_eq!(fault(place.store.refunds().await), Some(Fault::Refused));
}

/// Ends every other connection to the database, and waits until it has ended.
pub(super) async fn kill_all_but_ours(place: &Place) {
    let mut by_hand = place.by_hand().await;
    let next = "SELECT COALESCE(MIN(id), 0) FROM information_schema.processlist WHERE db = DATABASE() \
         AND id <> CONNECTION_ID()";
    until(async || {
        let id = by_hand.number(next).await;
        if id > 0 {
            drop(by_hand.run(&format!("KILL {id}")).await);
        }
        id == 0
    })
    .await;
}

async fn a_urls_mistakes_are_named(place: Place) {
    let open = async |url: &str| match crate::store::open(url, &OpenOptions::default()).await {
        Ok(store) => store.check_schema().await.expect_err("it is not there"),
        Err(error) => error,
    };
    let mut urls = vec![
        ("postgres://localhost/x".to_owned(), "must be sqlite:PATH or mysql://"),
        ("sqlite:".to_owned(), "names no file"),
        ("sqlite::memory:".to_owned(), "in memory"),
        ("mysql://root@127.0.0.1:1".to_owned(), "names no database"),
        ("mysql://root@127.0.0.1:1/x?ssl_mode=required".to_owned(), "unknown parameter \"ssl_mode\""),
        ("mysql://root@127.0.0.1:1/x?ssl-mode=often".to_owned(), "cannot be read"),
        ("sqlite:/nowhere/at/all/holdfast.db".to_owned(), "cannot be opened"),
    ];
    if place.is_mysql() {
        let server = place.database.url().rsplit_once('/').expect("a name").0;
        urls.push((format!("{server}/no_such_database"), "Unknown database"));
        let address = server.rsplit_once('@').expect("an account").1;
        urls.push((format!("mysql://nobody:wrong@{address}/x"), "Access denied"));
    }
    for (url, says) in urls {
        let error = open(&url).await;
        assert!(error.is_misconfigured() && error.to_string().contains(says), "{url}: {error}");
    }
    let unreachable = open("mysql://root@127.0.0.1:1/x").await;
    assert!(!unreachable.is_misconfigured() && unreachable.fault == Fault::Disconnected, "{unreachable}");
    if place.is_mysql() {
        let other = place.database.url().replacen("mysql://", "mariadb://", 1);
        let store = crate::store::open(&other, &OpenOptions::default()).await.expect("the URL is fine");
        store.check_schema().await.expect("it is the same database");
    }
}
