// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! States set aside for comparison.

use super::{Linked, MAX_FRAMES, State};
use crate::mem::Id;

/// What is said of a frame of a checkpoint after it was made: registers R0 to R9 and the slots of
/// its stack, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FrameMarks {
    /// Numbers in registers that must be matched exactly.
    pub precise_regs: u16,
    /// Registers that are never read again.
    pub dead_regs: u16,
    /// Spilled numbers that must be matched exactly.
    pub precise_slots: u64,
    /// Slots that are never read again.
    pub dead_slots: u64,
}

impl FrameMarks {
    /// Whether a register's number must be matched exactly.
    #[must_use]
    pub const fn is_precise_reg(&self, reg: usize) -> bool {
        reg < 16 && self.precise_regs & 1 << reg != 0
    }

    /// Whether a spilled number must be matched exactly.
    #[must_use]
    pub const fn is_precise_slot(&self, slot: usize) -> bool {
        slot < 64 && self.precise_slots & 1 << slot != 0
    }

    /// Whether a register is dead.
    #[must_use]
    pub const fn is_dead_reg(&self, reg: usize) -> bool {
        reg < 16 && self.dead_regs & 1 << reg != 0
    }

    /// Whether a slot is dead.
    #[must_use]
    pub const fn is_dead_slot(&self, slot: usize) -> bool {
        slot < 64 && self.dead_slots & 1 << slot != 0
    }
}

/// The marks of all frames of a state.
pub type StateMarks = [FrameMarks; MAX_FRAMES];

/// A state set aside (`struct bpf_verifier_state_list`).
#[derive(Debug)]
pub struct Checkpoint {
    /// The state.
    pub state: State,
    /// What was found out about it since.
    pub marks: StateMarks,
    /// The next older one in its bucket.
    pub next: Option<CheckpointId>,
    /// How often it did not match.
    pub misses: u32,
    /// How often it matched.
    pub hits: u32,
    /// No longer compared; kept only for its children.
    pub retired: bool,
    /// Its dead registers and slots are known.
    pub cleaned: bool,
    /// What told it from the last state that it did not match, which is likely to tell it from the next
    /// one too.
    pub differed: Option<Linked>,
}

/// A checkpoint's place in the arena.
pub type CheckpointId = Id<Checkpoint>;
