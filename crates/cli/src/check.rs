// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `veristable check`.

use crate::args::{CheckArgs, Color, Format};
use crate::input::{self, Input, Unit};
use crate::rows::{self, Asked};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::prelude::*;
use std::io::{self, IsTerminal};
use std::path::Path;
use veristable_kernel::{Kernel, Profile};
use veristable_object::Object;
use veristable_report::{
    CsvWriter, JsonWriter, Row, Summary, TextOptions, TextWriter, Verdict, Writer,
};
use veristable_verifier::Machine;

/// Runs the command and returns its exit status.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<u8> {
    let kernels: Vec<Profile> =
        args.kernels.iter().map(|name| input::open_kernel(name)).collect::<Result<_, _>>()?;
    let files: Vec<(&Path, Input)> = args
        .files
        .iter()
        .map(|path| Ok((path.as_path(), input::read(path, &args.link)?)))
        .collect::<anyhow::Result<_>>()?;
    let asked = Asked {
        log_level: args.log_level,
        machine: Machine {
            unprivileged_disabled: args.machine.unprivileged_bpf_disabled != 0,
            mitigations_off: args.machine.mitigations_off,
            ..Machine::default()
        },
    };
    let bar = progress(files.len() as u64);
    let rows: Vec<Vec<Row>> = files
        .par_iter()
        .map(|(path, file)| {
            let rows = check_file(path, file, &kernels, asked);
            bar.inc(1);
            rows
        })
        .collect::<anyhow::Result<_>>()?;
    bar.finish_and_clear();
    write(rows.into_iter().flatten(), args.format, args.color)
}

/// A bar on terminals, nothing elsewhere.
pub(crate) fn progress(len: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr());
    if !io::stderr().is_terminal() || len < 2 {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar
}

/// All programs of a file on all kernels, in the order of the file, then of the kernels.
fn check_file(
    path: &Path,
    file: &Input,
    kernels: &[Profile],
    asked: Asked,
) -> anyhow::Result<Vec<Row>> {
    let name = path.display().to_string();
    let mut found = Vec::new();
    for kernel in kernels {
        let units = file.link(kernel).with_context(|| name.clone())?;
        let rows: Vec<(Row, Unit)> = units
            .into_par_iter()
            .map(|unit| (row(&name, &unit, file.object(), kernel, asked), unit))
            .collect();
        found.push(rows);
    }
    // Rows of one program stand together.
    let programs = found.iter().map(Vec::len).max().unwrap_or(0);
    let mut iters: Vec<_> = found.into_iter().map(Vec::into_iter).collect();
    let programs: Vec<Vec<(Row, Unit)>> =
        (0..programs).map(|_| iters.iter_mut().filter_map(Iterator::next).collect()).collect();
    Ok(programs.into_par_iter().flat_map(|rows| compared(rows, kernels, asked)).collect())
}

/// The rows of one program, one for each kernel. Where one accepts it, those that refuse it for no
/// thing that they lack are asked for the behaviour that makes the difference.
fn compared(rows: Vec<(Row, Unit)>, kernels: &[Profile], asked: Asked) -> Vec<Row> {
    let accepts = |(row, _): &(Row, Unit)| row.verdict == Verdict::Accepted;
    let other = rows.iter().position(accepts).and_then(|at| kernels.get(at));
    rows.into_iter()
        .zip(kernels)
        .map(|((mut row, unit), kernel)| {
            if let (Verdict::Rejected, None, Ok(request), Some(other)) =
                (row.verdict, &row.missing, &unit.request, other)
            {
                rows::explain(&mut row, request, kernel, other, asked);
            }
            row
        })
        .collect()
}

fn row(file: &str, unit: &Unit, object: Option<&Object>, kernel: &dyn Kernel, asked: Asked) -> Row {
    let base = Row {
        file: file.to_owned(),
        program: unit.program.clone(),
        section: unit.section.clone(),
        prog_type: String::new(),
        attach_type: String::new(),
        kernel: kernel.id().name.clone(),
        verdict: Verdict::NotLoadable,
        errno: None,
        message: None,
        insn: None,
        missing: None,
        program_insns: 0,
        stats: None,
        time_us: None,
        log: None,
    };
    match (&unit.request, object) {
        (Ok(request), object) => rows::verified(base, request, object, kernel, asked),
        (Err(error), Some(object)) => rows::unlinked(base, error, object, kernel),
        (Err(error), None) => Row { message: Some(error.to_string()), ..base },
    }
}

fn write(rows: impl Iterator<Item = Row>, format: Format, color: Color) -> anyhow::Result<u8> {
    let out = io::stdout();
    let color = color.wanted(&out);
    let out = io::BufWriter::new(out.lock());
    let mut writer: Box<dyn Writer> = match format {
        Format::Text => Box::new(TextWriter::new(out, TextOptions { color })),
        Format::Json => Box::new(JsonWriter::new(out)),
        Format::Csv => Box::new(CsvWriter::new(out)),
    };
    let mut summary = Summary::default();
    for row in rows {
        summary.add(row.verdict);
        writer.row(&row)?;
    }
    writer.finish()?;
    Ok(summary.exit_status())
}
