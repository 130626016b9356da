// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! References (`acquire_reference`, `release_reference`, `check_resource_leak`).

use crate::design::Design;
use crate::errno::Errno;
use crate::messages::Objects;
use crate::outcome::{Abort, Step};
use crate::simulate::sim::{Sim, last_branch};
use crate::state::{FrameFlags, RefKind, Reference, RegState};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::{Behaviour, ProgType};

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// Takes a reference at the current instruction; its id (`acquire_reference`).
    pub(crate) fn acquire_reference(&mut self) -> Step<u32> {
        let id = self.new_id();
        let callback = self.callback_frame()?;
        let reference = Reference { kind: RefKind::Ptr, id, insn: self.insn, object: 0, callback };
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
        let (in_order, frame) = (self.cur.outer_refs.is_none(), self.callback_frame()?);
        let Self { env, store, cur, .. } = self;
        let refs = &mut cur.resources.refs;
        store.refs.remove(&env.budget, refs, in_order, |held| is_own(held, id, frame))
    }

    /// The number of the current frame if it is a callback's and each frame has its own
    /// references, else 0.
    fn callback_frame(&self) -> Result<u8, Abort> {
        if self.cur.outer_refs.is_none() {
            return Ok(0);
        }
        let frame = self.store.frame(self.cur.current()?)?;
        Ok(if frame.flags.contains(FrameFlags::IN_CALLBACK) { self.cur.depth } else { 0 })
    }

    /// As [`Sim::forget_reference`], in the branch that waits last.
    pub(crate) fn forget_reference_of_branch(&mut self, id: u32) -> Result<bool, Abort> {
        // The branch is in the same frame.
        let (in_order, frame) = (self.cur.outer_refs.is_none(), self.callback_frame()?);
        let Self { env, store, pending, .. } = self;
        let refs = &mut last_branch(pending)?.resources.refs;
        store.refs.remove(&env.budget, refs, in_order, |held| is_own(held, id, frame))
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

    /// Refuses what is still held where nothing may be (`check_resource_leak`). `regions`: locks
    /// and regions count too.
    pub(crate) fn check_resource_leak(&mut self, leaving: Leaving, regions: bool) -> Step {
        if !self.env.has(Behaviour::UnifiedRegionChecks) {
            return self.check_leak_by_kind(leaving, regions);
        }
        // The kernel has no word of its own for exceptions.
        let place = if leaving == Leaving::Throw { Leaving::Exit } else { leaving }.name();
        if regions && self.cur.resources.locks > 0 {
            return self.env.reject(Objects::InsideLock { place });
        }
        if self.leaks_reference(leaving == Leaving::Throw)? {
            return self.env.reject(Objects::ReferenceLeak { place });
        }
        if !regions {
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

    /// The same with an order and words for each place (`do_check`, `check_helper_call`,
    /// `check_ld_abs` before there was one function).
    fn check_leak_by_kind(&mut self, leaving: Leaving, regions: bool) -> Step {
        for held in leaving.order() {
            let resources = &self.cur.resources;
            let (is_held, inside) = match held {
                Held::Reference => {
                    self.check_leaving_references(leaving)?;
                    continue;
                }
                Held::Lock => (resources.locks > 0, Objects::InsideLock { place: leaving.name() }),
                Held::Rcu => (resources.rcu, Objects::InsideRcu { place: leaving.name() }),
                Held::Preempt => {
                    (resources.preempt != 0, Objects::InsidePreempt { place: leaving.name() })
                }
            };
            if !(is_held && regions) {
                continue;
            }
            let count = resources.preempt;
            return self.env.reject(match (leaving, held) {
                (Leaving::Exit, Held::Lock) => Objects::LockNotReleased,
                (Leaving::Exit, Held::Rcu) => Objects::RcuNotReleased,
                (Leaving::Exit, Held::Preempt) => {
                    let are = if count == 1 { " is" } else { "(s) are" };
                    Objects::PreemptNotReleased { count, are }
                }
                _ => inside,
            });
        }
        Ok(())
    }

    fn check_leaving_references(&mut self, leaving: Leaving) -> Step {
        if !self.leaks_reference(leaving == Leaving::Throw)? {
            return Ok(());
        }
        match leaving {
            Leaving::TailCall => self.env.reject(Objects::ReferenceLeak { place: leaving.name() }),
            Leaving::ClassicLoad => self.env.reject(Objects::MixedWithReferences),
            Leaving::Exit | Leaving::Throw => Err(Errno::EINVAL.into()),
        }
    }

    /// Names the references that are still held (`check_reference_leak`).
    fn leaks_reference(&mut self, exception: bool) -> Step<bool> {
        // In a callback with a list of its own, those that it took.
        let callback = if exception { 0 } else { self.callback_frame()? };
        let inner = self.cur.depth != 0 && callback == 0;
        if self.cur.resources.refs.is_empty() || (!exception && inner) {
            return Ok(false);
        }
        // A struct_ops program may return a reference; its type is tested later.
        let may_return = self.env.prog.rules == ProgType::STRUCT_OPS
            && !exception
            && self.env.has(Behaviour::StructOpsReturns);
        let returned = if may_return { self.reg(Reg::R0)?.ref_id } else { 0 };
        let mut leaks = false;
        let held = self.store.refs.oldest_first(&self.env.budget, &self.cur.resources.refs)?;
        for held in held.iter().copied() {
            let Reference { kind, id, insn, .. } = held;
            if kind != RefKind::Ptr || (may_return && id == returned) {
                continue;
            }
            if callback != 0 && held.callback != callback {
                continue;
            }
            self.env.say(Objects::Unreleased { id, insn })?;
            leaks = true;
        }
        held.release(&self.env.budget);
        Ok(leaks)
    }
}

/// Where nothing may be held any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leaving {
    /// The end of a function or of the program.
    Exit,
    /// An exception.
    Throw,
    /// A tail call.
    TailCall,
    /// A classic packet load, which may end the program.
    ClassicLoad,
}

impl Leaving {
    /// What is looked at first, where each place has its own order.
    const fn order(self) -> [Held; 4] {
        match self {
            Self::Exit | Self::Throw => [Held::Lock, Held::Rcu, Held::Preempt, Held::Reference],
            Self::TailCall => [Held::Lock, Held::Reference, Held::Rcu, Held::Preempt],
            Self::ClassicLoad => [Held::Reference, Held::Lock, Held::Rcu, Held::Preempt],
        }
    }

    /// As messages begin.
    const fn name(self) -> &'static str {
        match self {
            Self::Exit => "BPF_EXIT instruction in main prog",
            Self::Throw => "bpf_throw",
            Self::TailCall => "tail_call",
            Self::ClassicLoad => "BPF_LD_[ABS|IND]",
        }
    }
}

/// What may be held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    Reference,
    Lock,
    Rcu,
    Preempt,
}

/// Whether this is the object, and one that the frame may give back: callbacks with lists of
/// their own only what they took (`release_reference_state`).
fn is_own(held: &Reference, id: u32, callback_frame: u8) -> bool {
    held.is_object(id) && (callback_frame == 0 || held.callback == callback_frame)
}
