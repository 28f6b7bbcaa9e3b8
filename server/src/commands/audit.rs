//! `holdfast audit`: the invariants on one consistent snapshot, as tables or as JSON.
//!
//! What belongs here: how a report looks. What does not: the checks themselves (`store`). The JSON is
//! an interface: members are added, never renamed or removed.

use sale::{Breach, Invariant};
use serde_json::{Value, json};

use super::database::{Database, Schema};
use super::refund;
use super::table::{Align, Table, counted, printable};
use super::{Failure, print, print_json};
use crate::config::Sources;
use crate::store::AuditReport;

/// Checks, prints, and fails if there is a breach.
pub(super) async fn run(sources: &Sources<'_>, json: bool) -> Result<(), Failure> {
    let report = check(sources).await.map_err(not_checked)?;
    if json {
        print_json(&as_json(&report))?;
    } else {
        print(&as_text(&report))?;
    }
    if report.breaches.is_empty() { Ok(()) } else { Err(Failure::Breach) }
}

async fn check(sources: &Sources<'_>) -> Result<AuditReport, Failure> {
    Database::open(sources, Schema::Checked)
        .await?
        .with_store(async |database| {
            database.store.audit(None).await.map_err(|error| database.failed("it could not be audited", &error))
        })
        .await
}

/// An audit that could not be made must not look like one that found something.
fn not_checked(failure: Failure) -> Failure {
    match failure {
        Failure::Failed(text) => Failure::NotChecked(text),
        Failure::Usage(_) | Failure::NotChecked(_) | Failure::Breach => failure,
    }
}

fn of(report: &AuditReport, invariant: Invariant) -> usize {
    report.breaches.iter().filter(|breach| breach.invariant == invariant).count()
}

/// Breaches, a line each.
pub(super) fn breaches_as_text(breaches: &[Breach]) -> String {
    let mut table = Table::new([("rule", Align::Left), ("product", Align::Right), ("what was found", Align::Left)]);
    for breach in breaches {
        table.row([breach.invariant.to_string(), breach.product_id.to_string(), breach.detail.clone()]);
    }
    table.render("  ")
}

fn as_text(report: &AuditReport) -> String {
    let mut rules = Table::new([("rule", Align::Left), ("result", Align::Left), ("what must be true", Align::Left)]);
    for invariant in Invariant::ALL {
        let result = match of(report, invariant) {
            0 => "held".to_owned(),
            number => format!("BROKEN: {}", counted(number as u64, "breach", "breaches")),
        };
        rules.row([invariant.code().to_owned(), result, invariant.rule().to_owned()]);
    }
    let mut text = format!(
        "{}\nchecked: {}, {}, {}, {}, {}\n",
        rules.render(""),
        counted(report.products, "product", "products"),
        counted(report.holds, "hold", "holds"),
        counted(report.orders, "order", "orders"),
        counted(report.payment_events, "payment event", "payment events"),
        counted(report.movements, "movement", "movements"),
    );
    if !report.breaches.is_empty() {
        text.push_str("\nbroken:\n");
        text.push_str(&breaches_as_text(&report.breaches));
    }
    if !report.refunds.is_empty() {
        text.push_str("\nto be paid back (no breach):\n");
        text.push_str(&refund::as_text(&report.refunds));
    }
    text.push_str(match report.breaches.len() {
        0 => "\nno breach: every invariant holds\n",
        _ => "\nBREACH: the products above must not be sold until somebody has found out why\n",
    });
    text
}

