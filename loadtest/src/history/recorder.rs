//! Writing a history while it happens, at little cost to those who make it.
//!
//! Each client has a tape of its own and hands it over in pieces; a thread writes them down. What does
//! not belong here: what a line looks like (that is the file's).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use super::file::{HistoryError, Lines};
use super::{Header, Key, Mark, Moment, Operation, Outcome, Record, ScenarioName};

/// How many requests a tape holds before it is handed over.
const TAPE_LENGTH: usize = 256;

#[derive(Debug)]
enum Piece {
    Records(Vec<Record>),
    Mark(Mark),
    End,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    pieces: Sender<Piece>,
    next_client: AtomicU32,
    next_key: AtomicU64,
    requests: AtomicU64,
    errors: AtomicU64,
    /// When somebody who looks at the clock now and then last did, in nanoseconds; [`u64::MAX`] if nobody does.
    last_beat: AtomicU64,
    /// When the harness last ran again after it had stood still.
    stood_still_until: AtomicU64,
}

/// How long there may be no beat, in nanoseconds, before the harness counts as standing still.
const STILL: u64 = 1_000_000_000;

/// Takes down what happens. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
}

/// What has been seen up to a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// Requests that have ended.
    pub requests: u64,
    /// Those of them that count as errors, but for what chaos breaks on purpose.
    pub errors: u64,
}

/// The thread that writes. Whoever has it waits for the end with it.
#[derive(Debug)]
pub struct Writing {
    thread: JoinHandle<Result<(), HistoryError>>,
}

impl Recorder {
    /// Begins a history. Moments count from `began`, which is the header's.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn begin(path: &Path, header: &Header, began: Instant) -> Result<(Self, Writing), HistoryError> {
        let lines = Lines::create(path, header)?;
        let (pieces, received) = channel();
        let thread = std::thread::spawn(move || write_down(lines, &received));
        let shared = Shared {
            began,
            pieces,
            next_client: AtomicU32::new(1),
            next_key: AtomicU64::new(1),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            last_beat: AtomicU64::new(u64::MAX),
            stood_still_until: AtomicU64::new(0),
        };
        Ok((Self { shared: Arc::new(shared) }, Writing { thread }))
    }

    /// Nanoseconds since the run began.
    pub fn now(&self) -> Moment {
        Moment::since(self.shared.began)
    }

    /// Is called several times a second by whoever watches whether the harness runs at all.
    pub fn beat(&self) {
        let (now, shared) = (self.now().0, &self.shared);
        let last = shared.last_beat.swap(now, Ordering::Relaxed);
        if now > last.saturating_add(STILL) {
            shared.stood_still_until.store(now, Ordering::Relaxed);
        }
    }

    /// Whether the harness stood still at some time since `moment`: then it may be to blame for what came late.
    pub fn stood_still_since(&self, moment: Moment) -> bool {
        let shared = &self.shared;
        shared.stood_still_until.load(Ordering::Relaxed) > moment.0
            || self.now().0 > shared.last_beat.load(Ordering::Relaxed).saturating_add(STILL)
    }

    /// A key that nobody had before.
    pub fn new_key(&self) -> Key {
        Key(self.shared.next_key.fetch_add(1, Ordering::Relaxed))
    }

    /// A tape for a new client.
    pub fn tape(&self, scenario: ScenarioName) -> Tape {
        let client = self.shared.next_client.fetch_add(1, Ordering::Relaxed);
        Tape { recorder: self.clone(), scenario, client, records: Vec::with_capacity(TAPE_LENGTH) }
    }

    /// Takes down what happened besides requests.
    pub fn mark(&self, mark: Mark) {
        self.send(Piece::Mark(mark));
    }

    /// What has been seen so far.
    pub fn live(&self) -> Live {
        Live {
            requests: self.shared.requests.load(Ordering::Relaxed),
            errors: self.shared.errors.load(Ordering::Relaxed),
        }
    }

    /// Ends the history. What a tape hands over later is lost.
    pub fn end(&self) {
        self.send(Piece::End);
    }

    fn send(&self, piece: Piece) {
        // The thread ends early only if it cannot write, which it tells whoever waits for it.
        let _ = self.shared.pieces.send(piece);
    }
}

impl Writing {
    /// Waits until all is written that was sent before [`Recorder::end`].
    ///
    /// # Errors
    /// If something could not be written.
    pub fn wait(self) -> Result<(), HistoryError> {
        match self.thread.join() {
            Ok(written) => written,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn write_down(mut lines: Lines, pieces: &Receiver<Piece>) -> Result<(), HistoryError> {
    let mut written = 0;
    let mut last = Moment::default();
    while let Ok(piece) = pieces.recv() {
        match piece {
            Piece::Records(records) => {
                for record in records {
                    last = last.max(record.ended);
                    lines.record(&record)?;
                    written += 1;
                }
            }
            Piece::Mark(mark) => {
                lines.mark(&mark)?;
                // Marks are rare, and tell whoever looks at the file how far the run is.
                lines.flush()?;
            }
            Piece::End => {
                lines.mark(&Mark::End { at: last, records: written })?;
                break;
            }
        }
    }
    lines.flush()
}

/// What one client saw. Dropping it hands it over.
#[derive(Debug)]
pub struct Tape {
    recorder: Recorder,
    scenario: ScenarioName,
    client: u32,
    records: Vec<Record>,
}

impl Tape {
    /// The recorder it belongs to.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The scenario it belongs to.
    pub fn scenario(&self) -> ScenarioName {
        self.scenario
    }

    /// Takes down a request that ends at this moment.
    pub fn record(&mut self, invoked: Moment, operation: Operation, outcome: Outcome) {
        let shared = &self.recorder.shared;
        shared.requests.fetch_add(1, Ordering::Relaxed);
        if outcome.is_error() && self.scenario != ScenarioName::Chaos {
            shared.errors.fetch_add(1, Ordering::Relaxed);
        }
        let ended = self.recorder.now();
        self.records.push(Record { scenario: self.scenario, client: self.client, invoked, ended, operation, outcome });
        if self.records.len() == TAPE_LENGTH {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        let records = std::mem::replace(&mut self.records, Vec::with_capacity(TAPE_LENGTH));
        self.recorder.send(Piece::Records(records));
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        if !self.records.is_empty() {
            let records = std::mem::take(&mut self.records);
            self.recorder.send(Piece::Records(records));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Limits;

    #[test]
    fn a_harness_without_a_beat_stood_still() {
        let folder = tempfile::tempdir().unwrap();
        // A run that began some time ago, so that moments can be missing.
        let began = Instant::now().checked_sub(std::time::Duration::from_mins(1)).unwrap();
        let header = Header::bare(Limits { hold_ttl_seconds: 2, payment_window_seconds: 5, max_qty_per_hold: 1 });
        let (recorder, writing) = Recorder::begin(&folder.path().join("history"), &header, began).unwrap();
        assert!(!recorder.stood_still_since(Moment(0)), "nobody looks");
        recorder.beat();
        assert!(!recorder.stood_still_since(Moment(0)), "it beats");
        recorder.shared.last_beat.store(10 * Moment::SECOND, Ordering::Relaxed);
        assert!(recorder.stood_still_since(Moment(0)), "whoever looks did not come to it yet");
        recorder.beat();
        assert!(recorder.stood_still_since(Moment(59 * Moment::SECOND)));
        assert!(!recorder.stood_still_since(recorder.now()), "since it runs again");
        recorder.end();
        writing.wait().unwrap();
    }
}
