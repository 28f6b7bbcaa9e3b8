//! The connection to the database fails at the commit: before it, after it, within its answer. The
//! server finds out what happened, and each customer who insists gets one hold, one order, one payment.
//!
//! What does not belong here: databases that are killed (`killed`).

use std::collections::{BTreeMap, BTreeSet};

use holdfast_test_support::rig::proxy::{Direction, Effect, Point, Proxy};
use holdfast_test_support::{
    Answer, Client, OrFail, Request, Sale, Setup, Stock, all, eventually, for_mariadb, hold, is_long, number, order,
    payment, recovers, rounds, seed, statuses,
};
use tokio::task::JoinSet;

/// More than all rounds can sell.
const STOCK: u64 = 1_000_000;
const HOLDS: usize = 20;

for_mariadb!(
    a_fault_at_the_commit_makes_no_duplicate_and_no_loss,
    a_fault_at_the_commit_is_cleared_up_without_the_customer,
    a_cut_at_any_byte_makes_no_duplicate_and_no_loss,
    a_cut_at_each_byte_of_the_last_packets_makes_no_duplicate_and_no_loss,
    a_database_that_cannot_be_reached_is_found_again,
);

/// A sale whose server reaches its database through a proxy; the test's own statements go straight.
async fn start(setup: &Setup) -> (Sale, Proxy) {
    let database = setup.database().await;
    let proxy = Proxy::mysql(&database.address()).await.or_fail();
    let server = setup.server(&database.url_through(&proxy.address())).start().await.or_fail();
    (Sale { client: server.client(), server, database }, proxy)
}

/// Sends a request with a key until it is answered with a yes; everything else must be a 503.
async fn insist(client: Client, request: Request) -> Answer {
    eventually("the request is answered", async || {
        let answer = client.send(&request).await.or_fail();
        match answer.status {
            200 | 201 => Ok(answer),
            503 => Err(answer.text()),
            _ => panic!("{request:?} was answered {} {}", answer.status, answer.text()),
        }
    })
    .await
}

/// Insists on many holds at once and returns their ids, which are all different.
async fn insist_on_holds(sale: &Sale, product: u64, round: usize) -> Vec<u64> {
    let mut insisting = JoinSet::new();
    for n in 0..HOLDS {
        insisting.spawn(insist(sale.client.clone(), hold(product, 1).key(&format!("h{round}-{n}"))));
    }
    let answers = insisting.join_all().await;
    let ids: BTreeSet<u64> = answers.iter().map(|answer| number(&answer.json()["hold_id"])).collect();
    assert_eq!(ids.len(), HOLDS, "two keys share a hold");
    ids.into_iter().collect()
}

/// Fails unless there are so many holds, and so many of them were ordered.
async fn check(sale: &Sale, product: u64, holds: usize, orders: usize) {
    let count = format!("SELECT COUNT(*) FROM holds WHERE product_id = {product}");
    assert_eq!(usize::try_from(sale.database.integer(&count).await.or_fail()).or_fail(), holds);
    let (reserved, available) = ((holds - orders) as u64, STOCK - orders as u64);
    let free = available - reserved;
    assert_eq!(sale.stock(product).await, Stock { free, available, reserved });
}

async fn a_fault_at_the_commit_makes_no_duplicate_and_no_loss(setup: Setup) {
    let (sale, proxy) = start(&setup).await;
    let product = sale.product(STOCK).await;
    let mut random = seed();
    let rounds = rounds(12, 100);
    for round in 0..rounds {
        let mut fault = || {
            let point = match random.u32(..4) {
                0 => Point::BeforeQuery,
                1 => Point::AfterQuery,
                2 => Point::AfterAnswer { bytes_passed: 0 },
                _ => Point::AfterAnswer { bytes_passed: random.usize(1..60) },
            };
            eprintln!("round {round}: {point:?}");
            proxy.on_commit(point, Effect::Cut);
        };
        fault();
        let holds = insist_on_holds(&sale, product, round).await;
        fault();
        let made = insist(sale.client.clone(), order(holds[0]).key(&format!("o{round}"))).await;
        let order_id = number(&made.json()["data"]["id"]);
        fault();
        insist(sale.client.clone(), payment(&format!("p{round}"), order_id, "success")).await;
        assert_eq!(sale.order_shown(order_id).await["status"], "paid");
        check(&sale, product, (round + 1) * HOLDS, round + 1).await;
    }
    // Silence is noticed only by a time-out, so it gets one round. A commit that is silent has reached
    // the database; one that has not is a lock that stays, which is a matter of `neighbours`.
    proxy.on_commit(Point::AfterAnswer { bytes_passed: 0 }, Effect::Silence);
    insist_on_holds(&sale, product, rounds).await;
    check(&sale, product, (rounds + 1) * HOLDS, rounds).await;
    assert!(proxy.struck() > rounds as u64, "hardly a fault has struck");
    sale.assert_audit_passes().await;
}

