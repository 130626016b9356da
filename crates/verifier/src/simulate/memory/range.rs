// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Stack that a callee reads or writes (`check_stack_range_initialized`).

use super::Span;
use super::buffer::{BufferUse, FilledStack};
use super::plain::Part;
use super::stack::{INDIRECT, READ, WRITE};
use crate::design::{Design, Liveness};
use crate::errno::Errno;
use crate::log::state::TnumText;
use crate::messages::Memory;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{RegState, SLOT_BYTES, Slot, SlotType, slot_of};
use crate::trace::Observer;
use core::ops::Range;
use veristable_kernel::Behaviour;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// Every byte of stack that could be meant must have been written, unless the callee only
    /// fills it. What it may write is no longer known.
    pub(super) fn check_stack_range(
        &mut self,
        part: Part,
        pointer: &RegState,
        usage: BufferUse,
    ) -> Step<Option<FilledStack>> {
        let Part { reg, off, size, zero_size_allowed } = part;
        if size == 0 && !zero_size_allowed {
            return self.env.reject(Memory::ZeroSized);
        }
        // Where reads of callees count as writes, messages have a word for them.
        let all_write = usage != BufferUse::Load && !self.env.has(Behaviour::ReadBuffersKeepSlots);
        let indirect = if all_write { " indirect" } else { "" };
        let reads = matches!(usage, BufferUse::Load | BufferUse::Read);
        let access = match reads {
            _ if all_write => INDIRECT,
            true => READ,
            false => WRITE,
        };
        self.check_stack_bounds(Span { base: reg, off, size }, pointer, access)?;
        let fixed = pointer.value.bits.is_const();
        let (from, to) = if fixed {
            let from = (pointer.value.bits.value as i32).wrapping_add(off);
            (from, from)
        } else {
            if !self.env.privileges.bypass_spec_v1 {
                let var_off = TnumText(pointer.value.bits).text();
                let reg = reg.number();
                return self.env.reject(Memory::VariableProhibited { reg, indirect, var_off });
            }
            let range = pointer.value.s64;
            ((range.min as i32).wrapping_add(off), (range.max as i32).wrapping_add(off))
        };
        // The bounds hold for both ends, so that nothing overflows from here on.
        let end = to.saturating_add(size.cast_signed());
        if fixed && usage == BufferUse::Fill {
            self.refuse_dynptrs(pointer.frame, from, end)?;
            return Ok(Some(FilledStack { reg, size }));
        }
        let writes = all_write || !reads;
        let (bad, slots) = self.use_stack_bytes(pointer.frame, from..end, writes)?;
        D::Liveness::read_slots(self, pointer.frame, slots)?;
        let Some(byte) = bad else { return Ok(None) };
        let (reg, byte) = (reg.number(), byte.wrapping_sub(from));
        if fixed {
            self.env.reject(Memory::Uninitialized { indirect, reg, off: from, byte, size })
        } else {
            let var_off = TnumText(pointer.value.bits).text();
            self.env.reject(Memory::InvalidVariableRead { indirect, reg, var_off, byte, size })
        }
    }

    /// Bytes that a callee reads, or writes too: the first that may not be read, and which slots were
    /// read before it.
    fn use_stack_bytes(
        &mut self,
        frame: u8,
        bytes: Range<i32>,
        writes: bool,
    ) -> Step<(Option<i32>, u64)> {
        let (mut slots, mut off) = (0u64, bytes.start);
        while off < bytes.end {
            let index = slot_of(off);
            // Where the next slot begins.
            let next = off.wrapping_sub(off.rem_euclid(SLOT_BYTES)).saturating_add(SLOT_BYTES);
            let end = next.min(bytes.end);
            let stack = self.store.slots(self.cur.frame(frame)?)?;
            let known = stack.get(index).map(Slot::type_word);
            // Nothing to look at byte by byte in most slots.
            if !known.is_some_and(|word| word.is_misc() || (!writes && word.is_data())) {
                for byte in off..end {
                    if !self.use_stack_byte(frame, byte, writes)? {
                        let before = if byte > off { 1 << (index & 63) } else { 0 };
                        return Ok((Some(byte), slots | before));
                    }
                }
            }
            slots |= 1 << (index & 63);
            off = next;
        }
        Ok((None, slots))
    }

    /// Bytes that a call will write must not belong to a dynptr.
    fn refuse_dynptrs(&mut self, frame: u8, from: i32, end: i32) -> Step {
        let slots = self.store.slots(self.cur.frame(frame)?)?;
        let is_dynptr = |off: &i32| {
            slots.get(slot_of(*off)).is_some_and(|slot| slot.byte(*off) == SlotType::Dynptr)
        };
        match (from..end).find(is_dynptr) {
            Some(off) => self.env.reject(Memory::OverDynptr { off }),
            None => Ok(()),
        }
    }

    /// A byte that a callee reads, or writes too. False if it may not be read.
    fn use_stack_byte(&mut self, frame: u8, off: i32, writes: bool) -> Step<bool> {
        let index = slot_of(off);
        let slots = self.store.slots(self.cur.frame(frame)?)?;
        let Some(slot) = slots.get(index) else {
            return self.env.reject_with(Errno::EFAULT, Memory::StackTooSmall);
        };
        let privileges = self.env.privileges;
        match slot.byte(off) {
            SlotType::Misc => {}
            byte @ (SlotType::Zero | SlotType::Invalid)
                if byte == SlotType::Zero || privileges.allow_uninit_stack =>
            {
                if writes {
                    self.slot_mut(frame, index)?.set_byte(off, SlotType::Misc);
                }
            }
            _ if slot.is_spill() && (slot.reg.is_scalar() || privileges.allow_ptr_leaks) => {
                if writes {
                    let slot = self.slot_mut(frame, index)?;
                    slot.reg.set_unknown();
                    slot.scrub();
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
