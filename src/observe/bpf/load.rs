//! Loads and attaches the programs of `bpf/pstree.bpf.c` (`bpf(2)`; Documentation/bpf/ of the kernel).
//!
//! Loading requires CAP_BPF and CAP_PERFMON, which are dropped afterwards. Only file descriptors are kept.

use std::io;

use aya::maps::{Map, MapError};
use aya::programs::{BtfTracePoint, Iter, Program, ProgramError};
use aya::{Btf, Ebpf, EbpfError, EbpfLoader};

use super::capabilities;
use super::command_counters::CommandCounters;
use super::counters::Counters;
use super::malloc_trim::return_free_memory;
use super::oom_victims::OomVictims;
use super::task_iterator::TaskIterator;

/// Compiled by `make bpf`; the instructions are the same on every little-endian machine.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../bpf/pstree.bpf.o");

/// The counting programs, each with its tracepoint (include/trace/events/{sched,cgroup}.h).
const COUNTERS: [(&str, &str); 4] = [
    ("on_fork", "sched_process_fork"),
    ("on_exec", "sched_process_exec"),
    ("on_exit", "sched_process_exit"),
    ("on_rmdir", "cgroup_rmdir"),
];

/// Why the programs cannot be loaded. The message is one line with the fix, if there is one.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0} missing; grant CAP_BPF and CAP_PERFMON, which are dropped after loading")]
    Capabilities(&'static str),
    #[error(
        "cannot read the kernel's type information in /sys/kernel/btf/vmlinux ({0}); BPF requires CONFIG_DEBUG_INFO_BTF"
    )]
    Btf(String),
    #[error("the kernel rejected the BPF programs: {0}")]
    Rejected(String),
    #[error(
        "the kernel rejected the BPF programs: {0}; in a container, its seccomp profile must allow bpf(2)"
    )]
    Forbidden(String),
    #[error("cannot list processes without CAP_BPF ({0}); this requires Linux 5.19 or later")]
    TooOld(io::Error),
    #[error("cannot drop capabilities: {0}")]
    KeptCapabilities(io::Error),
}

/// The error with its causes, without the log of the verifier, which has hundreds of lines.
fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = String::new();
    for error in causes(error) {
        let text = error.to_string();
        let text = text.split(" Verifier output:").next().unwrap_or_default();
        let text = text.lines().next().unwrap_or_default().trim_end_matches('.');
        if !line.contains(text) {
            line.push_str(if line.is_empty() { "" } else { ": " });
            line.push_str(text);
        }
    }
    line
}

/// An error and its causes.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

impl From<EbpfError> for LoadError {
    fn from(error: EbpfError) -> Self {
        let is_forbidden = causes(&error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|error| error.kind() == io::ErrorKind::PermissionDenied);
        let line = one_line(&error);
        if is_forbidden { Self::Forbidden(line) } else { Self::Rejected(line) }
    }
}

/// Whether the thread has the capabilities that loading requires.
///
/// # Errors
/// If a capability is missing. The error names it.
pub fn check_capabilities() -> Result<(), LoadError> {
    capabilities::missing().map_or(Ok(()), |missing| Err(LoadError::Capabilities(missing)))
}

/// The loaded programs and their maps.
pub struct Loaded {
    pub iterator: TaskIterator,
    pub counters: Counters,
    pub commands: CommandCounters,
    pub victims: OomVictims,
}

/// Loads and attaches all programs, then drops the required capabilities, in this thread and in all threads that it
/// starts later. `max_cgroups` is the maximum number of counted cgroups. Counting stops when the iterator is dropped.
///
/// # Errors
/// If any part fails. Nothing stays loaded in the kernel.
pub fn load(max_cgroups: u32, count_commands: bool) -> Result<Loaded, LoadError> {
    check_capabilities()?;
    let loaded = load_all(max_cgroups, count_commands);
    capabilities::drop_capabilities().map_err(LoadError::KeptCapabilities)?;
    // The kernel's type information takes tens of megabytes during loading.
    return_free_memory();
    let mut loaded = loaded?;
    // Before Linux 5.19, every call requires the capabilities that were just dropped.
    loaded.iterator.open().map_err(LoadError::TooOld)?;
    Ok(loaded)
}

fn load_all(max_cgroups: u32, count_commands: bool) -> Result<Loaded, LoadError> {
    let btf = Btf::from_sys_fs().map_err(|error| LoadError::Btf(one_line(&error)))?;
    Ok(load_with(&btf, max_cgroups, count_commands)?)
}

fn load_with(btf: &Btf, max_cgroups: u32, count_commands: bool) -> Result<Loaded, EbpfError> {
    let count_commands = u8::from(count_commands);
    let mut ebpf = EbpfLoader::new()
        .btf(Some(btf))
        .map_max_entries("cgroups", max_cgroups)
        .override_global("count_commands", &count_commands, true)
        .load(OBJECT)?;
    let mut programs = Vec::with_capacity(COUNTERS.len());
    for (name, tracepoint) in COUNTERS {
        let program: &mut BtfTracePoint = program(&mut ebpf, name)?;
        program.load(tracepoint, btf)?;
        program.attach()?;
        programs.push(program.fd()?.try_clone().map_err(ProgramError::from)?);
    }
    program::<Iter>(&mut ebpf, TaskIterator::PROGRAM)?.load("task", btf)?;
    let counters = Counters {
        cgroups: take_map(&mut ebpf, "cgroups")?.try_into()?,
        lost: take_map(&mut ebpf, "lost")?.try_into()?,
        programs,
    };
    let commands = CommandCounters::new(
        take_map(&mut ebpf, "commands")?.try_into()?,
        take_map(&mut ebpf, "generation")?.try_into()?,
    );
    let victims = OomVictims(take_map(&mut ebpf, "oom_victims")?.try_into()?);
    Ok(Loaded { iterator: TaskIterator { ebpf }, counters, commands, victims })
}

pub(super) fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, ProgramError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<Map, MapError> {
    ebpf.take_map(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_fits_a_line_of_the_log() {
        let log = "0: R1=ctx() R10=fp0\nprocessed 1 insns";
        let error = EbpfError::ProgramError(ProgramError::NotLoaded);
        assert_eq!(one_line(&error), "program error: the program is not loaded");
        let rejected = io::Error::other(format!("x returned EINVAL. Verifier output: {log}"));
        assert_eq!(one_line(&rejected), "x returned EINVAL");
    }

    #[test]
    fn a_denied_system_call_is_reported_by_errno() {
        let error = |errno: i32| {
            let io_error = io::Error::from_raw_os_error(errno);
            let error = aya::sys::SyscallError { call: "bpf_prog_load", io_error };
            LoadError::from(EbpfError::ProgramError(ProgramError::SyscallError(error)))
        };
        let (forbidden, invalid) = (error(rustix::io::Errno::PERM.raw_os_error()), error(22));
        assert!(matches!(forbidden, LoadError::Forbidden(_)), "{forbidden}");
        assert!(matches!(invalid, LoadError::Rejected(_)), "{invalid}");
    }
}
