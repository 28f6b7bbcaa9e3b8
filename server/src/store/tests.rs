//! Tests of the store: one suite, run on SQLite and on MariaDB.
//!
//! Each test has a database of its own, from the rig. `ByHand` is a connection past the store.

mod audits;
mod classification;
mod constraints;
mod desk;
mod loading;
mod migrations;
mod reads;
mod silence;
mod tls;
mod writing;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use holdfast_loadtest::rig::RigError;
use holdfast_loadtest::rig::database::{Kind, Session, TestDatabase};
use sale::{
    Changes, Command, Decision, Hold, HoldId, Key, Money, Needs, Order, OrderId, Outcome, PaymentStatus, ProductId,
    Quantity, Terms,
};

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

/// A database of its own, and a store on it.
struct Place {
    store: Arc<dyn Store>,
    database: TestDatabase,
    next_id: AtomicU64,
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
        Self::on(Kind::Sqlite).await
    }

    async fn empty_mysql() -> Self {
        Self::on(Kind::MariaDb).await
    }

    async fn on(kind: Kind) -> Self {
        let database = TestDatabase::create(kind).await.expect("a database");
        let store = super::open(database.url(), &OpenOptions::default()).await.expect("the URL is fine");
        Self { store, database, next_id: AtomicU64::new(1) }
    }

    async fn migrated(self) -> Self {
        self.store.migrate().await.expect("the schema is made");
        self
    }

    /// Another store on the same database, as another server would have it.
    async fn another_store(&self) -> Arc<dyn Store> {
        super::open(self.database.url(), &OpenOptions::default()).await.expect("the URL is fine")
    }

    fn is_mysql(&self) -> bool {
        self.database.kind() == Kind::MariaDb
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
        ByHand { session: self.database.session().await.expect("the database answers"), kind: self.database.kind() }
    }

    /// Waits until a connection waits for a lock of this database.
    async fn wait_until_somebody_waits(&self) {
        match self.database.kind() {
            Kind::MariaDb => {
                let sql = "SELECT COUNT(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p \
                     ON p.id = t.trx_mysql_thread_id WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()";
                let mut by_hand = self.by_hand().await;
                // The server renews this table only for those who have not read it for 100 ms.
                until_seen_each(Duration::from_millis(120), async || by_hand.number(sql).await > 0).await;
            }
            // Who waits for a file tells nobody.
            Kind::Sqlite => tokio::task::yield_now().await,
        }
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
        let routed: Vec<_> = commands.iter().map(|command| (product_id, command.clone())).collect();
        self.decide_all(writer, &routed).await
    }

    /// The same of commands of many products.
    async fn decide_all(&self, writer: &mut dyn Writer, routed: &[(ProductId, Command)]) -> Decision {
        let needs = Needs::of(routed.iter().map(|(product_id, command)| (*product_id, command)));
        let loaded = writer.load(&needs).await.expect("the rows are loaded");
        let commands: Vec<Command> = routed.iter().map(|(_, command)| command.clone()).collect();
        sale::decide(loaded.state, &commands, &TERMS).expect("no invariant is broken")
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

/// A connection past the store.
struct ByHand {
    session: Session,
    kind: Kind,
}

impl ByHand {
    async fn run(&mut self, sql: &str) -> Result<(), RigError> {
        self.session.execute(sql).await
    }

    /// The clock of the database, in microseconds.
    async fn clock(&mut self) -> i64 {
        match self.kind {
            Kind::MariaDb => self.number("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)").await,
            Kind::Sqlite => {
                let since_1970 =
                    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
                i64::try_from(since_1970.as_micros()).expect("in range")
            }
        }
    }

    /// The number that `sql` selects.
    async fn number(&mut self, sql: &str) -> i64 {
        let rows = self.session.rows(sql).await.expect("a query");
        rows[0][0].as_ref().expect("a value").parse().expect("a number")
    }

    /// The steps by which SQLite carries out `sql`.
    async fn steps(&mut self, sql: &str) -> Vec<String> {
        let program = self.session.rows(&format!("EXPLAIN {sql}")).await.expect("a program");
        program.into_iter().filter_map(|step| step.into_iter().nth(1)?).collect()
    }

    /// Changes rows of `table` that nobody may change: without checks, foreign keys and unique keys.
    async fn tamper(&mut self, table: &str, sql: &str) {
        let off = match self.kind {
            Kind::MariaDb => "SET SESSION foreign_key_checks = 0, check_constraint_checks = 0",
            Kind::Sqlite => "PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON",
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
pub(super) async fn until(reached: impl AsyncFnMut() -> bool) {
    until_seen_each(Duration::from_millis(5), reached).await;
}

async fn until_seen_each(interval: Duration, mut reached: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !reached().await {
            tokio::time::sleep(interval).await;
        }
    };
    within(waited).await;
}

/// Fails instead of hanging. Nothing here takes nearly as long.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), future).await.expect("it ends")
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
