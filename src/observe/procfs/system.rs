//! Files of the system as a whole: limits, and what is visible to the exporter.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use procfs::prelude::FromRead as _;

use crate::model::container::{Container, Runtime};
use crate::model::pids::TaskLimits;
use crate::model::text::label_value;
use crate::observe::procfs::parse::{parse_namespace_link, parse_number};
use crate::resolve::cgroup_file::{CgroupFile, parse_cgroup_file};
use crate::resolve::cgroup_path::label_id;

/// `PROC_PID_INIT_INO` (include/linux/proc_ns.h): the pid namespace of the host.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// `PROC_CGROUP_INIT_INO` (same file): the cgroup namespace of the host.
const INITIAL_CGROUP_NAMESPACE: u64 = 0xEFFF_FFFB;

/// `PROC_TIME_INIT_INO` (same file): the time namespace of the host.
const INITIAL_TIME_NAMESPACE: u64 = 0xEFFF_FFFA;

/// What to do if [`System::hides_other_users`].
pub const HIDEPID_ADVICE: &str = "procfs is mounted with hidepid, so processes of other users are hidden; run with \
     CAP_SYS_PTRACE, or as a member of the group in the mount option gid=";

/// What is missing if [`System::has_only_processes`], and what to do.
pub const SUBSET_ADVICE: &str = "procfs is mounted with subset=pid, which hides /proc/sys, so pstree_host_pid_max and \
     pstree_host_threads_max have no samples; mount it without subset=pid (ProcSubset=all in a systemd unit), or set \
     --path.procfs to such a mount";

/// A procfs, for its files about the whole system.
#[derive(Clone, Debug)]
pub struct System {
    root: PathBuf,
}

impl System {
    /// The procfs mounted at `procfs`. Reads nothing.
    #[must_use]
    pub fn new(procfs: &Path) -> Self {
        Self { root: procfs.to_owned() }
    }

    /// The limits on the number of tasks (`proc_sys_kernel(5)`). `pid_max` is `None` if it is not that of the host.
    #[must_use]
    pub fn task_limits(&self) -> TaskLimits {
        let read = |name| parse_number(fs::read(self.root.join("sys/kernel").join(name)).ok()?.trim_ascii());
        let pid_max = if self.shows_pid_max_of_own_namespace() { None } else { read("pid_max") };
        TaskLimits { pid_max, threads_max: read("threads-max") }
    }

    /// Whether `pid_max` is that of the exporter's pid namespace although this procfs belongs to another one. Since
    /// Linux 6.14 each pid namespace has its own, and the kernel shows the reader's.
    fn shows_pid_max_of_own_namespace(&self) -> bool {
        let is_procfs =
            rustix::fs::statfs(&self.root).is_ok_and(|statfs| statfs.f_type == rustix::fs::PROC_SUPER_MAGIC);
        is_procfs
            && !self.is_of_own_pid_namespace()
            && Self::new(Path::new("/proc")).own_namespace("pid") != Some(INITIAL_PID_NAMESPACE)
    }

    /// The pid of this process in the pid namespace of this procfs.
    #[must_use]
    pub fn own_pid(&self) -> Option<u32> {
        let target = fs::read_link(self.root.join("self")).ok()?;
        parse_number(target.as_os_str().as_encoded_bytes())?.try_into().ok()
    }

    /// Whether this procfs shows the pid namespace of the exporter.
    fn is_of_own_pid_namespace(&self) -> bool {
        self.own_pid() == Some(std::process::id())
    }

    /// Whether this procfs shows all processes of the host under the pids that the exporter uses itself.
    #[must_use]
    pub fn shows_all_processes(&self) -> bool {
        self.is_of_own_pid_namespace() && self.own_namespace("pid") == Some(INITIAL_PID_NAMESPACE)
    }

    /// Whether cgroup paths start at the root of the host, not of a cgroup namespace (`cgroup_namespaces(7)`).
    #[must_use]
    pub fn shows_full_cgroup_paths(&self) -> bool {
        self.own_namespace("cgroup") == Some(INITIAL_CGROUP_NAMESPACE)
    }

    /// Whether the exporter is in a cgroup namespace other than the host's. False if that cannot be determined.
    #[must_use]
    pub fn has_own_cgroup_namespace(&self) -> bool {
        self.own_namespace("cgroup").is_some_and(|namespace| namespace != INITIAL_CGROUP_NAMESPACE)
    }

    /// Whether start times in this procfs are those that the kernel has internally. In a time namespace
    /// (`time_namespaces(7)`), procfs adds an offset. Kernels without such namespaces have no link.
    #[must_use]
    pub fn shows_start_times_of_kernel(&self) -> bool {
        self.own_namespace("time").is_none_or(|namespace| namespace == INITIAL_TIME_NAMESPACE)
    }

