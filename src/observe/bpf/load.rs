//! The programs of `bpf/pstree.bpf.c` in the kernel: loaded, attached, and asked.
//!
//! Loading wants CAP_BPF and CAP_PERFMON, which are dropped at once; what stays are descriptors.
//! `bpf(2)`; Documentation/bpf/ of the kernel.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use aya::programs::links::LinkError;
use aya::programs::{BtfTracePoint, Iter, Program, ProgramError, ProgramFd};
use aya::{Btf, Ebpf, EbpfError, EbpfLoader};

use crate::observe::bpf::{capabilities, malloc_trim};

/// Compiled by `make bpf`; the instructions are the same on every little-endian machine.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../bpf/pstree.bpf.o");

/// Programs that count, each with its tracepoint (include/trace/events/{sched,cgroup}.h).
const COUNTERS: [(&str, &str); 4] = [
    ("on_fork", "sched_process_fork"),
    ("on_exec", "sched_process_exec"),
    ("on_exit", "sched_process_exit"),
    ("on_rmdir", "cgroup_rmdir"),
];

/// `struct counts` of the program, as numbers.
pub type CgroupValue = [u64; 15];

/// Why the kernel does not run our programs. One line that names the remedy, if there is one.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0} missing; grant CAP_BPF and CAP_PERFMON, which are dropped once the programs run")]
    Rights(&'static str),
    #[error(
        "the kernel does not describe its types: /sys/kernel/btf/vmlinux cannot be read ({0}); it wants CONFIG_DEBUG_INFO_BTF"
    )]
    Btf(String),
    #[error("the kernel refused: {0}")]
    Refused(String),
}

/// The error with its causes, without the verifier's log of hundreds of lines.
fn one_line(error: &dyn std::error::Error) -> String {
    let mut line = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let text = text.split(" Verifier output:").next().unwrap_or_default();
        let text = text.lines().next().unwrap_or_default().trim_end_matches('.');
        if !line.contains(text) {
            line.push_str(if line.is_empty() { "" } else { ": " });
            line.push_str(text);
        }
        next = error.source();
    }
    line
}

/// Whether there are the rights that loading wants.
///
/// # Errors
/// Which are missing.
pub fn check_capabilities() -> Result<(), LoadError> {
    capabilities::missing().map_or(Ok(()), |missing| Err(LoadError::Rights(missing)))
}

/// Loads and attaches everything, then gives up the rights to do so, in this thread and all that it makes
/// later. `max_cgroups` is how many cgroups can be counted for at one time. What is returned works together:
/// without the iterator nothing is counted any more.
///
/// # Errors
/// When anything of it is not possible; nothing stays in the kernel then.
pub fn load(max_cgroups: u32) -> Result<(TaskIterator, Counters), LoadError> {
    check_capabilities()?;
    let loaded = load_all(max_cgroups);
    capabilities::drop_capabilities()
        .map_err(|error| LoadError::Refused(format!("cannot drop capabilities: {error}")))?;
    // The kernel's types take tens of megabytes while they are searched.
    malloc_trim::give_back_freed();
    let (mut iterator, counters) = loaded?;
    // Before Linux 5.19 every call wants the rights that we have just dropped.
    iterator.open().map_err(|error| {
        LoadError::Refused(format!("listing without CAP_BPF failed ({error}); that takes Linux 5.19"))
    })?;
    Ok((iterator, counters))
}

fn load_all(max_cgroups: u32) -> Result<(TaskIterator, Counters), LoadError> {
    let btf = Btf::from_sys_fs().map_err(|error| LoadError::Btf(one_line(&error)))?;
    load_with(&btf, max_cgroups).map_err(|error| {
        let line = one_line(&error);
        let is_forbidden = line.contains("Operation not permitted");
        let remedy = if is_forbidden { "; in a container its seccomp profile must allow bpf(2)" } else { "" };
        LoadError::Refused(line + remedy)
    })
}

