// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Accesses to the stack (`check_stack_read`, `check_stack_write`).

use super::buffer::BufferUse;
use super::plain::Part;
use super::{Access, Span};
use crate::design::{Design, Liveness};
use crate::domain::Quad;
use crate::env::{InsnFlags, SubprogFlags};
use crate::errno::Errno;
use crate::log::state::TnumText;
use crate::messages::Memory;
use crate::outcome::{Abort, Step};
use crate::simulate::pointer::MAX_VAR_OFF;
use crate::simulate::sim::Sim;
use crate::state::{
    Access as HistoryAccess, Kind, LinkedRegs, RegId, RegState, SLOT_BYTES, STACK_BYTES, Slot,
    SlotType, slot_of,
};
use crate::trace::Observer;
use veristable_isa::{Op, Operand, Reg};
use veristable_kernel::Behaviour;

/// Accesses as messages name them. A read is for an instruction, or for a helper that must find
/// the bytes initialised.
pub(super) const READ: &str = "read from";
pub(super) const WRITE: &str = "write to";
/// A callee's access, where the kernel takes it for a write whatever it is.
pub(super) const INDIRECT: &str = "indirect access to";

/// An access at a known offset.
#[derive(Clone, Copy)]
struct At {
    /// Whose stack.
    frame: u8,
    /// Offset from its frame pointer, below 0.
    off: i32,
    /// Bytes.
    size: u32,
}

impl At {
    const fn slot(self) -> usize {
        slot_of(self.off)
    }

    fn bytes(self) -> impl Iterator<Item = i32> {
        (0..self.size.cast_signed()).map(move |i| self.off + i)
    }

    const fn is_slot_start(self) -> bool {
        self.off % SLOT_BYTES == 0
    }

    fn history(self) -> HistoryAccess {
        HistoryAccess::slot(self.frame, u8::try_from(self.slot()).unwrap_or(63))
    }
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// An access through a stack pointer.
    pub(super) fn access_stack(&mut self, span: Span, pointer: &RegState, access: Access) -> Step {
        let off = span.off.wrapping_add(pointer.off);
        let span = Span { off, ..span };
        let access_name = if matches!(access, Access::Read(_)) { READ } else { WRITE };
        self.check_stack_bounds(span, pointer, access_name)?;
        let fixed = pointer.value.as_const().map(|offset| At {
            frame: pointer.frame,
            off: off.wrapping_add(offset as i32),
            size: span.size,
        });
        match (access, fixed) {
            (Access::Read(dst), Some(at)) => self.read_stack(at, dst),
            (Access::Read(Some(dst)), None) => self.read_stack_anywhere(span, pointer, dst),
            (Access::Read(None), None) => {
                let var_off = TnumText(pointer.value.bits).text();
                let Span { off, size, .. } = span;
                self.env.reject(Memory::VariableToHelper { var_off, off, size })
            }
            (Access::Write(value), Some(at)) => self.write_stack(at, value),
            (Access::Write(value), None) => self.write_stack_anywhere(span, pointer, value),
        }
    }

    /// The access must stay within the stack, which grows to it
    /// (`check_stack_access_within_bounds`). `access` is one of the names above.
    pub(super) fn check_stack_bounds(
        &mut self,
        span: Span,
        pointer: &RegState,
        access: &'static str,
    ) -> Step {
        let reg = span.base.number();
        let reads = access == READ;
        // Sizes of types may be so large that the kernel counts them as negative.
        let (off, size) = (i64::from(span.off), i64::from(span.size.cast_signed()));
        let range = pointer.value.s64;
        let (min, max) = match pointer.value.as_const() {
            Some(fixed) => {
                let min = fixed.cast_signed().wrapping_add(off);
                (min, min.wrapping_add(size))
            }
            None if range.max >= MAX_VAR_OFF || range.min <= -MAX_VAR_OFF => {
                return self.env.reject(Memory::UnboundedStack { access, reg });
            }
            None => (range.min + off, range.max + off + size),
        };
        let allocated = self.store.slots(self.cur.frame(pointer.frame)?)?.len();
        let lowest = if reads && !self.env.privileges.allow_uninit_stack {
            -i64::try_from(allocated).unwrap_or(64) * i64::from(SLOT_BYTES)
        } else {
            -i64::from(STACK_BYTES)
        };
        let errno = if min < lowest || min > -1 {
            Errno::EACCES
        } else if max > 0 {
            Errno::EINVAL
        } else if size < 0 {
            Errno::EFAULT
        } else {
            return self.grow_stack(pointer.frame, min);
        };
        let (off, size) = (span.off, span.size.cast_signed());
        let message = if pointer.value.bits.is_const() {
            Memory::InvalidStack { access, reg, off, size }
        } else {
            let var_off = TnumText(pointer.value.bits).text();
            Memory::InvalidVariableStack { access, reg, var_off, off, size }
        };
        self.env.reject_with(errno, message)
    }

