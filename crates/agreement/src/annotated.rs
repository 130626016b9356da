// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Annotated selftests: whether the annotation is met, by the kernel and by us.
//!
//! The kernel's answer is what counts; the annotation is recorded beside it. A test of another
//! kernel's tree may well expect what this kernel does not do.

use crate::run::without_descriptors;
use crate::{
    Answer, Case, Class, Finished, Match, Observation, Prediction, RunOptions, Said, Share, run,
};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use veristable_corpus::annotated::Test;
use veristable_corpus::message::{self, Mismatch};
use veristable_corpus::{Expectation, Message};
use veristable_kernel::{Kernel, errno_name};
use veristable_oracle::{Oracle, OracleError};

/// Whether an answer is what an annotation expects of the load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Met {
    /// The verdict is the expected one, and so are the messages.
    Yes,
    /// Something is not as expected.
    No(Departure),
    /// There is no answer, or not enough of it.
    Unknown,
}

/// What is not as an annotation expects it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Departure {
    /// It loads and should not.
    Loads,
    /// It is refused, with this error number, and should load.
    Refused(i32),
    /// An auxiliary program does not load, so nothing of the object does.
    Companion(String),
    /// The log is not as expected: in words, which message.
    Message(String),
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loads => f.write_str("loads, expected to be refused"),
            Self::Refused(errno) => match errno_name(*errno) {
                Some(name) => write!(f, "refused with {name}, expected to load"),
                None => write!(f, "refused with {errno}, expected to load"),
            },
            Self::Companion(id) => write!(f, "{id} does not load"),
            Self::Message(what) => f.write_str(what),
        }
    }
}

/// One program of an annotated set, compared and judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Our answer and the kernel's.
    pub finished: Finished,
    /// The annotation, by the kernel's answer; absent for auxiliary programs.
    pub kernel: Option<Met>,
    /// The annotation, by our answer.
    pub ours: Option<Met>,
}

/// Sums of judgements, of those tests that both sides answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AnnotationTable {
    /// Met by the kernel.
    pub kernel: Share,
    /// Met by us.
    pub ours: Share,
    /// Met by both.
    pub both: usize,
    /// Met by the kernel only.
    pub kernel_only: usize,
    /// Met by us only.
    pub ours_only: usize,
    /// Met by neither.
    pub neither: usize,
    /// Without an answer of one side, or with a log that was too long.
    pub unknown: usize,
}

impl AnnotationTable {
    /// The sums.
    pub fn of<'a>(judged: impl IntoIterator<Item = &'a Judged>) -> Self {
        let mut table = Self::default();
        for one in judged {
            if let (Some(kernel), Some(ours)) = (&one.kernel, &one.ours) {
                table.add(kernel, ours);
            }
        }
        table
    }

    fn add(&mut self, kernel: &Met, ours: &Met) {
        if *kernel == Met::Unknown || *ours == Met::Unknown {
            self.unknown += 1;
            return;
        }
        let (kernel, ours) = (*kernel == Met::Yes, *ours == Met::Yes);
        self.kernel.add(kernel);
        self.ours.add(ours);
        let cell = match (kernel, ours) {
            (true, true) => &mut self.both,
            (true, false) => &mut self.kernel_only,
            (false, true) => &mut self.ours_only,
            (false, false) => &mut self.neither,
        };
        *cell += 1;
    }

    /// Rows that continue a [`crate::Table`] in Markdown.
    #[must_use]
    pub fn to_rows(&self) -> String {
        let rows = [
            ("annotation met by the kernel", self.kernel.to_string()),
            ("annotation met by `veristable`", self.ours.to_string()),
            ("annotation met by both", self.both.to_string()),
            ("by the kernel only", self.kernel_only.to_string()),
            ("by `veristable` only", self.ours_only.to_string()),
            ("by neither", self.neither.to_string()),
            ("not judged: one side has no answer", self.unknown.to_string()),
        ];
        rows.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect()
    }
}

/// What one side says about a test, before its companions are looked at.
struct Side {
    /// Accepted, or refused with an error number; absent without an answer.
    said: Option<Said>,
    /// The messages in its own log; absent if the log is not there.
    log: Option<Result<(), String>>,
}

