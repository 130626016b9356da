// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The command `veristable`.
//!
//! ```text
//! args      the command line
//! input     files to load requests, linked for a kernel
//! rows      outcomes to rows of a report
//! verdicts  those that took long, kept in the cache
//! check     link, verify, report
//! needs     what programs need, and which kernels have it
//! profile   list, show, compare and capture kernels
//! confirm   check, and ask an oracle
//! history   what changed in a verifier, and what stable trees lack
//! ```

mod args;
mod check;
mod confirm;
mod history;
mod history_args;
mod input;
mod needs;
mod profile;
mod rows;
mod verdicts;

use args::{Cli, Command, RequestsArgs};
use clap::{CommandFactory, Parser};
use std::io::{self, Write};
use std::process::ExitCode;

/// Exit status for wrong usage and unreadable input.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    // A guest starts this very program as its init process.
    veristable_oracle::guest::agent_if_init();
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(status) => ExitCode::from(status),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("veristable: {error:#}");
            ExitCode::from(USAGE)
        }
    }
}

/// Whether the reader of our output went away, e.g. `veristable … | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|e| e.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Check(args) => check::run(&args),
        Command::Confirm(args) => confirm::run(&args),
        Command::Needs(args) => needs::run(&args),
        Command::History(args) => history::run(&args),
        Command::Profile { command } => profile::run(&command),
        Command::Requests(args) => requests(&args),
        Command::Kernels => kernels(),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "veristable", &mut io::stdout());
            Ok(0)
        }
        Command::Man => {
            clap_mangen::Man::new(Cli::command()).render(&mut io::stdout())?;
            Ok(0)
        }
    }
}

/// `veristable requests`: link, and write what would be loaded.
fn requests(args: &RequestsArgs) -> anyhow::Result<u8> {
    let kernel = input::open_kernel(&args.kernel)?;
    let mut out = io::stdout().lock();
    let mut status = 0;
    for file in &args.files {
        for unit in input::read(file, &args.link)?.link(&kernel)? {
            match unit.request {
                Ok(request) => writeln!(out, "{}", request.to_json()?)?,
                Err(why) => {
                    eprintln!("veristable: {}: {}: {why}", file.display(), unit.program);
                    status = 1;
                }
            }
        }
    }
    out.flush()?;
    Ok(status)
}

/// `veristable kernels`.
fn kernels() -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    for kernel in veristable_profiles::list() {
        writeln!(out, "{kernel}")?;
    }
    for release in veristable_profiles::captured::list() {
        writeln!(out, "{release}")?;
    }
    writeln!(out, "live")?;
    Ok(0)
}
