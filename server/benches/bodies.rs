//! How long each JSON body takes to be read and checked, and each answer to be written.
//!
//! What does not belong here: sockets, and HTTP's own lines.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use holdfast::http::bodies;
use holdfast::store::{Description, ProductReading, Stock};
use http::Response;
use http_body_util::Full;
use sale::{
    Hold, HoldId, HoldStatus, Money, Order, OrderId, OrderStatus, ProductId, ProductStatus, Quantity, Timestamp,
};

const NOW: Timestamp = Timestamp(1_764_637_200_123_456);

/// What makes an answer.
type Answer<'a> = &'a dyn Fn() -> Response<Full<Bytes>>;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    read(&mut criterion);
    write(&mut criterion);
    criterion.final_summary();
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read a body");
    for body in bodies::SENT {
        group.throughput(Throughput::Bytes(body.example.len() as u64));
        group.bench_function(body.name, |bencher| {
            bencher.iter(|| assert!((body.read)(black_box(body.example.as_bytes())), "it is taken"));
        });
    }
    group.finish();
}

fn write(criterion: &mut Criterion) {
    let (hold, order, reading) = (hold(), order(), reading());
    let answers: [(&str, Answer<'_>); 5] = [
        ("new hold", &|| bodies::placed_hold(black_box(&hold))),
        ("hold", &|| bodies::hold(black_box(&hold))),
        ("new order", &|| bodies::placed_order(black_box(&order))),
        ("payment event", &bodies::payment_taken),
        ("sold out", &|| bodies::insufficient_stock(black_box(3))),
    ];
    let mut group = criterion.benchmark_group("write an answer");
    for (name, answer) in answers {
        group.bench_function(name, |bencher| bencher.iter(answer));
    }
    group.bench_function("product", |bencher| {
        bencher.iter_batched(|| reading.clone(), bodies::product, BatchSize::SmallInput);
    });
    group.finish();
}

fn quantity() -> Quantity {
    Quantity::new(5).expect("five is a quantity")
}

fn hold() -> Hold {
    Hold {
        id: HoldId(1_234_567),
        product_id: ProductId(7),
        quantity: quantity(),
        status: HoldStatus::Active,
        created_at: NOW,
        expires_at: NOW.plus_seconds(120).round_up_to_second(),
        key: None,
    }
}

fn order() -> Order {
    Order {
        id: OrderId(12),
        hold_id: HoldId(1_234_567),
        product_id: ProductId(7),
        quantity: quantity(),
        total_amount: Money(49_995),
        status: OrderStatus::PendingPayment,
        created_at: NOW,
        updated_at: NOW,
        payment_deadline: NOW.plus_seconds(900),
        key: None,
    }
}

fn reading() -> ProductReading {
    ProductReading {
        id: ProductId(7),
        description: Description {
            name: "a product".to_owned(),
            description: "what there is to say of it".to_owned(),
            price: Money(9_999),
            created_at: NOW,
        },
        stock: Stock {
            status: ProductStatus::OnSale,
            stock_available: 1_000_000,
            stock_reserved: 1_234,
            due_units: 0,
            updated_at: NOW,
        },
    }
}
