// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What may still refuse an accepted program while it is rewritten and compiled.

use crate::analysis::maps::UsedMap;
use crate::analysis::removed;
use crate::env::{Env, InsnFlags, SubprogFlags};
use crate::errno::Errno;
use crate::messages::{Finish, Helper};
use crate::outcome::Step;
use crate::trace::Observer;
use veristable_kernel::Behaviour;

/// The refusals of `fixup_call_args` where there is no JIT, and those calls that the simulation
/// never reached are not refused by (`bpf_fixup_kfunc_call` sees only live code).
///
/// # Errors
///
/// The rejection.
pub fn check<O: Observer>(env: &mut Env<'_, O>) -> Step {
    inline_loops(env)?;
    check_arena_loads(env)?;
    check_kfunc_ids(env)?;
    check_tail_calls(env)?;
    check_overrides(env)?;
    if env.machine.jit || env.kernel.config("CONFIG_BPF_JIT_ALWAYS_ON")?.is_some() {
        return removed::check(env);
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

/// Loads from arenas that extend the sign (`convert_ctx_accesses`).
fn check_arena_loads<O: Observer>(env: &mut Env<'_, O>) -> Step {
    if env.has(Behaviour::ArenaSignExtension) {
        return Ok(());
    }
    let mut aux = env.code.aux.iter();
    match aux.any(|aux| aux.flags.contains(InsnFlags::ARENA_SIGN_LOAD)) {
        true => env.reject(Finish::ArenaSignExtension),
        false => Ok(()),
    }
}

/// Calls of `bpf_loop` that become instructions need three slots of the stack of their subprogram
/// (`optimize_bpf_loop`).
fn inline_loops<O: Observer>(env: &mut Env<'_, O>) -> Step {
    const SAVED_REGISTERS: u16 = 3 * 8;
    let Env { subprogs, code, .. } = env;
    for subprog in subprogs.iter_mut() {
        let aux = code.aux.get(subprog.start as usize..subprog.end as usize).unwrap_or_default();
        if aux.iter().any(|aux| aux.flags.contains(InsnFlags::INLINE_LOOP)) {
            let depth = subprog.stack_depth.next_multiple_of(8);
            subprog.stack_depth = depth.saturating_add(SAVED_REGISTERS);
        }
    }
    Ok(())
}

/// A kfunc call without an id is nothing until it turns out that it is not dead
/// (`fixup_kfunc_call`).
fn check_kfunc_ids<O: Observer>(env: &mut Env<'_, O>) -> Step {
    let mut calls = env.code.insns.iter().zip(&env.code.aux);
    let lacks_id = calls.any(|(insn, aux)| {
        insn.is_kfunc_call() && insn.imm == 0 && aux.flags.contains(InsnFlags::SEEN)
    });
    if lacks_id {
        return env.reject(Finish::KfuncWithoutId);
    }
    Ok(())
}

/// A tail call that may use one of several maps cannot be guarded against misprediction
/// (`do_misc_fixups`).
fn check_tail_calls<O: Observer>(env: &mut Env<'_, O>) -> Step {
    /// `BPF_FUNC_tail_call`
    const TAIL_CALL: i32 = 12;
    if env.privileges.bypass_spec_v1 {
        return Ok(());
    }
    let mut calls = env.code.insns.iter().zip(&env.code.aux);
    let is_bad = calls.any(|(insn, aux)| {
        let tail_call = insn.is_helper_call() && insn.imm == TAIL_CALL;
        // What is reached by misprediction only is dead code, and gone by now.
        tail_call && aux.flags.contains(InsnFlags::SEVERAL_MAPS | InsnFlags::SEEN)
    });
    if is_bad {
        return env.reject(Helper::TailCallMaps);
    }
    Ok(())
}

/// A program that sets what a probed function returns may not use maps of programs
/// (`__bpf_prog_map_compatible` of `kernel/bpf/core.c`). The kernel says nothing.
fn check_overrides<O: Observer>(env: &mut Env<'_, O>) -> Step {
    /// `BPF_FUNC_override_return`
    const OVERRIDE_RETURN: i32 = 58;
    let mut calls = env.code.insns.iter().zip(&env.code.aux);
    let overrides = calls.any(|(insn, aux)| {
        let call = insn.is_helper_call() && insn.imm == OVERRIDE_RETURN;
        call && aux.flags.contains(InsnFlags::SEEN)
    });
    let holds_programs = |map: &UsedMap| {
        let map = env.request.maps.get(map.request as usize);
        map.is_some_and(|map| map.spec.map_type.belongs_to_programs())
    };
    if overrides && env.used_maps.iter().any(holds_programs) {
        return Err(Errno::EINVAL.into());
    }
    Ok(())
}
