// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! One instruction backwards (`backtrack_insn`): from what is sought after it to what is sought
//! before it.

use crate::env::{DecodedOp, Env, InsnFlags, SubprogFlags, Target};
use crate::outcome::Step;
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

/// Registers of which one at least must be sought for an instruction to change anything on the way
/// back, one bit each. What its history names may be sought besides: the slot, and linked registers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Concerns(u16);

impl Concerns {
    /// The instruction may change something whatever is sought.
    const ALWAYS: Self = Self(1 << 15);

    fn of_regs(regs: &[Reg]) -> Self {
        Self(regs.iter().fold(0, |mask, reg| mask | 1 << (reg.number() & 15)))
    }

    /// Those of an instruction: what [`Backtrack::back_over_op`] asks for.
    pub(crate) fn of(op: &Op) -> Self {
        match *op {
            Op::Alu { dst, .. }
            | Op::MovSx { dst, .. }
            | Op::AddrSpaceCast { dst, .. }
            | Op::Load { dst, .. }
            | Op::LoadAcquire { dst, .. }
            | Op::LoadImm64 { dst, .. } => Self::of_regs(&[dst]),
            Op::Store { base, .. } | Op::StoreRelease { base, .. } => Self::of_regs(&[base]),
            Op::Branch { dst, src: Operand::Reg(src), .. } => Self::of_regs(&[dst, src]),
            Op::Branch { src: Operand::Imm(_), .. }
            | Op::Neg { .. }
            | Op::Swap { .. }
            | Op::Goto { .. }
            | Op::GotoX { .. }
            | Op::MayGoto { .. } => Self::default(),
            Op::Atomic { .. }
            | Op::LoadAbs { .. }
            | Op::LoadInd { .. }
            | Op::Call(_)
            | Op::Exit => Self::ALWAYS,
        }
    }
}

/// Registers and slots whose origin is sought, per frame (`struct backtrack_state`).
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Backtrack {
    /// The frame of the instruction that is looked at.
    pub(super) frame: u8,
    /// Frames in which anything is sought, one bit each.
    sought: u8,
    regs: [u16; MAX_FRAMES],
    slots: [u64; MAX_FRAMES],
}

