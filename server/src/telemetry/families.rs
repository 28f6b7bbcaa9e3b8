//! Metrics with one label whose values are an enum: each series exists from the start, and counting
//! is one atomic addition, with no look-up by text.
//!
//! What belongs here: the bridge to the `prometheus` crate. What does not: which metrics there are.

use std::marker::PhantomData;
use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

use super::labels::Label;

/// One handle a label value.
#[derive(Debug)]
pub struct Family<L, M> {
    members: Arc<[M]>,
    label: PhantomData<fn(L)>,
}

// By hand: a derived one would ask for `L: Clone, M: Clone`, which sharing does not need.
impl<L, M> Clone for Family<L, M> {
    fn clone(&self) -> Self {
        Self { members: Arc::clone(&self.members), label: PhantomData }
    }
}

impl<L: Label, M> Family<L, M> {
    fn new(member: impl Fn(&str) -> M) -> Self {
        Self { members: L::all().map(|label| member(label.name())).collect(), label: PhantomData }
    }

    /// The metric of one label value.
    pub fn of(&self, label: L) -> &M {
        // `labels!` numbers the values as `all` lists them, and `new` made one member for each.
        &self.members[label.index()]
    }
}

/// Where metrics are registered while they are made.
pub(super) struct Registrar<'a>(pub(super) &'a prometheus::Registry);

impl Registrar<'_> {
    /// Registers a metric that is made here and now.
    ///
    /// Names, help and labels are constants, so it fails on the first start of a wrong build or never.
    pub(super) fn add<M: Collector + Clone + 'static>(&self, made: prometheus::Result<M>) -> M {
        let metric = made.expect("the name and labels of a metric are constants that are well formed");
        self.register(metric.clone());
        metric
    }

    /// Registers what was made before.
    pub(super) fn register(&self, collector: impl Collector + 'static) {
        self.0.register(Box::new(collector)).expect("no two metrics have the same name");
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help))
    }

    pub(super) fn float_gauge(&self, name: &str, help: &str) -> Gauge {
        self.add(Gauge::new(name, help))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    pub(super) fn counters<L: Label>(&self, name: &str, help: &str, label: &str) -> Family<L, IntCounter> {
        let vector = self.add(IntCounterVec::new(Opts::new(name, help), &[label]));
        Family::new(|value| vector.with_label_values(&[value]))
    }

    pub(super) fn gauges<L: Label>(&self, name: &str, help: &str, label: &str) -> Family<L, IntGauge> {
        let vector = self.add(IntGaugeVec::new(Opts::new(name, help), &[label]));
        Family::new(|value| vector.with_label_values(&[value]))
    }

    pub(super) fn float_gauges<L: Label>(&self, name: &str, help: &str, label: &str) -> Family<L, Gauge> {
        let vector = self.add(GaugeVec::new(Opts::new(name, help), &[label]));
        Family::new(|value| vector.with_label_values(&[value]))
    }

    pub(super) fn histograms<L: Label>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        buckets: &[f64],
    ) -> Family<L, Histogram> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let vector = self.add(HistogramVec::new(options, &[label]));
        Family::new(|value| vector.with_label_values(&[value]))
    }
}
