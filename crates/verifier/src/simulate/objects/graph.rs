// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Linked lists and trees of allocated objects, and references that own nothing.

use super::locks::{LOCKS, LockId};
use crate::analysis::record::{FieldKind, FieldKinds, Root};
use crate::design::Design;
use crate::mem::Text;
use crate::messages::Objects;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{Kind, RegState};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::{Behaviour, TypeFlags};

/// List or tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GraphKind {
    /// A linked list.
    List,
    /// A red-black tree.
    Tree,
}

impl GraphKind {
    const fn root(self) -> (FieldKinds, &'static str) {
        match self {
            Self::List => (FieldKinds::LIST_HEAD, "bpf_list_head"),
            Self::Tree => (FieldKinds::RB_ROOT, "bpf_rb_root"),
        }
    }

    const fn node(self) -> (FieldKinds, &'static str) {
        match self {
            Self::List => (FieldKinds::LIST_NODE, "bpf_list_node"),
            Self::Tree => (FieldKinds::RB_NODE, "bpf_rb_node"),
        }
    }
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// An argument that is a list or tree, whose lock must be held
    /// (`process_kf_arg_ptr_to_list_head`, `process_kf_arg_ptr_to_rbtree_root`).
    pub(crate) fn check_graph_root(&mut self, reg: Reg, kind: GraphKind) -> Step<Root> {
        let (state, (kinds, root)) = (self.copy_of(reg)?, kind.root());
        let Some(variable) = state.value.as_const() else {
            return self.env.reject(Objects::FieldVariable { reg: reg.number(), field: root });
        };
        let off = (variable as u32).wrapping_add_signed(state.off);
        let record = self.reg_record(&state)?;
        let (field, lock) = match record {
            Some(id) => {
                let record = self.record(id)?;
                (record.find(off, kinds), record.offset_of(FieldKinds::SPIN_LOCK))
            }
            None => (None, None),
        };
        let Some(FieldKind::ListHead(found) | FieldKind::RbRoot(found)) =
            field.map(|field| field.kind)
        else {
            return self.env.reject(Objects::GraphNotFound { field: root, off });
        };
        if !self.is_locked(&state)? {
            // The kernel shows an offset that is not there as -EINVAL.
            let off = lock.map_or(-22, u32::cast_signed);
            return self.env.reject(Objects::RootUnlocked { off, root });
        }
        Ok(found)
    }

    /// Whether the lock beside an object is held (`check_reg_allocation_locked`).
    fn is_locked(&mut self, reg: &RegState) -> Step<bool> {
        let Some(lock) = LockId::of(reg) else {
            // Only values of maps and objects of the program have fields (`reg_record`).
            return self.env.unsupported("graph", "root elsewhere");
        };
        if self.cur.resources.locks == 0 {
            return Ok(false);
        }
        let is_held = match self.env.has(Behaviour::ReferencesOfState) {
            true => lock.is_held(self.held(), LOCKS),
            false => lock.is_only(&self.cur.resources),
        };
        if !is_held {
            self.env.say(Objects::OtherAllocation)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// An argument that is an element for it (`process_kf_arg_ptr_to_list_node`,
    /// `process_kf_arg_ptr_to_rbtree_node`).
    pub(crate) fn check_graph_node(&mut self, reg: Reg, kind: GraphKind, root: &Root) -> Step {
        let (state, (kinds, node)) = (self.copy_of(reg)?, kind.node());
        let Some(variable) = state.value.as_const() else {
            return self.env.reject(Objects::FieldVariable { reg: reg.number(), field: node });
        };
        let off = (variable as u32).wrapping_add_signed(state.off);
        let field = match self.reg_record(&state)? {
            Some(id) => self.record(id)?.find(off, kinds),
            None => None,
        };
        let (Some(_), Kind::BtfId { btf, id }) = (field, state.kind) else {
            return self.env.reject(Objects::GraphNotFound { field: node, off });
        };
        let at = root.node_offset;
        let expected = Text::new(self.name_of_type(root.btf, root.value)?);
        if !self.types_are_same((btf, id), (root.btf, root.value))? {
            let ((_, root), is) = (kind.root(), Text::new(self.name_of_type(btf, id)?));
            return self.env.reject(Objects::NodeOfOther { root, node, at, expected, off, is });
        }
        if off != at {
            return self.env.reject(Objects::NodeElsewhere { off, node, at, expected });
        }
        Ok(())
    }

    /// The element that a kfunc takes from it or shows (`mark_reg_graph_node`); id, reference
    /// and further modifiers are the caller's.
    pub(crate) fn graph_node(root: &Root) -> RegState {
        let mut reg = RegState::pointer(Kind::BtfId { btf: root.btf, id: root.value });
        reg.flags = TypeFlags::MEM_ALLOC;
        reg.off = i32::try_from(root.node_offset).unwrap_or(0);
        reg
    }

    /// A pointer to an element that others own (`ref_set_non_owning`): usable while the lock is
    /// held.
    pub(crate) fn set_non_owning(&mut self, reg: &mut RegState) -> Step {
        if self.cur.resources.locks == 0 {
            return self.bug(format_args!("ref_set_non_owning w/o active lock"));
        }
        if reg.flags.contains(TypeFlags::NON_OWN_REF) {
            return self.bug(format_args!("NON_OWN_REF already set"));
        }
        let record = self.reg_record(reg)?;
        reg.flags.insert(TypeFlags::NON_OWN_REF);
        if self.record_has(record, FieldKinds::REFCOUNT)? {
            reg.flags.insert(TypeFlags::MEM_RCU);
        }
        Ok(())
    }

    /// An object was given to a list or tree: what pointed to it owns it no longer
    /// (`ref_convert_owning_non_owning`). The reference itself is still to be released.
    pub(crate) fn give_to_graph(&mut self, ref_id: u32) -> Step {
        if ref_id == 0 {
            return self
                .bug(format_args!("ref_obj_id is zero for owning -> non-owning conversion"));
        }
        if !self.holds_reference(ref_id) {
            return self.bug(format_args!("ref state missing for ref_obj_id"));
        }
        let mut object = None;
        self.update_regs(
            |reg| reg.ref_id == ref_id,
            |reg| {
                reg.ref_id = 0;
                reg.flags.insert(TypeFlags::NON_OWN_REF);
                object = Some(*reg);
            },
        )?;
        // All of them point to the same object, and others of its type have the mark already.
        let Some(object) = object else { return Ok(()) };
        let record = self.reg_record(&object)?;
        if self.record_has(record, FieldKinds::REFCOUNT)? {
            self.update_regs(
                |reg| reg.kind == object.kind && is_non_owning(reg),
                |reg| reg.flags.insert(TypeFlags::MEM_RCU),
            )?;
        }
        Ok(())
    }

    /// Pointers to elements are no longer usable: a lock was given back
    /// (`invalidate_non_owning_refs`).
    pub(crate) fn invalidate_non_owning(&mut self) -> Step {
        self.invalidate_regs(is_non_owning)
    }
}

/// `type_is_non_owning_ref`
fn is_non_owning(reg: &RegState) -> bool {
    matches!(reg.kind, Kind::BtfId { .. })
        && reg.flags.contains(TypeFlags::MEM_ALLOC | TypeFlags::NON_OWN_REF)
}
