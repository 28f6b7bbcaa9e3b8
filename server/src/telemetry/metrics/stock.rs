//! The stock of products that were sold lately, a bounded number of them.
//!
//! What belongs here: which products are shown. A product that nobody has sold for a while makes room for one
//! that is. Kept once a transaction, under a lock that is held for a look into a small table; a request that is
//! served never takes it. What others did to these products the reconciler reads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts};
use sale::ProductId;

use crate::telemetry::families::Registrar;

/// The most products that are shown.
pub const PRODUCTS_MAX: usize = 50;

/// The stock of products that were sold lately. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StockMetrics {
    shown: Arc<Mutex<Shown>>,
    available: IntGaugeVec,
    reserved: IntGaugeVec,
    on_sale: IntGaugeVec,
}

/// What is shown of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockFigures {
    /// Units not yet sold to an order.
    pub available: u64,
    /// Units of them that holds keep.
    pub reserved: u64,
    /// Whether it takes new holds.
    pub on_sale: bool,
}

/// A product that is shown, as of a moment.
#[derive(Clone, Copy, Debug)]
pub struct ShownProduct(ProductId, u64);

impl ShownProduct {
    /// Which it is.
    pub const fn id(self) -> ProductId {
        self.0
    }
}

#[derive(Debug, Default)]
struct Shown {
    /// Counts changes, so that the product that was sold longest ago is known, and what was read before one.
    clock: u64,
    products: Vec<(ProductId, u64, StockFigures)>,
}

impl StockMetrics {
    pub(super) fn new(registrar: &Registrar<'_>) -> Self {
        let gauges = |name: &str, help: &str| {
            let help = format!("{help} Of the {PRODUCTS_MAX} products that this server sold last.");
            IntGaugeVec::new(Opts::new(name, help), &["product_id"])
                .expect("the name and the label of a metric are constants that are well formed")
        };
        let metrics = Self {
            shown: Arc::default(),
            available: gauges(
                "holdfast_product_stock_available_units",
                "Units that are not sold to an order yet, as of this server's last commit, or the reconciler's last round.",
            ),
            reserved: gauges(
                "holdfast_product_stock_reserved_units",
                "Units that active holds keep, as of this server's last commit, or the reconciler's last round.",
            ),
            on_sale: gauges(
                "holdfast_product_on_sale",
                "1 if the product takes new holds, else 0, as of the last commit or round of the reconciler.",
            ),
        };
        registrar.register(metrics.clone());
        metrics
    }

    /// Notes what a commit left of a product.
    pub fn committed(&self, product_id: ProductId, figures: StockFigures) {
        let mut shown = self.lock();
        shown.clock += 1;
        let clock = shown.clock;
        if let Some(known) = shown.products.iter_mut().find(|(id, ..)| *id == product_id) {
            *known = (product_id, clock, figures);
            return;
        }
        if shown.products.len() < PRODUCTS_MAX {
            shown.products.push((product_id, clock, figures));
        } else if let Some(oldest) = shown.products.iter_mut().min_by_key(|(_, sold_at, _)| *sold_at) {
            *oldest = (product_id, clock, figures);
        }
    }

    /// A product takes no new holds any more.
    pub fn suspended(&self, product_id: ProductId) {
        let mut shown = self.lock();
        shown.clock += 1;
        let clock = shown.clock;
        if let Some((_, changed_at, figures)) = shown.products.iter_mut().find(|(id, ..)| *id == product_id) {
            (*changed_at, figures.on_sale) = (clock, false);
        }
    }

    /// The products that are shown, to be read anew: others change them, too.
    pub fn shown(&self) -> Vec<ShownProduct> {
        self.lock().products.iter().map(|(product_id, as_of, _)| ShownProduct(*product_id, *as_of)).collect()
    }

    /// Notes what a product was read to have; a commit since it was to be read knows better.
    pub fn read(&self, shown: ShownProduct, figures: StockFigures) {
        let mut products = self.lock();
        if let Some(known) = products.products.iter_mut().find(|(id, as_of, _)| (*id, *as_of) == (shown.0, shown.1)) {
            known.2 = figures;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        // Figures are usable whatever happened to who held the lock.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for StockMetrics {
    fn desc(&self) -> Vec<&Desc> {
        [&self.available, &self.reserved, &self.on_sale].into_iter().flat_map(|gauges| gauges.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let shown = self.lock();
        let units = |units: u64| i64::try_from(units).unwrap_or(i64::MAX);
        for gauges in [&self.available, &self.reserved, &self.on_sale] {
            gauges.reset();
        }
        for (product_id, _, figures) in &shown.products {
            let label = product_id.0.to_string();
            self.available.with_label_values(&[&label]).set(units(figures.available));
            self.reserved.with_label_values(&[&label]).set(units(figures.reserved));
            self.on_sale.with_label_values(&[&label]).set(i64::from(figures.on_sale));
        }
        // The lock is held until all is read: two who ask at once must not empty each other's gauges.
        [&self.available, &self.reserved, &self.on_sale].into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn the_product_that_was_sold_longest_ago_makes_room() {
        let metrics = Metrics::new();
        let stock = &metrics.engine.stock;
        let figures = StockFigures { available: 10, reserved: 4, on_sale: true };
        for id in 1..=PRODUCTS_MAX as u64 {
            stock.committed(ProductId(id), figures);
        }
        stock.committed(ProductId(1), StockFigures { on_sale: false, ..figures });
        stock.committed(ProductId(1000), figures);
        let text = metrics.render();
        for line in [
            "holdfast_product_stock_available_units{product_id=\"1000\"} 10\n",
            "holdfast_product_stock_reserved_units{product_id=\"1000\"} 4\n",
            "holdfast_product_on_sale{product_id=\"1\"} 0\n",
            "holdfast_product_on_sale{product_id=\"3\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("product_id=\"2\""), "{text}");
        let shown = text.lines().filter(|line| line.starts_with("holdfast_product_on_sale{")).count();
        assert_eq!(shown, PRODUCTS_MAX);
    }
}
