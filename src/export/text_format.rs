//! The Prometheus text format 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>): the header lines
//! of a container family. The prometheus crate writes all other families.

use std::io::{self, Write};

use super::catalog::Family;
use super::container_families::type_name;

/// Writes `# HELP` and `# TYPE`.
///
/// # Errors
/// The errors of the writer.
pub fn write_header<W: Write>(writer: &mut W, family: &Family) -> io::Result<()> {
    // HELP texts of the catalog contain no characters that must be escaped.
    writeln!(writer, "# HELP {} {}", family.name, family.help)?;
    writeln!(writer, "# TYPE {} {}", family.name, type_name(family.kind))
}
