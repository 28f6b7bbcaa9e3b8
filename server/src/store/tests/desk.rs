//! The small transactions: blocks of ids, old batches, the quick check and the quarantine, durability.

use std::collections::BTreeSet;

use sale::{Breach, Invariant, ProductStatus};

use super::*;
use crate::store::{Quarantine, ReconcileMark, Sequence};

on_both_databases!(
    blocks_of_ids_never_overlap,
    old_batches_are_deleted,
    suspects_are_found_among_what_changed,
    the_quarantine_confirms_before_it_suspends,
    an_accepted_breach_suspends_no_more_and_another_does,
    a_suspension_forgets_what_was_accepted,
    the_settings_of_the_tests_are_durable,
);

async fn blocks_of_ids_never_overlap(place: Place) {
    let other = place.another_store().await;
    let stores = [&place.store, &other, &place.store, &other];
    let tasks = stores.map(|store| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut blocks = Vec::new();
            while blocks.len() < 20 {
                match store.reserve_ids(Sequence::Holds, 7).await {
                    Ok(first) => blocks.push(first),
                    Err(error) => assert!(matches!(error.fault, Fault::Retry(_)), "{error}"),
                }
            }
            blocks
        })
    });
    let mut ids = BTreeSet::new();
    for task in tasks {
        for first in within(task).await.expect("no panic") {
            for id in first..first + 7 {
                assert!(id > 0 && ids.insert(id), "{id} was given twice");
            }
        }
    }
    assert_eq!(ids.len(), 4 * 20 * 7);
    assert_eq!(place.store.reserve_ids(Sequence::Orders, 5).await.expect("reserved"), 1, "each sequence is its own");
    assert_eq!(place.store.reserve_ids(Sequence::Orders, 1).await.expect("reserved"), 6);
    assert_eq!(place.store.reserve_ids(Sequence::Batches, 1).await.expect("reserved"), 1);
}

async fn old_batches_are_deleted(place: Place) {
    let product_id = place.product(10).await;
    let mut writer = place.writer().await;
    let old = place.batch();
    writer.load(&needs_of(product_id)).await.expect("locked");
    writer.commit(old, &Changes::default()).await.expect("committed");
    place.by_hand().await.run("UPDATE batches SET committed_at = committed_at - 3600000000").await.expect("older");
    let young = place.batch();
    writer.load(&needs_of(product_id)).await.expect("locked");
    writer.commit(young, &Changes::default()).await.expect("committed");
    let prune = async |minutes: u64| place.store.prune_batches(Duration::from_mins(minutes)).await.expect("pruned");
    assert_eq!(prune(61).await, 0);
    assert_eq!(prune(59).await, 1);
    assert_eq!(prune(59).await, 0);
    assert!(writer.was_committed(young).await.expect("known"));
    assert!(!writer.was_committed(old).await.expect("known"));
}

fn broken(breaches: &[Breach]) -> Vec<(ProductId, Invariant)> {
    breaches.iter().map(|breach| (breach.product_id, breach.invariant)).collect()
}

async fn suspects_are_found_among_what_changed(place: Place) {
    let (one, other) = (place.product(10).await, place.product(10).await);
    let hold = place.hold(one, 2, None).await;
    let mut mark = ReconcileMark::default();
    assert_eq!(place.store.suspects(&mut mark).await.expect("checked"), []);
    let cases = [
        (format!("UPDATE holds SET quantity = 3 WHERE id = {}", hold.id), Invariant::ReservedIsHeld),
        (
            format!("UPDATE movements SET stock_available = 9 WHERE product_id = {one} AND seq = 2"),
            Invariant::LedgerChained,
        ),
        (format!("DELETE FROM movements WHERE product_id = {one} AND seq = 2"), Invariant::LedgerChained),
    ];
    let mut so_far = BTreeSet::new();
    for (by_hand, invariant) in cases {
        place.by_hand().await.run(&by_hand).await.expect("changed");
        // What did not change is not read again.
        let mut unchanged = mark.clone();
        if so_far.is_empty() {
            assert_eq!(place.store.suspects(&mut unchanged).await.expect("checked"), []);
        }
        so_far.insert((one, invariant));
        place
            .by_hand()
            .await
            .run(&format!("UPDATE products SET updated_at = updated_at + 1 WHERE id = {one}"))
            .await
            .expect("changed");
        for _ in 0..2 {
            // Until it is suspended it stays a suspect.
            let found = place.store.suspects(&mut mark).await.expect("checked");
            assert_eq!(broken(&found).into_iter().collect::<BTreeSet<_>>(), so_far);
        }
    }
    assert!(mark.seen.contains_key(&other) && !mark.seen.contains_key(&one));
    assert!(!place.store.quarantine(one, "inconsistent").await.expect("checked").breaches.is_empty());
    place.store.suspects(&mut mark).await.expect("checked");
    assert_eq!(place.store.suspects(&mut mark).await.expect("checked"), [], "a suspended one is reported once more");
}

async fn the_quarantine_confirms_before_it_suspends(place: Place) {
    let product_id = place.product(10).await;
    let hold = place.hold(product_id, 2, None).await;
    assert_eq!(place.store.quarantine(product_id, "inconsistent").await.expect("checked"), Quarantine::default());
    assert_eq!(place.store.quarantine(ProductId(900), "inconsistent").await.expect("checked"), Quarantine::default());
    assert_eq!(status(&place, product_id).await, ProductStatus::OnSale);
    place.by_hand().await.run(&format!("UPDATE holds SET quantity = 3 WHERE id = {}", hold.id)).await.expect("changed");
    let first = place.store.quarantine(product_id, "it's inconsistent").await.expect("checked");
    let breaches = &first.breaches;
    assert_eq!((broken(breaches), first.suspended), (vec![(product_id, Invariant::ReservedIsHeld)], true));
    assert!(breaches[0].detail.contains("stock_reserved 2, units of active holds 3"), "{}", breaches[0].detail);
    let suspended = ProductStatus::Suspended { reason: "it's inconsistent".to_owned() };
    assert_eq!(status(&place, product_id).await, suspended);
    let again = place.store.quarantine(product_id, "another reason").await.expect("checked");
    let expected = Quarantine { suspended: false, ..first };
    assert_eq!((again, status(&place, product_id).await), (expected, suspended), "the first reason stays");
}

