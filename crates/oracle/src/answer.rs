// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What is asked of an oracle and what it answers.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use veristable_program::{Blob, LoadRequest};

use crate::error::{OracleError, errno_name};
use crate::log::{self, Stats};

/// A real kernel that says whether it loads a program.
pub trait Oracle {
    /// The name that [`crate::open`] takes, e.g. `live` or `vm:6.18.15`.
    fn name(&self) -> &str;

    /// Release of the kernel, as `uname -r` prints it.
    fn kernel(&self) -> &str;

    /// Asks about a batch of programs. `each` is called once per request, with its index, as soon
    /// as the answer is there; with several guests the order is not that of the batch.
    ///
    /// # Errors
    /// The oracle cannot go on at all. What concerns one program is an [`Answer`].
    fn load(
        &mut self,
        batch: &[&LoadRequest],
        options: &LoadOptions,
        each: &mut dyn FnMut(usize, Answer),
    ) -> Result<(), OracleError>;

    /// The contents of a file of the oracle's machine, such as `/sys/kernel/btf/vmlinux` or
    /// `/proc/kallsyms`.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read.
    fn read_file(&mut self, path: &str) -> Result<Vec<u8>, OracleError>;
}

/// How programs are loaded. Overrides the log that the request itself asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LoadOptions {
    /// `log_level`: 1 and 2 verbosity, 4 statistics, 8 fixed buffer; 0 without a log.
    ///
    /// The default, 4, gives the message of a rejection and the statistics, without the trace.
    pub log_level: u32,
    /// Largest log in bytes. A longer one is reported as truncated, not as a refusal.
    pub log_size: u32,
    /// Time that one program may take, its maps included.
    pub timeout: Duration,
    /// Whether to fetch the rewritten instructions of loaded programs.
    pub want_xlated: bool,
    /// Whether to measure the kernel's memory, see [`Memory`]. Such answers are not remembered.
    pub want_memory: bool,
}

impl LoadOptions {
    /// Default and upper limit of [`LoadOptions::log_size`]: 64 MiB.
    pub const MAX_LOG: u32 = 64 << 20;
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            log_level: 4,
            log_size: Self::MAX_LOG,
            timeout: Duration::from_secs(20),
            want_xlated: false,
            want_memory: false,
        }
    }
}

/// What one load took of the kernel's memory: how far the peak of a fresh control group
/// (`memory.peak`, cgroup v2) rises above what was in use before `BPF_PROG_LOAD`.
///
/// Maps and BTF exist by then and do not count; what the program itself keeps does. Kernels charge
/// groups 64 pages at a time, so that less than 256 KiB on 4-KiB pages says little. The verifier's
/// states are charged by 6.18 and not by 6.12.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub enum Memory {
    /// It was not measured.
    #[default]
    NotAsked,
    /// So many bytes.
    Rise(u64),
    /// It cannot be measured there.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// What became of one load.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// The kernel loaded the program (it was closed again at once, never attached or run).
    Loaded,
    /// `BPF_PROG_LOAD` failed. Whether the verifier said so, or something before it, is
    /// [`Answer::reached_verifier`].
    Refused {
        /// Positive error number.
        errno: i32,
    },
    /// The question never got as far as `BPF_PROG_LOAD`: a map could not be created, BTF was
    /// refused, a module is not there, the program is on the danger list.
    Environment {
        /// Why, in one sentence.
        reason: String,
    },
    /// The load was killed because it took longer than [`LoadOptions::timeout`].
    TimedOut,
    /// The kernel, or the process inside it, died of this program.
    Crashed {
        /// What the kernel's log or console says.
        splat: String,
    },
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loaded => f.write_str("loaded"),
            Self::Refused { errno } => write!(f, "refused: {}", errno_name(*errno)),
            Self::Environment { reason } => write!(f, "not asked: {reason}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Crashed { .. } => f.write_str("crashed"),
        }
    }
}

/// An oracle's answer about one program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// The verifier's log, byte for byte, without the terminating zero.
    #[serde(skip)]
    pub log: Vec<u8>,
    /// The level at which [`Answer::log`] was taken: lower than asked for if that log did not fit.
    pub log_level: u32,
    /// Bytes that the whole log of the level asked for needs, with the terminating zero; `None`
    /// where the kernel does not tell (before 6.4).
    pub log_true_size: Option<u32>,
    /// The log of the level asked for did not fit. [`Answer::log`] is then that of a second load
    /// at level 4, which holds message and statistics.
    pub log_truncated: bool,
    /// Wall time of the system call, in nanoseconds.
    pub wall_ns: u64,
    /// The kernel's own measure (`verification time`), in microseconds; needs log level 4.
    #[serde(skip)]
    pub verification_us: Option<u64>,
    /// The verifier's statistics line; needs any log level.
    #[serde(skip)]
    pub stats: Option<Stats>,
    /// `verified_insns` of the loaded program (5.16 and later).
    pub verified_insns: Option<u32>,
    /// The rewritten instructions of the loaded program, if wanted.
    pub xlated: Option<Blob>,
    /// A warning that the kernel printed while it judged this program (`WARNING:`, `BUG:`,
    /// `verifier bug`), although it went on.
    pub splat: Option<String>,
    /// Memory that the load took. It travels beside the answer, whose kept form is older.
    #[serde(skip)]
    pub memory: Memory,
}

impl Answer {
    /// An answer that has nothing but a verdict.
    #[must_use]
    pub fn bare(verdict: Verdict) -> Self {
        Self {
            verdict,
            log: Vec::new(),
            log_level: 0,
            log_true_size: None,
            log_truncated: false,
            wall_ns: 0,
            verification_us: None,
            stats: None,
            verified_insns: None,
            xlated: None,
            splat: None,
            memory: Memory::NotAsked,
        }
    }

    /// An answer for a program that never reached the load.
    pub(crate) fn environment(reason: impl Into<String>) -> Self {
        Self::bare(Verdict::Environment { reason: reason.into() })
    }

    /// Adds the log and what it says.
    pub(crate) fn with_log(mut self, log: Vec<u8>) -> Self {
        let text = String::from_utf8_lossy(&log);
        self.stats = log::stats(&text);
        self.verification_us = log::verification_time(&text);
        drop(text);
        self.log = log;
        self
    }

    /// The log as text; bytes that are not UTF-8 (a program may name things so) are replaced.
    #[must_use]
    pub fn log_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.log)
    }

    /// Whether the verifier itself judged the program: its log has the `processed N insns` line.
    /// Always `false` for a load without a log.
    #[must_use]
    pub fn reached_verifier(&self) -> bool {
        self.stats.is_some()
    }
}
