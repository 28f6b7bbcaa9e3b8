//! The one lock, and what happens under it: time, a step of the sale, its rows into the journal.
//!
//! What belongs here besides: the faults that let go of the lock between looking and writing, or look at
//! something other than the sale. What does not: the steps themselves (`sale.rs`, `payment.rs`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::fault::Fault;
use crate::journal::Journal;
use crate::problem::Problem;
use crate::rows::{Hold, Order, Product};
use crate::sale::{Looked, NewHold, NewOrder, Sale};
use crate::settings::Terms;

/// Between looking and writing, where these are apart: as long as a database may take to answer.
const WINDOW_MILLISECONDS: std::ops::RangeInclusive<u64> = 1..=3;
/// How old a product may be with `stale_reads`.
const STALE: Duration = Duration::from_millis(100);
/// `done_but_refused` refuses every so-manieth hold that it placed.
const REFUSED_OF: u32 = 16;
/// How often what is due is written down, whether or not somebody asks.
const TICK: Duration = Duration::from_millis(50);
/// Ticks between two sweeps of `expiry_by_sweep_only`.
const TICKS_A_SWEEP: u64 = 40;

/// A hold or an order, and whether its key made it before.
pub(crate) struct Placed<T> {
    pub(crate) row: T,
    pub(crate) replayed: bool,
}

/// The sale behind its lock.
pub(crate) struct Desk {
    pub(crate) terms: Terms,
    pub(crate) fault: Option<Fault>,
    journal: Journal,
    sale: Mutex<Sale>,
    snapshots: Mutex<HashMap<u64, (Instant, Product)>>,
    placed: AtomicU32,
}

impl Desk {
    pub(crate) fn new(journal: Journal, sale: Sale) -> Self {
        let (terms, fault) = (sale.terms, sale.fault);
        Self { terms, fault, journal, sale: Mutex::new(sale), snapshots: Mutex::default(), placed: AtomicU32::new(1) }
    }

    /// One step under the lock. What it changed is in the journal when this returns.
    pub(crate) fn step<T>(&self, work: impl FnOnce(&mut Sale) -> Result<T, Problem>) -> Result<T, Problem> {
        // A step that panicked has broken the sale. It is a bug that was not planted: let all see it.
        let mut sale = self.sale.lock().map_err(|_| Problem::Internal)?;
        sale.begin(clock::now());
        let done = work(&mut sale);
        let changed = sale.take_changed();
        self.journal.append(&changed).map_err(|error| {
            eprintln!("holdfast-faulty: the journal cannot be written: {error}");
            Problem::Internal
        })?;
        done
    }

    /// Places a hold.
    pub(crate) async fn place_hold(&self, new: NewHold) -> Result<Placed<Hold>, Problem> {
        let placed = match self.fault {
            Some(fault @ (Fault::CheckThenWrite | Fault::LostUpdate | Fault::ReplayRace)) => {
                let reserved = match self.step(|sale| sale.look_for_hold(&new))? {
                    Looked::Known(row) => return Ok(Placed { row, replayed: true }),
                    Looked::Free(reserved) => reserved,
                };
                window().await;
                self.step(|sale| {
                    if fault == Fault::ReplayRace {
                        sale.room(&new)?;
                    } else if let Some(row) = sale.known_hold(&new)? {
                        return Ok(Placed { row, replayed: true });
                    }
                    let reserved = (fault == Fault::LostUpdate).then_some(reserved);
                    Ok(Placed { row: sale.write_hold(&new, reserved), replayed: false })
                })?
            }
            _ => self.step(|sale| {
                Ok(match sale.look_for_hold(&new)? {
                    Looked::Known(row) => Placed { row, replayed: true },
                    Looked::Free(_) => Placed { row: sale.write_hold(&new, None), replayed: false },
                })
            })?,
        };
        let lies = self.placed.fetch_add(1, Ordering::Relaxed).is_multiple_of(REFUSED_OF);
        if lies && self.fault == Some(Fault::DoneButRefused) { Err(Problem::Overloaded) } else { Ok(placed) }
    }

    /// Makes a hold an order.
    pub(crate) async fn place_order(&self, new: NewOrder) -> Result<Placed<Order>, Problem> {
        if self.fault == Some(Fault::TwoOrdersFromOneHold) {
            if let Looked::Known(row) = self.step(|sale| sale.look_for_order(&new))? {
                return Ok(Placed { row, replayed: true });
            }
            window().await;
            return self.step(|sale| match sale.known_order(&new)? {
                Some(row) => Ok(Placed { row, replayed: true }),
                None => Ok(Placed { row: sale.write_order(&new)?, replayed: false }),
            });
        }
        self.step(|sale| {
            Ok(match sale.look_for_order(&new)? {
                Looked::Known(row) => Placed { row, replayed: true },
                Looked::Free(_) => Placed { row: sale.write_order(&new)?, replayed: false },
            })
        })
    }

    /// A product.
    pub(crate) fn product(&self, product_id: u64) -> Result<Product, Problem> {
        let read = || self.step(|sale| sale.products.get(&product_id).cloned().ok_or(Problem::NotFound));
        if self.fault != Some(Fault::StaleReads) {
            return read();
        }
        let mut snapshots = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, product)) = snapshots.get(&product_id).filter(|(at, _)| at.elapsed() < STALE) {
            return Ok(product.clone());
        }
        let product = read()?;
        snapshots.insert(product_id, (Instant::now(), product.clone()));
        Ok(product)
    }

    /// Writes down what is due, and what the journal keeps back, for ever.
    pub(crate) async fn keep(&self) {
        let ticks = async {
            for tick in 1_u64.. {
                tokio::time::sleep(TICK).await;
                let ticked = self.step(|sale| {
                    if tick % TICKS_A_SWEEP == 0 {
                        sale.sweep();
                    }
                    Ok(())
                });
                // It was said where it happened, and every request says it again.
                let _ = ticked;
            }
        };
        tokio::join!(ticks, self.journal.write_behind());
    }
}

async fn window() {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(WINDOW_MILLISECONDS))).await;
}
