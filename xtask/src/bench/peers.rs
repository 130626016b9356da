// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask bench peers`: our time beside that of the crate `prevail`, on the same objects.
//!
//! `prevail` decides by abstract interpretation and does not want to agree with Linux, so that only
//! programs that both accept are compared. Its time is that from a program's instructions to the
//! verdict, under the options of its own command line; reading the object is apart on both sides.
//! Each program runs in a process of its own, which may be killed.
//!
//! Only with the feature `peers`, which builds the crate.

#[cfg(feature = "peers")]
mod prevail;
#[cfg(feature = "peers")]
mod table;

use std::path::PathBuf;

use anyhow::Result;

/// Options of `cargo xtask bench peers`.
#[derive(clap::Args)]
#[command(after_help = "\
Needs the feature `peers`, which builds the crate `prevail` (Rust, MIT licence):

Examples:
  cargo run --release -p xtask --features peers bench peers realworld
  cargo run --release -p xtask --features peers bench peers selftests-6.18 --case loop --details
  cargo run --release -p xtask --features peers bench peers object.bpf.o another.bpf.o")]
pub(crate) struct Args {
    /// Sets of objects, as `cargo xtask corpus status` names them, or objects
    #[arg(default_values = ["realworld"])]
    sets: Vec<String>,

    /// Which kernel we verify for
    #[arg(long, default_value = "6.18.15")]
    kernel: String,

    /// How often each program is timed
    #[arg(long, default_value_t = 3)]
    rounds: u32,

    /// Seconds that `prevail` may take for one program
    #[arg(long, default_value_t = 20)]
    timeout: u64,

    /// The processor to stay on
    #[arg(long, default_value_t = 0)]
    core: usize,

    /// Only programs whose name (`FILE:PROGRAM`) contains this
    #[arg(long)]
    case: Option<String>,

    /// Stop after so many programs of each set
    #[arg(long)]
    limit: Option<usize>,

    /// Print every program
    #[arg(long)]
    details: bool,
}

/// Options of the process that runs `prevail` on one program.
#[derive(clap::Args)]
pub(crate) struct OneArgs {
    /// The object
    object: PathBuf,

    /// The program's section
    section: String,

    /// The program's function
    function: String,

    /// How often
    #[arg(long, default_value_t = 1)]
    rounds: u32,
}

/// Runs the task.
#[cfg(feature = "peers")]
pub(crate) fn run(args: &Args) -> Result<()> {
    table::run(args)
}

/// The process for one program.
#[cfg(feature = "peers")]
pub(crate) fn one(args: &OneArgs) -> Result<()> {
    prevail::one(args)
}

/// Why there is nothing to run.
#[cfg(not(feature = "peers"))]
const MISSING: &str = "this xtask was built without the crate `prevail`; \
    run `cargo run --release -p xtask --features peers bench peers`";

/// Runs the task.
#[cfg(not(feature = "peers"))]
pub(crate) fn run(_: &Args) -> Result<()> {
    anyhow::bail!(MISSING)
}

/// The process for one program.
#[cfg(not(feature = "peers"))]
pub(crate) fn one(_: &OneArgs) -> Result<()> {
    anyhow::bail!(MISSING)
}
