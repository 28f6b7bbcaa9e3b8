//! Servers whose clocks are wrong.
//!
//! The database's clock decides on MariaDB, whatever those of the servers say. On SQLite there is no other clock than
//! that of the process; a product's time does not go back when it does.

use std::time::{Duration, SystemTime};

use holdfast_test_support::{
    Client, OrFail, Sale, ServerProcess, Setup, clock_is, deadline_of, eventually, for_both, hold, number, order,
};
use serde_json::Value;

/// What holds live, and what orders wait to be paid, in seconds.
const TTL_SECONDS: u64 = 5;
const OFF_SECONDS: i64 = 600;
const OFF: Duration = Duration::from_secs(OFF_SECONDS.unsigned_abs());

mod on_mariadb {
    use holdfast_test_support::for_mariadb;

    use super::*;

    for_mariadb!(servers_whose_clocks_are_wrong_agree_on_every_deadline);
}

for_both!(a_clock_that_is_put_back_breaks_nothing);

fn brief(setup: Setup) -> Setup {
    setup.setting("HOLD_TTL_SECONDS", &TTL_SECONDS).setting("PAYMENT_WINDOW_SECONDS", &TTL_SECONDS)
}

/// A server on the sale's database whose clock is off.
async fn server_off_by(setup: &Setup, sale: &Sale, seconds: i64) -> ServerProcess {
    setup.server(sale.database.url()).clock_off_by(seconds).await.or_fail().start().await.or_fail()
}

async fn servers_whose_clocks_are_wrong_agree_on_every_deadline(setup: Setup) {
    let setup = brief(setup);
    let sale = setup.start().await;
    let product = sale.product(1000).await;
    let servers = [server_off_by(&setup, &sale, OFF_SECONDS).await, server_off_by(&setup, &sale, -OFF_SECONDS).await];
    // The fake is real: what they log has their own time.
    for (server, off) in servers.iter().zip([OFF_SECONDS, -OFF_SECONDS]) {
        assert_eq!(minutes_off(server), off / 60, "{}", server.log().text());
    }
    // Without the first, whose clock is right: the two must do all that there is to do.
    let Sale { client, server, database } = sale;
    assert!(server.terminate().await.or_fail().success());
    drop(client);
    let clients = servers.each_ref().map(ServerProcess::client);
    let mut last = SystemTime::UNIX_EPOCH;
    let (mut untouched, mut to_order, mut ordered) = (Vec::new(), Vec::new(), 0);
    for client in &clients {
        for _ in 0..3 {
            let before = SystemTime::now();
            let placed = client.send(&hold(product, 1)).await.or_fail().json();
            let after = SystemTime::now();
            let deadline = deadline_of(&placed);
            // A deadline is a whole second, and never earlier than promised.
            let ttl = Duration::from_secs(TTL_SECONDS);
            assert!(deadline >= before + ttl && deadline < after + ttl + Duration::from_secs(1), "{placed}");
            last = last.max(deadline);
            untouched.push((number(&placed["hold_id"]), deadline));
            let placed = client.send(&hold(product, 1)).await.or_fail().json();
            to_order.push((number(&placed["hold_id"]), deadline_of(&placed)));
        }
    }
    // Each is alive until its deadline, whoever is asked, and the other server makes an order of it.
    for (n, (hold_id, deadline)) in to_order.iter().enumerate() {
        let made = clients[(n / 3 + 1) % 2].send(&order(*hold_id)).await.or_fail();
        // What was sent in time may have been read too late.
        let in_time = SystemTime::now() < *deadline;
        assert!(made.status == 201 || !in_time, "hold {hold_id} died early: {}", made.text());
        ordered += usize::from(made.status == 201);
    }
    assert!(ordered > 0, "all came too late");
    for (hold_id, deadline) in &untouched {
        for client in &clients {
            let status = status_of(client, *hold_id).await;
            let in_time = SystemTime::now() < *deadline;
            assert!(status == "active" || !in_time, "hold {hold_id} is {status} before its deadline");
        }
    }
    clock_is(Duration::ZERO, last).await;
    for (hold_id, _) in &untouched {
        for client in &clients {
            assert_eq!(status_of(client, *hold_id).await, "released", "hold {hold_id} lives on");
            let late = client.send(&order(*hold_id)).await.or_fail();
            assert_eq!((late.status, late.code().as_str()), (409, "hold_expired"));
        }
    }
    // And without being asked: the timers of these two write it down, and end the orders that nobody paid.
    let [_first, second] = servers;
    let sale = Sale { client: second.client(), server: second, database };
    for (table, status) in [("holds", "released"), ("orders", "cancelled")] {
        let others = format!("SELECT COUNT(*) FROM {table} WHERE product_id = {product} AND status <> '{status}'");
        eventually("what is due is written down", async || match sale.database.integer(&others).await.or_fail() {
            0 => Ok(()),
            count => Err(format!("{count} {table} are not {status}")),
        })
        .await;
    }
    let stock = sale.stock(product).await;
    assert_eq!((stock.free, stock.available, stock.reserved), (1000, 1000, 0));
    sale.assert_audit_passes().await;
}

