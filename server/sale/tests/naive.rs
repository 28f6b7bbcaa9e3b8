//! A second model of a sale, written from the design's table alone: a few maps, a few ifs, no counters.
//!
//! What belongs here: the answers and what the API shows, with plain numbers. What does not: anything of
//! the `sale` crate. Units are never counted up or down, only counted; nothing is ever swept.

use std::collections::BTreeMap;

/// What is asked. Keys are small numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Place { hold: u64, product: u64, units: u32, key: Option<u8> },
    GiveBack { hold: u64 },
    Redeem { hold: u64, order: u64, key: Option<u8> },
    Settle { key: u8, order: u64, news: News },
    Expire { product: u64 },
    Cancel { product: u64 },
    Restock { product: u64, change: i64 },
    Suspend { product: u64 },
    Resume { product: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Success,
    Failure,
    Pending,
}

/// What is answered. Times are microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Placed {
        hold: u64,
        expires_at: i64,
        replayed: bool,
    },
    GivenBack {
        already: bool,
    },
    Ordered {
        order: u64,
        hold: u64,
        units: u32,
        total: u64,
        status: &'static str,
        replayed: bool,
    },
    Settled {
        effect: &'static str,
        repeated: bool,
    },
    Expired,
    Product {
        stock_available: i64,
        on_sale: bool,
    },
    /// The code of the refusal, and its number if it has one.
    No(&'static str, u64),
    /// An id was given twice: nothing changed.
    Failed,
}

