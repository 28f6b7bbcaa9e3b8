//! Customers who make every figure of the server move: sales, and each kind of refusal.
//!
//! What does not belong here: what is made of it. Whether an answer was right is the business of other
//! suites; here only that one came.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use holdfast_test_support::{
    Answer, OrFail, Request, Sale, eventually, give_back, hold, number, operator, order, payment,
};
use serde_json::json;
use tokio::task::JoinSet;

/// How many customers there are to a sale; with fewer, transactions would hardly be shared.
const CUSTOMERS: u64 = 12;
const ACTS: [Act; 8] = [
    Act::Buy,
    Act::FailToPay,
    Act::GiveBack,
    Act::ForgetTheHold,
    Act::ForgetTheOrder,
    Act::AskForTooMuch,
    Act::MixUpKeys,
    Act::LookAround,
];

/// Customers at work. Dropping it sends them away.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    customers: JoinSet<()>,
}

#[derive(Clone, Copy)]
enum Act {
    Buy,
    FailToPay,
    GiveBack,
    ForgetTheHold,
    ForgetTheOrder,
    AskForTooMuch,
    MixUpKeys,
    LookAround,
}

struct Customer {
    client: holdfast_test_support::Client,
    name: String,
    product: u64,
    scarce: u64,
    suspended: u64,
}

impl Traffic {
    /// Sends customers to a sale, which gets products of its own for them.
    pub(crate) async fn start(sale: &Sale) -> Self {
        let [product, scarce, suspended] =
            [sale.product(1_000_000).await, sale.product(1).await, sale.product(1).await];
        let suspend = Request::post(&format!("/api/products/{suspended}/suspend"), &json!({}));
        assert_eq!(sale.send(&operator(suspend)).await.status, 200);
        let mut traffic = Self { stop: Arc::default(), done: Arc::default(), customers: JoinSet::new() };
        for n in 0..CUSTOMERS {
            let name = format!("customer-{n}");
            let customer = Customer { client: sale.client.clone(), name, product, scarce, suspended };
            traffic.customers.spawn(customer.work(Arc::clone(&traffic.stop), Arc::clone(&traffic.done)));
        }
        traffic
    }

    /// Waits until each customer has done everything that there is to do.
    pub(crate) async fn has_done_everything(&self) {
        let enough = CUSTOMERS * ACTS.len() as u64 * 2;
        eventually("the customers do everything", async || match self.done.load(Ordering::Relaxed) {
            done if done >= enough => Ok(()),
            done => Err(format!("{done} of {enough} acts")),
        })
        .await;
    }

    /// Sends the customers away; fails if one of them got no answer.
    pub(crate) async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.customers.join_next().await {
            ended.or_fail();
        }
    }
}

impl Customer {
    async fn work(self, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
        for (round, act) in ACTS.into_iter().cycle().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            self.act(act, &format!("{}-{round}", self.name)).await;
            done.fetch_add(1, Ordering::Relaxed);
            // Think time: the figures matter here, not how many there can be.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    async fn act(&self, act: Act, key: &str) {
        match act {
            Act::Buy => {
                let Some(order_id) = self.order().await else { return };
                for _ in 0..2 {
                    self.send(&payment(key, order_id, "success")).await;
                }
                // The same key with other news.
                self.send(&payment(key, order_id, "failure")).await;
            }
            Act::FailToPay => {
                let Some(order_id) = self.order().await else { return };
                for (suffix, status) in [("pending", "pending"), ("no", "failure"), ("late", "success")] {
                    self.send(&payment(&format!("{key}-{suffix}"), order_id, status)).await;
                }
                self.send(&payment(&format!("{key}-unknown"), 9_007_199_254_740_991, "success")).await;
            }
            Act::GiveBack => {
                let Some(hold_id) = self.hold().await else { return };
                self.send(&give_back(hold_id)).await;
                self.send(&order(hold_id)).await;
            }
            Act::ForgetTheHold => {
                self.hold().await;
            }
            Act::ForgetTheOrder => {
                self.order().await;
            }
            Act::AskForTooMuch => {
                self.send(&hold(self.scarce, 2)).await;
                self.send(&hold(self.suspended, 1)).await;
                self.send(&hold(self.product, 0)).await;
                self.send(&hold(9_007_199_254_740_991, 1)).await;
                self.send(&order(9_007_199_254_740_991)).await;
            }
            Act::MixUpKeys => {
                for qty in [1, 1, 2] {
                    self.send(&hold(self.product, qty).key(key)).await;
                }
            }
            Act::LookAround => {
                self.send(&Request::get("/api/products")).await;
                self.send(&Request::get(&format!("/api/products/{}", self.product))).await;
                self.send(&Request::get("/no/such/page")).await;
            }
        }
    }

    async fn hold(&self) -> Option<u64> {
        let answer = self.send(&hold(self.product, 1)).await;
        (answer.status == 201).then(|| number(&answer.json()["hold_id"]))
    }

    async fn order(&self) -> Option<u64> {
        let answer = self.send(&order(self.hold().await?)).await;
        (answer.status == 201).then(|| number(&answer.json()["data"]["id"]))
    }

    async fn send(&self, request: &Request) -> Answer {
        self.client.send(request).await.or_fail()
    }
}
