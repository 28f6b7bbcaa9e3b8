//! Holds by the clock: so many a second, whether the answers come or not. A process of its own.
//!
//! Each of its connections has a timetable. A request is timed from when it was due: if the answer to the one before
//! kept its connection busy until after that, the wait counts, so that a server which stalls cannot hide it. How late this
//! client itself looks at the clock does not count, up to a millisecond.
//!
//! It must cost less than the server that it asks, which is on the same machine: one thread, one request that is written once
//! and for all, and of an answer only the status and where it ends. What does not belong here: which rate.

#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};

/// What it is to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Where the server listens, such as 127.0.0.1:8080.
    #[arg(long)]
    address: String,
    /// What is held.
    #[arg(long)]
    product: u64,
    /// Holds a second, over all connections.
    #[arg(long)]
    rate: f64,
    /// How many connections.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// How long.
    #[arg(long)]
    seconds: u64,
}

/// What came of it. Times are in microseconds, from when a request was due.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Paced {
    /// Holds that were placed.
    pub holds: u64,
    /// Requests that were not answered, or with anything but a hold.
    pub failed: u64,
    /// How long it took.
    pub microseconds: u64,
    /// The median latency.
    pub p50: u64,
    /// The 99th percentile of it.
    pub p99: u64,
    /// The longest.
    pub most: u64,
}

/// How late this client may look at the clock without its being the server's fault.
const TICK: Duration = Duration::from_millis(1);
/// The most headers that an answer may have.
const HEADERS_MAX: usize = 64;
/// The longest answer, in bytes: that to a hold is far shorter.
const ANSWER_MAX: usize = 16 * 1024;
/// How long the last answers are waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const CREATED: u16 = 201;

/// Sends holds until the time is over, on one thread, which leaves the other processors to the server.
///
/// # Errors
/// If there is no connection to be had.
pub(super) fn run(arguments: &Arguments) -> io::Result<Paced> {
    let mut poll = Poll::new()?;
    let body = format!("{{\"product_id\":{},\"qty\":1}}", arguments.product);
    let request = format!(
        "POST /api/holds HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        arguments.address,
        body.len(),
    );
    let mut connections = Vec::new();
    for i in 0..arguments.connections {
        let stream = std::net::TcpStream::connect(&arguments.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(i as usize), Interest::READABLE | Interest::WRITABLE)?;
        connections.push(Connection::new(stream, u64::from(i)));
    }
    let began = Instant::now();
    let timetable = Timetable {
        began,
        between: Duration::from_secs_f64(1.0 / arguments.rate),
        until: began + Duration::from_secs(arguments.seconds),
    };
    let crowd = Crowd { request: request.into_bytes(), connections, timetable, next: 0, seen: Seen::new() };
    let Seen { latencies, failed } = crowd.keep_to_it(&mut poll)?;
    Ok(Paced {
        holds: latencies.len(),
        failed,
        microseconds: microseconds(began.elapsed()),
        p50: latencies.value_at_quantile(0.5),
        p99: latencies.value_at_quantile(0.99),
        most: latencies.max(),
    })
}

/// When requests are due: evenly spread, and one connection after the other.
struct Timetable {
    began: Instant,
    /// From a request to the next one, of whatever connection.
    between: Duration,
    until: Instant,
}

impl Timetable {
    /// When the request with this number is due; `None` if the time is over by then.
    fn due(&self, number: u64) -> Option<Instant> {
        let after = self.between.as_secs_f64() * super::as_float(number);
        Some(self.began + Duration::from_secs_f64(after)).filter(|due| *due < self.until)
    }
}

/// One that sends a request when it is due, and not before the last one was answered.
struct Connection {
    stream: TcpStream,
    /// The number of its next request, or of the one that is under way.
    number: u64,
    /// From when on the request under way is timed.
    asked: Option<Instant>,
    /// How much of it is still to be written, in bytes.
    unsent: usize,
    answer: Vec<u8>,
    is_open: bool,
}

/// What became of a request that was under way.
enum Progress {
    /// Nothing yet.
    Waits,
    Answered {
        status: u16,
    },
    /// The connection is of no more use.
    Broken,
}

impl Connection {
    fn new(stream: TcpStream, number: u64) -> Self {
        Self { stream, number, asked: None, unsent: 0, answer: Vec::with_capacity(1024), is_open: true }
    }

    /// Sends `request`, which is timed from `from` on.
    fn ask(&mut self, request: &[u8], from: Instant) -> Progress {
        self.asked = Some(from);
        self.unsent = request.len();
        self.write(request)
    }

    fn write(&mut self, request: &[u8]) -> Progress {
        while self.unsent > 0 {
            match self.stream.write(&request[request.len() - self.unsent..]) {
                Ok(0) => return Progress::Broken,
                Ok(written) => self.unsent -= written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Progress::Broken,
            }
        }
        Progress::Waits
    }

