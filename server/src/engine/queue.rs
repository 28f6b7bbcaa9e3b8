//! Where commands wait: a lane for each product.
//!
//! A product's commands are in flight with one worker at a time, or with two where the second queues for the
//! product's lock while the first commits.
//!
//! What does not belong here: which commands make the next batch (`choice`), in which order those of one product go (`lane`),
//! when a hold is let in (`admission`), and when a locked product is tried (`locked`).

mod choice;
mod latest;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sale::{ById, ProductId};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::latest::Latest;
use super::doors::Doors;
use super::flights::FlightId;
use super::lane::{Lane, make_room};
use super::locked::{Locked, REST, Turn};
use super::ticket::{KeyName, Ticket};
use super::waiting::{Class, HOLDS_PER_PRODUCT_MAX, Waiting};
use super::{Overload, Rejection};

/// The queue of all products. Cheap to lock: nothing is awaited, and no I/O done, under its lock.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    doors: Arc<Doors>,
    waiting: Arc<Waiting>,
    work: Notify,
    batch_max: usize,
}

/// Commands for one transaction. Their lanes are in flight until [`Queue::finish`].
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) flight: FlightId,
    pub(super) tickets: Vec<Ticket>,
    pub(super) turn: Turn,
}

#[derive(Debug)]
struct State {
    lanes: ById<ProductId, Lane>,
    /// Lanes with commands of which a batch may take, each once.
    ready: VecDeque<ProductId>,
    latest: Latest,
    locked: Locked,
    waiting: Arc<Waiting>,
    doors: Arc<Doors>,
    keys: HashMap<KeyName, KeyUse>,
    batch_max: usize,
    /// Whether two batches of one product may be under way.
    overlaps: bool,
    next_flight: u64,
    /// Whether there is something for a worker, since one was told: a lane that waits for its turn, or room for one more suspect.
    has_news: bool,
    closed: bool,
}

/// A key that commands of one product carry; commands of other products with the same key wait.
#[derive(Debug)]
struct KeyUse {
    product_id: ProductId,
    users: usize,
    parked: VecDeque<Ticket>,
}

