//! Chooses the source of processes, BPF or `/proc`, and records the reason.

use std::fmt;
use std::time::Duration;

use tracing::warn;

use crate::collect::config::{CollectorConfig, SourceFlag};
use crate::collect::kernel_events::KernelEvents;
use crate::observe::bpf::capabilities;
use crate::observe::bpf::load::{self, LoadError};
use crate::observe::bpf::task_iterator::TaskIterator;
use crate::observe::bpf::task_list::BpfSource;
use crate::observe::cgroupfs::hierarchy::Hierarchy;
use crate::observe::cgroupfs::memory::memory_limit;
use crate::observe::cgroupfs::namespace_root::NamespaceRoot;
use crate::observe::procfs::system::System;
use crate::observe::procfs::walk::ProcSource;
use crate::observe::source::{Source, SourceError};
use crate::resolve::cgroup_file::parse_cgroup_file;
use crate::resolve::cgroup_path::attribute;
use crate::resolve::process_files::ProcessFiles as _;

/// Loading temporarily requires 60 MiB on Linux 6.18, including kernel memory, mostly for the kernel's type information
/// (BTF). Other kernels have more type information.
const MEMORY_TO_LOAD: u64 = 96 << 20;

/// How long a process may be in a container in one hierarchy only, and how often this is checked.
const MOVING_TIME: Duration = Duration::from_secs(1);
const MOVING_CHECKS: u32 = 20;

/// Why BPF cannot be used if such containers exist.
pub(super) const V1_ONLY: &str = "some containers are only in cgroup v1; BPF requires cgroup v2";

/// The source, and the counters that are available only with BPF.
pub struct SourceSelection {
    pub source: Source,
    pub events: Option<KernelEvents>,
    pub reason: Reason,
}

