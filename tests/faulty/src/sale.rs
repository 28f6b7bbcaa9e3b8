//! The sale: rows, and every step that changes them but for those of payments (`payment.rs`).
//!
//! A step checks everything, then changes rows; which ones, the journal is told. Whoever calls has the lock,
//! and has told the time with [`Sale::begin`], by which all that is due has been written down, so that no
//! step has to think of it. What does not belong here: locks, and looking and writing apart (`desk.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::clock::{SECOND, round_up_to_second};
use crate::fault::Fault;
use crate::problem::Problem;
use crate::rows::{Event, Hold, HoldState, Order, OrderState, Product, Reason, Row};
use crate::settings::Terms;

/// How long `sold_out_after_release` says so, in microseconds.
const STICKS: i64 = 300_000;
/// Places in the table of `sold_out_neighbour`.
const PLACES: u64 = 16;
/// How many ids `ids_reused_after_restart` gives again.
const REUSED: u64 = 3;

/// The sale.
pub(crate) struct Sale {
    pub(crate) fault: Option<Fault>,
    pub(crate) terms: Terms,
    /// The time of the step, never before that of the step before it.
    pub(crate) now: i64,
    pub(crate) products: BTreeMap<u64, Product>,
    pub(crate) holds: HashMap<u64, Hold>,
    pub(crate) orders: HashMap<u64, Order>,
    /// Events that used up their key, by what makes a key unique.
    pub(crate) events: HashMap<String, Event>,
    /// Pending news, by key and order.
    pub(crate) pendings: HashSet<(String, u64)>,
    hold_keys: HashMap<String, u64>,
    order_keys: HashMap<String, u64>,
    /// The highest ids given: of a product, a hold, an order.
    last_ids: [u64; 3],
    hold_deadlines: BTreeSet<(i64, u64)>,
    payment_deadlines: BTreeSet<(i64, u64)>,
    /// For the faults that remember what is sold out: a product and a time.
    sold_out: HashMap<u64, (u64, i64)>,
    changed: Vec<Row>,
}

/// A hold that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct NewHold {
    pub(crate) product_id: u64,
    pub(crate) quantity: i64,
    pub(crate) key: Option<String>,
}

/// An order that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct NewOrder {
    pub(crate) hold_id: u64,
    pub(crate) key: Option<String>,
}

/// What was found before a row is written.
pub(crate) enum Looked<T> {
    /// The row that the key made before.
    Known(T),
    /// Nothing is against it; with the counter `reserved` as it was then.
    Free(i64),
}

impl Sale {
    /// The sale that a journal tells of.
    pub(crate) fn replay(rows: Vec<Row>, terms: Terms, fault: Option<Fault>, now: i64) -> Self {
        let mut sale = Self {
            fault,
            terms,
            now,
            products: BTreeMap::new(),
            holds: HashMap::new(),
            orders: HashMap::new(),
            events: HashMap::new(),
            pendings: HashSet::new(),
            hold_keys: HashMap::new(),
            order_keys: HashMap::new(),
            last_ids: [0; 3],
            hold_deadlines: BTreeSet::new(),
            payment_deadlines: BTreeSet::new(),
            sold_out: HashMap::new(),
            changed: Vec::new(),
        };
        for row in rows {
            sale.apply(row);
        }
        if sale.has(Fault::KeysLostOnRestart) {
            sale.hold_keys.clear();
            sale.order_keys.clear();
        }
        if sale.has(Fault::IdsReusedAfterRestart) {
            sale.last_ids[1..].iter_mut().for_each(|last| *last = last.saturating_sub(REUSED));
        }
        // What became of these is in the journal.
        let Self { holds, hold_deadlines, .. } = &mut sale;
        hold_deadlines.retain(|(at, id)| *at > now || holds.get(id).is_some_and(|it| it.state == HoldState::Active));
        sale
    }

