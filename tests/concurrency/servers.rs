//! Several servers that start on one database at the same moment.
//!
//! What does not belong here: servers that are killed while they start (`crash`).

use holdfast_test_support::{Client, OrFail, Sale, ServerProcess, Setup, all, burst, for_both, hold, rounds};
use tokio::task::JoinSet;

for_both!(eight_servers_start_at_once_on_an_empty_database, eight_migrations_at_once);

async fn eight_servers_start_at_once_on_an_empty_database(setup: Setup) {
    for _ in 0..rounds(1, 5) {
        let database = setup.database().await;
        let mut starting = JoinSet::new();
        for _ in 0..8 {
            let server = setup.server(database.url());
            starting.spawn(async move { server.start().await.or_fail() });
        }
        let mut servers: Vec<ServerProcess> = starting.join_all().await;
        let clients: Vec<Client> = servers.iter().map(ServerProcess::client).collect();
        let server = servers.remove(0);
        let sale = Sale { client: server.client(), server, database };
        let product = sale.product(10).await;
        let requests = (0..80).map(|n| (clients[n % 8].clone(), hold(product, 1))).collect();
        let answers = all(burst(requests).await);
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 10);
        sale.assert_audit_passes().await;
    }
}

async fn eight_migrations_at_once(setup: Setup) {
    for _ in 0..rounds(2, 20) {
        let database = setup.database().await;
        let mut running = JoinSet::new();
        for _ in 0..8 {
            let holdfast = setup.server(database.url());
            running.spawn(async move { holdfast.run(&["migrate"]).await.or_fail() });
        }
        for finished in running.join_all().await {
            assert_eq!(finished.code(), Some(0), "{finished:?}");
        }
        let sale = setup.start_on(database).await;
        sale.hold(sale.product(1).await, 1).await;
        sale.assert_audit_passes().await;
    }
}
