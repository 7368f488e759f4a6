//! Imports go in one direction, and pure modules do no I/O. Checks the paths in every source file, including those in
//! types, expressions and macros. Tests inside `src` are exempt.

mod paths;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use paths::{Import, read};

/// The modules that a top-level module may import besides itself, each with the reason.
struct Layer {
    module: &'static str,
    may_import: &'static [(&'static str, &'static str)],
}

const LAYERS: [Layer; 10] = [
    Layer { module: "model", may_import: &[] },
    Layer {
        module: "resolve",
        may_import: &[("model", "processes and containers are resolved to each other")],
    },
    Layer {
        module: "observe",
        may_import: &[
            ("model", "what is read becomes records"),
            ("resolve", "the walk asks which container a process is in"),
        ],
    },
    Layer { module: "names", may_import: &[("model", "container metadata")] },
    Layer {
        module: "collect",
        may_import: &[
            ("model", "what a collection makes"),
            ("names", "names join the snapshot"),
            ("observe", "the sources of a collection"),
            ("resolve", "a collection resolves its processes"),
        ],
    },
    Layer { module: "export", may_import: &[("model", "metrics are made from a snapshot")] },
    Layer { module: "view", may_import: &[("model", "trees are made from a snapshot")] },
    Layer {
        module: "serve",
        may_import: &[
            ("export", "the encoded metrics, and the snapshot that they were made from"),
            ("model", "snapshots"),
            ("observe::procfs::cmdline", "pages show arguments that are read at the request"),
            ("view", "pages and JSON"),
        ],
    },
    Layer {
        module: "cli",
        may_import: &[
            ("collect::config", "flags become its configuration"),
            ("export::collectors", "flags select collectors"),
            ("model", "types of values"),
            ("names::config", "flags become its configuration"),
            ("names::endpoint", "parses --docker.host"),
            ("serve::config", "flags become its configuration"),
            ("view::rows", "flags become the layout of trees"),
        ],
    },
    Layer {
        module: "commands",
        may_import: &[
            ("cli", "the resolved flags"),
            ("collect", "commands put the parts together"),
            ("export", "commands put the parts together"),
            ("model", "commands put the parts together"),
            ("names", "commands put the parts together"),
            ("observe", "commands put the parts together"),
            ("resolve", "commands put the parts together"),
            ("serve", "commands put the parts together"),
            ("view", "commands put the parts together"),
        ],
    },
];

/// Modules that take bytes, records and times as arguments and do no I/O.
const PURE: [&str; 10] = [
    "model",
    "resolve",
    "view",
    "export::catalog",
    "export::collectors",
    "export::container_families",
    "export::exporter_families",
    "export::openmetrics",
    "export::text_format",
    "serve::negotiation",
];

/// Files, sockets, processes, threads, clocks and logs, and the crates for them.
const IMPURE: [&str; 16] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "hyper",
    "hyper_util",
    "rustix",
    "bollard",
    "procfs",
    "aya",
    "tracing",
    "libc",
];

/// Whether `path` is `module` or below it. A glob also includes everything below its parent.
fn is_below(path: &[String], module: &str) -> bool {
    let module: Vec<&str> = module.split("::").collect();
    match path.split_last() {
        Some((last, parent)) if last == "*" && parent.len() < module.len() => {
            parent.iter().zip(&module).all(|(a, b)| a == b)
        }
        _ => path.len() >= module.len() && path.iter().zip(&module).all(|(a, b)| a == b),
    }
}

/// The forbidden imports of a module, each with its first line.
fn violations(
    module: &[String],
    imports: &BTreeSet<Import>,
    tops: &BTreeSet<String>,
) -> Vec<(usize, String)> {
    let Some(own) = module.first() else { return Vec::new() };
    let layer = LAYERS.iter().find(|layer| layer.module == own);
    let layer = layer.unwrap_or_else(|| panic!("src/{own} is in no layer: add it to LAYERS"));
    let is_pure = PURE.iter().any(|pure| is_below(module, pure));
    let mut found = BTreeMap::new();
    let mut add = |line: usize, text: String| {
        let first = found.entry(text).or_insert(line);
        *first = line.min(*first);
    };
    for Import { path, line } in imports {
        let (first, rest) = path.split_first().expect("a path has a segment");
        let is_crate = first == "crate" || first == "pstree_exporter";
        let all = is_crate && rest.first().is_some_and(|top| top == "*");
        let is_foreign = rest.first().is_some_and(|top| tops.contains(top) && top != own) || all;
        if is_crate && is_foreign && !layer.may_import.iter().any(|(allowed, _)| is_below(rest, allowed)) {
            add(*line, format!("{own} must not import {}", rest.join("::")));
        }
        if is_pure && let Some(impure) = IMPURE.iter().find(|impure| is_below(path, impure)) {
            add(*line, format!("{} is pure and must not use {impure}", module.join("::")));
        }
    }
    let mut found: Vec<_> = found.into_iter().map(|(text, line)| (line, text)).collect();
    found.sort();
    found
}