    /// Whether `fault` is planted.
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Begins a step at `now`: what is due by then happens first.
    pub(crate) fn begin(&mut self, now: i64) {
        self.now = self.now.max(now);
        if !self.has(Fault::ExpiryBySweepOnly) {
            self.sweep();
        }
        while let Some((_, order_id)) = self.payment_deadlines.first().copied().filter(|(at, _)| *at <= self.now) {
            self.payment_deadlines.pop_first();
            let unpaid = self.orders.get(&order_id).is_some_and(|order| match order.state {
                OrderState::PendingPayment => true,
                OrderState::Paid => self.has(Fault::WindowCancelsPaid),
                OrderState::Cancelled => false,
            });
            if unpaid {
                self.cancel(order_id, Reason::PaymentOverdue);
            }
        }
    }

    /// Expires the holds that are due.
    pub(crate) fn sweep(&mut self) {
        while let Some((_, hold_id)) = self.hold_deadlines.first().copied().filter(|(at, _)| *at <= self.now) {
            self.hold_deadlines.pop_first();
            let Some(hold) = self.holds.get(&hold_id).cloned() else { continue };
            match hold.state {
                HoldState::Active => {
                    if !self.has(Fault::ExpiredKeepsUnits) {
                        self.move_units(hold.product_id, 0, -self.counted(hold.quantity));
                    }
                    let state = HoldState::Released { at: hold.expires_at, reason: Reason::Expired, order_id: None };
                    self.put(Row::Hold(Hold { state, ..hold }));
                }
                HoldState::Redeemed { .. } if self.has(Fault::ExpiryReturnsRedeemed) => {
                    self.move_units(hold.product_id, hold.quantity, 0);
                }
                HoldState::Redeemed { .. } | HoldState::Released { .. } => {}
            }
        }
    }

    /// The rows that changed since it was asked last.
    pub(crate) fn take_changed(&mut self) -> Vec<Row> {
        std::mem::take(&mut self.changed)
    }

    /// Changes a row, or makes it.
    pub(crate) fn put(&mut self, row: Row) {
        self.changed.push(row.clone());
        self.apply(row);
    }

    fn apply(&mut self, row: Row) {
        match row {
            Row::Product(product) => {
                self.last_ids[0] = self.last_ids[0].max(product.id);
                self.products.insert(product.id, product);
            }
            Row::Hold(hold) => {
                self.last_ids[1] = self.last_ids[1].max(hold.id);
                if hold.state == HoldState::Active {
                    self.hold_deadlines.insert((self.alive_until(&hold), hold.id));
                    if let Some(key) = &hold.key {
                        self.hold_keys.entry(key.clone()).or_insert(hold.id);
                    }
                }
                self.holds.insert(hold.id, hold);
            }
            Row::Order(order) => {
                self.last_ids[2] = self.last_ids[2].max(order.id);
                if order.state == OrderState::PendingPayment {
                    self.payment_deadlines.insert((order.payment_deadline, order.id));
                    if let Some(key) = &order.key {
                        self.order_keys.entry(key.clone()).or_insert(order.id);
                    }
                }
                self.orders.insert(order.id, order);
            }
            Row::Event(event) => self.apply_event(event),
        }
    }

    fn alive_until(&self, hold: &Hold) -> i64 {
        if self.has(Fault::EarlyExpiry) { hold.expires_at - SECOND } else { hold.expires_at }
    }

    /// The units that a hold counts for in `reserved`.
    fn counted(&self, quantity: i64) -> i64 {
        if self.has(Fault::QuantityIgnored) { 1 } else { quantity }
    }

    /// Changes the counters of a product.
    pub(crate) fn move_units(&mut self, product_id: u64, available: i64, reserved: i64) {
        let Some(mut product) = self.products.get(&product_id).cloned() else { return };
        product.available += available;
        product.reserved += reserved;
        product.updated_at = self.now;
        self.put(Row::Product(product));
    }

    /// Makes a product.
    pub(crate) fn add_product(&mut self, name: String, description: String, price: i64, stock: i64) -> Product {
        let product = Product {
            id: self.last_ids[0] + 1,
            name,
            description,
            price,
            suspended: false,
            available: stock,
            reserved: 0,
            created_at: self.now,
            updated_at: self.now,
        };
        self.put(Row::Product(product.clone()));
        product
    }

    /// Adds units to a product, or takes free ones away.
    pub(crate) fn restock(&mut self, product_id: u64, change: i64) -> Result<Product, Problem> {
        let free = self.products.get(&product_id).ok_or(Problem::NotFound)?.free();
        if free + change < 0 {
            return Err(Problem::InsufficientStock { available: free.max(0) });
        }
        self.move_units(product_id, change, 0);
        self.products.get(&product_id).cloned().ok_or(Problem::NotFound)
    }

