//! The reports of a run: what each says of runs that held, broke, and proved nothing.

mod browser;
mod grafana;
mod programs;
mod sample;
