// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! One instruction backwards (`backtrack_insn`): from what is sought after it to what is sought
//! before it.

use crate::design::Design;
use crate::env::{DecodedOp, InsnFlags, SubprogFlags, Target};
use crate::outcome::Step;
use crate::simulate::Sim;
use crate::state::{HistoryEntry, Linked, LinkedRegs, MAX_FRAMES, Place};
use crate::trace::{Event, Level, Observer};
use core::fmt;
use veristable_isa::{AluOp, CallKind, Op, Operand, Reg};
use veristable_kernel::Behaviour;

pub(crate) use super::stack_liveness::SlotList;

/// R1 to R5.
pub(super) const ARGS: u16 = 0b11_1110;

/// `BPF_FUNC_tail_call`
const TAIL_CALL: i32 = 12;

/// How far the search is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// Nothing is sought any more.
    All,
    /// Something is.
    More,
    /// The kernel does not follow this; everything will be made precise.
    GaveUp,
}

/// Registers and slots whose origin is sought, per frame (`struct backtrack_state`).
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Backtrack {
    /// The frame of the instruction that is looked at.
    pub(super) frame: u8,
    regs: [u16; MAX_FRAMES],
    slots: [u64; MAX_FRAMES],
}

impl Backtrack {
    pub(super) fn is_empty(&self) -> bool {
        let frames = usize::from(self.frame) + 1;
        self.regs.iter().take(frames).all(|mask| *mask == 0)
            && self.slots.iter().take(frames).all(|mask| *mask == 0)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What is sought in a frame.
    pub(super) fn at(&self, frame: u8) -> (u16, u64) {
        let at = usize::from(frame);
        let regs = self.regs.get(at).copied().unwrap_or(0);
        (regs, self.slots.get(at).copied().unwrap_or(0))
    }

    pub(super) fn set(&mut self, frame: u8, regs: u16, slots: u64) {
        let at = usize::from(frame);
        if let (Some(r), Some(s)) = (self.regs.get_mut(at), self.slots.get_mut(at)) {
            (*r, *s) = (regs, slots);
        }
    }

    pub(super) fn add(&mut self, frame: u8, regs: u16, slots: u64) {
        let (old_regs, old_slots) = self.at(frame);
        self.set(frame, old_regs | regs, old_slots | slots);
    }

    fn remove(&mut self, frame: u8, regs: u16, slots: u64) {
        let (old_regs, old_slots) = self.at(frame);
        self.set(frame, old_regs & !regs, old_slots & !slots);
    }

    pub(super) fn set_reg(&mut self, frame: u8, reg: u8) {
        self.add(frame, 1 << (reg & 15), 0);
    }

    fn seek(&mut self, reg: Reg) {
        self.set_reg(self.frame, reg.number());
    }

    fn drop_reg(&mut self, reg: Reg) {
        self.remove(self.frame, 1 << reg.number(), 0);
    }

    fn seeks(&self, reg: Reg) -> bool {
        self.at(self.frame).0 & 1 << reg.number() != 0
    }

    fn seeks_slot(&self, place: Place) -> bool {
        self.at(place.frame).1 & 1 << (place.slot & 63) != 0
    }

    /// Registers that learnt something together matter together (`bt_sync_linked_regs`).
    fn sync_linked(&mut self, linked: &LinkedRegs) {
        let bits = |linked| match linked {
            Linked::Reg { frame, reg } => (frame, 1u16 << (reg & 15), 0u64),
            Linked::Slot(Place { frame, slot }) => (frame, 0, 1 << (slot & 63)),
        };
        let sought = |linked| {
            let (frame, regs, slots) = bits(linked);
            let (old_regs, old_slots) = self.at(frame);
            old_regs & regs != 0 || old_slots & slots != 0
        };
        if linked.iter().any(sought) {
            for (frame, regs, slots) in linked.iter().map(bits) {
                self.add(frame, regs, slots);
            }
        }
    }
}

/// r0,r2 of a mask, as the log lists them (`fmt_reg_mask`).
#[derive(Clone, Copy)]
pub(super) struct RegList(pub(super) u16);

impl fmt::Display for RegList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sep = "";
        for reg in (0..16).filter(|reg| self.0 & 1 << reg != 0) {
            write!(f, "{sep}r{reg}")?;
            sep = ",";
        }
        Ok(())
    }
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// One instruction backwards. `after`: what was simulated after it, -1 if nothing was.
    pub(super) fn back_over(
        &mut self,
        insn: u32,
        after: i64,
        entry: Option<HistoryEntry>,
    ) -> Step<Found> {
        let DecodedOp::Op(op) = self.env.code.aux(insn)?.op else { return Ok(Found::More) };
        if self.env.wants(Level::Full) {
            self.log_back(insn)?;
        }
        let linked = entry.map(|entry| entry.linked).unwrap_or_default();
        self.backtrack.sync_linked(&linked);
        let found = self.back_over_op(insn, op, after, entry)?;
        self.backtrack.sync_linked(&linked);
        Ok(found)
    }

    fn log_back(&mut self, insn: u32) -> Step {
        let frame = self.backtrack.frame;
        let (regs, slots) = self.backtrack.at(frame);
        self.env.with_insn_text(insn, |observer, text| {
            observer.event(Event::Text(&format_args!(
                "mark_precise: frame{frame}: regs={} stack={} before {insn}: {text}\n",
                RegList(regs),
                SlotList(slots)
            )));
        })?;
        Ok(())
    }

    fn back_over_op(
        &mut self,
        insn: u32,
        op: Op,
        after: i64,
        entry: Option<HistoryEntry>,
    ) -> Step<Found> {
        let place = entry.and_then(|entry| entry.access.slot);
        let back = &mut self.backtrack;
        match op {
            Op::Alu { op, dst, src, .. } if back.seeks(dst) => {
                if op == AluOp::Mov {
                    back.drop_reg(dst);
                }
                if let Operand::Reg(src) = src
                    && src != Reg::FP
                {
                    back.seek(src);
                }
            }
            Op::MovSx { dst, src, .. } | Op::AddrSpaceCast { dst, src, .. } if back.seeks(dst) => {
                back.drop_reg(dst);
                if src != Reg::FP {
                    back.seek(src);
                }
            }
            Op::Load { dst, .. } | Op::LoadAcquire { dst, .. } if back.seeks(dst) => {
                back.drop_reg(dst);
                // Numbers keep their precision only through the stack.
                if let Some(Place { frame, slot }) = place {
                    back.add(frame, 0, 1 << (slot & 63));
                }
            }
            Op::Atomic { op, src, .. }
                if op.result(src).is_some() && self.env.has(Behaviour::FetchedFromStack) =>
            {
                // As a load; whether it also stores there does not matter.
                if let Some(result) = op.result(src).filter(|result| back.seeks(*result)) {
                    back.drop_reg(result);
                    if let Some(Place { frame, slot }) = place {
                        back.add(frame, 0, 1 << (slot & 63));
                    }
                }
            }
            Op::Store { base, .. } | Op::StoreRelease { base, .. } | Op::Atomic { base, .. }
                if back.seeks(base) =>
            {
                // The base is no number unless pointers were subtracted.
                return Ok(Found::GaveUp);
            }
            Op::Store { value: Operand::Imm(_), .. } => {
                if let Some(place) = place.filter(|place| back.seeks_slot(*place)) {
                    back.remove(place.frame, 0, 1 << (place.slot & 63));
                }
            }
            Op::Store { value: Operand::Reg(src), .. }
            | Op::StoreRelease { src, .. }
            | Op::Atomic { src, .. } => {
                if let Some(place) = place.filter(|place| back.seeks_slot(*place)) {
                    back.remove(place.frame, 0, 1 << (place.slot & 63));
                    back.seek(src);
                }
            }
            Op::Call(call) => return self.back_over_call(insn, call, after),
            Op::Exit => return self.back_over_exit(after),
            Op::Branch { dst, src: Operand::Reg(src), .. }
                if back.seeks(dst) || back.seeks(src) =>
            {
                let access = entry.map(|entry| entry.access).unwrap_or_default();
                if !access.src_is_stack {
                    back.seek(src);
                }
                if !access.dst_is_stack {
                    back.seek(dst);
                }
            }
            Op::LoadImm64 { dst, .. } => back.drop_reg(dst),
            Op::LoadAbs { .. } | Op::LoadInd { .. } if back.seeks(Reg::R0) => {
                back.drop_reg(Reg::R0);
                return Ok(Found::GaveUp);
            }
            // It left the function.
            Op::LoadAbs { .. } | Op::LoadInd { .. }
                if self.env.has(Behaviour::ClassicLoadReturns) && after != i64::from(insn) + 1 =>
            {
                return self.enter_frame();
            }
            _ => {}
        }
        Ok(Found::More)
    }

    fn back_over_call(&mut self, insn: u32, call: CallKind, after: i64) -> Step<Found> {
        let frame = self.backtrack.frame;
        let (regs, slots) = self.backtrack.at(frame);
        let straight = i64::from(insn) + 1 == after;
        match call {
            CallKind::Subprog { .. } => {
                let target = self.env.code.aux(insn)?.target;
                let Target::Subprog(subprog) = target else {
                    return Err(crate::Abort::Internal("call without a target").into());
                };
                let global = self.env.subprog(subprog)?.flags.contains(SubprogFlags::IS_GLOBAL);
                self.back_over_subprogram(global)
            }
            CallKind::Helper { .. } | CallKind::Kfunc { .. }
                if !straight && self.has_flag(insn, InsnFlags::CALLS_CALLBACK)? =>
            {
                if regs & !ARGS != 0 {
                    return self.bug(format_args!("callback unexpected regs {regs:x}"));
                }
                if slots != 0 {
                    return self.bug(format_args!("callback leftover stack slots {slots:x}"));
                }
                self.backtrack.remove(frame, ARGS, 0);
                self.leave_frame()
            }
            CallKind::Kfunc { btf_id: 0, .. } => Ok(Found::GaveUp),
            CallKind::Helper { .. } | CallKind::Kfunc { .. } => {
                self.backtrack.drop_reg(Reg::R0);
                let (regs, _) = self.backtrack.at(frame);
                if regs & ARGS != 0 {
                    return self.bug(format_args!("backtracking call unexpected regs {regs:x}"));
                }
                if call == (CallKind::Helper { id: TAIL_CALL }) && !straight {
                    return self.enter_frame();
                }
                Ok(Found::More)
            }
        }
    }

    fn back_over_subprogram(&mut self, global: bool) -> Step<Found> {
        let frame = self.backtrack.frame;
        let (regs, slots) = self.backtrack.at(frame);
        if global {
            if regs & ARGS != 0 {
                return self.bug(format_args!("global subprog unexpected regs {regs:x}"));
            }
            self.backtrack.drop_reg(Reg::R0);
            return Ok(Found::More);
        }
        if regs & !ARGS != 0 {
            return self.bug(format_args!("static subprog unexpected regs {regs:x}"));
        }
        if slots != 0 {
            return self.bug(format_args!("static subprog leftover stack slots {slots:x}"));
        }
        // The arguments come from the caller.
        self.backtrack.remove(frame, ARGS, 0);
        if let Some(outer) = frame.checked_sub(1) {
            self.backtrack.add(outer, regs, 0);
        }
        self.leave_frame()
    }

    fn back_over_exit(&mut self, after: i64) -> Step<Found> {
        let frame = self.backtrack.frame;
        // A subprogram returns to after its call; a callback does not, and its result goes
        // nowhere.
        let call = u32::try_from(after - 1).ok();
        let returned = match call {
            Some(call) => self.env.code.insn(call)?.is_pseudo_call(),
            None => false,
        };
        let drops = self.env.has(Behaviour::CallbackDropsArguments);
        if let Ok(after) = u32::try_from(after)
            && drops
            && self.has_flag(after, InsnFlags::CALLS_CALLBACK)?
        {
            self.backtrack.remove(frame, ARGS, 0);
        }
        let (regs, _) = self.backtrack.at(frame);
        if regs & ARGS != 0 && (drops || returned) {
            return self.bug(format_args!("backtracking exit unexpected regs {regs:x}"));
        }
        let result = returned && self.backtrack.seeks(Reg::R0);
        self.backtrack.drop_reg(Reg::R0);
        let found = self.enter_frame()?;
        if result {
            self.backtrack.seek(Reg::R0);
        }
        Ok(found)
    }

    fn enter_frame(&mut self) -> Step<Found> {
        let frame = self.backtrack.frame;
        if usize::from(frame) + 1 >= MAX_FRAMES {
            return self.bug(format_args!("subprog enter from frame {frame}"));
        }
        self.backtrack.frame += 1;
        Ok(Found::More)
    }

    fn leave_frame(&mut self) -> Step<Found> {
        let Some(outer) = self.backtrack.frame.checked_sub(1) else {
            return self.bug(format_args!("subprog exit from frame 0"));
        };
        self.backtrack.frame = outer;
        Ok(Found::More)
    }
}
