//! The reports for programs and for terminals: what is in them, and that nothing in a history breaks them.

use holdfast_loadtest::report::{Kind, terminal, write};
use serde_json::Value;

use crate::sample::{NASTY, Sample};

fn written(kind: Kind, sample: &Sample) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/for/it/report");
    write(kind, &path, &sample.run()).unwrap();
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn json_has_the_verdict_and_the_figures() {
    let report: Value = serde_json::from_str(&written(Kind::Json, &Sample::broken())).unwrap();
    assert_eq!(report["format"], 1);
    assert_eq!(report["verdict"]["standing"], "broken");
    assert_eq!(report["verdict"]["exit_code"], 1);
    let checks = report["checks"].as_array().unwrap();
    let oversell = checks.iter().find(|check| check["check"] == "no_oversell").unwrap();
    assert_eq!((&oversell["standing"], &oversell["breaches_in_all"]), (&"broken".into(), &5.into()));
    let records = oversell["breaches"][0]["records"].as_array().unwrap();
    assert_eq!(records.len(), 2, "a position that the history does not have is left out");
    assert_eq!(records[0]["position"], 3);
    let thresholds = report["thresholds"].as_array().unwrap();
    let reached: Vec<_> = thresholds.iter().map(|one| one["reached"].as_str().unwrap()).collect();
    assert_eq!(reached, ["missed", "met", "unknown"]);
    let sum = |member: &str| -> u64 {
        report["endpoints"].as_array().unwrap().iter().map(|one| one[member].as_u64().unwrap()).sum()
    };
    assert_eq!(report["total"]["requests"], sum("requests"));
    assert_eq!((sum("errors"), &report["total"]["errors"]), (0, &0.into()), "chaos is the only one that breaks things");
    assert!(report["chaos"]["errors"].as_u64().unwrap() > 0);
    let requests = sum("requests") + report["chaos"]["requests"].as_u64().unwrap();
    let steps = report["timeline"]["steps"].as_array().unwrap();
    assert_eq!(steps.iter().map(|step| step["requests"].as_u64().unwrap()).sum::<u64>(), requests);
    let boundary = report["stocks"].as_array().unwrap().iter().find(|one| one["scenario"] == "boundary").unwrap();
    let most = boundary["steps"].as_array().unwrap().iter().map(|step| step["held"].as_u64().unwrap()).max();
    assert_eq!((&boundary["stocked"], most), (&100.into(), Some(112)));
}

#[test]
fn junit_has_a_case_for_each_check_and_threshold() {
    let text = written(Kind::Junit, &Sample::broken());
    let report = roxmltree::Document::parse(&text).unwrap();
    let count = |tag: &str| report.descendants().filter(|node| node.has_tag_name(tag)).count();
    assert_eq!((count("testcase"), count("failure"), count("error"), count("skipped")), (12 + 3, 2 + 1, 1 + 1, 1));
    let root = report.root_element();
    assert_eq!((root.attribute("failures"), root.attribute("errors")), (Some("3"), Some("2")));
    let case = |name: &str| report.descendants().find(|node| node.attribute("name") == Some(name)).unwrap();
    let failure = case("no_oversell").children().find(|node| node.has_tag_name("failure")).unwrap();
    assert!(failure.attribute("message").unwrap().starts_with("104 units of 100"));
    assert!(failure.text().unwrap().contains("Repeat it: holdfast-loadtest run --seed 4821"));
    assert!(case("fail if p99(hold) > 1us").children().any(|node| node.has_tag_name("failure")));
    assert_eq!(case("seed").attribute("value"), Some("4821"));
}

#[test]
fn junit_of_a_run_that_is_not_whole_has_an_error() {
    let text = written(Kind::Junit, &Sample::empty());
    let report = roxmltree::Document::parse(&text).unwrap();
    let named_run = |node: &roxmltree::Node| node.has_tag_name("testcase") && node.attribute("name") == Some("run");
    let run = report.descendants().find(named_run).unwrap();
    assert!(run.children().any(|node| node.has_tag_name("error")));
    assert_eq!(report.descendants().filter(|node| node.has_tag_name("failure")).count(), 0);
}

