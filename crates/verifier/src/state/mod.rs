// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the simulation knows at one point of one path.
//!
//! A [`State`] is a call chain of [`Frame`]s, each with eleven [`RegState`]s and a stack of
//! [`Slot`]s. Frames and stacks live in a [`Store`]: whoever copies a state shares them, and a
//! shared one is cloned when it is written. What changes after a state was set aside, precision
//! and death, stands in bit sets beside it ([`FrameMarks`]) and never in what is shared.

mod checkpoint;
mod frame;
mod history;
mod refs;
mod reg;
mod stack;
mod store;
mod verifier;

pub use checkpoint::{Checkpoint, CheckpointId, FrameMarks, StateMarks};
pub use frame::{CALLER_SAVED, CALLER_SAVED_MASK, Callsite, Frame, FrameFlags, MAX_FRAMES, REGS};
pub use history::{Access, HistoryEntry, Linked, LinkedRegs, Place};
pub use refs::{RefKind, RefStore, Reference, Refs};
pub use reg::{BtfRef, DynptrKind, IterState, Kind, MapRef, RegId, RegState, Residue};
pub use stack::{SLOT_BYTES, STACK_BYTES, Slot, SlotType, scalar_spills_of, slot_of};
pub use store::{FrameId, Stack, Store};
pub use verifier::{FrameRefs, Resources, State};

/// The numbers of the bits that are set, ascending.
#[inline]
pub(crate) fn bits(mask: u64) -> impl Iterator<Item = u32> {
    let low = |mask: &u64| (*mask != 0).then(|| mask.trailing_zeros());
    core::iter::successors(Some(mask), |mask| Some(mask & mask.wrapping_sub(1)))
        .map_while(move |mask| low(&mask))
}
