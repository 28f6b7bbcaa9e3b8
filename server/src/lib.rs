//! Holdfast: a flash-sale service that cannot oversell.
//!
//! The rooms, from the socket to the disk; each may use those after it, and all may use `sale`, the
//! crate of the rules.

pub mod app;
pub mod audit;
pub mod commands;
pub mod config;
pub mod engine;
mod files;
#[cfg(test)]
mod fuzz;
pub mod http;
pub mod store;
pub mod telemetry;
