// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! JSON: one object a line for each thing that is needed.

use super::{NeedRow, NeedsReport};
use serde::Serialize;
use std::io;

#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    #[serde(flatten)]
    row: &'a NeedRow,
}

pub(super) fn write(out: &mut dyn io::Write, report: &NeedsReport) -> io::Result<()> {
    report.rows.iter().try_for_each(|row| {
        serde_json::to_writer(&mut *out, &Line { file: &report.file, row })?;
        writeln!(out)
    })
}
