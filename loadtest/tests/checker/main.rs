//! The checker, from outside: tables of small histories, a model of a right sale that is never accused, the same
//! model with a bug planted, which is, and how the work grows.

mod model;
mod properties;
