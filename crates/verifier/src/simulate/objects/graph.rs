// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Linked lists and trees of allocated objects, and references that own nothing.

use crate::analysis::record::Root;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::RegState;
use crate::trace::Observer;
use veristable_isa::Reg;

/// List or tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GraphKind {
    /// A linked list.
    List,
    /// A red-black tree.
    Tree,
}

impl<O: Observer> Sim<'_, '_, O> {
    /// An argument that is a list or tree, whose lock must be held
    /// (`process_kf_arg_ptr_to_list_head`, `process_kf_arg_ptr_to_rbtree_root`).
    pub(crate) fn check_graph_root(&mut self, reg: Reg, kind: GraphKind) -> Step<Root> {
        let _ = (reg, kind);
        self.env.unsupported("graph", "root")
    }

    /// An argument that is an element for it (`process_kf_arg_ptr_to_list_node`,
    /// `process_kf_arg_ptr_to_rbtree_node`).
    pub(crate) fn check_graph_node(&mut self, reg: Reg, kind: GraphKind, root: &Root) -> Step {
        let _ = (reg, kind, root);
        self.env.unsupported("graph", "node")
    }

    /// The element that a kfunc takes from it or shows (`mark_reg_graph_node`); id, reference
    /// and further modifiers are the caller's.
    pub(crate) fn graph_node(root: &Root) -> RegState {
        let mut reg =
            RegState::pointer(crate::state::Kind::BtfId { btf: root.btf, id: root.value });
        reg.flags = veristable_kernel::TypeFlags::MEM_ALLOC;
        reg.off = i32::try_from(root.node_offset).unwrap_or(0);
        reg
    }

    /// A pointer to an element that others own (`ref_set_non_owning`): usable while the lock is
    /// held.
    pub(crate) fn set_non_owning(&mut self, reg: &mut RegState) -> Step {
        let _ = reg;
        self.env.unsupported("graph", "non-owning reference")
    }

    /// An object was given to a list or tree: what pointed to it owns it no longer
    /// (`ref_convert_owning_non_owning`).
    pub(crate) fn give_to_graph(&mut self, ref_id: u32) -> Step {
        let _ = ref_id;
        self.env.unsupported("graph", "non-owning reference")
    }

    /// Pointers to elements are no longer usable: a lock was given back
    /// (`invalidate_non_owning_refs`).
    pub(crate) fn invalidate_non_owning(&mut self) -> Step {
        self.env.unsupported("graph", "non-owning reference")
    }
}
