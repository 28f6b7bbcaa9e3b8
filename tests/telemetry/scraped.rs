//! What `/metrics` says, read.

use std::collections::BTreeMap;

use holdfast_test_support::{Client, OrFail};

/// The series of one look at `/metrics`, by name and labels as they are written.
pub(crate) struct Scraped(BTreeMap<String, f64>);

impl Scraped {
    pub(crate) async fn of(client: &Client) -> Self {
        let answer = client.get("/metrics").await.or_fail();
        assert_eq!(answer.status, 200);
        let text = answer.text();
        let series = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value in {line}"));
            (name.to_owned(), value.parse().or_fail())
        });
        Self(series.collect())
    }

    /// A series by its exact name and labels.
    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        self.0.get(series).copied()
    }

    /// All series of a name, added up.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let of_name = |series: &str| series.split('{').next() == Some(name);
        self.0.iter().filter(|(series, _)| of_name(series)).map(|(_, value)| value).sum()
    }
}
