// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Arithmetic on a pointer and a number (`adjust_ptr_min_max_vals`).

use super::alu::symbol;
use super::sim::Sim;
use super::speculation::PointerMove;
use crate::design::{Design, Liveness};
use crate::domain::Interval;
use crate::log::state::TypeName;
use crate::messages::Arithmetic;
use crate::outcome::Step;
use crate::state::{Kind, RegId, RegState};
use crate::trace::Observer;
use veristable_isa::{AluOp, Reg, Width};
use veristable_kernel::{Behaviour, TypeFlags};

/// Offsets must stay below this (`BPF_MAX_VAR_OFF`).
pub(crate) const MAX_VAR_OFF: i64 = 1 << 29;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// `dst = pointer op offset` or, where the pointer is the second operand, `dst = offset op
    /// pointer`. `pointer_reg` is where the pointer is; the values are from before.
    pub(crate) fn move_pointer(
        &mut self,
        op: AluOp,
        width: Width,
        dst: Reg,
        pointer_reg: Reg,
        pointer: &RegState,
        offset: &RegState,
    ) -> Step {
        let by = &offset.value;
        let known = by.bits.is_const();
        let contradicts = known && !(by.s64.is_single() && by.u64.is_single());
        if contradicts || by.s64.is_empty() || by.u64.is_empty() {
            // A dead branch gave it impossible bounds.
            self.reg_mut(dst)?.set_unknown();
            return Ok(());
        }
        let reg = dst.number();
        if width == Width::W32 {
            if op == AluOp::Sub && self.env.privileges.allow_ptr_leaks {
                self.reg_mut(dst)?.set_unknown();
                return Ok(());
            }
            return self.env.reject(Arithmetic::Pointer32 { reg });
        }
        let ty = TypeName::of(pointer);
        if pointer.may_be_null() {
            return self.env.reject(Arithmetic::NullCheckFirst { reg, ty: ty.text() });
        }
        if matches!(pointer.kind, Kind::Mem { .. })
            && pointer.flags.contains(TypeFlags::PTR_UNTRUSTED)
        {
            return Ok(());
        }
        if !may_move(pointer.kind, op, offset) {
            return self.env.reject(Arithmetic::ProhibitedOn { reg, ty: ty.text() });
        }
        if pointer_reg != dst {
            D::Liveness::copy_reg(self, dst, pointer_reg);
        }
        let copies = self.env.has(Behaviour::ScalarPlusPointerCopies);
        let left = self.reg_mut(dst)?;
        if copies {
            *left = *pointer;
        } else {
            // `number += pointer` inherits type and id; what else the register carried stays.
            (left.kind, left.flags, left.id) = (pointer.kind, pointer.flags, pointer.id);
        }
        self.check_sane(offset, ty)?;
        self.check_sane(pointer, ty)?;
        if !copies {
            self.reg_mut(dst)?.value.forget_32();
        }
        let masked = PointerMove { op, dst, pointer_reg, offset: *offset };
        let window = self.mask_pointer(&masked, pointer)?;
        self.reg_mut(dst)?.value.forget_32();
        match op {
            AluOp::Add => self.add_to_pointer(dst, pointer, offset)?,
            AluOp::Sub => self.subtract_from_pointer(dst, pointer_reg, pointer, offset)?,
            AluOp::And | AluOp::Or | AluOp::Xor => {
                return self.env.reject(Arithmetic::Bitwise { reg, op: symbol(op) });
            }
            _ => return self.env.reject(Arithmetic::Operator { reg, op: symbol(op) }),
        }
        let result = self.copy_of(dst)?;
        self.check_sane(&result, ty)?;
        let rules = self.env.rules;
        self.reg_mut(dst)?.value.sync(rules);
        self.check_masked_bounds(dst)?;
        self.mask_pointer_after(&masked, window)
    }

    /// `check_reg_sane_offset`
    fn check_sane(&mut self, reg: &RegState, ty: TypeName) -> Step {
        let outside = |n: i64| n >= MAX_VAR_OFF || n <= -MAX_VAR_OFF;
        if let Some(value) = reg.value.as_const().map(u64::cast_signed)
            && outside(value)
        {
            return self.env.reject(Arithmetic::KnownOffset { ty: ty.text(), value });
        }
        if outside(i64::from(reg.off)) {
            return self.env.reject(Arithmetic::PointerOffset { ty: ty.text(), off: reg.off });
        }
        let min = reg.value.s64.min;
        if min == i64::MIN {
            return self.env.reject(Arithmetic::UnboundedMin { ty: ty.text() });
        }
        if outside(min) {
            return self.env.reject(Arithmetic::OutOfBounds { value: min, ty: ty.text() });
        }
        Ok(())
    }

    fn add_to_pointer(&mut self, dst: Reg, pointer: &RegState, offset: &RegState) -> Step {
        let (from, by) = (&pointer.value, &offset.value);
        let fixed = constant_offset(pointer, offset, i64::checked_add);
        let id = if fixed.is_none() && pointer.kind.is_packet() { self.new_id() } else { 0 };
        let left = self.reg_mut(dst)?;
        left.kind = pointer.kind;
        left.value.bits = from.bits;
        (left.value.s64, left.value.u64) = (from.s64, from.u64);
        if let Some(off) = fixed {
            left.off = off;
            return Ok(());
        }
        left.off = pointer.off;
        left.value.s64 = from.s64.add_signed(by.s64);
        let (min, max) =
            (from.u64.min.overflowing_add(by.u64.min), from.u64.max.overflowing_add(by.u64.max));
        left.value.u64 = if min.1 || max.1 { Interval::FULL } else { Interval::new(min.0, max.0) };
        left.value.bits = from.bits.add(by.bits);
        if pointer.kind.is_packet() {
            left.id = RegId(id);
            left.kind = without_range(pointer.kind);
        }
        Ok(())
    }

    fn subtract_from_pointer(
        &mut self,
        dst: Reg,
        pointer_reg: Reg,
        pointer: &RegState,
        offset: &RegState,
    ) -> Step {
        let reg = dst.number();
        if pointer_reg != dst {
            return self.env.reject(Arithmetic::PointerFromScalar { reg });
        }
        if matches!(pointer.kind, Kind::Stack) {
            return self.env.reject(Arithmetic::FromStackPointer { reg });
        }
        let (from, by) = (&pointer.value, &offset.value);
        let fixed = constant_offset(pointer, offset, i64::checked_sub);
        let id = if fixed.is_none() && pointer.kind.is_packet() { self.new_id() } else { 0 };
        let left = self.reg_mut(dst)?;
        left.kind = pointer.kind;
        left.value.bits = from.bits;
        (left.value.s64, left.value.u64) = (from.s64, from.u64);
        if let Some(off) = fixed {
            (left.id, left.off) = (pointer.id, off);
            return Ok(());
        }
        left.off = pointer.off;
        left.value.s64 = from.s64.sub_signed(by.s64);
        left.value.u64 = if from.u64.min < by.u64.max {
            Interval::FULL
        } else {
            Interval::new(
                from.u64.min.wrapping_sub(by.u64.max),
                from.u64.max.wrapping_sub(by.u64.min),
            )
        };
        left.value.bits = from.bits.sub(by.bits);
        if pointer.kind.is_packet() {
            left.id = RegId(id);
            if by.s64.min < 0 {
                left.kind = without_range(pointer.kind);
            }
        }
        Ok(())
    }
}