/// The server's clock was ten minutes ahead, and is right when it comes back.
async fn a_clock_that_is_put_back_breaks_nothing(setup: Setup) {
    let setup = brief(setup);
    let first = setup.start().await;
    let product = first.product(1000).await;
    let ahead = server_off_by(&setup, &first, OFF_SECONDS).await;
    let Sale { server, database, .. } = first;
    assert!(server.terminate().await.or_fail().success());
    let sale = Sale { client: ahead.client(), server: ahead, database };
    let before = SystemTime::now();
    let held = sale.send(&hold(product, 1)).await.json();
    let is_own_clock = sale.database.kind() == holdfast_test_support::Kind::Sqlite;
    let expected = before + Duration::from_secs(TTL_SECONDS) + if is_own_clock { OFF } else { Duration::ZERO };
    let deadline = deadline_of(&held);
    assert!(deadline >= expected && deadline < expected + OFF / 2, "{held}");
    // By its own clock it lives as long as any.
    let hold_id = number(&held["hold_id"]);
    eventually("the hold is over", async || match status_of(&sale.client, hold_id).await.as_str() {
        "released" => Ok(()),
        status => Err(status.to_owned()),
    })
    .await;
    let second = number(&sale.send(&hold(product, 1)).await.json()["hold_id"]);
    let Sale { server, database, .. } = sale;
    assert!(server.terminate().await.or_fail().success());
    // Started anew, with a clock that is right.
    let sale = setup.start_on(database).await;
    let placed = sale.send(&hold(product, 1)).await.json();
    // A product's time does not go back: not before what it has written.
    assert!(deadline_of(&placed) >= deadline, "{placed} after {held}");
    sale.order(number(&placed["hold_id"])).await;
    assert_eq!(status_of(&sale.client, hold_id).await, "released", "a hold that was over lives again");
    if is_own_clock {
        // It waits for the time that was promised.
        assert_eq!(status_of(&sale.client, second).await, "active");
    }
    sale.assert_audit_passes().await;
}

async fn status_of(client: &Client, hold_id: u64) -> String {
    let shown = client.get(&format!("/api/holds/{hold_id}")).await.or_fail().json();
    shown["data"]["status"].as_str().unwrap_or_default().to_owned()
}

/// How many minutes the time of a server's first log line is off from ours.
fn minutes_off(server: &ServerProcess) -> i64 {
    let text = server.log().stream(holdfast_test_support::rig::process::Stream::Err);
    let line: Value = serde_json::from_str(text.lines().next().unwrap_or_default()).or_fail();
    let written = deadline_of(&serde_json::json!({"expires_at": line["timestamp"]}));
    let now = SystemTime::now();
    let signed = |span: Duration, sign: i64| sign * i64::try_from((span.as_secs() + 30) / 60).unwrap_or(i64::MAX);
    written.duration_since(now).map_or_else(|earlier| signed(earlier.duration(), -1), |ahead| signed(ahead, 1))
}
