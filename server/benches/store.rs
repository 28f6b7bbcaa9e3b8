//! How long a transaction takes, from its lock to its commit, on SQLite and on MariaDB, with full durability.
//!
//! Each is what a worker does with a batch of holds: load, decide, commit. Where MariaDB is not installed, it is said
//! and left out. What does not belong here: queues, retries, and HTTP.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use holdfast::store::{self, BatchId, NewProduct, OpenOptions, Store, Writer};
use holdfast_loadtest::rig::database::{Kind, TestDatabase};
use sale::{Command, Money, Needs, ProductId, decide};
use tokio::runtime::Runtime;

use support::{SIZES, TERMS, holds};

/// The most that a product can have.
const PLENTY: u64 = 1_000_000_000_000;
/// Products that a batch of [`SIZES`] is spread over.
const MANY: usize = 1_024;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = Runtime::new().expect("a runtime");
    for kind in [Kind::Sqlite, Kind::MariaDb] {
        match runtime.block_on(Bench::start(kind)) {
            Ok(mut bench) => bench.measure(&mut criterion, &runtime),
            Err(error) => eprintln!("{kind:?} is left out: {error}"),
        }
    }
    criterion.final_summary();
}

/// A database with products in it, and the connection that writes there.
struct Bench {
    kind: Kind,
    products: Vec<ProductId>,
    next_id: u64,
    writer: Box<dyn Writer>,
    _store: Arc<dyn Store>,
    // The last to go.
    _database: TestDatabase,
}

impl Bench {
    async fn start(kind: Kind) -> Result<Self, Box<dyn std::error::Error>> {
        let database = TestDatabase::create(kind).await?;
        let store = store::open(database.url(), &OpenOptions::default()).await?;
        store.migrate().await?;
        let mut products = Vec::new();
        for _ in 0..MANY {
            let (name, description) = ("a product".to_owned(), String::new());
            let product = NewProduct { name, description, price: Money(9_999), stock: PLENTY };
            products.push(store.create_product(&product).await?);
        }
        let writer = store.writer().await?;
        Ok(Self { kind, products, next_id: 1, writer, _store: store, _database: database })
    }

    fn measure(&mut self, criterion: &mut Criterion, runtime: &Runtime) {
        for (name, count) in [("one product", 1), ("a product each", MANY)] {
            let mut group = criterion.benchmark_group(format!("store: {:?}, holds of {name}", self.kind));
            for size in SIZES {
                self.measure_size(&mut group, runtime, size, count);
            }
            group.finish();
        }
    }

    fn measure_size(
        &mut self,
        group: &mut BenchmarkGroup<'_, WallTime>,
        runtime: &Runtime,
        size: u32,
        products: usize,
    ) {
        group.throughput(Throughput::Elements(size.into()));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter_custom(|iterations| runtime.block_on(self.transactions(iterations, size, products)));
        });
    }

    /// So many transactions, one after the other, and how long they took.
    async fn transactions(&mut self, count: u64, size: u32, products: usize) -> Duration {
        let mut taken = Duration::ZERO;
        for _ in 0..count {
            let first = self.next_id;
            self.next_id += u64::from(size);
            let routed = holds(size, first, &self.products[..products]);
            let needs = Needs::of(routed.iter().map(|(product, command)| (*product, command)));
            let commands: Vec<Command> = routed.into_iter().map(|(_, command)| command).collect();
            let began = Instant::now();
            let loaded = self.writer.load(&needs).await.expect("the rows");
            let decision = decide(loaded.state, &commands, &TERMS).expect("nothing is broken");
            self.writer.commit(BatchId(first), &decision.changes).await.expect("a commit");
            taken += began.elapsed();
        }
        taken
    }
}
