//! A second server of the same API, for tests only, with one bug planted on demand.
//!
//! The harness says that it finds what is wrong with a sale from outside. This is what it is tried on:
//! without a fault a right server, kept small, which must pass; with one, a server that is wrong in that
//! way alone, which must not. It shares no code with the service, so that the harness is seen to judge
//! anything that speaks the API, and none with the harness.
//!
//! It keeps the sale in memory, under one lock, and a journal of changed rows, written before each answer,
//! so that it survives `kill -9`. What does not belong here: speed, and what the harness never asks for
//! (metrics, documentation, strict JSON).

pub mod fault;

mod answer;
mod clock;
mod desk;
mod http;
mod journal;
mod payment;
mod problem;
mod rows;
mod sale;
mod serve;
mod settings;

pub use fault::Fault;
pub use serve::{audit, serve};
pub use settings::Settings;
