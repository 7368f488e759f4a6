//! Raises the limit of open files (`RLIMIT_NOFILE`, `getrlimit(2)`).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Control files that stay open between collections: those of 200 containers and of the cgroups above them.
const CONTROL_FILES: usize = 1_200;
/// File descriptors that are neither connections nor control files: listeners, Docker, files of procfs, BPF maps.
const OTHER_DESCRIPTORS: usize = 64;

/// How many file descriptors each part of the exporter may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    pub connections: usize,
    /// Control files of cgroups that stay open between collections.
    pub control_files: usize,
}

impl Descriptors {
    /// Divides a limit. Connections take precedence.
    fn divide(limit: usize, connections: usize) -> Self {
        let rest = limit.saturating_sub(OTHER_DESCRIPTORS);
        let connections = connections.min(rest.max(1));
        Self { connections, control_files: rest.saturating_sub(connections).min(CONTROL_FILES) }
    }
}

/// Raises the soft limit for this number of connections and for control files, up to the hard limit. Returns what is
/// possible. Many systems have a soft limit of 1,024 because of select(2), which this program does not use.
#[must_use]
pub(crate) fn raise_nofile_limit(connections: usize) -> Descriptors {
    let required = (connections + CONTROL_FILES + OTHER_DESCRIPTORS) as u64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < required) {
        let raised = limit.maximum.map_or(required, |maximum| maximum.min(required));
        // If this fails, the current limit is divided.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit });
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(required);
    let possible = Descriptors::divide(usize::try_from(limit).unwrap_or(usize::MAX), connections);
    if possible.connections < connections {
        let connections = possible.connections;
        warn!(connections, "limiting connections: RLIMIT_NOFILE too low; raise LimitNOFILE or ulimit -n");
    }
    possible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_precedence_over_files_that_stay_open() {
        for (limit, connections, control_files) in
            [(0, 1, 0), (1_024, 960, 0), (1_400, 1_250, 86), (4_096, 1_250, 1_200)]
        {
            assert_eq!(
                Descriptors::divide(limit, 1_250),
                Descriptors { connections, control_files },
                "{limit}"
            );
        }
    }
}
