// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What programs need, and which kernels have it.

mod csv;
mod json;
mod text;

use crate::Format;
use serde::Serialize;
use std::io;

/// Whether a kernel has something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Answer {
    /// The kernel.
    pub kernel: String,
    /// `Some`: it has or it has not; `None`: that is not known.
    pub has: Option<bool>,
    /// In what way it has not, or what is not known; empty if it has.
    pub why: String,
}

/// One thing that is needed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NeedRow {
    /// What kind of thing: `helper`, `kfunc`, `map type`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Programs that need it.
    pub required_by: Vec<String>,
    /// Programs that use it and do without: they ask first, or declare it weak.
    pub optional_for: Vec<String>,
    /// The kernels' answers, in the order of [`NeedsReport::kernels`].
    pub kernels: Vec<Answer>,
}

/// What the programs of one file need.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NeedsReport {
    /// The file as it was given.
    pub file: String,
    /// How many programs it has.
    pub programs: usize,
    /// The kernels that were asked.
    pub kernels: Vec<String>,
    /// What is needed, by kind and name.
    pub rows: Vec<NeedRow>,
}

impl NeedsReport {
    /// What a kernel lacks that some program cannot do without.
    pub fn lacking<'r>(&'r self, kernel: &'r str) -> impl Iterator<Item = &'r NeedRow> + 'r {
        self.rows.iter().filter(move |row| {
            let mut answers = row.kernels.iter().filter(|answer| answer.kernel == kernel);
            !row.required_by.is_empty() && answers.any(|answer| answer.has == Some(false))
        })
    }
}

/// Writes reports.
///
/// # Errors
/// Those of the stream.
pub fn write(out: &mut dyn io::Write, format: Format, reports: &[NeedsReport]) -> io::Result<()> {
    match format {
        Format::Text { color } => {
            reports.iter().enumerate().try_for_each(|(at, report)| {
                if at > 0 {
                    writeln!(out)?;
                }
                text::write(out, color, report)
            })?;
        }
        Format::Json => reports.iter().try_for_each(|report| json::write(out, report))?,
        Format::Csv => csv::write(out, reports)?,
    }
    out.flush()
}
