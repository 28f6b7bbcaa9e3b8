//! The few words in which MySQL and SQLite differ. Everything else of a statement is written once.

use std::fmt::{self, Display, Write as _};

/// Which SQL is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// MySQL 5.7+ and MariaDB 10.5+.
    MySql,
    /// SQLite, of the version that is compiled in.
    Sqlite,
}

impl Dialect {
    /// Its name among OpenTelemetry's database systems. MariaDB answers to that of MySQL.
    pub(super) const fn system(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::Sqlite => "sqlite",
        }
    }

    /// Ends a SELECT whose rows stay locked. SQLite locks the whole file when the transaction begins.
    pub(super) const fn for_update(self) -> &'static str {
        match self {
            Self::MySql => " FOR UPDATE",
            Self::Sqlite => "",
        }
    }

    /// Follows a table in FROM. Without it a small table may be read from end to end, and a locking read
    /// waits for every row that somebody else has locked.
    pub(super) fn by_index(self, name: &str) -> String {
        match self {
            Self::MySql => format!(" FORCE INDEX ({name})"),
            Self::Sqlite => String::new(),
        }
    }

    /// The larger of two numbers.
    pub(super) fn larger(self, a: impl Display, b: impl Display) -> String {
        match self {
            Self::MySql => format!("GREATEST({a}, {b})"),
            Self::Sqlite => format!("MAX({a}, {b})"),
        }
    }

    /// A text literal of any characters.
    pub(super) fn text(self, text: &str) -> String {
        match self {
            Self::MySql => format!("CONVERT({} USING utf8mb4)", Bytes(text.as_bytes())),
            Self::Sqlite => format!("CAST({} AS TEXT)", Bytes(text.as_bytes())),
        }
    }

    /// What stands around a slice of bytes to make an integer of its digits. `MySQL` does it by itself, in a column of integers.
    pub(super) const fn integer_of_bytes(self) -> (&'static str, &'static str) {
        match self {
            Self::MySql => ("", ""),
            Self::Sqlite => ("CAST(", " AS INTEGER)"),
        }
    }

    /// INSERT that leaves a row alone that is there already.
    pub(super) const fn insert_missing(self) -> &'static str {
        match self {
            Self::MySql => "INSERT IGNORE INTO",
            Self::Sqlite => "INSERT OR IGNORE INTO",
        }
    }
}

/// A literal of bytes, the same in both dialects.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Bytes<'_> {
    /// At the end of a statement.
    pub(super) fn write(&self, sql: &mut impl fmt::Write) -> fmt::Result {
        const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
        sql.write_str("x'")?;
        for byte in self.0 {
            sql.write_char(DIGITS[usize::from(byte >> 4)])?;
            sql.write_char(DIGITS[usize::from(byte & 15)])?;
        }
        sql.write_char('\'')
    }
}

impl Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

/// A literal, or NULL.
pub(super) struct Nullable<T>(pub(super) Option<T>);

impl<T: Display> Display for Nullable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("NULL"),
        }
    }
}

/// What follows IN; of no items, a list that holds nothing.
pub(super) fn members<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items = list(items);
    if items.is_empty() { "(NULL)".to_owned() } else { format!("({items})") }
}

/// Items with commas between them.
pub(super) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        // Writing to a String does not fail.
        let _ = write!(text, "{item}");
    }
    text
}