impl Queue {
    /// A queue that hands out batches of up to `batch_max` commands to `workers` workers.
    pub(super) fn new(batch_max: usize, workers: usize, waiting: Arc<Waiting>) -> Self {
        let doors = Arc::new(Doors::default());
        let batch_max = batch_max.max(1);
        Self {
            state: Mutex::new(State {
                lanes: ById::default(),
                ready: VecDeque::new(),
                latest: Latest::default(),
                locked: Locked::new(workers),
                waiting: Arc::clone(&waiting),
                doors: Arc::clone(&doors),
                keys: HashMap::new(),
                batch_max,
                overlaps: workers > 1,
                next_flight: 0,
                has_news: false,
                closed: false,
            }),
            doors,
            waiting,
            work: Notify::new(),
            batch_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock would leave at worst a lane that is not served; the state is usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a hold of this product is worth any work: asked before the database is, without the queue's lock.
    ///
    /// # Errors
    /// [`Rejection::Overloaded`] if it would surely be refused.
    pub(super) fn admits_hold(&self, product_id: ProductId) -> Result<(), Rejection> {
        if self.waiting.is_full(Class::Hold) {
            return Err(Rejection::Overloaded(Overload::QueueFull));
        }
        match self.doors.refusal(product_id) {
            Some(wait) => Err(Rejection::Overloaded(Overload::QueueSlow { wait })),
            None => Ok(()),
        }
    }

    /// Queues a command.
    ///
    /// # Errors
    /// [`Rejection::Overloaded`] if too many of its class wait, or, a hold, if it would wait for too long;
    /// [`Rejection::Stopping`] once the queue is closed.
    pub(super) fn push(&self, ticket: Ticket) -> Result<(), Rejection> {
        let mut state = self.lock();
        if state.closed {
            return Err(Rejection::Stopping);
        }
        if state.waiting.is_full(ticket.class) {
            return Err(Rejection::Overloaded(Overload::QueueFull));
        }
        if ticket.class == Class::Hold
            && let Err(overload) = state.admit_hold(&ticket)
        {
            // Those who were forgotten first may have freed a key.
            self.tell(state);
            return Err(Rejection::Overloaded(overload));
        }
        state.waiting.enter(ticket.class);
        state.enter(ticket);
        self.tell(state);
        Ok(())
    }

    /// Wakes a worker if there is something for it to do: each command that only joins a queue would wake one for
    /// nothing.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let has_news = std::mem::take(&mut state.has_news);
        drop(state);
        if has_news {
            self.work.notify_one();
        }
    }

    /// Has a worker look whether there is something to do, and until when not.
    pub(super) fn tell_one(&self) {
        self.work.notify_one();
    }

    /// Whether a command with this key waits or is in flight.
    pub(super) fn is_at_work(&self, key: &KeyName) -> bool {
        self.lock().keys.contains_key(key)
    }

    /// The next batch; `None` once the queue is closed and empty.
    pub(super) async fn next_batch(&self) -> Option<Taken> {
        loop {
            let wake_at = {
                let mut state = self.lock();
                if let Some(taken) = state.take_batch(self.batch_max) {
                    // What did not fit, and what comes due, is for another worker.
                    if state.next_at().is_some() {
                        self.work.notify_one();
                    }
                    return Some(taken);
                }
                if state.closed && state.lanes.is_empty() {
                    self.work.notify_one();
                    return None;
                }
                state.next_at()
            };
            match wake_at {
                Some(at) => {
                    tokio::select! {
                        () = self.work.notified() => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => self.work.notified().await,
            }
        }
    }

    /// This batch is done with these products: what waits in their lanes may go with the next.
    pub(super) fn finish(&self, flight: FlightId, products: impl IntoIterator<Item = ProductId>) {
        let mut state = self.lock();
        for product_id in products {
            state.land(product_id, flight);
        }
        if state.latest.ended(flight) {
            state.has_news |= !state.ready.is_empty();
        }
        // The last worker to leave a closed queue tells the others.
        state.has_news |= state.closed;
        self.tell(state);
    }

    /// This batch, which is whole, is about to send its commit, or that did not end as it should: whether the next batch
    /// of these products may set out and queue for their locks.
    pub(super) fn set_committing<'a>(
        &self,
        flight: FlightId,
        products: impl IntoIterator<Item = &'a ProductId>,
        is_committing: bool,
    ) {
        let mut state = self.lock();
        for product_id in products {
            if let Some(lane) = state.lanes.get_mut(product_id) {
                lane.flights.set_committing(flight, is_committing);
                state.line_up(*product_id, Duration::ZERO);
            }
        }
        self.tell(state);
    }

    /// The products of which another batch is under way, too.
    pub(super) fn shared_with_another<'a>(
        &self,
        flight: FlightId,
        products: impl IntoIterator<Item = &'a ProductId>,
    ) -> BTreeSet<ProductId> {
        let state = self.lock();
        let is_shared = |id: &&ProductId| state.lanes.get(id).is_some_and(|lane| lane.flights.has_another(flight));
        products.into_iter().filter(is_shared).copied().collect()
    }

    /// More holds of this product for a batch that has its lock: up to `most`, each if `is_wanted`, which may equip it.
    pub(super) fn top_up(
        &self,
        flight: FlightId,
        product_id: ProductId,
        most: usize,
        is_wanted: impl FnMut(&mut Ticket) -> bool,
    ) -> Vec<Ticket> {
        self.lock().top_up(flight, product_id, most, is_wanted)
    }

    /// Tickets were answered, or dropped: their keys are free for commands of other products.
    pub(super) fn release_keys(&self, keys: impl IntoIterator<Item = KeyName>) {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return;
        }
        let mut state = self.lock();
        for key in keys {
            state.release(&key);
        }
        self.tell(state);
    }

