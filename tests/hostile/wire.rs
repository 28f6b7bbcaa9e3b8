//! Bytes on sockets: what no proper client sends, and when the server has had enough of it.
//!
//! What does not belong here: what any test expects.

use std::time::Duration;

use holdfast_test_support::OrFail;
use holdfast_test_support::rig::server::ServerProcess;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far longer than any time-out of a test: only a connection that is never ended fails by it.
const LIMIT: Duration = Duration::from_mins(1);

/// The beginning of a request that never ends.
pub(crate) const HALF_A_HEAD: &[u8] = b"GET /api/limits HTTP/1.1\r\nhost: holdfast\r\nx-slow: ";

/// A request for units whose body is still to come.
pub(crate) fn head_of_hold(length: usize) -> Vec<u8> {
    format!(
        "POST /api/holds HTTP/1.1\r\nhost: holdfast\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes()
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    was_reset: bool,
}

impl Wire {
    pub(crate) async fn open(server: &ServerProcess) -> Self {
        Self { stream: TcpStream::connect(server.address()).await.or_fail(), was_reset: false }
    }

    /// Opens a connection and sends the first bytes.
    pub(crate) async fn begin(server: &ServerProcess, bytes: &[u8]) -> Self {
        let mut wire = Self::open(server).await;
        wire.send(bytes).await;
        wire
    }

    /// Sends bytes; false if the server does not take them any more.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Reads what comes until the server ends the connection.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let reading = self.stream.read_to_end(&mut bytes);
        let read =
            tokio::time::timeout(LIMIT, reading).await.unwrap_or_else(|_| panic!("the server keeps a connection"));
        // A connection that is reset is over, too.
        self.was_reset = read.is_err();
        bytes
    }

    /// Whether what was read to the end ended with a reset: the server left while bytes were still on their way to it.
    pub(crate) fn was_reset(&self) -> bool {
        self.was_reset
    }

    /// The status of the answer until the end; 0 if there is none.
    pub(crate) async fn status(&mut self) -> u16 {
        status(&self.read_to_end().await)
    }

    /// What came so far, without taking it; `None` if nothing did.
    pub(crate) async fn peek(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let length = tokio::time::timeout(Duration::from_millis(50), self.stream.peek(&mut bytes)).await.ok()?.ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned()).filter(|text| !text.is_empty())
    }

    /// Whether the server ended the connection so far. What it sent is dropped.
    pub(crate) fn has_ended(&self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.try_read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
    }
}

/// The status of the first answer in these bytes; 0 if there is none.
pub(crate) fn status(bytes: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(bytes);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}
