// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! References (`acquire_reference`, `release_reference`, `check_resource_leak`).

use crate::design::Design;
use crate::messages::Objects;
use crate::outcome::{Abort, Step};
use crate::simulate::sim::{Sim, last_branch};
use crate::state::{RefKind, Reference, RegState};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::ProgType;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// Takes a reference at the current instruction; its id (`acquire_reference`).
    pub(crate) fn acquire_reference(&mut self) -> Step<u32> {
        let id = self.new_id();
        let reference = Reference { kind: RefKind::Ptr, id, insn: self.insn, object: 0 };
        self.hold(reference)?;
        Ok(id)
    }

    /// Adds to what is held.
    pub(super) fn hold(&mut self, reference: Reference) -> Result<(), Abort> {
        let Self { env, store, cur, .. } = self;
        store.refs.push(&env.budget, &mut cur.resources.refs, reference)
    }

    /// What the current state holds, the newest first.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Reference> {
        self.store.refs.newest_first(&self.cur.resources.refs)
    }

    /// Whether something of this id is held, of whatever kind (`find_reference_state`).
    pub(crate) fn holds_reference(&self, id: u32) -> bool {
        self.held().any(|reference| reference.id == id)
    }

    /// Gives a reference back without a look at registers (`release_reference_nomark`). False if
    /// it is not held.
    pub(crate) fn forget_reference(&mut self, id: u32) -> Result<bool, Abort> {
        let Self { env, store, cur, .. } = self;
        store.refs.remove(&env.budget, &mut cur.resources.refs, |held| held.is_object(id))
    }

    /// As [`Sim::forget_reference`], in the branch that waits last.
    pub(crate) fn forget_reference_of_branch(&mut self, id: u32) -> Result<bool, Abort> {
        let Self { env, store, pending, .. } = self;
        let refs = &mut last_branch(pending)?.resources.refs;
        store.refs.remove(&env.budget, refs, |held| held.is_object(id))
    }

    /// Gives a reference back and makes everything that belongs to it unreadable
    /// (`release_reference`). False if it is not held; nothing changes then.
    pub(crate) fn release_reference(&mut self, id: u32) -> Step<bool> {
        if !self.forget_reference(id)? {
            return Ok(false);
        }
        self.invalidate_regs(|reg| reg.ref_id == id)?;
        Ok(true)
    }

    /// Makes every register and spilled one that `wanted` picks useless (`mark_reg_invalid`):
    /// any number, or unreadable for programs that must not see pointers.
    pub(crate) fn invalidate_regs(&mut self, wanted: impl Fn(&RegState) -> bool) -> Step {
        let leaks = self.env.privileges.allow_ptr_leaks;
        self.update_regs(wanted, |reg| {
            if leaks {
                reg.set_unknown();
            } else {
                reg.set_not_init();
            }
        })
    }

    /// Refuses what is still held where nothing may be (`check_resource_leak`). `place` is the
    /// kernel's prefix (`tail_call`, `BPF_LD_[ABS|IND]`, `BPF_EXIT instruction in main prog`),
    /// `exception`: references count in every frame, `locks`: locks and regions count too.
    pub(crate) fn check_resource_leak(
        &mut self,
        place: &'static str,
        exception: bool,
        locks: bool,
    ) -> Step {
        if locks && self.cur.resources.locks > 0 {
            return self.env.reject(Objects::InsideLock { place });
        }
        if self.leaks_reference(exception)? {
            return self.env.reject(Objects::ReferenceLeak { place });
        }
        if !locks {
            return Ok(());
        }
        let resources = &self.cur.resources;
        if resources.irq_id != 0 {
            return self.env.reject(Objects::InsideIrq { place });
        }
        if resources.rcu {
            return self.env.reject(Objects::InsideRcu { place });
        }
        if resources.preempt != 0 {
            return self.env.reject(Objects::InsidePreempt { place });
        }
        Ok(())
    }

    /// Names the references that are still held (`check_reference_leak`).
    fn leaks_reference(&mut self, exception: bool) -> Step<bool> {
        if self.cur.resources.refs.is_empty() || (!exception && self.cur.depth != 0) {
            return Ok(false);
        }
        // A struct_ops program may return a reference; its type is tested later.
        let may_return = self.env.prog.rules == ProgType::STRUCT_OPS && !exception;
        let returned = if may_return { self.reg(Reg::R0)?.ref_id } else { 0 };
        let mut leaks = false;
        let held = self.store.refs.oldest_first(&self.env.budget, &self.cur.resources.refs)?;
        for Reference { kind, id, insn, .. } in held.iter().copied() {
            if kind != RefKind::Ptr || (may_return && id == returned) {
                continue;
            }
            self.env.say(Objects::Unreleased { id, insn })?;
            leaks = true;
        }
        held.release(&self.env.budget);
        Ok(leaks)
    }
}
