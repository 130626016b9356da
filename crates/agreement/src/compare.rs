// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! One program: what was predicted beside what a kernel said.

use serde::{Deserialize, Serialize};

/// Counts that both sides print.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Instructions processed over all paths.
    pub processed_insns: u64,
    /// States stored at one instruction, at most.
    pub max_states_per_insn: u64,
    /// States stored.
    pub total_states: u64,
    /// States alive at once, at most.
    pub peak_states: u64,
}

/// What is said about a program, by us or by a kernel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Said {
    /// It loads.
    Accepted,
    /// It is refused with this positive error number.
    Rejected(i32),
}

/// Our answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Prediction {
    /// A verdict.
    Verdict(Answer),
    /// No verdict, by name of what is missing.
    Unsupported(String),
}

/// A verdict with what came with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The verdict.
    pub said: Said,
    /// The message of a rejection: see the design's definition.
    pub message: String,
    /// Counts, if the verifier got as far as printing them.
    pub counts: Option<Counts>,
    /// The log, normalised, if it was compared.
    pub log: Option<String>,
}

/// A kernel's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Observation {
    /// The verifier ran, or the load's gate refused before it.
    Answered {
        /// Whether the verifier itself was reached.
        reached: bool,
        /// The verdict.
        answer: Answer,
    },
    /// The program never reached the load, or the machine did not survive it.
    NoAnswer(String),
}

/// How one part of two answers compares.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Match {
    /// Equal.
    Same,
    /// Different.
    Different,
    /// One side has nothing to compare.
    NotCompared,
}

impl Match {
    fn of<T: PartialEq>(a: Option<T>, b: Option<T>) -> Self {
        match (a, b) {
            (Some(a), Some(b)) if a == b => Self::Same,
            (Some(_), Some(_)) => Self::Different,
            _ => Self::NotCompared,
        }
    }
}

/// The class of a pair of verdicts. Only the first four have both sides.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Class {
    /// Both accept.
    BothAccept,
    /// Both refuse, with the same error number.
    BothReject,
    /// Both refuse, with different error numbers.
    ErrnoDiffers,
    /// We refuse what the kernel accepts.
    FalseReject,
    /// We accept what the kernel refuses: a security bug.
    FalseAccept,
    /// We do not decide what the kernel accepts.
    UnsupportedAccepted,
    /// We do not decide what the kernel refuses.
    UnsupportedRejected,
    /// The kernel gave no answer.
    NoAnswer,
}

impl Class {
    /// Whether the class is a disagreement of verdicts.
    #[must_use]
    pub fn disagrees(self) -> bool {
        matches!(self, Self::ErrnoDiffers | Self::FalseReject | Self::FalseAccept)
    }

    /// A stable word for lists and tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::BothAccept => "both-accept",
            Self::BothReject => "both-reject",
            Self::ErrnoDiffers => "errno-differs",
            Self::FalseReject => "false-reject",
            Self::FalseAccept => "false-accept",
            Self::UnsupportedAccepted => "unsupported-accepted",
            Self::UnsupportedRejected => "unsupported-rejected",
            Self::NoAnswer => "no-answer",
        }
    }
}

/// One program's comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Comparison {
    /// Verdicts.
    pub class: Class,
    /// Whether the kernel's verifier was reached.
    pub reached: bool,
    /// Messages, where both refuse.
    pub message: Match,
    /// Processed instructions, where the verdicts agree.
    pub processed: Match,
    /// All counts, where the verdicts agree.
    pub counts: Match,
    /// Logs, where the verdicts agree.
    pub log: Match,
}

/// Compares a prediction with an observation.
#[must_use]
pub fn compare(prediction: &Prediction, observation: &Observation) -> Comparison {
    let none = Comparison {
        class: Class::NoAnswer,
        reached: false,
        message: Match::NotCompared,
        processed: Match::NotCompared,
        counts: Match::NotCompared,
        log: Match::NotCompared,
    };
    let Observation::Answered { reached, answer: theirs } = observation else { return none };
    let reached = *reached;
    let ours = match prediction {
        Prediction::Verdict(answer) => answer,
        Prediction::Unsupported(_) => {
            let class = match theirs.said {
                Said::Accepted => Class::UnsupportedAccepted,
                Said::Rejected(_) => Class::UnsupportedRejected,
            };
            return Comparison { class, reached, ..none };
        }
    };
    let class = match (&ours.said, &theirs.said) {
        (Said::Accepted, Said::Accepted) => Class::BothAccept,
        (Said::Rejected(a), Said::Rejected(b)) if a == b => Class::BothReject,
        (Said::Rejected(_), Said::Rejected(_)) => Class::ErrnoDiffers,
        (Said::Rejected(_), Said::Accepted) => Class::FalseReject,
        (Said::Accepted, Said::Rejected(_)) => Class::FalseAccept,
    };
    let both_reject = matches!(class, Class::BothReject | Class::ErrnoDiffers);
    let agree = both_reject || class == Class::BothAccept;
    if !agree {
        return Comparison { class, reached, ..none };
    }
    Comparison {
        class,
        reached,
        message: if both_reject {
            Match::of(Some(&ours.message), Some(&theirs.message))
        } else {
            Match::NotCompared
        },
        processed: Match::of(
            ours.counts.map(|c| c.processed_insns),
            theirs.counts.map(|c| c.processed_insns),
        ),
        counts: Match::of(ours.counts, theirs.counts),
        log: Match::of(ours.log.as_deref(), theirs.log.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(said: Said, message: &str, processed_insns: u64) -> Answer {
        let counts = Counts { processed_insns, ..Counts::default() };
        Answer { said, message: message.into(), counts: Some(counts), log: None }
    }

    #[test]
    fn every_pair_of_verdicts_has_its_class() {
        let verdict = |said| Prediction::Verdict(answer(said, "m", 3));
        let observed = |said| Observation::Answered { reached: true, answer: answer(said, "m", 3) };
        let check = |p: Prediction, o: Observation, class: Class, message, processed| {
            let got = compare(&p, &o);
            assert_eq!((got.class, got.message, got.processed), (class, message, processed));
        };
        use Match::{NotCompared, Same};
        use Said::{Accepted, Rejected};
        let none = NotCompared;
        check(verdict(Accepted), observed(Accepted), Class::BothAccept, none, Same);
        check(verdict(Rejected(13)), observed(Rejected(13)), Class::BothReject, Same, Same);
        check(verdict(Rejected(22)), observed(Rejected(13)), Class::ErrnoDiffers, Same, Same);
        check(verdict(Rejected(22)), observed(Accepted), Class::FalseReject, none, none);
        check(verdict(Accepted), observed(Rejected(22)), Class::FalseAccept, none, none);
        let unsupported = || Prediction::Unsupported("x".into());
        check(unsupported(), observed(Accepted), Class::UnsupportedAccepted, none, none);
        check(unsupported(), observed(Rejected(1)), Class::UnsupportedRejected, none, none);
        let silent = Observation::NoAnswer("timed out".into());
        check(verdict(Accepted), silent, Class::NoAnswer, none, none);
    }

    #[test]
    fn a_different_message_or_count_is_seen() {
        let ours = Prediction::Verdict(answer(Said::Rejected(13), "a", 3));
        let theirs = answer(Said::Rejected(13), "b", 4);
        let got = compare(&ours, &Observation::Answered { reached: true, answer: theirs });
        assert_eq!((got.message, got.processed), (Match::Different, Match::Different));
    }
}
