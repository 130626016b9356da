// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What comparing a pointer with null, or with a pointer that is not null, says of it
//! (`mark_ptr_or_null_regs`, `mark_ptr_not_null_reg`).

use super::sim::Sim;
use crate::analysis::record::FieldKinds;
use crate::design::Design;
use crate::outcome::Step;
use crate::state::{Kind, MapRef, RegId, RegState, Residue};
use crate::trace::Observer;
use veristable_isa::{CmpOp, Reg};
use veristable_kernel::{Behaviour, MapType, TypeFlags};

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// A pointer was compared with null: on one way it is null, on the other it is not, and so is
    /// whatever shares its id. `null_if_taken`: it is null where the jump is taken.
    pub(crate) fn learn_null(&mut self, reg: Reg, null_if_taken: bool) -> Step {
        let pointer = self.copy_of(reg)?;
        let id = pointer.id;
        let valid = self.not_null(&pointer)?;
        let keeps_id = self.may_hold_lock(&valid)?;
        let wanted = |reg: &RegState| {
            let rcu = reg.flags.contains(TypeFlags::MEM_RCU);
            reg.may_be_null() && reg.id == id && (rcu || !id.is_none()) && is_unmoved(reg)
        };
        let become_valid = |reg: &mut RegState| {
            match reg.kind {
                Kind::MapValue { .. } => {
                    (reg.kind, reg.flags, reg.residue) = (valid.kind, valid.flags, valid.residue);
                }
                _ => reg.flags.remove(TypeFlags::PTR_MAYBE_NULL),
            }
            if !keeps_id {
                reg.id = RegId::NONE;
            }
        };
        let become_null = |reg: &mut RegState| {
            let residue = Residue::of(reg.kind);
            if !residue.is_none() {
                reg.residue = residue;
            }
            (reg.kind, reg.flags) = (Kind::Scalar, TypeFlags::empty());
            (reg.id, reg.ref_id) = (RegId::NONE, 0);
        };
        let acquired = pointer.ref_id != 0 && pointer.ref_id == id.0;
        if null_if_taken {
            self.update_regs(wanted, become_valid)?;
            if acquired {
                self.forget_reference_of_branch(id.0)?;
            }
            self.update_regs_of_branch(wanted, become_null)
        } else {
            if acquired {
                self.forget_reference(id.0)?;
            }
            self.update_regs(wanted, become_null)?;
            self.update_regs_of_branch(wanted, become_valid)
        }
    }

    /// Two pointers, of which one may be null, are equal on one way: there neither is null.
    pub(crate) fn learn_from_equal_pointers(&mut self, op: CmpOp, dst: Reg, src: Reg) -> Step {
        let (left, right) = (self.copy_of(dst)?, self.copy_of(src)?);
        let is_object = |reg: &RegState| matches!(reg.kind, Kind::BtfId { .. });
        let by_validity = self.env.has(Behaviour::EqualToValidPointer);
        let tells = |other: &RegState| !by_validity || self.is_never_null(other);
        if !left.is_pointer()
            || !right.is_pointer()
            || left.may_be_null() == right.may_be_null()
            // A kernel object can be null whatever its type says.
            || is_object(&left)
            || is_object(&right)
            || !tells(if right.may_be_null() { &left } else { &right })
        {
            return Ok(());
        }
        let (number, pointer) = if right.may_be_null() { (src, right) } else { (dst, left) };
        let valid = self.not_null(&pointer)?;
        match op {
            CmpOp::Eq => *self.branch_reg(number)? = valid,
            CmpOp::Ne => *self.reg_mut(number)? = valid,
            _ => {}
        }
        Ok(())
    }

    /// What a pointer that may be null is once it is not (`mark_ptr_not_null_reg`).
    pub(crate) fn not_null(&mut self, pointer: &RegState) -> Step<RegState> {
        let mut valid = *pointer;
        let Kind::MapValue { map, uid } = pointer.kind else {
            valid.flags.remove(TypeFlags::PTR_MAYBE_NULL);
            return Ok(valid);
        };
        valid.flags = TypeFlags::empty();
        let desc = self.env.map(map.index)?;
        valid.kind = if !map.inner && desc.inner.is_some() {
            let map = MapRef { index: map.index, inner: true };
            // Its timers belong to this very map.
            let record = self.map_record(map)?;
            let is_own = self.record_has(record, ASYNC)?;
            Kind::ConstMapPtr { map, uid: if is_own { pointer.id.0 } else { uid } }
        } else {
            match self.map_spec(map)?.map_type {
                MapType::XSKMAP => Kind::XdpSock,
                MapType::SOCKMAP | MapType::SOCKHASH => Kind::Socket,
                _ => pointer.kind,
            }
        };
        if matches!(valid.kind, Kind::XdpSock | Kind::Socket) {
            valid.residue = Residue::of(pointer.kind);
        }
        Ok(valid)
    }

    /// Whether a lock could be behind a pointer, so that its id still matters
    /// (`reg_may_point_to_spin_lock`).
    pub(crate) fn may_hold_lock(&mut self, pointer: &RegState) -> Step<bool> {
        let record = self.reg_record(pointer)?;
        Ok(self.record_has(record, FieldKinds::SPIN_LOCK | FieldKinds::RES_SPIN_LOCK)?)
    }
}

/// What calls back later.
const ASYNC: FieldKinds =
    FieldKinds::TIMER.union(FieldKinds::WORKQUEUE).union(FieldKinds::TASK_WORK);

/// The pointer has no offset, as one that may be null cannot be moved; only allocated objects
/// come with a constant one.
fn is_unmoved(reg: &RegState) -> bool {
    let allocated =
        matches!(reg.kind, Kind::BtfId { .. }) && reg.flags.contains(TypeFlags::MEM_ALLOC);
    let s64 = reg.value.s64;
    s64.min == 0 && s64.max == 0 && reg.value.bits.equals(0) && (allocated || reg.off == 0)
}
