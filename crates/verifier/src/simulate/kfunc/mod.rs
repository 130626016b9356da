// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Calls of kfuncs (`check_kfunc_call`).
//!
//! ```text
//! special.rs      the kfuncs with rules of their own
//! signature.rs    what BTF says of a kfunc, found out once
//! call.rs         what the arguments of one call say
//! args.rs         the arguments
//! object_args.rs  those that are objects
//! result.rs       R0
//! ```

mod args;
mod call;
mod object_args;
mod result;
mod signature;
mod special;

pub(crate) use signature::Signature;

use super::objects::Region;
use super::sim::{Sim, last_branch};
use super::step::Next;
use super::subprogram::Callback;
use crate::analysis::kfuncs;
use crate::design::{Design, Liveness};
use crate::domain::Interval;
use crate::env::Target;
use crate::errno::Errno;
use crate::mem::{List, Text};
use crate::messages::Kfunc;
use crate::outcome::{Abort, Step, Stop};
use crate::state::{CALLER_SAVED, IterState, Kind, RegState};
use crate::trace::Observer;
use call::Call;
use special::Special;
use veristable_isa::Reg;
use veristable_kernel::{Behaviour, JitFeature, KfuncFlags};
use veristable_program::Capabilities;

/// An index into [`crate::env::Env::kfuncs`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KfuncIndex(u32);

/// `MAX_ERRNO`
const MAX_ERRNO: i32 = 4095;

