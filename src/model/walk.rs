//! What one walk over all processes finds.

use std::sync::Arc;

use crate::model::container::Container;
use crate::model::process::{Membership, ProcessRecord};

/// A process that no earlier collection saw where it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewProcess {
    pub membership: Membership,
    pub start_time: u64,
    pub ns_pid: u32,
}

impl NewProcess {
    #[must_use]
    pub fn of(record: &ProcessRecord) -> Self {
        Self { membership: record.membership, start_time: record.key.start_time, ns_pid: record.ns_pid }
    }
}

/// Everything that one walk found. Kept and refilled by the collector, never cloned.
#[derive(Debug, Default)]
pub struct WalkResult {
    /// In the order of the walk; no two with one pid.
    pub records: Vec<ProcessRecord>,
    /// By slot. A slot is empty where no process belongs to it any more.
    pub containers: Vec<Option<Arc<Container>>>,
    /// Also of walks that failed later, until they are counted.
    pub new_processes: Vec<NewProcess>,
}
