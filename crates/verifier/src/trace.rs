// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What can be watched while a program is verified.
//!
//! The verifier emits [`Event`]s to one [`Observer`]. An observer's [`Level`] is a constant, so
//! that for [`Silent`] every event, and everything computed only for it, compiles to nothing. The
//! kernel's log ([`crate::log::KernelLog`]) is one observer; reports for people are others.

use crate::errno::Errno;
use crate::messages::Message;
use crate::outcome::Stats;
use core::fmt;

/// How much an observer wants to see. Each level includes those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Nothing at all.
    None,
    /// Messages and statistics: what the kernel logs at any level that is not 0.
    Messages,
    /// Instructions, source lines and changed state along the current path (kernel level 1).
    Path,
    /// All paths with their full states, and the results of the analyses (kernel level 2).
    Full,
}

/// A point in the observer's record, to which it can be asked to return.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Mark(pub u64);

/// Watches a verification.
pub trait Observer {
    /// The highest level that this type of observer can ever want; events above it are not even
    /// compiled.
    const LEVEL: Level;

    /// Whether events of this level are wanted now; never for more than [`Observer::LEVEL`].
    #[inline]
    fn wants(&self, level: Level) -> bool {
        level <= Self::LEVEL
    }

    /// Something happened. Called with events of any level up to [`Observer::LEVEL`].
    fn event(&mut self, event: Event<'_>);

    /// Where the record ends now. Kept with each pending branch and given back with
    /// [`Event::Rewind`] when the branch is taken up.
    fn mark(&self) -> Mark {
        Mark(0)
    }

    /// The verification is over. The kernel returns this error instead of the verdict, even
    /// instead of another error (`bpf_vlog_finalize` at the end of `bpf_check`).
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the log was cut off.
    fn finish(&mut self) -> Result<(), Errno> {
        Ok(())
    }
}

/// The observer that sees nothing.
#[derive(Clone, Copy, Default, Debug)]
pub struct Silent;

impl Observer for Silent {
    const LEVEL: Level = Level::None;
    #[inline]
    fn wants(&self, _: Level) -> bool {
        false
    }
    #[inline]
    fn event(&mut self, _: Event<'_>) {}
}

/// A verifier state that can be written in the kernel's words (`print_verifier_state`).
pub trait StateText {
    /// Writes it, without a newline. `all`: every register and slot, not only those touched since
    /// the last time.
    ///
    /// # Errors
    ///
    /// What the sink returns.
    fn write(&self, all: bool, out: &mut dyn fmt::Write) -> fmt::Result;
}

/// Something that happened. The comment on each names the lowest level at which it is emitted.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A message, fatal or not (messages).
    Message(&'a Message),
    /// Where a subprogram begins: `func#1 @7` (full).
    Subprogram {
        /// Its number.
        index: u32,
        /// Its first instruction.
        start: u32,
    },
    /// The registers alive before each instruction follow, one event each (full).
    LiveRegistersHeading,
    /// The registers alive before an instruction (full).
    LiveRegisters {
        /// The instruction.
        index: u32,
        /// Its strongly connected component, 0 if it is in none.
        scc: u32,
        /// Bit n: register n is alive.
        live: u16,
        /// The instruction's text, without a newline.
        insn: &'a dyn fmt::Display,
    },
    /// The source line of the next instruction, if it is another one than before (messages; the
    /// kernel prints it with every level that is not 0). See [`crate::env::Env::source_line`].
    Source {
        /// What stands before the line, `; ` for the next instruction.
        prefix: &'a dyn fmt::Display,
        /// The line's text without leading white space.
        text: &'a str,
        /// The file's name without directories.
        file: &'a str,
        /// The line's number, from 1.
        line: u32,
    },
    /// The next instruction is simulated (path).
    Insn {
        /// Its index.
        index: u32,
        /// Its text, without a newline.
        text: &'a dyn fmt::Display,
    },
    /// What an instruction changed: `print_insn_state` (path).
    InsnState {
        /// The instruction that will be simulated next or is being simulated.
        index: u32,
        /// The state; only what was touched is printed.
        state: &'a dyn StateText,
    },
    /// A pending branch is taken up: `from 3 to 7:` with the full state (full).
    From {
        /// The instruction that forked.
        from: u32,
        /// Where the branch goes.
        to: u32,
        /// Whether the processor would only get there by misprediction.
        speculative: bool,
        /// The state there.
        state: &'a dyn StateText,
    },
    /// The path ends in a state that was checked before (path).
    Safe {
        /// The instruction.
        index: u32,
        /// For a branch just taken up: where it came from.
        from: Option<u32>,
        /// Whether the processor would only get there by misprediction.
        speculative: bool,
    },
    /// A heading and a state, each on its own line: `caller:`, `callee:`, `cur state:` (messages
    /// for the infinite loop, else path or full as the emitter tests).
    State {
        /// The heading, with its line end if it has one.
        heading: &'a str,
        /// The state.
        state: &'a dyn StateText,
        /// Whether all of it is printed.
        all: bool,
    },
    /// A line, or a piece of one with its own line end, that has no typed form: precision
    /// tracking, liveness, components (the emitter tests the level).
    Text(&'a dyn fmt::Display),
    /// Go back: what was recorded after the mark belongs to a path that ended well. Observers at
    /// [`Level::Full`] keep it.
    Rewind(Mark),
    /// A pass (the main program or a global function) ended well; same remark.
    PassAccepted,
    /// The figures at the end (messages).
    Stats(&'a Stats),
}
