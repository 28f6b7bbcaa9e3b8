//! A running sale: a server, its database, and the few things that nearly every test does with them.
//!
//! What does not belong here: expectations of one suite only. What is here is expected to succeed.

use holdfast_loadtest::rig::client::{Answer, Client, Request};
use holdfast_loadtest::rig::database::TestDatabase;
use holdfast_loadtest::rig::process::Finished;
use holdfast_loadtest::rig::server::ServerProcess;
use serde_json::{Value, json};

use crate::answers::number;
use crate::requests;
use crate::setup::ADMIN_TOKEN;
use crate::wait::{OrFail, eventually};

/// Tables that change without a change of the sale: ids set aside, and the marks of transactions.
pub const HOUSEKEEPING: [&str; 2] = ["batches", "id_blocks"];

/// A server on a database of its own.
#[derive(Debug)]
pub struct Sale {
    // In the order in which they are to be dropped: the database's schema goes last.
    /// A client of the server.
    pub client: Client,
    /// The server.
    pub server: ServerProcess,
    /// Its database.
    pub database: TestDatabase,
}

/// What a product shows of its stock, in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    /// What a new hold may take.
    pub free: u64,
    /// Physical units not yet sold.
    pub available: u64,
    /// Units that live holds keep.
    pub reserved: u64,
}

impl Sale {
    /// Sends a request; fails if there is no answer.
    pub async fn send(&self, request: &Request) -> Answer {
        self.client.send(request).await.or_fail()
    }

    /// Makes a product of 99.99 a unit and returns its id.
    pub async fn product(&self, stock: u64) -> u64 {
        let body = json!({"name": "Lamp", "price": "99.99", "stock": stock});
        let answer = self.send(&operator(Request::post("/api/products", &body))).await;
        expect(&answer, 201);
        number(&answer.json()["data"]["id"])
    }

    /// Places a hold and returns its id.
    pub async fn hold(&self, product_id: u64, qty: u64) -> u64 {
        let answer = self.send(&requests::hold(product_id, qty)).await;
        expect(&answer, 201);
        number(&answer.json()["hold_id"])
    }

    /// Makes a hold an order and returns its id.
    pub async fn order(&self, hold_id: u64) -> u64 {
        let answer = self.send(&requests::order(hold_id)).await;
        expect(&answer, 201);
        number(&answer.json()["data"]["id"])
    }

    /// Delivers news of a payment, which must be taken.
    pub async fn pay(&self, key: &str, order_id: u64, status: &str) {
        expect(&self.send(&requests::payment(key, order_id, status)).await, 200);
    }

    /// A hold as it is shown.
    pub async fn hold_shown(&self, hold_id: u64) -> Value {
        self.shown(&format!("/api/holds/{hold_id}")).await
    }

    /// An order as it is shown.
    pub async fn order_shown(&self, order_id: u64) -> Value {
        self.shown(&format!("/api/orders/{order_id}")).await
    }

    /// A product's stock as it is shown.
    pub async fn stock(&self, product_id: u64) -> Stock {
        let product = self.shown(&format!("/api/products/{product_id}")).await;
        Stock {
            free: number(&product["available_stock"]),
            available: number(&product["stock_available"]),
            reserved: number(&product["stock_reserved"]),
        }
    }

    async fn shown(&self, path: &str) -> Value {
        let answer = self.client.get(path).await.or_fail();
        expect(&answer, 200);
        answer.json()["data"].clone()
    }

    /// Waits until `/readyz` answers with this status.
    pub async fn readiness_is(&self, status: u16) {
        eventually("the server says how ready it is", async || match self.client.get("/readyz").await {
            Ok(answer) if answer.status == status => Ok(()),
            Ok(answer) => Err(format!("{} {}", answer.status, answer.text())),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    /// A second server with the same settings on the same database, ready.
    pub async fn another_server(&self) -> ServerProcess {
        self.server.builder_again().start().await.or_fail()
    }

    /// Runs another command of the binary with the server's settings, to its end.
    pub async fn holdfast(&self, arguments: &[&str]) -> Finished {
        self.server.builder_again().run(arguments).await.or_fail()
    }

    /// Fails unless the audit finds every invariant kept. Returns its report.
    pub async fn assert_audit_passes(&self) -> Value {
        let finished = self.holdfast(&["audit", "--json"]).await;
        assert_eq!(finished.code(), Some(0), "the audit says:\n{}{}", finished.out, finished.err);
        serde_json::from_str(&finished.out).or_fail()
    }
}

/// A request with the operators' token.
pub fn operator(request: Request) -> Request {
    request.header("authorization", &format!("Bearer {ADMIN_TOKEN}"))
}

#[track_caller]
fn expect(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
}
