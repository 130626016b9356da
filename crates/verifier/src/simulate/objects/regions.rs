// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Regions where a program may do less: RCU read sections, disabled preemption, disabled
//! interrupts with their flags in stack slots.

use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::FrameFlags;
use crate::trace::Observer;
use veristable_isa::Reg;

/// What a kfunc does to the regions (`bpf_rcu_read_lock` and its kin).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Region {
    /// Nothing.
    Same,
    /// `bpf_rcu_read_lock`
    RcuLock,
    /// `bpf_rcu_read_unlock`
    RcuUnlock,
    /// `bpf_preempt_disable`
    PreemptDisable,
    /// `bpf_preempt_enable`
    PreemptEnable,
}

/// What a kfunc does with a stack slot for interrupt flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IrqUse {
    /// Saves, else restores.
    pub(crate) saves: bool,
    /// For a lock (`bpf_res_spin_lock_irqsave` and its counterpart).
    pub(crate) by_lock: bool,
}

impl<O: Observer> Sim<'_, '_, O> {
    /// May sleep here (`in_sleepable`).
    pub(crate) fn in_sleepable(&self) -> bool {
        self.cur.in_sleepable
    }

    /// Objects under RCU stay alive here (`in_rcu_cs`).
    pub(crate) fn in_rcu(&self) -> bool {
        let resources = &self.cur.resources;
        resources.rcu || resources.locks > 0 || !self.cur.in_sleepable
    }

    /// In the callback of a kfunc of trees, which runs under a lock
    /// (`in_rbtree_lock_required_cb`).
    pub(crate) fn in_tree_callback(&self) -> Step<bool> {
        let frame = self.store.frame(self.cur.current()?)?;
        if self.cur.depth == 0 || !frame.flags.contains(FrameFlags::IN_CALLBACK) {
            return Ok(false);
        }
        self.env.unsupported("callback", "of a tree")
    }

    /// What a kfunc of this name does to the regions, and whether it may be called in those that
    /// the program is in (`check_kfunc_call`). `protected`: it has `KF_RCU_PROTECTED`.
    pub(crate) fn change_regions(
        &mut self,
        func: &str,
        region: Region,
        sleepable: bool,
        protected: bool,
    ) -> Step {
        let _ = (func, region, sleepable, protected);
        self.env.unsupported("region", "")
    }

    /// Whether a helper may be called in the regions that the program is in
    /// (`check_helper_call`). `name` has no `bpf_`.
    pub(crate) fn check_helper_regions(&mut self, name: &str, id: u32, might_sleep: bool) -> Step {
        let _ = (name, id, might_sleep);
        self.env.unsupported("region", "")
    }

    /// A stack slot for interrupt flags, as an argument (`process_irq_flag`).
    pub(crate) fn check_irq_flag(&mut self, reg: Reg, usage: IrqUse) -> Step {
        let _ = (reg, usage);
        self.env.unsupported("interrupt flag", "")
    }
}
