// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Regions where a program may do less: RCU read sections, disabled preemption, disabled
//! interrupts with their flags in stack slots.

use super::dynptr::argument;
use super::slots::Slots;
use crate::design::{Design, Liveness};
use crate::env::Target;
use crate::mem::Text;
use crate::messages::Objects;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{Callsite, FrameFlags, Kind, RefKind, Reference, RegState, SlotType};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::{Behaviour, TypeFlags};

const OBJECT: &str = "irq_flag";

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

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// May sleep here (`in_sleepable`).
    pub(crate) fn in_sleepable(&self) -> bool {
        let whole_program = !self.env.has(Behaviour::StateSleeps);
        self.cur.in_sleepable || (whole_program && self.env.prog.sleepable)
    }

    /// Objects under RCU stay alive here (`in_rcu_cs`).
    pub(crate) fn in_rcu(&self) -> bool {
        let resources = &self.cur.resources;
        resources.rcu || resources.locks > 0 || !self.in_sleepable()
    }

    /// In the callback of a kfunc of trees, which runs under a lock
    /// (`in_rbtree_lock_required_cb`).
    pub(crate) fn in_tree_callback(&self) -> Step<bool> {
        let current = self.cur.depth;
        let outermost = match self.env.has(Behaviour::RbtreeCallbackAtDepth) {
            true => 1,
            false => current.max(1),
        };
        for number in (outermost..=current).rev() {
            if self.is_tree_callback(number)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a frame is that of such a callback.
    fn is_tree_callback(&self, number: u8) -> Step<bool> {
        let frame = self.store.frame(self.cur.frame(number)?)?;
        let Callsite::Insn(call) = frame.callsite else { return Ok(false) };
        if !frame.flags.contains(FrameFlags::IN_CALLBACK) {
            return Ok(false);
        }
        let Target::Kfunc(index) = self.env.code.aux(call)?.target else { return Ok(false) };
        Ok(is_tree_kfunc(self.env.kfuncs.at(index as usize)?.name))
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
        self.change_rcu(func, region, sleepable)?;
        self.change_preempt(func, region, sleepable)?;
        let func = || Text::new(func);
        if self.cur.resources.irq_id != 0 && sleepable {
            return self.env.reject(Objects::KfuncInIrq { func: func() });
        }
        if protected && !self.in_rcu() {
            return self.env.reject(Objects::NeedsRcu { func: func() });
        }
        Ok(())
    }

    fn change_rcu(&mut self, func: &str, region: Region, sleepable: bool) -> Step {
        let func = || Text::new(func);
        let unlocks = region == Region::RcuUnlock;
        if !self.cur.resources.rcu {
            match region {
                Region::RcuLock => self.cur.resources.rcu = true,
                Region::RcuUnlock => {
                    return self.env.reject(Objects::UnmatchedRcu { func: func() });
                }
                _ => {}
            }
            return Ok(());
        }
        if (unlocks || region == Region::RcuLock) && self.in_tree_callback()? {
            return self.env.reject(Objects::RcuInTreeCallback);
        }
        match region {
            Region::RcuLock => self.env.reject(Objects::NestedRcu { func: func() }),
            Region::RcuUnlock => {
                self.end_rcu()?;
                self.cur.resources.rcu = false;
                Ok(())
            }
            _ if sleepable => self.env.reject(Objects::KfuncInRcu { func: func() }),
            _ => Ok(()),
        }
    }

    /// What RCU protected may be gone.
    fn end_rcu(&mut self) -> Step {
        let protected = |reg: &RegState| reg.flags.contains(TypeFlags::MEM_RCU);
        let expose = |reg: &mut RegState| {
            reg.flags.remove(TypeFlags::MEM_RCU | TypeFlags::PTR_MAYBE_NULL);
            reg.flags.insert(TypeFlags::PTR_UNTRUSTED);
        };
        self.update_regs(protected, expose)?;
        for frame in 0..=self.cur.depth {
            let count = self.store.slots(self.cur.frame(frame)?)?.len();
            for number in 0..count {
                let slot = self.slot(frame, number)?;
                if slot.main_type() == SlotType::Iter && protected(&slot.reg) {
                    expose(&mut self.slot_mut(frame, number)?.reg);
                }
            }
        }
        Ok(())
    }

    fn change_preempt(&mut self, func: &str, region: Region, sleepable: bool) -> Step {
        let (disabled, func) = (&mut self.cur.resources.preempt, || Text::new(func));
        match region {
            Region::PreemptDisable => *disabled = disabled.saturating_add(1),
            Region::PreemptEnable if *disabled == 0 => {
                return self.env.reject(Objects::UnmatchedPreempt { func: func() });
            }
            Region::PreemptEnable => *disabled -= 1,
            _ if *disabled > 0 && sleepable => {
                return self.env.reject(Objects::KfuncInPreempt { func: func() });
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether a helper may be called in the regions that the program is in
    /// (`check_helper_call`). `name` has no `bpf_`.
    pub(crate) fn check_helper_regions(&mut self, name: &str, id: u32, might_sleep: bool) -> Step {
        if !might_sleep {
            return Ok(());
        }
        let resources = &self.cur.resources;
        let (rcu, preempt, irq) = (resources.rcu, resources.preempt != 0, resources.irq_id != 0);
        let name = || Text::new(name);
        if rcu {
            return self.env.reject(Objects::HelperInRcu { name: name(), id });
        }
        if preempt {
            return self.env.reject(Objects::HelperInPreempt { name: name(), id });
        }
        if irq {
            return self.env.reject(Objects::HelperInIrq { name: name(), id });
        }
        Ok(())
    }

    /// A stack slot for interrupt flags, as an argument (`process_irq_flag`).
    pub(crate) fn check_irq_flag(&mut self, reg: Reg, usage: IrqUse) -> Step {
        let (state, arg) = (self.copy_of(reg)?, argument(reg));
        let slots = self.object_slots(&state, OBJECT, 1)?;
        if usage.saves {
            let free = match slots {
                Slots::At(number) => {
                    let types = self.slot(state.frame, number)?.types;
                    !types.contains(&SlotType::IrqFlag)
                }
                Slots::Beyond => true,
                Slots::Refused => false,
            };
            if !free {
                return self.env.reject(Objects::IrqInitialized { arg });
            }
            self.write_object(reg, 1)?;
            return self.save_irq(&state, usage.by_lock);
        }
        let found = match slots {
            Slots::At(number) => {
                let slot = self.slot(state.frame, number)?;
                let whole = slot.types.iter().all(|ty| *ty == SlotType::IrqFlag);
                (whole && slot.reg.ref_id != 0).then_some((number, slot.reg))
            }
            Slots::Beyond | Slots::Refused => None,
        };
        let Some((number, saved)) = found else {
            return self.env.reject(Objects::IrqUninitialized { arg });
        };
        self.mark_object_read(state.frame, number, 1, true)?;
        self.restore_irq(state.frame, number, &saved, usage.by_lock)
    }

    /// `mark_stack_slot_irq_flag`
    fn save_irq(&mut self, reg: &RegState, by_lock: bool) -> Step {
        let (frame, number) = (reg.frame, self.present_slots(reg, OBJECT, 1)?);
        let id = self.new_id();
        let reference =
            Reference { kind: RefKind::Irq, id, insn: self.insn, object: 0, callback: 0 };
        self.hold(reference)?;
        self.cur.resources.irq_id = id;
        D::Liveness::write_slots(self, frame, 1 << (number & 63));
        let slot = self.slot_mut(frame, number)?;
        slot.types = [SlotType::IrqFlag; 8];
        slot.reg.set_number(0);
        slot.reg.kind = Kind::IrqFlag { by_lock };
        slot.reg.ref_id = id;
        self.touch_slot(number);
        Ok(())
    }

    /// `unmark_stack_slot_irq_flag`
    fn restore_irq(&mut self, frame: u8, number: usize, saved: &RegState, by_lock: bool) -> Step {
        let name = |by_lock| if by_lock { "lock" } else { "native" };
        if let Kind::IrqFlag { by_lock: was } = saved.kind
            && was != by_lock
        {
            let (saved, restored) = (name(was), name(by_lock));
            return self.env.reject(Objects::IrqOtherKind { saved, restored });
        }
        self.release_irq(saved.ref_id)?;
        self.clear_slot(frame, number)?;
        D::Liveness::write_slots(self, frame, 1 << (number & 63));
        self.touch_slot(number);
        Ok(())
    }

    /// `release_irq_state`: only the innermost may be restored.
    fn release_irq(&mut self, id: u32) -> Step {
        let innermost = self.cur.resources.irq_id;
        if id != innermost {
            let found = self.held().find(|reference| reference.id == innermost);
            let insn = found.map_or(0, |reference| reference.insn);
            return self.env.reject(Objects::IrqOrder { id: innermost, insn });
        }
        let is = |held: &Reference| held.kind == RefKind::Irq && held.id == id;
        let Self { env, store, cur, .. } = self;
        if store.refs.remove(&env.budget, &mut cur.resources.refs, true, is)? {
            let outer = self.held().find(|held| held.kind == RefKind::Irq);
            self.cur.resources.irq_id = outer.map_or(0, |held| held.id);
        }
        Ok(())
    }
}

/// Kfuncs of trees (`is_bpf_rbtree_api_kfunc`), all of which need the tree's lock.
pub(super) fn is_tree_kfunc(name: &str) -> bool {
    matches!(
        name,
        "bpf_rbtree_add_impl"
            | "bpf_rbtree_remove"
            | "bpf_rbtree_first"
            | "bpf_rbtree_root"
            | "bpf_rbtree_left"
            | "bpf_rbtree_right"
    )
}