#[derive(Clone, Debug)]
struct Hold {
    product: u64,
    units: u32,
    expires_at: i64,
    key: Option<u8>,
    order: Option<u64>,
    /// When it was released, and why.
    end: Option<(i64, &'static str)>,
}

#[derive(Clone, Debug)]
struct Order {
    hold: u64,
    status: &'static str,
    total: u64,
    deadline: i64,
    key: Option<u8>,
}

#[derive(Clone, Debug)]
struct Event {
    key: u8,
    order: u64,
    news: News,
    effect: &'static str,
}

#[derive(Clone, Debug)]
struct Product {
    price: u64,
    stocked: i64,
    on_sale: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Naive {
    pub(crate) ttl_seconds: i64,
    pub(crate) window_seconds: i64,
    pub(crate) most_units: u32,
    products: BTreeMap<u64, Product>,
    holds: BTreeMap<u64, Hold>,
    orders: BTreeMap<u64, Order>,
    events: Vec<Event>,
}

/// What the API shows of a product: `stock_available`, `stock_reserved`, and whether it is on sale.
pub(crate) type ProductView = (i64, i64, bool);
/// What the API shows of a hold: `status`, `release_reason`, `order_id`, `released_at`.
pub(crate) type HoldView = (&'static str, Option<&'static str>, Option<u64>, Option<i64>);

impl Naive {
    pub(crate) fn new(ttl_seconds: u32, window_seconds: u32, most_units: u32) -> Self {
        Self {
            ttl_seconds: ttl_seconds.into(),
            window_seconds: window_seconds.into(),
            most_units,
            products: BTreeMap::new(),
            holds: BTreeMap::new(),
            orders: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn add_product(&mut self, id: u64, price: u64, stock: i64) {
        self.products.insert(id, Product { price, stocked: stock, on_sale: true });
    }

    /// The product of the row that is named, if it is there.
    pub(crate) fn product_of(&self, ask: &Ask) -> Option<u64> {
        let of_hold = |id: &u64| self.holds.get(id).map(|hold| hold.product);
        match ask {
            Ask::GiveBack { hold } | Ask::Redeem { hold, .. } => of_hold(hold),
            Ask::Settle { order, .. } => self.orders.get(order).and_then(|order| of_hold(&order.hold)),
            Ask::Place { product, .. }
            | Ask::Expire { product }
            | Ask::Cancel { product }
            | Ask::Restock { product, .. }
            | Ask::Suspend { product }
            | Ask::Resume { product } => Some(*product),
        }
    }

    /// Answers at the moment `now` of the product's clock.
    pub(crate) fn ask(&mut self, ask: &Ask, now: i64) -> Answer {
        match *ask {
            Ask::Place { hold, product, units, key } => self.place(hold, product, units, key, now),
            Ask::GiveBack { hold } => self.give_back(hold, now),
            Ask::Redeem { hold, order, key } => self.redeem(hold, order, key, now),
            Ask::Settle { key, order, news } => self.settle(key, order, news, now),
            // Nothing to do: a hold past its deadline is gone already.
            Ask::Expire { product } => self.of_product(product, |_| Answer::Expired),
            Ask::Cancel { product } => self.of_product(product, |_| Answer::Expired),
            Ask::Restock { product, change } => self.restock(product, change, now),
            Ask::Suspend { product } => self.set_on_sale(product, false),
            Ask::Resume { product } => self.set_on_sale(product, true),
        }
    }

    fn of_product(&mut self, id: u64, then: impl FnOnce(&mut Product) -> Answer) -> Answer {
        self.products.get_mut(&id).map_or(Answer::No("product_unknown", 0), then)
    }

    fn set_on_sale(&mut self, id: u64, on_sale: bool) -> Answer {
        let stock_available = self.stock_available(id);
        self.of_product(id, |product| {
            product.on_sale = on_sale;
            Answer::Product { stock_available, on_sale }
        })
    }

    fn restock(&mut self, id: u64, change: i64, now: i64) -> Answer {
        let (free, stock_available) = (self.free(id, now), self.stock_available(id));
        self.of_product(id, |product| {
            if change < 0 && free < -change {
                return Answer::No("insufficient_stock", u64::try_from(free).expect("never negative"));
            }
            product.stocked += change;
            Answer::Product { stock_available: stock_available + change, on_sale: product.on_sale }
        })
    }

    fn place(&mut self, id: u64, product_id: u64, units: u32, key: Option<u8>, now: i64) -> Answer {
        let Some(product) = self.products.get(&product_id) else { return Answer::No("product_unknown", 0) };
        let known = self.holds.iter().find(|(_, hold)| key.is_some() && hold.key == key);
        if let Some((id, hold)) = known {
            return if (hold.product, hold.units) == (product_id, units) {
                Answer::Placed { hold: *id, expires_at: hold.expires_at, replayed: true }
            } else {
                Answer::No("idempotency_key_reused", 0)
            };
        }
        if units > self.most_units {
            return Answer::No("over_limit", self.most_units.into());
        }
        if !product.on_sale {
            return Answer::No("product_suspended", 0);
        }
        let free = self.free(product_id, now);
        if free < i64::from(units) {
            return Answer::No("insufficient_stock", u64::try_from(free).expect("never negative"));
        }
        if self.holds.contains_key(&id) {
            return Answer::Failed;
        }
        let second = 1_000_000;
        let expires_at = (now + self.ttl_seconds * second + second - 1) / second * second;
        self.holds.insert(id, Hold { product: product_id, units, expires_at, key, order: None, end: None });
        Answer::Placed { hold: id, expires_at, replayed: false }
    }

    fn give_back(&mut self, id: u64, now: i64) -> Answer {
        let Some(hold) = self.holds.get_mut(&id) else { return Answer::No("hold_unknown", 0) };
        if hold.end.is_some() {
            return Answer::GivenBack { already: true };
        }
        if let Some(order) = hold.order {
            return Answer::No("hold_already_redeemed", order);
        }
        let already = now >= hold.expires_at;
        if !already {
            hold.end = Some((now, "given_back"));
        }
        Answer::GivenBack { already }
    }

    fn redeem(&mut self, id: u64, order_id: u64, key: Option<u8>, now: i64) -> Answer {
        let Some(hold) = self.holds.get(&id) else { return Answer::No("hold_unknown", 0) };
        let known = self.orders.iter().find(|(_, order)| key.is_some() && order.key == key);
        if let Some((order_id, order)) = known {
            return if order.hold == id {
                self.ordered(*order_id, true)
            } else {
                Answer::No("idempotency_key_reused", 0)
            };
        }
        match (hold.end, hold.order) {
            (Some((_, "expired")), _) => return Answer::No("hold_expired", 0),
            (Some(_), _) => return Answer::No("hold_released", 0),
            (None, Some(order)) => return Answer::No("hold_already_redeemed", order),
            (None, None) if now >= hold.expires_at => return Answer::No("hold_expired", 0),
            (None, None) => {}
        }
        if self.orders.contains_key(&order_id) {
            return Answer::Failed;
        }
        let total = self.products[&hold.product].price * u64::from(hold.units);
        let deadline = now + self.window_seconds * 1_000_000;
        self.orders.insert(order_id, Order { hold: id, status: "pending_payment", total, deadline, key });
        self.holds.get_mut(&id).expect("it was found above").order = Some(order_id);
        self.ordered(order_id, false)
    }

    fn ordered(&self, id: u64, replayed: bool) -> Answer {
        let order = &self.orders[&id];
        let units = self.holds[&order.hold].units;
        Answer::Ordered { order: id, hold: order.hold, units, total: order.total, status: order.status, replayed }
    }

    fn settle(&mut self, key: u8, id: u64, news: News, now: i64) -> Answer {
        let Some(order) = self.orders.get_mut(&id) else { return Answer::No("order_unknown", 0) };
        let of_key = || self.events.iter().filter(|event| event.key == key);
        if let Some(first) = of_key().find(|event| event.order == id && event.news == news) {
            return Answer::Settled { effect: first.effect, repeated: true };
        }
        if of_key().any(|event| event.news != News::Pending) {
            return Answer::No("payment_key_conflict", 0);
        }
        let effect = match (news, order.status) {
            (News::Success, "pending_payment") => {
                order.status = "paid";
                "paid"
            }
            (News::Failure, "pending_payment") => {
                self.cancel(id, "payment_failed", now);
                "cancelled"
            }
            (News::Success, "cancelled") => "refund_required",
            _ => "no_effect",
        };
        self.events.push(Event { key, order: id, news, effect });
        Answer::Settled { effect, repeated: false }
    }

    /// Cancels an order that is pending.
    pub(crate) fn cancel(&mut self, id: u64, why: &'static str, now: i64) {
        let order = self.orders.get_mut(&id).expect("an order that is cancelled is there");
        assert_eq!(order.status, "pending_payment", "order {id} was final");
        order.status = "cancelled";
        self.holds.get_mut(&order.hold).expect("an order has a hold").end = Some((now, why));
    }

    /// The orders whose payment window is over.
    pub(crate) fn overdue(&self, product: u64, now: i64) -> Vec<u64> {
        let late = |order: &&Order| order.status == "pending_payment" && now >= order.deadline;
        let orders = self.orders.iter().filter(|(_, order)| late(order));
        orders.filter(|(_, order)| self.holds[&order.hold].product == product).map(|(id, _)| *id).collect()
    }

    fn stock_available(&self, product: u64) -> i64 {
        let orders = self.orders.values().filter(|order| order.status != "cancelled");
        let holds = orders.map(|order| &self.holds[&order.hold]).filter(|hold| hold.product == product);
        let sold: i64 = holds.map(|hold| i64::from(hold.units)).sum();
        self.products.get(&product).map_or(0, |product| product.stocked - sold)
    }

    fn stock_reserved(&self, product: u64, now: i64) -> i64 {
        let alive = |hold: &&Hold| hold.end.is_none() && hold.order.is_none() && now < hold.expires_at;
        let holds = self.holds.values().filter(|hold| hold.product == product).filter(alive);
        holds.map(|hold| i64::from(hold.units)).sum()
    }

    fn free(&self, product: u64, now: i64) -> i64 {
        self.stock_available(product) - self.stock_reserved(product, now)
    }

    pub(crate) fn product_view(&self, id: u64, now: i64) -> ProductView {
        (self.stock_available(id), self.stock_reserved(id, now), self.products[&id].on_sale)
    }

    /// What is shown of each hold, given the clock of its product.
    pub(crate) fn hold_views(&self, clock: impl Fn(u64) -> i64) -> BTreeMap<u64, HoldView> {
        let view = |hold: &Hold| match (hold.end, hold.order) {
            (Some((at, why)), order) => ("released", Some(why), order, Some(at)),
            (None, Some(order)) => ("redeemed", None, Some(order), None),
            (None, None) if clock(hold.product) >= hold.expires_at => {
                ("released", Some("expired"), None, Some(hold.expires_at))
            }
            (None, None) => ("active", None, None, None),
        };
        self.holds.iter().map(|(id, hold)| (*id, view(hold))).collect()
    }

    pub(crate) fn order_views(&self) -> BTreeMap<u64, &'static str> {
        self.orders.iter().map(|(id, order)| (*id, order.status)).collect()
    }
}
