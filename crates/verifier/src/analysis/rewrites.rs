// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the rewriting of an accepted program does to its stack frames: the statistics show them as
//! they are in the end. (The instructions themselves are left alone: rewriting is not this crate's
//! business yet.)

use crate::env::{DecodedOp, Env, InsnFlags, SubprogFlags};
use crate::messages::Finish;
use crate::outcome::{Abort, Step};
use crate::trace::Observer;
use veristable_isa::Op;
use veristable_kernel::{Behaviour, JitFeature};

/// Removes dead functions, adds epilogues, counts `may_goto`, adds the handler of exceptions
/// (`opt_remove_dead_code`, `convert_ctx_accesses`, `do_misc_fixups`).
///
/// # Errors
///
/// The rejection of a frame that became too large for the interpreter.
pub fn adjust_frames<O: Observer>(env: &mut Env<'_, O>) -> Step {
    // Without privileges dead code is only made harmless.
    if env.privileges.bpf_capable {
        for number in 0..env.subprogs.len() {
            let start = env.subprogs.at(number)?.start;
            if !env.code.aux(start)?.flags.contains(InsnFlags::SEEN) {
                env.subprogs.at_mut(number)?.flags |= SubprogFlags::REMOVED;
            }
        }
    }
    if has_epilogue(env) {
        // The context is kept for it.
        let main = env.subprogs.at_mut(0)?;
        main.stack_depth = main.stack_depth.saturating_add(8);
    }
    for number in 0..env.subprogs.len() {
        add_may_goto(env, number)?;
    }
    env.hidden_subprogram = env.seen_exception && env.exception_callback.is_none();
    Ok(())
}

/// Whether the kernel lets the program end with code of its own: of all that programs implement,
/// queueing disciplines that are reset or go away (`bpf_qdisc_gen_epilogue` of
/// net/sched/bpf_qdisc.c).
fn has_epilogue<O: Observer>(env: &Env<'_, O>) -> bool {
    matches!(env.context().struct_ops, Some(("Qdisc_ops", "reset" | "destroy")))
}

/// `may_goto` counts in the frame of its function.
fn add_may_goto<O: Observer>(env: &mut Env<'_, O>, number: usize) -> Step {
    let subprog = *env.subprogs.at(number)?;
    let mut counts = false;
    for index in subprog.start..subprog.end {
        env.tick()?;
        counts |= is_kept_may_goto(env, index)?;
    }
    if !counts {
        return Ok(());
    }
    let timed = env.kernel.jit(JitFeature::TimedMayGoto)?;
    let extra = if timed { 16 } else { 8 };
    let place = env.subprogs.at_mut(number)?;
    place.stack_depth = place.stack_depth.saturating_add(extra);
    let size = place.stack_depth;
    if u32::from(size) > env.kernel.limits().stack && !env.machine.jit {
        return env.reject(Finish::StackWithExtra { size, extra });
    }
    Ok(())
}

/// A `may_goto` that is reached and whose jump still skips something (`opt_remove_nops`).
fn is_kept_may_goto<O: Observer>(env: &Env<'_, O>, index: u32) -> Result<bool, Abort> {
    let aux = env.code.aux(index)?;
    let DecodedOp::Op(Op::MayGoto { off }) = aux.op else { return Ok(false) };
    if !env.privileges.bpf_capable || !aux.flags.contains(InsnFlags::SEEN) {
        return Ok(!env.privileges.bpf_capable);
    }
    if !env.has(Behaviour::MayGotoNext) {
        return Ok(true);
    }
    let Ok(off) = u32::try_from(off) else { return Ok(true) };
    for skipped in index.saturating_add(1)..=index.saturating_add(off) {
        if env.code.aux(skipped)?.flags.contains(InsnFlags::SEEN) {
            return Ok(true);
        }
    }
    Ok(false)
}
