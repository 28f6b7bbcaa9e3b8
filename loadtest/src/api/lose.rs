//! Clients that lose their answers: the request goes out whole, and the connection is gone before the
//! answer is read, as of a phone in a lift.

use std::time::Duration;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::caller::{Caller, unknown};
use crate::history::{Operation, Outcome, Why};

/// When the connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lose {
    /// So long after the request went out: perhaps before the server has done anything.
    After(Duration),
    /// With the first byte of the answer: the server has decided, and the client does not hear it.
    InAnswer,
    /// The client sends no more, as one that shuts down, but waits for the first byte.
    HalfClosed,
}

impl Caller {
    /// Sends a request on a connection of its own and loses the answer.
    pub async fn call_and_lose(&mut self, operation: Operation, lose: Lose) -> Outcome {
        let limit = self.shop.timeout;
        let bytes = wire(&self.shop.requests.build(&operation));
        let stream = self.shop.connector.stream(limit).await;
        let under_way = self.notes.begin(operation);
        let Ok(stream) = stream else { return under_way.end(unknown(Why::NotSent)) };
        let mut stream = TokioIo::new(stream);
        let lost = async {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            match lose {
                Lose::After(pause) => {
                    tokio::time::sleep(pause).await;
                    return Ok(Why::Lost);
                }
                Lose::InAnswer => {}
                Lose::HalfClosed => stream.shutdown().await?,
            }
            stream.read_u8().await.map(|_| Why::Lost)
        };
        let why = match tokio::time::timeout(limit, lost).await {
            Ok(Ok(why)) => why,
            // Whoever sends no more may be hung up on: that is the client's own doing, too.
            Ok(Err(_)) if lose == Lose::HalfClosed => Why::Lost,
            Ok(Err(_)) => Why::Cut,
            Err(_) => Why::TimedOut,
        };
        under_way.end(unknown(why))
    }
}

/// A request as HTTP/1.1 writes it.
fn wire(request: &http::Request<Bytes>) -> Vec<u8> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut bytes = format!("{} {path} HTTP/1.1\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", request.body().len()).as_bytes());
    bytes.extend_from_slice(request.body());
    bytes
}
