// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Locks (`process_spin_lock`).

use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::trace::Observer;
use veristable_isa::Reg;

/// Which lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LockKind {
    /// `bpf_spin_lock` (the helpers).
    Spin,
    /// `bpf_res_spin_lock`
    Res,
    /// `bpf_res_spin_lock_irqsave`
    ResIrq,
}

impl<O: Observer> Sim<'_, '_, O> {
    /// Takes the lock that a register points to.
    pub(crate) fn take_lock(&mut self, reg: Reg, kind: LockKind) -> Step {
        let _ = (reg, kind);
        self.env.unsupported("lock", "")
    }

    /// Gives the lock back that a register points to.
    pub(crate) fn give_lock(&mut self, reg: Reg, kind: LockKind) -> Step {
        let _ = (reg, kind);
        self.env.unsupported("lock", "")
    }
}
