// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Care against misprediction, for programs that may not do without (`sanitize_ptr_alu` and its
//! family): pointer arithmetic that the JIT will mask, and paths that only a mispredicting
//! processor takes.

use super::memory::{Accessor, Part};
use super::sim::{KindMemo, Masking, Sim};
use crate::design::Design;
use crate::env::InsnFlags;
use crate::errno::Errno;
use crate::log::state::TnumText;
use crate::messages::Arithmetic;
use crate::outcome::{Abort, Step, Stop};
use crate::state::{Kind, MapRef, RegState, STACK_BYTES};
use crate::trace::Observer;
use veristable_isa::{AluOp, Operand, Reg};
use veristable_kernel::Behaviour;

/// `BPF_ALU_*` (`include/linux/bpf_verifier.h`).
mod alu_state {
    pub(super) const SANITIZE_SRC: u8 = 1 << 0;
    pub(super) const SANITIZE_DST: u8 = 1 << 1;
    pub(super) const NEG_VALUE: u8 = 1 << 2;
    pub(super) const NON_POINTER: u8 = 1 << 3;
    pub(super) const IMMEDIATE: u8 = 1 << 4;
}

/// A pointer is being moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PointerMove {
    /// Addition or subtraction; others need no care.
    pub(crate) op: AluOp,
    /// The result.
    pub(crate) dst: Reg,
    /// Where the pointer is: the result, or the other operand.
    pub(crate) pointer_reg: Reg,
    /// The number.
    pub(crate) offset: RegState,
}

/// How far the pointer could move before the instruction (`struct bpf_sanitize_info`).
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Window {
    masking: Option<Masking>,
    to_left: bool,
}

/// Why arithmetic cannot be masked (`REASON_*`).
enum Reason {
    Bounds,
    Type,
    Paths,
    Limit,
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// `can_skip_alu_sanitation`: `by_constant` if the second operand is an immediate.
    fn needs_no_mask(&self, by_constant: bool) -> Result<bool, Abort> {
        Ok(self.env.privileges.bypass_spec_v1
            || by_constant
            || self.has_flag(self.insn, InsnFlags::NOSPEC)?)
    }

    fn is_by_constant(&self) -> Result<bool, Abort> {
        use veristable_isa::consts::{BPF_X, bpf_src};
        Ok(bpf_src(self.env.code.insn(self.insn)?.code) != BPF_X)
    }

    /// Adds or subtracts two numbers: must not be pointer arithmetic elsewhere
    /// (`sanitize_val_alu`).
    pub(crate) fn mask_scalar(&mut self, op: AluOp, dst: Reg, src: Operand) -> Step {
        if self.needs_no_mask(matches!(src, Operand::Imm(_)))? {
            return Ok(());
        }
        let masking = Masking { state: alu_state::NON_POINTER, limit: 0 };
        match self.remember_masking(masking)? {
            Ok(()) => Ok(()),
            Err(reason) => self.refuse_move(&reason, op, dst, None),
        }
    }

    /// `update_alu_sanitation_state`
    fn remember_masking(&mut self, masking: Masking) -> Result<Result<(), Reason>, Abort> {
        let memo = self.memo()?;
        if matches!(memo.of_kind, KindMemo::Arithmetic(before) if before != masking) {
            return Ok(Err(Reason::Paths));
        }
        memo.of_kind = KindMemo::Arithmetic(masking);
        Ok(Ok(()))
    }

    /// Before a pointer is moved.
    pub(crate) fn mask_pointer(&mut self, moved: &PointerMove, pointer: &RegState) -> Step<Window> {
        let mut window = Window::default();
        if !matches!(moved.op, AluOp::Add | AluOp::Sub)
            || self.needs_no_mask(self.is_by_constant()?)?
        {
            return Ok(window);
        }
        let by = &moved.offset.value;
        let (known, negative) = (by.bits.is_const(), by.s64.min < 0);
        if !self.cur.speculative {
            if !known && negative != (by.s64.max < 0) {
                return self.refuse_pointer(&Reason::Bounds, moved);
            }
            window.to_left = (moved.op == AluOp::Add) == negative;
            let limit = match self.pointer_limit(pointer, window.to_left)? {
                Ok(limit) => limit,
                Err(reason) => return self.refuse_pointer(&reason, moved),
            };
            let mut state = if moved.pointer_reg == moved.dst {
                alu_state::SANITIZE_SRC
            } else {
                alu_state::SANITIZE_DST
            };
            if negative {
                state |= alu_state::NEG_VALUE;
            }
            if known {
                state |= alu_state::IMMEDIATE;
            } else {
                self.explore_alu_limits = true;
            }
            window.masking = Some(Masking { state, limit });
        }
        if known {
            return Ok(window);
        }
        // The processor may go on as if the number were 0.
        let kept = self.copy_of(moved.dst)?;
        if moved.pointer_reg != moved.dst {
            *self.reg_mut(moved.dst)? = *pointer;
        }
        let pushed = self.push_branch(self.insn + 1, self.insn, true, Errno::ENOMEM);
        if let Err(Stop::Rejected(_)) = pushed {
            let reg = moved.dst.number();
            let barriers = self.env.has(Behaviour::SpeculationBarriers);
            let errno = if barriers { Errno::ENOMEM } else { Errno::EACCES };
            return self.env.reject_with(errno, Arithmetic::NotPushed { reg });
        }
        pushed?;
        if moved.pointer_reg != moved.dst {
            *self.reg_mut(moved.dst)? = kept;
        }
        Ok(window)
    }

