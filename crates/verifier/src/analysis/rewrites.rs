// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the rewriting of an accepted program does to its stack frames: the statistics show them as
//! they are in the end. (The instructions themselves are left alone: rewriting is not this crate's
//! business yet.)

use core::ops::Range;

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
    if !keeps_may_goto(env, subprog.start..subprog.end)? {
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

/// Whether a function still has a `may_goto` when what is never reached and what jumps nowhere has
/// been removed (`opt_remove_nops`). From the end, as removing one may leave nothing for the one
/// before to skip.
fn keeps_may_goto<O: Observer>(env: &mut Env<'_, O>, function: Range<u32>) -> Result<bool, Abort> {
    let removes = env.has(Behaviour::MayGotoNext);
    let mut next_kept = u32::MAX;
    for index in function.rev() {
        env.tick()?;
        let aux = env.code.aux(index)?;
        // Programs of loaders without CAP_BPF keep everything.
        let is_kept = aux.flags.contains(InsnFlags::SEEN) || !env.privileges.bpf_capable;
        if !is_kept {
            continue;
        }
        if let DecodedOp::Op(Op::MayGoto { off }) = aux.op {
            let end = u32::try_from(off).map_or(u32::MAX, |off| index.saturating_add(off));
            if !removes || !env.privileges.bpf_capable || next_kept <= end {
                return Ok(true);
            }
            continue;
        }
        next_kept = index;
    }
    Ok(false)
}
