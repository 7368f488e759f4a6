//! A linked snapshot as it is handed to readers: shared, and never changed.

use std::sync::Arc;

use super::Forest;
use super::roots::RootKinds;
use crate::model::{Container, Membership, ProcessRecord};

/// All processes of one moment and how they hang together.
#[derive(Debug, Default)]
pub struct Frame {
    pub records: Vec<ProcessRecord>,
    /// By slot.
    pub containers: Vec<Option<Arc<Container>>>,
    pub forest: Forest,
    pub roots: RootKinds,
}

impl Frame {
    /// Indexes of the processes of one container, or of the host; parents before their children.
    pub fn members(&self, of: Membership) -> impl Iterator<Item = usize> {
        self.forest.parents_first().filter(move |&index| self.records[index].membership == of)
    }
}
