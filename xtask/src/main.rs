// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Maintenance tasks of the repository: `cargo xtask TASK`. Each task lives in a module of its own.

mod agreement;
mod behaviours;
mod bench;
mod corpus;
mod generated;
#[cfg(feature = "libbpf")]
mod libbpf;
mod oracle;
mod profile;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Command line of `cargo xtask`.
#[derive(Parser)]
#[command(name = "cargo xtask", about = "Maintenance tasks of veristable")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Compare what veristable says about a set with what a kernel says
    Agreement(agreement::Args),
    /// Write docs/behaviours.md from the table
    Behaviours(behaviours::Args),
    /// Time `verify` beside others
    Bench(bench::Args),
    /// Obtain test objects and programs into the cache, outside the repository
    Corpus(corpus::Args),
    /// Hold generated programs against a kernel
    Gen(generated::Args),
    /// Make kernel profiles and check them
    Profile(profile::Args),
    /// Compare linking with libbpf
    #[cfg(feature = "libbpf")]
    Libbpf(libbpf::Args),
    /// Ask real kernels about programs
    Oracle(oracle::Args),
}

fn main() -> ExitCode {
    // Guests run this very program as their first process.
    veristable_oracle::guest::agent_if_init();
    let outcome = match Args::parse().task {
        Task::Agreement(args) => agreement::run(&args),
        Task::Behaviours(args) => behaviours::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Corpus(args) => corpus::run(&args),
        Task::Gen(args) => generated::run(&args),
        Task::Profile(args) => profile::run(&args),
        #[cfg(feature = "libbpf")]
        Task::Libbpf(args) => libbpf::run(&args),
        Task::Oracle(args) => oracle::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
