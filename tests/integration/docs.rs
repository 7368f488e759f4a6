//! The README's tables say what the program says. `UPDATE_README=1 cargo test --test readme` writes them anew.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use pstree_exporter::export::catalog::{CATALOG, Kind, Scope};

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

/// Compares what stands between the two markers.
fn check(section: &str, wanted: &str) {
    // Tests run side by side, and with UPDATE_README each writes the whole file.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let readme = fs::read_to_string(path()).expect("the README");
    let (begin, end) = (format!("<!-- begin {section} -->\n"), format!("<!-- end {section} -->"));
    let (head, rest) = readme.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (got, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(path(), [head, &begin, wanted, &end, tail].concat()).expect("the README can be written");
        return;
    }
    assert_eq!(got, wanted, "the README's {section} are not what the program says");
}

#[test]
fn every_metric_is_in_the_table() {
    let mut table = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for family in CATALOG {
        let kind = match family.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        let common = if family.scope == Scope::Container { &["id", "name"][..] } else { &[] };
        let labels: Vec<String> =
            common.iter().chain(family.labels).map(|label| format!("`{label}`")).collect();
        let help = family.help.replace("label_<name>", "`label_<name>`").replace("|", "\\|");
        writeln!(table, "| `{}` | {kind} | {} | {help} |", family.name, labels.join(", ")).unwrap();
    }
    check("metrics", &table);
}

#[test]
fn every_flag_is_in_the_table() {
    let output = Command::new(crate::support::BINARY).arg("--help").output().expect("it runs");
    let help = String::from_utf8(output.stdout).expect("text");
    let options = help.split_once("Options:").expect("a list of options").1;
    let options = options.rsplit_once("\n\n").expect("a last paragraph").0;
    check("flags", &format!("```\n{}\n```\n", options.trim_matches('\n')));
}

#[test]
fn every_flag_of_trees_is_in_the_fold() {
    let help = |command: &str| {
        let output = Command::new(crate::support::BINARY).args([command, "-h"]).output().expect("it runs");
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    };
    check("tree", &format!("```\n{}\n\n{}\n```\n", help("tree"), help("roots")));
}
