//! `holdfast product`: what operators do to products, straight on the database.
//!
//! What does not belong here: the rules. Changes go through an engine in this process, so that they
//! take the same locks and keep the same invariants as those of a server.

use std::ops::RangeInclusive;

use clap::{Args, Subcommand, value_parser};
use sale::{Money, ProductId, ProductStatus};
use serde::Serialize;

use super::audit::breaches_as_text;
use super::database::{Database, Schema, deadline, rejected};
use super::table::{Align, Table, grouped};
use super::{Failure, List, print, print_json, quiet_sources, wait};
use crate::config::{Given, ReaderFlags, WriterFlags};
use crate::engine::{Engine, NewProduct, ProductReading, ResumeError};
use crate::http::{DEFAULT_REASON, MAX_DESCRIPTION_CHARS, MAX_NAME_CHARS, MAX_REASON_CHARS, Product, format};

/// Products that are read at once.
const PAGE: u32 = 200;

/// What can be done about products.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Make a product and print its id, alone.
    Add {
        #[command(flatten)]
        product: New,
        #[command(flatten)]
        settings: WriterFlags,
    },
    /// List all products, suspended ones too.
    List {
        /// Print one JSON object instead of a table.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: ReaderFlags,
    },
    /// Add units to the stock of a product, or take free ones away.
    Restock {
        #[command(flatten)]
        which: Which,
        /// How many; negative: take away.
        #[arg(long, value_name = "UNITS", allow_negative_numbers = true)]
        qty: i64,
        #[command(flatten)]
        settings: ReaderFlags,
    },
    /// Take no new holds of a product; holds and orders that exist go on.
    Suspend {
        #[command(flatten)]
        which: Which,
        /// Why, for whoever looks at it later.
        #[arg(long, default_value = DEFAULT_REASON, value_parser = reason)]
        reason: String,
        #[command(flatten)]
        settings: ReaderFlags,
    },
    /// Take new holds again, if an audit of the product finds no breach.
    Resume {
        #[command(flatten)]
        which: Which,
        /// Resume even a product that breaks an invariant.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        settings: ReaderFlags,
    },
}

/// A product that is there.
#[derive(Args, Clone, Copy)]
pub(super) struct Which {
    /// The id of the product.
    #[arg(value_parser = value_parser!(u64).range(1..=sale::MAX_ID))]
    id: u64,
}

/// A product to be made.
#[derive(Args)]
pub(super) struct New {
    /// Its name: 1 to 255 characters.
    #[arg(long, value_parser = name)]
    name: String,
    /// The price of one unit, such as 99.99.
    #[arg(long, value_parser = price)]
    price: Money,
    /// Units in stock.
    #[arg(long, value_name = "UNITS", value_parser = value_parser!(u64).range(0..=sale::MAX_STOCK))]
    stock: u64,
    /// Up to 2,000 characters.
    #[arg(long, default_value = "", value_parser = description)]
    description: String,
}

fn name(text: &str) -> Result<String, String> {
    text_of(1..=MAX_NAME_CHARS, text)
}

fn description(text: &str) -> Result<String, String> {
    text_of(0..=MAX_DESCRIPTION_CHARS, text)
}

fn reason(text: &str) -> Result<String, String> {
    text_of(1..=MAX_REASON_CHARS, text)
}

fn text_of(characters: RangeInclusive<usize>, text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if characters.contains(&length) {
        return Ok(text.to_owned());
    }
    Err(format!("has {length} characters, not {} to {}", characters.start(), characters.end()))
}

fn price(text: &str) -> Result<Money, String> {
    format::parse_price(text).ok_or_else(|| "is not digits with up to two decimals, up to 9999999999.99".to_owned())
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Add { product: New { name, price, stock, description }, settings } => {
            let product = NewProduct { name, description, price, stock };
            on_engine(settings.0, Schema::Migrated, async |engine| {
                let made = engine.add_product(product, deadline()).await.map_err(|error| rejected(&error))?;
                print(&made.id.to_string())
            })
        }
        Command::List { json, settings } => {
            let sources = quiet_sources(settings.0)?;
            let work = async |database: &Database| {
                let products = all(database).await?;
                if json { print_json(&as_json(products)) } else { print(&as_text(&products)) }
            };
            wait(async { Database::open(&sources, Schema::Checked).await?.with_store(work).await })?
        }
        Command::Restock { qty: 0, .. } => {
            Err(Failure::Usage("--qty 0 changes nothing: say how many units".to_owned()))
        }
        Command::Restock { which, qty, settings } => on_engine(settings.0, Schema::Checked, async |engine| {
            let product = engine.restock(ProductId(which.id), qty, deadline()).await;
            print(&in_words(&product.map_err(|error| rejected(&error))?))
        }),
        Command::Suspend { which, reason, settings } => on_engine(settings.0, Schema::Checked, async |engine| {
            let product = engine.suspend(ProductId(which.id), reason, deadline()).await;
            print(&in_words(&product.map_err(|error| rejected(&error))?))
        }),
        Command::Resume { which, force, settings } => on_engine(settings.0, Schema::Checked, async |engine| {
            let product = engine.resume(ProductId(which.id), force, deadline()).await;
            print(&in_words(&product.map_err(not_resumed)?))
        }),
    }
}

