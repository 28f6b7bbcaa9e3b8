//! The products that a run sells: made and named, or found and vouched for.

use std::time::Instant;

use futures_util::StreamExt;

use super::{Aim, Products, RunError, SETUP_PATIENCE, Settings};
use crate::history::{Moment, ProductUnderTest, ScenarioName, ScenarioPlan};
use crate::scenario::{self, Sizes};
use crate::target::{Operator, TargetError, retry};

/// How many are made at a time.
const PARALLEL: usize = 16;

/// Makes the products of every scenario that runs, or looks at the one that was given. `made` has the ids of
/// those that were made, even if that failed half-way.
///
/// # Errors
/// If one cannot be made, or the one that was given is not as it was vouched for.
pub(super) async fn stock(
    settings: &Settings,
    operator: &Operator,
    run: &str,
    scenarios: &[ScenarioPlan],
    began: Instant,
    made: &mut Vec<u64>,
) -> Result<Vec<ProductUnderTest>, RunError> {
    let names = scenarios.iter().filter(|plan| plan.left_out.is_none()).map(|plan| plan.name);
    if let Aim::Host { products: Products::Given { product, sole_stock }, .. } = &settings.aim {
        return given(operator, *product, *sole_stock, names, began).await;
    }
    let sizes = Sizes { stock: settings.stock, users: settings.users, quick: settings.quick };
    let wanted: Vec<(ScenarioName, usize, u64)> = names
        .flat_map(|name| {
            let stocks = scenario::products(name, &sizes);
            stocks.into_iter().enumerate().map(move |(number, stock)| (name, number + 1, stock))
        })
        .collect();
    let prefix = prefix(run);
    let deadline = tokio::time::Instant::now() + SETUP_PATIENCE;
    let making = wanted.into_iter().map(|(scenario, number, stock)| {
        let name = format!("{prefix}{scenario} {number}");
        async move {
            // If an answer is lost this makes another, and nobody sells the first: the clean-up finds it by its name.
            let product = retry(deadline, || operator.add_product(&name, stock)).await?;
            Ok::<_, TargetError>(ProductUnderTest { product, scenario, stock, made: Moment::since(began) })
        }
    });
    let mut making = futures_util::stream::iter(making).buffered(PARALLEL);
    let mut products = Vec::new();
    let mut trouble = None;
    while let Some(product) = making.next().await {
        match product {
            Ok(product) => {
                made.push(product.product);
                products.push(product);
            }
            Err(error) => drop(trouble.get_or_insert(error)),
        }
    }
    match trouble {
        None => Ok(products),
        Some(error) => Err(RunError::Unfit(error)),
    }
}

/// How the names of all products begin that a run makes.
pub(super) fn prefix(run: &str) -> String {
    format!("loadtest {run} ")
}

/// The product that was given, for the first of the scenarios.
async fn given(
    operator: &Operator,
    product: u64,
    sole_stock: Option<u64>,
    mut names: impl Iterator<Item = ScenarioName>,
    began: Instant,
) -> Result<Vec<ProductUnderTest>, RunError> {
    let found = operator.product(product).await.map_err(RunError::Unfit)?;
    if let Some(stock) = sole_stock
        && (found.stock_available != stock.cast_signed() || found.stock_reserved != 0)
    {
        return Err(RunError::Usage(format!(
            "product {product} has {} units, {} of them held, and --stocked says that it has {stock} that are all free",
            found.stock_available, found.stock_reserved
        )));
    }
    let stock = u64::try_from(found.available_stock).unwrap_or_default();
    let products =
        names.next().map(|scenario| ProductUnderTest { product, scenario, stock, made: Moment::since(began) });
    Ok(products.into_iter().collect())
}
