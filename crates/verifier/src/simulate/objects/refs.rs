// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! References (`acquire_reference`, `release_reference`, `check_resource_leak`).

use crate::messages::Objects;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{RefKind, Reference, RegState};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::ProgType;

impl<O: Observer> Sim<'_, '_, O> {
    /// Takes a reference at the current instruction; its id (`acquire_reference`).
    pub(crate) fn acquire_reference(&mut self) -> Step<u32> {
        let id = self.new_id();
        let reference = Reference { kind: RefKind::Ptr, id, insn: self.insn, object: 0 };
        self.cur.resources.refs.push(&self.env.budget, reference)?;
        Ok(id)
    }

    /// Whether something of this id is held, of whatever kind (`find_reference_state`).
    pub(crate) fn holds_reference(&self, id: u32) -> bool {
        self.cur.resources.refs.iter().any(|reference| reference.id == id)
    }

    /// Gives a reference back without a look at registers (`release_reference_nomark`). False if
    /// it is not held.
    pub(crate) fn forget_reference(&mut self, id: u32) -> bool {
        let refs = &mut self.cur.resources.refs;
        let is = |reference: &Reference| reference.kind == RefKind::Ptr && reference.id == id;
        let Some(place) = refs.iter().position(is) else { return false };
        // The order of what is left matters.
        refs.remove(place).is_some()
    }

    /// Gives a reference back and makes everything that belongs to it unreadable
    /// (`release_reference`). False if it is not held; nothing changes then.
    pub(crate) fn release_reference(&mut self, id: u32) -> Step<bool> {
        if !self.forget_reference(id) {
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
        for place in 0..self.cur.resources.refs.len() {
            let Reference { kind, id, insn, .. } = *self.cur.resources.refs.at(place)?;
            if kind != RefKind::Ptr || (may_return && id == returned) {
                continue;
            }
            self.env.say(Objects::Unreleased { id, insn })?;
            leaks = true;
        }
        Ok(leaks)
    }
}