#[test]
fn markdown_says_what_happened() {
    let text = written(Kind::Markdown, &Sample::broken());
    for part in [
        "## ❌ Broken: the sale oversold, and 1 more check found breaches",
        "| ❌ broken | `no_oversell` | 12,345 |",
        "| ❔ unknown | `deadlines` | 3 |",
        "| ➖ not applicable | `audit` | – |",
        "| ❌ missed | `p99(hold) > 1us` |",
        "**no_oversell**: 104 units of 100",
        ", 0 errors (0 %)",
        "requests in chaos",
        "| hold | ",
        "| chaos | ",
        "holdfast-loadtest run --seed 4821",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(written(Kind::Markdown, &Sample::held()).starts_with("## ✅ Held"));
}

#[test]
fn the_terminal_ends_with_the_verdict_and_what_to_do() {
    let text = terminal(&Sample::broken().run());
    let order = [
        "broken",
        "no_oversell: 104 units of 100",
        "and 4 more of no_oversell",
        ", 0 errors (0 %)",
        "requests in chaos",
        "Broken: the sale oversold",
        "repeat",
        "exit",
    ];
    let mut from = 0;
    for part in order {
        from += text[from..].find(part).unwrap_or_else(|| panic!("{part} is not in its place in:\n{text}"));
    }
    assert!(text.contains("1 threshold missed") && text.ends_with("exit     1: a promise was broken\n"), "{text}");
}

#[test]
fn nothing_in_a_history_breaks_a_report() {
    let nasty = Sample::nasty();
    let json: Value = serde_json::from_str(&written(Kind::Json, &nasty)).unwrap();
    assert_eq!(json["run"]["command"], NASTY);
    let junit = written(Kind::Junit, &nasty);
    let report = roxmltree::Document::parse(&junit).unwrap();
    assert!(report.descendants().any(|node| node.attribute("value").is_some_and(|value| value.contains("<script>"))));
    let markdown = written(Kind::Markdown, &nasty);
    let outside_of_code = markdown.split("```").step_by(2).collect::<String>();
    assert!(!outside_of_code.contains("<script>"), "{outside_of_code}");
    for row in outside_of_code.lines().filter(|line| line.starts_with("| ")) {
        assert!([5, 4, 10].contains(&row.matches('|').count()), "{row}");
    }
    let html = written(Kind::Html, &nasty);
    assert_eq!(html.matches("<script").count(), 1);
    let twice = html.split('<').find(|tag| tag.split('>').next().is_some_and(|tag| tag.matches(" class=").count() > 1));
    assert_eq!(twice, None, "a browser takes the first class attribute of a tag only");
    let terminal = terminal(&nasty.run());
    assert!(!terminal.contains(|letter: char| letter.is_control() && letter != '\n'), "{terminal:?}");
}

#[test]
fn units_over_the_stock_are_drawn_as_such() {
    let over = |sample: &Sample| written(Kind::Html, sample).matches("class=\"over\" d=\"M").count();
    assert_eq!((over(&Sample::held()), over(&Sample::broken())), (0, 1));
}

#[test]
fn an_empty_run_is_reported_all_the_same() {
    let empty = Sample::empty();
    for kind in [Kind::Html, Kind::Json, Kind::Junit, Kind::Markdown] {
        assert!(!written(kind, &empty).is_empty());
    }
    assert!(terminal(&empty.run()).contains("Unknown: the run was interrupted"));
}

#[test]
fn a_report_that_cannot_be_written_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let error = write(Kind::Json, folder.path(), &Sample::held().run()).unwrap_err().to_string();
    assert!(error.contains(&folder.path().display().to_string()), "{error}");
}