    /// After a pointer was moved: the window becomes as narrow as the move.
    pub(crate) fn mask_pointer_after(&mut self, moved: &PointerMove, window: Window) -> Step {
        let (Some(before), false) = (window.masking, self.cur.speculative) else { return Ok(()) };
        let pointer = self.copy_of(moved.dst)?;
        let limit = match self.pointer_limit(&pointer, window.to_left)? {
            Ok(limit) => limit,
            Err(reason) => return self.refuse_pointer(&reason, moved),
        };
        let limit = before.limit.wrapping_sub(limit).cast_signed().unsigned_abs();
        match self.remember_masking(Masking { limit, ..before })? {
            Ok(()) => Ok(()),
            Err(reason) => self.refuse_pointer(&reason, moved),
        }
    }

    fn refuse_pointer<T>(&mut self, reason: &Reason, moved: &PointerMove) -> Step<T> {
        self.refuse_move(reason, moved.op, moved.dst, Some(moved.pointer_reg))
    }

    /// `sanitize_err`. `pointer`: which operand is the pointer, if any is.
    fn refuse_move<T>(
        &mut self,
        reason: &Reason,
        op: AluOp,
        dst: Reg,
        pointer: Option<Reg>,
    ) -> Step<T> {
        let src = self.env.code.insn(self.insn)?.src();
        // Where the number was copied before it became a pointer, it is no longer known to have
        // been in the result, and the kernel names the other register.
        let copied = self.env.has(Behaviour::ScalarPlusPointerCopies);
        let offset_is_dst = !copied && pointer.is_some_and(|pointer| pointer != dst);
        let (offset, base) = if offset_is_dst { (dst.number(), src) } else { (src, dst.number()) };
        let (reg, op) = (dst.number(), if op == AluOp::Add { "add" } else { "sub" });
        self.env.reject(match reason {
            Reason::Bounds => Arithmetic::MixedBounds { reg: offset },
            Reason::Type => Arithmetic::UnsupportedPointer { reg: base },
            Reason::Paths => Arithmetic::DifferentPaths { reg, op },
            Reason::Limit => Arithmetic::BeyondBounds { reg, op },
        })
    }

    /// How far a pointer may still move (`retrieve_ptr_limit`).
    fn pointer_limit(
        &self,
        pointer: &RegState,
        to_left: bool,
    ) -> Result<Result<u32, Reason>, Abort> {
        let (limit, max) = match pointer.kind {
            Kind::Stack => {
                let offset = (pointer.value.bits.value as u32).wrapping_add(pointer.off as u32);
                (offset.wrapping_neg(), STACK_BYTES.unsigned_abs() + u32::from(to_left))
            }
            Kind::MapValue { map, .. } => {
                let value = &pointer.value;
                let end = if to_left { value.s64.min as u32 } else { value.u64.max as u32 };
                (end.wrapping_add(pointer.off as u32), self.map_spec(map)?.value_size)
            }
            _ => return Ok(Err(Reason::Type)),
        };
        Ok(if limit >= max { Err(Reason::Limit) } else { Ok(limit) })
    }

    /// The moved pointer must stay where it can be masked (`sanitize_check_bounds`).
    pub(crate) fn check_masked_bounds(&mut self, dst: Reg) -> Step {
        if self.env.privileges.bypass_spec_v1 {
            return Ok(());
        }
        let pointer = self.copy_of(dst)?;
        let reg = dst.number();
        match pointer.kind {
            Kind::Stack => {}
            Kind::MapValue { map, .. } => return self.check_masked_value(dst, &pointer, map),
            _ => return Ok(()),
        }
        let off = pointer.off.wrapping_add(pointer.value.bits.value as i32);
        if !pointer.value.bits.is_const() {
            let var_off = TnumText(pointer.value.bits).text();
            return self.env.reject(Arithmetic::VariableStack { reg, var_off, off });
        }
        if !(-STACK_BYTES..0).contains(&off) {
            return self.env.reject(Arithmetic::StackRange { reg, off });
        }
        Ok(())
    }

    /// A byte at the place in the map's value could be used.
    fn check_masked_value(&mut self, dst: Reg, pointer: &RegState, map: MapRef) -> Step {
        let part = Part { reg: dst, off: pointer.off, size: 1, zero_size_allowed: false };
        match self.check_map_value(part, pointer, map, Accessor::Callee) {
            Err(Stop::Rejected(_)) => self.env.reject(Arithmetic::ValueRange { reg: dst.number() }),
            other => other.map(|_| ()),
        }
    }

    /// Sets aside the way that a decided jump does not take, for a processor that mispredicts
    /// (`sanitize_speculative_path`): its operands may be anything there.
    pub(crate) fn push_mispredicted(&mut self, insn: u32, dst: Reg, src: Operand) -> Step {
        if self.env.privileges.bypass_spec_v1 {
            return Ok(());
        }
        self.push_branch(insn, self.insn, true, Errno::EFAULT)?;
        self.branch_reg(dst)?.set_unknown();
        if let Operand::Reg(src) = src {
            self.branch_reg(src)?.set_unknown();
        }
        Ok(())
    }
}
