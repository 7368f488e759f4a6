//! Raises the limit of open files for the connections (`RLIMIT_NOFILE`, `getrlimit(2)`).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// File descriptors that are not connections: listeners, Docker, files of procfs, BPF maps.
const OTHER_DESCRIPTORS: u64 = 64;

/// Raises the soft limit for this number of connections, up to the hard limit. Returns the number of connections that
/// are possible. Many systems have a soft limit of 1,024 because of select(2), which this program does not use.
#[must_use]
pub(crate) fn raise_nofile_limit(connections: usize) -> usize {
    let required = connections as u64 + OTHER_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    let enough = |bound: Option<u64>| bound.is_none_or(|bound| bound >= required);
    if enough(limit.current) {
        return connections;
    }
    let raised = if enough(limit.maximum) { Some(required) } else { limit.maximum };
    if setrlimit(Resource::Nofile, Rlimit { current: raised, ..limit }).is_ok() && enough(raised) {
        return connections;
    }
    let possible =
        getrlimit(Resource::Nofile).current.unwrap_or(required).saturating_sub(OTHER_DESCRIPTORS).max(1);
    let connections = connections.min(usize::try_from(possible).unwrap_or(connections));
    warn!(connections, "limiting connections: RLIMIT_NOFILE too low; raise LimitNOFILE or ulimit -n");
    connections
}