    /// Commands of these products were lost in flight: their keys are free. One that still waits, or goes with the batch that
    /// follows, loses its claim to the key, too, which leaves it to the database's unique key.
    pub(super) fn forget_keys(&self, products: &BTreeSet<ProductId>) {
        let mut state = self.lock();
        let lost: Vec<KeyName> = state
            .keys
            .iter()
            .filter(|(_, user)| products.contains(&user.product_id))
            .map(|(key, _)| key.clone())
            .collect();
        for key in lost {
            if let Some(user) = state.keys.get_mut(&key) {
                user.users = 0;
            }
            state.release(&key);
        }
        self.tell(state);
    }

    /// Puts commands of a batch back in front of their lanes, which stay in flight until [`Queue::finish`].
    pub(super) fn put_back(&self, flight: FlightId, tickets: Vec<Ticket>) {
        let mut state = self.lock();
        for ticket in tickets.into_iter().rev() {
            state.put_back(flight, ticket, Lane::push_front);
        }
        self.tell(state);
    }

    /// Puts commands that wait for something else than their products behind those that may not. Their lanes stay in
    /// flight, too.
    pub(super) fn put_behind(&self, flight: FlightId, tickets: Vec<Ticket>) {
        let mut state = self.lock();
        for ticket in tickets {
            state.put_back(flight, ticket, Lane::push_behind);
        }
        self.tell(state);
    }

    /// Somebody else keeps this product locked: from here on its lane goes alone.
    pub(super) fn suspect(&self, product_id: ProductId) {
        let mut state = self.lock();
        let State { locked, lanes, .. } = &mut *state;
        locked.found(product_id, |product_id| lanes.contains_key(product_id));
    }

    /// These products are not locked by anybody else: their lanes go with the others.
    pub(super) fn trust<'a>(&self, products: impl IntoIterator<Item = &'a ProductId>) {
        self.lock().locked.trust(products);
    }

    /// Shows for how long the oldest commands have waited, also those that a worker has taken: it may be waiting for
    /// their locks. Of those it is not asked whether their callers gave up; a worker soon is done with them.
    pub(super) fn show_age(&self) {
        let state = self.lock();
        state.waiting.show_oldest(|class| state.lanes.values().filter_map(|lane| lane.oldest(class)).min());
    }

    /// Takes no more commands; those that wait are still handed out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_waiters();
        self.work.notify_one();
    }
}