/// Whether a pointer of this kind may be moved at all.
fn may_move(kind: Kind, op: AluOp, offset: &RegState) -> bool {
    let known = offset.value.as_const();
    match kind {
        Kind::Ctx
        | Kind::MapValue { .. }
        | Kind::MapKey { .. }
        | Kind::Stack
        | Kind::PacketMeta { .. }
        | Kind::Packet { .. }
        | Kind::TpBuffer
        | Kind::BtfId { .. }
        | Kind::Mem { .. }
        | Kind::Buf
        | Kind::Func(_)
        | Kind::Dynptr { .. } => true,
        Kind::FlowKeys => known.is_some(),
        Kind::ConstMapPtr { .. } => known == Some(0) && op == AluOp::Add,
        _ => false,
    }
}

/// The new constant offset, if the number is known and the sum fits.
fn constant_offset(
    pointer: &RegState,
    offset: &RegState,
    op: fn(i64, i64) -> Option<i64>,
) -> Option<i32> {
    let by = offset.value.as_const()?.cast_signed();
    i32::try_from(op(i64::from(pointer.off), by)?).ok()
}

fn without_range(kind: Kind) -> Kind {
    match kind {
        Kind::Packet { .. } => Kind::Packet { range: 0 },
        Kind::PacketMeta { .. } => Kind::PacketMeta { range: 0 },
        other => other,
    }
}
