//! INSERTs of many rows.
//!
//! What a database does for a statement of hundreds of rows is largely the reading of its words. So a column that is
//! NULL in every row is left out, and rows in which each column stays the same, or grows by the same number, as those of
//! holds that were placed together do, are not spelled out: they are computed from the table `numbers`.
//!
//! What does not belong here: which columns a table has (`batch`).

use std::fmt::Write as _;

use super::super::dialect::{Bytes, list};
use super::super::session::Write;

/// The table `numbers` has the integers from 0 to this one, without it.
pub(in crate::store) const NUMBERS: usize = 1024;

/// Fewer rows are spelled out: a statement more costs as much.
const RUN_MIN: usize = 16;

/// A column of a table, and what a new row has in it.
pub(super) struct Column<Row> {
    pub(super) name: &'static str,
    pub(super) value: for<'r> fn(&'r Row) -> Value<'r>,
}

/// What a row has in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'r> {
    Null,
    Integer(i64),
    /// One of a few words, none of which needs escapes.
    Word(&'static str),
    Bytes(&'r [u8]),
}

impl Value<'_> {
    /// By how much `next` is more: 0 if it is the same, `None` if neither can be said.
    fn step_to(self, next: Self) -> Option<i64> {
        match (self, next) {
            (Self::Integer(before), Self::Integer(after)) => after.checked_sub(before),
            _ => (self == next).then_some(0),
        }
    }

    /// Without the machinery of `format!`: a batch of many products writes thousands of them.
    fn write(self, sql: &mut String) {
        match self {
            Self::Null => sql.push_str("NULL"),
            Self::Integer(value) => sql.push_str(itoa::Buffer::new().format(value)),
            Self::Word(word) => {
                sql.push('\'');
                sql.push_str(word);
                sql.push('\'');
            }
            Self::Bytes(bytes) => {
                // Writing to a String does not fail.
                let _ = Bytes(bytes).write(sql);
            }
        }
    }
}

impl From<u64> for Value<'_> {
    /// Ids and counts are far below 2^63.
    fn from(value: u64) -> Self {
        Self::Integer(value.cast_signed())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value<'_> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// How many of its numbers the table has.
pub(in crate::store) fn count_numbers() -> String {
    format!("SELECT COUNT(*) FROM numbers WHERE n BETWEEN 0 AND {}", NUMBERS - 1)
}

/// The statements that add `rows` to `table`.
pub(super) fn insert<Row>(writes: &mut Vec<Write>, table: &str, columns: &[Column<Row>], rows: &[Row]) {
    if rows.is_empty() {
        return;
    }
    let grid = Grid::new(columns, rows);
    let mut spelled_out = Vec::new();
    let mut at = 0;
    while at < rows.len() {
        let run = grid.run_at(at);
        if run.len >= RUN_MIN {
            // A number that is missing would be a row that is missing.
            writes.push(Write { sql: grid.computed(table, at, &run), must_match: Some(run.len as u64) });
        } else {
            spelled_out.extend(at..at + run.len);
        }
        at += run.len;
    }
    if !spelled_out.is_empty() {
        writes.push(Write { sql: grid.spelled_out(table, &spelled_out), must_match: None });
    }
}

/// One statement that adds `rows` to `table`, each spelled out.
pub(super) fn insert_rows<Row>(table: &str, columns: &[Column<Row>], rows: &[Row]) -> String {
    Grid::new(columns, rows).spelled_out(table, &(0..rows.len()).collect::<Vec<_>>())
}

/// The values of rows, in the columns that are not NULL in all of them.
struct Grid<'r> {
    names: Vec<&'static str>,
    /// Row by row.
    values: Vec<Value<'r>>,
}

/// Rows that follow each other by the same step.
struct Run {
    len: usize,
    /// By how much each column grows from row to row.
    steps: Vec<i64>,
}

impl<'r> Grid<'r> {
    fn new<Row>(columns: &[Column<Row>], rows: &'r [Row]) -> Self {
        let is_used = |column: &&Column<Row>| rows.iter().any(|row| (column.value)(row) != Value::Null);
        let columns: Vec<&Column<Row>> = columns.iter().filter(is_used).collect();
        let mut values = Vec::with_capacity(rows.len() * columns.len());
        values.extend(rows.iter().flat_map(|row| columns.iter().map(|column| (column.value)(row))));
        Self { names: columns.iter().map(|column| column.name).collect(), values }
    }

    fn row(&self, index: usize) -> Option<&[Value<'r>]> {
        let width = self.names.len();
        self.values.get(index * width..(index + 1) * width)
    }

    /// The longest run that begins with this row.
    fn run_at(&self, first: usize) -> Run {
        let pair = |second: usize| Some(self.row(second - 1)?.iter().zip(self.row(second)?));
        let steps = pair(first + 1).and_then(|pair| pair.map(|(before, after)| before.step_to(*after)).collect());
        let Some(steps): Option<Vec<i64>> = steps else { return Run { len: 1, steps: Vec::new() } };
        let goes_on = |second| {
            let mut steps = steps.iter();
            pair(second)
                .is_some_and(|mut pair| pair.all(|(before, after)| before.step_to(*after).as_ref() == steps.next()))
        };
        let mut len = 2;
        while len < NUMBERS && goes_on(first + len) {
            len += 1;
        }
        Run { len, steps }
    }

