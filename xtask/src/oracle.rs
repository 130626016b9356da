// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask oracle …`: asks real kernels; `docs/oracles.md` describes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Subcommand;
use veristable_oracle::guest::kernels;
use veristable_oracle::{Answer, Guest, GuestOptions, LoadOptions, Verdict, open};
use veristable_program::LoadRequest;

/// Arguments of `cargo xtask oracle`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Load programs and print the verdicts
    Ask(Ask),
    /// List the kernels that guests can run, and whether their images are in the cache
    List,
    /// Write a guest's memory to a file, as an ELF core
    Memory {
        /// Version of its kernel
        version: String,
        /// Where to write it
        to: PathBuf,
    },
    /// Copy a file out of the oracle's machine
    File {
        /// `live` or `vm:VERSION`
        oracle: String,
        /// Path there, e.g. /sys/kernel/btf/vmlinux
        path: String,
        /// Where to write it
        to: PathBuf,
    },
}

#[derive(clap::Args)]
struct Ask {
    /// `live` or `vm:VERSION`
    oracle: String,
    /// Load requests, in JSON (one a line) or in the binary form
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Log level: 1 and 2 verbosity, 4 statistics
    #[arg(long, default_value_t = 4)]
    log_level: u32,
    /// Seconds that one program may take
    #[arg(long, default_value_t = 20)]
    timeout: u64,
    /// Print the logs
    #[arg(long)]
    log: bool,
    /// Ask this many times, for measuring
    #[arg(long, default_value_t = 1)]
    repeat: usize,
}

/// Runs one of the subcommands.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Ask(args) => ask(args),
        What::List => {
            for kernel in kernels() {
                let state = if kernel.is_cached() { "cached" } else { "to be downloaded" };
                println!(
                    "vm:{:<10} {state:<17} {} ({})",
                    kernel.version, kernel.package, kernel.suite
                );
            }
            Ok(())
        }
        What::Memory { version, to } => {
            let to = std::path::absolute(to)?;
            Ok(Guest::open(version, GuestOptions::default())?.dump_memory(&to)?)
        }
        What::File { oracle, path, to } => {
            let bytes = open(oracle)?.read_file(path)?;
            fs::write(to, bytes).with_context(|| to.display().to_string())
        }
    }
}

fn ask(args: &Ask) -> Result<()> {
    let mut requests = Vec::new();
    for file in &args.files {
        requests.extend(read(file).with_context(|| file.display().to_string())?);
    }
    let start = Instant::now();
    let mut oracle = open(&args.oracle)?;
    let opened = start.elapsed();
    let options = LoadOptions {
        log_level: args.log_level,
        timeout: Duration::from_secs(args.timeout),
        ..LoadOptions::default()
    };
    let batch: Vec<&LoadRequest> = std::iter::repeat_n(&requests, args.repeat).flatten().collect();
    let start = Instant::now();
    let mut out = std::io::stdout().lock();
    let mut failed = None;
    oracle.load(&batch, &options, &mut |index, answer| {
        if index < requests.len()
            && let Err(error) = print(&mut out, &requests[index], &answer, args.log)
        {
            failed.get_or_insert(error);
        }
    })?;
    let took = start.elapsed();
    eprintln!(
        "{} on {}: opened in {:.2} s, {} programs in {:.2} s ({:.0}/s)",
        oracle.name(),
        oracle.kernel(),
        opened.as_secs_f64(),
        batch.len(),
        took.as_secs_f64(),
        batch.len() as f64 / took.as_secs_f64()
    );
    failed.map_or(Ok(()), |error| Err(error.into()))
}

fn read(file: &Path) -> Result<Vec<LoadRequest>> {
    let bytes = fs::read(file)?;
    match LoadRequest::from_bytes(&bytes) {
        Ok(request) => Ok(vec![request]),
        Err(_) => String::from_utf8(bytes)
            .context("neither the binary form nor text")?
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(|line| Ok(LoadRequest::from_json(line)?))
            .collect(),
    }
}

fn print(
    out: &mut impl std::io::Write,
    request: &LoadRequest,
    answer: &Answer,
    log: bool,
) -> std::io::Result<()> {
    let text = answer.log_text();
    let processed = answer.stats.map_or(String::new(), |s| format!("{} insns", s.processed_insns));
    writeln!(
        out,
        "{:<32} {:<24} {:>9} us {processed:>16}  {}",
        request.name,
        answer.verdict.to_string(),
        answer.wall_ns / 1000,
        veristable_oracle::log::message(&text).join(" / "),
    )?;
    if let Verdict::Crashed { splat } = &answer.verdict {
        writeln!(out, "{splat}")?;
    }
    if let Some(splat) = &answer.splat {
        writeln!(out, "{splat}")?;
    }
    if log { out.write_all(&answer.log) } else { Ok(()) }
}
