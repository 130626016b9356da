// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `veristable check`.

use crate::args::{CheckArgs, Color, Format};
use crate::input::{self, Input, Unit};
use crate::rows::{self, Asked};
use crate::verdicts::{self, Verdicts};
use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::prelude::*;
use std::io::{self, IsTerminal};
use std::path::Path;
use veristable_kernel::{Kernel, Profile};
use veristable_program::LoadRequest;
use veristable_report::{
    CsvWriter, JsonWriter, Row, Summary, TextOptions, TextWriter, Verdict, Writer,
};
use veristable_verifier::Machine;

/// Runs the command and returns its exit status.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<u8> {
    let kernels = args
        .kernels
        .par_iter()
        .map(|name| CheckedKernel::open(name, !args.no_cache))
        .collect::<Result<_, _>>()?;
    // Errors are told in the order of the files, whichever is read first.
    let files: Vec<anyhow::Result<(&Path, Input)>> = args
        .files
        .par_iter()
        .map(|path| Ok((path.as_path(), input::read(path, &args.link)?)))
        .collect();
    let files: Vec<(&Path, Input)> = files.into_iter().collect::<anyhow::Result<_>>()?;
    let asked = Asked {
        log_level: args.log_level,
        machine: Machine {
            unprivileged_disabled: args.machine.unprivileged_bpf_disabled != 0,
            mitigations_off: args.machine.mitigations_off,
            ..Machine::default()
        },
    };
    let verdicts = if args.no_cache { Verdicts::none() } else { Verdicts::open() };
    let check = Check { kernels, asked, verdicts };
    let bar = progress(files.len() as u64);
    let rows: Vec<anyhow::Result<Vec<Row>>> = files
        .par_iter()
        // One file may take as long as a hundred others.
        .with_max_len(1)
        .map(|(path, file)| {
            let rows = check.file(path, file);
            bar.inc(1);
            rows
        })
        .collect();
    bar.finish_and_clear();
    let rows: Vec<Vec<Row>> = rows.into_iter().collect::<anyhow::Result<_>>()?;
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

/// A kernel that is asked about.
struct CheckedKernel {
    profile: Profile,
    /// What its facts are, if that can be said and is wanted; see [`veristable_profiles::digest`].
    digest: Option<verdicts::Digest>,
}

impl CheckedKernel {
    /// The digest is only for who keeps verdicts.
    fn open(name: &str, keeps: bool) -> anyhow::Result<Self> {
        let digest = keeps.then(|| veristable_profiles::digest(name)).flatten();
        Ok(Self { profile: input::open_kernel(name)?, digest })
    }
}

/// What is the same for all files.
struct Check {
    kernels: Vec<CheckedKernel>,
    asked: Asked,
    verdicts: Verdicts,
}

impl Check {
    /// All programs of a file on all kernels, in the order of the file, then of the kernels.
    fn file(&self, path: &Path, file: &Input) -> anyhow::Result<Vec<Row>> {
        let name = path.display().to_string();
        let found: Vec<Vec<(Row, Unit)>> = self
            .kernels
            .par_iter()
            .map(|kernel| {
                let units = file.link(&kernel.profile).with_context(|| name.clone())?;
                let row = |unit| (self.row(&name, &unit, file, kernel), unit);
                Ok(units.into_par_iter().map(row).collect())
            })
            .collect::<anyhow::Result<_>>()?;
        // Rows of one program stand together.
        let programs = found.iter().map(Vec::len).max().unwrap_or(0);
        let mut iters: Vec<_> = found.into_iter().map(Vec::into_iter).collect();
        let programs: Vec<Vec<(Row, Unit)>> =
            (0..programs).map(|_| iters.iter_mut().filter_map(Iterator::next).collect()).collect();
        Ok(programs.into_par_iter().flat_map(|rows| self.compared(rows, file)).collect())
    }

    /// The rows of one program, one for each kernel. Where one accepts it, those that refuse it for
    /// no thing that they lack are asked for the behaviour that makes the difference.
    fn compared(&self, rows: Vec<(Row, Unit)>, file: &Input) -> Vec<Row> {
        let accepts = |(row, _): &(Row, Unit)| row.verdict == Verdict::Accepted;
        let other = rows.iter().position(accepts).and_then(|at| self.kernels.get(at));
        rows.into_iter()
            .zip(&self.kernels)
            .map(|((row, unit), kernel)| {
                if let (Verdict::Rejected, None, Ok(request), Some(other)) =
                    (row.verdict, &row.missing, &unit.request, other)
                {
                    let explain = |mut row: Row| {
                        let (one, other) = (&kernel.profile, &other.profile);
                        rows::explain(&mut row, request, one, other, self.asked);
                        row
                    };
                    let both = kernel.digest.zip(other.digest);
                    let kernels = both.map(|(one, other)| verdicts::digest(&[one, other].concat()));
                    return self.kept(request, kernels.as_ref(), file, row, explain);
                }
                row
            })
            .collect()
    }

    fn row(&self, name: &str, unit: &Unit, file: &Input, kernel: &CheckedKernel) -> Row {
        let base = Row {
            file: name.to_owned(),
            program: unit.program.clone(),
            section: unit.section.clone(),
            prog_type: String::new(),
            attach_type: String::new(),
            kernel: kernel.profile.id().name.clone(),
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
        let object = file.object();
        match &unit.request {
            Ok(request) => self.kept(request, kernel.digest.as_ref(), file, base, |base| {
                rows::verified(base, request, object, &kernel.profile, self.asked)
            }),
            Err(error) => match object {
                Some(object) => rows::unlinked(base, error, object, &kernel.profile),
                None => Row { message: Some(error.to_string()), ..base },
            },
        }
    }

    /// What was found about a request before, or else what `find` finds.
    fn kept(
        &self,
        request: &LoadRequest,
        kernels: Option<&verdicts::Digest>,
        file: &Input,
        base: Row,
        find: impl FnOnce(Row) -> Row,
    ) -> Row {
        let Some(key) = self.verdicts.key(request, kernels, self.asked, file.digest()) else {
            return find(base);
        };
        self.verdicts.get(key, &base).unwrap_or_else(|| {
            let row = find(base);
            self.verdicts.put(key, &row);
            row
        })
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
