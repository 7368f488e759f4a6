//! The command `roots`: prints the pids of a container's root processes.

use std::fmt::Write as _;

use crate::cli::config::RootsConfig;
use crate::commands::tree::{Seen, print, runtime, see};
use crate::view::tree::Tree;

/// Prints root pids, one a line.
///
/// # Errors
/// As [`tree`].
pub fn roots(config: &RootsConfig) -> anyhow::Result<()> {
    let wanted = std::slice::from_ref(&config.wanted);
    let Seen { look, containers, .. } =
        runtime()?.block_on(see(&config.collector, config.docker.as_ref(), wanted, false))?;
    let mut out = String::new();
    for index in containers {
        let mut tree = Tree::of(&look.snapshot.processes, look.snapshot.containers[index].membership);
        if look.snapshot.host.is_none() {
            // We ourselves came in from outside, and are gone before anybody reads this.
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
