// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The model that every format renders.

use core::fmt;
use serde::{Deserialize, Serialize};

/// What was found about one program on one kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The kernel loads it.
    Accepted,
    /// The kernel's verifier refuses it.
    Rejected,
    /// A loader cannot link it for this kernel, so the verifier is never asked.
    NotLoadable,
    /// Not decided: it needs a feature or a fact that veristable does not have yet.
    Unsupported,
}

impl Verdict {
    /// The word used in text and JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::NotLoadable => "not-loadable",
            Self::Unsupported => "unsupported",
        }
    }
}

/// The verifier's counts, as the kernel prints them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Instructions processed over all paths.
    pub processed_insns: u64,
    /// States stored for pruning.
    pub total_states: u64,
    /// States alive at the same time, at most.
    pub peak_states: u64,
    /// States stored at one instruction, at most.
    pub max_states_per_insn: u64,
}

/// A place in the program's source, from its line info.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceLine {
    /// File name as the compiler recorded it.
    pub file: String,
    /// Line, counted from 1.
    pub line: u32,
    /// Column, counted from 1; 0 if unknown.
    pub column: u32,
    /// The line itself.
    pub text: String,
}

/// The instruction that a message is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Instruction {
    /// Index in the linked program.
    pub index: u32,
    /// Its text as the kernel's log prints it.
    pub text: String,
    /// Where it comes from, if the object says so.
    pub source: Option<SourceLine>,
}

/// What a kernel that refuses lacks, where that is the reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Missing {
    /// What kind of thing: `helper`, `kfunc`, `map type`, `instruction`, `behaviour`, …
    pub kind: String,
    /// Its name; several behaviours are joined by `, `.
    pub name: String,
    /// In what way it is missing.
    pub why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.kind {
            // A kernel may refuse because it behaves so, or because it does not.
            "behaviour" => write!(f, "differs in behaviour {}", self.name),
            // The name says what it is.
            "attach target" => write!(f, "lacks {}", self.name),
            kind => write!(f, "lacks {kind} {}", self.name),
        }
    }
}

/// The result for one program and one kernel.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The file as it was given.
    pub file: String,
    /// Program name.
    pub program: String,
    /// ELF section.
    pub section: String,
    /// Program type, in the lower-case spelling of the kernel's constants.
    pub prog_type: String,
    /// Expected attach type, likewise; empty if there is none.
    pub attach_type: String,
    /// Kernel name.
    pub kernel: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Error number of a rejection, positive.
    pub errno: Option<i32>,
    /// The kernel's message, the link error, or the missing feature.
    pub message: Option<String>,
    /// The instruction concerned.
    pub insn: Option<Instruction>,
    /// What the kernel lacks, where that is the reason.
    pub missing: Option<Missing>,
    /// Instructions of the linked program.
    pub program_insns: u64,
    /// Counts, where the verifier ran.
    pub stats: Option<Stats>,
    /// Time of the verification in microseconds.
    pub time_us: Option<u64>,
    /// The kernel-format log, if it was asked for.
    pub log: Option<String>,
}

/// Counts of verdicts over many rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Accepted.
    pub accepted: usize,
    /// Rejected by the verifier.
    pub rejected: usize,
    /// Not loadable.
    pub not_loadable: usize,
    /// Not decided.
    pub unsupported: usize,
}

impl Summary {
    /// Counts one more row.
    pub fn add(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Accepted => self.accepted += 1,
            Verdict::Rejected => self.rejected += 1,
            Verdict::NotLoadable => self.not_loadable += 1,
            Verdict::Unsupported => self.unsupported += 1,
        }
    }

    /// Exit status of `veristable check`: 0 all accepted, 1 something rejected or not loadable,
    /// 3 nothing rejected but something unsupported.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match (self.rejected + self.not_loadable, self.unsupported) {
            (0, 0) => 0,
            (0, _) => 3,
            _ => 1,
        }
    }
}
