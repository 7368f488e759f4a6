//! The words of the domain: processes as one walk saw them, and the containers they belong to.
//!
//! Pure data. Everything here is plain values, small enough to be copied and kept in reused vectors.

use std::fmt;

/// A process for its whole life. A pid alone is not enough: the kernel hands pids out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey {
    /// Start time in clock ticks since boot (`proc_pid_stat(5)`, field 22).
    pub start_time: u64,
    /// Thread group id, as seen in the pid namespace of the procfs that was read.
    pub pid: u32,
}

/// The command name that the kernel keeps per task: at most 15 raw bytes that the process chooses itself.
///
/// Longer input (kernel workqueues carry up to 63) is cut, as the kernel cuts it for user processes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Comm {
    len: u8,
    bytes: [u8; Comm::CAPACITY],
}

impl Comm {
    /// `TASK_COMM_LEN` (include/linux/sched.h) without its terminating NUL.
    pub const CAPACITY: usize = 15;

    /// Keeps the first 15 bytes of `raw`.
    #[must_use]
    pub fn new(raw: &[u8]) -> Self {
        let kept = raw.len().min(Self::CAPACITY);
        let mut bytes = [0; Self::CAPACITY];
        bytes[..kept].copy_from_slice(&raw[..kept]);
        Self { len: kept as u8, bytes }
    }

    /// The raw bytes: any value, UTF-8 or not, possibly none at all.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// What a process is doing (`proc_pid_stat(5)`, field 3), in the order and words of the metric label `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ProcessState {
    Running,
    Sleeping,
    DiskSleep,
    Stopped,
    TracingStop,
    Zombie,
    Dead,
    Idle,
}

impl ProcessState {
    /// Every state, in label order.
    pub const ALL: [Self; 8] = [
        Self::Running,
        Self::Sleeping,
        Self::DiskSleep,
        Self::Stopped,
        Self::TracingStop,
        Self::Zombie,
        Self::Dead,
        Self::Idle,
    ];

    /// The kernel's letter (`task_state_array`, fs/proc/array.c). `None` for a letter that no kernel since
    /// 2.6 prints. `P`, `W` and `K` are the parked and waking tasks of older kernels.
    #[must_use]
    pub fn from_letter(letter: u8) -> Option<Self> {
        Some(match letter {
            b'R' => Self::Running,
            b'S' => Self::Sleeping,
            b'D' | b'K' | b'W' => Self::DiskSleep,
            b'T' => Self::Stopped,
            b't' => Self::TracingStop,
            b'Z' => Self::Zombie,
            b'X' | b'x' => Self::Dead,
            b'I' | b'P' => Self::Idle,
            _ => return None,
        })
    }

    /// The value of the label `state`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Sleeping => "sleeping",
            Self::DiskSleep => "disk_sleep",
            Self::Stopped => "stopped",
            Self::TracingStop => "tracing_stop",
            Self::Zombie => "zombie",
            Self::Dead => "dead",
            Self::Idle => "idle",
        }
    }
}

/// One process (thread group) as one collection saw it.
///
/// The field order makes the derived ordering start with the key, so that sorting is by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessRecord {
    pub key: ProcessKey,
    /// Pid of the parent; 0 where it lies outside the pid namespace of the procfs that was read.
    pub parent_pid: u32,
    /// `num_threads` of the kernel; 0 for a true zombie, which has no live thread left.
    pub threads: u32,
    /// `Zombie` only where no live thread is left in the group.
    pub state: ProcessState,
    /// A kernel thread (`PF_KTHREAD`): never in a container.
    pub kernel_thread: bool,
    pub comm: Comm,
    pub membership: Membership,
    /// The leader has exited while other threads of its group run on: the kernel shows it as a zombie.
    pub leader_exited: bool,
    /// Its pid in the namespace just below that of the procfs; 0 where it is in none below, or that is not
    /// known.
    pub ns_pid: u32,
}

/// Where a process belongs: to exactly one container, or to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Membership(u32);

impl Membership {
    /// In no container.
    pub const HOST: Self = Self(u32::MAX);

    /// In the container of this slot of the snapshot's container table.
    #[must_use]
    pub fn container(slot: usize) -> Self {
        debug_assert!(slot < u32::MAX as usize);
        Self(slot as u32)
    }

    /// The slot of the container; `None` on the host.
    #[must_use]
    pub fn slot(self) -> Option<usize> {
        (self != Self::HOST).then_some(self.0 as usize)
    }
}

/// Why a process that was listed is missing from the snapshot. The label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    Vanished,
    Denied,
    Malformed,
}

/// Processes left out, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    pub vanished: u64,
    pub denied: u64,
    pub malformed: u64,
}

impl Skipped {
    pub fn count(&mut self, reason: SkipReason) {
        match reason {
            SkipReason::Vanished => self.vanished += 1,
            SkipReason::Denied => self.denied += 1,
            SkipReason::Malformed => self.malformed += 1,
        }
    }

    pub fn add(&mut self, other: Self) {
        self.vanished += other.vanished;
        self.denied += other.denied;
        self.malformed += other.malformed;
    }
}

/// A process's pid as seen from its own pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NsPids {
    pub pid: u32,
    /// How many namespaces lie between that one and the one of the procfs; 0 when they are the same.
    pub level: usize,
    /// The pid in the namespace just below that of the procfs, where there is one.
    pub below: Option<u32>,
}
