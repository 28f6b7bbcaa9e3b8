//! The rules of a sale, tested from outside: tables of cases, and properties over random sequences.
//!
//! What belongs here: everything that the public interface can show. What does not: the checks of a
//! step, which no good state can make fail; their tests stand beside them in `src/check.rs`.

mod audit;
mod batches;
mod breaches;
mod commands;
mod database;
mod driver;
mod expected;
mod naive;
mod needs;
mod properties;
mod refusals;
mod successes_of_holds;
mod successes_of_orders;
mod successes_of_products;
mod world;
