//! Reading products, and the limits of the sale.
//!
//! What does not belong here: changing products (`operators.rs`).

use std::sync::Arc;

use http::StatusCode;
use quick_cache::sync::Cache;
use sale::{ProductId, ProductStatus, Terms};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Answer;
use super::errors::{FieldErrors, Named, Problem};
use super::format;
use super::request::Call;
use crate::engine::ProductReading;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// How many products' last answers are kept.
const SHOWN_MAX: usize = 10_000;

/// A product as it is on sale.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Product {
    /// Names it.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64, example = 1)]
    id: u64,
    /// For people.
    #[schema(min_length = 1, max_length = 255, example = "Console, launch edition")]
    name: String,
    /// For people.
    #[schema(max_length = 2000, example = "One for each customer.")]
    description: String,
    /// Of one unit, with two decimals.
    #[schema(pattern = "^[0-9]+\\.[0-9]{2}$", example = "99.99")]
    price: String,
    /// Whether it takes new holds.
    status: ProductState,
    /// Units that a new hold may take: `stock_available - stock_reserved`.
    #[schema(minimum = 0, example = 95)]
    available_stock: u64,
    /// Physical units not yet sold to an order.
    #[schema(minimum = 0, example = 100)]
    stock_available: u64,
    /// Units of `stock_available` that active holds keep.
    #[schema(minimum = 0, example = 5)]
    stock_reserved: u64,
    /// When it was made.
    #[schema(format = DateTime, example = "2025-12-02T19:00:26.000000Z")]
    created_at: String,
    /// When its stock or status last changed.
    #[schema(format = DateTime, example = "2025-12-02T19:00:26.000000Z")]
    updated_at: String,
}

/// Whether a product takes new holds.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ProductState {
    /// It does.
    OnSale,
    /// It does not; holds and orders that exist go on.
    Suspended,
}

impl From<ProductReading> for Product {
    fn from(reading: ProductReading) -> Self {
        let ProductReading { id, description, stock } = reading;
        Self {
            id: id.0,
            name: description.name,
            description: description.description,
            price: format::price(description.price),
            status: match stock.status {
                ProductStatus::OnSale => ProductState::OnSale,
                ProductStatus::Suspended { .. } => ProductState::Suspended,
            },
            available_stock: stock.stock_available.saturating_sub(stock.stock_reserved.saturating_sub(stock.due_units)),
            stock_available: stock.stock_available,
            stock_reserved: stock.stock_reserved.saturating_sub(stock.due_units),
            created_at: format::time(description.created_at),
            updated_at: format::time(stock.updated_at),
        }
    }
}

/// One product.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ProductAnswer {
    data: Product,
}

impl ProductAnswer {
    /// The answer that shows it.
    pub(super) fn answer(status: StatusCode, reading: ProductReading) -> Answer {
        Answer::json(status, &Self { data: reading.into() })
    }
}

/// The last answer of each product: many ask for the same one, and see the same until its stock changes.
pub(super) struct ShownProducts(Cache<ProductId, Arc<ShownProduct>>);

struct ShownProduct {
    reading: ProductReading,
    answer: Answer,
}

impl ShownProducts {
    /// With room for [`SHOWN_MAX`].
    pub(super) fn new() -> Self {
        Self(Cache::new(SHOWN_MAX))
    }

    /// The answer that shows what was read.
    fn answer(&self, reading: ProductReading) -> Answer {
        if let Some(shown) = self.0.get(&reading.id)
            && shown.reading == reading
        {
            return shown.answer.clone();
        }
        let (id, answer) = (reading.id, ProductAnswer::answer(StatusCode::OK, reading.clone()));
        self.0.insert(id, Arc::new(ShownProduct { reading, answer: answer.clone() }));
        answer
    }
}

/// Some products, in the order of their ids.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ProductPage {
    data: Vec<Product>,
    /// What to give as `after` for the next page; null on the last one.
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_u64, example = json!(null))]
    #[schema(required = true)]
    next_after: Option<u64>,
}

/// The settings that clients may want to know.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct Limits {
    /// How long a hold lives.
    #[schema(minimum = 1, example = 120)]
    hold_ttl_seconds: u32,
    /// How long an order waits for its payment.
    #[schema(minimum = 1, example = 900)]
    payment_window_seconds: u32,
    /// The most units of one hold.
    #[schema(minimum = 1, maximum = 1_000_000, example = 1000)]
    max_qty_per_hold: u32,
}

/// The limits.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct LimitsAnswer {
    data: Limits,
}

