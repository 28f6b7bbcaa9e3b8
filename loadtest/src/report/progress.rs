//! What is shown while a run goes on: a bar on a terminal, a line every few seconds elsewhere.
//!
//! It goes to standard error, since standard output is the verdict's. A thread asks the recorder now and
//! then, so those who make requests pay nothing for it.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::words::{counted, rate, thousands};
use crate::history::{Live, Recorder, ScenarioName};
use crate::measure::as_float;

/// How often a bar is drawn anew.
const BAR_INTERVAL: Duration = Duration::from_millis(200);
/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// How fine a bar is.
const BAR_LENGTH: u64 = 1_000;

/// The progress of a run. Dropping it ends it.
#[derive(Debug)]
pub struct Progress {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    expected: Duration,
    state: Mutex<State>,
    ended: Condvar,
    output: Output,
}

#[derive(Debug, Default)]
struct State {
    /// Those that run, since when, and how long they are expected to take.
    running: BTreeMap<ScenarioName, (Instant, Duration)>,
    ended: bool,
}

enum Output {
    Bar(ProgressBar),
    Lines(Mutex<Box<dyn Write + Send>>),
}

impl std::fmt::Debug for Output {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Bar(_) => "Bar",
            Self::Lines(_) => "Lines",
        })
    }
}

impl Progress {
    /// Shows what `recorder` sees, of a run that is expected to take `expected` in all.
    pub fn start(recorder: Recorder, expected: Duration) -> Self {
        if console::user_attended_stderr() {
            let bar = ProgressBar::with_draw_target(Some(BAR_LENGTH), ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{bar:24} {wide_msg}") {
                bar.set_style(style);
            }
            Self::begin(recorder, expected, Output::Bar(bar), BAR_INTERVAL)
        } else {
            Self::begin(recorder, expected, Output::Lines(Mutex::new(Box::new(std::io::stderr()))), LINE_INTERVAL)
        }
    }

    fn begin(recorder: Recorder, expected: Duration, output: Output, interval: Duration) -> Self {
        let (state, ended) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { began: Instant::now(), expected, state, ended, output });
        let ticking = Arc::clone(&shared);
        let thread = std::thread::spawn(move || tick(&ticking, &recorder, interval));
        Self { shared, thread: Some(thread) }
    }

    /// A scenario begins. Several may run at a time.
    pub fn scenario(&self, name: ScenarioName, expected: Duration) {
        self.shared.state().running.insert(name, (Instant::now(), expected));
        if let Output::Lines(_) = self.shared.output {
            self.note(&format!("{name} begins, about {} s", expected.as_secs_f64().ceil()));
        }
    }

    /// A scenario has ended.
    pub fn scenario_ended(&self, name: ScenarioName) {
        self.shared.state().running.remove(&name);
    }

    /// Says something, on a line of its own.
    pub fn note(&self, text: &str) {
        match &self.shared.output {
            Output::Bar(bar) => bar.suspend(|| drop(writeln!(std::io::stderr(), "{text}"))),
            Output::Lines(_) => self.shared.line(text),
        }
    }

    /// The run has ended: takes the bar away.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.state().ended = true;
        self.shared.ended.notify_all();
        if let Some(thread) = self.thread.take() {
            // It only draws; a panic of it is nothing to end a run for.
            let _ = thread.join();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        if let Output::Lines(sink) = &self.output {
            // Whoever closed standard error does not want to know.
            let _ = writeln!(sink.lock().unwrap_or_else(PoisonError::into_inner), "{text}");
        }
    }
}

fn tick(shared: &Shared, recorder: &Recorder, interval: Duration) {
    let mut seen = (Instant::now(), recorder.live());
    let mut state = shared.state();
    while !state.ended {
        let (next, _) = shared.ended.wait_timeout(state, interval).unwrap_or_else(PoisonError::into_inner);
        state = next;
        let now = (Instant::now(), recorder.live());
        if now.0.duration_since(seen.0) < interval {
            continue;
        }
        let text = line(&state, shared, seen, now);
        drop(state);
        seen = now;
        match &shared.output {
            Output::Bar(bar) => {
                bar.set_position(position(shared.began.elapsed(), shared.expected));
                bar.set_message(text);
            }
            Output::Lines(_) => shared.line(&text),
        }
        state = shared.state();
    }
    if let Output::Bar(bar) = &shared.output {
        bar.finish_and_clear();
    }
}

/// Where the bar stands; not at its end before the run is.
fn position(elapsed: Duration, expected: Duration) -> u64 {
    let (elapsed, expected) = (elapsed.as_millis(), expected.as_millis().max(1));
    let position = elapsed * u128::from(BAR_LENGTH) / expected;
    u64::try_from(position).unwrap_or(u64::MAX).min(BAR_LENGTH - 1)
}

/// `rush, expiry 12/40 s  183,402 requests  15,110/s  0 errors`.
fn line(state: &State, shared: &Shared, seen: (Instant, Live), now: (Instant, Live)) -> String {
    let mut names = Vec::new();
    for (name, (began, expected)) in &state.running {
        let elapsed = now.0.saturating_duration_since(*began).as_secs();
        names.push(format!("{name} {elapsed}/{:.0} s", expected.as_secs_f64().ceil()));
    }
    if names.is_empty() {
        names.push(format!("{} s", now.0.duration_since(shared.began).as_secs()));
    }
    let seconds = now.0.duration_since(seen.0).as_secs_f64().max(1e-3);
    let per_second = as_float(now.1.requests.saturating_sub(seen.1.requests)) / seconds;
    format!(
        "{}  {} requests  {}/s  {}",
        names.join(", "),
        thousands(now.1.requests),
        rate(per_second),
        counted(now.1.errors, "error")
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::history::{Moment, Operation, Outcome};
    use crate::measure::tests::history_of;

    struct Sink(Sender<String>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn without_a_terminal_lines_tell_how_far_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let header = history_of(Vec::new()).header;
        let (recorder, writing) = Recorder::begin(&folder.path().join("history"), &header, Instant::now()).unwrap();
        let (sender, lines) = channel();
        let output = Output::Lines(Mutex::new(Box::new(Sink(sender))));
        let progress = Progress::begin(recorder.clone(), Duration::from_mins(1), output, Duration::from_millis(1));
        progress.scenario(ScenarioName::Rush, Duration::from_secs(7));
        recorder.tape(ScenarioName::Rush).record(Moment(0), Operation::ReleaseHold { hold: 1 }, Outcome::Released);
        progress.note("a note");
        let mut seen = String::new();
        for piece in &lines {
            seen.push_str(&piece);
            if seen.contains("/7 s  1 requests") {
                break;
            }
        }
        assert!(seen.contains("rush begins, about 7 s\n") && seen.contains("a note\n"), "{seen}");
        assert!(seen.contains("0 errors"), "{seen}");
        progress.finish();
        recorder.end();
        writing.wait().unwrap();
        // This ends only once the thread is gone, and the sink with it.
        assert!(lines.iter().count() < 1_000_000);
    }

    #[test]
    fn a_bar_is_full_at_the_end_only() {
        let at = |elapsed| position(Duration::from_secs(elapsed), Duration::from_secs(10));
        assert_eq!([at(0), at(5), at(10), at(50)], [0, 500, 999, 999]);
    }
}
