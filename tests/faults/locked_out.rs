//! A database that lives, and lets the server in no more, or not to write.
//!
//! What does not belong here: one that cannot write for want of space (`disk`), or is slow (`slow`).

use std::os::unix::fs::PermissionsExt;

use holdfast_test_support::rig::database::MariaDb;
use holdfast_test_support::{OrFail, Sale, Session, Setup, TestDatabase, hold, recovers};

use crate::endure::{endure, short_lived};

/// The server's account: without the rights of an administrator, for whom hardly any limit counts.
const ACCOUNT: &str = "shop";
/// The least that MariaDB can be told.
const CONNECTIONS_MAX: usize = 10;

mod on_mariadb {
    use holdfast_test_support::for_mariadb;

    use super::*;

    for_mariadb!(a_read_only_database_is_waited_for, a_database_out_of_connections_is_waited_for);
}

mod on_sqlite {
    use super::*;

    mod sqlite {
        use holdfast_test_support::test_on;

        test_on!(a_file_that_another_process_writes_to_is_waited_for, Sqlite);
        test_on!(a_file_that_is_read_only_is_waited_for, Sqlite);
    }
}

/// A sale on a database of its own, as [`ACCOUNT`].
async fn start(setup: &Setup, database: &MariaDb) -> Sale {
    let database = TestDatabase::mariadb(&database.url()).await.or_fail();
    database
        .execute(&format!(
            "CREATE USER {ACCOUNT}; GRANT ALL ON *.* TO {ACCOUNT}; \
        REVOKE SUPER, READ_ONLY ADMIN, CONNECTION ADMIN ON *.* FROM {ACCOUNT}"
        ))
        .await
        .or_fail();
    let url = database.url().replacen("//root@", &format!("//{ACCOUNT}@"), 1);
    let server = short_lived(setup).server(&url).start().await.or_fail();
    Sale { client: server.client(), server, database }
}

async fn a_read_only_database_is_waited_for(setup: Setup) {
    let database = MariaDb::start().await.or_fail();
    let sale = start(&setup, &database).await;
    endure(&sale, async |_, products| {
        sale.database.execute("SET GLOBAL read_only = 1").await.or_fail();
        sale.readiness_is(503).await;
        let answer = sale.send(&hold(products[0], 1)).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "database_unavailable"));
        assert!(answer.header("retry-after").is_some(), "no Retry-After");
        // Whoever looks is still served.
        sale.stock(products[0]).await;
        sale.database.execute("SET GLOBAL read_only = 0").await.or_fail();
    })
    .await;
    // Also when nobody asks for anything meanwhile.
    sale.database.execute("SET GLOBAL read_only = 1").await.or_fail();
    let product = sale.database.integer("SELECT MIN(id) FROM products").await.or_fail().unsigned_abs();
    assert_eq!(sale.send(&hold(product, 1)).await.status, 503);
    sale.database.execute("SET GLOBAL read_only = 0").await.or_fail();
    recovers(sale.readiness_is(200)).await;
}

async fn a_database_out_of_connections_is_waited_for(setup: Setup) {
    let database = MariaDb::start().await.or_fail();
    let sale = start(&setup, &database).await;
    let mut operator = sale.database.session().await.or_fail();
    let url = sale.database.url().replacen("//root@", "//crowd@", 1);
    operator.execute("CREATE USER crowd; GRANT SELECT ON *.* TO crowd").await.or_fail();
    endure(&sale, async |_, _| {
        operator.execute(&format!("SET GLOBAL max_connections = {CONNECTIONS_MAX}")).await.or_fail();
        let mut crowd = Vec::new();
        let ours = format!("SELECT id FROM information_schema.processlist WHERE user = '{ACCOUNT}'");
        // Whatever becomes free is taken at once, by the crowd or by the server, until the server has none.
        loop {
            while let Ok(session) = Session::open(&url).await {
                crowd.push(session);
            }
            let left = operator.rows(&ours).await.or_fail();
            if left.is_empty() {
                break;
            }
            for id in left.iter().filter_map(|row| row.first()?.as_deref()) {
                // It may have gone by itself.
                let _ = operator.execute(&format!("KILL {id}")).await;
            }
        }
        sale.readiness_is(503).await;
        drop(crowd);
        operator.execute("SET GLOBAL max_connections = 1000").await.or_fail();
    })
    .await;
}

async fn a_file_that_another_process_writes_to_is_waited_for(setup: Setup) {
    let sale = short_lived(&setup).start().await;
    let mut other = sale.database.session().await.or_fail();
    endure(&sale, async |_, products| {
        other.execute("BEGIN IMMEDIATE").await.or_fail();
        sale.readiness_is(503).await;
        let answer = sale.send(&hold(products[0], 1)).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "database_unavailable"));
        // Whoever looks is still served.
        sale.stock(products[0]).await;
        other.execute("ROLLBACK").await.or_fail();
    })
    .await;
}

async fn a_file_that_is_read_only_is_waited_for(setup: Setup) {
    const READ_ONLY: u32 = 0o400;
    const WRITABLE: u32 = 0o600;
    let sale = short_lived(&setup).start().await;
    let product = sale.product(10).await;
    let held = sale.hold(product, 1).await;
    let Sale { server, database, .. } = sale;
    assert!(server.terminate().await.or_fail().success());
    let path = database.url().trim_start_matches("sqlite:").to_owned();
    // SQLite makes its log and its index beside the file with the file's permissions.
    let allow = |mode| {
        for file in [path.clone(), format!("{path}-wal"), format!("{path}-shm")] {
            match std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                result => result.or_fail(),
            }
        }
    };
    allow(READ_ONLY);
    let server = server.builder_again().obeying_permissions().listen().await.or_fail();
    let waits = server.log().wait_for(|line| line.text.contains("the database cannot be used yet").then_some(())).await;
    assert_eq!(waits, Some(()), "{}", server.log().text());
    let sale = Sale { client: server.client(), server, database };
    sale.readiness_is(503).await;
    assert_eq!(sale.send(&hold(product, 1)).await.status, 503);
    allow(WRITABLE);
    recovers(sale.readiness_is(200)).await;
    assert_eq!(sale.hold_shown(held).await["product_id"], product);
    sale.hold(product, 1).await;
    sale.assert_audit_passes().await;
}
