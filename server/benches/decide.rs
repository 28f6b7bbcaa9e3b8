//! How long the rules take to decide a batch: holds of one product, of many, and the steps of a funnel.
//!
//! What does not belong here: loading and writing rows (`store.rs`).

mod support;

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use sale::{
    Command, Hold, HoldId, HoldStatus, Key, Money, Order, OrderId, OrderStatus, PaymentStatus, Product, ProductId,
    ProductStatus, Quantity, State, Timestamp, decide,
};

use support::{SIZES, TERMS, holds};

const NOW: Timestamp = Timestamp(1_764_637_200_000_000);
const PLENTY: u64 = 1_000_000_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    measure(&mut criterion, "holds of one product", |size| (state([1], size), commands(size, &[1])));
    measure(&mut criterion, "holds of a product each", |size| {
        let products: Vec<u64> = (1..=u64::from(size)).collect();
        (state(products.iter().copied(), size), commands(size, &products))
    });
    measure(&mut criterion, "a hold, an order, a payment in turn", |size| (state([1], size), funnel(size)));
    criterion.final_summary();
}

fn measure(criterion: &mut Criterion, name: &str, prepare: impl Fn(u32) -> (State, Vec<Command>)) {
    let mut group = criterion.benchmark_group(format!("decide: {name}"));
    for size in SIZES {
        let (state, commands) = prepare(size);
        group.throughput(Throughput::Elements(size.into()));
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            let decided = |state| decide(state, black_box(&commands), &TERMS).expect("nothing is broken");
            bencher.iter_batched(|| state.clone(), decided, BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn commands(size: u32, products: &[u64]) -> Vec<Command> {
    let products: Vec<ProductId> = products.iter().copied().map(ProductId).collect();
    holds(size, 1_000_000, &products).into_iter().map(|(_, command)| command).collect()
}

/// A third new holds, a third orders of holds that are there, a third payments of orders that are there.
fn funnel(size: u32) -> Vec<Command> {
    let step = |i: u32| {
        let id = u64::from(i + 1);
        match i % 3 {
            0 => holds(1, 1_000_000 + id, &[ProductId(1)]).remove(0).1,
            1 => Command::RedeemHold { hold_id: HoldId(id), order_id: OrderId(1_000_000 + id), key: None },
            _ => Command::SettlePayment {
                key: Key::new(format!("evt_{id}").as_bytes()).expect("a key"),
                order_id: OrderId(id),
                status: PaymentStatus::Success,
            },
        }
    };
    (0..size).map(step).collect()
}

/// Products with units enough; of the first, `size` holds, every third with an unpaid order.
fn state(products: impl IntoIterator<Item = u64>, size: u32) -> State {
    let quantity = Quantity::new(1).expect("one is a quantity");
    let product_id = ProductId(1);
    let mut state = State { now: Some(NOW), ..State::default() };
    for id in products.into_iter().map(ProductId) {
        let product = Product {
            id,
            price: Money(9_999),
            status: ProductStatus::OnSale,
            stock_available: PLENTY,
            stock_reserved: u64::from(size),
            movement_seq: 1,
            updated_at: NOW,
        };
        state.products.insert(id, product);
    }
    for id in 1..=u64::from(size) {
        let has_order = id % 3 == 0;
        let order_id = OrderId(id);
        let status = if has_order { HoldStatus::Redeemed { order_id } } else { HoldStatus::Active };
        let expires_at = NOW.plus_seconds(60).round_up_to_second();
        let hold = Hold { id: HoldId(id), product_id, quantity, status, created_at: NOW, expires_at, key: None };
        state.holds.insert(hold.id, hold);
        if has_order {
            let order = Order {
                id: order_id,
                hold_id: HoldId(id),
                product_id,
                quantity,
                total_amount: Money(9_999),
                status: OrderStatus::PendingPayment,
                created_at: NOW,
                updated_at: NOW,
                payment_deadline: NOW.plus_seconds(900),
                key: None,
            };
            state.orders.insert(order_id, order);
        }
    }
    state
}
