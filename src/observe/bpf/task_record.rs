//! Converts the bytes of the task iterator (`list_processes` in `bpf/pstree.bpf.c`) to process records. Accepts any
//! bytes.
//!
//! The record of a process is the same as from `/proc`, except for the command of a kernel worker, to which procfs adds
//! the current work.

use crate::model::process::{Comm, Membership, NsPids, ProcessKey, ProcessRecord, ProcessState};
use crate::model::usage::Usage;
use crate::observe::procfs::parse::KERNEL_THREAD_FLAG;
use crate::resolve::process_files::KernelFields;

/// Size of `struct process` of the BPF program.
pub const RECORD_BYTES: usize = 88;

/// The number of resident pages if the kernel has its counters where the program does not know them.
pub const UNKNOWN_PAGES: u64 = u64::MAX;

/// The bit of `nesting` for a process with a controlling terminal.
const HAS_TERMINAL: u32 = 1 << 31;

/// Nanoseconds of one clock tick at 100 Hz, the unit of times in `proc_pid_stat(5)` on all architectures except Alpha and
/// IA-64 (`USER_HZ`, include/asm-generic/param.h).
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// Bits of `task_struct.__state` and `.exit_state` (include/linux/sched.h); the same since Linux 4.14.
mod bits {
    pub(super) const INTERRUPTIBLE: u32 = 0x1;
    pub(super) const UNINTERRUPTIBLE: u32 = 0x2;
    pub(super) const STOPPED: u32 = 0x4;
    pub(super) const TRACED: u32 = 0x8;
    pub(super) const EXIT_DEAD: u32 = 0x10;
    pub(super) const EXIT_ZOMBIE: u32 = 0x20;
    pub(super) const PARKED: u32 = 0x40;
    pub(super) const NOLOAD: u32 = 0x400;
    pub(super) const IDLE: u32 = UNINTERRUPTIBLE | NOLOAD;
    pub(super) const RTLOCK_WAIT: u32 = 0x1000;
    pub(super) const FROZEN: u32 = 0x8000;
}

/// Parses one record. `None` if there are too few bytes.
#[must_use]
pub fn parse_process(bytes: &[u8]) -> Option<(ProcessRecord, KernelFields)> {
    let (start_boottime, rest) = split_u64(bytes)?;
    let (cgroup_id, rest) = split_u64(rest)?;
    let (cpu_nanoseconds, rest) = split_u64(rest)?;
    let (resident_pages, rest) = split_u64(rest)?;
    let (words, comm) = rest.split_first_chunk::<40>()?;
    let comm = comm.get(..Comm::CAPACITY + 1)?;
    let [pid, parent_pid, task_state, exit_state, flags, threads, nesting, ns_pids, ns_pid, pid_namespace] =
        u32s(words);
    let level = nesting & !HAS_TERMINAL;
    let shown = state(task_state, exit_state);
    let is_zombie = shown == ProcessState::Zombie;
    // The kernel counts a zombie leader as a thread of its group until it is reaped.
    let leader_exited = is_zombie && threads > 1;
    let record = ProcessRecord {
        key: ProcessKey { start_time: start_boottime / NANOSECONDS_PER_TICK, pid },
        parent_pid,
        threads: if is_zombie && !leader_exited { 0 } else { threads },
        state: if leader_exited { ProcessState::Sleeping } else { shown },
        kernel_thread: u64::from(flags) & KERNEL_THREAD_FLAG != 0,
        comm: Comm::from_padded(comm),
        membership: Membership::HOST,
        leader_exited,
        has_terminal: nesting & HAS_TERMINAL != 0,
        ns_pid,
        usage: Usage { cpu_ticks: cpu_nanoseconds / NANOSECONDS_PER_TICK, resident_pages },
    };
    let ns_pids = NsPids { pid: ns_pids, level: level as usize, below: (ns_pid > 0).then_some(ns_pid) };
    Some((record, KernelFields { cgroup_id, ns_pids, pid_namespace: u64::from(pid_namespace) }))
}

fn split_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    Some((u64::from_ne_bytes(*first), rest))
}

fn u32s(bytes: &[u8; 40]) -> [u32; 10] {
    let mut words = [0; 10];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u32::from_ne_bytes(*bytes);
    }
    words
}

