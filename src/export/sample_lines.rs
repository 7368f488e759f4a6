//! Sample lines of the families that are written directly into the bytes of a format, without copying labels into
//! separate structures. The sample lines are the same in both formats; the header lines differ.

use std::fmt::Display;
use std::io::{self, Write};

use super::catalog::Family;
use super::rendered::Format;
use super::{openmetrics, text_format};

/// Size at which sample lines are written out.
const BUFFER_BYTES: usize = 64 * 1024;

/// Writes families. Its buffer is shared by all of them.
pub(super) struct FamiliesWriter<'a, W> {
    writer: &'a mut W,
    format: Format,
    samples: Vec<u8>,
}

impl<'a, W: Write> FamiliesWriter<'a, W> {
    pub(super) fn new(writer: &'a mut W, format: Format) -> Self {
        Self { writer, format, samples: Vec::with_capacity(BUFFER_BYTES + 4096) }
    }

    /// Writes the samples that `write` makes of each item, and before the first sample the header.
    pub(super) fn write_family<T>(
        &mut self,
        family: &'static Family,
        items: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut SampleWriter<'_>, T),
    ) -> io::Result<()> {
        let mut has_header = false;
        for item in items {
            write(&mut SampleWriter { out: &mut self.samples, family }, item);
            if self.samples.len() >= BUFFER_BYTES {
                self.flush(family, &mut has_header)?;
            }
        }
        self.flush(family, &mut has_header)
    }

    fn flush(&mut self, family: &Family, has_header: &mut bool) -> io::Result<()> {
        if !*has_header && !self.samples.is_empty() {
            *has_header = true;
            match self.format {
                Format::Text => text_format::write_header(self.writer, family)?,
                Format::OpenMetrics => {
                    openmetrics::write_header(self.writer, family.name, family.kind, family.help)?;
                }
            }
        }
        self.writer.write_all(&self.samples)?;
        self.samples.clear();
        Ok(())
    }
}

/// Writes the sample lines of one family. `common` are the labels of [`push_labels`], which all families of a container
/// or of a pod have.
pub(super) struct SampleWriter<'a> {
    out: &'a mut Vec<u8>,
    family: &'static Family,
}

impl SampleWriter<'_> {
    /// Writes a sample with the common labels and the labels of the family, in the order of the catalog.
    pub(super) fn sample(&mut self, common: &str, values: &[&str], value: impl Display) {
        self.begin(common);
        self.labels(values);
        self.end(value);
    }

    /// Writes a sample with only the common labels, if the value is known.
    pub(super) fn single(&mut self, common: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.sample(common, &[], value);
        }
    }

    pub(super) fn begin(&mut self, common: &str) {
        self.begin_with("", common);
    }

    /// Begins a sample whose name has a suffix.
    pub(super) fn begin_with(&mut self, suffix: &str, common: &str) {
        self.out.extend_from_slice(self.family.name.as_bytes());
        self.out.extend_from_slice(suffix.as_bytes());
        self.out.push(b'{');
        self.out.extend_from_slice(common.as_bytes());
    }

    /// Writes the labels of the family.
    pub(super) fn labels(&mut self, values: &[&str]) {
        for (name, value) in self.family.labels.iter().zip(values) {
            self.label(name, value);
        }
    }

    pub(super) fn label(&mut self, name: &str, value: &str) {
        self.out.push(b',');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"=\"");
        // Writing to a vector cannot fail.
        let _ = openmetrics::write_escaped(self.out, value);
        self.out.push(b'"');
    }

    pub(super) fn end(&mut self, value: impl Display) {
        let _ = writeln!(self.out, "}} {value}");
    }
}

/// Appends labels with their values, escaped: `id="…",name="…"`.
pub(super) fn push_labels(out: &mut String, names: &[&str], values: &[&str]) {
    for (index, (name, value)) in names.iter().zip(values).enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(name);
        out.push_str("=\"");
        push_escaped(out, value);
        out.push('"');
    }
}

fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}
