//! Sets the revision (commit) and the compiler version of the binary.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/refs/heads");
    println!("cargo:rerun-if-env-changed=PSTREE_REVISION");
    let output_of = |program: &str, arguments: &[&str]| {
        let output =
            Command::new(program).args(arguments).output().ok().filter(|out| out.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // Set if there is no repository, for example in the build of an image.
    let given = std::env::var("PSTREE_REVISION").ok().filter(|revision| !revision.is_empty());
    let revision = given
        .or_else(|| output_of("git", &["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".into());
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    // `rustc 1.95.0 (hash date)`
    let version = output_of(&rustc, &["--version"]).unwrap_or_default();
    let version = version.split_whitespace().nth(1).unwrap_or("unknown").to_owned();
    println!("cargo:rustc-env=PSTREE_REVISION={revision}");
    println!("cargo:rustc-env=PSTREE_RUST_VERSION={version}");
}
