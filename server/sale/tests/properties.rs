//! Properties over random sequences: the naive model agrees, a batch equals its commands one by one.
//!
//! Invariants, times and ledgers are checked by the driver after every commit. The seed is fixed, so that a
//! failure repeats; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` look elsewhere.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed, TestRunner};
use sale::{
    Hold, HoldStatus, Money, NextDue, OrderStatus, Outcome, PaymentEffect, Product, ProductId, ProductStatus, Refusal,
    ReleaseReason, Timestamp,
};

use crate::commands::{Ids, PRODUCTS, Round, TERMS, rounds, tick_clock};
use crate::database::{Database, Limits};
use crate::driver::{Done, commit, route, run};
use crate::naive::{Answer, Ask, HoldView, Naive};

const START: Timestamp = Timestamp(1_764_637_200_250_000);
const PRICE_MINOR: u64 = 333;

/// Enough draws to meet every case, in a second or two.
const CASES: u32 = 500;
const SEED: u64 = 20_251_202;

/// A property over batches meets its cases in fewer: every batch is run twice.
fn half() -> Config {
    let whole = config();
    Config { cases: whole.cases.div_ceil(2), ..whole }
}

fn config() -> Config {
    let asked = Config::default();
    let fixed = Config {
        cases: CASES,
        rng_seed: RngSeed::Fixed(SEED),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    };
    Config {
        cases: std::env::var_os("PROPTEST_CASES").map_or(fixed.cases, |_| asked.cases),
        rng_seed: std::env::var_os("PROPTEST_RNG_SEED").map_or(fixed.rng_seed, |_| asked.rng_seed),
        ..fixed
    }
}

fn database(stocks: &[u64]) -> Database {
    let product = |(id, stock): (u64, &u64)| Product {
        id: ProductId(id),
        price: Money(PRICE_MINOR),
        status: ProductStatus::OnSale,
        stock_available: *stock,
        stock_reserved: 0,
        movement_seq: 0,
        updated_at: START,
    };
    Database::of((1..=PRODUCTS).zip(stocks).map(product))
}

fn naive(stocks: &[u64]) -> Naive {
    let mut naive = Naive::new(TERMS.hold_ttl_seconds, TERMS.payment_window_seconds, TERMS.max_qty_per_hold);
    for (id, stock) in (1..=PRODUCTS).zip(stocks) {
        naive.add_product(id, PRICE_MINOR, i64::try_from(*stock).expect("a drawn stock fits"));
    }
    naive
}

fn stocks() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(0_u64..=10, usize::try_from(PRODUCTS).expect("few"))
}

fn limits() -> impl Strategy<Value = Limits> {
    let small = (1_usize..4, 1_usize..4);
    prop_oneof![
        1 => Just(Limits::NONE),
        3 => small.prop_map(|(due_per_command, due_per_shortage)| Limits { due_per_command, due_per_shortage }),
    ]
}

proptest! {
    #![proptest_config(config())]

    /// Every answer, and all that the API shows, is what the naive model says, whatever was batched, put off
    /// or halved. So no hold is refused whose units were there (I8), and none is promised that were not.
    #[test]
    fn the_naive_model_agrees(stocks in stocks(), rounds in rounds(7, true), limits in limits()) {
        let (mut database, mut naive, mut ids, mut now) = (database(&stocks), naive(&stocks), Ids::default(), START);
        for Round { tick, draws } in &rounds {
            now = tick_clock(tick, now, &database);
            let asks: Vec<Ask> = draws.iter().map(|draw| ids.ask(draw, &database)).collect();
            // Within a batch a product's clock stands still.
            let clocks: BTreeMap<u64, i64> =
                (1..=PRODUCTS + 1).map(|id| (id, database.clock(ProductId(id), now).0)).collect();
            let (batch, unknown) = route(&database, &asks);
            for ask in unknown {
                let code = if matches!(ask, Ask::Settle { .. }) { "order_unknown" } else { "hold_unknown" };
                prop_assert_eq!(naive.ask(&ask, now.0), Answer::No(code, 0), "{:?}", ask);
            }
            for Done { ask, outcome } in run(&mut database, batch, now, limits, &TERMS) {
                let clock = naive.product_of(&ask).map_or(now.0, |product| clocks[&product]);
                agree(&mut naive, &ask, outcome.as_ref(), clock)?;
            }
            shows_the_same(&database, &naive, &clocks)?;
        }
    }
}

