//! Records of the task iterator (`list_processes` in `bpf/pstree.bpf.c`) to the records of the domain.
//! Pure, and for any bytes.
//!
//! The same process gives the same record here and from `/proc`, but for the command of a kernel worker:
//! procfs adds to that what it works on.

use super::Details;
use super::parse::{InnerPid, KERNEL_THREAD_FLAG};
use crate::model::{Comm, Membership, ProcessKey, ProcessRecord, ProcessState};

/// Size of `struct process` of the program.
pub const RECORD_BYTES: usize = 72;

/// Nanoseconds of one clock tick at 100 Hz, which is what `proc_pid_stat(5)` shows times in everywhere but
/// on Alpha and IA-64 (`USER_HZ`, include/asm-generic/param.h).
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// Bits of `task_struct.__state` and `.exit_state` (include/linux/sched.h); the same since Linux 4.14.
mod bits {
    pub const INTERRUPTIBLE: u32 = 0x1;
    pub const UNINTERRUPTIBLE: u32 = 0x2;
    pub const STOPPED: u32 = 0x4;
    pub const TRACED: u32 = 0x8;
    pub const EXIT_DEAD: u32 = 0x10;
    pub const EXIT_ZOMBIE: u32 = 0x20;
    pub const PARKED: u32 = 0x40;
    pub const NOLOAD: u32 = 0x400;
    pub const IDLE: u32 = UNINTERRUPTIBLE | NOLOAD;
    pub const RTLOCK_WAIT: u32 = 0x1000;
    pub const FROZEN: u32 = 0x8000;
}

/// Reads one record. `None` where it is shorter than that.
#[must_use]
pub fn parse_process(bytes: &[u8]) -> Option<(ProcessRecord, Details)> {
    let (start_boottime, rest) = split_u64(bytes)?;
    let (cgroup_id, rest) = split_u64(rest)?;
    let (words, comm) = rest.split_first_chunk::<40>()?;
    let comm = comm.get(..Comm::CAPACITY + 1)?;
    let [
        pid,
        parent_pid,
        task_state,
        exit_state,
        flags,
        threads,
        nesting,
        inner_pid,
        pid_below,
        pid_namespace,
    ] = u32s(words);
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
        comm: Comm::new(comm.split(|&byte| byte == 0).next().unwrap_or_default()),
        membership: Membership::HOST,
        leader_exited,
        pid_below,
    };
    let inner =
        InnerPid { pid: inner_pid, nesting: nesting as usize, below: (pid_below > 0).then_some(pid_below) };
    Some((record, Details { cgroup_id, inner, pid_namespace: u64::from(pid_namespace) }))
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

/// As `/proc/PID/stat` has it (`__task_state_index`, include/linux/sched.h): the highest bit that is
/// reported, after what is shown as something else.
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
