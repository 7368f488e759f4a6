//! The capabilities that loading BPF programs requires (`capabilities(7)`), and how they are dropped.

use std::io;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// What loading may have used. CAP_SYS_ADMIN includes the two others.
const FOR_LOADING: [CapabilitySet; 3] =
    [CapabilitySet::BPF, CapabilitySet::PERFMON, CapabilitySet::SYS_ADMIN];

/// The names of the capabilities that are missing, with their verb; `None` where nothing is missing.
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

/// Drops them for good, in this thread and in those that it starts later.
///
/// # Errors
/// The kernel's.
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
