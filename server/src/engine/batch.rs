//! Commands that share a transaction, and the ways to part them when they cannot.

use std::collections::{BTreeMap, BTreeSet};

use sale::ProductId;

use super::flights::FlightId;
use super::ticket::Ticket;
use super::waiting::Class;
use crate::store::BatchId;

/// Commands that share a transaction.
pub(super) struct Batch {
    /// Set with the first attempt, and kept through all that follow.
    pub(super) id: Option<BatchId>,
    /// As what the queue handed them out.
    pub(super) flight: FlightId,
    /// Whether they are all that was handed out together, and not a part.
    pub(super) is_whole: bool,
    /// Whether it waits for locks that others have. Not if it was found behind one: it keeps its products locked meanwhile.
    pub(super) waits: bool,
    pub(super) tickets: Vec<Ticket>,
}

impl Batch {
    /// All that was handed out together.
    pub(super) fn new(flight: FlightId, tickets: Vec<Ticket>) -> Self {
        Self { id: None, flight, is_whole: true, waits: true, tickets }
    }

    fn part(flight: FlightId, waits: bool, tickets: Vec<Ticket>) -> Self {
        Self { is_whole: false, waits, ..Self::new(flight, tickets) }
    }

    pub(super) fn products(&self) -> BTreeSet<ProductId> {
        self.tickets.iter().map(|ticket| ticket.product_id).collect()
    }

    /// The same commands in up to `parts` batches, each with whole products.
    pub(super) fn split_by_product(self, parts: usize) -> Vec<Self> {
        let products = self.products();
        let per_part = products.len().div_ceil(parts).max(1);
        let part_of: BTreeMap<ProductId, usize> =
            products.into_iter().enumerate().map(|(i, product_id)| (product_id, i / per_part)).collect();
        let mut batches: BTreeMap<usize, Vec<Ticket>> = BTreeMap::new();
        for ticket in self.tickets {
            let part = part_of.get(&ticket.product_id).copied().unwrap_or_default();
            batches.entry(part).or_default().push(ticket);
        }
        batches.into_values().map(|tickets| Self::part(self.flight, self.waits, tickets)).collect()
    }

    /// The commands of these products, taken out of the batch.
    pub(super) fn take_products(&mut self, products: &BTreeSet<ProductId>) -> Vec<Ticket> {
        let (taken, rest) = self.tickets.drain(..).partition(|ticket| products.contains(&ticket.product_id));
        self.tickets = rest;
        taken
    }

    /// The wishes for units, and all else.
    pub(super) fn part_wishes(self) -> (Self, Self) {
        let (wishes, rest) = self.tickets.into_iter().partition(|ticket| ticket.class == Class::Hold);
        (Self::part(self.flight, self.waits, wishes), Self::part(self.flight, self.waits, rest))
    }

    pub(super) fn halve(mut self) -> Vec<Self> {
        let second = self.tickets.split_off(self.tickets.len() / 2);
        vec![Self::part(self.flight, self.waits, self.tickets), Self::part(self.flight, self.waits, second)]
    }
}
