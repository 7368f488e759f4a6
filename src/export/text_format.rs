//! The Prometheus text format 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>): the lines above the
//! samples of a family. The prometheus crate writes all families that do not describe containers.

use std::io::{self, Write};

use super::catalog::Family;
use super::container_families::type_name;

/// Writes `# HELP` and `# TYPE`.
///
/// # Errors
/// Those of the writer.
pub fn write_header<W: Write>(writer: &mut W, family: &Family) -> io::Result<()> {
    // HELP texts of the catalog contain nothing that requires an escape.
    writeln!(writer, "# HELP {} {}", family.name, family.help)?;
    writeln!(writer, "# TYPE {} {}", family.name, type_name(family.kind))
}