/// Every file below `src` with its module path, which is empty for `main.rs`, a separate crate.
fn sources() -> Vec<(PathBuf, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(&root).expect("below src").with_extension("");
                let mut module: Vec<String> =
                    below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
                if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
                    module.pop();
                }
                files.push((path, module));
            }
        }
    }
    files.sort();
    files
}

fn top_modules() -> BTreeSet<String> {
    sources().into_iter().filter_map(|(_, module)| module.into_iter().next()).collect()
}

#[test]
fn imports_go_in_one_direction_and_pure_modules_do_no_io() {
    let tops = top_modules();
    let mut all = Vec::new();
    for (path, module) in sources() {
        let source = fs::read_to_string(&path).expect("text");
        let (imports, _) =
            read(&source, module.clone()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("inside").display().to_string();
        let violations = violations(&module, &imports, &tops);
        all.extend(violations.into_iter().map(|(line, text)| format!("{file}:{line}: {text}")));
    }
    assert!(all.is_empty(), "{} imports are not allowed:\n{}", all.len(), all.join("\n"));
}

#[test]
fn every_layer_and_every_pure_module_exists() {
    let modules: BTreeSet<String> = sources().into_iter().map(|(_, module)| module.join("::")).collect();
    let allowed = LAYERS.iter().flat_map(|layer| layer.may_import.iter().map(|(module, _)| *module));
    for name in LAYERS.iter().map(|layer| layer.module).chain(PURE).chain(allowed) {
        // The path can also name an item in a module.
        let parent = name.rsplit_once("::").map_or(name, |(parent, _)| parent);
        assert!(modules.contains(name) || modules.contains(parent), "{name} does not exist");
    }
}

#[test]
fn a_file_has_at_most_400_lines_without_tests() {
    for (path, module) in sources() {
        let source = fs::read_to_string(&path).expect("text");
        let (_, lines) = read(&source, module).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(lines <= 400, "{} has {lines} lines: split it", path.display());
    }
}

/// The violations that the check finds in a file `src/model/example.rs`.
fn found_in(source: &str) -> Vec<String> {
    let module = vec!["model".to_owned(), "example".to_owned()];
    let (imports, _) = read(source, module.clone()).expect("valid Rust");
    let tops = ["model", "observe", "serve"].map(str::to_owned).into();
    violations(&module, &imports, &tops).into_iter().map(|(_, text)| text).collect()
}

#[test]
fn the_check_finds_every_kind_of_import() {
    for source in [
        "use std::fs;",
        "use std::fs as files;",
        "use std::{collections::BTreeMap, fs};",
        "use std::fs::{self, File};",
        "use std::time::*;",
        "fn f() { std::fs::read(\"x\"); }",
        "use std::time; fn f() { time::Instant::now(); }",
        "use std::time; use time::Instant;",
        "fn f() { use std::time as t; t::SystemTime::now(); }",
        "struct S { file: std::fs::File }",
        "fn f() -> Option<std::net::TcpStream> { None }",
        "fn f() { println!(\"{:?}\", std::env::args()); }",
        "fn f() { tracing::warn!(\"x\"); }",
        "macro_rules! m { () => { std::thread::yield_now() } }",
        "mod inner { use std::process; }",
        "#[error(std::env)] struct S;",
        "use crate::observe::procfs;",
        "fn f() { crate::serve::run(); }",
        "use super::super::observe::source;",
        "mod inner { use super::super::super::observe::source; }",
        "use crate::*;",
    ] {
        assert_eq!(found_in(source).len(), 1, "{source}: {:?}", found_in(source));
    }
}

#[test]
fn the_check_ignores_comments_text_tests_and_what_is_allowed() {
    for source in [
        "//! std::fs and crate::observe\n/// std::fs\nfn f() {} // std::fs",
        "fn f() -> &'static str { \"std::fs::read\" }",
        "#[cfg(test)] mod tests { use std::fs; }",
        "#[cfg(test)] use std::fs;",
        "#[cfg(test)] fn helper() { std::fs::read(\"x\"); }",
        "use std::time::Duration;",
        "use crate::model::process; use super::text; fn f() { process::new(); }",
        "fn fs() {} fn f() { fs(); }",
    ] {
        assert_eq!(found_in(source), [""; 0], "{source}");
    }
    assert_eq!(found_in("#[cfg(not(test))] use std::fs;").len(), 1);
}
