//! Dashboards ask only for metrics that exist, and only the data source that their variable names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pstree_exporter::metrics::catalog::CATALOG;

fn dashboards() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards");
    let files = fs::read_dir(directory).expect("the directory").flatten().map(|entry| entry.path());
    let json = files.filter(|path| path.extension().is_some_and(|it| it == "json"));
    json.map(|path| (path.display().to_string(), fs::read_to_string(&path).expect("text"))).collect()
}

#[test]
fn every_metric_exists() {
    let known: BTreeSet<&str> = CATALOG.iter().map(|family| family.name).collect();
    let dashboards = dashboards();
    assert!(!dashboards.is_empty());
    for (path, text) in dashboards {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let metrics: BTreeSet<&str> = words.filter(|word| word.starts_with("pstree_")).collect();
        assert!(metrics.len() > 5, "{path} has next to no metric");
        for metric in metrics {
            assert!(known.contains(metric), "{path} asks for {metric}");
        }
    }
}

#[test]
fn dashboards_can_be_provisioned_as_they_are() {
    for (path, text) in dashboards() {
        assert!(!text.contains("__inputs"), "{path}: inputs resolve only in the import page");
        for line in text.lines().filter(|line| line.contains("\"uid\": ")) {
            let is_own = line.contains("\"uid\": \"pstree-");
            assert!(is_own || line.contains("${datasource}"), "{path}: {line}");
        }
        let panels = text.matches("\"gridPos\"").count();
        assert_eq!(
            text.matches("\"description\": \"").count(),
            panels + 1,
            "{path}: each panel says what it means"
        );
    }
}
