//! A linked snapshot as it is handed to readers: shared, and never changed.

use std::sync::Arc;

use crate::model::container::Container;
use crate::model::forest::parents_and_depths::Forest;
use crate::model::forest::root_kinds::RootKinds;
use crate::model::process::ProcessRecord;

/// All processes of one moment and how they hang together.
#[derive(Debug, Default)]
pub struct ProcessTable {
    pub records: Vec<ProcessRecord>,
    /// By slot.
    pub containers: Vec<Option<Arc<Container>>>,
    pub forest: Forest,
    pub roots: RootKinds,
}