impl<'a, D: Design, O: Observer> Sim<'_, 'a, D, O> {
    /// A call of a kfunc; the instruction's target says which.
    pub(crate) fn call_kfunc(&mut self) -> Step<Next> {
        let after = Next::Insn(self.insn + 1);
        let target = match self.env.code.aux(self.insn)?.target {
            Target::Kfunc(index) => Some(KfuncIndex(index)),
            _ => None,
        };
        let Some(kfunc) = target else {
            // A call without an id is refused when it turns out that it is not dead.
            self.touch_reg(Reg::R0);
            return Ok(after);
        };
        self.prepare_signature(kfunc)?;
        self.check_kfunc_gate(kfunc)?;
        let call = self.check_kfunc_args(kfunc)?;
        self.call_back(kfunc, &call)?;
        self.change_kfunc_regions(kfunc)?;
        self.release_kfunc_args(kfunc, &call)?;
        if self.kfunc_signature(kfunc)?.is(Special::Throw) {
            return self.throw_kfunc(kfunc);
        }
        for number in 0..CALLER_SAVED {
            self.reg_mut(Reg::new(number))?.set_not_init();
        }
        self.set_kfunc_result(kfunc, &call)?;
        if self.kfunc_signature(kfunc)?.is(Special::XdpPullData) {
            self.clear_packet_pointers()?;
        }
        self.read_kfunc_args(kfunc)?;
        if self.kfunc_signature(kfunc)?.flags.contains(KfuncFlags::ITER_NEXT) {
            self.fork_iteration(&call)?;
        }
        self.touch_reg(Reg::R0);
        Ok(after)
    }

    /// Whether the kfunc that is called, if there is one, may be called with a lock held: few may,
    /// and none of a module (`kfunc_spin_allowed`).
    pub(crate) fn kfunc_allowed_under_lock(&self) -> Result<bool, Abort> {
        let Target::Kfunc(index) = self.env.code.aux(self.insn)?.target else { return Ok(false) };
        let kfunc = self.kfunc(KfuncIndex(index))?;
        let special = Some(kfunc).filter(|k| k.offset == 0).and_then(|k| Special::of(k.name));
        let iterators = self.env.has(Behaviour::IteratorsUnderLock);
        Ok(special.is_some_and(|special| {
            special.allowed_under_lock() && (iterators || !special.is_number_iterator())
        }))
    }

    /// The kfunc.
    pub(super) fn kfunc(&self, kfunc: KfuncIndex) -> Result<kfuncs::Kfunc<'a>, Abort> {
        self.env.kfuncs.at(kfunc.0 as usize).copied()
    }

    /// Its name, for a message.
    fn kfunc_name(&self, kfunc: KfuncIndex) -> Result<Text, Abort> {
        Ok(Text::new(self.kfunc(kfunc)?.name))
    }

    /// How it is called; [`Sim::prepare_signature`] came before.
    fn kfunc_signature(&self, kfunc: KfuncIndex) -> Result<&Signature, Abort> {
        let known = self.signatures.at(kfunc.0 as usize)?;
        known.as_ref().ok_or(Abort::Internal("no signature"))
    }

    /// Reads the kfunc's BTF at its first call, and refuses what the program may not call.
    fn prepare_signature(&mut self, kfunc: KfuncIndex) -> Step {
        if self.signatures.is_empty() {
            let count = self.env.kfuncs.len();
            self.signatures = List::filled(&self.env.budget, count, None)?;
        }
        if self.signatures.at(kfunc.0 as usize)?.is_some() {
            return Ok(());
        }
        let called = self.kfunc(kfunc)?;
        let Some(flags) = called.flags else {
            return self.env.reject(Kfunc::NotAllowed { name: Text::new(called.name) });
        };
        let kernel = self.btf(crate::state::BtfRef::Kernel)?;
        let rules = self.env.prog.rules;
        let context = self.env.kernel.context_types(rules)?;
        let signature = Signature::of(kernel, context, &called, flags, rules);
        let Some(signature) = signature.filter(|_| called.offset == 0) else {
            // A kfunc of a module, or one whose types the kernel would not have registered.
            return self.env.unsupported("kfunc prototype", called.name);
        };
        *self.signatures.at_mut(kfunc.0 as usize)? = Some(signature);
        Ok(())
    }

    /// What is asked before the arguments are looked at.
    fn check_kfunc_gate(&mut self, kfunc: KfuncIndex) -> Step {
        let signature = self.kfunc_signature(kfunc)?;
        let (special, flags) = (signature.special, signature.flags);
        if special.is_some_and(Special::takes_res_lock) {
            self.push_failed_lock()?;
        } else if special == Some(Special::Trap) {
            return self.env.reject(Kfunc::Trap);
        }
        let may_reboot = self.env.request.capabilities.contains(Capabilities::SYS_BOOT);
        if flags.contains(KfuncFlags::DESTRUCTIVE) && !may_reboot {
            return self.env.reject(Kfunc::Destructive);
        }
        if flags.contains(KfuncFlags::SLEEPABLE) && !self.in_sleepable() {
            let name = self.kfunc_name(kfunc)?;
            return self.env.reject(Kfunc::NotSleepable { name });
        }
        Ok(())
    }

    /// The branch where a resilient lock could not be taken: R0 is an error.
    fn push_failed_lock(&mut self) -> Step {
        let pushed = self.push_branch(self.insn + 1, self.insn, false, Errno::ENOMEM);
        if let Err(Stop::Rejected(errno)) = pushed {
            return self.env.reject_with(errno, Kfunc::LockBranch);
        }
        pushed?;
        let def = self.insn + 1;
        let mut error = RegState::UNKNOWN;
        let value = &mut error.value;
        value.s32.narrow(Interval::new(-MAX_ERRNO, -1));
        value.s64.narrow(Interval::new(i64::from(-MAX_ERRNO), -1));
        value.sync(self.env.rules);
        self.repair(&mut error.value, "s32_range")?;
        for number in 0..CALLER_SAVED {
            self.branch_reg(Reg::new(number))?.set_not_init();
        }
        error.subreg_def = def;
        *self.branch_reg(Reg::R0)? = error;
        Ok(())
    }

    /// Simulates the function that the kfunc calls back or sets up to be called.
    fn call_back(&mut self, kfunc: KfuncIndex, call: &Call) -> Step {
        let special = self.kfunc_signature(kfunc)?.special;
        let callback = match special {
            Some(Special::RbtreeAdd) => match call.root {
                Some(root) => Callback::RbtreeLess { root },
                // Its first argument is the root, which was tested.
                None => return self.env.unsupported("callback", "of a tree without a root"),
            },
            Some(Special::WqSetCallback) => Callback::Workqueue,
            Some(special) if special.schedules_task_work() => Callback::TaskWork,
            _ => return Ok(()),
        };
        // Without a function the kernel takes the main program, and refuses it.
        let subprog = call.callback.unwrap_or_default();
        let result = self.push_callback(subprog, callback);
        if let Err(Stop::Rejected(errno)) = result {
            let called = self.kfunc(kfunc)?;
            let (name, id) = (Text::new(called.name), called.func.0);
            return self.env.reject_with(errno, Kfunc::CallbackFailed { name, id });
        }
        result
    }

    fn change_kfunc_regions(&mut self, kfunc: KfuncIndex) -> Step {
        let signature = self.kfunc_signature(kfunc)?;
        let flags = signature.flags;
        let region = match signature.special {
            Some(Special::RcuReadLock) => Region::RcuLock,
            Some(Special::RcuReadUnlock) => Region::RcuUnlock,
            Some(Special::PreemptDisable) => Region::PreemptDisable,
            Some(Special::PreemptEnable) => Region::PreemptEnable,
            _ => Region::Same,
        };
        let name = self.kfunc(kfunc)?.name;
        let sleepable = flags.contains(KfuncFlags::SLEEPABLE);
        self.change_regions(name, region, sleepable, flags.contains(KfuncFlags::RCU_PROTECTED))
    }

    fn release_kfunc_args(&mut self, kfunc: KfuncIndex, call: &Call) -> Step {
        if let Some(reg) = call.released {
            let id = self.reg(reg)?.ref_id;
            self.release_for(kfunc, id)?;
        }
        if self.kfunc_signature(kfunc)?.special.is_some_and(Special::inserts_node) {
            let id = self.reg(Reg::R2)?.ref_id;
            let result = self.give_to_graph(id);
            if let Err(Stop::Rejected(errno)) = result {
                let called = self.kfunc(kfunc)?;
                let (name, id) = (Text::new(called.name), called.func.0);
                return self.env.reject_with(errno, Kfunc::ConversionFailed { name, id });
            }
            result?;
            self.release_for(kfunc, id)?;
        }
        Ok(())
    }

    fn release_for(&mut self, kfunc: KfuncIndex, id: u32) -> Step {
        if self.release_reference(id)? {
            return Ok(());
        }
        let called = self.kfunc(kfunc)?;
        let (name, id) = (Text::new(called.name), called.func.0);
        self.env.reject(Kfunc::NotAcquired { name, id })
    }

    /// `bpf_throw`: the program ends here.
    fn throw_kfunc(&mut self, kfunc: KfuncIndex) -> Step<Next> {
        if !self.env.kernel.jit(JitFeature::Exceptions)? {
            let called = self.kfunc(kfunc)?;
            let (name, id) = (Text::new(called.name), called.func.0);
            return self.env.reject(Kfunc::NoExceptions { name, id });
        }
        self.env.seen_exception = true;
        // Without a callback the cookie becomes what the program returns.
        if self.env.exception_callback.is_none() {
            self.check_return_code(Reg::R1)?;
        }
        self.throw()
    }

    /// Arguments are read, after the call destroyed them: all of their registers or the low half
    /// (`mark_btf_func_reg_size`).
    fn read_kfunc_args(&mut self, kfunc: KfuncIndex) -> Step {
        let Signature { count, wide_args, .. } = *self.kfunc_signature(kfunc)?;
        for number in (0..5u8).take(count) {
            let reg = Reg::new(number + 1);
            let wide = wide_args & 1 << number != 0;
            D::Liveness::read_reg(self, reg, wide)?;
            let def = self.reg(reg)?.subreg_def;
            if wide && def != 0 {
                self.set_flag(def - 1, crate::env::InsnFlags::ZEXT_DST)?;
                self.reg_mut(reg)?.subreg_def = 0;
            }
        }
        Ok(())
    }

    /// The `next` of an iterator: a branch where it gave an element is set aside, and the current
    /// path goes on with none (`process_iter_next_call`).
    fn fork_iteration(&mut self, call: &Call) -> Step {
        let Some(place) = call.iter else {
            // Its first argument is the iterator, which was tested (`btf_check_iter_kfuncs`).
            return self.env.unsupported("iterator", "next without an iterator");
        };
        let (frame, slot) = (place.frame, usize::from(place.slot));
        let Kind::Iter { state, .. } = self.slot(frame, slot)?.reg.kind else {
            // Its first argument is the iterator, which was tested (`btf_check_iter_kfuncs`).
            return self.env.unsupported("iterator", "next without an iterator");
        };
        match state {
            IterState::Drained => {}
            IterState::Invalid => {
                return self.bug(format_args!("unexpected iterator state 0 (<invalid>)"));
            }
            IterState::Active => {
                self.check_iteration_parent()?;
                self.push_branch(self.insn + 1, self.insn, false, Errno::ENOMEM)?;
                self.advance_branch(frame, slot)?;
                self.widen_iteration()?;
                let element = *self.branch_reg(Reg::R0)?;
                *self.branch_reg(Reg::R0)? = self.not_null(&element)?;
            }
        }
        if let Kind::Iter { state, .. } = &mut self.slot_mut(frame, slot)?.reg.kind {
            *state = IterState::Drained;
        }
        self.reg_mut(Reg::R0)?.set_number(0);
        Ok(())
    }

    /// The state that was set aside at this instruction is the current one's parent.
    fn check_iteration_parent(&mut self) -> Step {
        let parent = self.cur.parent;
        let is_here = match parent {
            Some(parent) => self.checkpoints.at(parent)?.state.insn == self.insn,
            None => false,
        };
        if !is_here {
            return self.bug(format_args!("bad parent state for iter next call"));
        }
        Ok(())
    }

    /// The iterator of the branch that waits last is one step further.
    fn advance_branch(&mut self, frame: u8, slot: usize) -> Step {
        let Self { env, store, pending, .. } = self;
        let branch = last_branch(pending)?;
        let stack = store.stack_mut(&env.budget, branch.frame_mut(frame)?)?;
        if let Kind::Iter { state, depth, .. } = &mut stack.at_mut(slot)?.reg.kind {
            *state = IterState::Active;
            *depth = depth.wrapping_add(1);
        }
        Ok(())
    }
}