    /// `grow_stack_state`: down to `lowest`, a negative offset.
    fn grow_stack(&mut self, frame: u8, lowest: i64) -> Step {
        let needed = slot_of(i32::try_from(lowest).unwrap_or(-1)) + 1;
        let id = self.cur.frame(frame)?;
        if self.store.slots(id)?.len() >= needed {
            return Ok(());
        }
        let subprog = self.store.frame(id)?.subprog;
        let budget = &self.env.budget;
        let stack = self.store.stack_mut(budget, self.cur.frame_mut(frame)?)?;
        stack.resize(budget, needed, Slot::EMPTY)?;
        let bytes = u16::try_from(needed * 8).unwrap_or(u16::MAX);
        let subprog = self.env.subprog_mut(subprog)?;
        subprog.stack_depth = subprog.stack_depth.max(bytes);
        Ok(())
    }

    /// An access below the spills of a fastcall pattern keeps them all
    /// (`check_fastcall_stack_contract`).
    fn check_fastcall(&mut self, frame: u8, off: i32) -> Step {
        let subprog = self.store.frame(self.cur.frame(frame)?)?.subprog;
        let info = self.env.subprog_mut(subprog)?;
        let pattern = InsnFlags::FASTCALL_PATTERN;
        if i32::from(info.fastcall_stack_off) <= off || self.has_flag(self.insn, pattern)? {
            return Ok(());
        }
        let info = self.env.subprog_mut(subprog)?;
        info.fastcall_stack_off = i16::MIN;
        info.flags |= SubprogFlags::KEEP_FASTCALL_STACK;
        for insn in info.start..info.end {
            let aux = self.env.code.aux_mut(insn)?;
            aux.fastcall_spills = 0;
            aux.flags.remove(pattern);
        }
        Ok(())
    }

    /// The immediate that the current instruction stores, if it is such a store.
    fn stored_imm(&self) -> Result<Option<i32>, Abort> {
        Ok(match self.op(self.insn)? {
            Some(Op::Store { value: Operand::Imm(imm), .. }) => Some(imm),
            _ => None,
        })
    }

    /// Writes at a known offset (`check_stack_write_fixed_off`).
    fn write_stack(&mut self, at: At, value: Option<Reg>) -> Step {
        let (index, old) = (at.slot(), self.slot(at.frame, at.slot())?);
        let privileges = self.env.privileges;
        let whole = at.size == 8;
        if !privileges.allow_ptr_leaks && old.is_spill() && !old.is_scalar_spill() && !whole {
            return self.env.reject(Memory::CorruptsPointer);
        }
        let reg = value.map(|reg| self.copy_of(reg)).transpose()?;
        let spills_pointer = reg.is_some_and(|reg| reg.kind.is_spillable_pointer());
        if !privileges.bypass_spec_v4 {
            // The kernel looks at the lowest entries, whatever bytes are written.
            let size = usize::try_from(at.size).unwrap_or(8);
            let plain = |ty: &SlotType| matches!(ty, SlotType::Misc | SlotType::Zero);
            if spills_pointer || !old.types.iter().take(size).all(plain) {
                self.set_flag(self.insn, InsnFlags::NOSPEC_RESULT)?;
            }
        }
        self.destroy_dynptr(at.frame, index)?;
        if at.is_slot_start() && whole {
            D::Liveness::write_slots(self, at.frame, 1 << (index & 63));
        }
        self.check_fastcall(at.frame, at.off)?;
        self.touch_slot(index);
        let imm = self.stored_imm()?;
        let keeps_number = at.is_slot_start() && privileges.bpf_capable;
        match (reg, imm) {
            (Some(reg), _) if keeps_number && reg.is_scalar() => {
                self.spill_number(at, value)?;
            }
            (None, Some(imm)) if keeps_number => {
                let number = RegState::scalar(i64::from(imm).cast_unsigned());
                self.slot_mut(at.frame, index)?.spill(number, at.size);
            }
            (Some(reg), _) if spills_pointer => {
                if !whole {
                    self.env.source_line(self.insn, &"; ");
                    return self.env.reject(Memory::SpillSize);
                }
                if at.frame != self.cur.depth && matches!(reg.kind, Kind::Stack) {
                    return self.env.reject(Memory::SpillToCaller);
                }
                self.slot_mut(at.frame, index)?.spill(reg, at.size);
            }
            _ => return self.write_data(at, value, reg.as_ref(), imm),
        }
        self.note_history(at.history(), LinkedRegs::default())
    }

