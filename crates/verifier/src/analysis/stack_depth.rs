// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The stack that all calls together need (`check_max_stack_depth`).

use crate::env::{Env, SubprogFlags, SubprogId, Target};
use crate::mem::List;
use crate::messages::{Finish, Memory};
use crate::outcome::{Abort, Step};
use crate::trace::Observer;
use veristable_kernel::{AttachType, Behaviour, JitFeature, ProgType};

/// `BPF_PRIV_STACK_MIN_SIZE`: smaller frames are not worth a private stack.
const PRIVATE_STACK_MIN: u32 = 64;
/// Above it no tail call may be made from a subprogram (`check_max_stack_depth_subprog`).
const TAIL_CALL_DEPTH: u32 = 256;

/// Where a subprogram's frame lives (`enum priv_stack_mode`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PrivateStack {
    Unknown,
    No,
    Adaptive,
}

/// A call that the walk returns to.
#[derive(Clone, Copy)]
struct Frame {
    subprog: SubprogId,
    next: u32,
}

/// Tests the depth from the main program and from each callback that runs on its own.
///
/// # Errors
///
/// The rejection.
pub fn check<O: Observer>(env: &mut Env<'_, O>) -> Step {
    let has_tail_call =
        env.subprogs.iter().any(|subprog| subprog.flags.contains(SubprogFlags::HAS_TAIL_CALL));
    let private = !has_tail_call && may_use_private_stack(env)?;
    let mut modes = List::filled(&env.budget, env.subprogs.len(), PrivateStack::Unknown)?;
    for number in (0..env.subprogs.len()).rev() {
        let root = SubprogId(u32::try_from(number).unwrap_or(u32::MAX));
        let flags = env.subprog(root)?.flags;
        if root == SubprogId::MAIN || flags.contains(SubprogFlags::IS_ASYNC_CALLBACK) {
            let supported = root == SubprogId::MAIN && private;
            Walk { modes: &mut modes, supported, frames: List::new(), depth: 0 }.run(env, root)?;
        }
    }
    modes.release(&env.budget);
    Ok(())
}

/// `bpf_enable_priv_stack`
fn may_use_private_stack<O: Observer>(env: &Env<'_, O>) -> Step<bool> {
    let by_type = match env.prog.prog_type {
        ProgType::KPROBE
        | ProgType::TRACEPOINT
        | ProgType::PERF_EVENT
        | ProgType::RAW_TRACEPOINT => true,
        // `bpf_prog_check_recur`; what subsystems of struct_ops ask for (`priv_stack_requested`)
        // nothing in 6.18 does.
        ProgType::TRACING => env.prog.attach_type != AttachType::TRACE_ITER,
        _ => false,
    };
    Ok(by_type && env.kernel.jit(JitFeature::PrivateStack)?)
}

struct Walk<'m> {
    modes: &'m mut List<PrivateStack>,
    supported: bool,
    frames: List<Frame>,
    depth: u32,
}

