// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask bench instructions`: how many instructions `verify` executes for programs of a set.
//!
//! On a busy machine times say little, but `verify` is deterministic: the same program takes the
//! same instructions. Each chosen program is written to a file and verified once in a process of
//! its own under valgrind, which counts only what [`counted`] executes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use veristable_program::{LoadRequest, LogRequest};
use veristable_verifier::log::KernelLog;
use veristable_verifier::{Dialect, Options, Outcome, verify};

use crate::agreement;

/// Options of `cargo xtask bench instructions`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo run --release -p xtask bench instructions --set selftests-6.18 --case pyperf50
  cargo run --release -p xtask bench instructions --folder saved --profile profiles")]
pub(crate) struct Args {
    /// Where programs are taken from; as `cargo xtask agreement` names sets
    #[arg(long)]
    set: Option<String>,

    /// Only cases whose name contains one of these
    #[arg(long)]
    case: Vec<String>,

    /// Where requests are kept: those of the set are added, and what is there is counted
    #[arg(long, default_value = "target/bench-requests")]
    folder: PathBuf,

    /// Keep what callgrind writes in this folder
    #[arg(long)]
    profile: Option<PathBuf>,

    /// Which kernel verifies
    #[arg(long, default_value = "6.18.15")]
    kernel: String,
}

/// Options of `cargo xtask bench verify`.
#[derive(clap::Args)]
pub(crate) struct OneArgs {
    /// A request in its binary form
    request: PathBuf,

    /// Which kernel verifies
    #[arg(long, default_value = "6.18.15")]
    kernel: String,

    /// How often
    #[arg(long, default_value_t = 1)]
    times: u32,
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    std::fs::create_dir_all(&args.folder)?;
    if let Some(set) = &args.set {
        save(set, args)?;
    }
    if let Some(folder) = &args.profile {
        std::fs::create_dir_all(folder)?;
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(&args.folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if args.case.is_empty() || args.case.iter().any(|part| name.contains(part.as_str())) {
            println!("{:>14}  {name}", count(&file, &name, args)?);
        }
    }
    Ok(())
}

/// Writes the chosen programs of a set into the folder.
fn save(set: &str, args: &Args) -> Result<()> {
    let kernel = veristable_profiles::open(&args.kernel)?;
    let (cases, _) = agreement::load(set, &kernel)?;
    for case in cases {
        if args.case.iter().any(|part| case.id.contains(part.as_str())) {
            let name: String =
                case.id.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
            let request =
                LoadRequest { log: LogRequest { level: 4, size: 1 << 20 }, ..case.request };
            std::fs::write(args.folder.join(name + ".request"), request.to_bytes()?)?;
        }
    }
    Ok(())
}

/// The instructions for one program.
fn count(file: &Path, name: &str, args: &Args) -> Result<u64> {
    let out = match &args.profile {
        Some(folder) => folder.join(format!("{name}.callgrind")),
        None => std::env::temp_dir().join(format!("callgrind.{}", std::process::id())),
    };
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "-q", "--collect-atstart=no"])
        .arg("--toggle-collect=*bench*instructions*counted*")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["bench", "verify", "--kernel", &args.kernel])
        .arg(file)
        .stdout(Stdio::null())
        .status()
        .context("valgrind")?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    let text = std::fs::read_to_string(&out)?;
    if args.profile.is_none() {
        std::fs::remove_file(&out)?;
    }
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("summary: ").or_else(|| line.strip_prefix("totals: ")));
    let total = total.and_then(|number| number.trim().parse().ok());
    total.with_context(|| format!("{}: no sum", out.display()))
}

/// Verifies one saved program.
pub(crate) fn one(args: &OneArgs) -> Result<()> {
    let kernel = veristable_profiles::open(&args.kernel)?;
    let request = LoadRequest::from_bytes(&std::fs::read(&args.request)?)?;
    let options = Options::default();
    for _ in 0..args.times {
        let mut log = KernelLog::new(request.log, Dialect::of(kernel_design(&kernel)));
        let started = std::time::Instant::now();
        let outcome = counted(&request, &kernel, &options, &mut log);
        println!("{:?} {:?}", started.elapsed(), outcome.stats());
    }
    Ok(())
}

fn kernel_design(kernel: &veristable_kernel::Profile) -> veristable_kernel::DesignId {
    veristable_kernel::Kernel::design(kernel)
}

/// What is counted.
#[inline(never)]
fn counted(
    request: &LoadRequest,
    kernel: &veristable_kernel::Profile,
    options: &Options<'_>,
    log: &mut KernelLog,
) -> Outcome {
    verify(request, kernel, options, log)
}
