//! The command `roots`: prints the pids of a container's root processes, one per line.

use std::fmt::Write as _;

use super::selected_containers::{CollectOptions, Selected, collect};
use super::tree::{print, runtime};
use crate::cli::config::RootsConfig;
use crate::view::tree::Tree;

/// Prints the pids.
///
/// # Errors
/// If there is no such container, or if reading or writing fails.
pub fn roots(config: &RootsConfig) -> anyhow::Result<()> {
    let wanted = std::slice::from_ref(&config.wanted);
    let Selected { snapshot, containers, .. } =
        runtime()?.block_on(collect(&config.collector, &config.names, wanted, CollectOptions::default()))?;
    let mut out = String::new();
    for index in containers {
        let mut tree = Tree::of(&snapshot.processes, snapshot.containers[index].membership);
        if snapshot.host.is_none() {
            // This program is itself a root process and exits immediately, so it is omitted.
            tree.processes.retain(|process| process.key.pid != std::process::id());
        }
        let mut pids: Vec<u32> = tree
            .processes
            .iter()
            .filter(|process| process.kind.is_some())
            .map(|process| if config.inside { process.pid } else { process.key.pid })
            .collect();
        pids.sort_unstable();
        for pid in pids {
            let _ = writeln!(out, "{pid}");
        }
    }
    print(out.as_bytes())
}
