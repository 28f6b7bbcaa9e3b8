//! Bytes on a socket, for requests that a proper client would never send.

use holdfast_test_support::OrFail;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection.
pub(crate) struct Raw(TcpStream);

/// What came back until the server closed.
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Raw {
    pub(crate) async fn connect(address: &str) -> Self {
        Self(TcpStream::connect(address).await.or_fail())
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.or_fail();
    }

    /// Says that nothing more will come.
    pub(crate) async fn end(&mut self) {
        self.0.shutdown().await.or_fail();
    }

    /// Reads the first line of an answer and no further: its status.
    pub(crate) async fn read_status(&mut self) -> u16 {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(self.0.read_u8().await.or_fail());
        }
        String::from_utf8_lossy(&line).split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// Reads to the end. The request should have said `connection: close`. Status 0 if nothing came.
    pub(crate) async fn read(mut self) -> RawAnswer {
        let mut bytes = Vec::new();
        // What came before a reset is what there is.
        let _ = self.0.read_to_end(&mut bytes).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        RawAnswer { status, text }
    }
}

/// Sends bytes and reads what comes back.
pub(crate) async fn exchange(address: &str, bytes: &[u8]) -> RawAnswer {
    let mut raw = Raw::connect(address).await;
    raw.write(bytes).await;
    raw.read().await
}

/// The head of a request with a JSON body of this length.
pub(crate) fn post_head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: holdfast\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    )
}