proptest! {
    #![proptest_config(half())]

    /// A batch is its commands one by one: the same outcomes, the same rows, window cancellations last.
    #[test]
    fn a_batch_equals_its_commands(stocks in stocks(), rounds in rounds(9, false)) {
        equal_one_by_one(&stocks, &rounds)?;
    }

    /// The same where ids are given twice: then the batch breaks exactly if one of its commands does.
    #[test]
    fn a_batch_breaks_if_one_of_its_commands_does(stocks in stocks(), rounds in rounds(9, true)) {
        equal_one_by_one(&stocks, &rounds)?;
    }
}

/// A property that never meets a case proves nothing about it.
#[test]
fn the_draws_meet_every_case() {
    let mut met: BTreeMap<String, u32> = BTreeMap::new();
    let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(SEED), ..Config::default() });
    let drawn = (stocks(), rounds(7, true), limits());
    for _ in 0..CASES {
        let tree = drawn.new_tree(&mut runner).expect("nothing is filtered out");
        let (stocks, rounds, limits) = tree.current();
        let (mut database, mut ids, mut now) = (database(&stocks), Ids::default(), START);
        for Round { tick, draws } in &rounds {
            now = tick_clock(tick, now, &database);
            let asks: Vec<Ask> = draws.iter().map(|draw| ids.ask(draw, &database)).collect();
            let (batch, _) = route(&database, &asks);
            if commit(&mut database.clone(), &batch, now, limits, &TERMS)
                .is_ok_and(|decision| decision.outcomes.contains(&Outcome::Deferred))
            {
                *met.entry("Deferred".to_owned()).or_default() += 1;
            }
            for Done { outcome, .. } in run(&mut database, batch, now, limits, &TERMS) {
                *met.entry(outcome.as_ref().map_or("Failed".to_owned(), case)).or_default() += 1;
            }
        }
        for movement in database.movements.values() {
            *met.entry(format!("{:?}", movement.kind)).or_default() += 1;
        }
    }
    let cases = "Deferred Failed HoldPlaced HoldPlaced-again HoldGivenBack HoldGivenBack-again OrderPlaced \
         OrderPlaced-again Paid Paid-again Cancelled Cancelled-again NoEffect NoEffect-again RefundRequired \
         RefundRequired-again HoldsExpired OrdersCancelled ProductChanged ProductUnknown HoldUnknown OrderUnknown \
         KeyReused PaymentKeyConflict QuantityOverLimit ProductSuspended InsufficientStock HoldAlreadyRedeemed \
         HoldExpired HoldReleased Restocked HoldRedeemed PaymentFailed PaymentOverdue";
    let missed: Vec<&str> = cases.split_whitespace().filter(|case| met.get(*case).is_none_or(|n| *n < 5)).collect();
    assert!(missed.is_empty(), "hardly met: {missed:?} of {met:#?}");
}

/// The name of an outcome, for counting.
fn case(outcome: &Outcome) -> String {
    let (name, again) = match outcome {
        Outcome::HoldPlaced { replayed, .. } => ("HoldPlaced".to_owned(), *replayed),
        Outcome::HoldGivenBack { already } => ("HoldGivenBack".to_owned(), *already),
        Outcome::OrderPlaced { replayed, .. } => ("OrderPlaced".to_owned(), *replayed),
        Outcome::PaymentTaken { event, repeated } => (format!("{:?}", event.effect), *repeated),
        Outcome::HoldsExpired { .. } => ("HoldsExpired".to_owned(), false),
        Outcome::OrdersCancelled { .. } => ("OrdersCancelled".to_owned(), false),
        Outcome::ProductChanged(_) => ("ProductChanged".to_owned(), false),
        Outcome::Refused(refusal) => (format!("{refusal:?}"), false),
        Outcome::Deferred => ("Deferred".to_owned(), false),
    };
    let name = name.split(' ').next().unwrap_or_default();
    if again { format!("{name}-again") } else { name.to_owned() }
}

