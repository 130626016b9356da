// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! JSON: one object a line per program and kernel.

use crate::{Missing, Row, Stats, Verdict, Writer};
use serde::Serialize;
use std::io;
use veristable_kernel::errno_name;

/// Writes JSON lines.
pub struct JsonWriter<W>(W);

impl<W: io::Write> JsonWriter<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self(out)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    program: &'a str,
    section: &'a str,
    prog_type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    attach_type: &'a str,
    kernel: &'a str,
    verdict: Verdict,
    errno: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_name: Option<&'static str>,
    message: Option<&'a str>,
    insn: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    insn_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<&'a Missing>,
    program_insns: u64,
    stats: Option<Stats>,
    time_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a str>,
}

#[derive(Serialize)]
struct Source<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    text: &'a str,
}

impl<W: io::Write> Writer for JsonWriter<W> {
    fn row(&mut self, row: &Row) -> io::Result<()> {
        let insn = row.insn.as_ref();
        let source = insn.and_then(|i| i.source.as_ref());
        let line = Line {
            file: &row.file,
            program: &row.program,
            section: &row.section,
            prog_type: &row.prog_type,
            attach_type: &row.attach_type,
            kernel: &row.kernel,
            verdict: row.verdict,
            errno: row.errno,
            errno_name: row.errno.and_then(errno_name),
            message: row.message.as_deref(),
            insn: insn.map(|i| i.index),
            insn_text: insn.map(|i| i.text.as_str()),
            source: source.map(|s| Source {
                file: &s.file,
                line: s.line,
                column: s.column,
                text: &s.text,
            }),
            missing: row.missing.as_ref(),
            program_insns: row.program_insns,
            stats: row.stats,
            time_us: row.time_us,
            log: row.log.as_deref(),
        };
        serde_json::to_writer(&mut self.0, &line)?;
        self.0.write_all(b"\n")
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
