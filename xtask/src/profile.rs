// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask profile`: kernels become profiles, and profiles are checked against their sources.

mod build;
mod catalogue;
mod compare;
mod contexts;
mod input;
mod names;
mod needs;
mod sample;
mod structops;

use anyhow::{Context, bail};
use clap::Subcommand;
use std::path::PathBuf;
use veristable_kernel::{FactKind, Kernel, Profile};
use veristable_profiles::pack;

/// Arguments of `cargo xtask profile`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Make a profile of decoded facts, BTF and configuration
    Build(BuildArgs),
    /// Compare a profile with decoded facts, cell by cell
    Compare(CompareArgs),
    /// Draw cells of a profile at random and have a kernel confirm them
    Sample(SampleArgs),
    /// Measure which capabilities each helper needs, one program for each cell, and store the table
    Needs(NeedsArgs),
    /// Print where a profile comes from and what it holds
    Show {
        /// A built-in kernel, or the path of a packed profile
        kernel: String,
    },
    /// Measure how long it takes to open a built-in kernel
    Open {
        /// A built-in kernel
        kernel: String,
        /// How often
        #[arg(long, default_value_t = 20)]
        times: u32,
    },
}

/// Arguments of `cargo xtask profile build`.
#[derive(clap::Args)]
pub(crate) struct BuildArgs {
    /// Short name of the kernel, e.g. 6.18.15
    pub(crate) version: String,
    /// Directory of decoded facts (helpers.json and its kin)
    #[arg(long)]
    pub(crate) decoded: PathBuf,
    /// Raw BTF, or an ELF vmlinux with a section .BTF
    #[arg(long)]
    pub(crate) btf: PathBuf,
    /// The kernel's .config
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// /proc/kallsyms of the kernel
    #[arg(long)]
    pub(crate) kallsyms: Option<PathBuf>,
    /// The package, with its version, that kernel and configuration come from
    #[arg(long, default_value = "")]
    pub(crate) package: String,
    /// What `uname -r` prints [default: from the name of the configuration]
    #[arg(long)]
    pub(crate) release: Option<String>,
    /// Version if the name is not one, e.g. 5.10.223
    #[arg(long)]
    pub(crate) version_code: Option<String>,
    /// Architecture
    #[arg(long, default_value = "amd64")]
    pub(crate) arch: String,
    /// Where to write [default: crates/profiles/data/VERSION-ARCH.profile]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

/// Arguments of `cargo xtask profile compare`.
#[derive(clap::Args)]
pub(crate) struct CompareArgs {
    /// A built-in kernel, or the path of a packed profile
    pub(crate) kernel: String,
    /// Directory of decoded facts
    #[arg(long)]
    pub(crate) decoded: PathBuf,
}

/// Arguments of `cargo xtask profile sample`.
#[derive(clap::Args)]
pub(crate) struct SampleArgs {
    /// A built-in kernel, or the path of a packed profile
    pub(crate) kernel: String,
    /// How many cells
    #[arg(long, default_value_t = 1000)]
    pub(crate) cells: usize,
    /// Which cells
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Who confirms them, e.g. vm:6.18.15; without, the load requests are printed as JSON
    #[arg(long)]
    pub(crate) oracle: Option<String>,
}

/// Arguments of `cargo xtask profile needs`.
#[derive(clap::Args)]
pub(crate) struct NeedsArgs {
    /// A built-in kernel, or the path of a packed profile
    pub(crate) kernel: String,
    /// Who is asked [default: vm:KERNEL]
    #[arg(long)]
    pub(crate) oracle: Option<String>,
    /// Where to write [default: xtask/data/helper-needs/KERNEL.tsv, where `profile build` finds it]
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

/// Runs a task.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.task {
        Task::Build(args) => build::run(args),
        Task::Compare(args) => compare::run(args),
        Task::Sample(args) => sample::run(args),
        Task::Needs(args) => needs::run(args),
        Task::Show { kernel } => show(kernel),
        Task::Open { kernel, times } => measure_open(kernel, *times),
    }
}

/// Opens a built-in kernel by name, or a packed file.
pub(crate) fn open(kernel: &str) -> anyhow::Result<Profile> {
    if veristable_profiles::find(kernel).is_some() {
        return Ok(veristable_profiles::open(kernel)?);
    }
    if kernel == "live" {
        return Ok(veristable_profiles::live()?);
    }
    let packed = std::fs::read(kernel).with_context(|| format!("{kernel}: no such kernel"))?;
    pack::open(&packed).map_err(anyhow::Error::msg)
}

fn show(kernel: &str) -> anyhow::Result<()> {
    let profile = open(kernel)?;
    let facts = profile.facts();
    println!("{} ({}, {})", facts.id.release, facts.id.arch, facts.design);
    println!("\n| input | SHA-256 | origin |\n|---|---|---|");
    for input in &facts.inputs {
        println!("| {} | `{}` | {} |", input.name, input.sha256, input.origin);
    }
    println!("\n| facts | known by |\n|---|---|");
    for kind in FactKind::ALL {
        println!("| {kind} | {} |", profile.origin(*kind));
    }
    println!("\n| table | rows |\n|---|---|");
    let btf = profile.btf(None).ok().flatten();
    for (name, rows) in [
        ("BTF types", btf.map_or(0, |btf| btf.type_count() as usize)),
        ("options", facts.config.as_ref().map_or(0, |config| config.len() as usize)),
        ("symbols", facts.symbols.as_ref().map_or(0, |symbols| symbols.len() as usize)),
        ("helpers", facts.helper_names.len().saturating_sub(1)),
        ("helper prototypes", facts.protos.len()),
        ("sets of helpers", facts.helper_sets.len()),
        ("kfuncs", facts.kfuncs.len()),
        ("sets of kfuncs", facts.kfunc_sets.len()),
        ("variants", facts.variants.len()),
        ("context tables", facts.contexts.len()),
        ("program types", facts.prog_types.len()),
        ("map types", facts.map_types.len()),
        ("LSM hooks", facts.lsm.len()),
        ("tracepoints", facts.tracepoints.len()),
        ("struct_ops", facts.struct_ops.as_ref().map_or(0, Vec::len)),
        ("name lists", facts.names.len()),
    ] {
        println!("| {name} | {rows} |");
    }
    let behaviours: Vec<&str> = profile.behaviours().iter().map(|b| b.id()).collect();
    println!("\nBehaviours: {}", behaviours.join(", "));
    Ok(())
}

fn measure_open(kernel: &str, times: u32) -> anyhow::Result<()> {
    let mut micros = Vec::new();
    for _ in 0..times {
        let start = std::time::Instant::now();
        let profile = open(kernel)?;
        micros.push(start.elapsed().as_micros());
        if profile.facts().variants.is_empty() {
            bail!("{kernel} has no variants");
        }
    }
    println!("first {} µs", micros.first().unwrap_or(&0));
    micros.sort_unstable();
    let at = |part: usize| micros.get(micros.len() * part / 100).copied().unwrap_or(0);
    println!("of {times}: least {} µs, median {} µs, 95 % {} µs", at(0), at(50), at(95));
    Ok(())
}
