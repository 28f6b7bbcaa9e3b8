//! `holdfast audit`: the invariants on one consistent snapshot, as tables or as JSON.
//!
//! What belongs here: how a report looks. What does not: the checks themselves (`store`). The JSON is
//! an interface: members are added, never renamed or removed.

use sale::{Breach, Invariant};
use serde::Serialize;

use super::database::{Database, Schema};
use super::refund::{self, RefundRow};
use super::table::{Align, Table, counted};
use super::{Failure, print, print_json};
use crate::config::Sources;
use crate::store::AuditReport;

/// Checks, prints, and fails if there is a breach.
pub(super) async fn run(sources: &Sources<'_>, json: bool) -> Result<(), Failure> {
    let report = check(sources).await.map_err(not_checked)?;
    if json {
        print_json(&Report::from(&report))?;
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

/// The report for programs.
#[derive(Serialize)]
struct Report {
    clean: bool,
    checks: [CheckRow; Invariant::ALL.len()],
    breaches: Vec<BreachRow>,
    checked: Checked,
    refunds_required: Vec<RefundRow>,
}

#[derive(Serialize)]
struct CheckRow {
    code: &'static str,
    rule: &'static str,
    held: bool,
    breaches: usize,
}

#[derive(Serialize)]
struct BreachRow {
    code: &'static str,
    product_id: u64,
    detail: String,
}

#[derive(Serialize)]
struct Checked {
    products: u64,
    holds: u64,
    orders: u64,
    payment_events: u64,
    movements: u64,
}

impl From<&AuditReport> for Report {
    fn from(report: &AuditReport) -> Self {
        let AuditReport { products, holds, orders, payment_events, movements, breaches, refunds } = report;
        Self {
            clean: breaches.is_empty(),
            checks: Invariant::ALL.map(|invariant| {
                let breaches = of(report, invariant);
                CheckRow { code: invariant.code(), rule: invariant.rule(), held: breaches == 0, breaches }
            }),
            breaches: breaches
                .iter()
                .map(|breach| BreachRow {
                    code: breach.invariant.code(),
                    product_id: breach.product_id.0,
                    detail: breach.detail.clone(),
                })
                .collect(),
            checked: Checked {
                products: *products,
                holds: *holds,
                orders: *orders,
                payment_events: *payment_events,
                movements: *movements,
            },
            refunds_required: refunds.iter().map(RefundRow::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use sale::{Key, Money, OrderId, ProductId, Timestamp};
    use serde_json::json;

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
        let value = serde_json::to_value(Report::from(&report(true))).expect("JSON");
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
        assert!(Report::from(&report(false)).clean);
    }

    #[test]
    fn an_audit_that_fails_is_not_a_breach() {
        assert_eq!(not_checked(Failure::Failed("gone".into())), Failure::NotChecked("gone".into()));
        assert_eq!(not_checked(Failure::Usage("what".into())), Failure::Usage("what".into()));
    }
}
