//! What goes wrong with one command, one product or one connection stays there: the others sell on.
//!
//! What does not belong here: whole servers and databases that are killed (`crash`).

use std::collections::BTreeMap;

use holdfast_test_support::rig::proxy::{Effect, Point, Proxy};
use holdfast_test_support::{
    Answer, Kind, OrFail, Sale, Setup, all, burst, eventually, for_both, for_mariadb, hold, payment, rounds, statuses,
};

use crate::lock::Lock;

for_both!(one_poisoned_command_fails_alone, an_inconsistent_product_is_taken_out_alone);

mod on_mariadb {
    use super::*;

    for_mariadb!(
        a_product_locked_by_hand_stops_no_other,
        many_products_locked_by_hand_stop_no_other,
        what_is_locked_by_hand_besides_stops_no_command_that_does_not_want_it,
        a_silent_connection_stops_its_product_for_a_minute_at_most
    );

    async fn a_product_locked_by_hand_stops_no_other(setup: Setup) {
        let sale = setup.start().await;
        let locked = sale.product(1000).await;
        let others = [sale.product(1000).await, sale.product(1000).await, sale.product(1000).await];
        let mut waiting_answered = 0;
        for _ in 0..rounds(2, 10) {
            let lock = Lock::take(&sale, locked).await;
            // All in one burst, so that they would share transactions.
            let waiting = tokio::spawn({
                let requests = vec![(sale.client.clone(), hold(locked, 1)); 20];
                async move { burst(requests).await }
            });
            let requests = (0..60).map(|n| hold(others[n % 3], 1)).collect();
            let answers = all(sale.client.burst(requests).await);
            assert_eq!(statuses(&answers), BTreeMap::from([((201, String::new()), 60)]));
            // And one after the other, while it is still locked.
            for n in 0..20 {
                sale.hold(others[n % 3], 1).await;
            }
            lock.release().await;
            let answers = all(waiting.await.or_fail());
            waiting_answered += answers.iter().filter(|answer| answer.status == 201).count();
            // Those whose deadline came first were told so, and nothing changed for them.
            assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 503)), "{:?}", statuses(&answers));
            sale.hold(locked, 1).await;
            waiting_answered += 1;
        }
        assert_eq!(sale.stock(locked).await.reserved, waiting_answered as u64);
        sale.assert_audit_passes().await;
    }

    async fn many_products_locked_by_hand_stop_no_other(setup: Setup) {
        const LOCKED: usize = 15;
        let sale = setup.start().await;
        let (mut locks, mut locked, mut free) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..LOCKED {
            locked.push(sale.product(10).await);
            free.push(sale.product(10).await);
        }
        for product in &locked {
            locks.push(Lock::take(&sale, *product).await);
        }
        for round in 0..rounds(2, 10) {
            // In one burst, so that locked and free ones would share transactions.
            let both = locked.iter().zip(&free).flat_map(|(locked, free)| [hold(*locked, 1), hold(*free, 1)]);
            let answers = all(sale.client.burst(both.collect()).await);
            let (free_answers, locked_answers): (Vec<_>, Vec<_>) =
                answers.into_iter().enumerate().partition(|(n, _)| n % 2 == 1);
            let free_answers: Vec<Answer> = free_answers.into_iter().map(|(_, answer)| answer).collect();
            assert_eq!(statuses(&free_answers), BTreeMap::from([((201, String::new()), LOCKED)]), "round {round}");
            assert!(locked_answers.iter().all(|(_, answer)| answer.status == 503));
        }
        for lock in locks {
            lock.release().await;
        }
        for product in locked {
            sale.hold(product, 1).await;
            assert_eq!(sale.stock(product).await.reserved, 1, "nothing happened for those who were told so");
        }
        sale.assert_audit_passes().await;
    }

    async fn what_is_locked_by_hand_besides_stops_no_command_that_does_not_want_it(setup: Setup) {
        const PRODUCTS: usize = 8;
        let sale = setup.start().await;
        let mut products = Vec::new();
        for _ in 0..PRODUCTS {
            products.push(sale.product(1_000_000).await);
        }
        for round in 0..rounds(1, 3) {
            // News of payments want what is locked, and holds do not. There are more than can be waited for one after the
            // other, and none of the last product.
            let mut orders = Vec::new();
            for product in products[..PRODUCTS - 1].iter().cycle().take(2 * PRODUCTS) {
                let held = sale.hold(*product, 1).await;
                orders.push(sale.order(held).await);
            }
            let list = orders.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            for (name, lock, unlock) in [
                ("who reads", "LOCK TABLES payment_events WRITE", "UNLOCK TABLES"),
                ("who writes", "LOCK TABLES payment_events READ", "UNLOCK TABLES"),
                ("rows", &format!("UPDATE orders SET updated_at = updated_at + 1 WHERE id IN ({list})"), "ROLLBACK"),
            ] {
                let mut session = sale.database.session().await.or_fail();
                session.execute("START TRANSACTION").await.or_fail();
                session.execute(lock).await.or_fail();
                let news = |order: &u64| payment(&format!("event of {order}"), *order, "success");
                // In one burst they would share transactions.
                let mut requests: Vec<_> = orders.iter().map(news).collect();
                requests.extend((0..30).map(|n| hold(products[n % PRODUCTS], 1)));
                let news = tokio::spawn({
                    let client = sale.client.clone();
                    async move { all(client.burst(requests).await) }
                });
                // And those that come one after the other, while the news are tried again and again.
                let mut n = 0;
                while !news.is_finished() {
                    sale.hold(products[n % PRODUCTS], 1).await;
                    n += 1;
                }
                let mut answers = news.await.or_fail();
                let holds = answers.split_off(orders.len());
                assert_eq!(statuses(&holds), BTreeMap::from([((201, String::new()), 30)]), "{name}, round {round}");
                let refused = answers.iter().all(|answer| answer.status == 503);
                assert!(refused, "{name}, round {round}: {:?}", statuses(&answers));
                session.execute(unlock).await.or_fail();
            }
            for order in &orders {
                sale.pay(&format!("event of {order}"), *order, "success").await;
            }
        }
        sale.assert_audit_passes().await;
    }

    async fn a_silent_connection_stops_its_product_for_a_minute_at_most(setup: Setup) {
        let database = setup.database().await;
        let proxy = Proxy::mysql(&database.address()).await.or_fail();
        let server = setup.server(&database.url_through(&proxy.address())).start().await.or_fail();
        let sale = Sale { client: server.client(), server, database };
        let (silent, other) = (sale.product(10).await, sale.product(10_000).await);
        sale.hold(silent, 1).await;
        // The lock is granted, and neither side ever hears of the other again.
        proxy.on_query("for update", Point::AfterQuery, Effect::Silence);
        let client = sale.client.clone();
        let stuck = tokio::spawn(async move { client.send(&hold(silent, 1)).await.or_fail() });
        proxy.wait_until_struck(1).await;
        let mut sold_meanwhile = 0;
        while !stuck.is_finished() {
            sale.hold(other, 1).await;
            sold_meanwhile += 1;
        }
        let stuck = stuck.await.or_fail();
        let mut placed = 1 + u64::from(stuck.status == 201);
        assert!(matches!(stuck.status, 201 | 503), "{}", stuck.text());
        assert!(sold_meanwhile > 0);
        eventually("the product sells again", async || {
            sale.hold(other, 1).await;
            let answer: Answer = sale.send(&hold(silent, 1)).await;
            if answer.status == 201 { Ok(()) } else { Err(answer.text()) }
        })
        .await;
        placed += 1;
        assert_eq!(sale.stock(silent).await.reserved, placed);
        // The audit's own connection goes through the proxy too.
        sale.assert_audit_passes().await;
    }
}

