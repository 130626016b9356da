// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! CSV: one line for each thing that is needed and each kernel.

use super::NeedsReport;
use std::io;

const HEADER: [&str; 8] =
    ["file_name", "kind", "name", "required_by", "optional_for", "kernel", "has", "why"];

pub(super) fn write(out: &mut dyn io::Write, reports: &[NeedsReport]) -> io::Result<()> {
    let mut csv = ::csv::Writer::from_writer(out);
    csv.write_record(HEADER)?;
    for report in reports {
        for row in &report.rows {
            for answer in &row.kernels {
                let has = match answer.has {
                    Some(true) => "yes",
                    Some(false) => "no",
                    None => "unknown",
                };
                csv.write_record([
                    report.file.as_str(),
                    &row.kind,
                    &row.name,
                    &row.required_by.join(";"),
                    &row.optional_for.join(";"),
                    &answer.kernel,
                    has,
                    &answer.why,
                ])?;
            }
        }
    }
    csv.flush()
}
