//! `Cargo.toml` defines the version; all other files must contain the same one.

use std::fs;
use std::path::{Path, PathBuf};

fn files_below(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() { files_below(&path, into) } else { into.push(path) }
    }
}

#[test]
fn files_in_deploy_have_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let mut files = Vec::new();
    files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy"), &mut files);
    let mut named = 0;
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for mark in ["pstree-exporter:", "newTag: ", "ARG VERSION="] {
            for rest in text.split(mark).skip(1).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            {
                let told: &str =
                    rest.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
                // A port is not a version.
                if told.contains('.') {
                    assert_eq!(told, version, "{}", file.display());
                    named += 1;
                }
            }
        }
    }
    assert!(named >= 4, "the Dockerfile twice, Kubernetes and Swarm: {named}");
}