fn as_json(report: &AuditReport) -> Value {
    let checks = Invariant::ALL.map(|invariant| {
        let breaches = of(report, invariant);
        json!({"code": invariant.code(), "rule": invariant.rule(), "held": breaches == 0, "breaches": breaches})
    });
    let breaches = report.breaches.iter().map(|breach| {
        json!({
            "code": breach.invariant.code(),
            "product_id": breach.product_id.0,
            "detail": printable(&breach.detail),
        })
    });
    json!({
        "clean": report.breaches.is_empty(),
        "checks": checks,
        "breaches": breaches.collect::<Vec<_>>(),
        "checked": {
            "products": report.products,
            "holds": report.holds,
            "orders": report.orders,
            "payment_events": report.payment_events,
            "movements": report.movements,
        },
        "refunds_required": report.refunds.iter().map(refund::as_json).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use sale::{Key, Money, OrderId, ProductId, Timestamp};

    use super::*;
    use crate::store::Refund;

    fn report(broken: bool) -> AuditReport {
        let breach = |product_id, invariant, detail: &str| Breach {
            product_id: ProductId(product_id),
            invariant,
            detail: detail.to_owned(),
        };
        let breaches = vec![
            breach(7, Invariant::ReservedIsHeld, "stock_reserved is 12, active holds keep 10"),
            breach(12, Invariant::ReservedIsHeld, "stock_reserved is 1, active holds keep 0"),
        ];
        let refund = Refund {
            key: Key::new(b"evt_1").expect("short"),
            order_id: OrderId(12),
            amount: Money(399_960),
            received_at: Timestamp(1_764_702_026_000_000),
        };
        AuditReport {
            products: 2,
            holds: 1_204,
            orders: 1,
            payment_events: 1,
            movements: 2_000,
            breaches: if broken { breaches } else { Vec::new() },
            refunds: if broken { vec![refund] } else { Vec::new() },
        }
    }

    #[test]
    fn a_clean_report_for_people() {
        let expected = "\
rule  result  what must be true
I1    held    0 <= stock_reserved <= stock_available
I2    held    stock_reserved = the units of active holds
I3    held    stock_available + the units of orders not cancelled = the units ever stocked
I4    held    a hold is redeemed by at most one order, and its units are given back at most once
I5    held    a payment key takes effect at most once, and an order reaches at most one final state
I6    held    movements are a gapless chain whose last balances are the counters

checked: 2 products, 1,204 holds, 1 order, 1 payment event, 2,000 movements

no breach: every invariant holds
";
        assert_eq!(as_text(&report(false)), expected);
    }

    #[test]
    fn a_breach_for_people() {
        let text = as_text(&report(true));
        let expected = ": 2 products, 1,204 holds, 1 order, 1 payment event, 2,000 movements

broken:
  rule  product  what was found
  I2          7  stock_reserved is 12, active holds keep 10
  I2         12  stock_reserved is 1, active holds keep 0

to be paid back (no breach):
  key    order    amount  received
  evt_1     12  3,999.60  2025-12-02T19:00:26.000000Z
Pay each back, then: holdfast refund done KEY

BREACH: the products above must not be sold until somebody has found out why
";
        let (rules, rest) = text.split_once("\nchecked").expect("two parts");
        assert_eq!(rest, expected);
        assert!(rules.contains("I2    BROKEN: 2 breaches  stock_reserved = "), "{rules}");
        assert_eq!(rules.matches("  held  ").count(), 5, "{rules}");
    }

    #[test]
    fn a_breach_for_programs() {
        let value = as_json(&report(true));
        assert_eq!(value["clean"], false);
        assert_eq!(value["checks"].as_array().map(Vec::len), Some(6));
        assert_eq!(
            value["checks"][1],
            json!({"code": "I2", "rule": "stock_reserved = the units of active holds", "held": false, "breaches": 2})
        );
        assert_eq!(
            value["breaches"][0],
            json!({"code": "I2", "product_id": 7, "detail": "stock_reserved is 12, active holds keep 10"})
        );
        assert_eq!(
            value["checked"],
            json!({"products": 2, "holds": 1204, "orders": 1, "payment_events": 1, "movements": 2000})
        );
        assert_eq!(
            value["refunds_required"],
            json!([{
                "payment_idempotency_key": "evt_1", "order_id": 12, "amount": "3,999.60",
                "received_at": "2025-12-02T19:00:26.000000Z",
            }])
        );
        assert_eq!(as_json(&report(false))["clean"], true);
    }

    #[test]
    fn an_audit_that_fails_is_not_a_breach() {
        assert_eq!(not_checked(Failure::Failed("gone".into())), Failure::NotChecked("gone".into()));
        assert_eq!(not_checked(Failure::Usage("what".into())), Failure::Usage("what".into()));
    }
}
