//! INSERTs of many rows.
//!
//! What a database does for a statement of hundreds of rows is largely the reading of its words. So a column that is
//! NULL in every row is left out, and rows are not spelled out but computed from the table `numbers`, whose n is the place of a
//! row among them. A column is then one expression: what is the same in all rows stands there as it is, what grows by
//! the same number is a sum, and anything else is cut out of one literal, in which each row has as many characters.
//!
//! What does not belong here: which columns a table has (`batch`).

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::super::dialect::{Bytes, Dialect, list};
use super::super::session::Write;

/// The table `numbers` has the integers from 0 to this one, without it.
pub(in crate::store) const NUMBERS: usize = 1024;

/// Fewer rows are spelled out: a statement of their own, and the guard that counts them, cost as much as reading them.
const COMPUTED_MIN: usize = 8;

/// The most groups of rows that have a statement of their own. Keys of callers may be of any length, and to a cluster
/// statements go one by one.
const GROUPS_MAX: usize = 4;

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
    /// Whether one expression can give both.
    fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::Integer(_), Self::Integer(_)) => true,
            (Self::Bytes(one), Self::Bytes(other)) => one.len() == other.len(),
            _ => self == other,
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
pub(super) fn insert<Row>(
    writes: &mut Vec<Write>,
    dialect: Dialect,
    table: &str,
    columns: &[Column<Row>],
    rows: &[Row],
) {
    if rows.is_empty() {
        return;
    }
    let grid = Grid::new(columns, rows);
    let mut spelled_out = Vec::new();
    for (place, group) in grid.groups().into_iter().enumerate() {
        for rows in group.chunks(NUMBERS) {
            if rows.len() < COMPUTED_MIN || place >= GROUPS_MAX {
                spelled_out.extend(rows);
                continue;
            }
            // A number that is missing would be a row that is missing.
            writes.push(Write { sql: grid.computed(dialect, table, rows), must_match: Some(rows.len() as u64) });
        }
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

impl<'r> Grid<'r> {
    fn new<Row>(columns: &[Column<Row>], rows: &'r [Row]) -> Self {
        let is_used = |column: &&Column<Row>| rows.iter().any(|row| (column.value)(row) != Value::Null);
        let columns: Vec<&Column<Row>> = columns.iter().filter(is_used).collect();
        let mut values = Vec::with_capacity(rows.len() * columns.len());
        values.extend(rows.iter().flat_map(|row| columns.iter().map(|column| (column.value)(row))));
        Self { names: columns.iter().map(|column| column.name).collect(), values }
    }

    fn rows(&self) -> impl ExactSizeIterator<Item = &[Value<'r>]> {
        self.values.chunks(self.names.len().max(1))
    }

    fn row(&self, index: usize) -> Option<&[Value<'r>]> {
        self.rows().nth(index)
    }

    /// The rows of which each column can be one expression, by their places; most rows first.
    fn groups(&self) -> Vec<Vec<usize>> {
        let mut groups: Vec<(&[Value<'r>], Vec<usize>)> = Vec::new();
        for (index, row) in self.rows().enumerate() {
            let is_like = |first: &[Value<'r>]| first.iter().zip(row).all(|(one, other)| one.is_like(*other));
            // Neighbours are mostly alike.
            match groups.iter().rposition(|(first, _)| is_like(first)) {
                Some(at) => groups[at].1.push(index),
                None => groups.push((row, vec![index])),
            }
        }
        let mut groups: Vec<Vec<usize>> = groups.into_iter().map(|(_, rows)| rows).collect();
        groups.sort_by_key(|rows| Reverse(rows.len()));
        groups
    }

    fn computed(&self, dialect: Dialect, table: &str, rows: &[usize]) -> String {
        let first = rows.first().and_then(|row| self.row(*row)).unwrap_or_default();
        let used = || self.names.iter().zip(first).enumerate().filter(|(_, (_, value))| **value != Value::Null);
        let mut sql = String::with_capacity(256 + rows.len() * 32);
        let _ = write!(sql, "INSERT INTO {table} ({}) SELECT ", list(used().map(|(_, (name, _))| name)));
        let mut column = Vec::with_capacity(rows.len());
        for (place, (at, _)) in used().enumerate() {
            if place > 0 {
                sql.push(',');
            }
            column.clear();
            column.extend(rows.iter().filter_map(|row| self.row(*row)?.get(at).copied()));
            write_column(&mut sql, dialect, &column);
        }
        let _ = write!(sql, " FROM numbers WHERE n<{}", rows.len());
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

/// The expression of `n` that gives these values, which are alike, one after the other.
fn write_column(sql: &mut String, dialect: Dialect, values: &[Value<'_>]) {
    let Some((first, rest)) = values.split_first() else { return };
    if rest.iter().all(|value| value == first) {
        return first.write(sql);
    }
    let integers = values.iter().filter_map(|value| match value {
        Value::Integer(integer) => Some(*integer),
        Value::Null | Value::Word(_) | Value::Bytes(_) => None,
    });
    let Some(step) = common_step(integers.clone()) else {
        return write_slices(sql, dialect, values);
    };
    first.write(sql);
    // Writing to a String does not fail.
    let _ = if step == 1 { sql.write_str("+n") } else { write!(sql, "+({step})*n") };
}

/// By how much each is more than the one before it; `None` if that differs, or there are no two.
fn common_step(integers: impl Iterator<Item = i64> + Clone) -> Option<i64> {
    let mut steps = integers.clone().zip(integers.skip(1)).map(|(before, after)| after.checked_sub(before));
    let step = steps.next()??;
    steps.all(|other| other == Some(step)).then_some(step)
}

/// Integers or bytes, cut out of one literal. Integers have zeros in front, to be of one length.
fn write_slices(sql: &mut String, dialect: Dialect, values: &[Value<'_>]) {
    let mut digits = itoa::Buffer::new();
    let length = |value: &Value<'_>| match value {
        Value::Integer(integer) => digits.format(*integer).len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Null | Value::Word(_) => 0,
    };
    let width = values.iter().map(length).max().unwrap_or(0);
    let mut all = Vec::with_capacity(values.len() * width);
    for value in values {
        match value {
            Value::Integer(integer) => {
                let number = digits.format(*integer);
                let unsigned = number.strip_prefix('-');
                all.extend(unsigned.map(|_| b'-'));
                all.resize(all.len() + width - number.len(), b'0');
                all.extend(unsigned.unwrap_or(number).as_bytes());
            }
            Value::Bytes(bytes) => all.extend(*bytes),
            Value::Null | Value::Word(_) => {}
        }
    }
    // They are alike.
    let are_integers = matches!(values.first(), Some(Value::Integer(_)));
    let (before, after) = if are_integers { dialect.integer_of_bytes() } else { ("", "") };
    let _ = write!(sql, "{before}SUBSTR({},n*{width}+1,{width}){after}", Bytes(&all));
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (i64, i64, Option<&'static str>, &'static [u8]);

    const COLUMNS: [Column<Row>; 4] = [
        Column { name: "a", value: |row| Value::Integer(row.0) },
        Column { name: "b", value: |row| Value::Integer(row.1) },
        Column { name: "c", value: |row| row.2.map_or(Value::Null, Value::Word) },
        Column { name: "d", value: |row| if row.3.is_empty() { Value::Null } else { Value::Bytes(row.3) } },
    ];

    fn sql(rows: &[Row]) -> Vec<(String, Option<u64>)> {
        let mut writes = Vec::new();
        insert(&mut writes, Dialect::MySql, "t", &COLUMNS, rows);
        writes.into_iter().map(|write| (write.sql, write.must_match)).collect()
    }

    /// So many rows of which each column grows by a step.
    fn run(len: i64, first: (i64, i64), steps: (i64, i64)) -> Vec<Row> {
        (0..len).map(|n| (first.0 + n * steps.0, first.1 + n * steps.1, None, &b""[..])).collect()
    }

    #[test]
    fn what_is_the_same_stands_there_and_what_grows_is_a_sum() {
        let expected = |sql: &str| vec![(sql.to_owned(), Some(16))];
        assert_eq!(
            sql(&run(16, (10, 8), (1, 0))),
            expected("INSERT INTO t (a, b) SELECT 10+n,8 FROM numbers WHERE n<16")
        );
        let falling = "INSERT INTO t (a, b) SELECT 40+(-2)*n,100+(3)*n FROM numbers WHERE n<16";
        assert_eq!(sql(&run(16, (40, 100), (-2, 3))), expected(falling));
    }

    #[test]
    fn what_follows_no_rule_is_cut_out_of_a_literal() {
        let mut rows = run(8, (7, 5), (0, 0));
        (rows[1].0, rows[2].0) = (-12, 3456);
        for (row, key) in rows.iter_mut().zip([b"ab", b"cd", b"ab", b"ab", b"ab", b"ab", b"ab", b"ab"]) {
            row.3 = key;
        }
        let numbers = Bytes(b"0007-012345600070007000700070007");
        let keys = Bytes(b"abcdabababababab");
        let computed = format!(
            "INSERT INTO t (a, b, d) SELECT SUBSTR({numbers},n*4+1,4),5,SUBSTR({keys},n*2+1,2) FROM numbers WHERE n<8"
        );
        assert_eq!(sql(&rows), [(computed, Some(8))]);
    }

    #[test]
    fn rows_that_are_not_alike_have_statements_of_their_own_and_few_are_spelled_out() {
        let mut rows = run(30, (1, 1), (1, 1));
        for row in rows.iter_mut().step_by(3) {
            row.2 = Some("x");
        }
        (rows[4].3, rows[5].3) = (b"key", b"longer");
        let found = sql(&rows);
        assert_eq!(found.iter().map(|it| it.1).collect::<Vec<_>>(), [Some(18), Some(10), None]);
        assert_eq!(found[1].0, "INSERT INTO t (a, b, c) SELECT 1+(3)*n,1+(3)*n,'x' FROM numbers WHERE n<10");
        assert_eq!(found[2].0, "INSERT INTO t (a, b, c, d) VALUES (5,5,NULL,x'6b6579'),(6,6,NULL,x'6c6f6e676572')");
        assert_eq!(sql(&run(7, (1, 1), (1, 1)))[0].1, None);
        let mut rows = run(48, (1, 1), (1, 1));
        for (i, row) in rows.iter_mut().enumerate() {
            row.3 = &b"keyskeys"[..=i % 6];
        }
        let sizes: Vec<Option<u64>> = sql(&rows).iter().map(|it| it.1).collect();
        assert_eq!(sizes, [Some(8), Some(8), Some(8), Some(8), None], "of keys of six lengths, as many as are allowed");
        assert_eq!(sql(&[]), []);
    }

    #[test]
    fn a_statement_computes_no_more_rows_than_there_are_numbers() {
        let sizes: Vec<Option<u64>> = sql(&run(2_052, (1, 1), (1, 0))).iter().map(|it| it.1).collect();
        assert_eq!(sizes, [Some(1024), Some(1024), None]);
    }

    /// Whatever the rows are, the groups are all of them, each once, and those of a group are alike.
    #[test]
    fn groups_make_up_the_rows() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let rows: Vec<Row> = (0..random.usize(1..60))
                .map(|_| {
                    let word = [None, Some("x"), Some("y")][random.usize(0..3)];
                    (random.i64(-9..9), random.i64(0..9), word, &b"keys"[..random.usize(0..4)])
                })
                .collect();
            let groups = Grid::new(&COLUMNS, &rows).groups();
            for group in &groups {
                let kind = |index: &usize| (rows[*index].2, rows[*index].3.len());
                assert!(group.iter().all(|index| kind(index) == kind(&group[0])), "{rows:?} {groups:?}");
            }
            let mut all = groups.concat();
            all.sort_unstable();
            assert_eq!(all, (0..rows.len()).collect::<Vec<_>>());
        }
    }
}
