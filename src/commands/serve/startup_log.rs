//! Log lines at start: where processes are read from, and what limits the exporter.

use tracing::{info, warn};

use crate::collect::config::CollectorConfig;
use crate::collect::pipeline::Pipeline;
use crate::observe::procfs::system::{HIDEPID_ADVICE, SUBSET_ADVICE, System};

/// Logs why some processes are not visible. Returns each reason with whether it applies, for the metrics.
pub(super) fn log_hidden_processes(config: &CollectorConfig) -> [(&'static str, bool); 2] {
    let system = System::new(&config.procfs);
    let hidepid = system.hides_other_users();
    if hidepid {
        warn!(procfs = %config.procfs.display(), "{HIDEPID_ADVICE}");
    }
    let own_container = system.own_container(config.container_name.as_deref());
    if let Some(container) = &own_container {
        warn!(
            container = container.fallback_name(),
            "only the processes of this container are visible; to monitor the host, run it with --pid=host, or mount \
             the host's procfs and set --path.procfs"
        );
    }
    [("hidepid", hidepid), ("pid_namespace", own_container.is_some())]
}

/// Warns if the procfs lacks the files of the system.
pub(super) fn log_missing_system_files(config: &CollectorConfig) {
    if System::new(&config.procfs).has_only_processes() {
        warn!(procfs = %config.procfs.display(), "{SUBSET_ADVICE}");
    }
}

/// Warns if no limit of pids can be read.
pub(super) fn log_missing_pids_controller(pipeline: &Pipeline, config: &CollectorConfig) {
    if !pipeline.reads_pids() {
        warn!(
            cgroupfs = %config.cgroupfs.display(),
            "pids controller not found, pids limits unavailable; set --path.cgroupfs to the mount point of cgroups"
        );
    }
}

/// Logs where processes are read from, and why.
pub(super) fn log_source(pipeline: &Pipeline) {
    let (source, reason) = (pipeline.status().source, pipeline.source_reason());
    if pipeline.counts_events() {
        info!(source, %reason, "reading processes with BPF, counting forks, execs and exits");
    } else if reason.is_expected() {
        info!(source, %reason, "reading processes from /proc; forks, execs and exits are not counted");
    } else {
        warn!(source, %reason, "reading processes from /proc; forks, execs and exits are not counted");
    }
}

/// Warns about privileges that are not needed.
pub(super) fn log_needless_root() {
    if rustix::process::geteuid().is_root() {
        warn!(
            "running as root, which is not required; an unprivileged user can collect everything except \
             pstree_container_namespace_intruders; for container names, add that user to the group of the Docker socket"
        );
    }
}
