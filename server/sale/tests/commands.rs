//! Random sequences of requests: what proptest draws, and what that means where the sale has got to.
//!
//! The draws are small on purpose: few products, few keys, few units, ids that were used before, clocks
//! that stop at a deadline to the microsecond or go back, so that everything that can collide does.

use proptest::collection::vec;
use proptest::prelude::*;
use sale::{
    Command, HoldId, HoldStatus, Key, OrderId, OrderStatus, PaymentStatus, ProductId, Quantity, Terms, Timestamp,
};

use crate::database::Database;
use crate::naive::{Ask, News};

/// Short lives, so that a few seconds see everything.
pub(crate) const TERMS: Terms = Terms { hold_ttl_seconds: 2, payment_window_seconds: 3, max_qty_per_hold: 5 };

/// Products 1 to this are there; one more is asked for.
pub(crate) const PRODUCTS: u64 = 3;

/// A request as it is drawn: ids are counted back from the latest.
#[derive(Clone, Debug)]
pub(crate) enum Draw {
    Place { product: u64, units: u32, key: Option<u8>, used_id: Option<u64> },
    GiveBack { back: u64 },
    Redeem { back: u64, key: Option<u8>, used_id: Option<u64> },
    Settle { key: u8, back: u64, news: News },
    Expire { product: u64 },
    Cancel { product: u64 },
    Restock { product: u64, change: i64 },
    Suspend { product: u64 },
    Resume { product: u64 },
}

/// What the database's clock does before a batch.
#[derive(Clone, Debug)]
pub(crate) enum Tick {
    By {
        micros: i64,
    },
    /// To the deadline of a hold or an order, or a microsecond beside it.
    ToDeadline {
        pick: usize,
        micros_past: i64,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) tick: Tick,
    pub(crate) draws: Vec<Draw>,
}

/// Rounds of up to `most` requests; with `used_ids`, some are given an id that was given before.
pub(crate) fn rounds(most: usize, used_ids: bool) -> impl Strategy<Value = Vec<Round>> {
    let round = (tick(), vec(draw(used_ids), 1..=most)).prop_map(|(tick, draws)| Round { tick, draws });
    vec(round, 1..24)
}

fn tick() -> impl Strategy<Value = Tick> {
    prop_oneof![
        4 => Just(Tick::By { micros: 0 }),
        4 => prop::sample::select(vec![1, 300_000, 1_000_000, 2_500_000]).prop_map(|micros| Tick::By { micros }),
        2 => prop::sample::select(vec![-1, -700_000, -3_000_000]).prop_map(|micros| Tick::By { micros }),
        4 => (0_usize..8, -1_i64..=1).prop_map(|(pick, micros_past)| Tick::ToDeadline { pick, micros_past }),
    ]
}

fn draw(used_ids: bool) -> impl Strategy<Value = Draw> {
    let product = || prop_oneof![20 => 1..=PRODUCTS, 1 => Just(PRODUCTS + 1)];
    let key = || prop_oneof![2 => Just(None), 1 => (0_u8..6).prop_map(Some)];
    // 0 is an id that nobody has been given yet.
    let back = || prop_oneof![12 => 1_u64..6, 4 => 6_u64..16, 1 => Just(0)];
    let used_id = move || if used_ids { prop::option::weighted(0.08, 1_u64..5).boxed() } else { Just(None).boxed() };
    let news = prop::sample::select(vec![News::Success, News::Success, News::Failure, News::Failure, News::Pending]);
    prop_oneof![
        10 => (product(), 1_u32..=TERMS.max_qty_per_hold + 1, key(), used_id())
            .prop_map(|(product, units, key, used_id)| Draw::Place { product, units, key, used_id }),
        3 => back().prop_map(|back| Draw::GiveBack { back }),
        6 => (back(), key(), used_id()).prop_map(|(back, key, used_id)| Draw::Redeem { back, key, used_id }),
        5 => (0_u8..8, back(), news).prop_map(|(key, back, news)| Draw::Settle { key, back, news }),
        2 => product().prop_map(|product| Draw::Expire { product }),
        2 => product().prop_map(|product| Draw::Cancel { product }),
        2 => (product(), -6_i64..=6).prop_map(|(product, change)| Draw::Restock { product, change }),
        1 => product().prop_map(|product| Draw::Suspend { product }),
        2 => product().prop_map(|product| Draw::Resume { product }),
    ]
}