    /// Suspends or resumes a product.
    pub(crate) fn suspend(&mut self, product_id: u64, suspended: bool) -> Result<Product, Problem> {
        let mut product = self.products.get(&product_id).cloned().ok_or(Problem::NotFound)?;
        if product.suspended != suspended {
            (product.suspended, product.updated_at) = (suspended, self.now);
            self.put(Row::Product(product.clone()));
        }
        Ok(product)
    }

    /// Looks whether a hold may be placed.
    pub(crate) fn look_for_hold(&mut self, new: &NewHold) -> Result<Looked<Hold>, Problem> {
        if let Some(known) = self.known_hold(new)? {
            return Ok(Looked::Known(known));
        }
        self.room(new).map(Looked::Free)
    }

    /// The hold that the key made before.
    pub(crate) fn known_hold(&self, new: &NewHold) -> Result<Option<Hold>, Problem> {
        if !self.products.contains_key(&new.product_id) {
            return Err(Problem::unknown("product_id"));
        }
        let known = new.key.as_ref().and_then(|key| self.hold_keys.get(key)).and_then(|id| self.holds.get(id));
        let Some(hold) = known.filter(|_| !self.has(Fault::ReplayMakesSecondHold)) else { return Ok(None) };
        let same = (hold.product_id, hold.quantity) == (new.product_id, new.quantity);
        if same || self.has(Fault::ReplayWithOtherBody) { Ok(Some(hold.clone())) } else { Err(Problem::KeyReused) }
    }

    /// Whether there are units for a hold; the counter `reserved` as it is.
    pub(crate) fn room(&mut self, new: &NewHold) -> Result<i64, Problem> {
        let most = self.terms.max_qty_per_hold;
        if new.quantity > most {
            return Err(Problem::field("qty", format!("must be an integer from 1 to {most}")));
        }
        let product = self.products.get(&new.product_id).ok_or(Problem::unknown("product_id"))?;
        if product.suspended {
            return Err(Problem::ProductSuspended);
        }
        let (free, reserved) = (product.free(), product.reserved);
        let sold_out = |available: i64| Problem::InsufficientStock { available: available.max(0) };
        if self.remembers_sold_out(new.product_id) {
            return Err(sold_out(0));
        }
        let room = match self.fault {
            Some(Fault::OffByOne) => free + 1,
            Some(Fault::OffByOneShort) => free - 1,
            _ => free,
        };
        if new.quantity <= room {
            return Ok(reserved);
        }
        if free <= 0 {
            let place = if self.has(Fault::SoldOutNeighbour) { new.product_id % PLACES } else { new.product_id };
            self.sold_out.insert(place, (new.product_id, self.now + STICKS));
        }
        Err(sold_out(free))
    }

    fn remembers_sold_out(&self, product_id: u64) -> bool {
        match self.fault {
            Some(Fault::SoldOutAfterRelease) => {
                self.sold_out.get(&product_id).is_some_and(|(_, until)| self.now < *until)
            }
            Some(Fault::SoldOutNeighbour) => {
                let remembered = self.sold_out.get(&(product_id % PLACES)).map(|(product_id, _)| product_id);
                remembered.and_then(|id| self.products.get(id)).is_some_and(|product| product.free() <= 0)
            }
            _ => false,
        }
    }

    /// Writes a hold. `reserved` is the counter to start from, where that is not the one of the row.
    pub(crate) fn write_hold(&mut self, new: &NewHold, reserved: Option<i64>) -> Hold {
        let hold = Hold {
            id: self.last_ids[1] + 1,
            product_id: new.product_id,
            quantity: new.quantity,
            state: HoldState::Active,
            created_at: self.now,
            expires_at: round_up_to_second(self.now + self.terms.hold_ttl_seconds * SECOND),
            key: new.key.clone(),
        };
        let lost = match (reserved, self.products.get(&hold.product_id)) {
            (Some(seen), Some(product)) => seen - product.reserved,
            _ => 0,
        };
        self.move_units(hold.product_id, 0, self.counted(hold.quantity) + lost);
        self.put(Row::Hold(hold.clone()));
        hold
    }

