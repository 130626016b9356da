// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Runs a set: predicts every verdict, asks an oracle, compares.

use crate::{Answer, Class, Comparison, Counts, Observation, Prediction, Said, Table, compare};
use rayon::prelude::*;
use std::time::{Duration, Instant};
use veristable_isa::Insn;
use veristable_kernel::Kernel;
use veristable_oracle::{self as oracle, LoadOptions, Oracle, OracleError, log};
use veristable_program::{Capabilities, LoadRequest, LogRequest};
use veristable_verifier::log::KernelLog;
use veristable_verifier::{Dialect, Machine, Options, Outcome, verify};

/// One program to compare.
#[derive(Clone, Debug)]
pub struct Case {
    /// A name that stays the same from run to run, e.g. `FILE:PROGRAM`.
    pub id: String,
    /// What is loaded.
    pub request: LoadRequest,
}

/// How a set is run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// `log_level` for both sides. 4 compares messages and counts; 6 also every log line.
    pub log_level: u32,
    /// Bytes of log that the oracle keeps. A longer log is not compared; message and counts are
    /// then those of a second load at level 4.
    pub log_size: u32,
    /// Time that the oracle may take for one program.
    pub timeout: Duration,
    /// Programs handed to the oracle at once.
    pub batch: usize,
    /// Settings of the oracle's machine; see [`machine_of`].
    pub machine: Machine,
    /// One program after the other, so that times can be compared.
    pub sequential: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            log_level: 4,
            log_size: LoadOptions::MAX_LOG,
            timeout: Duration::from_secs(20),
            batch: 256,
            machine: Machine::default(),
            sequential: false,
        }
    }
}

/// The settings of an oracle's machine that change verdicts, read from its files. What cannot be
/// read is as distributions ship it.
pub fn machine_of(oracle: &mut dyn Oracle) -> Machine {
    let mut text = |path: &str| String::from_utf8(oracle.read_file(path).ok()?).ok();
    // A list of ranges such as `0-3`; the kernel counts up to the last.
    let cpus = text("/sys/devices/system/cpu/possible");
    let last_cpu = cpus.and_then(|list| list.trim().rsplit([',', '-']).next()?.parse::<u32>().ok());
    let parameters = text("/proc/cmdline").unwrap_or_default();
    let mitigations_off = parameters.split_whitespace().any(|word| word == "mitigations=off");
    let mut number = |path: &str| -> Option<u32> { text(path)?.trim().parse().ok() };
    let default = Machine::default();
    Machine {
        unprivileged_disabled: number("/proc/sys/kernel/unprivileged_bpf_disabled")
            .map_or(default.unprivileged_disabled, |n| n != 0),
        jit: number("/proc/sys/net/core/bpf_jit_enable").map_or(default.jit, |n| n != 0),
        cpus: last_cpu.map(|last| last + 1),
        mitigations_off,
    }
}

/// One program, compared.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The case's name.
    pub id: String,
    /// What we said.
    pub prediction: Prediction,
    /// What the oracle said.
    pub observation: Observation,
    /// How the two compare.
    pub comparison: Comparison,
    /// Our time.
    pub our_time: Duration,
    /// The kernel's own measure of its verifier's time, if it was reached.
    pub their_time: Option<Duration>,
    /// A warning that the kernel printed meanwhile.
    pub splat: Option<String>,
    /// The messages of our refusal: area and identifier in the table of messages.
    pub messages: Vec<MessageId>,
}

/// A message of our table: its area and its identifier.
pub type MessageId = (&'static str, &'static str);

/// Bytes of log kept on our side; the same as an oracle's largest.
const LOG_SIZE: u32 = LoadOptions::MAX_LOG;

/// `BPF_LOG_STATS`
const STATS: u32 = 4;

