//! Open files enough for all connections (`RLIMIT_NOFILE`, `getrlimit(2)`).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// For all that is no connection of a client: listeners, Docker, the files of processes, maps of the kernel.
const OTHERS: u64 = 64;

/// For how many connections there is room, of those wanted. Raises the soft limit as far as that takes and
/// the hard limit allows: many systems start programs with 1,024, for the sake of select(2), which nobody calls here.
#[must_use]
pub fn raise_nofile_limit(connections: usize) -> usize {
    let wanted = connections as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    let enough = |bound: Option<u64>| bound.is_none_or(|bound| bound >= wanted);
    if enough(limit.current) {
        return connections;
    }
    let raised = if enough(limit.maximum) { Some(wanted) } else { limit.maximum };
    if setrlimit(Resource::Nofile, Rlimit { current: raised, ..limit }).is_ok() && enough(raised) {
        return connections;
    }
    let room = getrlimit(Resource::Nofile).current.unwrap_or(wanted).saturating_sub(OTHERS).max(1);
    let connections = connections.min(usize::try_from(room).unwrap_or(connections));
    warn!(
        connections,
        "descriptors are few: no more connections are taken than these; raise LimitNOFILE or ulimit -n"
    );
    connections
}
