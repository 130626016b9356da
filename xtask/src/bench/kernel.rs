// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask bench kernel`: our time for a load beside the `verification time` that the kernel prints.
//!
//! Both sides take the same requests at the same log level, in turns within one run and on one
//! processor. Of each program the shortest time of all rounds counts: what is longer was disturbed.
//! The kernel's time includes rewriting and, for programs with subprograms, the JIT, which
//! `veristable` does not do; programs without subprograms are therefore counted once more apart.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::thread::{CpuSet, sched_setaffinity};
use veristable_agreement::{Case, machine_of, probe};
use veristable_kernel::{Kernel, Profile};
use veristable_oracle::{LoadOptions, Oracle, Verdict};
use veristable_program::{LoadRequest, LogRequest};
use veristable_verifier::log::KernelLog;
use veristable_verifier::{Dialect, Options, Outcome, verify};

use super::{families, growth, memory};
use crate::agreement;

/// `BPF_LOG_STATS`: the log is as good as off, but the kernel tells its time.
const STATS: u32 = 4;
/// Bytes of log; statistics and a message need less.
const LOG_SIZE: u32 = 1 << 20;
/// Programs that are timed before the other side's turn.
const TURN: usize = 16;

/// The set of made programs.
const FAMILIES: &str = "families";

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
Sets: `heavy` (the heavy programs of selftests-6.18), `families` (made programs of doubling size, whose
growth is fitted) and whatever `cargo xtask agreement` takes.

Examples:
  cargo xtask bench kernel heavy realworld
  cargo xtask bench kernel realworld --case xdp --details --rounds 15
  cargo xtask bench kernel families --details
  cargo xtask bench kernel families --case spills --oracle vm:6.18.15 --rounds 1
  cargo xtask bench kernel heavy --case pyperf180 --memory --oracle vm:6.18.15")]
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

    /// Compare memory, not time: peaks do not depend on speed, so that a guest will do
    #[arg(long)]
    memory: bool,
}

/// One program's times.
#[derive(Clone, Debug)]
pub(super) struct Timed {
    id: String,
    /// It has no function but its main one.
    alone: bool,
    pub(super) accepted: bool,
    pub(super) processed: u32,
    pub(super) ours: Duration,
    pub(super) theirs: Duration,
}

impl Timed {
    pub(super) fn ratio(&self) -> f64 {
        self.ours.as_secs_f64() / self.theirs.as_secs_f64()
    }
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    stay_on(args.core)?;
    let part = args.case.as_deref();
    let mut oracle = veristable_oracle::open(&args.oracle)?;
    let kernel = match args.oracle.strip_prefix("vm:") {
        Some(version) => veristable_profiles::open(version)?,
        None => probe::behaviours(veristable_profiles::live()?, oracle.as_mut())?.0,
    };
    if args.memory {
        for set in &args.sets {
            let cases = load(set, &kernel, part)?;
            memory::run(set, &cases, &args.oracle, oracle.as_mut(), args.details)?;
        }
        return Ok(());
    }
    let mut sides = Sides::new(&kernel, oracle.as_mut(), args.rounds);
    let (families, sets): (Vec<&String>, Vec<&String>) =
        args.sets.iter().partition(|set| *set == FAMILIES);
    if !sets.is_empty() {
        println!(
            "| set | programs | ours | {}'s | total | geometric mean | median | worst |",
            args.oracle
        );
        println!("|---|---|---|---|---|---|---|---|");
    }
    for set in sets {
        let cases = load(set, &kernel, part)?;
        let timed = sides.time(&cases)?;
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
    if !families.is_empty() {
        growth::run(&mut sides, part, args.details)?;
    }
    Ok(())
}

/// Keeps this process, and those that it starts, on one processor.
pub(super) fn stay_on(core: usize) -> Result<()> {
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

/// The cases of a set whose names contain `part`.
fn load(set: &str, kernel: &Profile, part: Option<&str>) -> Result<Vec<Case>> {
    let mut cases = match set {
        FAMILIES => families::cases()?,
        "heavy" => {
            let (mut cases, _) = agreement::load("selftests-6.18", kernel)?;
            let heavy =
                |id: &str| HEAVY.iter().chain(&HEAVY_TOO).any(|start| id.starts_with(start));
            cases.retain(|case| heavy(&case.id));
            cases
        }
        other => agreement::load(other, kernel)?.0,
    };
    cases.retain(|case| part.is_none_or(|part| case.id.contains(part)));
    Ok(cases)
}

/// Those who verify.
pub(super) struct Sides<'s> {
    kernel: &'s Profile,
    oracle: &'s mut dyn Oracle,
    options: Options<'static>,
    rounds: u32,
}

impl<'s> Sides<'s> {
    fn new(kernel: &'s Profile, oracle: &'s mut dyn Oracle, rounds: u32) -> Self {
        let options = Options { machine: machine_of(oracle), ..Options::default() };
        Self { kernel, oracle, options, rounds }
    }

    /// Times each program on both sides, in turns. Programs that are not verified alike are left out.
    pub(super) fn time(&mut self, cases: &[Case]) -> Result<Vec<Timed>> {
        let Self { kernel, oracle, options, rounds } = self;
        time(cases, kernel, &mut **oracle, options, *rounds)
    }
}

fn time(
    cases: &[Case],
    kernel: &Profile,
    oracle: &mut dyn Oracle,
    options: &Options<'_>,
    rounds: u32,
) -> Result<Vec<Timed>> {
    let load = LoadOptions { log_level: STATS, log_size: LOG_SIZE, ..LoadOptions::default() };
    let mut best: Vec<Option<Timed>> = vec![None; cases.len()];
    let mut left_out = vec![false; cases.len()];
    for round in 0..rounds {
        let remaining: Vec<usize> = (0..cases.len()).filter(|&at| !left_out[at]).collect();
        for turn in turns(remaining.len(), round) {
            let asked = &remaining[turn];
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
            for ((request, &index), theirs) in requests.iter().zip(asked).zip(theirs) {
                let Some(new) = once(&cases[index].id, request, kernel, options, theirs) else {
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
        // One program needs no patience.
        if cases.len() > 1 {
            let end = if round + 1 == rounds { "\n" } else { "" };
            eprint!("\rround {} of {rounds}{end}", round + 1);
        }
    }
    Ok(best.into_iter().flatten().collect())
}

/// The turns of a round. The first of a turn finds caches as the other side has left them, so that
/// turns begin elsewhere in every round and no program is the first in all of them.
fn turns(cases: usize, round: u32) -> impl Iterator<Item = Range<usize>> {
    // Odd, so that the steps of many rounds meet every place of a turn.
    const STEP: usize = 5;
    let first = (round as usize).wrapping_mul(STEP) % TURN;
    let short = Some(0..first.min(cases)).filter(|turn| !turn.is_empty());
    let rest = (first..cases).step_by(TURN);
    short.into_iter().chain(rest.map(move |start| start..(start + TURN).min(cases)))
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
    // The kernel has just copied the program and parsed its BTF when its time begins: all of the
    // request is read once here too.
    std::hint::black_box(request.to_bytes().ok()?);
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
        accepted,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_takes_every_program_and_begins_turns_elsewhere() {
        for cases in [0, 1, 3, 16, 55, 100] {
            let mut starts = std::collections::BTreeSet::new();
            for round in 0..16 {
                let taken: Vec<usize> = turns(cases, round).flatten().collect();
                assert_eq!(taken, (0..cases).collect::<Vec<_>>(), "round {round}");
                starts.extend(turns(cases, round).map(|turn| turn.start));
            }
            assert_eq!(starts.len(), cases);
        }
    }
}
