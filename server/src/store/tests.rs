//! Tests of the store: one suite, run on SQLite and on MariaDB.
//!
//! Each test has a database of its own. MariaDB is the one at `HOLDFAST_TEST_MYSQL_URL`, an account that
//! may create databases (`mysql://root@127.0.0.1:3306/`), or one that the rig starts.

mod audits;
mod classification;
mod constraints;
mod desk;
mod loading;
mod migrations;
mod reads;
mod writing;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sale::{
    Changes, Command, Decision, Hold, HoldId, Key, Money, Needs, Order, OrderId, Outcome, PaymentStatus, ProductId,
    Quantity, Terms,
};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use tempfile::TempDir;

use super::{BatchId, Fault, NewProduct, OpenOptions, Store, StoreError, Writer};

/// Runs tests on both databases. Each is an `async fn(Place)`; those `on_nothing` find no schema there.
macro_rules! on_both_databases {
    ($($name:ident),+ $(; on_nothing: $($bare:ident),+)? $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::store::tests::Place::sqlite().await).await;
            })+
            $($(#[tokio::test]
            async fn $bare() {
                super::$bare($crate::store::tests::Place::empty_sqlite().await).await;
            })+)?
        }
        mod mysql {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::store::tests::Place::mysql().await).await;
            })+
            $($(#[tokio::test]
            async fn $bare() {
                super::$bare($crate::store::tests::Place::empty_mysql().await).await;
            })+)?
        }
    };
}
use on_both_databases;

/// Holds live two minutes, orders wait fifteen.
const TERMS: Terms = Terms { hold_ttl_seconds: 120, payment_window_seconds: 900, max_qty_per_hold: 1000 };

/// A database of its own.
struct Place {
    store: Arc<dyn Store>,
    url: String,
    kind: Kind,
    next_id: AtomicU64,
}

enum Kind {
    Sqlite { _folder: TempDir },
    MySql { server: String, database: String },
}

impl Place {
    /// With the schema.
    async fn sqlite() -> Self {
        Self::empty_sqlite().await.migrated().await
    }

    /// With the schema.
    async fn mysql() -> Self {
        Self::empty_mysql().await.migrated().await
    }

    async fn empty_sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("holdfast.db").display());
        Self::at(url, Kind::Sqlite { _folder: folder }).await
    }

    async fn empty_mysql() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let server = mysql_server().await;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let database = format!("store_{}_{number}_{:x}", std::process::id(), fastrand::u32(..));
        let mut connection = sqlx::MySqlConnection::connect(&server).await.expect("the server answers");
        let create = format!("CREATE DATABASE {database}");
        connection.execute(AssertSqlSafe(create)).await.expect("the database is made");
        let url = format!("{}/{database}", server.trim_end_matches('/'));
        Self::at(url, Kind::MySql { server, database }).await
    }

    async fn at(url: String, kind: Kind) -> Self {
        let store = super::open(&url, &OpenOptions::default()).await.expect("the URL is fine");
        Self { store, url, kind, next_id: AtomicU64::new(1) }
    }

    async fn migrated(self) -> Self {
        self.store.migrate().await.expect("the schema is made");
        self
    }

    /// Another store on the same database, as another server would have it.
    async fn another_store(&self) -> Arc<dyn Store> {
        super::open(&self.url, &OpenOptions::default()).await.expect("the URL is fine")
    }

    fn is_mysql(&self) -> bool {
        matches!(self.kind, Kind::MySql { .. })
    }

    async fn writer(&self) -> Box<dyn Writer> {
        self.store.writer().await.expect("the database answers")
    }

    /// An id that this test has not used.
    fn id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn batch(&self) -> BatchId {
        BatchId(self.id())
    }

    /// A connection past the store.
    async fn by_hand(&self) -> ByHand {
        ByHand::connect(&self.url).await
    }

    /// Waits until a connection waits for a lock of this database.
    async fn wait_until_somebody_waits(&self) {
        let mut by_hand = self.by_hand().await;
        match &self.kind {
            Kind::MySql { database, .. } => {
                let sql = format!(
                    "SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p \
                     ON p.id = t.trx_mysql_thread_id WHERE t.trx_state = 'LOCK WAIT' AND p.db = '{database}'"
                );
                until(async || by_hand.number(&sql).await > 0).await;
            }
            // Who waits for a file tells nobody. That the clock is read late can only be shown if it was asked early.
            Kind::Sqlite { .. } => tokio::task::yield_now().await,
        }
    }

    /// The same, where there may be no file yet.
    async fn by_hand_on_nothing(&self) -> ByHand {
        let url = if self.is_mysql() { self.url.clone() } else { format!("{}?mode=rwc", self.url) };
        ByHand::connect(&url).await
    }

    async fn product(&self, stock: u64) -> ProductId {
        let product = NewProduct { name: "Jeton".to_owned(), description: String::new(), price: Money(99_99), stock };
        self.store.create_product(&product).await.expect("the product is made")
    }

    /// Decides `commands` of one product and commits, as the engine does.
    async fn act(&self, product_id: ProductId, commands: &[Command]) -> Vec<Outcome> {
        let mut writer = self.writer().await;
        let decision = self.decide(writer.as_mut(), product_id, commands).await;
        writer.commit(self.batch(), &decision.changes).await.expect("the batch is committed");
        decision.outcomes
    }

    async fn decide(&self, writer: &mut dyn Writer, product_id: ProductId, commands: &[Command]) -> Decision {
        let needs = Needs::of(commands.iter().map(|command| (product_id, command)));
        let loaded = writer.load(&needs).await.expect("the rows are loaded");
        sale::decide(loaded.state, commands, &TERMS).expect("no invariant is broken")
    }

    async fn hold(&self, product_id: ProductId, units: u32, key: Option<&str>) -> Hold {
        let command = place(HoldId(self.id()), product_id, units, key);
        match self.act(product_id, &[command]).await.remove(0) {
            Outcome::HoldPlaced { hold, .. } => hold,
            other => panic!("{other:?}"),
        }
    }

    async fn order(&self, hold: &Hold, text: Option<&str>) -> Order {
        let command = Command::RedeemHold { hold_id: hold.id, order_id: OrderId(self.id()), key: text.map(key) };
        match self.act(hold.product_id, &[command]).await.remove(0) {
            Outcome::OrderPlaced { order, .. } => order,
            other => panic!("{other:?}"),
        }
    }

    async fn pay(&self, order: &Order, text: &str, status: PaymentStatus) -> Outcome {
        let command = Command::SettlePayment { key: key(text), order_id: order.id, status };
        self.act(order.product_id, &[command]).await.remove(0)
    }

    /// As if the deadline had been `second` seconds after 1970 began.
    async fn make_due(&self, hold: &Hold, second: i64) {
        let expires_at = second * 1_000_000;
        let sql = format!("UPDATE holds SET created_at = 1, expires_at = {expires_at} WHERE id = {}", hold.id);
        self.by_hand().await.run(&sql).await.expect("the hold is older");
    }

    /// As if the payment window had been over `second` seconds after 1970 began.
    async fn make_overdue(&self, order: &Order, second: i64) {
        let sql = format!("UPDATE orders SET payment_deadline = {second} * 1000000 WHERE id = {}", order.id);
        self.by_hand().await.run(&sql).await.expect("the order is older");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The databases of a shared server pile up over the runs; a failure to remove one is no failure of the test.
        if let Kind::MySql { server, database } = &self.kind {
            let (server, sql) = (server.clone(), format!("DROP DATABASE {database}"));
            let drop_it = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    sqlx::MySqlConnection::connect(&server).await?.execute(AssertSqlSafe(sql)).await?;
                    Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
                })
            };
            drop(std::thread::spawn(drop_it).join());
        }
    }
}

