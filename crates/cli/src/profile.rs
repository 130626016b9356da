// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `veristable profile`.

use crate::args::{CaptureArgs, DiffArgs, ProfileCommand, ShowArgs};
use crate::input;
use anyhow::{Context, bail};
use std::io::{self, Write};
use veristable_agreement::probe;
use veristable_kernel::Kernel;
use veristable_oracle::Oracle;
use veristable_profiles::listing::{self, Selection};
use veristable_profiles::{FileError, Files, captured};
use veristable_report::{write_differences, write_facts};

/// Runs the command and returns its exit status.
pub(crate) fn run(command: &ProfileCommand) -> anyhow::Result<u8> {
    match command {
        ProfileCommand::List => list(),
        ProfileCommand::Show(args) => show(args),
        ProfileCommand::Diff(args) => diff(args),
        ProfileCommand::Capture(args) => capture(args),
    }
}

/// The kernels that can be named, with what is known of where each comes from.
fn list() -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    for kernel in veristable_profiles::list() {
        writeln!(out, "{}\tbuilt in, {}", kernel.name, kernel.arch)?;
    }
    for release in captured::list() {
        writeln!(out, "{release}\tcaptured")?;
    }
    writeln!(out, "{}\tthe running kernel", veristable_profiles::LIVE)?;
    Ok(0)
}

/// Fails for a section that does not exist.
fn selection<'a>(names: &'a [String], otherwise: Selection<'a>) -> anyhow::Result<Selection<'a>> {
    if names.iter().any(|name| name == "all") {
        return Ok(Selection::All);
    }
    if let Some(unknown) = names.iter().find(|name| listing::names().all(|n| n != *name)) {
        let known: Vec<&str> = listing::names().collect();
        bail!("no section is named `{unknown}`; there are {}, and all", known.join(", "));
    }
    Ok(if names.is_empty() { otherwise } else { Selection::Named(names) })
}

fn show(args: &ShowArgs) -> anyhow::Result<u8> {
    let selection = selection(&args.sections, Selection::Overview)?;
    let kernel = input::open_kernel(&args.kernel)?;
    let sections = listing::sections(&kernel, selection);
    let out = io::stdout();
    let format = args.format.of(args.color.wanted(&out));
    let mut out = io::BufWriter::new(out.lock());
    write_facts(&mut out, format, &kernel.id().name, &sections)?;
    Ok(0)
}

fn diff(args: &DiffArgs) -> anyhow::Result<u8> {
    let selection = selection(&args.sections, Selection::Comparison)?;
    let (left, right) = (input::open_kernel(&args.left)?, input::open_kernel(&args.right)?);
    let differences = listing::differences(&left, &right, selection);
    let out = io::stdout();
    let format = args.format.of(args.color.wanted(&out));
    let mut out = io::BufWriter::new(out.lock());
    let names = [left.id().name.as_str(), right.id().name.as_str()];
    write_differences(&mut out, format, names, &differences)?;
    Ok(u8::from(!differences.is_empty()))
}

/// The files of an oracle's machine.
struct Machine<'o>(&'o mut dyn Oracle);

impl Files for Machine<'_> {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, FileError> {
        Ok(self.0.read_file(path)?)
    }

    fn list(&mut self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

fn capture(args: &CaptureArgs) -> anyhow::Result<u8> {
    let mut oracle = if args.no_probes && args.oracle == veristable_profiles::LIVE {
        None
    } else {
        let help = "asking for behaviours; --no-probes captures the running kernel without";
        Some(veristable_oracle::open(&args.oracle).context(help)?)
    };
    let mut profile = match &mut oracle {
        Some(oracle) if args.oracle != veristable_profiles::LIVE => {
            veristable_profiles::describe(&mut Machine(oracle.as_mut()), &args.oracle)?
        }
        _ => veristable_profiles::live()?,
    };
    if let Some(oracle) = oracle.as_mut().filter(|_| !args.no_probes) {
        let (probed, findings) = probe::behaviours(profile, oracle.as_mut())?;
        eprintln!("{findings}");
        profile = probed;
    }
    let release = profile.id().release.clone();
    let profile = profile.named(release.clone());
    let path = match &args.file {
        Some(path) => path.clone(),
        None => captured::path_of(&release).context("there is no cache: name a file")?,
    };
    captured::save(&profile, &path)?;
    println!("{}", path.display());
    Ok(0)
}
