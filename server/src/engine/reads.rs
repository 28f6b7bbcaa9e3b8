//! The reads of the engine, each coalesced: what they ask the store, and how answers find their callers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use sale::{Hold, HoldId, Key, Order, OrderId, ProductId, Timestamp};

use super::StockQuery;
use super::coalesce::{Coalescer, ReadFigures};
use super::shared::Shared;
use crate::store::{Description, ProductReading, Stock};
use crate::telemetry::labels::ReadKind;

/// The most keys of one query.
const KEYS_PER_QUERY: usize = 500;
/// The most pages of one round: each is a query of its own, and a round must not take long.
const PAGES_PER_ROUND: usize = 32;

fn figures(shared: &Shared, kind: ReadKind) -> ReadFigures {
    ReadFigures::new(&shared.metrics, kind)
}

pub(super) fn stocks(shared: &Arc<Shared>) -> Coalescer<StockQuery, (Stock, bool)> {
    let store = Arc::clone(&shared.store);
    Coalescer::start(
        Arc::clone(&shared.health),
        figures(shared, ReadKind::Stock),
        KEYS_PER_QUERY,
        move |queries: Vec<StockQuery>| {
            let store = Arc::clone(&store);
            async move {
                let products: BTreeSet<ProductId> = queries.iter().map(|query| query.product_id).collect();
                let products: Vec<ProductId> = products.into_iter().collect();
                let keys: BTreeSet<Key> = queries.iter().filter_map(|query| query.key.clone()).collect();
                let keys: Vec<Key> = keys.into_iter().collect();
                let read = store.stocks(&products, &keys).await?;
                let answer = |query: StockQuery| {
                    let stock = read.stocks.get(&query.product_id)?.clone();
                    let key_known = query.key.as_ref().is_some_and(|key| read.known_keys.contains(key));
                    Some((query, (stock, key_known)))
                };
                Ok(queries.into_iter().filter_map(answer).collect())
            }
        },
    )
}

pub(super) fn descriptions(shared: &Arc<Shared>) -> Coalescer<ProductId, Description> {
    let store = Arc::clone(&shared.store);
    Coalescer::start(
        Arc::clone(&shared.health),
        figures(shared, ReadKind::Description),
        KEYS_PER_QUERY,
        move |ids: Vec<ProductId>| {
            let store = Arc::clone(&store);
            async move { store.descriptions(&ids).await }
        },
    )
}

pub(super) fn holds(shared: &Arc<Shared>) -> Coalescer<HoldId, (Hold, Timestamp)> {
    let store = Arc::clone(&shared.store);
    Coalescer::start(
        Arc::clone(&shared.health),
        figures(shared, ReadKind::Hold),
        KEYS_PER_QUERY,
        move |ids: Vec<HoldId>| {
            let store = Arc::clone(&store);
            async move { store.holds(&ids).await }
        },
    )
}

pub(super) fn orders(shared: &Arc<Shared>) -> Coalescer<OrderId, Order> {
    let store = Arc::clone(&shared.store);
    Coalescer::start(
        Arc::clone(&shared.health),
        figures(shared, ReadKind::Order),
        KEYS_PER_QUERY,
        move |ids: Vec<OrderId>| {
            let store = Arc::clone(&store);
            async move { store.orders(&ids).await }
        },
    )
}

/// Pages of products on sale, by where they begin and how long they are.
pub(super) fn lists(shared: &Arc<Shared>) -> Coalescer<(ProductId, u32), Vec<ProductReading>> {
    let store = Arc::clone(&shared.store);
    Coalescer::start(
        Arc::clone(&shared.health),
        figures(shared, ReadKind::ProductList),
        PAGES_PER_ROUND,
        move |pages: Vec<(ProductId, u32)>| {
            let store = Arc::clone(&store);
            async move {
                let mut found = HashMap::new();
                for (after, limit) in pages {
                    found.insert((after, limit), store.list_products(after, limit, false).await?);
                }
                Ok(found)
            }
        },
    )
}