    /// Spills a number; the copy moves with the register unless it was cut.
    fn spill_number(&mut self, at: At, value: Option<Reg>) -> Step {
        let Some(reg) = value else { return Ok(()) };
        let fits = self.reg(reg)?.width() <= 8 * at.size;
        if fits {
            self.link(reg)?;
        }
        let mut copy = self.copy_of(reg)?;
        if !fits {
            copy.id = RegId::NONE;
        }
        self.slot_mut(at.frame, at.slot())?.spill(copy, at.size);
        Ok(())
    }

    /// Something is written to each of `size` bytes from where a stack pointer points: what so many
    /// stores of a byte do, slot by slot, for a program that may leak pointers and needs no care
    /// against speculation. The bounds were checked.
    pub(crate) fn fill_stack_bytes(&mut self, base: Reg, size: u32) -> Step {
        let pointer = self.reg(base)?;
        let (frame, fixed) = (pointer.frame, pointer.value.bits.value as i32);
        let mut off = pointer.off.wrapping_add(fixed);
        let end = off.saturating_add(size.cast_signed());
        while off < end {
            let index = slot_of(off);
            // Up to where the next slot begins.
            let next = off.wrapping_sub(off.rem_euclid(SLOT_BYTES)).saturating_add(SLOT_BYTES);
            let at = At { frame, off, size: next.min(end).wrapping_sub(off).cast_unsigned() };
            self.destroy_dynptr(frame, index)?;
            self.check_fastcall(frame, off)?;
            self.touch_slot(index);
            self.write_data(at, None, None, None)?;
            off = next;
        }
        Ok(())
    }

    /// Plain data destroys what was spilled; zeroes are remembered.
    fn write_data(
        &mut self,
        at: At,
        value: Option<Reg>,
        reg: Option<&RegState>,
        imm: Option<i32>,
    ) -> Step {
        let zero = match reg {
            Some(reg) => reg.is_null(),
            None => imm == Some(0),
        };
        if zero && let Some(reg) = value {
            self.mark_precise(reg)?;
        }
        let to = if zero { SlotType::Zero } else { SlotType::Misc };
        let slot = self.slot_mut(at.frame, at.slot())?;
        slot.forget_reg();
        if slot.is_special() {
            slot.scrub();
        }
        at.bytes().for_each(|off| slot.set_byte(off, to));
        Ok(())
    }

    /// Reads at a known offset (`check_stack_read_fixed_off`).
    fn read_stack(&mut self, at: At, dst: Option<Reg>) -> Step {
        let (index, slot) = (at.slot(), self.slot(at.frame, at.slot())?);
        self.touch_slot(index);
        self.check_fastcall(self.cur.depth, at.off)?;
        let bit = 1 << (index & 63);
        if D::Liveness::READS_FIRST {
            D::Liveness::read_slots(self, at.frame, bit)?;
        }
        let restored = if !slot.is_spill() {
            self.check_readable(at, &slot)?;
            if let Some(dst) = dst {
                self.set_from_bytes(at.frame, at.off, at.off + at.size.cast_signed(), dst)?;
            }
            false
        } else if at.size != 8 || slot.spill_size() != 8 {
            if !slot.reg.is_scalar() {
                self.env.source_line(self.insn, &"; ");
                return self.env.reject(Memory::FillSize);
            }
            self.read_late(at.frame, bit)?;
            let Some(dst) = dst else { return Ok(()) };
            self.fill_part(at, &slot, dst)?
        } else if let Some(dst) = dst {
            *self.reg_mut(dst)? = slot.reg;
            true
        } else if !self.env.privileges.allow_ptr_leaks && slot.reg.is_pointer() {
            return self.env.reject(Memory::LeaksPointer { off: at.off });
        } else {
            true
        };
        self.read_late(at.frame, bit)?;
        if restored {
            self.note_history(at.history(), LinkedRegs::default())?;
        }
        Ok(())
    }

    /// The slot is read, unless that was noted before.
    fn read_late(&mut self, frame: u8, slots: u64) -> Step {
        if D::Liveness::READS_FIRST {
            return Ok(());
        }
        D::Liveness::read_slots(self, frame, slots)
    }

    /// Every byte must have been written, unless the program may read what was not.
    fn check_readable(&mut self, at: At, slot: &Slot) -> Step {
        let uninit = self.env.privileges.allow_uninit_stack;
        for (byte, off) in (0..).zip(at.bytes()) {
            match slot.byte(off) {
                SlotType::Misc | SlotType::Zero => {}
                SlotType::Spill if slot.is_spill() => {}
                SlotType::Invalid if uninit => {}
                _ => {
                    let At { off, size, .. } = at;
                    return self.env.reject(Memory::InvalidRead { off, byte, size });
                }
            }
        }
        Ok(())
    }

