//! What operators do to products: make, restock, suspend, resume.
//!
//! What does not belong here: who is an operator (`access.rs`), and what a suspension means (`sale`).

use http::StatusCode;
use sale::{MAX_STOCK, Money};
use utoipa::ToSchema;

use super::answer::Answer;
use super::errors::{FieldErrors, Named, Problem};
use super::format;
use super::json::{self, Json, Object};
use super::products::ProductAnswer;
use super::request::{Call, object};
use crate::engine::NewProduct as NewProductRow;

pub(crate) const MAX_NAME_CHARS: usize = 255;
pub(crate) const MAX_DESCRIPTION_CHARS: usize = 2000;
pub(crate) const MAX_REASON_CHARS: usize = 255;

/// The reason of a suspension that came without one.
pub(crate) const DEFAULT_REASON: &str = "suspended by an operator";

/// What a new product is made of.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct NewProduct {
    /// For people.
    #[schema(min_length = 1, max_length = 255, example = "Console, launch edition")]
    name: String,
    /// For people.
    #[schema(max_length = 2000, nullable, example = "One for each customer.")]
    description: Option<String>,
    /// Of one unit.
    #[schema(pattern = "^[0-9]{1,10}(\\.[0-9]{1,2})?$", example = "99.99")]
    price: String,
    /// Physical units.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_u64, example = 100)]
    stock: u64,
}

/// How the physical stock changed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct StockChange {
    /// Units to add; negative: to take away; not 0.
    #[schema(minimum = -1_000_000_000_000_i64, maximum = 1_000_000_000_000_i64, example = 25)]
    qty: i64,
}

/// Why a product is suspended.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct Suspension {
    /// For operators.
    #[schema(min_length = 1, max_length = 255, nullable, example = "the price is wrong")]
    reason: Option<String>,
}

/// How a product is resumed.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct Resumption {
    /// Resume it even if it breaks an invariant.
    #[schema(nullable, example = false)]
    force: Option<bool>,
}

pub(super) async fn add_product(mut call: Box<Call>) -> Result<Answer, Problem> {
    let product = new_product(&object(&call.json_bytes().await?)?)?;
    let stock = product.stock;
    let reading = call.client.engine()?.add_product(product, call.deadline).await;
    let reading = reading.map_err(|it| Problem::rejected(&it, Named::InPath))?;
    tracing::info!(product_id = reading.id.0, stock, "product added");
    Ok(ProductAnswer::answer(StatusCode::CREATED, reading))
}

pub(super) async fn restock(mut call: Box<Call>) -> Result<Answer, Problem> {
    let change = stock_change(&object(&call.json_bytes().await?)?)?;
    let reading = call.client.engine()?.restock(call.product_id(), change, call.deadline).await;
    let reading = reading.map_err(|it| Problem::rejected(&it, Named::InPath))?;
    tracing::info!(product_id = call.path_id, change, stock_available = reading.stock.stock_available, "restocked");
    Ok(ProductAnswer::answer(StatusCode::OK, reading))
}

pub(super) async fn suspend(mut call: Box<Call>) -> Result<Answer, Problem> {
    let reason = reason(&object(&call.json_bytes_or_nothing().await?)?)?;
    let reading = call.client.engine()?.suspend(call.product_id(), reason.clone(), call.deadline).await;
    let reading = reading.map_err(|it| Problem::rejected(&it, Named::InPath))?;
    tracing::info!(product_id = call.path_id, reason, "product suspended");
    Ok(ProductAnswer::answer(StatusCode::OK, reading))
}

pub(super) async fn resume(mut call: Box<Call>) -> Result<Answer, Problem> {
    let body = call.json_bytes_or_nothing().await?;
    let force = json::optional_flag(object(&body)?.get("force"), false);
    let force = force.map_err(|problem| FieldErrors::of("force", problem))?;
    let reading = call.client.engine()?.resume(call.product_id(), force, call.deadline).await;
    let reading = reading.map_err(Problem::not_resumed)?;
    tracing::info!(product_id = call.path_id, force, "product resumed");
    Ok(ProductAnswer::answer(StatusCode::OK, reading))
}

