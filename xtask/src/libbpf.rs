// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask libbpf …`: whether programs are linked as libbpf links them.
//!
//! libbpf runs in a child process in which the function `syscall` is ours: `bpf()` calls are
//! written down and answered without the kernel. BTF, symbols and configuration libbpf reads from
//! the running kernel's files, or from those of another kernel, and so does our linker. Only with
//! the feature `libbpf`, which builds libbpf itself and needs libelf and zlib.

mod capture;
mod compare;
mod driver;
mod interpose;
#[path = "../../crates/object/tests/common/mod.rs"]
mod kernel;
mod live;

use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;

/// Arguments of `cargo xtask libbpf`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Compare what libbpf and our linker hand to a kernel
    Compare(CompareArgs),
    /// Compare one object, in this process
    #[command(hide = true)]
    Child {
        /// The object.
        file: PathBuf,
        #[command(flatten)]
        files: live::Files,
    },
}

/// Arguments of `cargo xtask libbpf compare`.
#[derive(clap::Args)]
pub(crate) struct CompareArgs {
    /// Objects, or directories with objects
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    files: live::Files,
    /// Write a page with the table and every difference
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Seconds for one object
    #[arg(long, default_value_t = 60)]
    timeout: u64,
    /// Objects at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Print every difference
    #[arg(long)]
    verbose: bool,
}

/// Runs one of the subcommands.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Compare(args) => driver::run(args),
        What::Child { file, files } => compare::child(file, files),
    }
}