impl Walk<'_> {
    /// `check_max_stack_depth_subprog`
    fn run<O: Observer>(mut self, env: &mut Env<'_, O>, root: SubprogId) -> Step {
        let mut tail_call_reachable = false;
        let mut subprog = root;
        let mut at = env.subprog(root)?.start;
        self.enter(env, subprog)?;
        loop {
            if let Some((callee, next)) = self.next_call(env, subprog, at)? {
                self.frames.push(&env.budget, Frame { subprog, next })?;
                let entered = env.subprog(callee)?;
                (subprog, at) = (callee, entered.start);
                tail_call_reachable |= entered.flags.contains(SubprogFlags::HAS_TAIL_CALL);
                let frames = u32::try_from(self.frames.len()).unwrap_or(u32::MAX);
                if frames >= env.kernel.limits().call_frames {
                    env.insn = Some(next - 1);
                    if !self.supported {
                        self.set_mode(subprog, PrivateStack::No)?;
                    }
                    return env.reject(Finish::TooManyFrames { frames });
                }
                self.enter(env, subprog)?;
                continue;
            }
            if tail_call_reachable {
                self.mark_callers(env)?;
            }
            let Some(frame) = self.frames.pop() else { break };
            self.leave(env, subprog)?;
            (subprog, at) = (frame.subprog, frame.next);
        }
        self.frames.release(&env.budget);
        Ok(())
    }

    fn mode(&self, subprog: SubprogId) -> Result<PrivateStack, Abort> {
        self.modes.at(subprog.0 as usize).copied()
    }

    fn set_mode(&mut self, subprog: SubprogId, mode: PrivateStack) -> Result<(), Abort> {
        *self.modes.at_mut(subprog.0 as usize)? = mode;
        Ok(())
    }

    fn enter<O: Observer>(&mut self, env: &mut Env<'_, O>, subprog: SubprogId) -> Step {
        let info = *env.subprog(subprog)?;
        if !self.supported {
            self.set_mode(subprog, PrivateStack::No)?;
        }
        if info.flags.contains(SubprogFlags::HAS_LD_ABS)
            && env.has(Behaviour::ClassicLoadReturns)
            && self.is_in_callback(env, subprog)?
        {
            return env.reject(Memory::LdAbsInCallback);
        }
        if subprog != SubprogId::MAIN
            && info.flags.contains(SubprogFlags::HAS_TAIL_CALL)
            && self.depth >= TAIL_CALL_DEPTH
        {
            return env.reject(Finish::TailCallDepth { depth: self.depth });
        }
        let size = rounded(env, info.stack_depth);
        if self.supported
            && self.mode(subprog)? == PrivateStack::Unknown
            && size >= PRIVATE_STACK_MIN
        {
            self.set_mode(subprog, PrivateStack::Adaptive)?;
        }
        let limit = env.kernel.limits().stack;
        if self.mode(subprog)? == PrivateStack::Adaptive {
            if size > limit {
                return env.reject(Finish::SubprogramStack { subprog: subprog.0, size });
            }
            return Ok(());
        }
        self.depth = self.depth.saturating_add(size);
        if self.depth > limit {
            let calls = u32::try_from(self.frames.len()).unwrap_or(u32::MAX).saturating_add(1);
            return env.reject(Finish::CombinedStack { calls, size: self.depth });
        }
        Ok(())
    }

    fn leave<O: Observer>(&mut self, env: &Env<'_, O>, subprog: SubprogId) -> Result<(), Abort> {
        if self.mode(subprog)? != PrivateStack::Adaptive {
            let size = rounded(env, env.subprog(subprog)?.stack_depth);
            self.depth = self.depth.saturating_sub(size);
        }
        Ok(())
    }

    /// The next call from slot `at` on: the callee, and the slot after the call.
    fn next_call<O: Observer>(
        &self,
        env: &mut Env<'_, O>,
        subprog: SubprogId,
        at: u32,
    ) -> Step<Option<(SubprogId, u32)>> {
        for index in at..env.subprog(subprog)?.end {
            env.tick()?;
            let insn = env.code.insn(index)?;
            match env.code.aux(index)?.target {
                Target::Kfunc(number)
                    if insn.off == 0
                        && env.kfuncs.at(number as usize)?.name == "bpf_throw"
                        && self.is_in_callback(env, subprog)? =>
                {
                    env.insn = Some(index);
                    let subprog = subprog.0;
                    return env.reject(Finish::ThrowInCallback { insn: index, subprog });
                }
                Target::Subprog(callee) => {
                    let flags = env.subprog(callee)?.flags;
                    if flags.contains(SubprogFlags::IS_ASYNC_CALLBACK) {
                        env.insn = Some(index);
                        if flags.contains(SubprogFlags::HAS_TAIL_CALL) {
                            return env.reject(Finish::AsyncTailCall);
                        }
                        // Only a direct call puts it on this stack.
                        if !insn.is_pseudo_call() {
                            continue;
                        }
                        if flags.contains(SubprogFlags::IS_EXCEPTION_CALLBACK) {
                            return env.reject(Finish::ExceptionCallbackCalled { insn: index });
                        }
                    }
                    return Ok(Some((callee, index + 1)));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn is_in_callback<O: Observer>(&self, env: &Env<'_, O>, subprog: SubprogId) -> Step<bool> {
        let is = |id| env.subprog(id).map(|s| s.flags.contains(SubprogFlags::IS_CALLBACK));
        if is(subprog)? {
            return Ok(true);
        }
        for frame in &self.frames {
            if is(frame.subprog)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A tail call can be reached from everything that is on the stack now.
    fn mark_callers<O: Observer>(&self, env: &mut Env<'_, O>) -> Step {
        for frame in &self.frames {
            let subprog = env.subprog_mut(frame.subprog)?;
            if subprog.flags.contains(SubprogFlags::IS_EXCEPTION_CALLBACK) {
                return env.reject(Finish::TailCallInExceptionCallback);
            }
            subprog.flags |= SubprogFlags::TAIL_CALL_REACHABLE;
        }
        Ok(())
    }
}

/// `round_up_stack_depth`
fn rounded<O: Observer>(env: &Env<'_, O>, depth: u16) -> u32 {
    let depth = u32::from(depth);
    if env.machine.jit { depth.next_multiple_of(16) } else { depth.max(1).next_multiple_of(32) }
}
