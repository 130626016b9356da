// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Every rule file in `rules/`, on the built-in kernels that its cases name.
//!
//! `RULES=name` runs one file.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, missing_docs)]

mod coverage;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use coverage::{Names, Watching};

use veristable_corpus::rules::{self, Case, Observed, Verdict};
use veristable_kernel::Kernel;
use veristable_verifier::log::KernelLog;
use veristable_verifier::messages::AREAS;
use veristable_verifier::{Dialect, Machine, Options, Outcome, Stats, verify};

/// The kernels whose designs are built.
const KERNELS: [&str; 2] = ["6.12.117", "6.18.15"];

/// Runs one case; what differs from the expectation, if anything, and what was said.
fn check(case: &Case, kernel: &dyn Kernel) -> (Option<String>, Names) {
    let mut log = Watching::new(KernelLog::new(case.request.log, Dialect::of(kernel.design())));
    // As in the guests: unprivileged programs may be loaded, and there is one processor.
    let machine = Machine { unprivileged_disabled: false, cpus: Some(1), ..Machine::default() };
    let options = Options { machine, ..Options::default() };
    let outcome = verify(&case.request, kernel, &options, &mut log);
    let mut seen = observed(&outcome, Dialect::of(kernel.design()));
    seen.log = log.log.text();
    (case.differs(&seen), log.said(&outcome, &case.expect.lines))
}

fn observed(outcome: &Outcome, dialect: Dialect) -> Observed {
    let stats = outcome.stats().map(figures).unwrap_or_default();
    match outcome {
        Outcome::Accepted(_) => Observed { verdict: Verdict::Accept, stats, ..Observed::default() },
        Outcome::Rejected(rejected) => Observed {
            verdict: Verdict::Reject,
            errno: Some(rejected.errno.to_string()),
            messages: rejected
                .messages
                .iter()
                .flat_map(|m| {
                    m.text(dialect).to_string().lines().map(str::to_owned).collect::<Vec<_>>()
                })
                .filter(|line| !line.trim().is_empty())
                .collect(),
            insn: rejected.insn,
            stats,
            log: String::new(),
        },
        other => {
            let text = match other {
                Outcome::Unsupported(feature) => feature.to_string(),
                Outcome::UnknownFact(fact) => format!("unknown fact: {fact}"),
                other => format!("{other:?}"),
            };
            Observed { verdict: Verdict::Unsupported(text), ..Observed::default() }
        }
    }
}

fn figures(stats: &Stats) -> Vec<(String, u64)> {
    [
        ("processed_insns", stats.processed_insns),
        ("max_states_per_insn", stats.max_states_per_insn),
        ("total_states", stats.total_states),
        ("peak_states", stats.peak_states),
    ]
    .map(|(name, value)| (name.to_owned(), u64::from(value)))
    .to_vec()
}

/// What a run of all rule files gave.
#[derive(Default)]
struct Run {
    /// How many cases there were.
    count: usize,
    /// What is not as expected.
    wrong: Vec<String>,
    /// The messages said.
    said: Names,
}

static RUN: LazyLock<Run> = LazyLock::new(run);

/// The one file to run, if one is asked for.
fn only() -> Option<String> {
    std::env::var("RULES").ok()
}

fn run() -> Run {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "bpfasm"))
        .collect();
    files.sort();
    let mut run = Run::default();
    for name in KERNELS {
        let kernel = veristable_profiles::open(name).unwrap();
        for path in &files {
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            if only().is_some_and(|only| only != stem) {
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            let cases = match rules::parse(&text, &kernel) {
                Ok(cases) => cases,
                Err(error) => panic!("{}, {name}: {error:#}", path.display()),
            };
            for case in cases.iter().filter(|case| case.is_for(name)) {
                run.count += 1;
                let (difference, said) = check(case, &kernel);
                run.said.extend(said);
                if let Some(difference) = difference {
                    let Case { line, name: case, .. } = case;
                    run.wrong.push(format!("{stem}:{line}: {case} ({name}): {difference}"));
                }
            }
        }
    }
    run
}

#[test]
fn rule_files() {
    let Run { count, wrong, .. } = &*RUN;
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(*count > 0, "no cases");
}

/// `data/uncovered.txt` is exactly the list of messages that no case provokes.
#[test]
fn every_message_has_a_case_or_a_reason() {
    if only().is_some() {
        return;
    }
    let all: Names = AREAS
        .iter()
        .flat_map(|(area, ids)| ids.iter().map(move |id| format!("{area}.{id}")))
        .collect();
    let missing: BTreeSet<_> = all.difference(&RUN.said).collect();
    let exceptions = coverage::exceptions();
    let listed: BTreeSet<_> = exceptions.keys().collect();
    let new: Vec<_> = missing.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&missing).collect();
    println!("{} of {} messages have a case", RUN.said.len(), all.len());
    assert!(new.is_empty(), "no case and no reason ({}):\n{new:#?}", new.len());
    assert!(stale.is_empty(), "covered now, or no message; take out of the list:\n{stale:#?}");
}
