// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Annotated selftests: the common table, and what stands in the annotations beside it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, bail};
use veristable_agreement::annotated::{AnnotationTable, Judged, Met, run_annotated};
use veristable_agreement::{Finished, Observation, RunOptions, summarise};
use veristable_corpus::annotated::{Absent, AnnotatedSet, Loaded};
use veristable_kernel::{Kernel as _, Profile};
use veristable_oracle::Oracle;
use veristable_verifier::Machine;

use super::{Args, counts, cut, heading, judge, print_classes, record};

/// Bytes of log that are compared: four times what the kernel's own test loader has room for.
const LOG_SIZE: u32 = 8 << 20;

/// Programs handed to the oracle at once; their logs are all in memory.
const BATCH: usize = 128;

/// Runs one set. True if the list of known disagreements is wrong.
pub(super) fn run(
    name: &str,
    set: &AnnotatedSet,
    args: &Args,
    kernel: &Profile,
    oracle: &mut dyn Oracle,
    machine: Machine,
) -> Result<bool> {
    let mut loaded = set.load(kernel, machine.jit)?;
    if let Some(part) = &args.case {
        loaded.tests.retain(|test| test.id.contains(part.as_str()));
        loaded.absent.retain(|test| test.id.contains(part.as_str()));
    }
    loaded.tests.truncate(args.limit.unwrap_or(usize::MAX));
    if loaded.tests.is_empty() {
        bail!("{name}: no tests; `cargo xtask corpus status` says what is there");
    }
    let options = RunOptions { log_size: LOG_SIZE, batch: BATCH, ..args.options(machine) };
    let total = loaded.tests.len();
    let started = std::time::Instant::now();
    let each = &mut |done| eprint!("\r{name}: {done} of {total}");
    let mut judged = run_annotated(&loaded.tests, kernel, oracle, options, args.log_level, each)?;
    eprintln!(" in {:.0?}", started.elapsed());
    judged.retain(|one| counts(args.only, &one.finished.observation));
    let finished: Vec<Finished> = judged.iter().map(|one| one.finished.clone()).collect();
    let text = describe(name, args, oracle.kernel(), &judged, &finished, &loaded);
    print!("{text}");
    print_classes(&finished);
    print_absent(&loaded, args.details);
    print_departures(&judged, args.details);
    let bad = judge(&finished, kernel.id().name.as_str(), args)?;
    if args.write {
        record(name, args, &text)?;
    }
    Ok(bad)
}

/// The Markdown section of a set.
fn describe(
    name: &str,
    args: &Args,
    release: &str,
    judged: &[Judged],
    finished: &[Finished],
    loaded: &Loaded,
) -> String {
    let mut text = heading(name, args, release);
    text.push_str(&summarise(finished).0.to_markdown(name, &args.oracle));
    text.push_str(&AnnotationTable::of(judged).to_rows());
    let auxiliary = loaded.tests.iter().filter(|test| test.expectation.is_none()).count();
    let skipped = loaded.absent.iter().filter(|test| test.skipped).count();
    let unlinked = loaded.absent.len() - skipped;
    let _ = writeln!(
        text,
        "\n{} programs linked, {auxiliary} of them auxiliary; {unlinked} could not be linked, \
         {skipped} are not for this machine.\n",
        loaded.tests.len()
    );
    text
}

/// Why tests are not in the set: sums, or each with its reason.
fn print_absent(loaded: &Loaded, details: bool) {
    let word = |test: &Absent| if test.skipped { "skipped" } else { "not linked" };
    let mut reasons: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for test in &loaded.absent {
        if details {
            println!("{}\t{}\t{}", test.id, word(test), test.reason);
        }
        *reasons.entry((word(test), cut(&test.reason))).or_default() += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    for ((word, why), n) in reasons.iter().take(if details { usize::MAX } else { 20 }) {
        println!("{n:6}  {word}: {why}");
    }
    for (id, tag) in &loaded.unknown_tags {
        println!("{id}\ttag not understood: {tag}");
    }
}

/// Tests for which the kernel's or our answer is not what the annotation expects. Where the two
/// depart alike, that is a matter of the kernel, listed only in detail.
fn print_departures(judged: &[Judged], details: bool) {
    for one in judged {
        let id = &one.finished.id;
        if let (true, Observation::NoAnswer(why)) = (details, &one.finished.observation) {
            println!("{id}\tno answer: {}", cut(why));
        }
        match (&one.kernel, &one.ours) {
            (Some(Met::No(kernel)), Some(ours)) => {
                let alike = matches!(ours, Met::No(ours) if ours == kernel);
                if details || matches!(ours, Met::Yes) {
                    println!("{id}\tkernel departs from the annotation: {kernel}");
                }
                if let (Met::No(ours), false) = (ours, alike) {
                    println!("{id}\tveristable departs otherwise: {ours} (kernel: {kernel})");
                }
            }
            (Some(Met::Yes), Some(Met::No(ours))) => {
                println!("{id}\tonly veristable departs from the annotation: {ours}");
            }
            _ => {}
        }
    }
}
