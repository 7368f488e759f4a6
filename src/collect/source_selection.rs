//! Which source is used, and why.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use tracing::warn;

use crate::collect::config::{CollectorConfig, SourceFlag};
use crate::collect::kernel_events::Events;
use crate::observe::bpf::capabilities;
use crate::observe::bpf::load::{self, LoadError};
use crate::observe::bpf::task_list::BpfSource;
use crate::observe::cgroupfs::hierarchy::DefaultHierarchy;
use crate::observe::procfs::system::System;
use crate::observe::procfs::walk::ProcSource;
use crate::observe::source::{Source, SourceError};
use crate::resolve::attribution::attribute;
use crate::resolve::cgroup_file::parse_cgroup_file;
use crate::resolve::process_files::ProcessFiles as _;

/// Loading takes 60 MiB for a moment (6.18, kernel memory included), most of it for the kernel's description of
/// its types; other kernels describe more.
const MEMORY_TO_LOAD: u64 = 96 << 20;

/// How long a process may be in a container by one hierarchy only, and how often that is looked at.
const MOVING_TIME: Duration = Duration::from_secs(1);
const MOVING_CHECKS: u32 = 20;

/// The source, with what only BPF has.
pub struct SourceSelection {
    pub source: Source,
    pub events: Option<Events>,
    pub reason: Reason,
}

/// Why a source was chosen: the label `reason` of `pstree_source_info`, and what to log.
#[derive(Debug)]
pub enum Reason {
    /// The flag asked for it.
    Flag,
    /// BPF, which works here.
    Available,
    /// Other processes are seen than the kernel would list.
    Procfs(&'static str),
    /// The default cgroup hierarchy does not tell containers apart.
    Hierarchy(&'static str),
    CachedProcess(u64),
    Load(LoadError),
    /// It worked, and then failed.
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
            Self::CachedProcess(_) => "memory",
            Self::Load(LoadError::Rights(_)) => "rights",
            Self::Load(LoadError::Btf(_)) => "btf",
            Self::Load(LoadError::Refused(_)) => "kernel",
            Self::Failed(_) => "failed",
        }
    }

    /// Whether this is how it is meant to be, not something that a user may want to mend.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        matches!(self, Self::Flag | Self::Available | Self::Load(LoadError::Rights(_)))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("a flag asks for it"),
            Self::Available => f.write_str("the kernel and our rights allow it"),
            Self::Procfs(why) | Self::Hierarchy(why) => f.write_str(why),
            Self::CachedProcess(limit) => write!(
                f,
                "loading takes 60 MiB for a moment, and this cgroup's limit is {} MiB; raise it to {} MiB",
                limit >> 20,
                MEMORY_TO_LOAD >> 20
            ),
            Self::Load(error) => error.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// Opens the source that the flag asks for; with `auto` BPF, where nothing speaks against it. The rights that
/// BPF wants are gone afterwards, in this thread and in those that it makes later.
///
/// # Errors
/// When there is no procfs at its path, or BPF alone is asked for and cannot be had.
pub fn select_source(config: &CollectorConfig, system: &System) -> Result<SourceSelection, SourceError> {
    let choice = choose_source(config, system);
    // Whatever was chosen: who serves the web has no use for them.
    if let Err(error) = capabilities::drop_capabilities() {
        warn!(%error, "cannot give up CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN");
    }
    choice
}

fn choose_source(config: &CollectorConfig, system: &System) -> Result<SourceSelection, SourceError> {
    let proc = |reason| {
        let source = Source::Proc(ProcSource::open(&config.procfs)?);
        Ok(SourceSelection { source, events: None, reason })
    };
    if config.source == SourceFlag::Proc {
        return proc(Reason::Flag);
    }
    let is_forced = config.source == SourceFlag::Bpf;
    match open_bpf(config, system) {
        Ok((source, events)) => {
            let reason = if is_forced { Reason::Flag } else { Reason::Available };
            Ok(SourceSelection { source: Source::Bpf(source), events: Some(events), reason })
        }
        Err(reason) if is_forced => Err(SourceError::NoBpf(reason.to_string())),
        Err(reason) => proc(reason),
    }
}

/// BPF, or what speaks against it.
fn open_bpf(config: &CollectorConfig, system: &System) -> Result<(BpfSource, Events), Reason> {
    load::check_capabilities().map_err(Reason::Load)?;
    if !system.shows_all_processes() {
        return Err(Reason::Procfs(
            "the procfs is not that of the machine's first pid namespace; run with --pid=host, and without \
             another --path.procfs",
        ));
    }
    if system.hides_other_users() {
        return Err(Reason::Procfs("hidepid hides files that BPF does not replace"));
    }
    if !system.shows_full_cgroup_paths() {
        return Err(Reason::Hierarchy(
            "cgroup paths are those of a cgroup namespace of our own; run this container with --cgroupns=host",
        ));
    }
    let hierarchy = DefaultHierarchy::find(&config.cgroupfs).ok_or(Reason::Hierarchy(
        "the whole of cgroup v2 is not mounted below --path.cgroupfs; in a container run with --cgroupns=host",
    ))?;
    if has_containers_of_v1_alone(&config.procfs).map_err(Reason::Failed)? {
        return Err(Reason::Hierarchy("containers here are in cgroup v1 alone, and BPF sees cgroup v2"));
    }
    if let Some(limit) = system.memory_limit(&config.cgroupfs).filter(|&limit| limit < MEMORY_TO_LOAD) {
        return Err(Reason::CachedProcess(limit));
    }
    let (iterator, counters) = load::load(config.bounds.event_cgroups).map_err(Reason::Load)?;
    let source = BpfSource::new(iterator, &config.procfs).map_err(Reason::Failed)?;
    Ok((source, Events::new(counters, hierarchy)))
}

/// Whether a process stays in a container by cgroup v1 and in none by cgroup v2. It may be on its way, which
/// takes a runtime some milliseconds.
fn has_containers_of_v1_alone(procfs: &Path) -> Result<bool, SourceError> {
    let mut source = ProcSource::open(procfs)?;
    let mut astray = Vec::new();
    source.walk(|record, files| {
        if is_in_v1_alone(files.cgroup(record.key.pid)?) {
            astray.push(record.key.pid);
        }
        Ok(())
    })?;
    let files = source.files();
    for _ in 0..MOVING_CHECKS {
        astray.retain(|&pid| files.cgroup(pid).is_ok_and(is_in_v1_alone));
        if astray.is_empty() {
            return Ok(false);
        }
        std::thread::park_timeout(MOVING_TIME / MOVING_CHECKS);
    }
    Ok(true)
}

fn is_in_v1_alone(cgroup_file: &[u8]) -> bool {
    let file = parse_cgroup_file(cgroup_file);
    file.container.is_some() && file.default_path.and_then(attribute).is_none()
}
