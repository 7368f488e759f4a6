//! The direction of dependencies: edges call pure code, never the other way.

use std::fs;
use std::path::Path;

/// Modules that take bytes, records and a time as arguments, and do nothing else.
const PURE: [&str; 38] = [
    "accounting.rs",
    "attribution.rs",
    "cgroups.rs",
    "collector/rates.rs",
    "collector/share.rs",
    "events/tally.rs",
    "forest/frame.rs",
    "forest/mod.rs",
    "forest/nodes.rs",
    "forest/roots.rs",
    "forest/shape.rs",
    "membership/layout.rs",
    "membership/memory.rs",
    "membership/mod.rs",
    "metrics/catalog.rs",
    "metrics/families.rs",
    "metrics/openmetrics.rs",
    "model.rs",
    "moment.rs",
    "source/kernel.rs",
    "source/parse.rs",
    "starts.rs",
    "text.rs",
    "tree/changes.rs",
    "tree/json.rs",
    "tree/layout.rs",
    "tree/mod.rs",
    "tree/picture.rs",
    "tree/select.rs",
    "tree/text/branches.rs",
    "tree/text/heading.rs",
    "tree/text/line.rs",
    "tree/text/mod.rs",
    "tree/viewport.rs",
    "web/negotiation.rs",
    "web/page/forest.rs",
    "web/page/list.rs",
    "web/page/mod.rs",
];

/// What reaches the outside: asynchronous I/O, files, processes, clocks.
const EDGES: [&str; 12] = [
    "tokio",
    "hyper",
    "bollard",
    "rustix",
    "procfs::",
    "std::fs",
    "fs::",
    "std::net",
    "std::process",
    "Instant",
    "SystemTime",
    "std::thread",
];

#[test]
fn pure_modules_touch_nothing_outside() {
    for module in PURE {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(module);
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{module}: {error}"));
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for edge in EDGES {
                assert!(!line.contains(edge), "{module} is pure, but has: {line}");
            }
        }
    }
}

#[test]
fn no_source_file_is_longer_than_one_idea() {
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            if entry.path().is_dir() {
                directories.push(entry.path());
                continue;
            }
            let source = fs::read_to_string(entry.path()).unwrap();
            let code = source.split("#[cfg(test)]").next().unwrap_or_default();
            assert!(code.lines().count() <= 400, "{} wants to be split", entry.path().display());
        }
    }
}
