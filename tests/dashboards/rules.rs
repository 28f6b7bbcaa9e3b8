//! The rules of Prometheus, their own tests, and the runbook.
//!
//! What does not belong here: whether their expressions have data (`queries`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::files::{elements, text, yaml};
use crate::prometheus::promtool;

const RULES: &str = "dashboards/prometheus/rules.yml";
const TESTS: &str = "dashboards/prometheus/rules.test.yml";
const RUNBOOK: &str = "dashboards/RUNBOOK.md";

#[tokio::test]
async fn the_rules_are_rules() {
    for arguments in [
        ["check", "rules", "--lint=all", "--lint-fatal", RULES].as_slice(),
        &["check", "config", "dashboards/prometheus/prometheus.yml"],
        &["test", "rules", TESTS],
    ] {
        let finished = promtool(arguments).await;
        assert_eq!(finished.code(), Some(0), "promtool {arguments:?}:\n{}{}", finished.out, finished.err);
    }
}

#[test]
fn each_alert_is_tested_firing_and_not_firing() {
    let mut tested: BTreeMap<String, BTreeSet<bool>> = BTreeMap::new();
    let tests = yaml(TESTS);
    for test in elements(&tests["tests"]).flat_map(|test| elements(&test["alert_rule_test"])) {
        let fires = elements(&test["exp_alerts"]).next().is_some();
        tested.entry(test["alertname"].as_str().expect("a name").to_owned()).or_default().insert(fires);
    }
    for (name, _) in alerts() {
        assert_eq!(tested.remove(&name), Some(BTreeSet::from([false, true])), "{name}");
    }
    assert!(tested.is_empty(), "tests of no alert: {tested:?}");
}

#[test]
fn each_alert_says_how_bad_it_is_and_what_to_do() {
    let runbook = text(RUNBOOK);
    let mut sections: BTreeMap<&str, &str> = runbook
        .split("\n## ")
        .skip(1)
        .map(|section| section.split_once('\n').unwrap_or((section, "")))
        .filter(|(title, _)| title.starts_with("Holdfast"))
        .collect();
    for (name, alert) in alerts() {
        let severity = alert["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning")), "{name}: {severity:?}");
        for annotation in ["summary", "description"] {
            let text = alert["annotations"][annotation].as_str().unwrap_or_default();
            assert!(text.len() > 10, "{name} has no {annotation}");
        }
        // As it is made of a heading wherever Markdown is shown.
        let link = format!("{RUNBOOK}#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], link, "{name}");
        let section = sections.remove(name.as_str()).unwrap_or_else(|| panic!("{name} has no section in {RUNBOOK}"));
        for part in ["**What it means.**", "**What to look at.**", "**What to do.**"] {
            assert!(section.contains(part), "{name}: {part} is missing");
        }
    }
    assert!(sections.is_empty(), "sections of no alert: {:?}", sections.keys());
}

/// The alerts by name, as the file has them.
fn alerts() -> BTreeMap<String, Value> {
    let rules = yaml(RULES);
    let alerts: BTreeMap<String, Value> = elements(&rules["groups"])
        .flat_map(|group| elements(&group["rules"]))
        .filter_map(|rule| Some((rule.get("alert")?.as_str()?.to_owned(), rule.clone())))
        .collect();
    assert!(!alerts.is_empty(), "no alerts in {RULES}");
    alerts
}

/// The parts of an expression that are not conditions: both sides of each comparison, of each `and`, `or`
/// and `unless`, and what is asked to be `absent`, which has no data while all is well. It takes expressions as
/// Prometheus writes them: one line, a space around operators.
pub(crate) fn without_comparisons(expression: &str) -> Vec<String> {
    let text = without_outer_parentheses(expression.trim());
    // From the weakest to the strongest.
    for operators in [
        [" or ", "", "", "", "", ""],
        [" and ", " unless ", "", "", "", ""],
        [" == ", " != ", " >= ", " <= ", " > ", " < "],
    ] {
        for operator in operators.into_iter().filter(|operator| !operator.is_empty()) {
            if let Some(at) = outermost(text, operator) {
                let (left, right) = (&text[..at], without_matching(&text[at + operator.len()..]));
                let mut parts = without_comparisons(left);
                parts.extend(without_comparisons(right));
                return parts;
            }
        }
    }
    let absent = text.strip_prefix("absent(").and_then(|text| text.strip_suffix(')'));
    vec![absent.unwrap_or(text).to_owned()]
}

/// Where an operator stands outside of all parentheses, braces and quotes, the last one.
fn outermost(text: &str, operator: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut found) = (0_i32, false, None);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' | '{' | '[' if !quoted => depth += 1,
            ')' | '}' | ']' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 && !quoted && text[at..].starts_with(operator) {
            found = Some(at);
        }
    }
    found
}

/// `(a or b)` is `a or b`; `(a) or (b)` is what it is.
fn without_outer_parentheses(text: &str) -> &str {
    let Some(inside) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) else { return text };
    let mut depth = 0_i32;
    for c in inside.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return text;
        }
    }
    without_outer_parentheses(inside.trim())
}

/// Without the labels that an operator matches by: `on (instance) b` is `b`.
fn without_matching(right: &str) -> &str {
    let mut right = right.trim_start();
    for word in ["bool", "on", "ignoring", "group_left", "group_right"] {
        let Some(rest) = right.strip_prefix(word).filter(|rest| rest.starts_with([' ', '('])) else { continue };
        let rest = rest.trim_start();
        right = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            Some((_, rest)) if word != "bool" => rest.trim_start(),
            _ => rest,
        };
    }
    right
}

#[test]
fn comparisons_are_taken_off() {
    for (expression, parts) in [
        ("up == 0", vec!["up", "0"]),
        ("rate(a{b=\"c > d\"}[5m]) / 2", vec!["rate(a{b=\"c > d\"}[5m]) / 2"]),
        ("(a > 14.4 * 0.001 and b > 2) or (c > 3)", vec!["a", "14.4 * 0.001", "b", "2", "c", "3"]),
        ("a > 0 and on (job, instance) time() - b < 600", vec!["a", "0", "time() - b", "600"]),
        ("up < 1 or absent(up{job=\"a\"})", vec!["up", "1", "up{job=\"a\"}"]),
        ("(sum by (x) (a > 1) unless b)", vec!["sum by (x) (a > 1)", "b"]),
    ] {
        assert_eq!(without_comparisons(expression), parts, "{expression}");
    }
}
