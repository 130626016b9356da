// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What may still refuse an accepted program while it is rewritten and compiled.

use crate::env::{Env, SubprogFlags};
use crate::messages::Finish;
use crate::outcome::Step;
use crate::trace::Observer;

/// The refusals of `fixup_call_args` where there is no JIT, and those calls that the simulation
/// never reached are not refused by (`bpf_fixup_kfunc_call` sees only live code).
///
/// # Errors
///
/// The rejection.
pub fn check<O: Observer>(env: &mut Env<'_, O>) -> Step {
    if env.machine.jit || env.kernel.config("CONFIG_BPF_JIT_ALWAYS_ON")?.is_some() {
        return Ok(());
    }
    if !env.kfuncs.is_empty() {
        return env.reject(Finish::KfuncsWithoutJit);
    }
    let tail_calls = env
        .subprogs
        .first()
        .is_some_and(|main| main.flags.contains(SubprogFlags::TAIL_CALL_REACHABLE));
    if env.subprogs.len() > 1 && tail_calls {
        return env.reject(Finish::TailCallsWithoutJit);
    }
    if env.code.insns.iter().any(|insn| insn.is_pseudo_func()) {
        return env.reject(Finish::CallbacksWithoutJit);
    }
    Ok(())
}
