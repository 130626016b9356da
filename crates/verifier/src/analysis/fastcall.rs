// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Calls that keep registers: spill, call and fill patterns around them that may be removed
//! (`mark_fastcall_patterns`, `remove_fastcall_spills_fills`).

use crate::analysis::calls;
use crate::env::{Env, InsnFlags, Subprog, SubprogFlags, SubprogId};
use crate::outcome::Step;
use crate::state::CALLER_SAVED_MASK;
use crate::trace::Observer;
use veristable_isa::Insn;
use veristable_isa::consts::{BPF_DW, BPF_LDX, BPF_MEM, BPF_STX};
use veristable_isa::table::opcode;
use veristable_kernel::Behaviour;

const FRAME_POINTER: u8 = 10;
const SPILL: u8 = BPF_STX | BPF_MEM | BPF_DW;
const FILL: u8 = BPF_LDX | BPF_MEM | BPF_DW;
/// `BPF_REG_SIZE`
const SLOT: i16 = 8;

/// Marks the patterns.
///
/// # Errors
///
/// If a fact about a helper is not known.
pub fn mark<O: Observer>(env: &mut Env<'_, O>) -> Step {
    for number in 0..env.subprogs.len() {
        let id = SubprogId(u32::try_from(number).unwrap_or(u32::MAX));
        let Subprog { start, end, .. } = *env.subprog(id)?;
        let mut lowest = 0;
        for index in start..end {
            let insn = env.code.insn(index)?;
            if insn.code == SPILL && insn.dst() == FRAME_POINTER {
                lowest = lowest.min(insn.off);
            }
        }
        for index in start..end {
            env.tick()?;
            if env.code.insn(index)?.code == opcode::JMP_CALL {
                env.insn = Some(index);
                mark_call(env, id, index, lowest)?;
            }
        }
    }
    Ok(())
}

/// `mark_fastcall_pattern_for_call`
fn mark_call<O: Observer>(env: &mut Env<'_, O>, id: SubprogId, call: u32, lowest: i16) -> Step {
    let insn = env.code.insn(call)?;
    let Some(summary) = calls::summary(env, call, insn)? else { return Ok(()) };
    let through = 1u16.checked_shl(u32::from(summary.params) + 1).map_or(u16::MAX, |bit| bit - 1);
    let clobbered = if summary.is_void { through & !1 } else { through };
    let mut expected = !clobbered & CALLER_SAVED_MASK;
    let mut off = lowest;
    let mut pairs = 0u8;
    // A jump to the first spill is no matter.
    let avoids_targets = env.has(Behaviour::FastcallAvoidsTargets);
    for distance in 1..=6u32 {
        let (Some(before), after) = (call.checked_sub(distance), call + distance) else { break };
        if after >= env.code.len() {
            break;
        }
        if avoids_targets && (is_target(env, before + 1)? || is_target(env, after)?) {
            break;
        }
        let (spill, fill) = (env.code.insn(before)?, env.code.insn(after)?);
        if !is_pair(spill, fill, off) || 1 << spill.src() & expected == 0 {
            break;
        }
        expected &= !(1 << spill.src());
        env.code.aux_mut(before)?.flags |= InsnFlags::FASTCALL_PATTERN;
        env.code.aux_mut(after)?.flags |= InsnFlags::FASTCALL_PATTERN;
        pairs += 1;
        off = off.wrapping_add(SLOT);
    }
    if pairs == 0 {
        return Ok(());
    }
    if summary.fastcall {
        env.code.aux_mut(call)?.fastcall_spills = pairs;
    } else {
        env.subprog_mut(id)?.flags |= SubprogFlags::KEEP_FASTCALL_STACK;
    }
    let subprog = env.subprog_mut(id)?;
    subprog.fastcall_stack_off = subprog.fastcall_stack_off.min(off);
    Ok(())
}

/// Whether a jump leads to an instruction (`bpf_is_jump_target`).
fn is_target<O: Observer>(env: &Env<'_, O>, insn: u32) -> Step<bool> {
    Ok(env.code.aux(insn)?.flags.contains(InsnFlags::JUMP_TARGET))
}

/// Whether the two spill and fill the same register in the slot at this offset.
fn is_pair(spill: Insn, fill: Insn, off: i16) -> bool {
    spill.code == SPILL
        && fill.code == FILL
        && spill.dst() == FRAME_POINTER
        && fill.src() == FRAME_POINTER
        && spill.src() == fill.dst()
        && spill.off == off
        && fill.off == off
}

/// Makes the stack frames of subprograms smaller whose patterns are removed. (The instructions
/// themselves are left alone: rewriting is not this crate's business yet.)
///
/// # Errors
///
/// None that the input can cause.
pub fn remove_spills<O: Observer>(env: &mut Env<'_, O>) -> Step {
    for number in 0..env.subprogs.len() {
        let Subprog { start, end, flags, fastcall_stack_off, .. } = *env.subprogs.at(number)?;
        let removed = env
            .code
            .aux
            .iter()
            .take(end as usize)
            .skip(start as usize)
            .any(|aux| aux.fastcall_spills > 0);
        if removed && !flags.contains(SubprogFlags::KEEP_FASTCALL_STACK) {
            env.subprogs.at_mut(number)?.stack_depth = fastcall_stack_off.unsigned_abs();
        }
    }
    Ok(())
}
