// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask corpus …`: fills the cache with test sets; `docs/corpora.md` describes them.

mod apt;
mod realworld;
mod tools;

use anyhow::Result;
use clap::Subcommand;

/// Arguments of `cargo xtask corpus`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Carve the BPF objects out of distribution packages
    Realworld(realworld::Args),
}

/// Runs one of the subcommands.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Realworld(args) => realworld::run(args),
    }
}
