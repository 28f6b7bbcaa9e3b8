//! Tables for people: aligned columns in plain text.
//!
//! What does not belong here: what is in them. Text from users is made safe to print on a terminal.

use std::fmt::Write as _;

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A table, row by row.
pub(super) struct Table<const COLUMNS: usize> {
    columns: [(&'static str, Align); COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table with these headings.
    pub(super) const fn new(columns: [(&'static str, Align); COLUMNS]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.map(|cell| printable(&cell)));
    }

    /// The table as lines, each ended with a line break and begun with `indent`.
    pub(super) fn render(&self, indent: &str) -> String {
        let headings = self.columns.map(|(heading, _)| heading.to_owned());
        let lines = || std::iter::once(&headings).chain(&self.rows);
        let width = |column: usize| lines().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        let mut text = String::new();
        for cells in lines() {
            let mut line = indent.to_owned();
            for (column, cell) in cells.iter().enumerate() {
                let width = widths[column];
                let gap = if column == 0 { "" } else { "  " };
                // Writing into a string cannot fail.
                let _ = match self.columns[column].1 {
                    Align::Left => write!(line, "{gap}{cell:<width$}"),
                    Align::Right => write!(line, "{gap}{cell:>width$}"),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Text without characters that a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// Text as an argument that a shell reads back byte for byte: as it is where nothing in it means anything
/// to a shell, else in quotes, and with escapes (`$'…'`) for what cannot be seen.
pub(super) fn as_argument(text: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "_-./:@%+=,".contains(it);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    // Two of those that are escaped in Rust's own notation can be seen all the same.
    let is_visible = |it: char| "\"\\".contains(it) || (it != '\'' && it.escape_debug().len() == 1);
    if text.chars().all(is_visible) {
        return format!("'{text}'");
    }
    let mut argument = "$'".to_owned();
    for character in text.chars() {
        match character {
            '\'' | '\\' => argument.extend(['\\', character]),
            visible if is_visible(visible) => argument.push(visible),
            hidden => {
                // Three octal digits end by themselves, whatever follows them.
                for byte in hidden.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing into a string cannot fail.
                    let _ = write!(argument, "\\{byte:03o}");
                }
            }
        }
    }
    argument.push('\'');
    argument
}

/// A number with its noun: `1 hold`, `1,204 holds`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// A number with commas between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_controls_are_shown() {
        let mut table = Table::new([("id", Align::Right), ("name", Align::Left), ("stock", Align::Right)]);
        table.row(["7".into(), "Lämp\u{1b}[31m".into(), "100".into()]);
        table.row(["12".into(), "X".into(), "1,000,000".into()]);
        let expected = "  id  name           stock\n   7  Lämp\u{fffd}[31m        100\n  12  X          1,000,000\n";
        assert_eq!(table.render("  "), expected);
    }

    #[test]
    fn an_argument_is_read_back_by_a_shell() {
        for (text, argument) in [
            ("evt_1", "evt_1"),
            ("pay:1/2@x", "pay:1/2@x"),
            ("", "''"),
            ("two words ", "'two words '"),
            ("ö$HOME\"\\", "'ö$HOME\"\\'"),
            ("it's", r"$'it\'s'"),
            ("it's \\ ö", r"$'it\'s \\ ö'"),
            ("a\u{a0}7", r"$'a\302\2407'"),
            ("\u{202e}x", r"$'\342\200\256x'"),
            ("\u{1b}[31m\n", r"$'\033[31m\012'"),
        ] {
            assert_eq!(as_argument(text), argument);
            let read = std::process::Command::new("bash").args(["-c", &format!("printf %s {argument}")]).output();
            assert_eq!(String::from_utf8(read.expect("a shell").stdout).as_deref(), Ok(text), "{argument}");
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(counted(1, "hold", "holds"), "1 hold");
        assert_eq!(counted(1_204, "hold", "holds"), "1,204 holds");
    }
}