pub(super) fn new_product(object: &Object<'_>) -> Result<NewProductRow, FieldErrors> {
    let mut errors = FieldErrors::default();
    let name = errors.check("name", json::text(object.get("name"), &(1..=MAX_NAME_CHARS)));
    let description = match object.given("description") {
        None => Some(String::new()),
        given => errors.check("description", json::text(given, &(0..=MAX_DESCRIPTION_CHARS))),
    };
    let price = errors.check("price", price(object.get("price")));
    let stock = errors.check("stock", json::integer(object.get("stock"), &(0..=MAX_STOCK.cast_signed())));
    match (name, description, price, stock) {
        (Some(name), Some(description), Some(price), Some(stock)) => {
            Ok(NewProductRow { name, description, price, stock: stock.cast_unsigned() })
        }
        _ => Err(errors),
    }
}

fn price(value: Option<&Json<'_>>) -> Result<Money, String> {
    let price = match value.ok_or("is required")? {
        Json::String(text) => format::parse_price(text),
        _ => None,
    };
    price.ok_or_else(|| format::PRICE_FORM.to_owned())
}

pub(super) fn stock_change(object: &Object<'_>) -> Result<i64, FieldErrors> {
    let most = MAX_STOCK.cast_signed();
    match json::integer(object.get("qty"), &(-most..=most)) {
        Ok(0) => Err(FieldErrors::of("qty", "must not be 0")),
        Ok(change) => Ok(change),
        Err(problem) => Err(FieldErrors::of("qty", problem)),
    }
}

pub(super) fn reason(object: &Object<'_>) -> Result<String, FieldErrors> {
    match object.given("reason") {
        None => Ok(DEFAULT_REASON.to_owned()),
        given => json::text(given, &(1..=MAX_REASON_CHARS)).map_err(|problem| FieldErrors::of("reason", problem)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What a function makes of a body.
    fn read<T>(body: &Value, read: impl FnOnce(&Object<'_>) -> Result<T, FieldErrors>) -> Result<T, FieldErrors> {
        read(&object(body.to_string().as_bytes()).expect("an object"))
    }

    #[test]
    fn a_product_has_a_name_a_price_and_a_stock() {
        let whole = json!({"name": "Console", "price": "99.99", "stock": 100});
        let product = read(&whole, new_product).expect("a product");
        assert_eq!((product.name.as_str(), product.description.as_str()), ("Console", ""));
        assert_eq!((product.price, product.stock), (Money(9_999), 100));
        for (field, bad) in [
            ("name", vec![json!(null), json!(""), json!(5), json!("x".repeat(256))]),
            ("description", vec![json!(5), json!("x".repeat(2001)), json!([])]),
            ("price", vec![json!(null), json!(99.99), json!("-1"), json!("1.999"), json!(""), json!("99999999999")]),
            ("stock", vec![json!(null), json!(-1), json!(1.5), json!("100"), json!(1_000_000_000_001_u64)]),
        ] {
            for value in bad {
                let mut body = whole.clone();
                body[field] = value.clone();
                let errors = read(&body, new_product).expect_err(field);
                let named = serde_json::to_value(errors).expect("JSON");
                assert_eq!(
                    named.as_object().map(|it| it.keys().cloned().collect()),
                    Some(vec![field.to_owned()]),
                    "{value}"
                );
            }
        }
    }

    #[test]
    fn stock_changes_by_something() {
        assert_eq!(read(&json!({"qty": -5}), stock_change), Ok(-5));
        for bad in [json!({}), json!({"qty": 0}), json!({"qty": "5"}), json!({"qty": 1.5}), json!({"qty": i64::MIN})] {
            assert!(read(&bad, stock_change).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_suspension_has_a_reason() {
        assert_eq!(read(&json!({"reason": "price"}), reason), Ok("price".to_owned()));
        assert_eq!(read(&json!({"reason": null}), reason), Ok(DEFAULT_REASON.to_owned()));
        for bad in [json!(""), json!(5), json!("x".repeat(256))] {
            assert!(read(&json!({"reason": bad}), reason).is_err(), "{bad}");
        }
    }
}
