// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Dynptrs (`process_dynptr_func` and what it calls).

use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{DynptrKind, RegState};
use crate::trace::Observer;
use veristable_isa::Reg;

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

impl<O: Observer> Sim<'_, '_, O> {
    /// An argument that is a dynptr (`process_dynptr_func`).
    pub(crate) fn check_dynptr(&mut self, reg: Reg, usage: DynptrUse) -> Step {
        let _ = (reg, usage);
        self.env.unsupported("dynptr", "")
    }

    /// The dynptr that a checked argument points to.
    pub(crate) fn dynptr_at(&mut self, reg: Reg) -> Step<DynptrAt> {
        let _ = reg;
        self.env.unsupported("dynptr", "")
    }

    /// Gives the dynptr back that a checked argument points to, with its clones and slices
    /// (`unmark_stack_slots_dynptr`).
    pub(crate) fn release_dynptr(&mut self, reg: Reg) -> Step {
        let _ = reg;
        self.env.unsupported("dynptr", "")
    }

    /// A dynptr as callbacks get it (`mark_dynptr_cb_reg`).
    pub(crate) fn callback_dynptr(&mut self, kind: DynptrKind) -> RegState {
        let mut reg = RegState::pointer(crate::state::Kind::Dynptr { kind, first_slot: true });
        reg.id = crate::state::RegId(self.new_id());
        reg
    }
}
