//! The words of the domain: processes as one walk saw them, and the containers they belong to.
//!
//! Pure data. Everything here is plain values, small enough to be copied and kept in reused vectors.

use std::fmt;
use std::sync::Arc;

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
    pub pid_below: u32,
}

/// A process that no earlier collection saw where it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newcomer {
    pub membership: Membership,
    pub start_time: u64,
    pub pid_below: u32,
}

impl Newcomer {
    #[must_use]
    pub fn of(record: &ProcessRecord) -> Self {
        Self { membership: record.membership, start_time: record.key.start_time, pid_below: record.pid_below }
    }
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

/// Who made a container's cgroup. The label `runtime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    Docker,
    Containerd,
    Crio,
    Podman,
    Nerdctl,
    Kubernetes,
    Ecs,
    Lxc,
    Nspawn,
    /// The exporter's own surroundings, when it runs inside a container whose maker it cannot tell.
    Unknown,
}

impl Runtime {
    /// The value of the label `runtime`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::Crio => "cri-o",
            Self::Podman => "podman",
            Self::Nerdctl => "nerdctl",
            Self::Kubernetes => "kubernetes",
            Self::Ecs => "ecs",
            Self::Lxc => "lxc",
            Self::Nspawn => "nspawn",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the Docker API (Docker's or Podman's) can know a name for such a container.
    #[must_use]
    pub fn has_docker_api_name(self) -> bool {
        matches!(self, Self::Docker | Self::Podman | Self::Kubernetes | Self::Ecs)
    }
}

/// A container, known by the cgroup that its runtime made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The cgroup path as the kernel prints it: what identifies the container, and where its files are.
    pub path: Box<str>,
    /// The label `id`: the path, spelled as cAdvisor spells it. Never cut, since it identifies the series.
    pub id: Box<str>,
    /// 64 hex digits for most runtimes; a name for LXC and nspawn; empty where it cannot be told.
    pub container_id: Box<str>,
    /// The Kubernetes pod's uid with dashes; empty outside Kubernetes.
    pub pod_uid: Box<str>,
    /// A name that the path itself tells, as LXC's and nspawn's do.
    pub own_name: Option<Box<str>>,
    pub runtime: Runtime,
}

impl Container {
    /// The name to show while nobody has told a better one: the container's own, or the first 12 digits of
    /// its id.
    #[must_use]
    pub fn fallback_name(&self) -> &str {
        match &self.own_name {
            Some(name) => name,
            None => self
                .container_id
                .char_indices()
                .nth(12)
                .map_or(&*self.container_id, |(end, _)| &self.container_id[..end]),
        }
    }
}

/// Everything that one walk found. Kept and refilled by the collector, never cloned.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// In the order of the walk; no two with one pid.
    pub records: Vec<ProcessRecord>,
    /// By slot. A slot is empty where no process belongs to it any more.
    pub containers: Vec<Option<Arc<Container>>>,
    /// Also of walks that failed later, until they are counted.
    pub newcomers: Vec<Newcomer>,
}

/// Ticks since boot to Unix time.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock {
    /// Unix time of the boot; `None` where the procfs does not tell.
    pub boot_time: Option<u64>,
    pub ticks_per_second: u64,
}

impl BootClock {
    /// Unix time of a moment in ticks since boot.
    #[must_use]
    pub fn unix(self, ticks: u64) -> Option<f64> {
        Some(self.boot_time? as f64 + ticks as f64 / self.ticks_per_second as f64)
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
