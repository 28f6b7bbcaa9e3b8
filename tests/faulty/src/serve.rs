//! The life of a server: it opens its journal, listens, answers, and ends on SIGTERM; and the audit.
//!
//! What does not belong here: what is answered.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock;
use crate::desk::Desk;
use crate::http::Shop;
use crate::journal::{self, Journal};
use crate::rows::Row;
use crate::sale::Sale;
use crate::settings::Settings;

/// How long requests in flight have to finish.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// If the journal or the address cannot be had.
pub async fn serve(settings: Settings) -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let Settings { listen_addr, journal, terms, admin_tokens, api_tokens, webhooks, fault } = settings;
    let (journal, rows) = Journal::open(&journal, fault)?;
    let desk = Desk::new(journal, Sale::replay(rows, terms, fault, clock::now()));
    let shop = Arc::new(Shop { desk, admin_tokens, api_tokens, webhooks });
    let listener = TcpListener::bind(&listen_addr).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let keeper = Arc::clone(&shop);
    tokio::spawn(async move { keeper.desk.keep().await });
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        };
        let (stream, _) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many files are open, or the caller is gone: neither ends the sale.
                eprintln!("holdfast-faulty: no connection: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        // Without it answers wait for more to send; a socket that will not have it is only slower.
        let _ = stream.set_nodelay(true);
        let shop = Arc::clone(&shop);
        let service = service_fn(move |request| {
            let shop = Arc::clone(&shop);
            async move { Ok::<_, Infallible>(shop.answer(request).await) }
        });
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        // A connection that breaks is its caller's affair.
        tokio::spawn(async move { connection.await.ok() });
    }
    drop(listener);
    // Whoever is not done by then has had its time.
    let _ = tokio::time::timeout(DRAIN, connections.shutdown()).await;
    Ok(())
}

/// Prints what `holdfast audit --json` prints of a clean database, whatever is in the journal: a bug must
/// be found from outside.
///
/// # Errors
/// If the journal cannot be read.
pub fn audit(settings: &Settings) -> io::Result<()> {
    let rules = [
        ("I1", "0 <= stock_reserved <= stock_available"),
        ("I2", "stock_reserved = the units of active holds"),
        ("I3", "stock_available + the units of orders not cancelled = the units ever stocked"),
        ("I4", "a hold is redeemed at most once, and its units go back at most once"),
        ("I5", "a payment key takes effect at most once, an order has one final state"),
        ("I6", "movements are a gapless chain"),
    ];
    let rows = journal::read(&settings.journal)?;
    let changes = |is: fn(&Row) -> bool| rows.iter().filter(|row| is(row)).count();
    let checks = rules.map(|(code, rule)| json!({"code": code, "rule": rule, "held": true, "breaches": 0}));
    let report = json!({
        "clean": true,
        "checks": checks,
        "breaches": [],
        "checked": {
            "products": changes(|row| matches!(row, Row::Product(_))),
            "holds": changes(|row| matches!(row, Row::Hold(_))),
            "orders": changes(|row| matches!(row, Row::Order(_))),
            "payment_events": changes(|row| matches!(row, Row::Event(_))),
            "movements": changes(|row| matches!(row, Row::Product(_))),
        },
        "refunds_required": [],
    });
    println!("{report}");
    Ok(())
}