/// The state as `/proc/PID/stat` shows it (`__task_state_index`, include/linux/sched.h): the highest bit that is
/// reported, after mapping the bits that are shown as another state.
fn state(task_state: u32, exit_state: u32) -> ProcessState {
    if exit_state & bits::EXIT_ZOMBIE != 0 {
        return ProcessState::Zombie;
    }
    if exit_state & bits::EXIT_DEAD != 0 {
        return ProcessState::Dead;
    }
    if task_state & bits::IDLE == bits::IDLE {
        return ProcessState::Idle;
    }
    if task_state & (bits::RTLOCK_WAIT | bits::FROZEN) != 0 {
        return ProcessState::DiskSleep;
    }
    for (bit, state) in [
        (bits::PARKED, ProcessState::Idle),
        (bits::TRACED, ProcessState::TracingStop),
        (bits::STOPPED, ProcessState::Stopped),
        (bits::UNINTERRUPTIBLE, ProcessState::DiskSleep),
        (bits::INTERRUPTIBLE, ProcessState::Sleeping),
    ] {
        if task_state & bit != 0 {
            return state;
        }
    }
    ProcessState::Running
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::procfs::parse::parse_stat;

    const KTHREAD: u32 = 0x0020_0000;

    fn bytes(words: [u32; 10], comm: &[u8; 16]) -> Vec<u8> {
        let mut bytes = [123_456_789_012_u64, 4711, 1_239_999_999, 77].map(u64::to_ne_bytes).concat();
        bytes.extend(words.into_iter().flat_map(u32::to_ne_bytes));
        bytes.extend(comm);
        bytes
    }

    fn words(task_state: u32, exit_state: u32, flags: u32, threads: u32) -> [u32; 10] {
        [42, 7, task_state, exit_state, flags, threads, 2, 1, 12, 4_026_532_000]
    }

    #[test]
    fn the_same_process_gives_the_same_record_as_a_stat_file() {
        let comm = *b") R 1 1\n\0\0\0\0\0\0\0\0";
        for (letter, task_state, exit_state, threads) in [
            ('R', 0, 0, 1),
            ('S', 0x1, 0, 3),
            ('D', 0x2, 0, 1),
            // TASK_KILLABLE, TASK_RTLOCK_WAIT and TASK_FROZEN.
            ('D', 0x102, 0, 1),
            ('D', 0x1000, 0, 1),
            ('D', 0x8000, 0, 1),
            ('T', 0x104, 0, 1),
            ('t', 0x8, 0, 1),
            ('I', 0x402, 0, 1),
            ('P', 0x40, 0, 1),
            ('Z', 0x80, 0x20, 1),
            // A leader that exited before its threads.
            ('Z', 0x80, 0x20, 3),
            ('X', 0x80, 0x10, 1),
            // TASK_FREEZABLE is not a separate state.
            ('S', 0x2001, 0, 1),
        ] {
            let stat = format!(
                "42 () R 1 1\n) {letter} 7 42 42 0 -1 {KTHREAD} 0 0 0 0 100 23 0 0 20 0 {threads} 0 12345 0 77 0\n"
            );
            let expected = parse_stat(42, stat.as_bytes()).expect("a whole line");
            let words = words(task_state, exit_state, KTHREAD, threads);
            let (record, _) = parse_process(&bytes(words, &comm)).expect("a whole record");
            assert_eq!(record, ProcessRecord { ns_pid: 12, ..expected }, "{letter}");
        }
    }

    #[test]
    fn a_terminal_does_not_change_the_level_of_the_namespace() {
        let mut with_terminal = words(1, 0, 0, 1);
        with_terminal[6] |= HAS_TERMINAL;
        let (record, fields) = parse_process(&bytes(with_terminal, &[b'x'; 16])).expect("whole");
        assert!(record.has_terminal);
        assert_eq!(fields.ns_pids.level, 2);
    }

    #[test]
    fn kernel_fields_match_the_procfs_files() {
        let (_, fields) =
            parse_process(&bytes(words(1, 0, 0, 1), b"sh\0\0\0\0\0\0\0\0\0\0\0\0\0\0")).expect("whole");
        let ns_pids = NsPids { pid: 1, level: 2, below: Some(12) };
        assert_eq!(fields, KernelFields { cgroup_id: 4711, ns_pids, pid_namespace: 4_026_532_000 });
        let on_the_host = [42, 7, 1, 0, 0, 1, 0, 42, 0, 1];
        let (record, fields) = parse_process(&bytes(on_the_host, &[b'x'; 16])).expect("whole");
        assert_eq!((record.ns_pid, fields.ns_pids.below), (0, None));
        assert_eq!(record.comm.as_bytes(), [b'x'; 15]);
    }

    #[test]
    fn a_truncated_record_is_rejected() {
        let whole = bytes(words(1, 0, 0, 1), &[0; 16]);
        assert_eq!(whole.len(), RECORD_BYTES);
        for end in 0..RECORD_BYTES {
            assert_eq!(parse_process(&whole[..end]), None, "{end}");
        }
    }
}
