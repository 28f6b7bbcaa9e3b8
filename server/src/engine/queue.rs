//! Where commands wait: a lane for each product, and the choice of the next batch.
//!
//! A product's commands are in flight with one worker at a time. A batch takes commands round robin
//! from all lanes that are ready, so that many lukewarm products share a transaction as well as one
//! hot one. A product that somebody else keeps locked is a suspect for some seconds: its lane rests
//! between its tries, goes alone, and suspects together may keep only half of the workers waiting, so
//! that they stop nobody else.

#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sale::ProductId;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Rejection;
use super::ticket::{KeyName, Ticket};
use super::waiting::{Class, Waiting};

/// How long the lane of a suspect rests before it is tried again.
const REST: Duration = Duration::from_millis(50);
/// A suspect that was found locked so often is waited for once, instead of only looked at: a product that
/// other servers sell without a pause is never seen unlocked.
const LOOKS_PER_TRY: u32 = 8;
/// How long a product is a suspect after it was last found locked, whether anybody wants it or not: the
/// next who does must not make others wait for it.
const SUSPECT_FOR: Duration = Duration::from_secs(10);

/// The queue of all products. Cheap to lock: nothing is awaited, and no I/O done, under its lock.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Notify,
    batch_max: usize,
    suspects_max: usize,
}

/// Commands for one transaction. Their lanes are in flight until [`Queue::finish`].
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) tickets: Vec<Ticket>,
    pub(super) turn: Turn,
}

/// How a batch is to be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// With its locks, and with waiting for them.
    Try,
    /// It is of one suspect: with a look whether that is still locked.
    Look,
}

#[derive(Debug)]
struct State {
    lanes: HashMap<ProductId, Lane>,
    /// Lanes with commands that are not in flight, each once.
    ready: VecDeque<ProductId>,
    /// Lanes of suspects with commands that are not in flight, each once, with the time of their next try.
    resting: BTreeSet<(Instant, ProductId)>,
    suspects: HashMap<ProductId, Suspicion>,
    suspects_in_flight: usize,
    /// Whether a worker waits for the lock of a suspect: one at a time, so that the others are looked at.
    suspect_tried: bool,
    waiting: Arc<Waiting>,
    keys: HashMap<KeyName, KeyUse>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Lane {
    money: VecDeque<Ticket>,
    holds: VecDeque<Ticket>,
    in_flight: bool,
    /// How it is in flight, if it is as a suspect.
    alone: Option<Turn>,
    /// When the oldest hold came that is in flight, and the oldest other command.
    holds_taken: Option<Instant>,
    money_taken: Option<Instant>,
}

/// A product was found locked by somebody else.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    /// How often it was found locked since it was last waited for.
    looks: u32,
    until: Instant,
}

/// A key that commands of one product carry; commands of other products with the same key wait.
#[derive(Debug)]
struct KeyUse {
    product_id: ProductId,
    users: usize,
    parked: Vec<Ticket>,
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.money.is_empty() && self.holds.is_empty()
    }

    fn pop(&mut self) -> Option<Ticket> {
        self.money.pop_front().or_else(|| self.holds.pop_front())
    }
}

