// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Text for people: a table in veristat's manner, then each refusal with its source line, its
//! instruction and the kernel's words.

use crate::{Row, Summary, Verdict, Writer};
use anstyle::{AnsiColor, Style};
use std::io;
use veristable_kernel::errno_name;

/// How the text looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextOptions {
    /// Write colour.
    pub color: bool,
}

/// Collects rows and writes a table at the end.
pub struct TextWriter<W> {
    out: W,
    options: TextOptions,
    rows: Vec<Row>,
}

impl<W: io::Write> TextWriter<W> {
    /// Writes to `out`.
    pub fn new(out: W, options: TextOptions) -> Self {
        Self { out, options, rows: Vec::new() }
    }
}

/// A column: heading, whether it is aligned to the right, and its cell.
type Column = (&'static str, bool, fn(&Row) -> String);

fn stat(row: &Row, value: fn(&crate::Stats) -> u64) -> String {
    row.stats.as_ref().map_or_else(|| "-".into(), |s| value(s).to_string())
}

const COLUMNS: [Column; 8] = [
    ("File", false, |r| base_name(&r.file).to_owned()),
    ("Program", false, |r| r.program.clone()),
    ("Kernel", false, |r| r.kernel.clone()),
    ("Verdict", false, |r| r.verdict.word().to_owned()),
    ("Duration (us)", true, |r| r.time_us.map_or_else(|| "-".into(), |t| t.to_string())),
    ("Insns", true, |r| stat(r, |s| s.processed_insns)),
    ("States", true, |r| stat(r, |s| s.total_states)),
    ("Peak states", true, |r| stat(r, |s| s.peak_states)),
];

/// Index of the verdict in [`COLUMNS`], which alone has colour.
const VERDICT: usize = 3;

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn style(verdict: Verdict) -> Style {
    let color = match verdict {
        Verdict::Accepted => AnsiColor::Green,
        Verdict::Rejected | Verdict::NotLoadable => AnsiColor::Red,
        Verdict::Unsupported => AnsiColor::Yellow,
    };
    color.on_default().bold()
}

impl<W: io::Write> TextWriter<W> {
    fn paint(&self, style: Style, text: &str) -> String {
        if self.options.color {
            format!("{}{text}{}", style.render(), style.render_reset())
        } else {
            text.to_owned()
        }
    }

    fn table(&mut self) -> io::Result<()> {
        let cells: Vec<[String; 8]> =
            self.rows.iter().map(|row| COLUMNS.map(|(_, _, cell)| cell(row))).collect();
        let mut width = COLUMNS.map(|(heading, _, _)| heading.len());
        for row in &cells {
            for (w, cell) in width.iter_mut().zip(row) {
                *w = (*w).max(cell.chars().count());
            }
        }
        let pad = |text: &str, column: usize| {
            let fill = " ".repeat(width[column].saturating_sub(text.chars().count()));
            if COLUMNS[column].1 { (fill, String::new()) } else { (String::new(), fill) }
        };
        let mut lines = String::new();
        let mut line = |cells: &[String; 8], painted: Option<&str>| {
            let parts: Vec<String> = cells
                .iter()
                .enumerate()
                .map(|(i, text)| {
                    let (before, after) = pad(text, i);
                    let text = painted.filter(|_| i == VERDICT).unwrap_or(text);
                    format!("{before}{text}{after}")
                })
                .collect();
            lines.push_str(parts.join("  ").trim_end());
            lines.push('\n');
        };
        line(&COLUMNS.map(|(heading, _, _)| heading.to_owned()), None);
        line(&width.map(|w| "-".repeat(w)), None);
        for (row, cells) in self.rows.iter().zip(&cells) {
            let painted = self.paint(style(row.verdict), &cells[VERDICT]);
            line(cells, Some(&painted));
        }
        self.out.write_all(lines.as_bytes())
    }

    fn details(&mut self, row: &Row) -> io::Result<()> {
        let bold = Style::new().bold();
        let dim = Style::new().dimmed();
        let errno = match row.errno {
            Some(e) => errno_name(e).map_or_else(|| format!(" (errno {e})"), |n| format!(" ({n})")),
            None => String::new(),
        };
        let verdict = self.paint(style(row.verdict), row.verdict.word());
        let title = self.paint(bold, &format!("{}: {}", row.file, row.program));
        writeln!(self.out, "\n{title}: {verdict} on {}{errno}", row.kernel)?;
        if let Some(insn) = &row.insn {
            if let Some(source) = &insn.source {
                let column =
                    if source.column > 0 { format!(":{}", source.column) } else { String::new() };
                let place = self.paint(dim, &format!("{}:{}{column}", source.file, source.line));
                writeln!(self.out, "  --> {place}")?;
                writeln!(self.out, "   | {}", source.text)?;
            }
            writeln!(self.out, "   | {}: {}", insn.index, insn.text)?;
        }
        for line in row.message.iter().flat_map(|m| m.lines()) {
            writeln!(self.out, "   = {line}")?;
        }
        Ok(())
    }
}

impl<W: io::Write> Writer for TextWriter<W> {
    fn row(&mut self, row: &Row) -> io::Result<()> {
        self.rows.push(row.clone());
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.table()?;
        let rows = std::mem::take(&mut self.rows);
        for row in &rows {
            if row.verdict != Verdict::Accepted {
                self.details(row)?;
            }
            if let Some(log) = row.log.as_deref().filter(|log| !log.is_empty()) {
                let title = format!("{}: {} on {}: log", row.file, row.program, row.kernel);
                let title = self.paint(Style::new().bold(), &title);
                writeln!(self.out, "\n{title}\n{}", log.trim_end())?;
            }
        }
        let mut summary = Summary::default();
        rows.iter().for_each(|row| summary.add(row.verdict));
        writeln!(
            self.out,
            "\n{} accepted, {} rejected, {} not loadable, {} unsupported.",
            summary.accepted, summary.rejected, summary.not_loadable, summary.unsupported
        )?;
        self.out.flush()
    }
}