/// Makes the database refuse every hold of 777 units: what a rule that no code knows of would do.
async fn poison(sale: &Sale) {
    let trigger = match sale.database.kind() {
        Kind::Sqlite => {
            "CREATE TRIGGER poison BEFORE INSERT ON holds WHEN NEW.quantity = 777 \
             BEGIN SELECT RAISE(ABORT, 'poisoned'); END"
        }
        Kind::MariaDb => {
            "CREATE TRIGGER poison BEFORE INSERT ON holds FOR EACH ROW IF NEW.quantity = 777 THEN \
             SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'poisoned'; END IF"
        }
    };
    sale.database.execute(trigger).await.or_fail();
}

async fn one_poisoned_command_fails_alone(setup: Setup) {
    const GOOD: usize = 500;
    let sale = setup.start().await;
    poison(&sale).await;
    for _ in 0..rounds(2, 10) {
        // Most of one product, so that they share transactions with the poisoned one, and some of others.
        let products = [sale.product(10_000).await, sale.product(10_000).await];
        let mut requests: Vec<_> = (0..GOOD).map(|n| hold(products[usize::from(n % 5 == 0)], 1)).collect();
        requests.insert(GOOD / 2, hold(products[0], 777));
        let mut answers = all(sale.client.burst(requests).await);
        let poisoned = answers.remove(GOOD / 2);
        assert_eq!((poisoned.status, poisoned.code().as_str()), (500, "internal"));
        assert!(!poisoned.text().contains("poisoned"), "the answer tells what the database said");
        assert_eq!(statuses(&answers), BTreeMap::from([((201, String::new()), GOOD)]));
        let reserved = sale.stock(products[0]).await.reserved + sale.stock(products[1]).await.reserved;
        assert_eq!(reserved, GOOD as u64);
    }
    assert!(sale.server.log().contains("poisoned"), "the log does not tell what the database said");
    sale.assert_audit_passes().await;
}

async fn an_inconsistent_product_is_taken_out_alone(setup: Setup) {
    let sale = setup.setting("RECONCILE_SECONDS", "1").start().await;
    // Until it is suspended both sell as fast as they can.
    let (broken, sound) = (sale.product(1_000_000).await, sale.product(1_000_000).await);
    sale.hold(broken, 1).await;
    sale.database
        .execute(&format!("UPDATE products SET stock_reserved = stock_reserved + 1 WHERE id = {broken}"))
        .await
        .or_fail();
    eventually("it is suspended", async || {
        sale.hold(sound, 1).await;
        let answer = sale.send(&hold(broken, 1)).await;
        if answer.code() == "product_suspended" { Ok(()) } else { Err(answer.text()) }
    })
    .await;
    let row = format!("SELECT status, suspended_reason FROM products WHERE id = {broken}");
    let row = sale.database.rows(&row).await.or_fail().remove(0);
    assert_eq!(row, [Some("suspended".to_owned()), Some("inconsistent".to_owned())]);
    sale.hold(sound, 1).await;
    let audit = sale.holdfast(&["audit", "--json"]).await;
    assert_eq!(audit.code(), Some(1), "{audit:?}");
}