fn equal_one_by_one(stocks: &[u64], rounds: &[Round]) -> Result<(), TestCaseError> {
    let (mut database, mut ids, mut now) = (database(stocks), Ids::default(), START);
    for Round { tick, draws } in rounds {
        now = tick_clock(tick, now, &database);
        let asks: Vec<Ask> = draws.iter().map(|draw| ids.ask(draw, &database)).collect();
        let (batch, _) = route(&database, &asks);
        let mut whole = database.clone();
        let decided = commit(&mut whole, &batch, now, Limits::NONE, &TERMS);

        let (last, first): (Vec<usize>, Vec<usize>) =
            (0..batch.len()).partition(|i| matches!(batch[*i].ask, Ask::Cancel { .. }));
        let mut alone: Vec<Option<Outcome>> = vec![None; batch.len()];
        for i in first.into_iter().chain(last) {
            let one = commit(&mut database, &batch[i..=i], now, Limits::NONE, &TERMS);
            alone[i] = one.ok().and_then(|decision| decision.outcomes.into_iter().next());
        }
        let Ok(decision) = decided else {
            prop_assert!(alone.contains(&None), "the batch broke, and none of its commands does: {:?}", decided);
            continue;
        };
        for ((of_batch, of_one), routed) in decision.outcomes.into_iter().zip(alone).zip(&batch) {
            let of_one = of_one.ok_or_else(|| TestCaseError::fail(format!("breaks alone only: {routed:?}")))?;
            let (of_batch, in_batch) = without_next(of_batch);
            let (of_one, in_one) = without_next(of_one);
            prop_assert_eq!(of_batch, of_one, "{:?}", routed);
            prop_assert!(in_batch <= in_one, "woken at {:?}, due at {:?}: {:?}", in_batch, in_one, routed);
        }
        prop_assert_eq!(&whole, &database);
    }
    Ok(())
}

/// The outcome, and the moment by which there is work again. A batch may say an earlier one: of a row that it
/// ended itself it knows the deadline, but not the next.
fn without_next(outcome: Outcome) -> (Outcome, Timestamp) {
    let moment = |next| match next {
        NextDue::Now => Timestamp(i64::MIN),
        NextDue::At { deadline, .. } => deadline,
        NextDue::Never => Timestamp(i64::MAX),
    };
    match outcome {
        Outcome::HoldsExpired { holds, units, next } => {
            (Outcome::HoldsExpired { holds, units, next: NextDue::Never }, moment(next))
        }
        Outcome::OrdersCancelled { orders, next } => {
            (Outcome::OrdersCancelled { orders, next: NextDue::Never }, moment(next))
        }
        other => (other, moment(NextDue::Never)),
    }
}

fn agree(naive: &mut Naive, ask: &Ask, outcome: Option<&Outcome>, now: i64) -> Result<(), TestCaseError> {
    if let (Some(Outcome::OrdersCancelled { orders, next }), Ask::Cancel { product }) = (outcome, ask) {
        let overdue = naive.overdue(*product, now);
        for order in orders {
            prop_assert!(overdue.contains(&order.0), "order {} was not overdue", order);
            naive.cancel(order.0, "payment_overdue", now);
        }
        let all = *next == NextDue::Now || orders.len() == overdue.len();
        prop_assert!(all, "overdue {:?}, cancelled {:?}", overdue, orders);
        return Ok(());
    }
    let expected = naive.ask(ask, now);
    prop_assert_eq!(outcome.map_or(Answer::Failed, answer), expected, "{:?} at {}", ask, now);
    Ok(())
}

