// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Text for people: a table, then each refusal with its source line, its instruction and the
//! kernel's words. For one kernel the table is in veristat's manner; for several it has a line for
//! each program and a column for each kernel.

use crate::table::{self, Cell, Column, cut, paint};
use crate::{Instruction, Row, Summary, Verdict, Writer};
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

fn stat(row: &Row, value: fn(&crate::Stats) -> u64) -> String {
    row.stats.as_ref().map_or_else(|| "-".into(), |s| value(s).to_string())
}

/// Longest text of a cell about one kernel among several.
const CELL: usize = 56;

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

/// One kernel: a line for each program with its figures.
fn one_kernel(rows: &[Row]) -> (Vec<Column>, Vec<Vec<Cell>>) {
    let left = ["File", "Program", "Kernel", "Verdict"].map(Column::left);
    let right = ["Duration (us)", "Insns", "States", "Peak states"].map(Column::right);
    let line = |row: &Row| {
        vec![
            base_name(&row.file).into(),
            row.program.as_str().into(),
            row.kernel.as_str().into(),
            Cell::styled(row.verdict.word(), style(row.verdict)),
            row.time_us.map_or_else(|| "-".into(), |t| t.to_string()).into(),
            stat(row, |s| s.processed_insns).into(),
            stat(row, |s| s.total_states).into(),
            stat(row, |s| s.peak_states).into(),
        ]
    };
    (left.into_iter().chain(right).collect(), rows.iter().map(line).collect())
}

/// Several kernels: a line for each program, a column for each kernel.
fn many_kernels(rows: &[Row], kernels: &[&str]) -> (Vec<Column>, Vec<Vec<Cell>>) {
    let columns = ["File", "Program"].iter().chain(kernels).map(|text| Column::left(*text));
    let mut programs: Vec<(&str, &str, Vec<Cell>)> = Vec::new();
    for row in rows {
        let at = kernels.iter().position(|kernel| *kernel == row.kernel).unwrap_or(0);
        let cell = Cell::styled(cut(&answer(row), CELL), style(row.verdict));
        // Rows of one program stand together, one for each kernel.
        if let Some((file, program, cells)) = programs.last_mut()
            && (*file, *program) == (row.file.as_str(), row.program.as_str())
            && let Some(empty) = cells.get_mut(at + 2).filter(|cell| cell.text.is_empty())
        {
            *empty = cell;
            continue;
        }
        let mut cells: Vec<Cell> = vec![Cell::default(); kernels.len() + 2];
        cells[0] = base_name(&row.file).into();
        cells[1] = row.program.as_str().into();
        cells[at + 2] = cell;
        programs.push((&row.file, &row.program, cells));
    }
    (columns.collect(), programs.into_iter().map(|(_, _, cells)| cells).collect())
}

/// What a kernel answers, in a few words: what it lacks by name where that is the reason, else the
/// beginning of its message and the place.
fn answer(row: &Row) -> String {
    if row.verdict == Verdict::Accepted {
        return row.verdict.word().to_owned();
    }
    if let Some(missing) = &row.missing {
        return missing.to_string();
    }
    let mut text = row.verdict.word().to_owned();
    if let Some(line) = row.message.as_deref().and_then(|message| message.lines().next()) {
        // The place first: it is what is cut last.
        text = match &row.insn {
            Some(Instruction { source: Some(source), .. }) => {
                format!("{text}, {}:{}: {line}", base_name(&source.file), source.line)
            }
            Some(insn) => format!("{text}, instruction {}: {line}", insn.index),
            None => format!("{text}: {line}"),
        };
    }
    text
}

impl<W: io::Write> TextWriter<W> {
    fn paint(&self, style: Style, text: &str) -> String {
        paint(self.options.color, style, text)
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
        if let Some(missing) = &row.missing {
            let why =
                if missing.why.is_empty() { String::new() } else { format!(": {}", missing.why) };
            writeln!(self.out, "   = {} {missing}{why}", row.kernel)?;
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
        let rows = std::mem::take(&mut self.rows);
        let mut kernels: Vec<&str> = Vec::new();
        for row in &rows {
            if !kernels.contains(&row.kernel.as_str()) {
                kernels.push(&row.kernel);
            }
        }
        let (columns, lines) =
            if kernels.len() > 1 { many_kernels(&rows, &kernels) } else { one_kernel(&rows) };
        table::write(&mut self.out, self.options.color, &columns, &lines)?;
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
        writeln!(self.out)?;
        for kernel in if kernels.len() > 1 { kernels } else { vec![""] } {
            let mut summary = Summary::default();
            let counted = rows.iter().filter(|row| kernel.is_empty() || row.kernel == kernel);
            counted.for_each(|row| summary.add(row.verdict));
            let of = if kernel.is_empty() { String::new() } else { format!("{kernel}: ") };
            writeln!(
                self.out,
                "{of}{} accepted, {} rejected, {} not loadable, {} unsupported.",
                summary.accepted, summary.rejected, summary.not_loadable, summary.unsupported
            )?;
        }
        self.out.flush()
    }
}
