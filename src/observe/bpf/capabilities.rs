//! Checks and drops the capabilities that are required to load BPF programs (`capabilities(7)`).

use std::io;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// Capabilities that allow loading. CAP_SYS_ADMIN includes the two others.
const FOR_LOADING: [CapabilitySet; 3] =
    [CapabilitySet::BPF, CapabilitySet::PERFMON, CapabilitySet::SYS_ADMIN];

/// The names of the missing capabilities, followed by "is" or "are"; `None` if nothing is missing.
#[must_use]
pub fn missing() -> Option<&'static str> {
    let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let has = |capability| effective.contains(capability);
    match (has(CapabilitySet::BPF), has(CapabilitySet::PERFMON)) {
        _ if has(CapabilitySet::SYS_ADMIN) => None,
        (true, true) => None,
        (false, true) => Some("CAP_BPF is"),
        (true, false) => Some("CAP_PERFMON is"),
        (false, false) => Some("CAP_BPF and CAP_PERFMON are"),
    }
}

/// Drops the capabilities permanently, in this thread and in all threads that it starts later.
///
/// # Errors
/// The error of the kernel.
pub fn drop_capabilities() -> io::Result<()> {
    let mut sets = capabilities(None)?;
    for capability in FOR_LOADING {
        sets.effective.remove(capability);
        sets.permitted.remove(capability);
        sets.inheritable.remove(capability);
    }
    set_capabilities(None, sets)?;
    Ok(())
}