/// Why a source was chosen: the label `reason` of `pstree_source_info`, and the log message.
#[derive(Debug)]
pub enum Reason {
    /// The flag selects it.
    Flag,
    /// BPF is possible.
    Available,
    /// The procfs shows other processes than the kernel's task list.
    Procfs(&'static str),
    /// The default cgroup hierarchy does not distinguish containers.
    Hierarchy(&'static str),
    /// The memory limit of the exporter's cgroup, in bytes, is too low to load BPF programs.
    Memory(u64),
    Load(LoadError),
    /// BPF was in use and then failed.
    Failed(SourceError),
}

impl Reason {
    /// The value of the label `reason`.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Available => "available",
            Self::Procfs(_) => "procfs",
            Self::Hierarchy(_) => "hierarchy",
            Self::Memory(_) => "memory",
            Self::Load(LoadError::Capabilities(_)) => "rights",
            Self::Load(LoadError::Btf(_)) => "btf",
            Self::Load(_) => "kernel",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether the source is the intended one, so there is nothing to fix.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        matches!(self, Self::Flag | Self::Available | Self::Load(LoadError::Capabilities(_)))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("selected by a flag"),
            Self::Available => f.write_str("the kernel and the capabilities allow it"),
            Self::Procfs(why) | Self::Hierarchy(why) => f.write_str(why),
            Self::Memory(limit) => write!(
                f,
                "loading BPF programs requires 60 MiB; the memory limit of this cgroup is {} MiB; raise it to {} MiB",
                limit >> 20,
                MEMORY_TO_LOAD >> 20
            ),
            Self::Load(error) => error.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// Opens the source that the flag selects; with `auto`, BPF if possible. Afterwards, drops the capabilities that BPF
/// requires, in this thread and in all threads that it starts later.
///
/// # Errors
/// If there is no procfs at its path, or if BPF is selected and not possible.
pub fn select_source(config: &CollectorConfig, system: &System) -> Result<SourceSelection, SourceError> {
    let selection = open_source(config, system);
    // Capabilities are dropped for every source, because serving HTTP does not require them.
    if let Err(error) = capabilities::drop_capabilities() {
        warn!(%error, "cannot drop CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN");
    }
    selection
}

fn open_source(config: &CollectorConfig, system: &System) -> Result<SourceSelection, SourceError> {
    let root = match system.shows_full_cgroup_paths() {
        true => None,
        false => Some(NamespaceRoot::find(&config.cgroupfs, &system.own_cgroup_file()))
            .filter(NamespaceRoot::is_known),
    };
    let mut source = ProcSource::open(&config.procfs)?.with_namespace_root(root);
    let proc = |source, reason| Ok(SourceSelection { source: Source::Proc(source), events: None, reason });
    if config.source == SourceFlag::Proc {
        return proc(source, Reason::Flag);
    }
    let is_forced = config.source == SourceFlag::Bpf;
    match open_bpf(config, system, &mut source) {
        Ok((iterator, events)) => {
            let reason = if is_forced { Reason::Flag } else { Reason::Available };
            let source = Source::Bpf(BpfSource::new(iterator, source, &config.procfs));
            Ok(SourceSelection { source, events: Some(events), reason })
        }
        Err(reason) if is_forced => Err(SourceError::NoBpf(reason.to_string())),
        Err(reason) => proc(source, reason),
    }
}

/// Loads the BPF programs, or returns the reason why that is not possible.
fn open_bpf(
    config: &CollectorConfig,
    system: &System,
    proc: &mut ProcSource,
) -> Result<(TaskIterator, KernelEvents), Reason> {
    load::check_capabilities().map_err(Reason::Load)?;
    if !system.shows_all_processes() {
        return Err(Reason::Procfs(
            "the procfs does not show the initial pid namespace of the machine; run with --pid=host and the default \
             --path.procfs",
        ));
    }
    if !system.shows_start_times_of_kernel() {
        return Err(Reason::Procfs(
            "the exporter runs in its own time namespace, in which start times differ from those in the kernel; run it \
             in the time namespace of the host",
        ));
    }
    if system.hides_other_users() {
        return Err(Reason::Procfs(
            "procfs is mounted with hidepid, which hides files that are also required with BPF",
        ));
    }
    let has_root = proc.files().namespace_root().is_some_and(NamespaceRoot::has_default);
    if !system.shows_full_cgroup_paths() && !has_root {
        return Err(Reason::Hierarchy(
            "the exporter runs in its own cgroup namespace and does not find its own cgroup below --path.cgroupfs; \
             mount the host's /sys/fs/cgroup there, or run this container with --cgroupns=host",
        ));
    }
    let hierarchy = Hierarchy::find_default(&config.cgroupfs).ok_or(Reason::Hierarchy(
        "the cgroup v2 hierarchy below --path.cgroupfs is incomplete; in a container, run with --cgroupns=host",
    ))?;
    if has_v1_only_containers(proc).map_err(Reason::Failed)? {
        return Err(Reason::Hierarchy(V1_ONLY));
    }
    let own = proc.files().cgroup(std::process::id()).unwrap_or_default();
    if let Some(limit) = memory_limit(&config.cgroupfs, own).filter(|&limit| limit < MEMORY_TO_LOAD) {
        return Err(Reason::Memory(limit));
    }
    let count_commands = config.bounds.commands_per_container > 0;
    let loaded = load::load(config.bounds.event_cgroups, count_commands).map_err(Reason::Load)?;
    let events = KernelEvents::new(loaded.counters, loaded.commands, loaded.victims, hierarchy, config.units);
    Ok((loaded.iterator, events))
}

/// Whether a process stays in a container in cgroup v1 and in no container in cgroup v2. A runtime that moves a process
/// into both needs some milliseconds.
fn has_v1_only_containers(source: &mut ProcSource) -> Result<bool, SourceError> {
    let mut v1_only = Vec::new();
    source.walk(|record, files| {
        if is_v1_only(files.cgroup(record.key.pid)?) {
            v1_only.push(record.key.pid);
        }
        Ok(())
    })?;
    let files = source.files();
    for _ in 0..MOVING_CHECKS {
        v1_only.retain(|&pid| files.cgroup(pid).is_ok_and(is_v1_only));
        if v1_only.is_empty() {
            return Ok(false);
        }
        std::thread::park_timeout(MOVING_TIME / MOVING_CHECKS);
    }
    Ok(true)
}

fn is_v1_only(cgroup_file: &[u8]) -> bool {
    let file = parse_cgroup_file(cgroup_file);
    file.container.is_some() && file.default_path.and_then(attribute).is_none()
}
