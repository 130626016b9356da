// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask bench kernel`: our time for a load beside the `verification time` that the kernel prints.
//!
//! Both sides take the same requests at the same log level, in turns within one run and on one
//! processor. Of each program the shortest time of all rounds counts: what is longer was disturbed.
//! The kernel's time includes rewriting and, for programs with subprograms, the JIT, which
//! `veristable` does not do; programs without subprograms are therefore counted once more apart.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::thread::{CpuSet, sched_setaffinity};
use veristable_agreement::{Case, machine_of, probe};
use veristable_kernel::{Kernel, Profile};
use veristable_oracle::{LoadOptions, Oracle, Verdict};
use veristable_program::{LoadRequest, LogRequest};
use veristable_verifier::log::KernelLog;
use veristable_verifier::{Dialect, Options, Outcome, verify};

use crate::agreement;

/// `BPF_LOG_STATS`: the log is as good as off, but the kernel tells its time.
const STATS: u32 = 4;
/// Bytes of log; statistics and a message need less.
const LOG_SIZE: u32 = 1 << 20;
/// Programs that are timed before the other side's turn.
const TURN: usize = 16;

/// Objects of the selftests that are known to be hard work.
const HEAVY: [&str; 12] = [
    "pyperf",
    "strobemeta",
    "test_verif_scale",
    "loop1.",
    "loop2.",
    "loop3.",
    "loop4.",
    "loop5.",
    "loop6.",
    "profiler",
    "xdp_synproxy_kern",
    "test_cls_redirect",
];
/// The rest of them, which stand in families with light ones.
const HEAVY_TOO: [&str; 2] = ["test_l4lb", "test_xdp_noinline"];

/// Options of `cargo xtask bench kernel`.
#[derive(clap::Args)]
#[command(after_help = "\
Sets: `heavy` (the heavy programs of selftests-6.18) and whatever `cargo xtask agreement` takes.

Examples:
  cargo xtask bench kernel heavy realworld
  cargo xtask bench kernel realworld --case xdp --details --rounds 15")]
pub(crate) struct Args {
    /// What to time
    #[arg(default_values = ["heavy", "realworld"])]
    sets: Vec<String>,

    /// Whose verifier: `live`, or `vm:VERSION` (whose times say little, since guests are emulated)
    #[arg(long, default_value = "live")]
    oracle: String,

    /// How often each program is timed
    #[arg(long, default_value_t = 7)]
    rounds: u32,

    /// The processor to stay on
    #[arg(long, default_value_t = 0)]
    core: usize,

    /// Only cases whose name contains this
    #[arg(long)]
    case: Option<String>,

    /// Print every program
    #[arg(long)]
    details: bool,
}

/// One program's times.
#[derive(Clone, Debug)]
struct Timed {
    id: String,
    /// It has no function but its main one.
    alone: bool,
    processed: u32,
    ours: Duration,
    theirs: Duration,
}

impl Timed {
    fn ratio(&self) -> f64 {
        self.ours.as_secs_f64() / self.theirs.as_secs_f64()
    }
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    stay_on(args.core)?;
    let mut oracle = veristable_oracle::open(&args.oracle)?;
    let kernel = match args.oracle.strip_prefix("vm:") {
        Some(version) => veristable_profiles::open(version)?,
        None => probe::behaviours(veristable_profiles::live()?, oracle.as_mut())?.0,
    };
    println!(
        "| set | programs | ours | {}'s | total | geometric mean | median | worst |",
        args.oracle
    );
    println!("|---|---|---|---|---|---|---|---|");
    for set in &args.sets {
        let mut cases = load(set, &kernel)?;
        if let Some(part) = &args.case {
            cases.retain(|case| case.id.contains(part.as_str()));
        }
        let timed = time(&cases, &kernel, oracle.as_mut(), args.rounds)?;
        if timed.is_empty() {
            bail!("{set}: no program that both verify alike");
        }
        println!("{}", summary(set, &timed.iter().collect::<Vec<_>>()));
        let alone: Vec<&Timed> = timed.iter().filter(|t| t.alone).collect();
        if alone.len() < timed.len() && !alone.is_empty() {
            println!("{}", summary(&format!("{set}, without subprograms"), &alone));
        }
        if args.details {
            print_details(timed);
        }
    }
    Ok(())
}

/// Keeps this process, and those that it starts, on one processor.
fn stay_on(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    if core >= CpuSet::MAX_CPU {
        bail!("--core {core}: there is no such processor");
    }
    set.set(core);
    if let Err(error) = sched_setaffinity(None, &set) {
        bail!("--core {core}: {error}");
    }
    Ok(())
}

