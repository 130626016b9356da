// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A table: rows things, columns kernels; then what each kernel lacks and in what way.

use super::{Answer, NeedRow, NeedsReport};
use crate::table::{self, Cell, Column, cut, paint};
use anstyle::{AnsiColor, Style};
use std::io;

/// Longest list of programs.
const PROGRAMS: usize = 40;

pub(super) fn write(out: &mut dyn io::Write, color: bool, report: &NeedsReport) -> io::Result<()> {
    let title = format!("{}: {} programs", report.file, report.programs);
    writeln!(out, "{}", paint(color, Style::new().bold(), &title))?;
    writeln!(out)?;
    let first = ["Kind", "Needed"].map(Column::left);
    let kernels = report.kernels.iter().map(Column::left);
    let columns: Vec<Column> =
        first.into_iter().chain(kernels).chain([Column::left("Programs")]).collect();
    let rows: Vec<Vec<Cell>> = report.rows.iter().map(|row| cells(row, report.programs)).collect();
    table::write(out, color, &columns, &rows)?;
    for kernel in &report.kernels {
        summary(out, color, report, kernel)?;
    }
    Ok(())
}

fn cells(row: &NeedRow, programs: usize) -> Vec<Cell> {
    let mut cells: Vec<Cell> = vec![row.kind.as_str().into(), row.name.as_str().into()];
    cells.extend(row.kernels.iter().map(|answer| {
        let color = match (answer.has, row.required_by.is_empty()) {
            (Some(true), _) => AnsiColor::Green,
            (Some(false), false) => AnsiColor::Red,
            _ => AnsiColor::Yellow,
        };
        Cell::styled(word(answer), color.on_default())
    }));
    let all: Vec<&str> = row.required_by.iter().chain(&row.optional_for).map(|p| &**p).collect();
    let mut who = match all.len() {
        n if n == programs && n > 1 => "all".to_owned(),
        n if all.join(", ").len() > PROGRAMS => format!("{n} programs"),
        _ => cut(&all.join(", "), PROGRAMS),
    };
    if row.required_by.is_empty() {
        who.push_str(" (optional)");
    }
    cells.push(who.into());
    cells
}

fn word(answer: &Answer) -> &'static str {
    match answer.has {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    }
}

fn summary(
    out: &mut dyn io::Write,
    color: bool,
    report: &NeedsReport,
    kernel: &str,
) -> io::Result<()> {
    let lacking = report.lacking(kernel).count();
    let words = match lacking {
        0 => "lacks nothing that is required".to_owned(),
        1 => "lacks 1 thing that is required".to_owned(),
        n => format!("lacks {n} things that are required"),
    };
    writeln!(out)?;
    writeln!(out, "{} {words}.", paint(color, Style::new().bold(), kernel))?;
    for row in &report.rows {
        for answer in row.kernels.iter().filter(|a| a.kernel == kernel && a.has != Some(true)) {
            let optional = if row.required_by.is_empty() { " (optional)" } else { "" };
            let unknown = if answer.has.is_none() { "not known: " } else { "" };
            writeln!(out, "  {} {}{optional}: {unknown}{}", row.kind, row.name, answer.why)?;
        }
    }
    Ok(())
}
