//! A sale that something happens to while customers are at it.
//!
//! What does not belong here: what happens.

use holdfast_test_support::rig::proxy::Proxy;
use holdfast_test_support::{Load, OrFail, Sale, Setup, TestDatabase, recovers, seed, sells_and_is_ready};

/// More than any test here can sell.
const STOCK: u64 = 10_000_000;

/// A sale whose holds live for seconds only, so that its books can be closed soon.
pub(crate) fn short_lived(setup: &Setup) -> Setup {
    setup.clone().setting("HOLD_TTL_SECONDS", "2")
}

/// A sale on `database` whose server reaches it through a proxy; the test's own statements go straight.
pub(crate) async fn start_behind_proxy(setup: &Setup, database: TestDatabase) -> (Sale, Proxy) {
    let proxy = Proxy::mysql(&database.address()).await.or_fail();
    let server = setup.server(&database.url_through(&proxy.address())).start().await.or_fail();
    (Sale { client: server.client(), server, database }, proxy)
}

/// Lets customers work before, during and after `disturb`, which ends with everything as it was. The sale must
/// find back by itself and in time, the server must not have ended, and the books must be right.
pub(crate) async fn endure(sale: &Sale, disturb: impl AsyncFnOnce(&Load, &[u64])) {
    let products = [sale.product(STOCK).await, sale.product(STOCK).await];
    let load = Load::start(&sale.client, &products, "customer", &mut seed());
    load.acknowledged(100).await;
    disturb(&load, &products).await;
    recovers(sells_and_is_ready(sale, &load)).await;
    let mut facts = load.stop().await;
    facts.close(&sale.client).await;
    sale.assert_books(&products, STOCK, &facts).await;
    assert_eq!(sale.server.ended(), None);
}
