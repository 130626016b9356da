// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Addresses of functions that were removed because nothing ever called them.
//!
//! A function that a helper would call back, but never does (`bpf_loop` no times, an address that is
//! only loaded), is dead code. The instruction that loads its address is not, and jumps to where the
//! function was; if no function begins there, the JIT finds nothing to compile (`jit_subprogs`).

use crate::design::Dialect;
use crate::env::{Env, InsnFlags, SubprogFlags};
use crate::errno::Errno;
use crate::messages::Finish;
use crate::outcome::{Abort, Step};
use crate::trace::Observer;

/// Looks for addresses that lead to no function any more.
///
/// # Errors
///
/// The rejection.
pub fn check<O: Observer>(env: &mut Env<'_, O>) -> Step {
    if !env.privileges.bpf_capable {
        return Ok(());
    }
    let is_removed = |flags: SubprogFlags| flags.contains(SubprogFlags::REMOVED);
    let kept = env.subprogs.iter().filter(|subprog| !is_removed(subprog.flags)).count();
    if kept.saturating_add(usize::from(env.hidden_subprogram)) <= 1 {
        // Nothing is compiled apart, and nobody looks at addresses.
        return Ok(());
    }
    let len = u32::try_from(env.code.insns.len()).unwrap_or(u32::MAX);
    for index in 0..len {
        let Some(insn) = env.code.insns.get(index as usize) else { break };
        if !insn.is_pseudo_func() || !is_seen(env, index)? {
            continue;
        }
        let target = i64::from(index).saturating_add(i64::from(insn.imm)).saturating_add(1);
        let mut functions = env.subprogs.iter();
        let is_dead = functions
            .any(|subprog| i64::from(subprog.start) == target && is_removed(subprog.flags));
        if !is_dead {
            continue;
        }
        let (target, end) = moved(env, index, insn.imm.into())?;
        if begins_function(env, target)? || (env.hidden_subprogram && target == end) {
            continue;
        }
        return match env.dialect {
            // It warns in its own log.
            Dialect::V6_12 => Err(Errno::EFAULT.into()),
            Dialect::V6_18 => env.reject(Finish::NoProgramToJit { insn: target }),
        };
    }
    Ok(())
}

fn is_seen<O: Observer>(env: &Env<'_, O>, index: u32) -> Result<bool, Abort> {
    Ok(env.code.aux(index)?.flags.contains(InsnFlags::SEEN))
}

/// Where the address at `index` leads after the removal of dead code, chunk by chunk, and how long
/// the program is then (`opt_remove_dead_code`, `bpf_adj_delta_to_imm` of `kernel/bpf/core.c`).
fn moved<O: Observer>(env: &mut Env<'_, O>, index: u32, imm: i64) -> Step<(i64, i64)> {
    let len = u32::try_from(env.code.insns.len()).unwrap_or(u32::MAX);
    let (mut at, mut imm) = (i64::from(index), imm);
    let mut kept: i64 = 0;
    let mut from = 0;
    while from < len {
        env.tick()?;
        if is_seen(env, from)? {
            kept = kept.saturating_add(1);
            from = from.saturating_add(1);
            continue;
        }
        let mut to = from;
        while to < len && !is_seen(env, to)? {
            to = to.saturating_add(1);
        }
        let count = i64::from(to.saturating_sub(from));
        if at >= kept {
            at = at.saturating_sub(count);
        }
        let target = at.saturating_add(imm).saturating_add(1);
        if at < kept && target >= kept.saturating_add(count) {
            imm = imm.saturating_sub(count);
        } else if at >= kept && target < kept {
            imm = imm.saturating_add(count);
        }
        from = to;
    }
    Ok((at.saturating_add(imm).saturating_add(1), kept))
}

/// Whether a function that was kept begins at a place of the shortened program.
fn begins_function<O: Observer>(env: &mut Env<'_, O>, place: i64) -> Step<bool> {
    let len = u32::try_from(env.code.insns.len()).unwrap_or(u32::MAX);
    let mut kept: i64 = 0;
    for index in 0..len {
        env.tick()?;
        if !is_seen(env, index)? {
            continue;
        }
        if kept == place {
            return Ok(env.subprogs.iter().any(|subprog| subprog.start == index));
        }
        kept = kept.saturating_add(1);
    }
    Ok(false)
}
