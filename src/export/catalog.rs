//! The metric catalog: every exported family with its name, type, labels, stability and HELP text, in the order of
//! the exposition.
//!
//! This is the only place that defines a metric. The tables in the documentation are generated from it.

/// Metric type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Counter,
    /// Only of containers. Its samples have the suffixes `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// What a series describes. It decides the labels that all series of the scope have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Container,
    Pod,
    Host,
    Exporter,
}

impl Scope {
    /// The labels of all series.
    #[must_use]
    pub fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Container => &["id", "name"],
            Self::Pod => &["pod_uid", "namespace", "pod"],
            Self::Host | Self::Exporter => &[],
        }
    }
}

/// What a release may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// Name, labels and meaning change only in a major release, after a deprecation.
    Stable,
    /// May change or disappear in any release.
    Experimental,
}

impl Stability {
    /// The word for documentation.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Experimental => "experimental",
        }
    }
}

/// One metric family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub scope: Scope,
    pub stability: Stability,
    /// Labels in addition to those of the scope.
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

impl Family {
    /// Whether a sample of the family can have this name.
    #[must_use]
    pub fn has_sample(&self, name: &str) -> bool {
        match (self.kind, name.strip_prefix(self.name)) {
            (Kind::Histogram, Some(suffix)) => ["_bucket", "_sum", "_count"].contains(&suffix),
            (_, suffix) => suffix == Some(""),
        }
    }
}