    /// The inode number of a namespace of the exporter.
    fn own_namespace(&self, kind: &str) -> Option<u64> {
        let namespace = fs::read_link(self.root.join("self/ns").join(kind)).ok()?;
        parse_namespace_link(namespace.as_os_str().as_encoded_bytes())
    }

    /// The exporter's own cgroup file; empty if it cannot be read.
    #[must_use]
    pub fn own_cgroup_file(&self) -> Vec<u8> {
        fs::read(self.root.join("self/cgroup")).unwrap_or_default()
    }

    /// The container that the exporter runs in, if only its processes are visible: the procfs shows the exporter's pid
    /// namespace, and that is not the namespace of the host. `name` is its name, by default the host name.
    #[must_use]
    pub fn own_container(&self, name: Option<&str>) -> Option<Container> {
        if !self.is_of_own_pid_namespace() || self.own_namespace("pid")? == INITIAL_PID_NAMESPACE {
            return None;
        }
        let cgroup = self.own_cgroup_file();
        let file = parse_cgroup_file(&cgroup);
        // With --pid=host on a host that is itself a container, pid 1 belongs to that host, not to our container.
        let init = fs::read(self.root.join("1/cgroup")).unwrap_or_default();
        let init = parse_cgroup_file(&init);
        if init.container.as_ref().map(|it| it.path) != file.container.as_ref().map(|it| it.path) {
            return None;
        }
        let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let own_name = Some(label_value(name.unwrap_or(&host_name)).into());
        Some(match file.container {
            Some(found) => Container { own_name, ..found.to_container() },
            None => {
                let path = self.cgroup_of_own_namespace(&init);
                Container {
                    path: path.into(),
                    id: label_id(path).into(),
                    container_id: "".into(),
                    pod_uid: "".into(),
                    own_name,
                    runtime: Runtime::Unknown,
                }
            }
        })
    }

    /// The cgroup of all processes in the exporter's pid namespace, by the cgroup file of pid 1. The exporter's own cgroup
    /// can be below it: systemd in a container puts each service, and itself, in a cgroup of its own.
    fn cgroup_of_own_namespace<'a>(&self, init: &CgroupFile<'a>) -> &'a str {
        match init.path.strip_suffix("/init.scope").unwrap_or(init.path) {
            // Container runtimes that create a cgroup namespace make the container's cgroup its root.
            _ if self.has_own_cgroup_namespace() => "/",
            "" => "/",
            path => path,
        }
    }

    /// Whether the procfs hides processes of other users (`hidepid=1`, `2` or `ptraceable`, `proc(5)`).
    #[must_use]
    pub fn hides_other_users(&self) -> bool {
        let options = self.mount_options().unwrap_or_default();
        let option = |name| options.get(name)?.clone();
        let has_hidepid = option("hidepid").is_some_and(|value| !matches!(value.as_str(), "0" | "off"));
        let is_exempt = option("gid").and_then(|gid| gid.parse().ok()).is_some_and(is_in_group);
        has_hidepid && !is_exempt && !has_cap_sys_ptrace()
    }

    /// Whether the procfs has only the directories of processes (`subset=pid`, `proc(5)`).
    #[must_use]
    pub fn has_only_processes(&self) -> bool {
        let options = self.mount_options().unwrap_or_default();
        options.get("subset").is_some_and(|subset| subset.as_deref() == Some("pid"))
    }

    /// The mount options of this procfs. `None` if it is not the root of a mount, or if mounts cannot be read.
    fn mount_options(&self) -> Option<HashMap<String, Option<String>>> {
        let root = fs::canonicalize(&self.root).ok()?;
        let file = fs::File::open("/proc/self/mountinfo").ok()?;
        let mounts = procfs::process::MountInfos::from_read(file).ok()?;
        // The last mount on a directory is the visible one.
        mounts.into_iter().rfind(|mount| mount.mount_point == root).map(|mount| mount.super_options)
    }
}

/// Whether the exporter is a member of a group. The mount option `gid=` exempts a group from `hidepid`.
fn is_in_group(gid: u32) -> bool {
    let has = |group: rustix::process::Gid| group.as_raw() == gid;
    has(rustix::process::getegid())
        || rustix::process::getgroups().is_ok_and(|groups| groups.into_iter().any(has))
}

/// `CAP_SYS_PTRACE` exempts from `hidepid`.
fn has_cap_sys_ptrace() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SYS_PTRACE))
}