impl State {
    /// Lets a hold into the queue of its product, or not, and then shuts the door to those who come after it.
    fn admit_hold(&mut self, ticket: &Ticket) -> Result<(), Overload> {
        let product_id = ticket.product_id;
        let Some(lane) = self.lanes.get_mut(&product_id) else { return Ok(()) };
        let now = Instant::now();
        let left = ticket.deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(now));
        let judge = |lane: &Lane| {
            if lane.holds() >= HOLDS_PER_PRODUCT_MAX {
                return Err(Overload::QueueFull);
            }
            lane.view(now).judge(left).map_err(|wait| Overload::QueueSlow { wait })
        };
        if judge(lane).is_ok() {
            return Ok(());
        }
        // Those who left may be what makes it long, and old.
        let freed = lane.forget_gone();
        let judged = judge(lane);
        if let Err(Overload::QueueSlow { wait }) = judged {
            self.doors.shut(product_id, now, wait);
        }
        for key in freed {
            self.release(&key);
        }
        judged
    }

    /// Into its lane, or beside the key that another product's command is using.
    fn enter(&mut self, ticket: Ticket) {
        if let Some(key) = ticket.key_name() {
            match self.keys.entry(key) {
                Entry::Occupied(mut entry) if entry.get().product_id != ticket.product_id => {
                    let parked = &mut entry.get_mut().parked;
                    // They use the key only once they are in their lanes, so there is none to give back.
                    make_room(parked);
                    parked.push_back(ticket);
                    return;
                }
                Entry::Occupied(mut entry) => entry.get_mut().users += 1,
                Entry::Vacant(entry) => {
                    entry.insert(KeyUse { product_id: ticket.product_id, users: 1, parked: VecDeque::new() });
                }
            }
        }
        let product_id = ticket.product_id;
        let freed = self.lane(product_id).push(ticket);
        self.line_up(product_id, Duration::ZERO);
        for key in freed {
            self.release(&key);
        }
    }

    fn release(&mut self, key: &KeyName) {
        let Some(entry) = self.keys.get_mut(key) else { return };
        entry.users = entry.users.saturating_sub(1);
        if entry.users > 0 {
            return;
        }
        let parked = self.keys.remove(key).map(|entry| entry.parked).unwrap_or_default();
        for ticket in parked {
            self.enter(ticket);
        }
    }

    fn lane(&mut self, product_id: ProductId) -> &mut Lane {
        let (batch_max, overlaps) = (self.batch_max, self.overlaps);
        self.lanes.entry(product_id).or_insert_with(|| Lane::new(batch_max, overlaps))
    }

    /// A lane with commands waits for its turn, if a batch may take of it; that of a suspect rests first.
    fn line_up(&mut self, product_id: ProductId, rest: Duration) {
        let Some(lane) = self.lanes.get_mut(&product_id) else { return };
        if lane.is_lined_up {
            let is_pressing = lane.is_pressing() && !self.locked.suspects(product_id);
            if is_pressing && self.kept_back().is_some() {
                self.latest.press();
                self.has_news = true;
            }
            return;
        }
        if lane.is_empty() || !lane.may_set_out(|| self.locked.suspects(product_id)) {
            return;
        }
        lane.is_lined_up = true;
        let is_pressing = lane.is_pressing();
        if self.locked.rests(product_id, rest) {
            self.has_news = true;
            return;
        }
        self.ready.push_back(product_id);
        if is_pressing {
            self.latest.press();
        }
        // The first has a worker look at the clock.
        self.has_news |= self.ready.len() == 1 || self.kept_back().is_none();
    }

    /// Until when what is ready has to wait, if it has to.
    fn kept_back(&self) -> Option<Instant> {
        self.latest.keeps_back(self.ready.len())
    }

    /// When there may be something for a worker, if no command comes: at once, or later.
    fn next_at(&self) -> Option<Instant> {
        let ready_at = (!self.ready.is_empty()).then(|| self.kept_back().unwrap_or_else(Instant::now));
        ready_at.into_iter().chain(self.locked.next_at()).min()
    }

    /// The lane whose turn it is, if a batch may still take of it.
    fn call_up(&mut self, product_id: ProductId) -> bool {
        let Some(lane) = self.lanes.get_mut(&product_id) else { return false };
        lane.is_lined_up = false;
        lane.may_set_out(|| self.locked.suspects(product_id))
    }

    fn put_back(&mut self, flight: FlightId, ticket: Ticket, push: impl FnOnce(&mut Lane, FlightId, Ticket)) {
        let (class, product_id) = (ticket.class, ticket.product_id);
        // Counted first: from the moment it is back its caller may withdraw it.
        self.waiting.enter(class);
        if ticket.put_back() {
            push(self.lane(product_id), flight, ticket);
            self.line_up(product_id, Duration::ZERO);
        } else {
            self.waiting.leave(class);
            if let Some(key) = ticket.key_name() {
                self.release(&key);
            }
        }
    }

    /// A lane comes back from its batch.
    fn land(&mut self, product_id: ProductId, flight: FlightId) {
        let Some(lane) = self.lanes.get_mut(&product_id) else { return };
        if !lane.landed(flight) {
            return;
        }
        if let Some(turn) = lane.alone.take() {
            self.locked.is_back(turn);
            // Another suspect may go.
            self.has_news = true;
        }
        self.go_on(product_id);
    }

    /// A lane of which nothing is done any more is forgotten, and one with commands waits for its turn.
    fn go_on(&mut self, product_id: ProductId) {
        let Some(lane) = self.lanes.get(&product_id) else { return };
        if lane.is_empty() && lane.flights.are_over() && !lane.is_lined_up {
            self.lanes.remove(&product_id);
            self.doors.open(product_id);
        } else {
            self.line_up(product_id, REST);
        }
    }
}
