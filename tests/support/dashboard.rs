//! The shipped dashboards, and the expressions in them.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

pub struct Dashboard {
    pub file: String,
    pub json: Value,
}

pub fn dashboards() -> Vec<Dashboard> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let entries = fs::read_dir(directory).expect("the directory").flatten().map(|entry| entry.path());
    let files = entries.filter(|path| path.extension().is_some_and(|it| it == "json"));
    let mut dashboards: Vec<_> = files
        .map(|path| {
            let file = path.file_name().expect("a file").to_string_lossy().into_owned();
            let json = serde_json::from_str(&fs::read_to_string(&path).expect("text")).expect("JSON");
            Dashboard { file, json }
        })
        .collect();
    dashboards.sort_by(|a, b| a.file.cmp(&b.file));
    dashboards
}

impl Dashboard {
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        let panels = self.json["panels"].as_array().expect("panels").iter();
        panels
            .flat_map(|panel| std::iter::once(panel).chain(panel["panels"].as_array().into_iter().flatten()))
    }

    pub fn variables(&self) -> impl Iterator<Item = &Value> {
        self.json["templating"]["list"].as_array().expect("variables").iter()
    }

    /// The expressions of all panels and annotations, each with its location.
    pub fn expressions(&self) -> impl Iterator<Item = (String, String)> {
        let panels = self.panels().flat_map(|panel| {
            let targets = panel["targets"].as_array().into_iter().flatten();
            targets.map(move |target| (panel["title"].to_string(), target["expr"].clone()))
        });
        let annotations = self.json["annotations"]["list"].as_array().into_iter().flatten();
        let annotations = annotations.map(|it| {
            let expression = if it["expr"].is_string() { &it["expr"] } else { &it["target"]["expr"] };
            (it["name"].to_string(), expression.clone())
        });
        let all = panels.chain(annotations);
        all.filter_map(|(place, expression)| {
            Some((format!("{}: {place}", self.file), expression.as_str()?.to_owned()))
        })
    }

    /// The selectors in `label_values(selector, label)` of all variables.
    pub fn variable_queries(&self) -> impl Iterator<Item = (String, String)> {
        self.variables().filter_map(|variable| {
            let query = variable["query"]["query"].as_str().or(variable["query"].as_str())?;
            let inside = query.strip_prefix("label_values(")?;
            let selector = inside.rsplit_once(',')?.0;
            Some((format!("{}: {}", self.file, variable["name"]), selector.to_owned()))
        })
    }
}

/// Every metric in an expression, with the text of its matchers between the braces. Finds the metrics of the exporter,
/// recorded series and two series of Prometheus itself. Functions and labels do not have such names.
pub fn selectors(expression: &str) -> Vec<(String, String)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            rest = rest[1..].split_once('"').map_or("", |(_, after)| after);
            continue;
        }
        if !is_part(first) {
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, behind) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        rest = behind;
        let matchers = rest.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        if let Some((_, after)) = matchers {
            rest = after;
        }
        if word.contains("pstree_") || word.starts_with("process_") || ["ALERTS", "up"].contains(&word) {
            let matchers = matchers.map_or("", |(inside, _)| inside);
            found.push((word.to_owned(), matchers.to_owned()));
        }
    }
    found
}

/// The names that the shipped rules record.
pub fn recorded() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/recording.yaml");
    let text = fs::read_to_string(path).expect("rules");
    let names = text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("record: "));
    names.map(|name| name.trim_matches('"').to_owned()).collect()
}
