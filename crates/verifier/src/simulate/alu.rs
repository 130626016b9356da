// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Arithmetic (`check_alu_op`, `adjust_reg_min_max_vals`).

use super::sim::Sim;
use crate::design::Design;
use crate::domain::{AluResult, Interval, Narrow, Quad};
use crate::errno::Errno;
use crate::messages::Arithmetic;
use crate::outcome::Step;
use crate::state::{Kind, RegState};
use crate::trace::Observer;
use veristable_isa::{AluOp, Operand, Reg, Size, Swap, SwapBits, Width};
use veristable_kernel::Behaviour;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// `dst = dst op src`, and the copies.
    pub(crate) fn alu(&mut self, op: AluOp, width: Width, dst: Reg, src: Operand) -> Step {
        let wide = width == Width::W64;
        if let Operand::Reg(src) = src {
            self.read(src, wide)?;
        }
        if op == AluOp::Mov {
            self.write(dst, wide)?;
            match src {
                // A constant does not contradict itself.
                Operand::Imm(imm) => return self.move_imm(width, dst, imm),
                Operand::Reg(src) if wide => self.move_reg(dst, src)?,
                Operand::Reg(src) => self.move_low(dst, src)?,
            }
        } else {
            self.read(dst, wide)?;
            self.check_operand(op, width, src)?;
            self.write(dst, wide)?;
            self.operate(op, width, dst, src)?;
        }
        self.check_invariants(dst, "alu")
    }

    fn check_operand(&mut self, op: AluOp, width: Width, src: Operand) -> Step {
        let Operand::Imm(imm) = src else { return Ok(()) };
        match op {
            AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod if imm == 0 => {
                self.env.reject(Arithmetic::DivByZero)
            }
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh
                if u32::try_from(imm).map_or(true, |by| by >= width.bits()) =>
            {
                self.env.reject(Arithmetic::InvalidShift { by: imm })
            }
            _ => Ok(()),
        }
    }

    fn move_imm(&mut self, width: Width, dst: Reg, imm: i32) -> Step {
        let number = match width {
            Width::W64 => i64::from(imm).cast_unsigned(),
            Width::W32 => u64::from(imm.cast_unsigned()),
        };
        let dst = self.reg_mut(dst)?;
        *dst = RegState { subreg_def: dst.subreg_def, ..RegState::scalar(number) };
        Ok(())
    }

    /// `dst = src`, whatever it is.
    fn move_reg(&mut self, dst: Reg, src: Reg) -> Step {
        self.link(src)?;
        let copy = self.copy_of(src)?;
        *self.reg_mut(dst)? = RegState { subreg_def: 0, ..copy };
        Ok(())
    }

    /// Gives a register an id before it is copied.
    pub(crate) fn link(&mut self, reg: Reg) -> Step {
        let state = self.reg(reg)?;
        let changes =
            state.id.has_distance() || (state.id.is_none() && !state.value.bits.is_const());
        if state.is_scalar() && changes {
            let mut counter = self.id_gen;
            self.reg_mut(reg)?.link(&mut counter);
            self.id_gen = counter;
        }
        Ok(())
    }

    /// `dst = (u32)src`
    fn move_low(&mut self, dst: Reg, src: Reg) -> Step {
        if self.is_secret(src)? {
            return self.env.reject(Arithmetic::PartialCopy { reg: src.number() });
        }
        if self.reg(src)?.is_scalar() {
            // A link that does not hold for the upper half must not survive.
            let fits = self.reg(src)?.width() <= 32;
            self.copy_scalar(dst, src, fits, self.insn + 1)?;
        } else {
            self.reg_mut(dst)?.set_unknown();
        }
        let rules = self.env.rules;
        let value = &mut self.reg_mut(dst)?.value;
        value.zero_extend_low();
        value.sync(rules);
        Ok(())
    }

    fn copy_scalar(&mut self, dst: Reg, src: Reg, linked: bool, subreg_def: u32) -> Step {
        if linked {
            self.link(src)?;
        }
        let mut copy = self.copy_of(src)?;
        copy.subreg_def = subreg_def;
        if !linked {
            copy.unlink(self.env.has(Behaviour::DistanceGoesWithId));
        }
        *self.reg_mut(dst)? = copy;
        Ok(())
    }

    /// `dst = (s8|s16|s32)src`
    pub(crate) fn move_extended(&mut self, width: Width, from: Size, dst: Reg, src: Reg) -> Step {
        let wide = width == Width::W64;
        self.read(src, wide)?;
        self.write(dst, wide)?;
        if self.is_secret(src)? {
            let reg = src.number();
            return self.env.reject(match width {
                Width::W64 => Arithmetic::SignExtension { reg },
                Width::W32 => Arithmetic::PartialCopy { reg },
            });
        }
        let narrow = Narrow::from_bytes(from.bytes());
        if let (true, Some(narrow)) = (self.reg(src)?.is_scalar(), narrow) {
            let unchanged = self.reg(src)?.value.u64.max < 1 << (from.bits() - 1);
            let def = if wide { 0 } else { self.insn + 1 };
            self.copy_scalar(dst, src, unchanged, def)?;
            let value = &mut self.reg_mut(dst)?.value;
            match width {
                Width::W64 => value.sign_extend(narrow),
                Width::W32 => value.sign_extend_low(narrow),
            }
        } else {
            self.reg_mut(dst)?.set_unknown();
        }
        if !wide {
            let rules = self.env.rules;
            let value = &mut self.reg_mut(dst)?.value;
            value.zero_extend_low();
            value.sync(rules);
        }
        self.check_invariants(dst, "alu")
    }

    /// `dst = -dst`
    pub(crate) fn negate(&mut self, width: Width, dst: Reg) -> Step {
        let wide = width == Width::W64;
        self.read(dst, wide)?;
        self.refuse_secret_operand(dst)?;
        if self.reg(dst)?.is_scalar() && self.env.has(Behaviour::NegKeepsRange) {
            self.write(dst, wide)?;
            let value = self.reg(dst)?.value.neg(width, self.env.rules);
            let reg = self.reg_mut(dst)?;
            reg.set_number(0);
            reg.value = value;
        } else {
            self.write_unknown(dst, wide)?;
        }
        self.check_invariants(dst, "alu")
    }

    /// Byte order conversion: the result is any number, unless its bits are followed
    /// (`scalar_byte_swap`).
    pub(crate) fn swap_bytes(&mut self, kind: Swap, bits: SwapBits, dst: Reg) -> Step {
        let wide = bits == SwapBits::B64;
        self.read(dst, wide)?;
        self.refuse_secret_operand(dst)?;
        if self.reg(dst)?.is_scalar() && self.env.has(Behaviour::SwapKeepsBits) {
            self.write(dst, wide)?;
            let (size, rules) = (bits.bits(), self.env.rules);
            // The machine is little endian.
            let swaps = kind != Swap::ToLe;
            let reg = self.reg_mut(dst)?;
            if swaps || !wide {
                reg.unlink(true);
            }
            if swaps {
                reg.value.bits = reg.value.bits.swap_bytes(size);
                reg.value.forget_ranges();
            }
            if let Some(narrow) = Narrow::from_bytes(size / 8) {
                reg.value.truncate(narrow, rules);
            }
            reg.value.sync(rules);
        } else {
            self.write_unknown(dst, wide)?;
        }
        self.check_invariants(dst, "alu")
    }

    fn refuse_secret_operand(&mut self, reg: Reg) -> Step {
        if self.is_secret(reg)? {
            return self.env.reject(Arithmetic::Prohibited { reg: reg.number() });
        }
        Ok(())
    }

    /// Two operands: numbers, or a pointer and a number, or two pointers.
    fn operate(&mut self, op: AluOp, width: Width, dst: Reg, src: Operand) -> Step {
        let left = self.copy_of(dst)?;
        let right = match src {
            Operand::Reg(src) => self.copy_of(src)?,
            Operand::Imm(imm) => RegState::scalar(i64::from(imm).cast_unsigned()),
        };
        if self.compute_in_arena(dst, &left, &right)? {
            return Ok(());
        }
        match (left.is_scalar(), right.is_scalar(), src) {
            (false, false, _) if op == AluOp::Sub && self.env.privileges.allow_ptr_leaks => {
                self.reg_mut(dst)?.set_unknown();
                Ok(())
            }
            (false, false, _) => {
                let (reg, op) = (dst.number(), symbol(op));
                self.env.reject(Arithmetic::TwoPointers { reg, op })
            }
            (true, false, Operand::Reg(src)) => {
                self.mark_precise(dst)?;
                self.move_pointer(op, width, dst, src, &right, &left)
            }
            (false, true, _) => {
                if let Operand::Reg(src) = src {
                    self.mark_precise(src)?;
                }
                self.move_pointer(op, width, dst, dst, &left, &right)
            }
            (true, _, _) => self.compute(op, width, dst, src, &left, &right),
        }
    }

    /// Arithmetic on arena pointers: wherever one ends up, an access there does no harm. False if
    /// there is none.
    fn compute_in_arena(&mut self, dst: Reg, left: &RegState, right: &RegState) -> Step<bool> {
        let is_arena = |reg: &RegState| matches!(reg.kind, Kind::Arena) && reg.flags.is_empty();
        let either = self.env.has(Behaviour::ArenaEitherOperand);
        if !(is_arena(left) || (either && is_arena(right))) {
            return Ok(false);
        }
        if either {
            let from = if is_arena(left) { left } else { right };
            *self.reg_mut(dst)? = RegState { subreg_def: self.insn + 1, ..*from };
        }
        Ok(true)
    }

    /// A number that is 0 or -1, such as a sign spread over all bits, goes on as either: the branch
    /// does the instruction again with 0, this path has -1 (`maybe_fork_scalars`). What the first
    /// operand is now.
    fn fork_sign_mask(&mut self, dst: Reg, value: Quad) -> Step<Quad> {
        const EITHER: Interval<i64> = Interval::new(-1, 0);
        const EITHER_LOW: Interval<i32> = Interval::new(-1, 0);
        let low_only = value.s64 != EITHER;
        if (low_only && value.s32 != EITHER_LOW) || !self.env.has(Behaviour::ForkOnSignMask) {
            return Ok(value);
        }
        self.push_branch(self.insn, self.insn, false, Errno::E2BIG)?;
        let become_number = |reg: &mut RegState, number: i32| {
            if low_only {
                reg.value.set_low(number.cast_unsigned());
            } else {
                reg.set_number(i64::from(number).cast_unsigned());
            }
        };
        become_number(self.branch_reg(dst)?, 0);
        let reg = self.reg_mut(dst)?;
        become_number(reg, -1);
        Ok(reg.value)
    }

    /// Two numbers.
    fn compute(
        &mut self,
        op: AluOp,
        width: Width,
        dst: Reg,
        src: Operand,
        left: &RegState,
        right: &RegState,
    ) -> Step {
        let mut value = left.value;
        if matches!(op, AluOp::And | AluOp::Or) && right.value.bits.is_const() {
            value = self.fork_sign_mask(dst, value)?;
        }
        let result = value.alu(op, &right.value, width, self.env.rules);
        if result != AluResult::Unknown && matches!(op, AluOp::Add | AluOp::Sub) {
            self.mask_scalar(op, dst, src)?;
        }
        let capable = self.env.privileges.bpf_capable;
        let distance_too = self.env.has(Behaviour::DistanceGoesWithId);
        let sums_alone = self.env.has(Behaviour::SelfSumUnlinked);
        let any = self.env.has(Behaviour::AnyDistance);
        let reg = self.reg_mut(dst)?;
        match result {
            AluResult::Unknown => reg.set_unknown(),
            AluResult::Value(value) => reg.value = value,
            AluResult::Reset(value) => {
                reg.set_number(0);
                reg.value = value;
            }
        }
        // `dst += constant` keeps a distance to what `dst` was a copy of. The kernel looks at the
        // source afterwards, which matters if it is the same register.
        let addend = match src {
            Operand::Reg(src) if src == dst => reg.as_const().filter(|_| !sums_alone),
            _ => right.as_const(),
        };
        let step = addend.and_then(|addend| Distance::of(op, width, addend, &left.value, any));
        match step {
            Some(step) if !reg.id.is_none() && capable => match step {
                Distance::Constant { distance, half } if !reg.id.has_distance() => {
                    reg.id = reg.id.with_distance(half);
                    reg.off = distance;
                }
                Distance::Constant { .. } | Distance::TooFar => reg.unlink(true),
            },
            _ => reg.unlink(distance_too),
        }
        Ok(())
    }
}

