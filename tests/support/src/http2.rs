//! HTTP/2, frame by frame, for tests that must know which stream was answered, refused, or broken off, and for what no
//! proper client sends.
//!
//! What does not belong here: reading compressed headers. What an answer says is in its body.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Far longer than a frame is ever waited for: only a server that says nothing at all fails by it.
const LIMIT: Duration = Duration::from_mins(1);
const FRAME_HEAD_BYTES: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const ACK: u8 = 0x1;

/// Codes of errors, by their names in RFC 9113.
pub mod code {
    #![expect(missing_docs, reason = "the specification says what they mean")]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// The last stream that a server names while it still takes new ones: the highest number there is.
pub const ANY_STREAM: u32 = 0x7fff_ffff;

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// An answer begins; `ends`: and that is all of it.
    Head {
        /// Of which stream.
        stream: u32,
        /// Whether nothing follows.
        ends: bool,
        /// The fields, compressed.
        block: Vec<u8>,
    },
    /// A part of an answer's body.
    Body {
        /// Of which stream.
        stream: u32,
        /// Whether it is the last.
        ends: bool,
        /// The part.
        bytes: Vec<u8>,
    },
    /// A stream is over.
    Reset {
        /// Which.
        stream: u32,
        /// Why.
        code: u32,
    },
    /// Streams above `last_stream` are not looked at.
    GoAway {
        /// The last that may have been looked at.
        last_stream: u32,
        /// Why.
        code: u32,
    },
    /// The server's settings, by number.
    Settings(Vec<(u16, u32)>),
}

/// A connection.
#[derive(Debug)]
pub struct Http2 {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Http2 {
    /// Connects to `address` and begins.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self { stream, unread: Vec::new() };
        connection.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await?;
        Ok(connection)
    }

    /// Sends frames.
    ///
    /// # Errors
    /// If the server does not take them any more.
    pub async fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.stream.write_all(frames).await
    }

    /// What the server says next; `None` if it closed the connection. What only keeps the connection going is answered here.
    ///
    /// # Errors
    /// If the connection broke, or the server says nothing for a minute.
    pub async fn next(&mut self) -> io::Result<Option<Said>> {
        tokio::time::timeout(LIMIT, self.read()).await.map_err(|_| io::Error::from(ErrorKind::TimedOut))?
    }

    async fn read(&mut self) -> io::Result<Option<Said>> {
        loop {
            let Some((kind, flags, stream, payload)) = self.take_frame() else {
                if self.stream.read_buf(&mut self.unread).await? > 0 {
                    continue;
                }
                return if self.unread.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            };
            let ends = flags & END_STREAM != 0;
            // A server that is gone need not be told any more; what it said before is still to be read.
            match kind {
                DATA => {
                    if let Ok(length) = u32::try_from(payload.len()).map(u32::to_be_bytes)
                        && !payload.is_empty()
                    {
                        let _ = self.send(&frame(WINDOW_UPDATE, 0, 0, &length)).await;
                    }
                    return Ok(Some(Said::Body { stream, ends, bytes: payload }));
                }
                HEADERS => return Ok(Some(Said::Head { stream, ends, block: payload })),
                RST_STREAM => return Ok(Some(Said::Reset { stream, code: number(&payload, 0) })),
                GOAWAY => {
                    let last_stream = number(&payload, 0) & ANY_STREAM;
                    return Ok(Some(Said::GoAway { last_stream, code: number(&payload, 4) }));
                }
                SETTINGS if flags & ACK == 0 => {
                    let _ = self.send(&frame(SETTINGS, ACK, 0, &[])).await;
                    let settings = payload.chunks_exact(6);
                    let settings = settings.map(|it| (u16::from_be_bytes([it[0], it[1]]), number(it, 2)));
                    return Ok(Some(Said::Settings(settings.collect())));
                }
                PING if flags & ACK == 0 => drop(self.send(&frame(PING, ACK, 0, &payload)).await),
                _ => {}
            }
        }
    }

    fn take_frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let head = self.unread.get(..FRAME_HEAD_BYTES)?;
        let length = usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).ok()?;
        let (kind, flags, stream) = (head[3], head[4], number(head, 5) & ANY_STREAM);
        let payload = self.unread.get(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + length)?.to_vec();
        self.unread.drain(..FRAME_HEAD_BYTES + length);
        Some((kind, flags, stream, payload))
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame that fits").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The fields that every request begins with.
pub fn fields<'a>(method: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![(":method", method), (":scheme", "http"), (":authority", "holdfast"), (":path", path)]
}

/// What a list of fields counts, as RFC 9113 says.
pub fn list_bytes(fields: &[(&str, &str)]) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
}

/// The beginning of a request; `ends`: and all of it.
pub fn head(stream: u32, fields: &[(&str, &str)], ends: bool) -> Vec<u8> {
    head_of(stream, &block(fields), ends)
}

/// As [`head`], with fields as they are sent (RFC 7541).
pub fn head_of(stream: u32, block: &[u8], ends: bool) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | if ends { END_STREAM } else { 0 }, stream, block)
}

/// Fields as they are sent, none of which the other side is to remember.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            push_length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A part of a request's body.
pub fn body(stream: u32, bytes: &[u8], ends: bool) -> Vec<u8> {
    frame(DATA, if ends { END_STREAM } else { 0 }, stream, bytes)
}

/// Takes a request back.
pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// A number with a prefix of seven bits (RFC 7541, 5.1).
fn push_length(block: &mut Vec<u8>, length: usize) {
    const PREFIX: usize = 0x7f;
    let Some(mut rest) = length.checked_sub(PREFIX) else {
        block.push(u8::try_from(length).expect("less than the prefix"));
        return;
    };
    block.push(0x7f);
    while rest >= 0x80 {
        block.push(u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    block.push(u8::try_from(rest).expect("seven bits"));
}
