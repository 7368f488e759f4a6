//! Passes process tables to readers without copying them.

use std::sync::Arc;

use crate::model::process_table::ProcessTable;

/// The tables of the last two collections. Readers use one while the buffers of the other are refilled.
#[derive(Debug, Default)]
pub(super) struct DoubleBuffer {
    latest: Arc<ProcessTable>,
    before: Arc<ProcessTable>,
}

impl DoubleBuffer {
    /// Shares a finished table. `table` receives the buffers of an older table to refill.
    pub(super) fn swap(&mut self, table: &mut ProcessTable) -> Arc<ProcessTable> {
        std::mem::swap(&mut self.latest, &mut self.before);
        // If a reader still holds the older table, its buffers are not reused and new ones are allocated.
        let mut buffers = Arc::try_unwrap(std::mem::take(&mut self.latest)).unwrap_or_default();
        std::mem::swap(&mut buffers, table);
        self.latest = Arc::new(buffers);
        Arc::clone(&self.latest)
    }
}
