// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! CSV with veristat's column names, so that its compare mode and scripts around it can read it.
//!
//! veristat knows the verdicts `success` and `failure`; `not-loadable` and `unsupported` are ours.
//! The columns after `attach_type` are ours too.

use crate::{Row, Verdict, Writer};
use std::io;

const HEADER: [&str; 15] = [
    "file_name",
    "prog_name",
    "verdict",
    "duration",
    "total_insns",
    "total_states",
    "peak_states",
    "max_states_per_insn",
    "prog_size",
    "prog_type",
    "attach_type",
    "kernel",
    "message",
    "missing_kind",
    "missing",
];

/// Writes comma-separated values.
pub struct CsvWriter<W: io::Write> {
    out: ::csv::Writer<W>,
    header_written: bool,
}

impl<W: io::Write> CsvWriter<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out: ::csv::Writer::from_writer(out), header_written: false }
    }

    fn header(&mut self) -> io::Result<()> {
        if !self.header_written {
            self.header_written = true;
            self.out.write_record(HEADER)?;
        }
        Ok(())
    }
}

impl<W: io::Write> Writer for CsvWriter<W> {
    fn row(&mut self, row: &Row) -> io::Result<()> {
        self.header()?;
        let stats = row.stats.unwrap_or_default();
        let verdict = match row.verdict {
            Verdict::Accepted => "success",
            Verdict::Rejected => "failure",
            other => other.word(),
        };
        self.out.write_record([
            row.file.as_str(),
            &row.program,
            verdict,
            &row.time_us.unwrap_or(0).to_string(),
            &stats.processed_insns.to_string(),
            &stats.total_states.to_string(),
            &stats.peak_states.to_string(),
            &stats.max_states_per_insn.to_string(),
            &row.program_insns.to_string(),
            &row.prog_type,
            &row.attach_type,
            &row.kernel,
            row.message.as_deref().unwrap_or(""),
            row.missing.as_ref().map_or("", |missing| &missing.kind),
            row.missing.as_ref().map_or("", |missing| &missing.name),
        ])?;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.header()?;
        self.out.flush()
    }
}
