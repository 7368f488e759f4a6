//! The capabilities that loading wants (`capabilities(7)`), and how they are given up.

use std::io;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// What loading may have used. CAP_SYS_ADMIN contains the two others.
const RIGHTS: [CapabilitySet; 3] = [CapabilitySet::BPF, CapabilitySet::PERFMON, CapabilitySet::SYS_ADMIN];

/// The names of the capabilities that are missing; `None` where they suffice.
#[must_use]
pub fn missing() -> Option<&'static str> {
    let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    let has = |right| effective.contains(right);
    match (has(CapabilitySet::BPF), has(CapabilitySet::PERFMON)) {
        _ if has(CapabilitySet::SYS_ADMIN) => None,
        (true, true) => None,
        (false, true) => Some("CAP_BPF is"),
        (true, false) => Some("CAP_PERFMON is"),
        (false, false) => Some("CAP_BPF and CAP_PERFMON are"),
    }
}

/// Gives them up for good in this thread and in those that it makes later.
///
/// # Errors
/// The kernel's.
pub fn drop_capabilities() -> io::Result<()> {
    let mut sets = capabilities(None)?;
    for right in RIGHTS {
        sets.effective.remove(right);
        sets.permitted.remove(right);
        sets.inheritable.remove(right);
    }
    set_capabilities(None, sets)?;
    Ok(())
}
