//! `holdfast refund`: payments that were taken for cancelled orders, until somebody has paid them back.
//!
//! What does not belong here: paying back; that is done at the payment provider.

use clap::Subcommand;
use sale::Key;
use serde::Serialize;

use super::database::{Database, Schema};
use super::table::{Align, Table, as_argument};
use super::{Failure, List, print, print_json, quiet_sources, wait};
use crate::config::ReaderFlags;
use crate::http::format;
use crate::store::Refund;

/// What can be done about refunds.
#[derive(Subcommand)]
pub(super) enum Command {
    /// List the payments that must be paid back and were not yet.
    List {
        /// Print one JSON object instead of a table.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        settings: ReaderFlags,
    },
    /// Note that a payment was paid back.
    Done {
        /// The key of the payment event, as `refund list` shows it: ready for a shell, quotes included.
        #[arg(allow_hyphen_values = true)]
        key: String,
        #[command(flatten)]
        settings: ReaderFlags,
    },
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List { json, settings } => {
            let sources = quiet_sources(settings.0)?;
            let work = async |database: &Database| {
                let refunds = database.store.refunds().await;
                let refunds = refunds.map_err(|error| database.failed("its refunds could not be read", &error))?;
                if json {
                    return print_json(&List::of(refunds.iter().map(RefundRow::from)));
                }
                if refunds.is_empty() { print("nothing has to be paid back") } else { print(&as_text(&refunds)) }
            };
            wait(async { Database::open(&sources, Schema::Checked).await?.with_store(work).await })?
        }
        Command::Done { key, settings } => {
            let wanted = Key::new(key.as_bytes())
                .map_err(|error| Failure::Usage(format!("the key of a payment event {error}")))?;
            let sources = quiet_sources(settings.0)?;
            let work = async |database: &Database| {
                let done = database.store.refund_done(&wanted).await;
                if done.map_err(|error| database.failed("the refund may not have been noted", &error))? {
                    print(&format!("payment {} is noted as paid back", as_argument(&key)))
                } else {
                    let key = as_argument(&key);
                    Err(Failure::Failed(format!("no payment {key} waits to be paid back; see `holdfast refund list`")))
                }
            };
            wait(async { Database::open(&sources, Schema::Checked).await?.with_store(work).await })?
        }
    }
}

/// Refunds as a table, with what to do about them.
pub(super) fn as_text(refunds: &[Refund]) -> String {
    let columns = [("key", Align::Left), ("order", Align::Right), ("amount", Align::Right), ("received", Align::Left)];
    let mut table = Table::new(columns);
    for refund in refunds {
        table.row([
            as_argument(&refund.key.to_string()),
            refund.order_id.to_string(),
            format::amount(refund.amount),
            format::time(refund.received_at),
        ]);
    }
    format!("{}Pay each back, then: holdfast refund done KEY\n", table.render("  "))
}

/// A refund as an object, in the audit too.
#[derive(Serialize)]
pub(super) struct RefundRow {
    payment_idempotency_key: String,
    order_id: u64,
    amount: String,
    received_at: String,
}

impl From<&Refund> for RefundRow {
    fn from(refund: &Refund) -> Self {
        Self {
            payment_idempotency_key: refund.key.to_string(),
            order_id: refund.order_id.0,
            amount: format::amount(refund.amount),
            received_at: format::time(refund.received_at),
        }
    }
}
