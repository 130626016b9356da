// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What `verify` answers, and how its parts stop early.

use crate::errno::Errno;
use crate::mem::Text;
use crate::messages::Message;
use alloc::vec::Vec;
use core::fmt;
use veristable_kernel::Fact;

/// The answer to one load request.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// The kernel loads the program.
    Accepted(Accepted),
    /// The kernel refuses the program.
    Rejected(Rejected),
    /// The program needs something that this verifier does not know yet.
    Unsupported(Feature),
    /// The verdict depends on a fact that the description of the kernel does not hold.
    UnknownFact(Fact),
    /// The verification did not come to an end.
    Aborted(Abort),
}

impl Outcome {
    /// Whether the kernel loads the program.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }

    /// The statistics, where the verifier proper was reached.
    #[must_use]
    pub const fn stats(&self) -> Option<&Stats> {
        match self {
            Self::Accepted(Accepted { stats, .. }) => Some(stats),
            Self::Rejected(Rejected { stats, .. }) => stats.as_ref(),
            _ => None,
        }
    }
}

/// A loaded program.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Accepted {
    /// What the verification took.
    pub stats: Stats,
}

/// A refused program.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Rejected {
    /// The error number.
    pub errno: Errno,
    /// What the kernel says: the messages since the last instruction, state or source line. Empty
    /// where it says nothing. What it says at the log levels 1 and 2 alone is here if the observer
    /// wants these.
    pub messages: Vec<Message>,
    /// The instruction (slot index) that was looked at, if it was one.
    pub insn: Option<u32>,
    /// What the verification took; `None` if the system call refused the program before the
    /// verifier began to work.
    pub stats: Option<Stats>,
}

/// The statistics that the kernel prints at the end of its log (`print_verification_stats`).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Instructions simulated, each as often as it was.
    pub processed_insns: u32,
    /// The most checkpoints kept in one hash bucket.
    pub max_states_per_insn: u32,
    /// Checkpoints made.
    pub total_states: u32,
    /// Checkpoints kept at once at most.
    pub peak_states: u32,
    /// Longest walk of read marks; 0 from 6.18 on.
    pub mark_read: u32,
    /// Stack bytes of each subprogram.
    pub stack_depths: Vec<u32>,
}

/// Something that is not built yet.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Feature {
    /// Its name, stable: reports count by it.
    pub name: &'static str,
    /// Which one, e.g. the name of the helper. Often empty.
    pub detail: Text,
    /// The instruction (slot index) that needs it.
    pub insn: Option<u32>,
}

impl Feature {
    /// A feature without detail or place.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, detail: Text::default(), insn: None }
    }

    /// With a detail.
    #[must_use]
    pub fn of(name: &'static str, detail: impl Into<Text>) -> Self {
        Self { name, detail: detail.into(), insn: None }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if !self.detail.as_str().is_empty() {
            write!(f, " {}", self.detail)?;
        }
        match self.insn {
            Some(insn) => write!(f, " (instruction {insn})"),
            None => Ok(()),
        }
    }
}

/// Why a verification did not come to an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Abort {
    /// The memory budget is used up.
    Memory {
        /// The budget in bytes.
        limit: usize,
    },
    /// The allocator has nothing left.
    OutOfMemory,
    /// The fuel is used up.
    Fuel,
    /// The caller said so.
    Cancelled,
    /// A mistake of this crate, found in time.
    Internal(&'static str),
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { limit } => write!(f, "memory budget of {limit} bytes used up"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Fuel => f.write_str("fuel used up"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Internal(what) => write!(f, "internal error: {what}"),
        }
    }
}

/// Why a part of the verification stops early. The message of a rejection has been said by then
/// ([`crate::env::Env::reject`]), so that this stays small.
#[derive(Clone, PartialEq, Debug)]
pub enum Stop {
    /// The kernel refuses.
    Rejected(Errno),
    /// Not built yet.
    Unsupported(Feature),
    /// A missing fact.
    UnknownFact(Fact),
    /// No end.
    Aborted(Abort),
}

impl From<Abort> for Stop {
    fn from(abort: Abort) -> Self {
        Self::Aborted(abort)
    }
}

impl From<Feature> for Stop {
    fn from(feature: Feature) -> Self {
        Self::Unsupported(feature)
    }
}

impl From<Fact> for Stop {
    fn from(fact: Fact) -> Self {
        Self::UnknownFact(fact)
    }
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Rejected(errno)
    }
}

/// The result of a part of the verification.
pub type Step<T = ()> = Result<T, Stop>;
