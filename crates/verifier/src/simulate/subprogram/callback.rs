// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Functions of the program that a helper or kfunc calls back (`push_callback_call`).

use crate::env::SubprogId;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::MapRef;
use crate::trace::Observer;
use veristable_btf::TypeId;

/// Who calls back, and with which arguments. The arguments are made from the caller's R1 to R5 as
/// they are when [`Sim::push_callback`] is called: before the call destroys them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Callback {
    /// `bpf_for_each_map_elem`: (map, key, value, context). The map in R1 must support it; `map` is
    /// the one that was first seen at this call (`map_ptr_state.map_ptr`).
    MapElement {
        /// The map that decides whether the call is allowed.
        map: MapRef,
    },
    /// `bpf_loop`: (index, context). Marks R1 precise, counts the iterations and, when R1 says that
    /// there are no more, calls nothing: the helper needs no tests of its own.
    Loop,
    /// `bpf_find_vma`: (task, vma, context).
    FindVma,
    /// `bpf_user_ringbuf_drain`: (dynptr, context).
    UserRingbuf,
    /// `bpf_timer_set_callback`: (map, key, value) of the map in R1; asynchronous.
    Timer,
    /// `bpf_wq_set_callback_impl`: as a timer's, but it may sleep.
    Workqueue,
    /// `bpf_task_work_schedule_signal_impl` and `_resume_impl`: (map, key, value) of the map in R3;
    /// asynchronous, and it may sleep.
    TaskWork,
    /// `bpf_rbtree_add_impl`: (node, node), both non-owning references to what the root in R1 holds.
    RbtreeLess {
        /// `graph_root.value_btf_id` in the program's BTF.
        value: TypeId,
        /// `graph_root.node_offset` in bytes.
        node_offset: u32,
    },
}

impl<O: Observer> Sim<'_, '_, O> {
    /// The current instruction calls a helper or kfunc that calls `subprog` back
    /// (`push_callback_call`). A branch that simulates one call of it is set aside; the current path
    /// goes on after the last one. To be called where the kernel does: with the arguments tested and
    /// still in R1 to R5.
    ///
    /// # Errors
    /// If the callback cannot be entered.
    pub(crate) fn push_callback(&mut self, subprog: SubprogId, callback: Callback) -> Step {
        let _ = (subprog, callback);
        self.env.unsupported("callback", "")
    }
}