fn on_engine(
    given: Given,
    schema: Schema,
    work: impl AsyncFnOnce(&Engine) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let sources = quiet_sources(given)?;
    wait(async { Database::open(&sources, schema).await?.with_engine(work).await })?
}

async fn all(database: &Database) -> Result<Vec<ProductReading>, Failure> {
    let mut products: Vec<ProductReading> = Vec::new();
    loop {
        let after = products.last().map_or(ProductId(0), |product| product.id);
        let page = database.store.list_products(after, PAGE, true).await;
        let page = page.map_err(|error| database.failed("its products could not be read", &error))?;
        let last = page.len() < PAGE as usize;
        products.extend(page);
        if last {
            return Ok(products);
        }
    }
}

fn not_resumed(error: ResumeError) -> Failure {
    match error {
        ResumeError::Inconsistent(breaches) => Failure::Failed(format!(
            "the product stays suspended, since it breaks invariants:\n{}\
             Find out why first; --force resumes it all the same.",
            breaches_as_text(&breaches)
        )),
        ResumeError::Rejected(rejection) => rejected(&rejection),
    }
}

fn status(product: &ProductReading) -> String {
    match &product.stock.status {
        ProductStatus::OnSale => "on sale".to_owned(),
        ProductStatus::Suspended { reason } => format!("suspended: {reason}"),
    }
}

fn in_words(product: &ProductReading) -> String {
    let stock = &product.stock;
    super::table::printable(&format!(
        "product {}: {} available, {} in stock, {} reserved, {}",
        product.id,
        grouped(stock.free()),
        grouped(stock.stock_available),
        grouped(stock.reserved()),
        status(product),
    ))
}

fn as_text(products: &[ProductReading]) -> String {
    if products.is_empty() {
        return "there are no products; `holdfast product add` makes one".to_owned();
    }
    let mut table = Table::new([
        ("id", Align::Right),
        ("name", Align::Left),
        ("price", Align::Right),
        ("available", Align::Right),
        ("in stock", Align::Right),
        ("reserved", Align::Right),
        ("status", Align::Left),
    ]);
    for product in products {
        table.row([
            product.id.to_string(),
            product.description.name.clone(),
            format::price(product.description.price),
            grouped(product.stock.free()),
            grouped(product.stock.stock_available),
            grouped(product.stock.reserved()),
            status(product),
        ]);
    }
    table.render("")
}

/// As the API shows it, and why it is suspended.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    product: Product,
    suspended_reason: Option<String>,
}

fn as_json(products: Vec<ProductReading>) -> impl Serialize {
    List::of(products.into_iter().map(|product| {
        let suspended_reason = match &product.stock.status {
            ProductStatus::OnSale => None,
            ProductStatus::Suspended { reason } => Some(reason.clone()),
        };
        Listed { product: product.into(), suspended_reason }
    }))
}

#[cfg(test)]
mod tests {
    use sale::Timestamp;

    use super::*;
    use crate::engine::{Description, Stock};

    fn product() -> ProductReading {
        ProductReading {
            id: ProductId(7),
            description: Description {
                name: "Lamp".to_owned(),
                description: String::new(),
                price: Money(9_999),
                created_at: Timestamp(0),
            },
            stock: Stock {
                status: ProductStatus::Suspended { reason: "recall\u{7}".to_owned() },
                stock_available: 1_000,
                stock_reserved: 15,
                due_units: 5,
                updated_at: Timestamp(1),
            },
        }
    }

    #[test]
    fn a_product_is_shown_as_the_clock_shows_it() {
        let words = "product 7: 990 available, 1,000 in stock, 10 reserved, suspended: recall\u{fffd}";
        assert_eq!(in_words(&product()), words);
        let table = "\
id  name  price  available  in stock  reserved  status
 7  Lamp  99.99        990     1,000        10  suspended: recall\u{fffd}
";
        assert_eq!(as_text(&[product()]), table);
        let json = serde_json::to_value(as_json(vec![product()])).expect("JSON");
        assert_eq!(json["data"][0]["available_stock"], 990);
        assert_eq!(json["data"][0]["stock_reserved"], 10);
        assert_eq!(json["data"][0]["suspended_reason"], "recall\u{7}");
    }

    #[test]
    fn what_describes_a_product_has_its_limits() {
        assert!(name("").is_err() && name(&"n".repeat(256)).is_err() && name(&"ü".repeat(255)).is_ok());
        assert!(description(&"d".repeat(2_001)).is_err() && description("").is_ok());
        assert_eq!(price("99.99"), Ok(Money(9_999)));
        assert!(price("99,99").is_err());
    }
}
