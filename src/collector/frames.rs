//! Processes handed over to readers without a copy.

use std::sync::Arc;

use crate::forest::Forest;
use crate::forest::frame::Frame;
use crate::forest::roots::RootKinds;
use crate::model::Snapshot;

/// The frames of the last two collections: readers hold one while the buffers of the other are filled again.
#[derive(Debug, Default)]
pub struct Frames {
    present: Arc<Frame>,
    last: Arc<Frame>,
}

impl Frames {
    /// The last successful collection's processes.
    #[must_use]
    pub fn present(&self) -> &Arc<Frame> {
        &self.present
    }

    /// Swaps the processes into a frame; nothing is copied but the table of containers.
    pub fn hand_over(&mut self, snapshot: &mut Snapshot, forest: &mut Forest, roots: &mut RootKinds) {
        std::mem::swap(&mut self.present, &mut self.last);
        // A reader who still holds it keeps its buffers, and we make new ones.
        let mut frame = Arc::try_unwrap(std::mem::take(&mut self.present)).unwrap_or_default();
        std::mem::swap(&mut frame.records, &mut snapshot.records);
        std::mem::swap(&mut frame.forest, forest);
        std::mem::swap(&mut frame.roots, roots);
        frame.containers.clone_from(&snapshot.containers);
        self.present = Arc::new(frame);
    }
}
