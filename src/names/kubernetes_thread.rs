//! The thread that reads the names of Kubernetes containers: a directory that hangs costs names only.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::config::LogDirectories;
use super::kubernetes_logs::read_names;
use super::registry::Registry;

/// Least time between two readings.
const PAUSE: Duration = Duration::from_secs(1);

/// Starts the thread. It reads the names now, and again when a container of a pod has none, until the registry is
/// stopped.
///
/// # Errors
/// If no thread can be created.
pub(crate) fn start(directories: LogDirectories, registry: Arc<Registry>) -> io::Result<()> {
    registry.expect_logs();
    let run = move || {
        loop {
            registry.publish_logs(read_names(&directories));
            if !registry.pause(PAUSE) || !registry.wait_for_unnamed_pods() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("kubernetes".into()).spawn(run)?;
    Ok(())
}
