//! Every family that is exposed: name, type, labels and meaning, in the order of the exposition.
//!
//! The one place where a metric is defined. The table in the README is checked against it.

/// The types that are exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Counter,
}

/// What a series describes, which also tells its common labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each series has `id` and `name`.
    Container,
    Host,
    Exporter,
}

/// One metric family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub scope: Scope,
    /// Labels beyond those of the scope.
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! catalog {
    ($($id:ident: $scope:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        /// The key of a family.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Id { $($id,)* }

        impl Id {
            /// In the order of [`CATALOG`].
            pub const ALL: &[Self] = &[$(Self::$id,)*];
        }

        /// By [`Id`].
        pub const CATALOG: &[Family] = &[$(Family {
            name: $name,
            kind: Kind::$kind,
            scope: Scope::$scope,
            labels: &[$($label),*],
            help: $help,
        },)*];
    };
}

catalog! {
    ContainerInfo: Container Gauge "pstree_container_info"
        ["container_id", "image", "runtime", "compose_project", "compose_service", "pod_uid"]
        "Always 1; join with `* on(id) group_left(image, ...)`. Allow-listed Docker labels come as label_<name>.";
    ContainerProcesses: Container Gauge "pstree_container_processes" []
        "Processes (thread groups) in the container, zombies included.";
    ContainerThreads: Container Gauge "pstree_container_threads" []
        "Threads of all processes as the kernel counts them; a zombie has none.";
    ContainerProcessesByState: Container Gauge "pstree_container_processes_by_state" ["state"]
        "Processes by state; sums to pstree_container_processes.";
    ContainerZombies: Container Gauge "pstree_container_zombie_processes" []
        "Exited processes that nobody has reaped and that have no live thread left.";
    ContainerZombiesByParent: Container Gauge "pstree_container_zombie_processes_by_parent" ["parent"]
        "Zombies by the command of the process that fails to reap them: the worst five, the rest under `other`.";
    ContainerOldestZombie: Container Gauge "pstree_container_oldest_zombie_timestamp_seconds" []
        "Unix time at which the oldest present zombie was first seen as one.";
    ContainerRoots: Container Gauge "pstree_container_root_processes" ["kind"]
        "Processes whose parent is outside the container: its init, what entered by exec, and adopted orphans.";
    ContainerOldestRoot: Container Gauge "pstree_container_oldest_root_start_time_seconds" ["kind"]
        "Unix start time of the oldest root process of that kind.";
    ContainerDepth: Container Gauge "pstree_container_tree_depth" []
        "Processes on the longest path from a root to a leaf.";
    ContainerMaxChildren: Container Gauge "pstree_container_tree_max_children" []
        "Most children that one process has within the container.";
    ContainerProcessesByDepth: Container Gauge "pstree_container_processes_by_depth" ["depth"]
        "Processes by their distance from a root, which has depth 1; sums to pstree_container_processes.";
    ContainerNodeProcesses: Container Gauge "pstree_container_tree_node_processes"
        ["node", "parent", "comm", "depth"]
        "Processes merged by the path of commands from their root; sums to pstree_container_processes.";
    ContainerNodeZombies: Container Gauge "pstree_container_tree_node_zombies" ["node", "parent", "comm", "depth"]
        "Zombies merged by the path of commands from their root; only where there are any.";
    ContainerObservedStarts: Container Counter "pstree_container_observed_starts_total" []
        "Processes started, at least: those seen, or by how far pids have grown. A lower bound on forks.";
    ContainerForks: Container Counter "pstree_container_forks_total" []
        "Processes started, as the kernel counts them; absent where it does not.";
    ContainerThreadStarts: Container Counter "pstree_container_thread_starts_total" []
        "Threads started that are not a process's first, as the kernel counts them.";
    ContainerExecs: Container Counter "pstree_container_execs_total" []
        "Programs executed, as the kernel counts them.";
    ContainerExits: Container Counter "pstree_container_exits_total" ["outcome"]
        "Processes ended, as the kernel counts them: by exit status 0, another one, or a signal.";
    ContainerPidsCurrent: Container Gauge "pstree_container_pids_current" []
        "The pids controller's own count of tasks, threads and zombies included.";
    ContainerPidsLimit: Container Gauge "pstree_container_pids_limit" []
        "The smallest pids.max on the way to the top; absent when unlimited.";
    ContainerPidsPeak: Container Gauge "pstree_container_pids_peak" []
        "Most tasks at any time since the cgroup was made, where the kernel counts it.";
    ContainerPidsLimitHits: Container Counter "pstree_container_pids_limit_hits_total" []
        "Forks that the pids limit refused.";
    ContainerPaused: Container Gauge "pstree_container_paused" []
        "1 when the container is frozen; its processes show as disk_sleep then.";
    HostIntruders: Container Gauge "pstree_host_namespace_intruders" []
        "Processes outside the container's cgroup but inside its pid namespace, as `nsenter -p` leaves them.";
    Containers: Host Gauge "pstree_containers" ["runtime"]
        "Containers that have a process.";
    HostProcesses: Host Gauge "pstree_host_processes" []
        "Processes in no container, kernel threads included.";
    HostKernelThreads: Host Gauge "pstree_host_kernel_threads" []
        "Kernel threads among pstree_host_processes.";
    HostThreads: Host Gauge "pstree_host_threads" []
        "Threads of the processes in no container.";
    HostZombies: Host Gauge "pstree_host_zombie_processes" []
        "Zombies in no container.";
    HostDepth: Host Gauge "pstree_host_tree_depth" []
        "Processes on the longest path from a root to a leaf, containers left out.";
    HostForks: Host Counter "pstree_host_forks_total" []
        "Processes started in no container, kernel threads included, as the kernel counts them.";
    HostPidMax: Host Gauge "pstree_host_pid_max" []
        "The kernel's pid_max: pids wrap before it, so it also bounds the number of tasks.";
    HostThreadsMax: Host Gauge "pstree_host_threads_max" []
        "The kernel's threads-max: most tasks at one time.";
    BuildInfo: Exporter Gauge "pstree_build_info" ["version", "revision", "rustversion"]
        "Always 1; what this exporter was built from.";
    SourceInfo: Exporter Gauge "pstree_source_info" ["source", "cgroup", "reason"]
        "Always 1; where processes are read from, the layout of cgroups, and why this source.";
    SourcePartial: Exporter Gauge "pstree_source_partial" ["reason"]
        "1 when only some of the processes of this machine can be seen, by reason.";
    CollectorSuccess: Exporter Gauge "pstree_collector_success" ["collector"]
        "1 when the last run of this collector succeeded.";
    CollectorDuration: Exporter Gauge "pstree_collector_duration_seconds" ["collector"]
        "How long the last run of this collector took.";
    CollectorLastSuccess: Exporter Gauge "pstree_collector_last_success_timestamp_seconds" ["collector"]
        "Unix time of the last successful run of this collector.";
    Collections: Exporter Counter "pstree_collections_total" []
        "Successful collections.";
    LastCollection: Exporter Gauge "pstree_last_collection_timestamp_seconds" []
        "Unix time at which the exposed snapshot was taken.";
    CollectionInterval: Exporter Gauge "pstree_collection_interval_seconds" []
        "Time between collections; longer than the flag says when a collection takes more than half of it.";
    SkippedProcesses: Exporter Counter "pstree_collection_skipped_processes_total" ["reason"]
        "Processes that were listed but could not be read.";
    DockerUp: Exporter Gauge "pstree_docker_up" []
        "1 when the Docker API answers. Only names depend on it.";
    WebConfigGood: Exporter Gauge "pstree_web_config_last_reload_successful" []
        "1 while the rules of the web configuration are those of its file; absent without such a file.";
    WebConfigFailures: Exporter Counter "pstree_web_config_reload_failures_total" []
        "Reloads of the web configuration, or of a certificate, that failed; the old rules stayed in force.";
    EventsLost: Exporter Counter "pstree_events_lost_total" []
        "Forks, execs and exits that the kernel could not count, mostly for want of room.";
    EventsUnattributed: Exporter Counter "pstree_events_unattributed_total" []
        "Forks, execs and exits counted in cgroups that came and went between two collections.";
    NodesFolded: Exporter Counter "pstree_tree_nodes_folded_total" []
        "Tree nodes counted under `other` because of a cap, summed over collections.";
    ProcessCpu: Exporter Counter "process_cpu_seconds_total" []
        "Total user and system CPU time of the exporter.";
    ProcessResident: Exporter Gauge "process_resident_memory_bytes" []
        "Resident memory of the exporter.";
    ProcessVirtual: Exporter Gauge "process_virtual_memory_bytes" []
        "Virtual memory of the exporter.";
    ProcessOpenFds: Exporter Gauge "process_open_fds" []
        "Open file descriptors of the exporter.";
    ProcessMaxFds: Exporter Gauge "process_max_fds" []
        "Most file descriptors that the exporter may open.";
    ProcessStartTime: Exporter Gauge "process_start_time_seconds" []
        "Unix time at which the exporter was started.";
    ProcessThreads: Exporter Gauge "process_threads" []
        "Threads of the exporter.";
}

impl Id {
    #[must_use]
    pub fn family(self) -> &'static Family {
        &CATALOG[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_follow_the_conventions() {
        let mut names = HashSet::new();
        for family in CATALOG {
            let name = family.name;
            assert!(names.insert(name), "{name} twice");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
            let prefix = match family.scope {
                Scope::Container if family.labels.is_empty() && name.starts_with("pstree_host_") => {
                    "pstree_host_"
                }
                Scope::Container => "pstree_container_",
                Scope::Host | Scope::Exporter if name.starts_with("process_") => "process_",
                Scope::Host | Scope::Exporter => "pstree_",
            };
            assert!(name.starts_with(prefix), "{name}");
        }
    }

    #[test]
    fn help_is_a_sentence_and_labels_are_legal() {
        for family in CATALOG {
            assert!(family.help.ends_with('.') && family.help.len() > 20, "{}", family.name);
            assert!(!family.help.contains(['\n', '\\', '"']), "{}", family.name);
            for label in family.labels {
                assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{label}");
                assert!(!["id", "name", "job", "instance", "le", "quantile"].contains(label), "{label}");
            }
        }
    }
}
