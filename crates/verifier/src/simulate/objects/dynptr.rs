// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Dynptrs (`process_dynptr_func` and what it calls).

use super::slots::Slots;
use crate::design::{Design, Liveness};
use crate::log::state::dynptr_name;
use crate::messages::Objects;
use crate::outcome::{Abort, Step};
use crate::simulate::sim::Sim;
use crate::state::{DynptrKind, Kind, RegId, RegState, SlotType};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::{Behaviour, TypeFlags};

const OBJECT: &str = "dynptr";

/// Slots of a dynptr (`BPF_DYNPTR_NR_SLOTS`).
const SLOTS: u32 = 2;

/// How an argument takes a dynptr (`ARG_PTR_TO_DYNPTR` and its modifiers).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DynptrUse {
    /// Makes one of this kind there (`MEM_UNINIT`), with the reference of the one that it is
    /// cloned from if that has one.
    Make {
        /// What memory it describes.
        kind: DynptrKind,
        /// `clone_ref_obj_id`, 0 if none.
        clone_ref: u32,
    },
    /// Uses one, of this kind unless any will do.
    Use {
        /// What memory it must describe.
        kind: Option<DynptrKind>,
        /// The dynptr itself stays as it is (`MEM_RDONLY`).
        read_only: bool,
    },
}

