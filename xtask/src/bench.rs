// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask bench`: how fast `verify` is beside others.

mod kernel;

use anyhow::Result;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    beside: Beside,
}

#[derive(clap::Subcommand)]
enum Beside {
    /// Beside a kernel's own verifier
    Kernel(kernel::Args),
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.beside {
        Beside::Kernel(args) => kernel::run(args),
    }
}