impl Queue {
    /// A queue that hands out batches of up to `batch_max` commands to `workers` workers.
    pub(super) fn new(batch_max: usize, workers: usize, waiting: Arc<Waiting>) -> Self {
        Self {
            state: Mutex::new(State {
                lanes: HashMap::new(),
                ready: VecDeque::new(),
                resting: BTreeSet::new(),
                suspects: HashMap::new(),
                suspects_in_flight: 0,
                suspect_tried: false,
                waiting,
                keys: HashMap::new(),
                closed: false,
            }),
            work: Notify::new(),
            batch_max: batch_max.max(1),
            suspects_max: (workers / 2).max(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under this lock would leave at worst a lane that is not served; the state is usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a command.
    ///
    /// # Errors
    /// [`Rejection::Overloaded`] if too many of its class wait; [`Rejection::Stopping`] once it is closed.
    pub(super) fn push(&self, ticket: Ticket) -> Result<(), Rejection> {
        {
            let mut state = self.lock();
            if state.closed {
                return Err(Rejection::Stopping);
            }
            if state.waiting.is_full(ticket.class) {
                return Err(Rejection::Overloaded);
            }
            state.waiting.enter(ticket.class);
            state.enter(ticket);
        }
        self.work.notify_one();
        Ok(())
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
                if let Some(taken) = state.take_batch(self.batch_max, self.suspects_max) {
                    // What did not fit, and what comes due, is for another worker.
                    let suspects_wait = !state.resting.is_empty() && state.suspects_in_flight < self.suspects_max;
                    if !state.ready.is_empty() || suspects_wait {
                        self.work.notify_one();
                    }
                    return Some(taken);
                }
                if state.closed && state.lanes.is_empty() {
                    self.work.notify_one();
                    return None;
                }
                let next = state.resting.first().map(|(at, _)| *at);
                next.filter(|_| state.suspects_in_flight < self.suspects_max)
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

    /// Nobody works on these products any more: what waits in their lanes may go with the next batch.
    pub(super) fn finish(&self, products: impl IntoIterator<Item = ProductId>) {
        let mut state = self.lock();
        for product_id in products {
            state.land(product_id);
        }
        drop(state);
        self.work.notify_one();
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
        drop(state);
        self.work.notify_one();
    }

    /// Commands of these products were lost in flight: their keys are free. One that still waits loses its
    /// claim to the key, too, which leaves it to the database's unique key.
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
    }

    /// Puts commands back in front of their lanes, which stay in flight until [`Queue::finish`].
    pub(super) fn put_back(&self, tickets: Vec<Ticket>) {
        let mut state = self.lock();
        for ticket in tickets.into_iter().rev() {
            let (class, product_id) = (ticket.class, ticket.product_id);
            // Counted first: from the moment it is back its caller may withdraw it.
            state.waiting.enter(class);
            if ticket.put_back() {
                let lane = state.lanes.entry(product_id).or_default();
                let waiting = if class == Class::Hold { &mut lane.holds } else { &mut lane.money };
                waiting.push_front(ticket);
            } else {
                state.waiting.leave(class);
                if let Some(key) = ticket.key_name() {
                    state.release(&key);
                }
            }
        }
    }

    /// Somebody else keeps this product locked: from here on its lane goes alone.
    pub(super) fn suspect(&self, product_id: ProductId) {
        let mut state = self.lock();
        let now = Instant::now();
        let State { suspects, lanes, .. } = &mut *state;
        suspects.retain(|product_id, suspicion| suspicion.until > now || lanes.contains_key(product_id));
        // Those that are found together need not be waited for together.
        let looks = fastrand::u32(0..LOOKS_PER_TRY);
        let suspicion = suspects.entry(product_id).or_insert(Suspicion { looks, until: now });
        suspicion.looks += 1;
        suspicion.until = now + SUSPECT_FOR;
    }

    /// These products are not locked by anybody else: their lanes go with the others.
    pub(super) fn trust<'a>(&self, products: impl IntoIterator<Item = &'a ProductId>) {
        let mut state = self.lock();
        if !state.suspects.is_empty() {
            for product_id in products {
                state.suspects.remove(product_id);
            }
        }
    }

    /// Shows for how long the oldest commands have waited, also those that a worker has taken: it may be waiting for
    /// their locks. Of those it is not asked whether their callers gave up; a worker soon is done with them.
    pub(super) fn show_age(&self) {
        let state = self.lock();
        state.waiting.show_oldest(|class| {
            let lanes = state.lanes.values();
            // In a lane they are in the order in which they came, but for some that were put back in front.
            lanes
                .filter_map(|lane| {
                    let (tickets, taken) = match class {
                        Class::Hold => (&lane.holds, lane.holds_taken),
                        Class::Money | Class::Internal => (&lane.money, lane.money_taken),
                    };
                    // Callers who gave up stay in the lane until a worker comes by, in front of those who wait.
                    let waits = tickets.iter().find(|ticket| ticket.class == class && !ticket.is_gone());
                    waits.map(|ticket| ticket.queued_at).into_iter().chain(taken).min()
                })
                .min()
        });
    }

    /// Takes no more commands; those that wait are still handed out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_waiters();
        self.work.notify_one();
    }
}

impl State {
    /// Into its lane, or beside the key that another product's command is using.
    fn enter(&mut self, ticket: Ticket) {
        if let Some(key) = ticket.key_name() {
            match self.keys.entry(key) {
                Entry::Occupied(mut entry) if entry.get().product_id != ticket.product_id => {
                    entry.get_mut().parked.push(ticket);
                    return;
                }
                Entry::Occupied(mut entry) => entry.get_mut().users += 1,
                Entry::Vacant(entry) => {
                    entry.insert(KeyUse { product_id: ticket.product_id, users: 1, parked: Vec::new() });
                }
            }
        }
        let product_id = ticket.product_id;
        let lane = self.lanes.entry(product_id).or_default();
        let idle = lane.is_empty() && !lane.in_flight;
        let waiting = if ticket.class == Class::Hold { &mut lane.holds } else { &mut lane.money };
        waiting.push_back(ticket);
        if idle {
            self.line_up(product_id, Duration::ZERO);
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

    /// A lane with commands waits for its turn; that of a suspect rests first.
    fn line_up(&mut self, product_id: ProductId, rest: Duration) {
        let now = Instant::now();
        if self.suspects.get(&product_id).is_some_and(|suspicion| suspicion.until > now) {
            self.resting.insert((now + rest, product_id));
        } else {
            self.ready.push_back(product_id);
        }
    }

    /// A lane comes back from its batch.
    fn land(&mut self, product_id: ProductId) {
        let Some(lane) = self.lanes.get_mut(&product_id) else { return };
        if !std::mem::replace(&mut lane.in_flight, false) {
            return;
        }
        (lane.holds_taken, lane.money_taken) = (None, None);
        if let Some(turn) = lane.alone.take() {
            self.suspects_in_flight = self.suspects_in_flight.saturating_sub(1);
            self.suspect_tried &= turn != Turn::Try;
        }
        if lane.is_empty() {
            self.lanes.remove(&product_id);
        } else {
            self.line_up(product_id, REST);
        }
    }

    fn take_batch(&mut self, batch_max: usize, suspects_max: usize) -> Option<Taken> {
        if self.suspects_in_flight < suspects_max
            && let Some(taken) = self.take_suspect(batch_max)
        {
            return Some(taken);
        }
        let tickets = self.take_ready(batch_max);
        (!tickets.is_empty()).then_some(Taken { tickets, turn: Turn::Try })
    }

    fn take_suspect(&mut self, batch_max: usize) -> Option<Taken> {
        let now = Instant::now();
        while let Some((at, product_id)) = self.resting.first().copied()
            && at <= now
        {
            self.resting.remove(&(at, product_id));
            let mut tickets = Vec::new();
            self.take_from(product_id, batch_max, &mut tickets);
            if tickets.is_empty() {
                // Every caller left.
                self.land(product_id);
                continue;
            }
            let others_due = self.resting.first().is_some_and(|(at, _)| *at <= now);
            let suspicion = self.suspects.get_mut(&product_id);
            let wants_try = suspicion.filter(|suspicion| suspicion.looks >= LOOKS_PER_TRY);
            let turn = match wants_try {
                Some(suspicion) if !self.suspect_tried && !others_due => {
                    suspicion.looks = 0;
                    self.suspect_tried = true;
                    Turn::Try
                }
                Some(_) | None => Turn::Look,
            };
            if let Some(lane) = self.lanes.get_mut(&product_id) {
                lane.alone = Some(turn);
                self.suspects_in_flight += 1;
            }
            return Some(Taken { tickets, turn });
        }
        None
    }

    fn take_ready(&mut self, batch_max: usize) -> Vec<Ticket> {
        let mut chosen: Vec<ProductId> = Vec::new();
        let mut batch = Vec::new();
        while !self.ready.is_empty() && batch.is_empty() {
            chosen.clear();
            while chosen.len() < batch_max
                && let Some(product_id) = self.ready.pop_front()
            {
                chosen.push(product_id);
            }
            // An even share first; then what others leave goes to those with more.
            let share = (batch_max / chosen.len().max(1)).max(1);
            for product_id in &chosen {
                self.take_from(*product_id, share, &mut batch);
            }
            for product_id in &chosen {
                let rest = batch_max.saturating_sub(batch.len());
                self.take_from(*product_id, rest, &mut batch);
            }
            // A lane whose every caller left has nothing in the batch.
            let served: HashSet<ProductId> = batch.iter().map(|ticket| ticket.product_id).collect();
            for product_id in chosen.drain(..).filter(|product_id| !served.contains(product_id)) {
                self.land(product_id);
            }
        }
        batch
    }

    fn take_from(&mut self, product_id: ProductId, most: usize, batch: &mut Vec<Ticket>) {
        let mut taken = 0;
        while taken < most {
            let Some(lane) = self.lanes.get_mut(&product_id) else { return };
            lane.in_flight = true;
            let Some(ticket) = lane.pop() else { return };
            if ticket.take() {
                self.waiting.go(ticket.class, ticket.queued_at);
                let oldest = match ticket.class {
                    Class::Hold => Some(&mut lane.holds_taken),
                    Class::Money => Some(&mut lane.money_taken),
                    Class::Internal => None,
                };
                if let Some(oldest) = oldest {
                    *oldest = Some(oldest.map_or(ticket.queued_at, |at| at.min(ticket.queued_at)));
                }
                batch.push(ticket);
                taken += 1;
            } else if let Some(key) = ticket.key_name() {
                self.release(&key);
            }
        }
    }
}
