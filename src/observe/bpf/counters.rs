//! The event counters of the BPF programs, by the id of a cgroup in the default hierarchy.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::{Array, HashMap, MapData, MapError};
use aya::programs::ProgramFd;

/// `struct counts` of the BPF program, as numbers.
pub type CgroupValue = [u64; 23];

/// The maps of the BPF programs.
pub struct Counters {
    pub(super) cgroups: HashMap<MapData, u64, CgroupValue>,
    pub(super) lost: Array<MapData, u64>,
    pub(super) programs: Vec<ProgramFd>,
}

impl Counters {
    /// Calls `show` with the values of every cgroup. Values only increase.
    ///
    /// # Errors
    /// The error of the kernel. Values passed to `show` before the error stay valid.
    pub fn each(&self, mut show: impl FnMut(u64, &CgroupValue)) -> io::Result<()> {
        for entry in self.cgroups.iter() {
            let (id, value) = entry.map_err(map_error)?;
            show(id, &value);
        }
        Ok(())
    }

    /// Removes the entry of a cgroup. The cgroup must be removed, so that no event is counted at the same time.
    ///
    /// # Errors
    /// The error of the kernel.
    pub fn forget(&mut self, id: u64) -> io::Result<()> {
        match self.cgroups.remove(&id) {
            Err(MapError::KeyNotFound) => Ok(()),
            done => done.map_err(map_error),
        }
    }

    /// Number of events that were not counted, because the map was full or because a program was already running on
    /// that CPU (`recursion_misses` in Documentation/bpf/ and `proc_pid_fdinfo(5)`).
    ///
    /// # Errors
    /// The error of the kernel.
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

pub(super) fn map_error(error: MapError) -> io::Error {
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
}
