//! Grafana's dashboards, as far as the tests look into them: panels, queries, variables.
//!
//! What does not belong here: what must be true of them.

use serde_json::Value;

use crate::files::{elements, root, text};

/// Where they are kept.
pub(crate) const FOLDER: &str = "dashboards/grafana";

/// A dashboard.
pub(crate) struct Dashboard {
    /// Its file, from the top of the repository.
    pub(crate) file: String,
    /// Its text.
    pub(crate) text: String,
    /// What is in it.
    pub(crate) json: Value,
}

/// A query of a panel.
pub(crate) struct Query<'a> {
    /// Dashboard, panel and letter, for people.
    pub(crate) place: String,
    /// In Prometheus' language, with Grafana's variables.
    pub(crate) expression: &'a str,
    /// Whether one moment is asked for, not a span.
    pub(crate) is_instant: bool,
}

impl Dashboard {
    /// Every dashboard there is.
    pub(crate) fn all() -> Vec<Self> {
        let entries = std::fs::read_dir(root().join(FOLDER)).expect("a folder of dashboards");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
            .collect();
        names.sort();
        names.into_iter().map(|name| Self::read(&format!("{FOLDER}/{name}"))).collect()
    }

    fn read(file: &str) -> Self {
        let text = text(file);
        let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        Self { file: file.to_owned(), text, json }
    }

    /// Every panel, rows and what is folded into them included.
    pub(crate) fn panels(&self) -> Vec<&Value> {
        elements(&self.json["panels"])
            .flat_map(|panel| std::iter::once(panel).chain(elements(&panel["panels"])))
            .collect()
    }

    /// Every panel that shows something: all but rows.
    pub(crate) fn showing(&self) -> Vec<&Value> {
        self.panels().into_iter().filter(|panel| panel["type"] != "row").collect()
    }

    /// Where a panel is, for people.
    pub(crate) fn place(&self, panel: &Value) -> String {
        format!("{}, panel {} {}", self.file, panel["id"], panel["title"])
    }

    /// Every query that Prometheus gets: those of panels, and those of annotations.
    pub(crate) fn queries(&self) -> Vec<Query<'_>> {
        let of_panels = self.showing().into_iter().flat_map(|panel| {
            elements(&panel["targets"])
                .map(move |target| (target, format!("{} {}", self.place(panel), target["refId"])))
        });
        let of_annotations = elements(&self.json["annotations"]["list"])
            .map(|annotation| (annotation, format!("{}, annotation {}", self.file, annotation["name"])));
        of_panels
            .chain(of_annotations)
            .filter_map(|(target, place)| {
                let expression = target["expr"].as_str()?;
                Some(Query { place, expression, is_instant: target["instant"] == true })
            })
            .collect()
    }

    /// The variables: name and definition.
    pub(crate) fn variables(&self) -> Vec<(&str, &Value)> {
        elements(&self.json["templating"]["list"])
            .map(|variable| (variable["name"].as_str().expect("a variable has a name"), variable))
            .collect()
    }
}

/// The names of metrics in a text: every word that begins with one of the prefixes of what the server exports.
pub(crate) fn metric_names(text: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    text.split(|c: char| !is_part(c))
        .filter(|word| {
            ["holdfast_", "http_server_", "process_", "tokio_"].iter().any(|prefix| word.starts_with(prefix))
        })
        .collect()
}