/// A product of which one unit more is held than is reserved, and the hold that keeps it.
async fn product_that_breaks_i2(place: &Place) -> (ProductId, Hold) {
    let product_id = place.product(10).await;
    let hold = place.hold(product_id, 2, None).await;
    place.by_hand().await.run(&format!("UPDATE holds SET quantity = 3 WHERE id = {}", hold.id)).await.expect("changed");
    (product_id, hold)
}

async fn status(place: &Place, product_id: ProductId) -> ProductStatus {
    place.store.stocks(&[product_id], &[]).await.expect("read").stocks[&product_id].status.clone()
}

async fn quarantine(place: &Place, product_id: ProductId) -> (Vec<Invariant>, bool) {
    let found = place.store.quarantine(product_id, "inconsistent").await.expect("checked");
    (found.breaches.iter().map(|breach| breach.invariant).collect(), found.suspended)
}

async fn an_accepted_breach_suspends_no_more_and_another_does(place: Place) {
    use Invariant::{LedgerChained, ReservedIsHeld};
    let (product_id, hold) = product_that_breaks_i2(&place).await;
    assert_eq!(quarantine(&place, product_id).await, (vec![ReservedIsHeld], true));
    let accepted = place.store.accept_breaches(product_id, true).await.expect("accepted");
    assert_eq!(broken(&accepted), [(product_id, ReservedIsHeld)]);
    // Whatever else happens to the product until it is resumed changes nothing about that.
    place.act(product_id, &[Command::Restock { product_id, change: 1 }]).await;
    place.act(product_id, &[Command::Resume { product_id }]).await;
    place.act(product_id, &[Command::Restock { product_id, change: 1 }]).await;
    assert_eq!(place.store.suspects(&mut ReconcileMark::default()).await.expect("checked"), []);
    assert_eq!(quarantine(&place, product_id).await, (vec![], false));
    assert_eq!(status(&place, product_id).await, ProductStatus::OnSale);
    let report = place.store.audit(Some(product_id)).await.expect("the audit is done");
    assert!(report.breaches.iter().any(|breach| breach.invariant == ReservedIsHeld), "it is a breach all the same");

    let ledger = format!("UPDATE movements SET stock_available = 11 WHERE product_id = {product_id} AND seq = 4");
    place.by_hand().await.run(&ledger).await.expect("changed");
    let suspects = place.store.suspects(&mut ReconcileMark::default()).await.expect("checked");
    assert_eq!(broken(&suspects), [(product_id, LedgerChained)]);
    assert_eq!(quarantine(&place, product_id).await, (vec![LedgerChained], true));
    // The suspension has forgotten what was accepted.
    assert_eq!(quarantine(&place, product_id).await, (vec![ReservedIsHeld, LedgerChained], false));

    let accepted = place.store.accept_breaches(product_id, true).await.expect("accepted");
    assert_eq!(accepted.len(), 2);
    assert_eq!(quarantine(&place, product_id).await, (vec![], false));
    // A resume whose audit was clean forgets it, too.
    assert_eq!(place.store.accept_breaches(product_id, false).await.expect("forgotten"), []);
    assert_eq!(quarantine(&place, product_id).await, (vec![ReservedIsHeld, LedgerChained], false));
    let sound = format!("UPDATE holds SET quantity = 2 WHERE id = {}", hold.id);
    place.by_hand().await.run(&sound).await.expect("changed");
    let accepted = place.store.accept_breaches(product_id, true).await.expect("accepted");
    assert_eq!(broken(&accepted), [(product_id, LedgerChained)], "only what is broken now");
}

async fn a_suspension_forgets_what_was_accepted(place: Place) {
    let (product_id, _) = product_that_breaks_i2(&place).await;
    let (other, _) = product_that_breaks_i2(&place).await;
    for id in [product_id, other] {
        place.store.accept_breaches(id, true).await.expect("accepted");
        assert_eq!(quarantine(&place, id).await, (vec![], false));
    }
    // Both are written in one statement, and one of them is suspended.
    let commands = [
        (product_id, Command::Suspend { product_id, reason: "recall".to_owned() }),
        (other, Command::Restock { product_id: other, change: 1 }),
    ];
    let mut writer = place.writer().await;
    let loaded = writer.load(&Needs::of(commands.iter().map(|(id, command)| (*id, command)))).await.expect("loaded");
    let commands = commands.map(|(_, command)| command);
    let decision = sale::decide(loaded.state, &commands, &TERMS).expect("no invariant is broken");
    writer.commit(place.batch(), &decision.changes).await.expect("it is committed");
    assert_eq!(quarantine(&place, product_id).await, (vec![Invariant::ReservedIsHeld], false));
    assert_eq!(quarantine(&place, other).await, (vec![], false));
}

async fn the_settings_of_the_tests_are_durable(place: Place) {
    assert_eq!(place.store.durability().await.expect("asked"), Vec::<String>::new());
    if !place.is_mysql() {
        let mut by_hand = place.by_hand().await;
        assert_eq!(by_hand.number("SELECT COUNT(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'").await, 1);
    }
}
