//! The rows of the bench: what is measured, at how many connections, and what else that needs.
//!
//! What does not belong here: how it is measured, and how fast it should be.

use clap::ValueEnum;
use serde::Serialize;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// A bare hyper server that parses the same hold and answers a constant.
    Ceiling,
    /// Holds on one product, each in a transaction of its own.
    BatchMax1,
    /// 16 connections that lock, insert, update and commit in plain SQL (SQLite: its one writer).
    PlainSql,
    /// Holds on one product.
    Hot,
    /// Holds on 1,000 products evenly.
    Even,
    /// Holds on 1,000 products by Zipf's law with exponent 1.
    Zipf,
    /// Hold, order, and its webhook twice.
    Funnel,
    /// Reads of one product.
    Product,
    /// Holds of a product that is sold out.
    SoldOut,
    /// Nine reads of a product, then a hold of it.
    Mixed,
    /// Holds at 80 % of the best rate, sent by the clock.
    Paced,
    /// Memory of the server: idle, with 10,000 idle connections, at its peak.
    Memory,
    /// Holds on one product of an empty table, beside the next row.
    EmptyTable,
    /// Holds on one product that has 10 million of them already.
    TenMillion,
}

/// The connections at which loads are measured.
pub const CONNECTIONS: [u32; 5] = [1, 16, 64, 256, 1024];

impl Row {
    /// All of them, in the order of the table.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// Its name, as it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::BatchMax1 => "batch-max1",
            Self::PlainSql => "plain-sql",
            Self::Hot => "hot",
            Self::Even => "even",
            Self::Zipf => "zipf",
            Self::Funnel => "funnel",
            Self::Product => "product",
            Self::SoldOut => "sold-out",
            Self::Mixed => "mixed",
            Self::Paced => "paced",
            Self::Memory => "memory",
            Self::EmptyTable => "empty-table",
            Self::TenMillion => "ten-million",
        }
    }

    /// What the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling: hyper, parse, constant",
            Self::BatchMax1 => "base: BATCH_MAX=1, one product",
            Self::PlainSql => "base: plain SQL",
            Self::Hot => "holds, one hot product",
            Self::Even => "holds, 1,000 products evenly",
            Self::Zipf => "holds, 1,000 products by Zipf",
            Self::Funnel => "funnel: hold, order, webhook twice",
            Self::Product => "GET product",
            Self::SoldOut => "holds when sold out",
            Self::Mixed => "90 % reads, 10 % holds",
            Self::Paced => "holds at 80 % of the best rate",
            Self::Memory => "memory",
            Self::EmptyTable => "holds, empty table, beside the next",
            Self::TenMillion => "holds after 10 million holds",
        }
    }

    /// Whether it is a load of wrk's, measured at each number of connections in each round.
    pub fn is_load(self) -> bool {
        !matches!(self, Self::PlainSql | Self::Paced | Self::Memory | Self::EmptyTable | Self::TenMillion)
    }

    /// The rows without which its figures mean nothing.
    pub fn compared_with(self) -> &'static [Self] {
        match self {
            Self::Ceiling | Self::BatchMax1 | Self::PlainSql | Self::Memory | Self::EmptyTable => &[],
            Self::Hot => &[Self::Ceiling, Self::BatchMax1],
            Self::Even | Self::Zipf => &[Self::Ceiling, Self::Hot],
            Self::Paced => &[Self::Hot],
            Self::Funnel | Self::Product | Self::SoldOut | Self::Mixed => &[Self::Ceiling],
            Self::TenMillion => &[Self::EmptyTable],
        }
    }

    /// Those that are asked for, with all that they are compared with, in the order of the table.
    pub fn with_comparisons(wanted: &[Self]) -> Vec<Self> {
        let is_wanted = |row: &Self| wanted.iter().any(|one| one == row || one.compared_with().contains(row));
        Self::all().iter().copied().filter(is_wanted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_called_what_the_command_line_calls_them() {
        for row in Row::all() {
            let possible = row.to_possible_value().expect("a value");
            assert_eq!(possible.get_name(), row.name());
            assert_eq!(serde_json::to_value(row).expect("JSON"), row.name());
        }
    }

    #[test]
    fn a_row_brings_what_it_is_compared_with() {
        assert_eq!(Row::with_comparisons(&[Row::Hot]), [Row::Ceiling, Row::BatchMax1, Row::Hot]);
        assert_eq!(Row::with_comparisons(&[Row::TenMillion]), [Row::EmptyTable, Row::TenMillion]);
        assert_eq!(Row::with_comparisons(&[Row::Zipf, Row::Ceiling]), [Row::Ceiling, Row::Hot, Row::Zipf]);
        assert_eq!(Row::with_comparisons(Row::all()), Row::all());
    }
}
