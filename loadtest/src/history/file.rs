//! How a history is kept: one JSON object a line, the header first, the end mark last.
//!
//! What does not belong here: when a line is written (that is the recorder's).

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Header, History, Mark, Record};

/// How a line of a mark begins; serde writes the tag first.
const MARK: &[u8] = b"{\"mark\"";

/// Why a history cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file could not be opened, read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{path}, line {line}: {what}", path = path.display())]
    Line {
        /// Where the file is.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

impl HistoryError {
    pub(super) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// Reads a history. One that was cut off is read as far as it goes, but for a last line that is not
/// whole: it has no end mark then, and whoever judges it sees that.
///
/// # Errors
/// If it cannot be read, is no history, has another format, or has a line in its middle that is none.
pub fn read(path: &Path) -> Result<History, HistoryError> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(HistoryError::file(path))?);
    let wrong = |line: usize, what: String| HistoryError::Line { path: path.to_owned(), line, what };
    let mut text = Vec::new();
    let mut line = 1;
    let next = |file: &mut BufReader<File>, text: &mut Vec<u8>| {
        text.clear();
        file.read_until(b'\n', text).map_err(HistoryError::file(path))
    };
    next(&mut file, &mut text)?;
    let header: Header = serde_json::from_slice(&text)
        .map_err(|error| wrong(line, format!("this is not the header of a history: {error}")))?;
    if header.format != Header::FORMAT {
        let (found, known) = (header.format, Header::FORMAT);
        return Err(wrong(
            line,
            format!(
                "its format is {found}, and this harness ({version}) reads {known}: judge it with the harness that wrote it, {writer}",
                version = env!("CARGO_PKG_VERSION"),
                writer = header.harness
            ),
        ));
    }
    let mut history = History { header, records: Vec::new(), marks: Vec::new() };
    while next(&mut file, &mut text)? > 0 {
        line += 1;
        let read = if text.starts_with(MARK) {
            serde_json::from_slice::<Mark>(&text).map(|mark| history.marks.push(mark))
        } else {
            serde_json::from_slice::<Record>(&text).map(|record| history.records.push(record))
        };
        match read {
            Ok(()) => {}
            Err(_) if text.last() != Some(&b'\n') => break,
            Err(error) => return Err(wrong(line, error.to_string())),
        }
    }
    Ok(history)
}

/// Writes a history that is in memory.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, history: &History) -> Result<(), HistoryError> {
    let mut lines = Lines::create(path, &history.header)?;
    for record in &history.records {
        lines.record(record)?;
    }
    for mark in &history.marks {
        lines.mark(mark)?;
    }
    lines.flush()
}

/// A history that is being written.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
    line: Vec<u8>,
}

impl Lines {
    pub(super) fn create(path: &Path, header: &Header) -> Result<Self, HistoryError> {
        let file = File::create(path).map_err(HistoryError::file(path))?;
        let mut lines = Self { path: path.to_owned(), file: BufWriter::with_capacity(1 << 18, file), line: Vec::new() };
        lines.put(header)?;
        Ok(lines)
    }

    pub(super) fn record(&mut self, record: &Record) -> Result<(), HistoryError> {
        self.put(record)
    }

    pub(super) fn mark(&mut self, mark: &Mark) -> Result<(), HistoryError> {
        self.put(mark)
    }

    pub(super) fn flush(&mut self) -> Result<(), HistoryError> {
        self.file.flush().map_err(HistoryError::file(&self.path))
    }

    fn put(&mut self, value: &impl serde::Serialize) -> Result<(), HistoryError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)
            .map_err(|error| HistoryError::File { path: self.path.clone(), source: error.into() })?;
        self.line.push(b'\n');
        self.file.write_all(&self.line).map_err(HistoryError::file(&self.path))
    }
}
