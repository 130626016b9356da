// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Facts about a kernel, and how those of two differ.

mod csv;
mod json;
mod text;

use crate::Format;
use std::io;
use veristable_profiles::listing::{Difference, Section};

/// Writes the facts of one kernel.
///
/// # Errors
/// Those of the stream.
pub fn write_facts(
    out: &mut dyn io::Write,
    format: Format,
    kernel: &str,
    sections: &[Section],
) -> io::Result<()> {
    match format {
        Format::Text { color } => text::facts(out, color, sections)?,
        Format::Json => json::facts(out, kernel, sections)?,
        Format::Csv => csv::facts(out, kernel, sections)?,
    }
    out.flush()
}

/// Writes how two kernels differ.
///
/// # Errors
/// Those of the stream.
pub fn write_differences(
    out: &mut dyn io::Write,
    format: Format,
    kernels: [&str; 2],
    differences: &[Difference],
) -> io::Result<()> {
    match format {
        Format::Text { color } => text::differences(out, color, kernels, differences)?,
        Format::Json => json::differences(out, kernels, differences)?,
        Format::Csv => csv::differences(out, kernels, differences)?,
    }
    out.flush()
}