async fn a_fault_at_the_commit_is_cleared_up_without_the_customer(setup: Setup) {
    let (sale, proxy) = start(&setup).await;
    let product = sale.product(STOCK).await;
    let mut random = seed();
    let (mut placed, mut in_doubt) = (0, 0);
    for round in 0..rounds(12, 100) {
        let bytes_passed = random.usize(..60);
        let points = [Point::BeforeQuery, Point::AfterQuery, Point::AfterAnswer { bytes_passed }];
        let point = points[round % points.len()];
        eprintln!("round {round}: {point:?}");
        proxy.on_commit(point, Effect::Cut);
        // Without a key: nobody but the server can tell a repetition from a new request.
        let answers = all(sale.client.burst(vec![hold(product, 1); HOLDS]).await);
        let yes: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
        let ids: BTreeSet<u64> = yes.iter().map(|answer| number(&answer.json()["hold_id"])).collect();
        assert_eq!(ids.len(), yes.len(), "two requests share a hold");
        for id in ids {
            assert_eq!(sale.hold_shown(id).await["status"], "active", "a yes was not kept");
        }
        placed += yes.len();
        let unknown = answers.iter().filter(|answer| answer.code() == "outcome_unknown").count();
        in_doubt += unknown;
        assert_eq!(yes.len() + unknown, HOLDS, "{:?}", statuses(&answers));
        let count = format!("SELECT COUNT(*) FROM holds WHERE product_id = {product}");
        let rows = usize::try_from(sale.database.integer(&count).await.or_fail()).or_fail();
        assert!((placed..=placed + in_doubt).contains(&rows), "{rows} holds for {placed} yes, {in_doubt} in doubt");
    }
    assert!(proxy.struck() > 0, "no fault has struck");
    // The database was there all the time, so the server has had the time to find out.
    assert_eq!(in_doubt, 0, "the server left outcomes in doubt");
    sale.assert_audit_passes().await;
}

async fn a_cut_at_any_byte_makes_no_duplicate_and_no_loss(setup: Setup) {
    let (sale, proxy) = start(&setup).await;
    let product = sale.product(STOCK).await;
    let mut random = seed();
    let rounds = rounds(30, 300);
    for round in 0..rounds {
        let direction = if random.bool() { Direction::ToServer } else { Direction::ToClient };
        let bytes = random.usize(..4000);
        eprintln!("round {round}: {direction:?} {bytes}");
        proxy.cut_after(direction, bytes);
        insist_on_holds(&sale, product, round).await;
        check(&sale, product, (round + 1) * HOLDS, 0).await;
    }
    assert!(proxy.struck() > 0, "no fault has struck");
    proxy.heal();
    sale.assert_audit_passes().await;
}

/// The two packets of a batch, each by a text that only it has, in both directions, one byte more each time. Each
/// fault is cleared up by the server alone, or by a customer who insists, so that each key has one hold.
async fn a_cut_at_each_byte_of_the_last_packets_makes_no_duplicate_and_no_loss(setup: Setup) {
    const LOCKING: &str = "for update";
    const COMMITTING: &str = "insert into holds";
    const CUSTOMERS: usize = 3;
    // So long that no hold comes to its deadline before the end.
    let (sale, proxy) = start(&setup.setting("HOLD_TTL_SECONDS", "86400")).await;
    let product = sale.product(STOCK).await;
    // In long tests every byte; else some, at other places in each run.
    let step = rounds(79, 1);
    let mut random = seed();
    let (mut answered, mut cuts) = (BTreeMap::new(), 0);
    for text in [LOCKING, COMMITTING] {
        for direction in [Direction::ToServer, Direction::ToClient] {
            let mut bytes_passed = random.usize(..step);
            let before = cuts;
            loop {
                let point = match direction {
                    Direction::ToServer => Point::WithinQuery { bytes_passed },
                    Direction::ToClient => Point::AfterAnswer { bytes_passed },
                };
                proxy.on_query(text, point, Effect::Cut);
                let mut insisting = JoinSet::new();
                for n in 0..CUSTOMERS {
                    let key = format!("{cuts}-{n}");
                    let request = insist(sale.client.clone(), hold(product, 1).key(&key));
                    insisting.spawn(async move { (key, number(&request.await.json()["hold_id"])) });
                }
                answered.extend(insisting.join_all().await);
                cuts += 1;
                assert_eq!(proxy.struck(), cuts, "{point:?} of {text} did not strike");
                let count = format!("SELECT COUNT(*) FROM holds WHERE product_id = {product}");
                let rows = usize::try_from(sale.database.integer(&count).await.or_fail()).or_fail();
                assert_eq!(rows, answered.len(), "after {point:?} of {text}");
                // The fault after which all has passed is the last of its kind.
                if proxy.last_strike().is_some_and(|strike| strike.bytes_passed == strike.bytes) {
                    break;
                }
                bytes_passed += step;
            }
            eprintln!("{} cuts of {text:?}, {direction:?}", cuts - before);
        }
    }
    assert!(!is_long() || cuts >= 2_000, "only {cuts} cuts");
    let keys = format!("SELECT idempotency_key, id FROM holds WHERE product_id = {product}");
    let rows = sale.database.rows(&keys).await.or_fail().into_iter();
    let there: BTreeMap<String, u64> =
        rows.filter_map(|row| Some((row[0].clone()?, row[1].as_ref()?.parse().ok()?))).collect();
    assert_eq!(there, answered, "what was answered is not what is there");
    check(&sale, product, answered.len(), 0).await;
    sale.assert_audit_passes().await;
}

async fn a_database_that_cannot_be_reached_is_found_again(setup: Setup) {
    let (sale, proxy) = start(&setup).await;
    let product = sale.product(STOCK).await;
    for round in 0..rounds(2, 10) {
        proxy.refuse(true);
        proxy.cut();
        let answer = sale.send(&hold(product, 1).key(&format!("lost-{round}"))).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some(), "no Retry-After");
        let is_certain = answer.code() != "outcome_unknown";
        proxy.heal();
        recovers(insist_on_holds(&sale, product, round)).await;
        if is_certain {
            check(&sale, product, (round + 1) * HOLDS, 0).await;
        }
    }
    sale.assert_audit_passes().await;
}
