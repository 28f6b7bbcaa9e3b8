//! What a sale has acknowledged, and whether it still stands by it.
//!
//! What does not belong here: who sends the requests (`load`).

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use holdfast_loadtest::rig::client::{Answer, Client, Request};

use crate::answers::number;
use crate::wait::{OrFail, eventually};

/// How many questions are asked at the same time.
const AT_ONCE: usize = 32;

/// What one hold has gone through, as far as it was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// It was placed.
    Placed,
    /// It was given back.
    GivenBack,
    /// It was made this order.
    Ordered(u64),
    /// Its order was paid.
    Paid(u64),
    /// The payment of its order failed.
    Failed(u64),
}

/// A request with a key of its own that got no answer, or one that leaves it open.
#[derive(Clone, Debug)]
pub struct Open {
    /// The same request again.
    pub request: Request,
    /// The hold that it is about, or none if it was to place one.
    pub hold_id: Option<u64>,
}

/// All that was acknowledged.
#[derive(Debug, Default)]
pub struct Facts {
    /// The last fact of each hold.
    pub holds: BTreeMap<u64, Fact>,
    /// The answer that placed it, to be repeated byte by byte.
    pub replays: Vec<(Request, Bytes)>,
    /// What was left open.
    pub open: Vec<Open>,
}

impl Facts {
    /// Takes what is new in `later`.
    pub fn extend(&mut self, later: Self) {
        self.holds.extend(later.holds);
        self.replays.extend(later.replays);
        self.open.extend(later.open);
    }

    /// Sends what was left open again, with the same keys, until nothing is open. What it says then
    /// becomes a fact.
    pub async fn close(&mut self, client: &Client) {
        for open in std::mem::take(&mut self.open) {
            let answer =
                eventually("what was left open is answered", async || match client.send(&open.request).await {
                    Ok(answer) if answer.status == 503 => Err(answer.text()),
                    Ok(answer) => Ok(answer),
                    Err(error) => Err(error.to_string()),
                })
                .await;
            match (answer.status, open.hold_id) {
                (201, None) => {
                    self.holds.insert(number(&answer.json()["hold_id"]), Fact::Placed);
                    self.replays.push((open.request, answer.body));
                }
                (201, Some(hold_id)) => {
                    let order = number(&answer.json()["data"]["id"]);
                    self.holds.insert(hold_id, Fact::Ordered(order));
                    self.replays.push((open.request, answer.body));
                }
                // A payment or a release: whether it took effect, or an end by the clock came first, the
                // books will tell; no fact of its own.
                (200 | 204, Some(hold_id)) => {
                    self.holds.remove(&hold_id);
                }
                // An order that came too late.
                (409, Some(hold_id)) => {
                    assert!(matches!(answer.code().as_str(), "hold_expired" | "hold_released"), "{}", answer.text());
                    self.holds.remove(&hold_id);
                }
                _ => panic!("{:?} was answered {} {}", open.request, answer.status, answer.text()),
            }
        }
    }

    /// Fails unless the server still says all that was acknowledged.
    pub async fn check(&self, client: &Client) {
        let holds = stream::iter(&self.holds);
        holds.for_each_concurrent(AT_ONCE, |(hold_id, fact)| check_hold(client, *hold_id, fact)).await;
        let replays = stream::iter(&self.replays);
        replays
            .for_each_concurrent(AT_ONCE, |(request, body)| async move {
                // A server that comes from an outage may be too busy for a hold, which changes nothing of what it will say.
                let again = eventually("what was acknowledged is said again", async || {
                    let answer = client.send(request).await.or_fail();
                    if answer.status == 503 { Err(answer.text()) } else { Ok(answer) }
                })
                .await;
                assert_eq!((again.status, &again.body), (201, body), "{request:?} was answered otherwise");
            })
            .await;
    }
}

async fn check_hold(client: &Client, hold_id: u64, fact: &Fact) {
    let shown = shown(client, &format!("/api/holds/{hold_id}")).await;
    let status = shown["status"].as_str().unwrap_or_default();
    let reason = shown["release_reason"].as_str().unwrap_or_default();
    let fits = match fact {
        Fact::Placed => status == "active" || (status == "released" && reason == "expired"),
        // Its deadline may have come before the request: that is acknowledged just so.
        Fact::GivenBack => status == "released" && matches!(reason, "given_back" | "expired"),
        Fact::Ordered(order) | Fact::Paid(order) | Fact::Failed(order) => {
            let is_its_order = number(&shown["order_id"]) == *order;
            is_its_order && is_as_acknowledged(client, fact, *order, status, reason).await
        }
    };
    assert!(fits, "hold {hold_id} was acknowledged as {fact:?}, and is {shown}");
}

async fn is_as_acknowledged(client: &Client, fact: &Fact, order: u64, hold_status: &str, reason: &str) -> bool {
    let shown = shown(client, &format!("/api/orders/{order}")).await;
    match (fact, shown["status"].as_str()) {
        (Fact::Ordered(_), Some("pending_payment")) | (Fact::Paid(_), Some("paid")) => hold_status == "redeemed",
        // Not paid in its window. A success that came later was money for nothing, and acknowledged as that.
        (Fact::Ordered(_) | Fact::Paid(_), Some("cancelled")) => {
            hold_status == "released" && reason == "payment_overdue"
        }
        (Fact::Failed(_), Some("cancelled")) => hold_status == "released" && reason.starts_with("payment_"),
        _ => false,
    }
}

async fn shown(client: &Client, path: &str) -> serde_json::Value {
    let answer: Answer = client.get(path).await.or_fail();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()["data"].clone()
}
