// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Iterators in stack slots (`process_iter_arg`).

use super::dynptr::argument;
use super::slots::Slots;
use crate::design::{Design, Liveness};
use crate::mem::Text;
use crate::messages::Objects;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, IterState, Kind, RegState, SlotType};
use crate::trace::Observer;
use veristable_btf::TypeId;
use veristable_isa::Reg;
use veristable_kernel::TypeFlags;

const OBJECT: &str = "iter";

/// The structure of an iterator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IterType<'n> {
    /// Which BTF knows it.
    pub(crate) btf: BtfRef,
    /// Its type, `struct bpf_iter_NAME`.
    pub(crate) id: TypeId,
    /// NAME (`iter_type_str`).
    pub(crate) name: &'n str,
    /// Its size in slots.
    pub(crate) slots: u32,
}

/// What a kfunc does with an iterator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IterUse {
    /// Makes it (`KF_ITER_NEW`).
    New {
        /// It must be used under RCU (`KF_RCU_PROTECTED`).
        rcu_protected: bool,
    },
    /// Uses it (`KF_ITER_NEXT`, or an argument with the suffix `__iter`).
    Use,
    /// Ends it (`KF_ITER_DESTROY`).
    Destroy,
}

/// Where an iterator is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IterPlace {
    /// Whose stack.
    pub(crate) frame: u8,
    /// Its first slot in memory, which has the highest number.
    pub(crate) slot: u8,
    /// Its reference.
    pub(crate) ref_id: u32,
}

/// Whether there is an iterator (`is_iter_reg_valid_init`).
enum Found {
    At(usize),
    Not,
    /// It was made outside of the RCU section that it needs.
    Untrusted,
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// An argument that is an iterator (`process_iter_arg`); `func` is the kfunc's name. Gives
    /// its place unless it was made.
    pub(crate) fn check_iter(
        &mut self,
        reg: Reg,
        ty: IterType<'_>,
        usage: IterUse,
        func: &str,
    ) -> Step<Option<IterPlace>> {
        let (state, arg) = (self.copy_of(reg)?, argument(reg));
        if !matches!(state.kind, Kind::Stack) || !state.flags.is_empty() {
            return self.env.reject(Objects::IterPointer { arg });
        }
        if let IterUse::New { rcu_protected } = usage {
            if !self.is_free_for_iter(&state, ty.slots)? {
                return self.env.reject(Objects::IterInitialized { name: ty.name.into(), arg });
            }
            self.write_object(reg, ty.slots)?;
            self.make_iter(&state, &ty, rcu_protected)?;
            return Ok(None);
        }
        let number = match self.find_iter(&state, &ty)? {
            Found::At(number) => number,
            Found::Not => {
                return self.env.reject(Objects::IterUninitialized { name: ty.name.into(), arg });
            }
            Found::Untrusted => {
                return self.env.reject(Objects::IterNeedsRcu { func: Text::new(func) });
            }
        };
        let frame = state.frame;
        self.mark_object_read(frame, number, ty.slots as usize, true)?;
        let ref_id = self.slot(frame, number)?.reg.ref_id;
        if usage == IterUse::Destroy {
            self.end_iter(frame, number, ty.slots as usize)?;
        }
        let slot = u8::try_from(number).unwrap_or(63);
        Ok(Some(IterPlace { frame, slot, ref_id }))
    }

    /// `is_iter_reg_valid_uninit`
    fn is_free_for_iter(&mut self, reg: &RegState, count: u32) -> Step<bool> {
        let number = match self.object_slots(reg, OBJECT, count)? {
            Slots::At(number) => number,
            Slots::Beyond => return Ok(true),
            Slots::Refused => return Ok(false),
        };
        for number in below(number, count as usize) {
            if self.slot(reg.frame, number)?.types.contains(&SlotType::Iter) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn find_iter(&mut self, reg: &RegState, ty: &IterType<'_>) -> Step<Found> {
        let count = ty.slots;
        let Slots::At(first) = self.object_slots(reg, OBJECT, count)? else {
            return Ok(Found::Not);
        };
        for number in below(first, count as usize) {
            let slot = self.slot(reg.frame, number)?;
            if slot.reg.flags.contains(TypeFlags::PTR_UNTRUSTED) {
                return Ok(Found::Untrusted);
            }
            let same = match slot.reg.kind {
                Kind::Iter { btf, id, .. } => (btf, id) == (ty.btf, ty.id),
                _ => false,
            };
            let whole = slot.types.iter().all(|ty| *ty == SlotType::Iter);
            // Only the first has the reference.
            if !same || !whole || (slot.reg.ref_id != 0) != (number == first) {
                return Ok(Found::Not);
            }
        }
        Ok(Found::At(first))
    }

    /// `mark_stack_slots_iter`
    fn make_iter(&mut self, reg: &RegState, ty: &IterType<'_>, rcu_protected: bool) -> Step {
        let (frame, first) = (reg.frame, self.present_slots(reg, OBJECT, ty.slots)?);
        let id = self.acquire_reference()?;
        let flags = match rcu_protected {
            false => TypeFlags::empty(),
            true if self.in_rcu() => TypeFlags::MEM_RCU,
            true => TypeFlags::PTR_UNTRUSTED,
        };
        for number in below(first, ty.slots as usize) {
            let slot = self.slot_mut(frame, number)?;
            slot.types = [SlotType::Iter; 8];
            slot.reg.set_number(0);
            let state = IterState::Active;
            slot.reg.kind = Kind::Iter { btf: ty.btf, id: ty.id, state, depth: 0 };
            slot.reg.flags = flags;
            slot.reg.ref_id = if number == first { id } else { 0 };
            D::Liveness::write_slots(self, frame, 1 << (number & 63));
            self.touch_slot(number);
        }
        Ok(())
    }

    /// `unmark_stack_slots_iter`
    fn end_iter(&mut self, frame: u8, first: usize, count: usize) -> Step {
        let id = self.slot(frame, first)?.reg.ref_id;
        self.release_reference(id)?;
        for number in below(first, count) {
            self.clear_slot(frame, number)?;
            D::Liveness::write_slots(self, frame, 1 << (number & 63));
            self.touch_slot(number);
        }
        Ok(())
    }
}

/// `count` slots down from this one.
fn below(first: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map_while(move |i| first.checked_sub(i))
}
