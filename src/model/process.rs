//! The domain types: processes as one walk found them, and their membership in containers.
//!
//! Pure data. All types are small enough to be copied and kept in reused vectors.

use std::fmt;

use super::usage::Usage;

/// Identifies a process for its whole lifetime. A pid alone is not sufficient, because the kernel reuses pids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey {
    /// Start time in clock ticks since boot (`proc_pid_stat(5)`, field 22).
    pub start_time: u64,
    /// Thread group id, as seen in the pid namespace of the procfs that was read.
    pub pid: u32,
}

/// The command name that the kernel keeps per task: at most 15 raw bytes, chosen by the process.
///
/// Longer input is truncated, as the kernel does for user processes. Names of kernel workqueues have up to 63 bytes.
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

    /// The first 15 bytes before a NUL, which ends the name in structures of the kernel.
    #[must_use]
    pub fn from_padded(raw: &[u8]) -> Self {
        Self::new(raw.split(|&byte| byte == 0).next().unwrap_or_default())
    }

    /// The raw bytes, which can be empty or invalid UTF-8.
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

/// The state of a process (`proc_pid_stat(5)`, field 3), in the order of the values of the metric label `state`.
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
    /// All states, in the order of the label values.
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

    /// Parses the kernel's letter (`task_state_array`, fs/proc/array.c). `None` for a letter that no kernel since 2.6
    /// prints. `P`, `W` and `K` are the parked and waking tasks of older kernels.
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

/// One process (thread group) in one collection.
///
/// The key is the first field, so the derived ordering sorts by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessRecord {
    pub key: ProcessKey,
    /// Pid of the parent; 0 if the parent is outside the pid namespace of the procfs that was read.
    pub parent_pid: u32,
    /// `num_threads` of the kernel; 0 for a true zombie, which has no live thread.
    pub threads: u32,
    /// `Zombie` only if the group has no live thread.
    pub state: ProcessState,
    /// A kernel thread (`PF_KTHREAD`), which is never in a container.
    pub kernel_thread: bool,
    pub comm: Comm,
    pub membership: Membership,
    /// The leader has exited while other threads of its group still run. The kernel shows the process as a zombie.
    pub leader_exited: bool,
    /// It has a controlling terminal.
    pub has_terminal: bool,
    /// Its pid in the namespace directly below that of the procfs; 0 if there is none or it is unknown.
    pub ns_pid: u32,
    pub usage: Usage,
}

/// The membership of a process: in exactly one container, or on the host. A process on the host can be in a systemd
/// unit, which has a slot like a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Membership(u32);

impl Membership {
    /// The process is in no container.
    pub const HOST: Self = Self(u32::MAX);

    /// The process is in the container with this slot in the container table.
    #[must_use]
    pub fn container(slot: usize) -> Self {
        debug_assert!(slot < Self::UNIT as usize);
        Self(slot as u32)
    }

    /// The process is in the systemd unit with this slot in the container table.
    #[must_use]
    pub fn unit(slot: usize) -> Self {
        debug_assert!(slot < Self::UNIT as usize - 1);
        Self(slot as u32 | Self::UNIT)
    }

    /// Set for units, in addition to the slot, and for the host.
    const UNIT: u32 = 1 << 31;

    /// The slot of the container or unit; `None` for the rest of the host.
    #[must_use]
    pub fn slot(self) -> Option<usize> {
        (self != Self::HOST).then_some((self.0 & !Self::UNIT) as usize)
    }

    /// Whether the process is in no container.
    #[must_use]
    pub fn is_on_host(self) -> bool {
        self.0 & Self::UNIT != 0
    }
}

/// Why a listed process is missing from the snapshot. The label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    Vanished,
    Denied,
    Malformed,
}

/// Number of skipped processes by reason.
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

/// The pid of a process in its pid namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NsPids {
    pub pid: u32,
    /// How many levels its namespace is below that of the procfs; 0 if they are the same.
    pub level: usize,
    /// The pid in the namespace directly below that of the procfs, if there is one.
    pub below: Option<u32>,
}
