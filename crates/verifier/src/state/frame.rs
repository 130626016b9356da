// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! One function on the call chain.

use super::store::StackId;
use super::{RegState, bits};
use crate::env::SubprogId;
use crate::outcome::Abort;

/// Registers: R0 to R9 and the frame pointer (`MAX_BPF_REG`).
pub const REGS: usize = 11;

/// Registers that a call destroys: R0 to R5 (`CALLER_SAVED_REGS`).
pub const CALLER_SAVED: u8 = 6;

/// The same, one bit each.
pub const CALLER_SAVED_MASK: u16 = (1 << CALLER_SAVED) - 1;

/// Functions on one call chain at most (`MAX_CALL_FRAMES`).
pub const MAX_FRAMES: usize = 8;

/// Where a function was called from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Callsite {
    /// It is the main program or a global function checked by itself (`BPF_MAIN_FUNC`).
    Main,
    /// The asynchronous callback's entry (`BPF_MAIN_FUNC` too).
    Async,
    /// A call instruction.
    Insn(u32),
}

impl Callsite {
    /// The kernel's number: the instruction, or -1.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Main | Self::Async => u32::MAX,
            Self::Insn(insn) => insn,
        }
    }
}

bitflags::bitflags! {
    /// What kind of call it is.
    #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
    pub struct FrameFlags: u8 {
        /// A synchronous callback.
        const IN_CALLBACK = 1 << 0;
        /// An asynchronous callback.
        const IN_ASYNC_CALLBACK = 1 << 1;
        /// The exception callback.
        const IN_EXCEPTION_CALLBACK = 1 << 2;
    }
}

/// One function on the call chain (`struct bpf_func_state`).
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// R0 to R10.
    pub regs: [RegState; REGS],
    /// Its stack in the store.
    pub(super) stack: Option<StackId>,
    /// Where it was called.
    pub callsite: Callsite,
    /// Its place on the call chain, from 0.
    pub number: u8,
    /// Which subprogram it is.
    pub subprog: SubprogId,
    /// Entries into asynchronous callbacks so far.
    pub async_entries: u32,
    /// What a callback may return.
    pub callback_range: (i32, i32),
    /// What kind of call it is.
    pub flags: FrameFlags,
    /// Simulated iterations of the callback that it calls.
    pub callback_depth: u32,
}

impl Frame {
    /// A function at its entry: nothing but its frame pointer is readable (`init_func_state`).
    #[must_use]
    pub const fn new(callsite: Callsite, number: u8, subprog: SubprogId) -> Self {
        let mut regs = [RegState::NOT_INIT; REGS];
        let [.., fp] = &mut regs;
        *fp = RegState::frame_pointer(number);
        Self {
            regs,
            stack: None,
            callsite,
            number,
            subprog,
            async_entries: 0,
            callback_range: (0, 0),
            flags: FrameFlags::empty(),
            callback_depth: 0,
        }
    }

    /// Those of some registers, one bit each, that hold numbers.
    #[must_use]
    pub fn scalars_of(&self, regs: u16) -> u16 {
        let is_scalar = |reg: &u32| self.regs.get(*reg as usize).is_some_and(RegState::is_scalar);
        bits(regs.into()).filter(is_scalar).fold(0, |mask, reg| mask | 1 << reg)
    }

    /// A register, which must exist.
    ///
    /// # Errors
    /// [`Abort::Internal`] if it does not.
    #[inline]
    pub fn reg(&self, number: usize) -> Result<&RegState, Abort> {
        self.regs.get(number).ok_or(Abort::Internal("no such register"))
    }

    /// A register, which must exist.
    ///
    /// # Errors
    /// [`Abort::Internal`] if it does not.
    #[inline]
    pub fn reg_mut(&mut self, number: usize) -> Result<&mut RegState, Abort> {
        self.regs.get_mut(number).ok_or(Abort::Internal("no such register"))
    }
}
