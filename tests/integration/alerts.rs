//! The rules use only existing metrics, and every alert has the texts that an operator needs. `alerts/tests` and, on
//! real containers, `make incidents` test what the rules detect.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::rules::{faster, files};
use pstree_exporter::export::catalog::CATALOG;

fn rules() -> Vec<(String, String)> {
    files()
        .iter()
        .map(|path| (path.display().to_string(), fs::read_to_string(path).expect("a file of text")))
        .collect()
}

/// The text of each alert, from its name to the next rule.
fn alerts() -> Vec<(String, String)> {
    let all: Vec<String> = rules().into_iter().map(|(_, text)| text).collect();
    let all = all.join("\n");
    let parts = all.split("- alert: ").skip(1);
    parts.map(|part| (unquoted(part.lines().next().expect("a name")), part.to_owned())).collect()
}

fn unquoted(value: &str) -> String {
    value.trim_matches('"').replace("\\\"", "\"")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
}

#[test]
fn every_name_exists() {
    let rules = rules();
    let recorded: BTreeSet<&str> = rules
        .iter()
        .flat_map(|(_, text)| text.lines())
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("record: "))
        .map(|name| name.trim_matches('"'))
        // A series and a label of users: docs/alerts.md.
        .chain(["container:pstree_alert:muted", "label_pstree_mute"])
        .collect();
    assert!(!recorded.is_empty());
    for (path, text) in &rules {
        for word in words(text).filter(|word| word.contains("pstree_")) {
            let is_known = CATALOG.iter().any(|family| family.has_sample(word)) || recorded.contains(word);
            assert!(is_known, "{path}: {word}");
        }
    }
}

#[test]
fn alerts_say_what_an_operator_needs() {
    let alerts = alerts();
    assert!(alerts.len() >= 15);
    for (name, text) in &alerts {
        assert!(name.starts_with("Pstree"), "{name}");
        assert!(
            text.contains("severity: \"warning\"") || text.contains("severity: \"critical\""),
            "{name}: severity"
        );
        let line = |key: &str| text.lines().find_map(|line| line.trim().strip_prefix(key)).map(unquoted);
        let summary = line("summary: ").unwrap_or_else(|| panic!("{name}: summary"));
        assert!(!summary.contains("{{") && summary.ends_with('.'), "{name}: a static sentence sums it up");
        assert!(
            line("description: ")
                .is_some_and(|it| it.contains("{{ $labels.") || name == "PstreeExporterAbsent"),
            "{name}: says where"
        );
        let page = line("runbook_url: ").unwrap_or_else(|| panic!("{name}: runbook_url"));
        let page = page.strip_prefix("https://pstree-exporter.example.org/").expect("an absolute address");
        assert_eq!(page, format!("docs/runbooks/{name}.md"));
        let runbook = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page));
        assert!(runbook.unwrap_or_else(|_| panic!("{page} is missing")).contains(name), "{page}");
    }
}

#[test]
fn runbooks_about_containers_begin_with_the_tree() {
    for (name, text) in alerts() {
        if !text.contains("$labels.name") {
            continue;
        }
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/runbooks/{name}.md"));
        let page = fs::read_to_string(page).expect("a runbook");
        let (_, commands) = page.split_once("```sh\n").expect("commands");
        let first = commands.lines().next().unwrap_or_default();
        assert!(first.starts_with("pstree-exporter tree"), "{name}: {first}");
    }
}

#[test]
fn the_overrides_in_the_documentation_are_those_that_are_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("a file");
    let example = read("alerts/overrides/example.yaml");
    let (_, groups) = example.split_once('\n').expect("a comment above the groups");
    assert!(read("docs/alerts.md").contains(groups));
}

#[test]
fn every_alert_is_in_a_test() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("alerts/tests");
    let files = fs::read_dir(directory).expect("tests").flatten();
    let tests: String = files.map(|file| fs::read_to_string(file.path()).expect("a test")).collect();
    // An alert that must not fire is in a test without `exp_alerts`.
    let fires = |name: &str| {
        let expects = |test: &str| test.lines().nth(1).is_some_and(|line| line.trim() == "exp_alerts:");
        let is_expected = tests.split(&format!("- alertname: {name}\n")).skip(1).any(expects);
        is_expected || tests.contains(&format!("labels: '{{alertname=\"{name}\""))
    };
    for (name, _) in alerts() {
        assert!(fires(&name), "{name}");
    }
}

#[test]
fn no_runbook_without_its_alert() {
    let names: BTreeSet<String> = alerts().into_iter().map(|(name, _)| name).collect();
    let pages = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks")).expect("runbooks");
    for page in pages.flatten() {
        let name = page.file_name().to_string_lossy().trim_end_matches(".md").to_owned();
        assert!(name == "README" || names.contains(&name), "{name}");
    }
}

#[test]
fn durations_are_divided_and_nothing_else() {
    let rule = "interval: 1m\nfor: 2m\nexpr: rate(a:rate1m[1m]) > 50 and b offset 30s > 0.5 and predict_linear(c[10m], 1800) > 12 * 3600";
    let faster = faster(rule, 5);
    assert_eq!(
        faster,
        "interval: 12000ms\nfor: 24000ms\nexpr: rate(a:rate1m[12000ms]) > 50 and b offset 6000ms > 0.5 and predict_linear(c[120000ms], 360) > 12 * 3600"
    );
}
