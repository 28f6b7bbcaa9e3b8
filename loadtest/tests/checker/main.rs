//! The checker, from outside: tables of small histories, a model of a right sale that is never accused, the same
//! model with a bug planted, which is, what counts as evidence, and how the work grows.

#![expect(clippy::unwrap_used, reason = "a model that does not add up may stop its test anywhere")]

mod evidence;
mod growth;
mod model;
mod properties;
mod story;
mod tables;
