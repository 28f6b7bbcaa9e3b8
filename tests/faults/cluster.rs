//! A Galera cluster of three nodes with a server on each, all of which sell the same products.
//!
//! Only with the long tests, which install what it takes. What does not belong here: a single database.

use holdfast_test_support::rig::galera::Cluster;
use holdfast_test_support::{
    Client, Facts, Load, OrFail, Sale, ServerProcess, Setup, TestDatabase, all, burst, eventually, for_mariadb, hold,
    is_long, number, recovers, seed,
};

use crate::endure::short_lived;

const NODES: usize = 3;
/// More than any test here can sell.
const STOCK: u64 = 10_000_000;

for_mariadb!(
    three_nodes_sell_one_product_without_a_conflict_that_shows,
    a_node_that_is_killed_takes_nothing_with_it,
    a_cluster_without_a_quorum_sells_nothing_and_comes_back,
);

/// A cluster with a server on each node; the first is the sale's.
struct Shop {
    // In the order in which they are to be dropped.
    others: Vec<ServerProcess>,
    sale: Sale,
    cluster: Cluster,
}

impl Drop for Shop {
    /// A test that fails shows what its servers complained of.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for server in std::iter::once(&self.sale.server).chain(&self.others) {
                let text = server.log().text();
                let complaints = text.lines().filter(|line| line.contains("\"ERROR\"") || line.contains("\"WARN\""));
                complaints.take(20).for_each(|line| eprintln!("{}: {line}", server.address()));
            }
        }
    }
}

impl Shop {
    async fn start(setup: &Setup) -> Self {
        let setup = short_lived(setup);
        let cluster = Cluster::start(NODES).await.or_fail();
        let database = TestDatabase::mariadb(&cluster.nodes[0].url()).await.or_fail();
        let urls: Vec<String> = cluster.nodes[1..].iter().map(|node| database.url_through(&node.address())).collect();
        let sale = setup.start_on(database).await;
        let mut others = Vec::new();
        for url in urls {
            others.push(setup.server(&url).start().await.or_fail());
        }
        Self { others, sale, cluster }
    }

    fn clients(&self) -> Vec<Client> {
        std::iter::once(&self.sale.server).chain(&self.others).map(ServerProcess::client).collect()
    }

    /// Customers of each server.
    fn loads(&self, products: &[u64], random: &mut fastrand::Rng) -> Vec<Load> {
        let clients = self.clients();
        clients.iter().enumerate().map(|(n, client)| Load::start(client, products, &format!("s{n}"), random)).collect()
    }

    async fn conflicts(&self) -> u64 {
        let mut conflicts = 0;
        for node in 0..NODES {
            conflicts += self.cluster.count(node, "wsrep_local_cert_failures").await.or_fail();
            conflicts += self.cluster.count(node, "wsrep_local_bf_aborts").await.or_fail();
        }
        conflicts
    }

    /// Ends the loads; what they left open is closed by way of the first server.
    async fn facts(&self, loads: Vec<Load>) -> Facts {
        let mut facts = Facts::default();
        for load in loads {
            facts.extend(load.stop().await);
        }
        facts.close(&self.sale.client).await;
        facts
    }

    /// Fails unless every node has the same books, and they are right.
    async fn assert_books(&self, products: &[u64], facts: &Facts) {
        self.sale.assert_books(products, STOCK, facts).await;
        for client in self.clients() {
            facts.check(&client).await;
        }
        for server in &self.others {
            let finished = server.builder_again().run(&["audit", "--json"]).await.or_fail();
            assert_eq!(finished.code(), Some(0), "the audit of another node says:\n{}{}", finished.out, finished.err);
            assert_eq!(server.ended(), None);
        }
    }
}