    /// Reads what is there.
    fn read(&mut self) -> Progress {
        let mut buffer = [0; 2048];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Progress::Broken,
                Ok(read) => self.answer.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Progress::Broken,
            }
        }
        match status_of(&self.answer) {
            // Nothing was asked that this could answer.
            Answer::Whole(_) if self.asked.is_none() => Progress::Broken,
            Answer::Whole(status) => {
                self.answer.clear();
                Progress::Answered { status }
            }
            Answer::Partial if self.answer.len() <= ANSWER_MAX => Progress::Waits,
            Answer::Partial | Answer::Nonsense => Progress::Broken,
        }
    }
}

/// What has come of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Partial,
    /// With its status.
    Whole(u16),
    /// It cannot be read, or does not say where it ends.
    Nonsense,
}

fn status_of(answer: &[u8]) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(answer) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Answer::Partial,
        Err(_) => return Answer::Nonsense,
    };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse::<usize>().ok());
    match (response.code, length) {
        (Some(status), Some(length)) if answer.len() >= head.saturating_add(length) => Answer::Whole(status),
        (Some(_), Some(_)) => Answer::Partial,
        _ => Answer::Nonsense,
    }
}

/// What was seen of the server.
struct Seen {
    latencies: Histogram<u64>,
    failed: u64,
}

impl Seen {
    fn new() -> Self {
        // From a microsecond to a minute, with three digits.
        let latencies = Histogram::new_with_bounds(1, 60_000_000, 3);
        Self { latencies: latencies.unwrap_or_else(|_| unreachable!("these bounds are allowed")), failed: 0 }
    }
}

/// All connections, and what they do.
struct Crowd {
    request: Vec<u8>,
    connections: Vec<Connection>,
    timetable: Timetable,
    /// The number of the request that is due next.
    next: u64,
    seen: Seen,
}

impl Crowd {
    fn keep_to_it(mut self, poll: &mut Poll) -> io::Result<Seen> {
        let mut events = Events::with_capacity(1024);
        loop {
            // Those that are busy, or behind, are on their way when their answers come.
            while let Some(due) = self.timetable.due(self.next)
                && due <= Instant::now()
            {
                let number = self.next;
                self.next += 1;
                let index = self.index_of(number);
                let connection = &self.connections[index];
                if !connection.is_open {
                    self.seen.failed += 1;
                } else if connection.asked.is_none() && connection.number == number {
                    self.ask(index, Instant::now().min(due + TICK));
                }
            }
            let patience = match self.timetable.due(self.next) {
                Some(due) => due.saturating_duration_since(Instant::now()),
                None if self.connections.iter().all(|connection| connection.asked.is_none()) => return Ok(self.seen),
                None => PATIENCE,
            };
            match poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            if events.is_empty() && patience == PATIENCE {
                let unanswered = self.connections.iter().filter(|connection| connection.asked.is_some()).count();
                self.seen.failed += unanswered as u64;
                return Ok(self.seen);
            }
            for event in &events {
                let index = event.token().0;
                if event.is_writable() && self.connections[index].unsent > 0 {
                    let progress = self.connections[index].write(&self.request);
                    self.follow(index, &progress);
                }
                if event.is_readable() {
                    let progress = self.connections[index].read();
                    self.follow(index, &progress);
                }
            }
        }
    }

    /// The connection that sends the request with this number.
    fn index_of(&self, number: u64) -> usize {
        usize::try_from(number % self.connections.len() as u64).unwrap_or_default()
    }

    fn ask(&mut self, index: usize, from: Instant) {
        let progress = self.connections[index].ask(&self.request, from);
        self.follow(index, &progress);
    }

    /// Notes what became of a request, and sends the next one if it has been due before.
    fn follow(&mut self, index: usize, progress: &Progress) {
        let step = self.connections.len() as u64;
        let connection = &mut self.connections[index];
        match progress {
            Progress::Waits => return,
            Progress::Broken => {
                if connection.is_open {
                    connection.is_open = false;
                    connection.asked = None;
                    // What has come due of it, from the request under way on.
                    self.seen.failed += self.next.saturating_sub(connection.number).div_ceil(step);
                }
                return;
            }
            Progress::Answered { status } => {
                let Some(from) = connection.asked.take() else { return };
                if *status == CREATED {
                    self.seen.latencies.saturating_record(microseconds(from.elapsed()));
                } else {
                    self.seen.failed += 1;
                }
                connection.number += step;
            }
        }
        let number = connection.number;
        if number < self.next
            && let Some(due) = self.timetable.due(number)
        {
            self.ask(index, due);
        }
    }
}

fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
