// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `veristable needs`.

use crate::args::NeedsArgs;
use crate::input;
use anyhow::Context;
use std::io;
use veristable_kernel::{Kernel, Profile};
use veristable_needs::{Has, Need, Needs};
use veristable_report::{Answer, NeedRow, NeedsReport, write_needs};

/// Runs the command and returns its exit status.
pub(crate) fn run(args: &NeedsArgs) -> anyhow::Result<u8> {
    let known = || veristable_profiles::list().map(|kernel| kernel.name.to_owned()).collect();
    let names: Vec<String> = if args.kernels.is_empty() { known() } else { args.kernels.clone() };
    let mut kernels: Vec<Profile> =
        names.iter().map(|name| input::open_kernel(name)).collect::<Result<_, _>>()?;
    if args.kernels.is_empty() {
        kernels.sort_by_key(|kernel| kernel.id().version_code);
    }
    let reports: Vec<NeedsReport> = args
        .files
        .iter()
        .map(|path| {
            let file = path.display().to_string();
            let needs = input::read(path, &args.link())?.needs().with_context(|| file.clone())?;
            Ok(report(file, &needs, &kernels))
        })
        .collect::<anyhow::Result<_>>()?;
    let out = io::stdout();
    let format = args.format.of(args.color.wanted(&out));
    write_needs(&mut io::BufWriter::new(out.lock()), format, &reports)?;
    Ok(0)
}

fn report(file: String, needs: &Needs, kernels: &[Profile]) -> NeedsReport {
    let names = |programs: &[usize]| -> Vec<String> {
        let programs = programs.iter().filter_map(|at| needs.programs.get(*at));
        programs.map(|program| program.name.clone()).collect()
    };
    let row = |need: &Need| NeedRow {
        kind: need.item.kind().to_string(),
        name: need.item.name(kernels.iter().map(|kernel| -> &dyn Kernel { kernel })),
        required_by: names(&need.required),
        optional_for: names(&need.optional),
        kernels: kernels.iter().map(|kernel| answer(needs, need, kernel)).collect(),
    };
    NeedsReport {
        file,
        programs: needs.programs.len(),
        kernels: kernels.iter().map(|kernel| kernel.id().name.clone()).collect(),
        rows: needs.needs.iter().map(row).collect(),
    }
}

fn answer(needs: &Needs, need: &Need, kernel: &Profile) -> Answer {
    let (has, why) = match needs.has(need, kernel) {
        Has::Yes => (Some(true), String::new()),
        Has::No(why) => (Some(false), why),
        Has::Unknown(what) => (None, what),
    };
    Answer { kernel: kernel.id().name.clone(), has, why }
}