fn load_with(btf: &Btf, max_cgroups: u32) -> Result<(TaskIterator, Counters), EbpfError> {
    let mut ebpf = EbpfLoader::new().btf(Some(btf)).map_max_entries("cgroups", max_cgroups).load(OBJECT)?;
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
    Ok((TaskIterator { ebpf }, counters))
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, ProgramError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn take_map(ebpf: &mut Ebpf, name: &str) -> Result<Map, MapError> {
    ebpf.take_map(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() })
}

/// The program that lists all processes. Keeps all others running.
pub struct TaskIterator {
    ebpf: Ebpf,
}

impl TaskIterator {
    const PROGRAM: &str = "list_processes";

    /// Begins a pass: what the file yields is records of `struct process`, and then its end.
    ///
    /// # Errors
    /// The kernel's, such as when there is no descriptor left.
    pub fn open(&mut self) -> io::Result<File> {
        let iterator: &mut Iter = program(&mut self.ebpf, Self::PROGRAM).map_err(program_error)?;
        let link = iterator.attach().map_err(program_error)?;
        match iterator.take_link(link).map_err(program_error)?.into_file() {
            Ok(file) => Ok(file),
            Err(LinkError::SyscallError(error)) => Err(error.io_error),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

fn program_error(error: ProgramError) -> io::Error {
    match error {
        ProgramError::SyscallError(error) => error.io_error,
        error => io::Error::other(error),
    }
}

/// What the programs count, by the id of a cgroup in the default hierarchy.
pub struct Counters {
    cgroups: HashMap<MapData, u64, CgroupValue>,
    lost: Array<MapData, u64>,
    programs: Vec<ProgramFd>,
}

impl Counters {
    /// Shows the values of all cgroups, which only grow.
    ///
    /// # Errors
    /// The kernel's. What was shown before stays true.
    pub fn each(&self, mut show: impl FnMut(u64, &CgroupValue)) -> io::Result<()> {
        for entry in self.cgroups.iter() {
            let (id, value) = entry.map_err(map_error)?;
            show(id, &value);
        }
        Ok(())
    }

    /// Makes room. Only for a cgroup that is removed: nothing may be counted at the same time.
    ///
    /// # Errors
    /// The kernel's.
    pub fn forget(&mut self, id: u64) -> io::Result<()> {
        match self.cgroups.remove(&id) {
            Err(MapError::KeyNotFound) => Ok(()),
            done => done.map_err(map_error),
        }
    }

    /// Events that were not counted: no room in the map, or (`recursion_misses` of
    /// Documentation/bpf/, in `proc_pid_fdinfo(5)`) a program that was already running on that CPU.
    ///
    /// # Errors
    /// The kernel's.
    pub fn lost(&self) -> io::Result<u64> {
        let no_room = self.lost.get(&0, 0).map_err(map_error)?;
        let mut missed = 0;
        for program in &self.programs {
            let file = format!("/proc/self/fdinfo/{}", program.as_fd().as_raw_fd());
            missed += parse_recursion_misses(&std::fs::read_to_string(file)?);
        }
        Ok(no_room + missed)
    }
}

fn map_error(error: MapError) -> io::Error {
    match error {
        MapError::SyscallError(error) => error.io_error,
        error => io::Error::other(error),
    }
}

fn parse_recursion_misses(fdinfo: &str) -> u64 {
    let value = fdinfo.lines().find_map(|line| line.strip_prefix("recursion_misses:"));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_are_read_from_fdinfo() {
        let fdinfo = "pos:\t0\nflags:\t02\nprog_type:\t26\nrecursion_misses:\t7\nverified_insns:\t60\n";
        assert_eq!(parse_recursion_misses(fdinfo), 7);
        assert_eq!(parse_recursion_misses("pos:\t0\n"), 0);
    }

    #[test]
    fn a_refusal_fits_a_line_of_the_log() {
        let log = "0: R1=ctx() R10=fp0\nprocessed 1 insns";
        let error = EbpfError::ProgramError(ProgramError::NotLoaded);
        assert_eq!(one_line(&error), "program error: the program is not loaded");
        let refused = io::Error::other(format!("x returned EINVAL. Verifier output: {log}"));
        assert_eq!(one_line(&refused), "x returned EINVAL");
    }
}