/// Runs every case. `each` is called after each batch with the number of cases that are done.
///
/// # Errors
/// The oracle cannot go on.
pub fn run(
    cases: &[Case],
    kernel: &(dyn Kernel + Sync),
    oracle: &mut dyn Oracle,
    options: RunOptions,
    each: &mut dyn FnMut(usize),
) -> Result<Vec<Finished>, OracleError> {
    let load = LoadOptions {
        log_level: options.log_level,
        log_size: options.log_size,
        timeout: options.timeout,
        ..LoadOptions::default()
    };
    // Guests have no policy; the running kernel may.
    let by_policy = oracle.name() == "live";
    let mut finished = Vec::with_capacity(cases.len());
    for batch in cases.chunks(options.batch.max(1)) {
        let requests: Vec<&LoadRequest> = batch.iter().map(|c| &c.request).collect();
        let mut answers: Vec<Option<oracle::Answer>> = vec![None; batch.len()];
        oracle.load(&requests, &load, &mut |index, answer| {
            if let Some(slot) = answers.get_mut(index) {
                *slot = Some(answer);
            }
        })?;
        if options.sequential {
            let pairs = batch.iter().zip(answers);
            finished.extend(
                pairs.map(|(case, answer)| finish(case, answer, kernel, options, by_policy)),
            );
        } else {
            let pairs = batch.par_iter().zip(answers);
            finished.par_extend(
                pairs.map(|(case, answer)| finish(case, answer, kernel, options, by_policy)),
            );
        }
        each(finished.len());
    }
    Ok(finished)
}

fn finish(
    case: &Case,
    answer: Option<oracle::Answer>,
    kernel: &dyn Kernel,
    options: RunOptions,
    by_policy: bool,
) -> Finished {
    // A log that did not fit was taken again without its trace, and what is left of it is compared.
    let log_level = match &answer {
        Some(answer) if answer.log_truncated => answer.log_level,
        _ => options.log_level,
    };
    let Predicted { prediction, time: our_time, messages } =
        predict_whole(&case.request, kernel, log_level, options.machine);
    let their_time = answer.as_ref().and_then(|a| a.verification_us).map(Duration::from_micros);
    let splat = answer.as_ref().and_then(|a| a.splat.clone());
    let observation = answer.map_or_else(
        || Observation::NoAnswer("the oracle skipped it".into()),
        |answer| observe(&answer, options.log_level, &case.request.insns),
    );
    let observation = match observation {
        refused if by_policy && is_refused_by_policy(&case.request, &refused) => {
            Observation::NoAnswer("the machine refuses it before its verifier (EPERM)".into())
        }
        answered => answered,
    };
    let comparison = compare(&prediction, &observation);
    Finished {
        id: case.id.clone(),
        prediction,
        observation,
        comparison,
        our_time,
        their_time,
        splat,
        messages,
    }
}

/// Whether an EPERM says nothing about the program: the machine's security policy came before the
/// verifier. The load gate itself says so only to loaders without capabilities.
fn is_refused_by_policy(request: &LoadRequest, observation: &Observation) -> bool {
    const EPERM: i32 = 1;
    let Observation::Answered { reached: false, answer } = observation else { return false };
    answer.said == Said::Rejected(EPERM)
        && answer.message.is_empty()
        && request.capabilities == Capabilities::all()
}

/// What `veristable` says about a request, with its log at a level.
#[must_use]
pub fn predict(
    request: &LoadRequest,
    kernel: &dyn Kernel,
    log_level: u32,
    machine: Machine,
) -> Prediction {
    predict_whole(request, kernel, log_level, machine).prediction
}

/// A prediction with what came with it.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// What `veristable` says.
    pub prediction: Prediction,
    /// The time that `verify` took.
    pub time: Duration,
    /// The messages of a refusal.
    pub messages: Vec<MessageId>,
}

