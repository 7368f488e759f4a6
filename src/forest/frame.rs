//! A linked snapshot as it is handed to readers: shared, and never changed.

use std::sync::Arc;

use super::Forest;
use super::roots::RootKinds;
use crate::model::{Container, ProcessRecord};

/// All processes of one moment and how they hang together.
#[derive(Debug, Default)]
pub struct Frame {
    pub records: Vec<ProcessRecord>,
    /// By slot.
    pub containers: Vec<Option<Arc<Container>>>,
    pub forest: Forest,
    pub roots: RootKinds,
}