/// Loads every test at the level of its annotation (or at `level`), compares, and judges. `each` is
/// called after each batch with the number of tests that are done.
///
/// # Errors
/// The oracle cannot go on.
pub fn run_annotated(
    tests: &[Test],
    kernel: &(dyn Kernel + Sync),
    oracle: &mut dyn Oracle,
    options: RunOptions,
    level: Option<u32>,
    each: &mut dyn FnMut(usize),
) -> Result<Vec<Judged>, OracleError> {
    let mut levels: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, test) in tests.iter().enumerate() {
        levels.entry(level.unwrap_or(test.request.log.level)).or_default().push(index);
    }
    let mut done: Vec<Option<(Finished, [Side; 2])>> = tests.iter().map(|_| None).collect();
    let mut count = 0;
    for (log_level, indexes) in levels {
        let options = RunOptions { log_level, ..options };
        // Logs are long: of each batch only those stay that differ.
        for batch in indexes.chunks(options.batch.max(1)) {
            let of = |index: &usize| tests.get(*index);
            let case = |test: &Test| Case { id: test.id.clone(), request: test.request.clone() };
            let cases: Vec<Case> = batch.iter().filter_map(of).map(case).collect();
            let finished = run(&cases, kernel, oracle, options, &mut |_| {})?;
            count += finished.len();
            each(count);
            for (index, mut finished) in batch.iter().zip(finished) {
                let (Some(test), Some(slot)) = (tests.get(*index), done.get_mut(*index)) else {
                    continue;
                };
                let sides = sides(test, &finished);
                forget_logs(&mut finished);
                *slot = Some((finished, sides));
            }
        }
    }
    Ok(judge_all(tests, done))
}

fn judge_all(tests: &[Test], done: Vec<Option<(Finished, [Side; 2])>>) -> Vec<Judged> {
    let mut loads: [HashMap<&str, bool>; 2] = [HashMap::new(), HashMap::new()];
    for (test, slot) in tests.iter().zip(&done) {
        let Some((_, sides)) = slot else { continue };
        for (loads, side) in loads.iter_mut().zip(sides) {
            if let Some(said) = &side.said {
                loads.insert(&test.id, *said == Said::Accepted);
            }
        }
    }
    let judge = |(test, slot): (&Test, Option<(Finished, [Side; 2])>)| {
        let (finished, [kernel, ours]) = slot?;
        let met = |side: &Side, loads: &HashMap<&str, bool>| {
            let expectation = test.expectation.as_ref()?;
            // An auxiliary program that could not even be linked does not load either.
            let fails = |id: &str| loads.get(id) != Some(&true);
            let failed = test.companions.iter().find(|other| fails(&other.id));
            Some(met(expectation, side, failed.map(|other| (other.id.as_str(), other.first))))
        };
        let (kernel, ours) = (met(&kernel, &loads[0]), met(&ours, &loads[1]));
        Some(Judged { finished, kernel, ours })
    };
    tests.iter().zip(done).filter_map(judge).collect()
}

/// What the kernel and we say.
fn sides(test: &Test, finished: &Finished) -> [Side; 2] {
    let messages = test.expectation.as_ref().map_or(&[][..], |e| &e.messages);
    let side = |answer: Option<&Answer>| Side {
        said: answer.map(|answer| answer.said.clone()),
        log: answer.and_then(|answer| look(messages, answer, test.quiet)),
    };
    let kernel = match &finished.observation {
        Observation::Answered { answer, .. } => Some(answer),
        Observation::NoAnswer(_) => None,
    };
    let ours = match &finished.prediction {
        Prediction::Verdict(answer) => Some(answer),
        Prediction::Unsupported(_) => None,
    };
    [side(kernel), side(ours)]
}

/// Looks for messages in an answer's log, which a quiet test has only if it is refused.
fn look(messages: &[Message], answer: &Answer, quiet: bool) -> Option<Result<(), String>> {
    if messages.is_empty() || (quiet && answer.said == Said::Accepted) {
        return Some(check(b"", messages));
    }
    answer.log.as_ref().map(|log| check(log.as_bytes(), messages))
}

fn check(log: &[u8], messages: &[Message]) -> Result<(), String> {
    // Descriptors are left out of logs; the tests name those that their own loader happens to have.
    let plain = |m: &Message| Message { text: without_descriptors(&m.text), ..m.clone() };
    let messages: Vec<Message> = messages.iter().map(plain).collect();
    message::check(log, &messages).map_err(|mismatch| {
        let (what, index) = match mismatch {
            Mismatch::Missing(index) => ("is missing", index),
            Mismatch::Unexpected(index) => ("is there and must not be", index),
            Mismatch::WrongLine(index) => ("is on another line", index),
            Mismatch::BadPattern(index) => ("is no pattern", index),
        };
        let text = messages.get(index).map_or("", |message| message.text.as_str());
        format!("message {what}: {text}")
    })
}

