//! One connection through the proxy: two pumps, and the faults that stop them.
//!
//! What does not belong here: who arms the faults.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

use super::wire::{AnswerReader, PacketReader};
use super::{Direction, Effect, Point, QueryFault, Shared, Strike, Which};

const CHUNK_BYTES: usize = 64 * 1024;

/// Why a pump stopped.
enum Stop {
    /// Its side was closed: the other one is told, and may go on.
    Closed,
    /// The connection is to be closed, both sides.
    Cut,
    /// The connection is to stay open without a word.
    Silence,
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Cut
    }
}

impl From<Effect> for Stop {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Cut => Self::Cut,
            Effect::Silence => Self::Silence,
        }
    }
}

/// What the pump to the server tells the other one: withhold the answer that comes now.
struct Withheld {
    bytes_passed: usize,
    effect: Effect,
    answer: AnswerReader,
    bytes: Vec<u8>,
}

/// Passes bytes both ways until both sides are closed or a fault ends it.
pub(super) async fn pass(client: TcpStream, shared: &Shared) {
    let Ok(server) = TcpStream::connect(&shared.upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let withheld = Mutex::new(None);
    let forth = async {
        let stop = to_server_pump(&mut from_client, &mut to_server, shared, &withheld).await;
        finish(stop, &mut to_server).await
    };
    let back = async {
        let stop = to_client_pump(&mut from_server, &mut to_client, shared, &withheld).await;
        finish(stop, &mut to_client).await
    };
    tokio::pin!(forth, back);
    // Both must come to their end, unless one ends the connection.
    let stop = tokio::select! {
        Err(stop) = &mut forth => stop,
        Err(stop) = &mut back => stop,
        else => Stop::Closed,
    };
    if matches!(stop, Stop::Silence) {
        // Until the proxy is dropped, or all connections are cut.
        std::future::pending::<()>().await;
    }
}

/// A side that was closed is passed on as such; `Err` if the connection is over, or silent.
async fn finish(stop: Result<(), Stop>, to: &mut OwnedWriteHalf) -> Result<(), Stop> {
    match stop {
        Ok(()) | Err(Stop::Closed) => Ok(to.shutdown().await?),
        Err(stop) => Err(stop),
    }
}

async fn to_server_pump(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    shared: &Shared,
    withheld: &Mutex<Option<Withheld>>,
) -> Result<(), Stop> {
    let mut packets = PacketReader::default();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let bytes = read(from, &mut chunk).await?;
        if !shared.mysql {
            forward(bytes, Direction::ToServer, to, shared).await?;
            continue;
        }
        packets.push(bytes);
        while let Some(packet) = packets.next() {
            super::slow::wait(shared, &packet).await;
            let Some(fault) = take_fault(shared, &packet) else {
                forward(&packet, Direction::ToServer, to, shared).await?;
                continue;
            };
            let bytes_passed = match fault.point {
                Point::BeforeQuery => 0,
                Point::WithinQuery { bytes_passed } => bytes_passed.min(packet.len()),
                Point::AfterQuery => packet.len(),
                Point::AfterAnswer { bytes_passed } => {
                    let answer = AnswerReader::default();
                    *withheld.lock().await =
                        Some(Withheld { bytes_passed, effect: fault.effect, answer, bytes: Vec::new() });
                    forward(&packet, Direction::ToServer, to, shared).await?;
                    // The other pump ends the connection when the answer has come.
                    continue;
                }
            };
            forward(&packet[..bytes_passed], Direction::ToServer, to, shared).await?;
            shared.strike(Strike { bytes_passed, bytes: packet.len() });
            return Err(fault.effect.into());
        }
    }
}

async fn to_client_pump(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    shared: &Shared,
    withheld: &Mutex<Option<Withheld>>,
) -> Result<(), Stop> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let bytes = read(from, &mut chunk).await?;
        let mut withheld = withheld.lock().await;
        let Some(held) = withheld.as_mut() else {
            drop(withheld);
            forward(bytes, Direction::ToClient, to, shared).await?;
            continue;
        };
        held.bytes.extend_from_slice(bytes);
        if held.answer.is_complete_after(bytes) {
            let bytes_passed = held.bytes_passed.min(held.bytes.len());
            forward(&held.bytes[..bytes_passed], Direction::ToClient, to, shared).await?;
            let effect = held.effect;
            shared.strike(Strike { bytes_passed, bytes: held.bytes.len() });
            return Err(effect.into());
        }
    }
}

async fn read<'a>(from: &mut OwnedReadHalf, chunk: &'a mut [u8]) -> Result<&'a [u8], Stop> {
    match from.read(chunk).await? {
        0 => Err(Stop::Closed),
        read => Ok(&chunk[..read]),
    }
}

/// The fault that waits for this statement, if one does.
fn take_fault(shared: &Shared, packet: &[u8]) -> Option<QueryFault> {
    let text = super::wire::statement(packet)?.to_ascii_lowercase();
    let mut faults = shared.faults();
    let found = match &mut faults.query.as_mut()?.which {
        Which::With(part) => text.windows(part.len().max(1)).any(|window| window == part),
        Which::After(others) => {
            let is_next = *others == 0;
            *others = others.saturating_sub(1);
            is_next
        }
    };
    if found { faults.query.take() } else { None }
}

async fn forward(bytes: &[u8], direction: Direction, to: &mut OwnedWriteHalf, shared: &Shared) -> Result<(), Stop> {
    let delay = shared.faults().delay;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    // The sender lives in `shared`.
    let _ = shared.frozen.subscribe().wait_for(|frozen| !frozen).await;
    let passing = {
        let mut faults = shared.faults();
        let left = match direction {
            Direction::ToServer => &mut faults.left_to_server,
            Direction::ToClient => &mut faults.left_to_client,
        };
        match left {
            Some(allowed) if *allowed < bytes.len() => {
                let passing = *allowed;
                *left = None;
                passing
            }
            Some(allowed) => {
                *allowed -= bytes.len();
                bytes.len()
            }
            None => bytes.len(),
        }
    };
    to.write_all(&bytes[..passing]).await?;
    if passing < bytes.len() {
        shared.strike(Strike { bytes_passed: passing, bytes: bytes.len() });
        return Err(Stop::Cut);
    }
    Ok(())
}