    /// Gives a hold back.
    pub(crate) fn give_back(&mut self, hold_id: u64) -> Result<(), Problem> {
        let hold = self.holds.get(&hold_id).cloned().ok_or(Problem::NotFound)?;
        let (units, order_id) = match hold.state {
            HoldState::Active if self.alive_until(&hold) <= self.now => return Ok(()),
            HoldState::Active => ((0, -self.counted(hold.quantity)), None),
            HoldState::Redeemed { order_id } if self.has(Fault::ReleaseRedeemed) => {
                ((hold.quantity, 0), Some(order_id))
            }
            HoldState::Redeemed { order_id } => return Err(Problem::HoldAlreadyRedeemed { order_id }),
            HoldState::Released { order_id: None, .. } if self.has(Fault::ReleaseTwice) => {
                let reserved = self.products.get(&hold.product_id).map_or(0, |product| product.reserved);
                self.move_units(hold.product_id, 0, -hold.quantity.min(reserved));
                return Ok(());
            }
            HoldState::Released { .. } => return Ok(()),
        };
        self.move_units(hold.product_id, units.0, units.1);
        let state = HoldState::Released { at: self.now, reason: Reason::GivenBack, order_id };
        self.put(Row::Hold(Hold { state, ..hold }));
        Ok(())
    }

    /// Looks whether a hold may become an order.
    pub(crate) fn look_for_order(&self, new: &NewOrder) -> Result<Looked<Order>, Problem> {
        let hold = self.holds.get(&new.hold_id).ok_or(Problem::unknown("hold_id"))?;
        if let Some(known) = self.known_order(new)? {
            return Ok(Looked::Known(known));
        }
        let product = self.products.get(&hold.product_id).ok_or(Problem::Internal)?;
        match hold.state {
            HoldState::Active if self.now < self.alive_until(hold) => Ok(Looked::Free(product.reserved)),
            HoldState::Released { reason: Reason::Expired, .. }
                if self.has(Fault::ExpiredRedeemed) && hold.quantity <= product.free() =>
            {
                Ok(Looked::Free(product.reserved))
            }
            HoldState::Active | HoldState::Released { reason: Reason::Expired, .. } => Err(Problem::HoldExpired),
            HoldState::Released { .. } => Err(Problem::HoldReleased),
            HoldState::Redeemed { order_id } => Err(Problem::HoldAlreadyRedeemed { order_id }),
        }
    }

    /// The order that the key made before.
    pub(crate) fn known_order(&self, new: &NewOrder) -> Result<Option<Order>, Problem> {
        let known = new.key.as_ref().and_then(|key| self.order_keys.get(key)).and_then(|id| self.orders.get(id));
        match known {
            Some(order) if order.hold_id == new.hold_id || self.has(Fault::ReplayWithOtherBody) => {
                Ok(Some(order.clone()))
            }
            Some(_) => Err(Problem::KeyReused),
            None => Ok(None),
        }
    }

    /// Writes an order.
    pub(crate) fn write_order(&mut self, new: &NewOrder) -> Result<Order, Problem> {
        let hold = self.holds.get(&new.hold_id).cloned().ok_or(Problem::Internal)?;
        let price = self.products.get(&hold.product_id).ok_or(Problem::Internal)?.price;
        let order = Order {
            id: self.last_ids[2] + 1,
            hold_id: hold.id,
            product_id: hold.product_id,
            quantity: hold.quantity,
            total: price * hold.quantity,
            state: OrderState::PendingPayment,
            created_at: self.now,
            updated_at: self.now,
            payment_deadline: self.now + self.terms.payment_window_seconds * SECOND,
            key: new.key.clone(),
        };
        // One that had expired has given back what it reserved.
        let is_released = matches!(hold.state, HoldState::Released { .. });
        let reserved = if is_released { 0 } else { self.counted(hold.quantity) };
        self.move_units(hold.product_id, -hold.quantity, -reserved);
        self.put(Row::Hold(Hold { state: HoldState::Redeemed { order_id: order.id }, ..hold }));
        self.put(Row::Order(order.clone()));
        Ok(order)
    }
}