/// The cases of a set.
fn load(set: &str, kernel: &Profile) -> Result<Vec<Case>> {
    if set != "heavy" {
        return Ok(agreement::load(set, kernel)?.0);
    }
    let (mut cases, _) = agreement::load("selftests-6.18", kernel)?;
    cases.retain(|case| HEAVY.iter().chain(&HEAVY_TOO).any(|start| case.id.starts_with(start)));
    Ok(cases)
}

/// Times each program on both sides, in turns. Programs that are not verified alike are left out.
fn time(
    cases: &[Case],
    kernel: &Profile,
    oracle: &mut dyn Oracle,
    rounds: u32,
) -> Result<Vec<Timed>> {
    let options = Options { machine: machine_of(oracle), ..Options::default() };
    let load = LoadOptions { log_level: STATS, log_size: LOG_SIZE, ..LoadOptions::default() };
    let mut best: Vec<Option<Timed>> = vec![None; cases.len()];
    let mut left_out = vec![false; cases.len()];
    for round in 0..rounds {
        for start in (0..cases.len()).step_by(TURN) {
            let turn = start..(start + TURN).min(cases.len());
            let asked: Vec<usize> = turn.filter(|&index| !left_out[index]).collect();
            let requests: Vec<LoadRequest> = asked
                .iter()
                .map(|&index| LoadRequest {
                    log: LogRequest { level: STATS, size: LOG_SIZE },
                    ..cases[index].request.clone()
                })
                .collect();
            let mut theirs: Vec<Option<(bool, Duration)>> = vec![None; asked.len()];
            oracle.load(&requests.iter().collect::<Vec<_>>(), &load, &mut |number, answer| {
                let accepted = answer.verdict == Verdict::Loaded;
                let micros = answer.verification_us.map(|us| Duration::from_micros(us.max(1)));
                theirs[number] = micros.map(|time| (accepted, time));
            })?;
            for ((request, &index), theirs) in requests.iter().zip(&asked).zip(theirs) {
                let Some(new) = once(&cases[index].id, request, kernel, &options, theirs) else {
                    left_out[index] = true;
                    best[index] = None;
                    continue;
                };
                match &mut best[index] {
                    Some(old) => {
                        old.ours = old.ours.min(new.ours);
                        old.theirs = old.theirs.min(new.theirs);
                    }
                    none => *none = Some(new),
                }
            }
        }
        eprint!("\rround {} of {rounds}", round + 1);
    }
    eprintln!();
    Ok(best.into_iter().flatten().collect())
}

/// One program on our side; nothing if the other side says otherwise.
fn once(
    id: &str,
    request: &LoadRequest,
    kernel: &Profile,
    options: &Options<'_>,
    theirs: Option<(bool, Duration)>,
) -> Option<Timed> {
    let (accepted, theirs) = theirs?;
    let mut log = KernelLog::new(request.log, Dialect::of(kernel.design()));
    let started = Instant::now();
    let outcome = verify(request, kernel, options, &mut log);
    let ours = started.elapsed();
    let agrees = match &outcome {
        Outcome::Accepted(_) => accepted,
        Outcome::Rejected(_) => !accepted,
        Outcome::Unsupported(_) | Outcome::UnknownFact(_) | Outcome::Aborted(_) => false,
    };
    let stats = outcome.stats().filter(|_| agrees)?;
    Some(Timed {
        id: id.to_owned(),
        alone: !request.insns.iter().any(|insn| insn.is_pseudo_call() || insn.is_pseudo_func()),
        processed: stats.processed_insns,
        ours,
        theirs,
    })
}

/// A row of the table.
fn summary(name: &str, timed: &[&Timed]) -> String {
    let ours: Duration = timed.iter().map(|t| t.ours).sum();
    let theirs: Duration = timed.iter().map(|t| t.theirs).sum();
    let mut ratios: Vec<f64> = timed.iter().map(|t| t.ratio()).collect();
    ratios.sort_by(f64::total_cmp);
    let geometric = (ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64).exp();
    let median = ratios[ratios.len() / 2];
    let worst = ratios.last().copied().unwrap_or_default();
    let total = ours.as_secs_f64() / theirs.as_secs_f64();
    let mut row = String::new();
    let _ = write!(
        row,
        "| {name} | {} | {ours:.1?} | {theirs:.1?} | {total:.2} | {geometric:.2} | {median:.2} | {worst:.2} |",
        timed.len(),
    );
    row
}

/// Every program, the worst ratio first.
fn print_details(mut timed: Vec<Timed>) {
    timed.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()));
    for t in &timed {
        println!(
            "{:6.2}  {:>10.1?}  {:>10.1?}  {:>8}  {}",
            t.ratio(),
            t.ours,
            t.theirs,
            t.processed,
            t.id
        );
    }
}