/// Holds one side against an expectation. `failed` names an auxiliary program that does not load,
/// and whether it comes before the test.
fn met(expectation: &Expectation, side: &Side, failed: Option<(&str, bool)>) -> Met {
    let Some(said) = &side.said else { return Met::Unknown };
    let departure = match (said, failed) {
        (_, Some((id, _))) if !expectation.failure => Some(Departure::Companion(id.to_owned())),
        (Said::Rejected(errno), _) if !expectation.failure => Some(Departure::Refused(*errno)),
        (Said::Accepted, None) if expectation.failure => Some(Departure::Loads),
        _ => None,
    };
    if let Some(departure) = departure {
        return Met::No(departure);
    }
    let log = match failed {
        Some((_, true)) => Some(check(b"", &expectation.messages)),
        _ => side.log.clone(),
    };
    match log {
        Some(Ok(())) => Met::Yes,
        Some(Err(what)) => Met::No(Departure::Message(what)),
        None => Met::Unknown,
    }
}

/// Keeps logs only where they differ, to be shown.
fn forget_logs(finished: &mut Finished) {
    let odd = finished.comparison.log == Match::Different;
    if odd || finished.comparison.class == Class::FalseAccept {
        return;
    }
    if let Prediction::Verdict(answer) = &mut finished.prediction {
        answer.log = None;
    }
    if let Observation::Answered { answer, .. } = &mut finished.observation {
        answer.log = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expectation(failure: bool, message: &str) -> Expectation {
        let text = message.to_owned();
        let messages = vec![Message { text, negative: false, on_next_line: false }];
        Expectation { failure, messages, ..Expectation::default() }
    }

    fn side(said: Said, log: &str, expectation: &Expectation) -> Side {
        let answer =
            Answer { said, message: String::new(), counts: None, log: Some(log.to_owned()) };
        Side { said: Some(answer.said.clone()), log: look(&expectation.messages, &answer, false) }
    }

    #[test]
    fn verdict_and_messages_are_expected() {
        let failure = expectation(true, "R1 !read_ok");
        let success = expectation(false, "R0=1");
        let judge = |e: &Expectation, said, log: &str, failed| met(e, &side(said, log, e), failed);
        let refused = || Said::Rejected(13);
        assert_eq!(judge(&failure, refused(), "R1 !read_ok\n", None), Met::Yes);
        assert_eq!(judge(&failure, Said::Accepted, "", None), Met::No(Departure::Loads));
        assert!(matches!(
            judge(&failure, refused(), "R2 !read_ok\n", None),
            Met::No(Departure::Message(_))
        ));
        assert_eq!(judge(&success, refused(), "R0=1", None), Met::No(Departure::Refused(13)));
        assert_eq!(judge(&success, Said::Accepted, "R0=1", None), Met::Yes);
        let descriptor = expectation(true, "fd 1 is not pointing to valid bpf_map");
        let log = "fd N is not pointing to valid bpf_map\n";
        assert_eq!(judge(&descriptor, refused(), log, None), Met::Yes);
        let nothing = Side { said: None, log: None };
        assert_eq!(met(&success, &nothing, None), Met::Unknown);
    }

    #[test]
    fn a_companion_that_fails_fails_the_load() {
        let failure = expectation(true, "R1 !read_ok");
        let success = expectation(false, "R0=1");
        let accepted = side(Said::Accepted, "R0=1", &success);
        let departure = Departure::Companion("aux".to_owned());
        assert_eq!(met(&success, &accepted, Some(("aux", false))), Met::No(departure));
        let refused = side(Said::Rejected(13), "R1 !read_ok", &failure);
        assert_eq!(met(&failure, &refused, Some(("aux", false))), Met::Yes);
        // It came first, so the test was not loaded and has no log.
        assert!(matches!(
            met(&failure, &refused, Some(("aux", true))),
            Met::No(Departure::Message(_))
        ));
    }

    #[test]
    fn sums() {
        let mut table = AnnotationTable::default();
        let no = || Met::No(Departure::Loads);
        for (kernel, ours) in [
            (Met::Yes, Met::Yes),
            (Met::Yes, no()),
            (no(), Met::Yes),
            (no(), no()),
            (Met::Unknown, Met::Yes),
        ] {
            table.add(&kernel, &ours);
        }
        assert_eq!((table.both, table.kernel_only, table.ours_only, table.neither), (1, 1, 1, 1));
        assert_eq!((table.kernel.hits, table.kernel.of, table.unknown), (2, 4, 1));
        assert!(table.to_rows().contains("| annotation met by both | 1 |"));
    }
}
