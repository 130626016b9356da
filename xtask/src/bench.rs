// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask bench`: how fast `verify` is beside others.

mod accepted;
mod families;
mod growth;
mod instructions;
mod kernel;
mod memory;
mod peers;

use anyhow::Result;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    beside: Beside,
}

#[derive(clap::Subcommand)]
enum Beside {
    /// Beside the figures that were accepted: instructions of a fixed set, as CI counts them
    Accepted(accepted::Args),
    /// Beside a kernel's own verifier
    Kernel(kernel::Args),
    /// Beside itself: instructions executed, counted by valgrind
    Instructions(instructions::Args),
    /// Beside other verifiers: the crate `prevail`
    Peers(peers::Args),
    /// One saved request, for profilers
    Verify(instructions::OneArgs),
    /// The memory for one saved request
    #[command(hide = true)]
    Memory(memory::OneArgs),
    /// One program of an object, by the peer
    #[command(hide = true)]
    Peer(peers::OneArgs),
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.beside {
        Beside::Accepted(args) => accepted::run(args),
        Beside::Kernel(args) => kernel::run(args),
        Beside::Instructions(args) => instructions::run(args),
        Beside::Peers(args) => peers::run(args),
        Beside::Memory(args) => memory::one(args),
        Beside::Peer(args) => peers::one(args),
        Beside::Verify(args) => instructions::one(args),
    }
}
