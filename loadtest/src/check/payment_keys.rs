//! `payment_keys`: a payment key takes effect once, for one order, with one content; a refused event uses up nothing.
//!
//! Why a right server cannot break it: it keeps one content (order and final news) with each key, for good, and answers
//! any other content with 409 and that content with 200 (I5). So two contents are never both accepted, one content is
//! never both accepted and in conflict, and a conflict needs another final content that may have been taken. A refused event
//! writes nothing, and `pending` does not use its key up: neither is such a content.

use super::Check;
use super::findings::Findings;
use super::ledger::{Delivery, Ledger, Seen};
use super::words::key_name;
use crate::history::News;

pub(super) fn judge(ledger: &Ledger<'_>, findings: &mut Findings) {
    for (key, contents) in &ledger.payment_keys {
        let answers: u64 = contents.iter().map(|content| u64::from(content.answers)).sum();
        // One answer shows nothing yet.
        findings.judged_many(Check::PaymentKeys, answers.saturating_sub(1));
        let key = key_name(*key);
        let accepted: Vec<(&Delivery, Seen)> = contents
            .iter()
            .filter(|content| content.is_final())
            .filter_map(|content| Some((content, content.accepted?)))
            .collect();
        if let [(first, one), (second, other), ..] = accepted[..] {
            let product = ledger.product_of_order(first.order);
            findings.breach(
                Check::PaymentKeys,
                product,
                one.ended.max(other.ended),
                &[one.record, other.record],
                || {
                    format!(
                        "payment {key} was accepted for {} and for {}",
                        content_in_words(first),
                        content_in_words(second)
                    )
                },
            );
        }
        for content in contents {
            if let Some(conflict) = content.conflict {
                judge_conflict(ledger, &key, contents, content, conflict, findings);
            }
        }
    }
}

fn judge_conflict(
    ledger: &Ledger<'_>,
    key: &str,
    contents: &[Delivery],
    content: &Delivery,
    conflict: Seen,
    findings: &mut Findings,
) {
    let product = ledger.product_of_order(content.order);
    if let Some(accepted) = content.accepted.filter(|_| content.is_final()) {
        let at = accepted.ended.max(conflict.ended);
        findings.breach(Check::PaymentKeys, product, at, &[accepted.record, conflict.record], || {
            format!(
                "payment {key} was both accepted (at {:.3} s) and refused as a conflict (at {:.3} s) with the same content, {}",
                accepted.ended.seconds(),
                conflict.ended.seconds(),
                content_in_words(content)
            )
        });
        return;
    }
    let same = |other: &Delivery| other.order == content.order && other.news == content.news;
    let excused = contents.iter().any(|other| {
        other.is_final() && !same(other) && other.perhaps.is_some_and(|perhaps| perhaps.invoked <= conflict.ended)
    });
    if !excused && ledger.whole {
        let refused = contents.iter().find_map(|other| Some((other, other.order_unknown?)));
        let records: Vec<u32> = refused.iter().map(|(_, seen)| seen.record).chain([conflict.record]).collect();
        findings.breach(Check::PaymentKeys, product, conflict.ended, &records, || {
            let why = refused
                .map(|(other, _)| format!(": it was used up by a refused event for order {}", other.order))
                .unwrap_or_default();
            format!(
                "payment {key} was refused as a conflict for {}, though no other content of it can have been taken{why}",
                content_in_words(content)
            )
        });
    }
}

fn content_in_words(content: &Delivery) -> String {
    let news = match content.news {
        News::Success => "success",
        News::Failure => "failure",
        News::Pending => "pending",
    };
    format!("{news} of order {}", content.order)
}