/// Gives out ids, and gives draws a meaning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    holds: u64,
    orders: u64,
}

impl Ids {
    pub(crate) fn ask(&mut self, draw: &Draw) -> Ask {
        let ago = |latest: u64, back: u64| (latest + 1).saturating_sub(back);
        match *draw {
            Draw::Place { product, units, key, used_id } => {
                let used = used_id.map(|back| ago(self.holds, back)).filter(|id| *id > 0);
                let hold = used.unwrap_or_else(|| next(&mut self.holds));
                Ask::Place { hold, product, units, key }
            }
            Draw::GiveBack { back } => Ask::GiveBack { hold: ago(self.holds, back) },
            Draw::Redeem { back, key, used_id } => {
                let used = used_id.map(|back| ago(self.orders, back)).filter(|id| *id > 0);
                let order = used.unwrap_or_else(|| next(&mut self.orders));
                Ask::Redeem { hold: ago(self.holds, back), order, key }
            }
            Draw::Settle { key, back, news } => Ask::Settle { key, order: ago(self.orders, back), news },
            Draw::Expire { product } => Ask::Expire { product },
            Draw::Cancel { product } => Ask::Cancel { product },
            Draw::Restock { product, change } => Ask::Restock { product, change },
            Draw::Suspend { product } => Ask::Suspend { product },
            Draw::Resume { product } => Ask::Resume { product },
        }
    }
}

fn next(latest: &mut u64) -> u64 {
    *latest += 1;
    *latest
}

/// The database's clock after `tick`.
pub(crate) fn tick_clock(tick: &Tick, now: Timestamp, database: &Database) -> Timestamp {
    match *tick {
        Tick::By { micros } => Timestamp(now.0 + micros),
        Tick::ToDeadline { pick, micros_past } => {
            let active = database.holds.values().filter(|hold| hold.status == HoldStatus::Active);
            let unpaid = database.orders.values().filter(|order| order.status == OrderStatus::PendingPayment);
            let mut deadlines: Vec<Timestamp> =
                active.map(|hold| hold.expires_at).chain(unpaid.map(|order| order.payment_deadline)).collect();
            deadlines.sort_unstable();
            let picked = deadlines.get(pick % deadlines.len().max(1));
            picked.map_or(now, |deadline| Timestamp(deadline.0 + micros_past))
        }
    }
}

/// The command that asks for it.
pub(crate) fn command(ask: &Ask) -> Command {
    let key = |number: u8| Key::new(&[b'a' + number]).expect("one byte is a key");
    match *ask {
        Ask::Place { hold, product, units, key: number } => Command::PlaceHold {
            hold_id: HoldId(hold),
            product_id: ProductId(product),
            quantity: Quantity::new(units).expect("a drawn quantity is in range"),
            key: number.map(key),
        },
        Ask::GiveBack { hold } => Command::GiveBackHold { hold_id: HoldId(hold) },
        Ask::Redeem { hold, order, key: number } => {
            Command::RedeemHold { hold_id: HoldId(hold), order_id: OrderId(order), key: number.map(key) }
        }
        Ask::Settle { key: number, order, news } => {
            let status = match news {
                News::Success => PaymentStatus::Success,
                News::Failure => PaymentStatus::Failure,
                News::Pending => PaymentStatus::Pending,
            };
            Command::SettlePayment { key: key(number), order_id: OrderId(order), status }
        }
        Ask::Expire { product } => Command::ExpireHolds { product_id: ProductId(product) },
        Ask::Cancel { product } => Command::CancelUnpaidOrders { product_id: ProductId(product) },
        Ask::Restock { product, change } => Command::Restock { product_id: ProductId(product), change },
        Ask::Suspend { product } => Command::Suspend { product_id: ProductId(product), reason: "drawn".to_owned() },
        Ask::Resume { product } => Command::Resume { product_id: ProductId(product) },
    }
}
