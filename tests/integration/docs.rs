//! The generated tables in `docs/` match the program. `UPDATE_DOCS=1 cargo test --test integration docs` writes them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use pstree_exporter::export::catalog::{CATALOG, Kind};

use crate::support::BINARY;

/// Compares the text between the two markers of a section.
fn check(file: &str, section: &str, expected: &str) {
    // Two sections can be in one file, and with UPDATE_DOCS each test writes the whole file.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (begin, end) = (format!("<!-- begin {section} -->\n"), format!("<!-- end {section} -->"));
    let (head, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("{file} has no {begin}"));
    let (found, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("{file} has no {end}"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, [head, &begin, expected, &end, tail].concat()).expect("the file can be written");
        return;
    }
    assert_eq!(found, expected, "{file} is outdated: run UPDATE_DOCS=1 cargo test --test integration docs");
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(BINARY).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_table_of_metrics_is_the_catalog() {
    let mut table = "| metric | type | stability | labels | meaning |\n|---|---|---|---|---|\n".to_owned();
    for family in CATALOG {
        let kind = match family.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        let common = family.scope.labels();
        let le: &[&str] = if family.kind == Kind::Histogram { &["le"] } else { &[] };
        let labels: Vec<String> =
            common.iter().chain(family.labels).chain(le).map(|label| format!("`{label}`")).collect();
        let help = family.help.replace("label_<name>", "`label_<name>`").replace("|", "\\|");
        let stability = family.stability.label();
        writeln!(table, "| `{}` | {kind} | {stability} | {} | {help} |", family.name, labels.join(", "))
            .unwrap();
    }
    check("docs/metrics.md", "metrics", &table);
}

#[test]
fn the_flags_of_the_exporter_are_those_of_its_help() {
    let help = help(&["--help"]);
    let options = help.split_once("Options:").expect("a list of options").1;
    let options = options.rsplit_once("\n\n").expect("a last paragraph").0;
    check("docs/flags.md", "flags", &format!("```\n{}\n```\n", options.trim_matches('\n')));
}

#[test]
fn the_flags_of_tree_and_roots_are_those_of_their_help() {
    let [tree, roots] = ["tree", "roots"].map(|command| help(&[command, "-h"]));
    check("docs/flags.md", "tree", &format!("```\n{}\n\n{}\n```\n", tree.trim_end(), roots.trim_end()));
}

#[test]
fn flags_for_tests_are_hidden() {
    for arguments in [&["--help"][..], &["tree", "--help"], &["roots", "--help"]] {
        assert!(!help(arguments).contains("--debug."), "{arguments:?}");
    }
}
