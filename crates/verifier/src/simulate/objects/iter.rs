// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Iterators in stack slots (`process_iter_arg`).

use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::BtfRef;
use crate::trace::Observer;
use veristable_btf::TypeId;
use veristable_isa::Reg;

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

impl<O: Observer> Sim<'_, '_, O> {
    /// An argument that is an iterator (`process_iter_arg`); `func` is the kfunc's name. Gives
    /// its place unless it was made.
    pub(crate) fn check_iter(
        &mut self,
        reg: Reg,
        ty: IterType<'_>,
        usage: IterUse,
        func: &str,
    ) -> Step<Option<IterPlace>> {
        let _ = (reg, ty, usage, func);
        self.env.unsupported("iterator", "")
    }
}
