//! The dashboards against Grafana's model of a dashboard, as far as that shows without Grafana, and
//! against what the reader of a panel needs: a description and a unit.
//!
//! What does not belong here: whether queries have data (`queries`).

use std::collections::{BTreeMap, BTreeSet};

use holdfast_test_support::number;
use serde_json::Value;

use crate::dashboards::Dashboard;
use crate::files::{elements, members};

/// The least `schemaVersion` whose form is checked here.
const SCHEMA_VERSION: u64 = 39;
/// Panels that every Grafana has.
const PANEL_TYPES: [&str; 11] = [
    "alertlist",
    "annolist",
    "bargauge",
    "gauge",
    "heatmap",
    "row",
    "stat",
    "state-timeline",
    "table",
    "timeseries",
    "traces",
];
/// Grafana's ids of units: what it does not know it writes behind the number.
const UNITS: [&str; 12] = [
    "bytes",
    "dateTimeAsIso",
    "dateTimeFromNow",
    "decbytes",
    "locale",
    "none",
    "ops",
    "percentunit",
    "reqps",
    "s",
    "short",
    "string",
];
const VARIABLE_TYPES: [&str; 5] = ["constant", "custom", "datasource", "query", "textbox"];
/// Variables of Grafana's own; of some, the name only begins so.
const BUILT_IN: [&str; 2] = ["__", "_"];

#[test]
fn each_file_is_written_as_a_program_would() {
    for Dashboard { file, text, json } in Dashboard::all() {
        let written = serde_json::to_string_pretty(&json).expect("JSON can be written") + "\n";
        assert!(text == written, "{file}: write it with sorted names, two spaces, a line end");
    }
}

#[test]
fn each_dashboard_is_one_of_its_own() {
    let dashboards = Dashboard::all();
    assert!(dashboards.len() >= 3, "the sale, the engine, the load test");
    let uids: BTreeSet<&str> = dashboards.iter().map(|dashboard| string(&dashboard.json["uid"])).collect();
    assert_eq!(uids.len(), dashboards.len());
    for Dashboard { file, json, text } in &dashboards {
        assert!(number(&json["schemaVersion"]) >= SCHEMA_VERSION, "{file}");
        assert!(json["id"].is_null(), "{file}: its id is its Grafana's business");
        for name in ["title", "description", "refresh"] {
            assert!(!string(&json[name]).is_empty(), "{file}: {name}");
        }
        assert!(elements(&json["tags"]).any(|tag| tag == "holdfast"), "{file}");
        // A link to another dashboard names one that is there.
        for uid in text.split("/d/").skip(1).filter_map(|rest| rest.split(['/', '?', '"']).next()) {
            assert!(uids.contains(uid), "{file}: a link to {uid}");
        }
    }
}

#[test]
fn each_panel_says_what_it_shows_and_in_which_unit() {
    for dashboard in Dashboard::all() {
        let mut titles = BTreeSet::new();
        for panel in dashboard.showing() {
            let place = dashboard.place(panel);
            assert!(string(&panel["description"]).len() > 20, "{place}: no description");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(UNITS.contains(&string(&defaults["unit"])), "{place}: unit {}", defaults["unit"]);
            assert!(titles.insert(string(&panel["title"])), "{place}: two of this title");
            for r#override in elements(&panel["fieldConfig"]["overrides"]) {
                assert!(r#override["matcher"]["id"].is_string(), "{place}: {override}");
                for property in elements(&r#override["properties"]) {
                    let is_unit = property["id"] == "unit";
                    assert!(!is_unit || UNITS.contains(&string(&property["value"])), "{place}: {property}");
                }
            }
        }
    }
}

#[test]
fn panels_have_the_form_that_grafana_reads() {
    for dashboard in Dashboard::all() {
        let mut ids = BTreeSet::new();
        for panel in dashboard.panels() {
            let place = dashboard.place(panel);
            assert!(ids.insert(number(&panel["id"])), "{place}: two of this id");
            assert!(PANEL_TYPES.contains(&string(&panel["type"])), "{place}: {}", panel["type"]);
            assert!(!string(&panel["title"]).is_empty(), "{place}");
        }
        for panel in dashboard.showing() {
            let place = dashboard.place(panel);
            // Those ask Grafana itself.
            if matches!(string(&panel["type"]), "alertlist" | "annolist") {
                continue;
            }
            let mut letters = BTreeSet::new();
            for target in elements(&panel["targets"]) {
                assert!(letters.insert(string(&target["refId"])), "{place}: two of this letter");
                assert_eq!(target["datasource"], panel["datasource"], "{place}");
                let is_range = target["range"] == true;
                assert!(target.get("expr").is_none() || is_range != (target["instant"] == true), "{place}");
            }
            assert!(!letters.is_empty(), "{place} asks for nothing");
            for thresholds in elements(&panel["fieldConfig"]["defaults"]["thresholds"]["steps"]).take(1) {
                assert!(thresholds["value"].is_null(), "{place}: the first threshold is the base");
            }
        }
    }
}

