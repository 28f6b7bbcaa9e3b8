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
    a_cut_at_each_byte_of_the_last_packets_of_holds_makes_no_duplicate_and_no_loss,
    a_cut_at_each_byte_of_the_last_packets_of_orders_makes_no_duplicate_and_no_loss,
    a_cut_at_each_byte_of_the_last_packets_of_payments_makes_no_duplicate_and_no_loss,
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

/// Waits until so many faults have struck: all that were armed so far.
async fn have_struck(proxy: &Proxy, count: u64) {
    eventually("each fault strikes", async || match proxy.struck() {
        struck if struck == count => Ok(()),
        struck => Err(format!("{struck} of {count}")),
    })
    .await;
}

async fn a_fault_at_the_commit_makes_no_duplicate_and_no_loss(setup: Setup) {
    let (sale, proxy) = start(&setup).await;
    let product = sale.product(STOCK).await;
    let mut random = seed();
    let rounds = rounds(12, 100);
    let mut armed = 0;
    for round in 0..rounds {
        let mut fault = || {
            armed += 1;
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
        // What was answered was committed, so each of the three has met a commit.
        have_struck(&proxy, armed).await;
        check(&sale, product, (round + 1) * HOLDS, round + 1).await;
    }
    // Silence is noticed only by a time-out, so it gets one round. A commit that is silent has reached
    // the database; one that has not is a lock that stays, which is a matter of `neighbours`.
    proxy.on_commit(Point::AfterAnswer { bytes_passed: 0 }, Effect::Silence);
    insist_on_holds(&sale, product, rounds).await;
    check(&sale, product, (rounds + 1) * HOLDS, rounds).await;
    have_struck(&proxy, armed + 1).await;
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
        have_struck(&proxy, round as u64 + 1).await;
        assert_eq!(yes.len() + unknown, HOLDS, "{:?}", statuses(&answers));
        let count = format!("SELECT COUNT(*) FROM holds WHERE product_id = {product}");
        let rows = usize::try_from(sale.database.integer(&count).await.or_fail()).or_fail();
        assert!((placed..=placed + in_doubt).contains(&rows), "{rows} holds for {placed} yes, {in_doubt} in doubt");
    }
    // The database was there all the time, so the server has had the time to find out.
    assert_eq!(in_doubt, 0, "the server left outcomes in doubt");
    sale.assert_audit_passes().await;
}

async fn a_cut_at_any_byte_makes_no_duplicate_and_no_loss(setup: Setup) {
    let (sale, proxy) = start(&setup).await;
    let product = sale.product(STOCK).await;
    let mut random = seed();
    let rounds = rounds(30, 300);
    let mut within_holds = 0;
    for round in 0..rounds {
        let direction = if random.bool() { Direction::ToServer } else { Direction::ToClient };
        let bytes = random.usize(..4000);
        eprintln!("round {round}: {direction:?} {bytes}");
        proxy.cut_after(direction, bytes);
        insist_on_holds(&sale, product, round).await;
        within_holds += u64::from(proxy.struck() > round as u64);
        // Holds that share a batch may take fewer bytes than that; then it strikes what is read after them.
        eventually("the fault strikes", async || {
            sale.send(&Request::get(&format!("/api/products/{product}"))).await;
            if proxy.struck() > round as u64 { Ok(()) } else { Err(proxy.struck()) }
        })
        .await;
        assert_eq!(proxy.struck(), round as u64 + 1);
        check(&sale, product, (round + 1) * HOLDS, 0).await;
    }
    eprintln!("{within_holds} of {rounds} cuts struck before the holds were answered");
    assert!(within_holds > 0, "no cut has struck the holds");
    sale.assert_audit_passes().await;
}

/// What customers ask for while the packets of its batch are cut.
#[derive(Clone, Copy, Debug)]
enum Step {
    Hold,
    Order,
    Payment,
}

impl Step {
    /// What only the packet that ends with COMMIT has.
    fn committing(self) -> &'static str {
        match self {
            Self::Hold => "insert into holds",
            Self::Order => "insert into orders",
            Self::Payment => "insert into payment_events",
        }
    }

    /// Makes what one such request needs, and returns the request.
    async fn prepare(self, client: Client, product: u64, key: String) -> Request {
        if matches!(self, Self::Hold) {
            return hold(product, 1).key(&key);
        }
        let held = insist(client.clone(), hold(product, 1).key(&key)).await;
        let asked = order(number(&held.json()["hold_id"])).key(&key);
        if matches!(self, Self::Order) {
            return asked;
        }
        let made = insist(client, asked).await;
        payment(&key, number(&made.json()["data"]["id"]), "success")
    }

    /// Where its rows are, each with its key and the id that its answer has, or, of a payment, the order's.
    fn rows(self, product: u64) -> (&'static str, String) {
        match self {
            Self::Hold => ("idempotency_key, id", format!("holds WHERE product_id = {product}")),
            Self::Order => ("idempotency_key, id", format!("orders WHERE product_id = {product}")),
            // A payment without its effect is none.
            Self::Payment => {
                let paid = "payment_events JOIN orders ON orders.id = order_id WHERE effect = 'paid' AND orders.status = 'paid'";
                ("payment_key, order_id", format!("{paid} AND product_id = {product}"))
            }
        }
    }

    /// How many of it are there.
    async fn count(self, sale: &Sale, product: u64) -> usize {
        let count = format!("SELECT COUNT(*) FROM {}", self.rows(product).1);
        usize::try_from(sale.database.integer(&count).await.or_fail()).or_fail()
    }

    /// All of it that is there, by key.
    async fn there(self, sale: &Sale, product: u64) -> BTreeMap<String, u64> {
        let (columns, rows) = self.rows(product);
        let rows = sale.database.rows(&format!("SELECT {columns} FROM {rows}")).await.or_fail().into_iter();
        rows.filter_map(|row| Some((row[0].clone()?, row[1].as_ref()?.parse().ok()?))).collect()
    }
}