/// A dynptr that an argument points to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DynptrAt {
    /// What memory it describes (`dynptr_get_type`).
    pub(crate) kind: DynptrKind,
    /// Its id, which slices remember (`dynptr_id`).
    pub(crate) id: u32,
    /// The reference that it holds, 0 if none (`dynptr_ref_obj_id`).
    pub(crate) ref_id: u32,
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// An argument that is a dynptr (`process_dynptr_func`).
    pub(crate) fn check_dynptr(&mut self, reg: Reg, usage: DynptrUse) -> Step {
        let (state, arg) = (self.copy_of(reg)?, argument(reg));
        let is_stack = matches!(state.kind, Kind::Stack) && state.flags.is_empty();
        let is_const = matches!(state.kind, Kind::Dynptr { .. }) && state.flags.is_empty();
        if !is_stack && !is_const {
            return self.env.reject(Objects::DynptrPointer { arg });
        }
        match usage {
            DynptrUse::Make { kind, clone_ref } => {
                let refused =
                    is_const || self.object_slots(&state, OBJECT, SLOTS)? == Slots::Refused;
                if refused {
                    return self.env.reject(Objects::DynptrInitialized);
                }
                self.write_object(reg, SLOTS)?;
                self.make_dynptr(&state, kind, clone_ref)
            }
            DynptrUse::Use { kind, read_only } => {
                if is_const && !read_only {
                    return self.env.reject(Objects::DynptrConst);
                }
                let Some(found) = self.find_dynptr(&state)? else {
                    return self.env.reject(Objects::DynptrUninitialized { arg });
                };
                if let Some(kind) = kind.filter(|kind| *kind != found.kind) {
                    let kind = dynptr_name(kind);
                    return self.env.reject(Objects::DynptrKind { kind, arg });
                }
                if is_const {
                    return Ok(());
                }
                let slot = self.present_slots(&state, OBJECT, SLOTS)?;
                let shown = self.env.has(Behaviour::UsedDynptrsShown);
                self.mark_object_read(state.frame, slot, 2, shown)
            }
        }
    }

    /// The dynptr that a pointer means, if there is one (`is_dynptr_reg_valid_init`).
    fn find_dynptr(&mut self, reg: &RegState) -> Step<Option<DynptrAt>> {
        if let Kind::Dynptr { kind, .. } = reg.kind {
            return Ok(Some(DynptrAt { kind, id: reg.id.0, ref_id: reg.ref_id }));
        }
        let Slots::At(number) = self.object_slots(reg, OBJECT, SLOTS)? else { return Ok(None) };
        let (low, high) = (self.slot(reg.frame, number)?, self.slot(reg.frame, number - 1)?);
        let Kind::Dynptr { kind, first_slot: true } = low.reg.kind else { return Ok(None) };
        let all = |types: [SlotType; 8]| types.iter().all(|ty| *ty == SlotType::Dynptr);
        let found = DynptrAt { kind, id: low.reg.id.0, ref_id: low.reg.ref_id };
        Ok((all(low.types) && all(high.types)).then_some(found))
    }

    /// Whether the stack slot that a dynptr would be in has a reference, as one that can be given
    /// back must (the part of `check_func_arg` about dynptrs that are released).
    pub(crate) fn is_acquired_dynptr(&mut self, reg: &RegState) -> Step<bool> {
        Ok(match self.object_slots(reg, OBJECT, SLOTS)? {
            Slots::At(number) => self.slot(reg.frame, number)?.reg.ref_id != 0,
            Slots::Beyond | Slots::Refused => false,
        })
    }

    /// The dynptr that a checked argument points to.
    pub(crate) fn dynptr_at(&mut self, reg: Reg) -> Step<DynptrAt> {
        let state = self.copy_of(reg)?;
        let found = self.find_dynptr(&state)?;
        found.ok_or_else(|| Abort::Internal("no dynptr").into())
    }

    /// `mark_stack_slots_dynptr`
    fn make_dynptr(&mut self, reg: &RegState, kind: DynptrKind, clone_ref: u32) -> Step {
        let (frame, number) = (reg.frame, self.present_slots(reg, OBJECT, SLOTS)?);
        // The two slots may belong to two others.
        self.destroy_dynptr(frame, number)?;
        self.destroy_dynptr(frame, number - 1)?;
        let id = self.new_id();
        let ref_id = match kind {
            DynptrKind::Ringbuf if clone_ref != 0 => clone_ref,
            DynptrKind::Ringbuf => self.acquire_reference()?,
            _ => 0,
        };
        for (number, first_slot) in [(number, true), (number - 1, false)] {
            let slot = self.slot_mut(frame, number)?;
            slot.types = [SlotType::Dynptr; 8];
            slot.reg.set_number(0);
            slot.reg.kind = Kind::Dynptr { kind, first_slot };
            (slot.reg.id, slot.reg.ref_id) = (RegId(id), ref_id);
        }
        D::Liveness::write_slots(self, frame, pair(number));
        Ok(())
    }

    /// Gives the dynptr back that a checked argument points to, with its clones and slices
    /// (`unmark_stack_slots_dynptr`).
    pub(crate) fn release_dynptr(&mut self, reg: Reg) -> Step {
        let state = self.copy_of(reg)?;
        let (frame, number) = (state.frame, self.present_slots(&state, OBJECT, SLOTS)?);
        let found = self.slot(frame, number)?.reg;
        let Kind::Dynptr { kind: DynptrKind::Ringbuf, .. } = found.kind else {
            return self.forget_dynptr(frame, number);
        };
        self.release_reference(found.ref_id)?;
        let count = self.store.slots(self.cur.frame(frame)?)?.len();
        for number in 1..count {
            let slot = self.slot(frame, number)?;
            if slot.reg.ref_id != found.ref_id {
                continue;
            }
            let [first, ..] = slot.types;
            if first != SlotType::Dynptr {
                return self.bug(format_args!("misconfigured ref_obj_id"));
            }
            if matches!(slot.reg.kind, Kind::Dynptr { first_slot: true, .. }) {
                self.forget_dynptr(frame, number)?;
            }
        }
        Ok(())
    }

    /// `invalidate_dynptr`
    fn forget_dynptr(&mut self, frame: u8, number: usize) -> Step {
        self.clear_slot(frame, number)?;
        self.clear_slot(frame, number.saturating_sub(1))?;
        D::Liveness::write_slots(self, frame, pair(number));
        Ok(())
    }

    /// A slot is about to be written: the dynptr there, if there is one, is gone with what was
    /// made from it (`destroy_if_dynptr_stack_slot`).
    pub(crate) fn destroy_dynptr(&mut self, frame: u8, number: usize) -> Step {
        let slots = self.store.slots(self.cur.frame(frame)?)?;
        let first = slots.get(number).and_then(|slot| slot.types.first());
        if first != Some(&SlotType::Dynptr) {
            return Ok(());
        }
        let slot = self.slot(frame, number)?;
        let is_first = matches!(slot.reg.kind, Kind::Dynptr { first_slot: true, .. });
        let number = if is_first { number } else { number + 1 };
        let dynptr = self.slot(frame, number)?.reg;
        if matches!(dynptr.kind, Kind::Dynptr { kind: DynptrKind::Ringbuf, .. }) {
            return self.env.reject(Objects::DynptrOverwrite);
        }
        self.touch_slot(number);
        self.touch_slot(number.saturating_sub(1));
        for number in [number, number.saturating_sub(1)] {
            self.slot_mut(frame, number)?.types = [SlotType::Invalid; 8];
        }
        // Slices that remember more than that they may be null are left alone.
        let plain = |flags: TypeFlags| TypeFlags::PTR_MAYBE_NULL.contains(flags);
        self.invalidate_regs(|reg| match reg.kind {
            Kind::Mem { dynptr_id, .. } => plain(reg.flags) && dynptr_id == dynptr.id.0,
            _ => false,
        })?;
        self.forget_dynptr(frame, number)
    }

    /// A dynptr as callbacks get it (`mark_dynptr_cb_reg`).
    pub(crate) fn callback_dynptr(&mut self, kind: DynptrKind) -> RegState {
        let mut reg = RegState::pointer(Kind::Dynptr { kind, first_slot: true });
        reg.id = RegId(self.new_id());
        reg
    }
}

/// The number of an argument, from 0.
pub(super) fn argument(reg: Reg) -> u32 {
    u32::from(reg.number()).saturating_sub(1)
}

/// Bits of a slot and the one above it.
const fn pair(number: usize) -> u64 {
    let upper = number.saturating_sub(1) & 63;
    1 << (number & 63) | 1 << upper
}
