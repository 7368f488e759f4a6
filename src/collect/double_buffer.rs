//! Processes handed over to readers without a copy.

use std::sync::Arc;

use crate::model::forest::parents_and_depths::Forest;
use crate::model::forest::root_kinds::RootKinds;
use crate::model::process_table::ProcessTable;
use crate::model::walk::WalkResult;

/// The frames of the last two collections: readers hold one while the buffers of the other are filled again.
#[derive(Debug, Default)]
pub struct DoubleBuffer {
    present: Arc<ProcessTable>,
    last: Arc<ProcessTable>,
}

impl DoubleBuffer {
    /// The last successful collection's processes.
    #[must_use]
    pub fn present(&self) -> &Arc<ProcessTable> {
        &self.present
    }

    /// Swaps the processes into a frame; nothing is copied but the table of containers.
    pub fn swap(&mut self, walk: &mut WalkResult, forest: &mut Forest, roots: &mut RootKinds) {
        std::mem::swap(&mut self.present, &mut self.last);
        // A reader who still holds it keeps its buffers, and we make new ones.
        let mut frame = Arc::try_unwrap(std::mem::take(&mut self.present)).unwrap_or_default();
        std::mem::swap(&mut frame.records, &mut walk.records);
        std::mem::swap(&mut frame.forest, forest);
        std::mem::swap(&mut frame.roots, roots);
        frame.containers.clone_from(&walk.containers);
        self.present = Arc::new(frame);
    }
}