pub(super) async fn list(call: Box<Call>) -> Result<Answer, Problem> {
    let (after, limit) = page(call.head.uri.query().unwrap_or_default())?;
    // One more than is shown tells whether there is a next page.
    let mut readings = call
        .client
        .engine()?
        .products(after, limit + 1, call.deadline)
        .await
        .map_err(|it| Problem::rejected(&it, Named::InPath))?;
    let more = readings.len() > limit as usize;
    readings.truncate(limit as usize);
    let next_after = readings.last().map(|last| last.id.0).filter(|_| more);
    let data = readings.into_iter().map(Product::from).collect();
    Ok(Answer::json(StatusCode::OK, &ProductPage { data, next_after }))
}

pub(super) async fn show(call: Box<Call>) -> Result<Answer, Problem> {
    let product_id = call.product_id();
    let (client, deadline) = call.into_waiting();
    let reading = client.engine()?.product(product_id, deadline).await;
    let reading = reading.map_err(|it| Problem::rejected(&it, Named::InPath))?.ok_or(Problem::NotFound)?;
    Ok(client.shared.shown_products.answer(reading))
}

pub(super) async fn limits(call: Box<Call>) -> Result<Answer, Problem> {
    let Terms { hold_ttl_seconds, payment_window_seconds, max_qty_per_hold } = call.shared().config.terms;
    let data = Limits { hold_ttl_seconds, payment_window_seconds, max_qty_per_hold };
    Ok(Answer::json(StatusCode::OK, &LimitsAnswer { data }))
}

/// Where a page begins and how long it is.
pub(super) fn page(query: &str) -> Result<(ProductId, u32), FieldErrors> {
    let mut errors = FieldErrors::default();
    let (mut limit, mut after) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let (seen, range) = match &*name {
            "limit" => (&mut limit, 1..=u64::from(MAX_LIMIT)),
            "after" => (&mut after, 0..=sale::MAX_ID),
            _ => continue,
        };
        let number = Some(&*value)
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .filter(|number| range.contains(number));
        match number {
            Some(_) if seen.is_some() => errors.add(&name, "must be given once"),
            Some(number) => *seen = Some(number),
            None => errors.add(&name, format!("must be an integer from {} to {}", range.start(), range.end())),
        }
    }
    if errors != FieldErrors::default() {
        return Err(errors);
    }
    let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(DEFAULT_LIMIT);
    Ok((ProductId(after.unwrap_or(0)), limit))
}

#[cfg(test)]
mod tests {
    use sale::{Money, Timestamp};

    use super::*;
    use crate::engine::{Description, Stock};

    #[test]
    fn a_product_is_shown_as_it_was_read_whatever_was_shown_before() {
        let description = Description {
            name: "Console".to_owned(),
            description: String::new(),
            price: Money(9_999),
            created_at: Timestamp(0),
        };
        let stock = Stock {
            status: ProductStatus::OnSale,
            stock_available: 100,
            stock_reserved: 0,
            updated_at: Timestamp(0),
            due_units: 0,
        };
        let reading = ProductReading { id: ProductId(1), description, stock };
        let mut sold = reading.clone();
        sold.stock.stock_reserved = 1;
        let mut renamed = sold.clone();
        renamed.description.name = "Console, second edition".to_owned();
        let mut other = renamed.clone();
        other.id = ProductId(2);
        let shown = ShownProducts::new();
        for reading in [&reading, &reading, &sold, &renamed, &sold, &other, &sold, &reading] {
            let (kept, made) = (shown.answer(reading.clone()), ProductAnswer::answer(StatusCode::OK, reading.clone()));
            assert_eq!(format!("{kept:?}"), format!("{made:?}"));
        }
    }

    #[test]
    fn a_page_has_a_beginning_and_a_length() {
        for (query, after, limit) in [
            ("", 0, 50),
            ("limit=1", 0, 1),
            ("limit=200&after=17", 17, 200),
            ("after=9007199254740991", 9_007_199_254_740_991, 50),
            ("unknown=1&unknown=2", 0, 50),
            ("limit=%31", 0, 1),
        ] {
            assert_eq!(page(query), Ok((ProductId(after), limit)), "{query}");
        }
    }

    #[test]
    fn a_query_is_checked() {
        for query in [
            "limit=0",
            "limit=201",
            "limit=abc",
            "limit=",
            "limit",
            "limit=-1",
            "limit=1.0",
            "limit=+1",
            "limit=1&limit=1",
            "limit=18446744073709551617",
        ] {
            let errors = page(query).expect_err(query);
            assert!(format!("{errors:?}").contains("limit"), "{query}");
        }
        for query in ["after=-1", "after=x", "after=9007199254740992", "after=1&after=2"] {
            let errors = page(query).expect_err(query);
            assert!(format!("{errors:?}").contains("after"), "{query}");
        }
    }
}
