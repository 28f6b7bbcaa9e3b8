//! The reports of a run: what each says of runs that held, broke, and proved nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod browser;
mod grafana;
mod programs;
mod sample;
