//! The journal: one line a change, with the rows as they are after it.
//!
//! A line is handed to the kernel before its change is answered, which is enough to survive the end of the
//! process, the only crash that this server is for. What does not belong here: what rows mean.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use crate::fault::Fault;
use crate::rows::Row;

/// How long `ack_before_durable` keeps lines to itself.
const WRITE_BEHIND: Duration = Duration::from_millis(100);

/// Where changes are written.
pub(crate) struct Journal {
    file: File,
    behind: Option<Mutex<Vec<u8>>>,
}

/// All rows that a journal has, in the order of their changes.
///
/// # Errors
/// If it cannot be read, or has a line that no server wrote.
pub(crate) fn read(path: &Path) -> io::Result<Vec<Row>> {
    match File::open(path) {
        Ok(mut file) => Ok(rows(&mut file)?.0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The rows of whole lines, and how many bytes those are: a process may have ended within its last line.
fn rows(file: &mut File) -> io::Result<(Vec<Row>, u64)> {
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut rows = Vec::new();
    for line in text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        rows.append(&mut serde_json::from_slice::<Vec<Row>>(line)?);
    }
    Ok((rows, whole as u64))
}

impl Journal {
    /// Opens one, or makes it, and returns what it has.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub(crate) fn open(path: &Path, fault: Option<Fault>) -> io::Result<(Self, Vec<Row>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let (rows, whole) = rows(&mut file)?;
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        let behind = (fault == Some(Fault::AckBeforeDurable)).then(Mutex::default);
        Ok((Self { file, behind }, rows))
    }

    /// Writes a change. Calls must come in the order of the changes.
    ///
    /// # Errors
    /// If it cannot be written. Then the change must not be answered.
    pub(crate) fn append(&self, rows: &[Row]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut line = serde_json::to_vec(rows)?;
        line.push(b'\n');
        match &self.behind {
            Some(behind) => {
                behind.lock().unwrap_or_else(PoisonError::into_inner).append(&mut line);
                Ok(())
            }
            None => (&self.file).write_all(&line),
        }
    }

    /// Writes what was kept back, again and again; returns at once if nothing ever is.
    pub(crate) async fn write_behind(&self) {
        let Some(behind) = &self.behind else { return };
        loop {
            tokio::time::sleep(WRITE_BEHIND).await;
            let lines = std::mem::take(&mut *behind.lock().unwrap_or_else(PoisonError::into_inner));
            if let Err(error) = (&self.file).write_all(&lines) {
                eprintln!("holdfast-faulty: the journal cannot be written: {error}");
                std::process::abort();
            }
        }
    }
}