#[test]
fn panels_lie_beside_each_other() {
    for dashboard in Dashboard::all() {
        let mut taken: BTreeMap<(u64, u64), String> = BTreeMap::new();
        for panel in elements(&dashboard.json["panels"]) {
            let place = dashboard.place(panel);
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| number(&panel["gridPos"][name]));
            assert!(w > 0 && h > 0 && x + w <= 24, "{place}: {}", panel["gridPos"]);
            for cell in (x..x + w).flat_map(|column| (y..y + h).map(move |row| (column, row))) {
                if let Some(other) = taken.insert(cell, place.clone()) {
                    panic!("{place} lies on {other}");
                }
            }
        }
    }
}

#[test]
fn data_sources_are_chosen_by_variables() {
    for dashboard in Dashboard::all() {
        let sources: BTreeMap<String, String> = dashboard
            .variables()
            .into_iter()
            .filter(|(_, variable)| variable["type"] == "datasource")
            .map(|(name, variable)| (format!("${{{name}}}"), string(&variable["query"]).to_owned()))
            .collect();
        for kind in ["prometheus", "tempo"] {
            assert!(sources.values().any(|known| known == kind), "{}: no variable for {kind}", dashboard.file);
        }
        let mut count = 0;
        every_member(&dashboard.json, &mut |name, value| {
            // Of Grafana's own, for what it adds to every dashboard.
            if name == "datasource" && value["uid"] != "-- Grafana --" {
                let expected = sources.get(string(&value["uid"])).map(String::as_str);
                assert_eq!(value["type"].as_str(), expected, "{}: {value}", dashboard.file);
                count += 1;
            }
        });
        assert!(count > dashboard.showing().len(), "{}: {count} data sources", dashboard.file);
    }
}

#[test]
fn variables_that_are_used_exist_and_those_that_exist_are_used() {
    for dashboard in Dashboard::all() {
        let mut unused: BTreeSet<&str> = BTreeSet::new();
        for (name, variable) in dashboard.variables() {
            assert!(unused.insert(name), "{}: two variables {name}", dashboard.file);
            assert!(VARIABLE_TYPES.contains(&string(&variable["type"])), "{}: {name}", dashboard.file);
            assert!(!string(&variable["description"]).is_empty(), "{}: {name}", dashboard.file);
        }
        let known = unused.clone();
        for used in used_variables(&dashboard.text) {
            unused.remove(used);
            let is_built_in = BUILT_IN.iter().any(|prefix| used.starts_with(prefix));
            assert!(known.contains(used) || is_built_in, "{}: ${used} is no variable", dashboard.file);
        }
        assert!(unused.is_empty(), "{}: {unused:?} are never used", dashboard.file);
    }
}

#[test]
fn each_dashboard_leads_to_traces() {
    for dashboard in Dashboard::all() {
        let file = &dashboard.file;
        assert!(
            dashboard.variables().iter().any(|(name, it)| *name == "trace_id" && it["type"] == "textbox"),
            "{file}"
        );
        let traces: Vec<_> = dashboard.showing().into_iter().filter(|panel| panel["type"] == "traces").collect();
        assert_eq!(traces.len(), 1, "{file}");
        assert_eq!(traces[0]["targets"][0]["query"], "${trace_id}", "{file}");
        let linked = dashboard.showing().into_iter().filter(|panel| {
            elements(&panel["fieldConfig"]["defaults"]["links"]).any(|link| {
                let url = string(&link["url"]);
                url.starts_with("/explore?") && url.contains("${traces}") && url.contains("resource.service.name")
            })
        });
        assert!(linked.count() >= 3, "{file}: panels with a way to their traces");
    }
}

/// What stands behind each dollar sign: `$name` or `${name:format}`.
fn used_variables(text: &str) -> Vec<&str> {
    text.split('$')
        .skip(1)
        .map(|rest| rest.strip_prefix('{').unwrap_or(rest))
        .filter_map(|rest| rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next())
        .filter(|name| !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()))
        .collect()
}

/// Shows every member of every object in a value.
fn every_member(value: &Value, see: &mut impl FnMut(&str, &Value)) {
    for (name, member) in members(value) {
        see(name, member);
        every_member(member, see);
    }
    for element in elements(value) {
        every_member(element, see);
    }
}

#[track_caller]
fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