impl Backtrack {
    /// Whether nothing is sought, down to the frame of the instruction that is looked at.
    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        // Bit 7 and below, as there are eight frames.
        self.sought & (u8::MAX >> (7 - (self.frame & 7))) == 0
    }

    /// Whether going back over an instruction changes nothing.
    #[inline]
    pub(super) fn passes(&self, concerns: Concerns, entry: Option<&HistoryEntry>) -> bool {
        let regs = self.regs.get(usize::from(self.frame)).copied().unwrap_or(u16::MAX);
        (regs | Concerns::ALWAYS.0) & concerns.0 == 0
            && entry.is_none_or(|entry| {
                let slot = entry.access.slot;
                entry.linked.is_empty() && slot.is_none_or(|place| !self.seeks_slot(place))
            })
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What is sought in a frame.
    #[inline]
    pub(super) fn at(&self, frame: u8) -> (u16, u64) {
        let at = usize::from(frame);
        let regs = self.regs.get(at).copied().unwrap_or(0);
        (regs, self.slots.get(at).copied().unwrap_or(0))
    }

    #[inline]
    pub(super) fn set(&mut self, frame: u8, regs: u16, slots: u64) {
        let at = usize::from(frame);
        if let (Some(r), Some(s)) = (self.regs.get_mut(at), self.slots.get_mut(at)) {
            (*r, *s) = (regs, slots);
            let bit = 1 << frame;
            self.sought =
                if regs == 0 && slots == 0 { self.sought & !bit } else { self.sought | bit };
        }
    }

    #[inline]
    pub(super) fn add(&mut self, frame: u8, regs: u16, slots: u64) {
        let (old_regs, old_slots) = self.at(frame);
        self.set(frame, old_regs | regs, old_slots | slots);
    }

    #[inline]
    fn remove(&mut self, frame: u8, regs: u16, slots: u64) {
        let (old_regs, old_slots) = self.at(frame);
        self.set(frame, old_regs & !regs, old_slots & !slots);
    }

    pub(super) fn set_reg(&mut self, frame: u8, reg: u8) {
        self.add(frame, 1 << (reg & 15), 0);
    }

    #[inline]
    fn seek(&mut self, reg: Reg) {
        self.set_reg(self.frame, reg.number());
    }

    #[inline]
    fn drop_reg(&mut self, reg: Reg) {
        self.remove(self.frame, 1 << reg.number(), 0);
    }

    #[inline]
    fn seeks(&self, reg: Reg) -> bool {
        self.at(self.frame).0 & 1 << reg.number() != 0
    }

    #[inline]
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

impl Backtrack {
    /// One instruction backwards. `after`: what was simulated after it, -1 if nothing was.
    #[inline]
    pub(super) fn back_over<O: Observer>(
        &mut self,
        env: &mut Env<'_, O>,
        insn: u32,
        after: i64,
        entry: Option<&HistoryEntry>,
    ) -> Step<Found> {
        let DecodedOp::Op(op) = env.code.aux(insn)?.op else { return Ok(Found::More) };
        if env.wants(Level::Full) {
            self.log_back(env, insn)?;
        }
        match entry.map(|entry| &entry.linked).filter(|linked| !linked.is_empty()) {
            None => self.back_over_op(env, insn, op, after, entry),
            Some(linked) => {
                self.sync_linked(linked);
                let found = self.back_over_op(env, insn, op, after, entry)?;
                self.sync_linked(linked);
                Ok(found)
            }
        }
    }

    fn log_back<O: Observer>(&self, env: &mut Env<'_, O>, insn: u32) -> Step {
        let frame = self.frame;
        let (regs, slots) = self.at(frame);
        env.with_insn_text(insn, |observer, text| {
            observer.event(Event::Text(&format_args!(
                "mark_precise: frame{frame}: regs={} stack={} before {insn}: {text}\n",
                RegList(regs),
                SlotList(slots)
            )));
        })?;
        Ok(())
    }

    fn back_over_op<O: Observer>(
        &mut self,
        env: &mut Env<'_, O>,
        insn: u32,
        op: Op,
        after: i64,
        entry: Option<&HistoryEntry>,
    ) -> Step<Found> {
        let place = entry.and_then(|entry| entry.access.slot);
        match op {
            Op::Alu { op, dst, src, .. } if self.seeks(dst) => {
                if op == AluOp::Mov {
                    self.drop_reg(dst);
                }
                if let Operand::Reg(src) = src
                    && src != Reg::FP
                {
                    self.seek(src);
                }
            }
            Op::MovSx { dst, src, .. } | Op::AddrSpaceCast { dst, src, .. } if self.seeks(dst) => {
                self.drop_reg(dst);
                if src != Reg::FP {
                    self.seek(src);
                }
            }
            Op::Load { dst, .. } | Op::LoadAcquire { dst, .. } if self.seeks(dst) => {
                self.drop_reg(dst);
                // Numbers keep their precision only through the stack.
                if let Some(Place { frame, slot }) = place {
                    self.add(frame, 0, 1 << (slot & 63));
                }
            }
            Op::Atomic { op, src, .. }
                if op.result(src).is_some() && env.has(Behaviour::FetchedFromStack) =>
            {
                // As a load; whether it also stores there does not matter.
                if let Some(result) = op.result(src).filter(|result| self.seeks(*result)) {
                    self.drop_reg(result);
                    if let Some(Place { frame, slot }) = place {
                        self.add(frame, 0, 1 << (slot & 63));
                    }
                }
            }
            Op::Store { base, .. } | Op::StoreRelease { base, .. } | Op::Atomic { base, .. }
                if self.seeks(base) =>
            {
                // The base is no number unless pointers were subtracted.
                return Ok(Found::GaveUp);
            }
            Op::Store { value: Operand::Imm(_), .. } => {
                if let Some(place) = place.filter(|place| self.seeks_slot(*place)) {
                    self.remove(place.frame, 0, 1 << (place.slot & 63));
                }
            }
            Op::Store { value: Operand::Reg(src), .. }
            | Op::StoreRelease { src, .. }
            | Op::Atomic { src, .. } => {
                if let Some(place) = place.filter(|place| self.seeks_slot(*place)) {
                    self.remove(place.frame, 0, 1 << (place.slot & 63));
                    self.seek(src);
                }
            }
            Op::Call(call) => return self.back_over_call(env, insn, call, after),
            Op::Exit => return self.back_over_exit(env, after),
            Op::Branch { dst, src: Operand::Reg(src), .. }
                if self.seeks(dst) || self.seeks(src) =>
            {
                let access = entry.map(|entry| entry.access).unwrap_or_default();
                if !access.src_is_stack {
                    self.seek(src);
                }
                if !access.dst_is_stack {
                    self.seek(dst);
                }
            }
            Op::LoadImm64 { dst, .. } => self.drop_reg(dst),
            Op::LoadAbs { .. } | Op::LoadInd { .. } if self.seeks(Reg::R0) => {
                self.drop_reg(Reg::R0);
                return Ok(Found::GaveUp);
            }
            // It left the function.
            Op::LoadAbs { .. } | Op::LoadInd { .. }
                if env.has(Behaviour::ClassicLoadReturns) && after != i64::from(insn) + 1 =>
            {
                return self.enter_frame(env);
            }
            _ => {}
        }
        Ok(Found::More)
    }

    fn back_over_call<O: Observer>(
        &mut self,
        env: &mut Env<'_, O>,
        insn: u32,
        call: CallKind,
        after: i64,
    ) -> Step<Found> {
        let frame = self.frame;
        let (regs, slots) = self.at(frame);
        let straight = i64::from(insn) + 1 == after;
        match call {
            CallKind::Subprog { .. } => {
                let target = env.code.aux(insn)?.target;
                let Target::Subprog(subprog) = target else {
                    return Err(crate::Abort::Internal("call without a target").into());
                };
                let global = env.subprog(subprog)?.flags.contains(SubprogFlags::IS_GLOBAL);
                self.back_over_subprogram(env, global)
            }
            CallKind::Helper { .. } | CallKind::Kfunc { .. }
                if !straight && env.has_flag(insn, InsnFlags::CALLS_CALLBACK)? =>
            {
                if regs & !ARGS != 0 {
                    return env.bug(format_args!("callback unexpected regs {regs:x}"));
                }
                if slots != 0 {
                    return env.bug(format_args!("callback leftover stack slots {slots:x}"));
                }
                self.remove(frame, ARGS, 0);
                self.leave_frame(env)
            }
            CallKind::Kfunc { btf_id: 0, .. } => Ok(Found::GaveUp),
            CallKind::Helper { .. } | CallKind::Kfunc { .. } => {
                self.drop_reg(Reg::R0);
                let (regs, _) = self.at(frame);
                if regs & ARGS != 0 {
                    return env.bug(format_args!("backtracking call unexpected regs {regs:x}"));
                }
                if call == (CallKind::Helper { id: TAIL_CALL }) && !straight {
                    return self.enter_frame(env);
                }
                Ok(Found::More)
            }
        }
    }

    fn back_over_subprogram<O: Observer>(
        &mut self,
        env: &mut Env<'_, O>,
        global: bool,
    ) -> Step<Found> {
        let frame = self.frame;
        let (regs, slots) = self.at(frame);
        if global {
            if regs & ARGS != 0 {
                return env.bug(format_args!("global subprog unexpected regs {regs:x}"));
            }
            self.drop_reg(Reg::R0);
            return Ok(Found::More);
        }
        if regs & !ARGS != 0 {
            return env.bug(format_args!("static subprog unexpected regs {regs:x}"));
        }
        if slots != 0 {
            return env.bug(format_args!("static subprog leftover stack slots {slots:x}"));
        }
        // The arguments come from the caller.
        self.remove(frame, ARGS, 0);
        if let Some(outer) = frame.checked_sub(1) {
            self.add(outer, regs, 0);
        }
        self.leave_frame(env)
    }

    fn back_over_exit<O: Observer>(&mut self, env: &mut Env<'_, O>, after: i64) -> Step<Found> {
        let frame = self.frame;
        // A subprogram returns to after its call; a callback does not, and its result goes
        // nowhere.
        let call = u32::try_from(after - 1).ok();
        let returned = match call {
            Some(call) => env.code.insn(call)?.is_pseudo_call(),
            None => false,
        };
        let drops = env.has(Behaviour::CallbackDropsArguments);
        if let Ok(after) = u32::try_from(after)
            && drops
            && env.has_flag(after, InsnFlags::CALLS_CALLBACK)?
        {
            self.remove(frame, ARGS, 0);
        }
        let (regs, _) = self.at(frame);
        if regs & ARGS != 0 && (drops || returned) {
            return env.bug(format_args!("backtracking exit unexpected regs {regs:x}"));
        }
        let result = returned && self.seeks(Reg::R0);
        self.drop_reg(Reg::R0);
        let found = self.enter_frame(env)?;
        if result {
            self.seek(Reg::R0);
        }
        Ok(found)
    }

    fn enter_frame<O: Observer>(&mut self, env: &mut Env<'_, O>) -> Step<Found> {
        let frame = self.frame;
        if usize::from(frame) + 1 >= MAX_FRAMES {
            return env.bug(format_args!("subprog enter from frame {frame}"));
        }
        self.frame += 1;
        Ok(Found::More)
    }

    fn leave_frame<O: Observer>(&mut self, env: &mut Env<'_, O>) -> Step<Found> {
        let Some(outer) = self.frame.checked_sub(1) else {
            return env.bug(format_args!("subprog exit from frame 0"));
        };
        self.frame = outer;
        Ok(Found::More)
    }
}