    /// Fills from a part of a spilled number. True if the register's value came from it.
    fn fill_part(&mut self, at: At, slot: &Slot, dst: Reg) -> Step<bool> {
        let def = self.reg(dst)?.subreg_def;
        if at.size <= slot.spill_size() && at.is_slot_start() {
            let mut copy = RegState { subreg_def: def, ..slot.reg };
            if copy.width() > at.size * 8 {
                copy.unlink(self.env.has(Behaviour::DistanceGoesWithId));
            }
            *self.reg_mut(dst)? = copy;
            return Ok(true);
        }
        self.check_readable(at, slot)?;
        let all = |ty| at.bytes().all(|off| slot.byte(off) == ty);
        let (spilled_zero, zero) =
            (all(SlotType::Spill) && slot.reg.value.as_const() == Some(0), all(SlotType::Zero));
        let reg = self.reg_mut(dst)?;
        if spilled_zero || zero {
            reg.set_number(0);
        } else {
            reg.set_unknown();
        }
        Ok(spilled_zero)
    }

    /// The register becomes 0 if all bytes are, else any number (`mark_reg_stack_read`).
    fn set_from_bytes(&mut self, frame: u8, from: i32, to: i32, dst: Reg) -> Step {
        let mut zeroes = true;
        for off in from..to {
            let slot = slot_of(off);
            self.touch_slot(slot);
            if self.slot(frame, slot)?.byte(off) != SlotType::Zero {
                zeroes = false;
                break;
            }
        }
        let reg = self.reg_mut(dst)?;
        if zeroes {
            reg.set_number(0);
        } else {
            reg.set_unknown();
        }
        Ok(())
    }

    /// Reads at an offset that is not known (`check_stack_read_var_off`): every byte that could
    /// be meant must be readable.
    fn read_stack_anywhere(&mut self, span: Span, pointer: &RegState, dst: Reg) -> Step {
        let Span { base: reg, off, size } = span;
        let part = Part { reg, off, size, zero_size_allowed: false };
        self.check_stack_range(part, pointer, BufferUse::Load)?;
        let Quad { s64, .. } = pointer.value;
        let (from, to) = (s64.min as i32 + off, s64.max as i32 + off);
        let end = to + size.cast_signed();
        self.set_from_bytes(pointer.frame, from, end, dst)?;
        self.check_fastcall(pointer.frame, from)
    }

    /// Writes at an offset that is not known (`check_stack_write_var_off`): every byte that could
    /// be meant may or may not change.
    fn write_stack_anywhere(&mut self, span: Span, pointer: &RegState, value: Option<Reg>) -> Step {
        let Quad { s64, .. } = pointer.value;
        let (from, to) = (s64.min as i32 + span.off, s64.max as i32 + span.off);
        let end = to + span.size.cast_signed();
        let zero = match value {
            Some(reg) => self.reg(reg)?.is_null(),
            None => self.stored_imm()? == Some(0),
        };
        for off in from..end {
            self.destroy_dynptr(pointer.frame, slot_of(off))?;
        }
        self.check_fastcall(pointer.frame, from)?;
        let mut zero_used = false;
        for off in from..end {
            zero_used |= self.write_maybe(pointer.frame, off, zero)?;
        }
        match value {
            Some(reg) if zero_used => self.mark_precise(reg),
            _ => Ok(()),
        }
    }

    /// One byte may or may not be written. True if that it could be a zero mattered.
    fn write_maybe(&mut self, frame: u8, off: i32, zero: bool) -> Step<bool> {
        let (index, insn) = (slot_of(off), self.insn);
        let privileges = self.env.privileges;
        let slot = self.slot(frame, index)?;
        let byte = slot.byte(off);
        self.touch_slot(index);
        if !privileges.allow_ptr_leaks && !matches!(byte, SlotType::Misc | SlotType::Zero) {
            return self.env.reject(Memory::SpilledInRange { insn, off });
        }
        let holds_zero = slot.is_scalar_spill() && slot.reg.value.as_const() == Some(0);
        if zero && byte == SlotType::Spill && holds_zero {
            return Ok(true);
        }
        let scrubs = self.env.has(Behaviour::VariableWritesScrub);
        let slot = self.slot_mut(frame, index)?;
        slot.forget_reg();
        if scrubs && slot.is_special() {
            slot.scrub();
        }
        let byte = slot.byte(off);
        let keeps_zero = zero && byte == SlotType::Zero;
        if byte == SlotType::Invalid && !privileges.allow_uninit_stack {
            return self.env.reject(Memory::UninitInRange { insn, off });
        }
        let to = if keeps_zero { SlotType::Zero } else { SlotType::Misc };
        self.slot_mut(frame, index)?.set_byte(off, to);
        Ok(keeps_zero)
    }
}
