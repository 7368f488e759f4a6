//! Hands process tables over to readers without a copy.

use std::sync::Arc;

use crate::model::process_table::ProcessTable;

/// The tables of the last two collections: readers hold one while the buffers of the other are filled again.
#[derive(Debug, Default)]
pub(super) struct DoubleBuffer {
    latest: Arc<ProcessTable>,
    before: Arc<ProcessTable>,
}

impl DoubleBuffer {
    /// Shares a finished table. `table` gets the buffers of an older one to fill again.
    pub(super) fn swap(&mut self, table: &mut ProcessTable) -> Arc<ProcessTable> {
        std::mem::swap(&mut self.latest, &mut self.before);
        // A reader that still holds the older table keeps its buffers, and new ones are made.
        let mut buffers = Arc::try_unwrap(std::mem::take(&mut self.latest)).unwrap_or_default();
        std::mem::swap(&mut buffers, table);
        self.latest = Arc::new(buffers);
        Arc::clone(&self.latest)
    }
}