/// How an addition moves a number away from those that it is linked with (the end of
/// `adjust_reg_min_max_vals`).
enum Distance {
    /// By so much; `half`: in its low half, whatever was above is 0.
    Constant { distance: i32, half: bool },
    /// By more than can be kept.
    TooFar,
}

impl Distance {
    /// `None`: this is no such operation. `any`: distances may be negative and of low halves.
    fn of(op: AluOp, width: Width, addend: u64, before: &Quad, any: bool) -> Option<Self> {
        let half = width == Width::W32;
        if !any {
            let is_sum = op == AluOp::Add && !half;
            let distance = i32::try_from(addend).ok();
            return is_sum.then(|| {
                distance.map_or(Self::TooFar, |distance| Self::Constant { distance, half })
            });
        }
        let addend = match half {
            true if before.u64.max > u64::from(u32::MAX) => None,
            true => Some(addend as i32),
            false => i32::try_from(addend.cast_signed()).ok(),
        };
        let distance = match op {
            AluOp::Add => addend,
            AluOp::Sub => addend.and_then(i32::checked_neg),
            _ => return None,
        };
        Some(distance.map_or(Self::TooFar, |distance| Self::Constant { distance, half }))
    }
}

/// The operation as messages name it (`bpf_alu_string`): signed divisions as unsigned ones.
pub(crate) const fn symbol(op: AluOp) -> &'static str {
    match op {
        AluOp::Sdiv => AluOp::Div.symbol(),
        AluOp::Smod => AluOp::Mod.symbol(),
        other => other.symbol(),
    }
}
