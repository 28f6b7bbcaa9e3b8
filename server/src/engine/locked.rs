//! Products that somebody else keeps locked, or something that their commands want: when they are tried, how, and by how many
//! workers.
//!
//! Such a product is a suspect for some seconds. Its lane rests between its tries, goes alone, and suspects together
//! may keep only half of the workers waiting, so that they stop nobody else.
//!
//! What does not belong here: how it is found out (`worker`), and what waits for them (`lane`).

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use sale::ProductId;
use tokio::time::Instant;

/// How long the lane of a suspect rests before it is tried again.
pub(super) const REST: Duration = Duration::from_millis(50);
/// A suspect that was found locked so often is waited for once, instead of only looked at: a product that
/// other servers sell without a pause is never seen unlocked.
const LOOKS_PER_TRY: u32 = 8;
/// How long a product is a suspect after it was last found locked, whether anybody wants it or not: the
/// next who does must not make others wait for it.
const SUSPECT_FOR: Duration = Duration::from_secs(10);

/// How a batch is to be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// With its locks, and with waiting for them.
    Try,
    /// It is of one suspect: not while that is still locked.
    Look,
    /// It is of one suspect, which is waited for if it is still locked.
    Wait,
}

/// The products that are locked by somebody else, or were until lately.
#[derive(Debug)]
pub(super) struct Locked {
    suspects: HashMap<ProductId, Suspicion>,
    /// Suspects with commands that are not in flight, each once, with the time of their next try.
    resting: BTreeSet<(Instant, ProductId)>,
    in_flight: usize,
    in_flight_max: usize,
    /// Whether a worker waits for the lock of a suspect: one at a time, so that the others are looked at.
    is_tried: bool,
}

/// A product was found locked by somebody else.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    /// How often it was found locked since it was last waited for.
    looks: u32,
    until: Instant,
}

impl Locked {
    /// None yet, for so many workers.
    pub(super) fn new(workers: usize) -> Self {
        Self {
            suspects: HashMap::new(),
            resting: BTreeSet::new(),
            in_flight: 0,
            in_flight_max: (workers / 2).max(1),
            is_tried: false,
        }
    }

    /// Somebody else keeps this product locked. Those that `are_wanted` no longer, and were not found locked for
    /// some time, are forgotten.
    pub(super) fn found(&mut self, product_id: ProductId, are_wanted: impl Fn(&ProductId) -> bool) {
        let now = Instant::now();
        self.suspects.retain(|product_id, suspicion| suspicion.until > now || are_wanted(product_id));
        // Those that are found together need not be waited for together.
        let looks = fastrand::u32(0..LOOKS_PER_TRY);
        let suspicion = self.suspects.entry(product_id).or_insert(Suspicion { looks, until: now });
        suspicion.looks += 1;
        suspicion.until = now + SUSPECT_FOR;
    }

    /// Nobody else keeps these locked.
    pub(super) fn trust<'a>(&mut self, products: impl IntoIterator<Item = &'a ProductId>) {
        if !self.suspects.is_empty() {
            for product_id in products {
                self.suspects.remove(product_id);
            }
        }
    }

    /// Whether somebody else keeps this product locked, or did until lately.
    pub(super) fn suspects(&self, product_id: ProductId) -> bool {
        self.suspects.get(&product_id).is_some_and(|suspicion| suspicion.until > Instant::now())
    }

    /// Lets a product with commands rest, if it is a suspect. `false`: it is none.
    pub(super) fn rests(&mut self, product_id: ProductId, rest: Duration) -> bool {
        let is_suspect = self.suspects(product_id);
        if is_suspect {
            self.resting.insert((Instant::now() + rest, product_id));
        }
        is_suspect
    }

    /// A suspect whose rest is over, if one more may go.
    pub(super) fn next(&mut self) -> Option<ProductId> {
        let (at, product_id) = self.resting.first().copied()?;
        let goes = at <= Instant::now() && self.in_flight < self.in_flight_max;
        if !goes {
            return None;
        }
        self.resting.remove(&(at, product_id));
        Some(product_id)
    }

    /// When the next rest is over, if one more may go then.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let next = self.resting.first().map(|(at, _)| *at);
        next.filter(|_| self.in_flight < self.in_flight_max)
    }

    /// A suspect goes. It is waited for if it was looked at often enough, and no other that is due has to wait for that.
    pub(super) fn go(&mut self, product_id: ProductId) -> Turn {
        self.in_flight += 1;
        let now = Instant::now();
        let others_due = self.resting.first().is_some_and(|(at, _)| *at <= now);
        let suspicion = self.suspects.get_mut(&product_id);
        match suspicion.filter(|suspicion| suspicion.looks >= LOOKS_PER_TRY) {
            Some(suspicion) if !self.is_tried && !others_due => {
                suspicion.looks = 0;
                self.is_tried = true;
                Turn::Wait
            }
            Some(_) | None => Turn::Look,
        }
    }

    /// A suspect that went is back.
    pub(super) fn is_back(&mut self, turn: Turn) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.is_tried &= turn != Turn::Wait;
    }
}
