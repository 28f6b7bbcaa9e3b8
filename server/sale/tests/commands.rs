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

/// A row that a request names: counted back from the latest, of those that are stored or of all ids that
/// were given out, used or not, in this batch too. 0 is an id that nobody has been given yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick {
    back: u64,
    stored: bool,
}

/// A request as it is drawn.
#[derive(Clone, Debug)]
pub(crate) enum Draw {
    Place {
        product: u64,
        units: u32,
        key: Option<u8>,
        used_id: Option<u64>,
    },
    GiveBack {
        hold: Pick,
    },
    Redeem {
        hold: Pick,
        key: Option<u8>,
        used_id: Option<u64>,
    },
    Settle {
        key: u8,
        order: Pick,
        news: News,
    },
    /// An earlier request with a key, sent again.
    Again {
        back: usize,
    },
    Expire {
        product: u64,
    },
    Cancel {
        product: u64,
    },
    Restock {
        product: u64,
        change: i64,
    },
    Suspend {
        product: u64,
    },
    Resume {
        product: u64,
    },
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
        8 => Just(Tick::By { micros: 0 }),
        3 => prop::sample::select(vec![1, 300_000, 1_000_000, 3_000_000, 3_000_000]).prop_map(|micros| Tick::By { micros }),
        2 => prop::sample::select(vec![-1, -700_000, -3_000_000]).prop_map(|micros| Tick::By { micros }),
        3 => (0_usize..8, -1_i64..=1).prop_map(|(pick, micros_past)| Tick::ToDeadline { pick, micros_past }),
    ]
}

fn draw(used_ids: bool) -> impl Strategy<Value = Draw> {
    let product = || prop_oneof![24 => Just(1), 8 => 2..=PRODUCTS, 1 => Just(PRODUCTS + 1)];
    let key = || prop_oneof![2 => Just(None), 1 => (0_u8..6).prop_map(Some)];
    let back = || prop_oneof![12 => 1_u64..4, 4 => 4_u64..16, 1 => Just(0)];
    let pick = move || (back(), prop::bool::weighted(0.7)).prop_map(|(back, stored)| Pick { back, stored });
    // Many small holds, so that what is due is more than one loading takes.
    let units = || prop_oneof![3 => 1_u32..=2, 2 => 3..=TERMS.max_qty_per_hold + 1];
    let used_id = move || if used_ids { prop::option::weighted(0.08, 1_u64..5).boxed() } else { Just(None).boxed() };
    let news = prop::sample::select(vec![News::Success, News::Success, News::Failure, News::Failure, News::Pending]);
    prop_oneof![
        10 => (product(), units(), key(), used_id())
            .prop_map(|(product, units, key, used_id)| Draw::Place { product, units, key, used_id }),
        3 => pick().prop_map(|hold| Draw::GiveBack { hold }),
        9 => (pick(), key(), used_id()).prop_map(|(hold, key, used_id)| Draw::Redeem { hold, key, used_id }),
        9 => (0_u8..16, pick(), news).prop_map(|(key, order, news)| Draw::Settle { key, order, news }),
        6 => (0_usize..10).prop_map(|back| Draw::Again { back }),
        1 => product().prop_map(|product| Draw::Expire { product }),
        2 => product().prop_map(|product| Draw::Cancel { product }),
        2 => (product(), -9_i64..=8).prop_map(|(product, change)| Draw::Restock { product, change }),
        1 => product().prop_map(|product| Draw::Suspend { product }),
        3 => product().prop_map(|product| Draw::Resume { product }),
    ]
}

/// Gives out ids, and gives draws a meaning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    holds: u64,
    orders: u64,
    keyed: Vec<Ask>,
}

impl Ids {
    pub(crate) fn ask(&mut self, draw: &Draw, database: &Database) -> Ask {
        let used = |latest: u64, back: Option<u64>| back.map(|back| ago(latest, back)).filter(|id| *id > 0);
        let hold_of = |ids: &Self, pick: Pick| {
            let stored = database.holds.keys().rev().nth(nth(pick)).filter(|_| pick.stored);
            stored.map_or(ago(ids.holds, pick.back), |id| id.0)
        };
        let ask = match *draw {
            Draw::Place { product, units, key, used_id } => {
                let hold = used(self.holds, used_id).unwrap_or_else(|| next(&mut self.holds));
                Ask::Place { hold, product, units, key }
            }
            Draw::GiveBack { hold } => Ask::GiveBack { hold: hold_of(self, hold) },
            Draw::Redeem { hold, key, used_id } => {
                let order = used(self.orders, used_id).unwrap_or_else(|| next(&mut self.orders));
                Ask::Redeem { hold: hold_of(self, hold), order, key }
            }
            Draw::Settle { key, order: pick, news } => {
                let stored = database.orders.keys().rev().nth(nth(pick)).filter(|_| pick.stored);
                Ask::Settle { key, order: stored.map_or(ago(self.orders, pick.back), |id| id.0), news }
            }
            Draw::Again { back } => match self.keyed.iter().rev().nth(back).cloned() {
                Some(Ask::Place { product, units, key, .. }) => {
                    Ask::Place { hold: next(&mut self.holds), product, units, key }
                }
                Some(Ask::Redeem { hold, key, .. }) => Ask::Redeem { hold, order: next(&mut self.orders), key },
                Some(other) => other,
                None => Ask::Expire { product: 1 },
            },
            Draw::Expire { product } => Ask::Expire { product },
            Draw::Cancel { product } => Ask::Cancel { product },
            Draw::Restock { product, change } => Ask::Restock { product, change },
            Draw::Suspend { product } => Ask::Suspend { product },
            Draw::Resume { product } => Ask::Resume { product },
        };
        if matches!(ask, Ask::Place { key: Some(_), .. } | Ask::Redeem { key: Some(_), .. } | Ask::Settle { .. }) {
            self.keyed.push(ask.clone());
        }
        ask
    }
}

fn ago(latest: u64, back: u64) -> u64 {
    (latest + 1).saturating_sub(back)
}

fn nth(pick: Pick) -> usize {
    usize::try_from(pick.back.saturating_sub(1)).expect("few are counted back")
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