async fn three_nodes_sell_one_product_without_a_conflict_that_shows(setup: Setup) {
    const UNITS: u64 = 100;
    if !is_long() {
        eprintln!("not tested here: a cluster is for tests/run --long");
        return;
    }
    let shop = Shop::start(&setup).await;
    // One burst after the last unit, at all nodes at once.
    let scarce = shop.sale.product(UNITS).await;
    let clients = shop.clients();
    let requests = (0..300).map(|n| (clients[n % NODES].clone(), hold(scarce, 1))).collect();
    let answers = all(burst(requests).await);
    let placed = answers.iter().filter(|answer| answer.status == 201).count();
    assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 409)), "a conflict was shown");
    assert_eq!(placed as u64, UNITS);
    // A hold that one node has answered is there on the others when they are asked.
    let product = shop.sale.product(STOCK).await;
    for n in 0..100 {
        let placed = clients[n % NODES].send(&hold(product, 1)).await.or_fail();
        assert_eq!(placed.status, 201, "{}", placed.text());
        let path = format!("/api/holds/{}", number(&placed.json()["hold_id"]));
        for client in &clients {
            let shown = client.get(&path).await.or_fail();
            assert_eq!(shown.status, 200, "{path} is not there yet: {}", shown.text());
        }
    }
    let before = shop.conflicts().await;
    let loads = shop.loads(&[product], &mut seed());
    for load in &loads {
        load.acknowledged(1000).await;
    }
    let acknowledged: u64 = loads.iter().map(Load::acknowledged_so_far).sum();
    let not_served: u64 = loads.iter().map(Load::not_served_so_far).sum();
    let reasons: Vec<String> = loads.iter().flat_map(Load::reasons_so_far).collect();
    let facts = shop.facts(loads).await;
    let conflicts = shop.conflicts().await - before;
    eprintln!(
        "{acknowledged} requests on one product at {NODES} nodes: {conflicts} conflicts, {not_served} not served"
    );
    assert!(conflicts > 0, "the nodes never met");
    assert_eq!(not_served, 0, "a conflict was shown: {reasons:#?}");
    // The holds of before this load are no facts of it.
    shop.assert_books(&[], &facts).await;
}

async fn a_node_that_is_killed_takes_nothing_with_it(setup: Setup) {
    if !is_long() {
        eprintln!("not tested here: a cluster is for tests/run --long");
        return;
    }
    let mut shop = Shop::start(&setup).await;
    let products = [shop.sale.product(STOCK).await, shop.sale.product(STOCK).await];
    let mut random = seed();
    let loads = shop.loads(&products, &mut random);
    for load in &loads {
        load.acknowledged(100).await;
    }
    for _ in 0..3 {
        let node = random.usize(1..NODES);
        shop.cluster.nodes[node].kill().await;
        // The others go on, and this one's server says that it cannot.
        for (n, load) in loads.iter().enumerate() {
            if n != node {
                load.acknowledged_more(100).await;
            }
        }
        readiness_is(&shop.others[node - 1].client(), 503).await;
        shop.cluster.restart(&[node]).await.or_fail();
        recovers(async {
            readiness_is(&shop.others[node - 1].client(), 200).await;
            loads[node].acknowledged_more(100).await;
        })
        .await;
    }
    let facts = shop.facts(loads).await;
    shop.assert_books(&products, &facts).await;
}

async fn a_cluster_without_a_quorum_sells_nothing_and_comes_back(setup: Setup) {
    if !is_long() {
        eprintln!("not tested here: a cluster is for tests/run --long");
        return;
    }
    let shop = Shop::start(&setup).await;
    let products = [shop.sale.product(STOCK).await];
    let loads = shop.loads(&products, &mut seed());
    for load in &loads {
        load.acknowledged(100).await;
    }
    // One of three cannot know whether the others go on without it.
    for node in &shop.cluster.nodes[1..] {
        node.freeze().or_fail();
    }
    shop.sale.readiness_is(503).await;
    assert_eq!(shop.sale.send(&hold(products[0], 1)).await.status, 503);
    for node in &shop.cluster.nodes[1..] {
        node.thaw().or_fail();
    }
    // How soon the nodes find each other again is a matter of the cluster.
    for node in 0..NODES {
        shop.cluster.wait_until_synced(node).await.or_fail();
    }
    recovers(async {
        for client in shop.clients() {
            readiness_is(&client, 200).await;
        }
        for load in &loads {
            load.acknowledged_more(100).await;
        }
    })
    .await;
    let facts = shop.facts(loads).await;
    shop.assert_books(&products, &facts).await;
}

async fn readiness_is(client: &Client, status: u16) {
    eventually("a server says how ready it is", async || match client.get("/readyz").await.or_fail() {
        answer if answer.status == status => Ok(()),
        answer => Err(answer.text()),
    })
    .await;
}