async fn mysql_server() -> String {
    match std::env::var("HOLDFAST_TEST_MYSQL_URL") {
        Ok(url) => url,
        Err(_) => panic!("set HOLDFAST_TEST_MYSQL_URL"),
    }
}

/// A connection past the store.
enum ByHand {
    MySql(sqlx::MySqlConnection),
    Sqlite(sqlx::SqliteConnection),
}

impl ByHand {
    async fn connect(url: &str) -> Self {
        if url.starts_with("sqlite:") {
            Self::Sqlite(sqlx::SqliteConnection::connect(url).await.expect("the file is there"))
        } else {
            Self::MySql(sqlx::MySqlConnection::connect(url).await.expect("the server answers"))
        }
    }

    async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::MySql(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop),
            Self::Sqlite(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop),
        }
    }

    /// The clock of the database, in microseconds.
    async fn clock(&mut self) -> i64 {
        match self {
            Self::MySql(_) => self.number("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)").await,
            Self::Sqlite(_) => {
                let since_1970 =
                    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
                i64::try_from(since_1970.as_micros()).expect("in range")
            }
        }
    }

    /// The number that `sql` selects.
    async fn number(&mut self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::MySql(connection) => {
                sqlx::raw_sql(sql).fetch_one(connection).await.and_then(|row| row.try_get_unchecked(0))
            }
            Self::Sqlite(connection) => {
                sqlx::raw_sql(sql).fetch_one(connection).await.and_then(|row| row.try_get_unchecked(0))
            }
        }
        .expect("a number")
    }

    /// Changes rows of `table` that nobody may change: without checks, foreign keys and unique keys.
    async fn tamper(&mut self, table: &str, sql: &str) {
        let off = match self {
            Self::MySql(_) => "SET SESSION foreign_key_checks = 0, check_constraint_checks = 0",
            Self::Sqlite(_) => "PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON",
        };
        let loose = format!(
            "ALTER TABLE {table} RENAME TO old_{table}; CREATE TABLE {table} AS SELECT * FROM old_{table}; {sql}"
        );
        self.run(off).await.expect("checks are off");
        self.run(&loose).await.expect("the rows are changed");
    }

    /// Puts the rows back.
    async fn mend(&mut self, table: &str) {
        let sql = format!("DROP TABLE {table}; ALTER TABLE old_{table} RENAME TO {table}");
        self.run(&sql).await.expect("the rows are as they were");
    }
}

/// Waits until `reached`, and fails if it never is.
async fn until(mut reached: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(waited).await;
}

/// Fails instead of hanging. Nothing here takes nearly as long.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it ends")
}

fn key(text: &str) -> Key {
    Key::new(text.as_bytes()).expect("a key")
}

fn quantity(units: u32) -> Quantity {
    Quantity::new(units).expect("a quantity")
}

fn place(hold_id: HoldId, product_id: ProductId, units: u32, text: Option<&str>) -> Command {
    Command::PlaceHold { hold_id, product_id, quantity: quantity(units), key: text.map(key) }
}

fn needs_of(product_id: ProductId) -> Needs {
    let mut needs = Needs::default();
    needs.products.insert(product_id, 0);
    needs
}

fn fault<T>(result: Result<T, StoreError>) -> Option<Fault> {
    result.err().map(|error| error.fault)
}

/// Changes that a bug would make.
fn by_a_bug(change: impl FnOnce(&mut Changes)) -> Changes {
    let mut changes = Changes::default();
    change(&mut changes);
    changes
}