/// As [`predict`], with all that came with it.
#[must_use]
pub fn predict_whole(
    request: &LoadRequest,
    kernel: &dyn Kernel,
    log_level: u32,
    machine: Machine,
) -> Predicted {
    let mut request = request.clone();
    request.log = LogRequest { level: log_level, size: LOG_SIZE };
    let options = Options { machine, ..Options::default() };
    let mut log = KernelLog::new(request.log, Dialect::of(kernel.design()));
    let started = Instant::now();
    let mut outcome = verify(&request, kernel, &options, &mut log);
    let time = started.elapsed();
    // Oracles ask once more without the log where it does not fit.
    let mut shown = log_level;
    if log.buffer().is_truncated() && log_level & 3 != 0 {
        shown = 0;
        request.log.level = STATS;
        log = KernelLog::new(request.log, Dialect::of(kernel.design()));
        outcome = verify(&request, kernel, &options, &mut log);
    }
    let undecided = |why: String| Predicted {
        prediction: Prediction::Unsupported(why),
        time,
        messages: Vec::new(),
    };
    let mut messages = Vec::new();
    let said = match &outcome {
        Outcome::Accepted(_) => Said::Accepted,
        Outcome::Rejected(rejected) => {
            messages.extend(rejected.messages.iter().map(|m| (m.area(), m.id())));
            Said::Rejected(i32::from(rejected.errno.0))
        }
        Outcome::Unsupported(feature) => return undecided(feature.to_string()),
        Outcome::UnknownFact(fact) => return undecided(format!("fact: {fact}")),
        Outcome::Aborted(abort) => return undecided(format!("aborted: {abort}")),
    };
    let counts = outcome.stats().map(|s| Counts {
        processed_insns: s.processed_insns.into(),
        max_states_per_insn: s.max_states_per_insn.into(),
        total_states: s.total_states.into(),
        peak_states: s.peak_states.into(),
    });
    let answer = answer(said, counts, &log.text(), shown, &request.insns);
    Predicted { prediction: Prediction::Verdict(answer), time, messages }
}

/// An oracle's answer in the terms of a comparison.
#[must_use]
pub fn observe(answered: &oracle::Answer, log_level: u32, insns: &[Insn]) -> Observation {
    let said = match &answered.verdict {
        oracle::Verdict::Loaded => Said::Accepted,
        oracle::Verdict::Refused { errno } => Said::Rejected(*errno),
        oracle::Verdict::Crashed { splat } => {
            return Observation::NoAnswer(format!("crashed\n{splat}"));
        }
        other => return Observation::NoAnswer(other.to_string()),
    };
    let counts = answered.stats.as_ref().map(|s| Counts {
        processed_insns: s.processed_insns,
        max_states_per_insn: s.max_states_per_insn,
        total_states: s.total_states,
        peak_states: s.peak_states,
    });
    let level = if answered.log_truncated { 0 } else { log_level };
    Observation::Answered {
        reached: answered.reached_verifier(),
        answer: answer(said, counts, &answered.log_text(), level, insns),
    }
}

/// Both sides' logs go through the same reading.
fn answer(
    said: Said,
    counts: Option<Counts>,
    text: &str,
    log_level: u32,
    insns: &[Insn],
) -> Answer {
    let message = match said {
        Said::Accepted => String::new(),
        Said::Rejected(_) => without_descriptors(&log::message(text).join("\n")),
    };
    let log = (log_level & 3 != 0).then(|| without_descriptors(&log::normalise(text, insns)));
    Answer { said, message, counts, log }
}

/// Descriptor numbers are chance: `fd 13 is not pointing to …` becomes `fd N is not pointing to …`.
pub(crate) fn without_descriptors(text: &str) -> String {
    const AFTER: &str = " is not pointing to";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(AFTER) {
        let kept = before.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        let named = kept.ends_with("fd ") && kept.len() < before.len();
        out.push_str(if named { kept } else { before });
        out.push_str(if named { "N" } else { "" });
        out.push_str(AFTER);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Sums and the disagreements, in the order of the set.
#[must_use]
pub fn summarise(finished: &[Finished]) -> (Table, Vec<&Finished>) {
    let mut table = Table::default();
    for f in finished {
        table.add(&f.comparison);
        if let (Prediction::Verdict(_), Some(theirs)) = (&f.prediction, f.their_time) {
            table.add_times(f.our_time, theirs);
        }
    }
    let odd = finished
        .iter()
        .filter(|f| f.comparison.class.disagrees() && f.comparison.class != Class::NoAnswer)
        .collect();
    (table, odd)
}

#[cfg(test)]
mod tests {
    use super::without_descriptors;

    #[test]
    fn descriptor_numbers_are_left_out() {
        let check = |text: &str, want: &str| assert_eq!(without_descriptors(text), want);
        check(
            "fd 13 is not pointing to valid bpf_map\n",
            "fd N is not pointing to valid bpf_map\n",
        );
        check(
            "fd -1 is not pointing to valid bpf_map or btf",
            "fd N is not pointing to valid bpf_map or btf",
        );
        check("R1 is not pointing to x", "R1 is not pointing to x");
        check("nothing", "nothing");
    }
}