fn answer(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::HoldPlaced { hold, replayed } => {
            Answer::Placed { hold: hold.id.0, expires_at: hold.expires_at.0, replayed: *replayed }
        }
        Outcome::HoldGivenBack { already } => Answer::GivenBack { already: *already },
        Outcome::OrderPlaced { order, replayed } => Answer::Ordered {
            order: order.id.0,
            hold: order.hold_id.0,
            units: order.quantity.get(),
            total: order.total_amount.0,
            status: order_status(order.status),
            replayed: *replayed,
        },
        Outcome::PaymentTaken { event, repeated } => {
            let effect = match event.effect {
                PaymentEffect::Paid => "paid",
                PaymentEffect::Cancelled => "cancelled",
                PaymentEffect::NoEffect => "no_effect",
                PaymentEffect::RefundRequired => "refund_required",
            };
            Answer::Settled { effect, repeated: *repeated }
        }
        Outcome::HoldsExpired { .. } => Answer::Expired,
        Outcome::ProductChanged(product) => Answer::Product {
            stock_available: i64::try_from(product.stock_available).expect("the stock of a test fits"),
            on_sale: product.status == ProductStatus::OnSale,
        },
        Outcome::Refused(refusal) => match *refusal {
            Refusal::ProductUnknown => Answer::No("product_unknown", 0),
            Refusal::HoldUnknown => Answer::No("hold_unknown", 0),
            Refusal::OrderUnknown => Answer::No("order_unknown", 0),
            Refusal::KeyReused => Answer::No("idempotency_key_reused", 0),
            Refusal::PaymentKeyConflict => Answer::No("payment_key_conflict", 0),
            Refusal::QuantityOverLimit { limit } => Answer::No("over_limit", limit.into()),
            Refusal::StockOverLimit => Answer::No("stock_over_limit", 0),
            Refusal::ProductSuspended => Answer::No("product_suspended", 0),
            Refusal::InsufficientStock { available } => Answer::No("insufficient_stock", available),
            Refusal::HoldAlreadyRedeemed { order_id } => Answer::No("hold_already_redeemed", order_id.0),
            Refusal::HoldExpired => Answer::No("hold_expired", 0),
            Refusal::HoldReleased => Answer::No("hold_released", 0),
        },
        Outcome::OrdersCancelled { .. } | Outcome::Deferred => unreachable!("handled before: {outcome:?}"),
    }
}

fn order_status(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::PendingPayment => "pending_payment",
        OrderStatus::Paid => "paid",
        OrderStatus::Cancelled => "cancelled",
    }
}

/// What the API would show of the stored rows at these clocks is what the naive model shows.
fn shows_the_same(database: &Database, naive: &Naive, clocks: &BTreeMap<u64, i64>) -> Result<(), TestCaseError> {
    let is_due = |hold: &Hold| hold.is_due(Timestamp(clocks[&hold.product_id.0]));
    for product in database.products.values() {
        let id = product.id;
        let due = database.holds.values().filter(|hold| hold.product_id == id && is_due(hold));
        let reserved = product.stock_reserved - due.map(|hold| hold.quantity.units()).sum::<u64>();
        let signed = |units: u64| i64::try_from(units).expect("the stock of a test fits");
        let shown = (signed(product.stock_available), signed(reserved), product.status == ProductStatus::OnSale);
        prop_assert_eq!(shown, naive.product_view(id.0, clocks[&id.0]), "product {}", id);
    }
    let view = |hold: &Hold| -> HoldView {
        match hold.status {
            HoldStatus::Active if is_due(hold) => ("released", Some("expired"), None, Some(hold.expires_at.0)),
            HoldStatus::Active => ("active", None, None, None),
            HoldStatus::Redeemed { order_id } => ("redeemed", None, Some(order_id.0), None),
            HoldStatus::Released { at, reason, order_id } => {
                let reason = match reason {
                    ReleaseReason::Expired => "expired",
                    ReleaseReason::GivenBack => "given_back",
                    ReleaseReason::PaymentFailed => "payment_failed",
                    ReleaseReason::PaymentOverdue => "payment_overdue",
                };
                ("released", Some(reason), order_id.map(|id| id.0), Some(at.0))
            }
        }
    };
    let holds: BTreeMap<u64, HoldView> = database.holds.values().map(|hold| (hold.id.0, view(hold))).collect();
    prop_assert_eq!(holds, naive.hold_views(|product| clocks[&product]));
    let orders: BTreeMap<u64, &str> =
        database.orders.values().map(|order| (order.id.0, order_status(order.status))).collect();
    prop_assert_eq!(orders, naive.order_views());
    Ok(())
}