macro_rules! catalog {
    ($($id:ident: $stability:ident $scope:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        /// The key of a family.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Id { $($id,)* }

        impl Id {
            /// In the order of [`CATALOG`].
            pub const ALL: &[Self] = &[$(Self::$id,)*];
        }

        /// All families, indexed by [`Id`].
        pub const CATALOG: &[Family] = &[$(Family {
            name: $name,
            kind: Kind::$kind,
            scope: Scope::$scope,
            stability: Stability::$stability,
            labels: &[$($label),*],
            help: $help,
        },)*];
    };
}

catalog! {
    ContainerInfo: Stable Container Gauge "pstree_container_info"
        [
            "container_id", "image", "runtime", "compose_project", "compose_service", "pod_uid", "namespace", "pod",
            "container"
        ]
        "Information about the container. Always 1; join with `* on (job, instance, id) group_left \
         (image)`. Labels selected by --docker.label are added as label_<name>.";
    ContainerProcesses: Stable Container Gauge "pstree_container_processes" []
        "Number of processes (thread groups) in the container, including zombies.";
    ContainerThreads: Stable Container Gauge "pstree_container_threads" []
        "Number of threads in the container. A zombie has none.";
    ContainerProcessesByState: Stable Container Gauge "pstree_container_processes_by_state" ["state"]
        "Number of processes by state. The sum of all states is pstree_container_processes.";
    ContainerZombies: Stable Container Gauge "pstree_container_zombie_processes" []
        "Number of zombies: processes that exited, have no live thread, and were not reaped by their \
         parent.";
    ContainerZombiesByParent: Stable Container Gauge "pstree_container_zombie_processes_by_parent" ["parent"]
        "Number of zombies by the command of the parent that does not reap them. The five parents with the \
         most zombies have their own series; all others are summed in parent=`other`.";
    ContainerOldestZombie: Stable Container Gauge "pstree_container_oldest_zombie_timestamp_seconds" []
        "Unix time at which the oldest current zombie was first seen as a zombie. Absent without zombies.";
    ContainerRoots: Stable Container Gauge "pstree_container_root_processes" ["kind"]
        "Number of processes whose parent is outside the container, by kind: init (started by the \
         runtime), exec (entered from outside, such as by docker exec) or adopted (orphan that had a \
         parent inside before).";
    ContainerOldestRoot: Stable Container Gauge "pstree_container_oldest_root_start_time_seconds" ["kind"]
        "Unix time at which the oldest root process of this kind was started. Absent without one.";
    ContainerTerminalSessions: Experimental Container Gauge "pstree_container_terminal_sessions" []
        "Number of root processes of kind exec that have a controlling terminal: shells of people, started by \
         docker exec -it. Health checks and scripts usually have none.";
    ContainerOldestTerminalSession: Experimental Container Gauge
        "pstree_container_oldest_terminal_session_start_time_seconds" []
        "Unix time at which the oldest of the terminal sessions was started. Absent without one.";
    ContainerDepth: Stable Container Gauge "pstree_container_tree_depth" []
        "Number of processes on the longest path from a root process to a leaf.";
    ContainerMaxChildren: Stable Container Gauge "pstree_container_tree_max_children" []
        "Largest number of children that one process has in the container.";
    ContainerProcessesByDepth: Experimental Container Gauge "pstree_container_processes_by_depth" ["depth"]
        "Number of processes by depth in the tree. Root processes have depth 1. The sum of all depths is \
         pstree_container_processes.";
    ContainerNodeProcesses: Experimental Container Gauge "pstree_container_tree_node_processes"
        ["path", "parent", "comm", "depth"]
        "Number of processes by path: the commands from the root process to this one, joined with `;`. The \
         labels parent, comm and depth are the path of the parent, the last command and the number of \
         commands. The sum of all paths is pstree_container_processes.";
    ContainerNodeZombies: Experimental Container Gauge "pstree_container_tree_node_zombies"
        ["path", "parent", "comm", "depth"]
        "Number of zombies by path, with the same labels as pstree_container_tree_node_processes. Absent \
         for paths without zombies.";
    ContainerNodeCpu: Experimental Container Counter "pstree_container_tree_node_cpu_seconds_total" ["path"]
        "CPU time of processes with this path since the first collection, also of those that exited, up to their \
         last collection. The five busiest paths have their own series; all others are summed in path=`other`. \
         Requires --collector.usage.";
    ContainerNodeResident: Experimental Container Gauge "pstree_container_tree_node_resident_bytes" ["path"]
        "Resident memory of processes with this path. Pages that several processes share count for each of them. \
         The five biggest paths have their own series; all others are summed in path=`other`. Requires \
         --collector.usage.";
    ContainerObservedStarts: Experimental Container Counter "pstree_container_observed_starts_total" []
        "Estimated total number of processes started, from the processes that collections find and from \
         the growth of pids. Usually a lower bound; pstree_container_forks_total is exact.";
    ContainerForks: Stable Container Counter "pstree_container_forks_total" []
        "Total number of processes started. Absent without kernel counters (BPF).";
    ContainerThreadStarts: Stable Container Counter "pstree_container_thread_starts_total" []
        "Total number of threads started, excluding the first thread of each process. Absent without \
         kernel counters (BPF).";
    ContainerExecs: Stable Container Counter "pstree_container_execs_total" []
        "Total number of programs executed. Absent without kernel counters (BPF).";
    ContainerExits: Stable Container Counter "pstree_container_exits_total" ["outcome"]
        "Total number of processes that exited, by outcome: success (exit status 0), failure (any other \
         exit status) or signal. Absent without kernel counters (BPF).";
    ContainerOomKills: Experimental Container Counter "pstree_container_oom_kills_total" []
        "Total number of processes that the kernel's OOM killer ended. They are also in \
         pstree_container_exits_total, with the outcome signal. Absent without kernel counters (BPF).";
    ContainerCommandForks: Experimental Container Counter "pstree_container_command_forks_total" ["command"]
        "Total number of processes started, by the command of the parent. The busiest commands have their own series; \
         all others are summed in command=`other`. The sum of all commands is pstree_container_forks_total. Absent \
         without kernel counters (BPF).";
    ContainerCommandExecs: Experimental Container Counter "pstree_container_command_execs_total" ["command"]
        "Total number of programs executed, by the command that the process has afterwards. The sum of all commands is \
         pstree_container_execs_total. Absent without kernel counters (BPF).";
    ContainerCommandExits: Experimental Container Counter "pstree_container_command_exits_total"
        ["command", "outcome"]
        "Total number of processes that exited, by command and outcome: failure (exit status other than 0), signal \
         or oom_kill (ended by the OOM killer). Absent for outcomes that a command did not have, and without kernel \
         counters (BPF).";
    ContainerLifetime: Experimental Container Histogram "pstree_container_process_lifetime_seconds" []
        "How long processes lived that exited. Absent without kernel counters (BPF).";
    ContainerPidsCurrent: Stable Container Gauge "pstree_container_pids_current" []
        "Number of tasks that the pids controller counts: threads and zombies.";
    ContainerPidsLimit: Stable Container Gauge "pstree_container_pids_limit" []
        "Smallest pids.max of the container's cgroup and all cgroups above it. Absent without a limit. A cgroup \
         above counts more tasks than pstree_container_pids_current; compare pstree_container_pids_headroom.";
    ContainerPidsHeadroom: Stable Container Gauge "pstree_container_pids_headroom" []
        "Number of tasks that can be started until a pids limit refuses one: the smallest difference of pids.max \
         and pids.current of the container's cgroup and all cgroups above it. Absent without a limit.";
    ContainerPidsLimitUsed: Stable Container Gauge "pstree_container_pids_limit_used_ratio" []
        "Share of the pids limit in use, in the cgroup of pstree_container_pids_headroom: pids.current divided by \
         pids.max. Absent without a limit.";
    ContainerPidsPeak: Stable Container Gauge "pstree_container_pids_peak" []
        "Largest number of tasks since the cgroup was created. Absent if the kernel has no pids.peak.";
    ContainerPidsLimitHits: Stable Container Counter "pstree_container_pids_limit_hits_total" []
        "Total number of forks that failed because of the pids limit. From Linux 6.11 on with cgroup v2, forks that \
         a cgroup above refused are not included, and it is absent if a cgroup above has a lower limit.";
    ContainerPaused: Stable Container Gauge "pstree_container_paused" []
        "Whether the container is paused (1) or not (0). Processes of a paused container are in state \
         disk_sleep.";
    ContainerNamespaceIntruders: Experimental Container Gauge "pstree_container_namespace_intruders" []
        "Number of processes in the container's pid namespace but outside its cgroup, such as those \
         started by `nsenter -p`. Absent if pid namespaces cannot be read.";
    PodInfo: Stable Pod Gauge "pstree_pod_info" []
        "Information about the pod. Always 1. The labels namespace and pod are empty if the names are unknown.";
    PodPidsCurrent: Stable Pod Gauge "pstree_pod_pids_current" []
        "Number of tasks that the pids controller counts in the pod: threads and zombies of all its containers.";
    PodPidsLimit: Stable Pod Gauge "pstree_pod_pids_limit" []
        "Value of pids.max of the pod's cgroup. Absent without a limit.";
    PodPidsPeak: Stable Pod Gauge "pstree_pod_pids_peak" []
        "Largest number of tasks since the pod's cgroup was created. Absent if the kernel has no pids.peak.";
    PodPidsLimitHits: Stable Pod Counter "pstree_pod_pids_limit_hits_total" []
        "Total number of forks that failed because of the pod's own pids limit. Absent if the kernel counts them \
         at the containers (before Linux 6.11, or cgroup v1): see pstree_container_pids_limit_hits_total.";
    Containers: Stable Host Gauge "pstree_containers" ["runtime"]
        "Number of containers with at least one process, by runtime.";
    HostProcesses: Stable Host Gauge "pstree_host_processes" []
        "Number of processes that are in no container, including kernel threads.";
    HostKernelThreads: Stable Host Gauge "pstree_host_kernel_threads" []
        "Number of kernel threads. They are part of pstree_host_processes.";
    HostThreads: Stable Host Gauge "pstree_host_threads" []
        "Number of threads of the processes that are in no container.";
    HostZombies: Stable Host Gauge "pstree_host_zombie_processes" []
        "Number of zombies that are in no container.";
    HostDepth: Stable Host Gauge "pstree_host_tree_depth" []
        "Number of processes on the longest path from a root process to a leaf, without processes in \
         containers.";
    HostForks: Stable Host Counter "pstree_host_forks_total" []
        "Total number of processes started in no container, including kernel threads. Absent without \
         kernel counters (BPF).";
    HostPidMax: Stable Host Gauge "pstree_host_pid_max" []
        "Value of the sysctl kernel.pid_max. All pids are smaller, so it also limits the number of tasks.";
    HostThreadsMax: Stable Host Gauge "pstree_host_threads_max" []
        "Value of the sysctl kernel.threads-max: the maximum number of tasks.";
    BuildInfo: Stable Exporter Gauge "pstree_build_info" ["version", "revision", "rustversion"]
        "Version, revision and compiler of the exporter. Always 1.";
    SourceInfo: Stable Exporter Gauge "pstree_source_info" ["source", "cgroup", "reason", "paths"]
        "Source of the process list (proc or bpf), cgroup version, the reason for this source, and the form of cgroup \
         paths: those of the host, resolved from a cgroup namespace, or relative to it. Always 1.";
    SourcePartial: Experimental Exporter Gauge "pstree_source_partial" ["reason"]
        "Whether some processes of the host are hidden from the exporter (1) or not (0), by reason.";
    CollectorSuccess: Stable Exporter Gauge "pstree_collector_success" ["collector"]
        "Whether the last run of the collector succeeded (1) or not (0).";
    CollectorDuration: Stable Exporter Gauge "pstree_collector_duration_seconds" ["collector"]
        "Duration of the last run of the collector.";
    CollectorLastSuccess: Stable Exporter Gauge "pstree_collector_last_success_timestamp_seconds"
        ["collector"]
        "Unix time of the last successful run of the collector. Absent before the first.";
    Collections: Stable Exporter Counter "pstree_collections_total" []
        "Total number of successful collections.";
    LastCollection: Stable Exporter Gauge "pstree_last_collection_timestamp_seconds" []
        "Unix time at which the exported snapshot was collected.";
    CollectionInterval: Stable Exporter Gauge "pstree_collection_interval_seconds" []
        "Current interval between collections. Longer than --collection.interval if a collection takes \
         more than half of it.";
    SkippedProcesses: Stable Exporter Counter "pstree_collection_skipped_processes_total" ["reason"]
        "Total number of processes that were listed but could not be read, by reason: vanished, denied or \
         malformed.";
    DockerUp: Stable Exporter Gauge "pstree_docker_up" ["endpoint"]
        "Whether the Docker API at this address responds (1) or not (0). Only container metadata, such as names and \
         images, depends on it. Absent for an address that has never responded.";
    WebConfigGood: Stable Exporter Gauge "pstree_web_config_last_reload_successful" []
        "Whether the last reload of the web configuration succeeded (1) or not (0). After a failure, the \
         previous configuration stays in use. Absent without --web.config.file.";
    WebConfigFailures: Stable Exporter Counter "pstree_web_config_reload_failures_total" []
        "Total number of failed reloads of the web configuration or its certificate. Absent without \
         --web.config.file.";
    EventsLost: Experimental Exporter Counter "pstree_events_lost_total" []
        "Total number of forks, execs and exits that were not counted, because a BPF map was full or the \
         program was already running on the CPU.";
    EventsUnattributed: Experimental Exporter Counter "pstree_events_unattributed_total" []
        "Total number of forks, execs and exits in cgroups that were created and removed between two \
         collections.";
    NodesFolded: Experimental Exporter Counter "pstree_tree_nodes_folded_total" []
        "Total number of tree nodes that were aggregated into `other` because of a limit, added up over \
         all collections.";
    ProcessCpu: Stable Exporter Counter "process_cpu_seconds_total" []
        "Total user and system CPU time spent in seconds.";
    ProcessResident: Stable Exporter Gauge "process_resident_memory_bytes" []
        "Resident memory size in bytes.";
    ProcessVirtual: Stable Exporter Gauge "process_virtual_memory_bytes" []
        "Virtual memory size in bytes.";
    ProcessOpenFds: Stable Exporter Gauge "process_open_fds" []
        "Number of open file descriptors.";
    ProcessMaxFds: Stable Exporter Gauge "process_max_fds" []
        "Maximum number of open file descriptors.";
    ProcessStartTime: Stable Exporter Gauge "process_start_time_seconds" []
        "Start time of the process since unix epoch in seconds.";
    ProcessThreads: Stable Exporter Gauge "process_threads" []
        "Number of threads of the exporter.";
}

impl Id {
    /// The family of this key.
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
    fn names_follow_the_prometheus_conventions() {
        let mut names = HashSet::new();
        for family in CATALOG {
            let name = family.name;
            assert!(names.insert(name), "{name} is defined twice");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
            let prefix = match family.scope {
                Scope::Container => "pstree_container_",
                Scope::Pod => "pstree_pod_",
                Scope::Host | Scope::Exporter if name.starts_with("process_") => "process_",
                Scope::Host | Scope::Exporter => "pstree_",
            };
            assert!(name.starts_with(prefix), "{name}");
        }
    }

    #[test]
    fn help_is_one_sentence_or_more_and_labels_are_valid() {
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