async fn a_cut_at_each_byte_of_the_last_packets_of_holds_makes_no_duplicate_and_no_loss(setup: Setup) {
    cut_at_each_byte(setup, Step::Hold).await;
}

async fn a_cut_at_each_byte_of_the_last_packets_of_orders_makes_no_duplicate_and_no_loss(setup: Setup) {
    cut_at_each_byte(setup, Step::Order).await;
}

async fn a_cut_at_each_byte_of_the_last_packets_of_payments_makes_no_duplicate_and_no_loss(setup: Setup) {
    cut_at_each_byte(setup, Step::Payment).await;
}

/// The two packets of a batch, each by a text that only it has, in both directions, one byte more each time. Each
/// fault is cleared up by the server alone, or by a customer who insists, so that each key has one row.
async fn cut_at_each_byte(setup: Setup, step: Step) {
    const LOCKING: &str = "for update";
    const CUSTOMERS: usize = 3;
    // So long that nothing comes to its deadline before the end.
    let setup = setup.setting("HOLD_TTL_SECONDS", "86400").setting("PAYMENT_WINDOW_SECONDS", "86400");
    let (sale, proxy) = start(&setup).await;
    let product = sale.product(STOCK).await;
    let mut random = seed();
    let (mut answered, mut cuts) = (BTreeMap::new(), 0);
    for text in [LOCKING, step.committing()] {
        // In long tests every byte; else some, at other places in each run. What is locked is in doubt for nobody, so
        // there every byte is for one step only.
        let is_every = matches!(step, Step::Hold) || text != LOCKING;
        let stride = rounds(79, if is_every { 1 } else { 7 });
        for direction in [Direction::ToServer, Direction::ToClient] {
            let mut bytes_passed = random.usize(..stride);
            let before = cuts;
            loop {
                let point = match direction {
                    Direction::ToServer => Point::WithinQuery { bytes_passed },
                    Direction::ToClient => Point::AfterAnswer { bytes_passed },
                };
                let mut preparing = JoinSet::new();
                for n in 0..CUSTOMERS {
                    let (key, client) = (format!("{cuts}-{n}"), sale.client.clone());
                    preparing.spawn(async move { (key.clone(), step.prepare(client, product, key).await) });
                }
                let requests = preparing.join_all().await;
                proxy.on_query(text, point, Effect::Cut);
                let mut insisting = JoinSet::new();
                for (key, request) in requests {
                    let client = sale.client.clone();
                    insisting.spawn(async move {
                        let answer = insist(client, request.clone()).await.json();
                        let id = match step {
                            Step::Hold => number(&answer["hold_id"]),
                            Step::Order => number(&answer["data"]["id"]),
                            Step::Payment => number(&sent(&request)["order_id"]),
                        };
                        (key, id)
                    });
                }
                answered.extend(insisting.join_all().await);
                cuts += 1;
                assert_eq!(proxy.struck(), cuts, "{point:?} of {text} did not strike");
                assert_eq!(step.count(&sale, product).await, answered.len(), "after {point:?} of {text}");
                // The fault after which all has passed is the last of its kind.
                if proxy.last_strike().is_some_and(|strike| strike.bytes_passed == strike.bytes) {
                    break;
                }
                bytes_passed += stride;
            }
            eprintln!("{} cuts of {text:?}, {direction:?}", cuts - before);
        }
    }
    eprintln!("{cuts} cuts of a {step:?}");
    assert!(!is_long() || cuts >= 1_000, "only {cuts} cuts");
    assert_eq!(step.there(&sale, product).await, answered, "what was answered is not what is there");
    check(&sale, product, answered.len(), if matches!(step, Step::Hold) { 0 } else { answered.len() }).await;
    sale.assert_audit_passes().await;
}

/// What a request says.
fn sent(request: &Request) -> serde_json::Value {
    serde_json::from_slice(request.content()).or_fail()
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