    fn computed(&self, table: &str, first: usize, run: &Run) -> String {
        let mut sql = format!("INSERT INTO {table} ({}) SELECT ", list(&self.names));
        let row = self.row(first).unwrap_or_default();
        for (i, (value, step)) in row.iter().zip(&run.steps).enumerate() {
            if i > 0 {
                sql.push(',');
            }
            value.write(&mut sql);
            let _ = match step {
                0 => Ok(()),
                1 => write!(sql, "+n"),
                _ => write!(sql, "+({step})*n"),
            };
        }
        let _ = write!(sql, " FROM numbers WHERE n<{}", run.len);
        sql
    }

    fn spelled_out(&self, table: &str, rows: &[usize]) -> String {
        let mut sql = String::with_capacity(128 + rows.len() * self.names.len() * 10);
        let _ = write!(sql, "INSERT INTO {table} ({}) VALUES ", list(&self.names));
        for (i, row) in rows.iter().filter_map(|row| self.row(*row)).enumerate() {
            sql.push_str(if i == 0 { "(" } else { ",(" });
            for (j, value) in row.iter().enumerate() {
                if j > 0 {
                    sql.push(',');
                }
                value.write(&mut sql);
            }
            sql.push(')');
        }
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (i64, i64, Option<&'static str>);

    const COLUMNS: [Column<Row>; 3] = [
        Column { name: "a", value: |row| Value::Integer(row.0) },
        Column { name: "b", value: |row| Value::Integer(row.1) },
        Column { name: "c", value: |row| row.2.map_or(Value::Null, Value::Word) },
    ];

    fn sql(rows: &[Row]) -> Vec<(String, Option<u64>)> {
        let mut writes = Vec::new();
        insert(&mut writes, "t", &COLUMNS, rows);
        writes.into_iter().map(|write| (write.sql, write.must_match)).collect()
    }

    /// So many rows of which each column grows by a step.
    fn run(len: i64, first: (i64, i64), steps: (i64, i64)) -> impl Iterator<Item = Row> {
        (0..len).map(move |n| (first.0 + n * steps.0, first.1 + n * steps.1, None))
    }

    #[test]
    fn rows_that_follow_each_other_are_computed_and_the_others_spelled_out() {
        let mut rows: Vec<Row> = vec![(1, 1, None), (5, 7, None)];
        rows.extend(run(16, (10, 8), (1, 0)));
        rows.extend(run(20, (40, 100), (-2, 3)));
        rows.push((0, 0, None));
        assert_eq!(
            sql(&rows),
            [
                ("INSERT INTO t (a, b) SELECT 10+n,8 FROM numbers WHERE n<16".to_owned(), Some(16)),
                ("INSERT INTO t (a, b) SELECT 40+(-2)*n,100+(3)*n FROM numbers WHERE n<20".to_owned(), Some(20)),
                ("INSERT INTO t (a, b) VALUES (1,1),(5,7),(0,0)".to_owned(), None),
            ]
        );
    }

    #[test]
    fn few_rows_and_rows_that_differ_in_a_word_are_spelled_out() {
        assert_eq!(sql(&run(15, (1, 1), (1, 1)).collect::<Vec<_>>()).len(), 1);
        assert_eq!(sql(&run(15, (1, 1), (1, 1)).collect::<Vec<_>>())[0].1, None);
        let mut rows: Vec<Row> = run(20, (1, 1), (1, 1)).collect();
        rows[10].2 = Some("x");
        let spelled_out = sql(&rows);
        assert_eq!(spelled_out.len(), 1);
        assert!(spelled_out[0].0.contains("(10,10,NULL),(11,11,'x'),(12,12,NULL)"), "{spelled_out:?}");
        assert_eq!(sql(&[]), []);
    }

    #[test]
    fn a_run_has_no_more_rows_than_there_are_numbers() {
        let sizes: Vec<Option<u64>> =
            sql(&run(2_060, (1, 1), (1, 0)).collect::<Vec<_>>()).iter().map(|it| it.1).collect();
        assert_eq!(sizes, [Some(1024), Some(1024), None]);
    }

    /// Whatever the rows are, the runs are all of them, and each row is its run's first and so many steps.
    #[test]
    fn runs_make_up_the_rows() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let mut rows: Vec<Row> = Vec::new();
            for _ in 0..random.usize(1..20) {
                let steps = (random.i64(-1..=1), random.i64(0..=1));
                rows.extend(run(random.i64(1..40), (random.i64(0..9), random.i64(0..9)), steps));
            }
            let grid = Grid::new(&COLUMNS, &rows);
            let mut at = 0;
            while at < rows.len() {
                let found = grid.run_at(at);
                let step = |column: usize| found.steps.get(column).copied().unwrap_or(0);
                for (row, n) in rows[at..at + found.len].iter().zip(0..) {
                    assert_eq!((rows[at].0 + n * step(0), rows[at].1 + n * step(1), None), *row);
                }
                at += found.len;
            }
            assert_eq!(at, rows.len());
        }
    }
}
