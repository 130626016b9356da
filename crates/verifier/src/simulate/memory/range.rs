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
use crate::state::{RegState, SlotType, slot_of};
use crate::trace::Observer;
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
        for byte in from..end {
            if self.use_stack_byte(pointer.frame, byte, writes)? {
                D::Liveness::read_slots(self, pointer.frame, 1 << (slot_of(byte) & 63))?;
                continue;
            }
            let (reg, byte) = (reg.number(), byte.wrapping_sub(from));
            return if fixed {
                self.env.reject(Memory::Uninitialized { indirect, reg, off: from, byte, size })
            } else {
                let var_off = TnumText(pointer.value.bits).text();
                self.env.reject(Memory::InvalidVariableRead { indirect, reg, var_off, byte, size })
            };
        }
        Ok(None)
    }

    /// Bytes that a call will write must not belong to a dynptr.
    fn refuse_dynptrs(&mut self, frame: u8, from: i32, end: i32) -> Step {
        for off in from..end {
            let slot = self.slot(frame, slot_of(off))?;
            if slot.byte(off) == SlotType::Dynptr {
                return self.env.reject(Memory::OverDynptr { off });
            }
        }
        Ok(())
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
