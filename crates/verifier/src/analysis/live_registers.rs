// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which registers may still be read: a backward fixed point over the post-order
//! (`compute_live_registers`).

use crate::analysis::calls;
use crate::env::Env;
use crate::mem::List;
use crate::outcome::Step;
use crate::state::CALLER_SAVED_MASK;
use crate::trace::{Event, Level, Observer};
use veristable_isa::Insn;
use veristable_isa::consts::*;

/// R1 to R5.
const ARGUMENTS: u16 = 0x3e;
const R0: u16 = 1;

#[derive(Clone, Copy, Default)]
struct Live {
    defined: u16,
    used: u16,
    before: u16,
    after: u16,
}

/// Computes [`crate::env::InsnAux::live_regs`].
///
/// # Errors
///
/// If memory does not suffice, or a fact about a helper is not known.
pub fn compute<O: Observer>(env: &mut Env<'_, O>) -> Step {
    let len = env.code.insns.len();
    let mut live = List::filled(&env.budget, len, Live::default())?;
    for (index, live) in (0..env.code.len()).zip(live.iter_mut()) {
        env.insn = Some(index);
        (live.defined, live.used) = effects(env, index)?;
    }
    env.insn = None;
    solve(env, &mut live)?;
    for (aux, live) in env.code.aux.iter_mut().zip(&live) {
        aux.live_regs = live.before;
    }
    live.release(&env.budget);
    if env.wants(Level::Full) {
        emit(env)?;
    }
    Ok(())
}

fn solve<O: Observer>(env: &mut Env<'_, O>, live: &mut List<Live>) -> Step {
    if env.code.graph.only_goes_on() {
        // What follows has a higher number, so that once is enough, from behind.
        for index in (0..env.code.len()).rev() {
            env.tick()?;
            let is_reached = *env.code.places.at(index as usize)? != u32::MAX;
            if is_reached {
                update(env, live, index)?;
            }
        }
        return Ok(());
    }
    let mut changed = true;
    while changed {
        changed = false;
        for position in 0..env.code.postorder.len() {
            env.tick()?;
            changed |= update(env, live, *env.code.postorder.at(position)?)?;
        }
    }
    Ok(())
}

/// Takes over what is live after an instruction; whether that changed anything.
fn update<O: Observer>(env: &Env<'_, O>, live: &mut List<Live>, index: u32) -> Step<bool> {
    let mut after = 0;
    for &successor in env.code.graph.successors(index) {
        after |= live.at(successor as usize)?.before;
    }
    let this = live.at_mut(index as usize)?;
    let before = (after & !this.defined) | this.used;
    let changed = (this.after, this.before) != (after, before);
    (this.after, this.before) = (after, before);
    Ok(changed)
}

/// What an instruction defines and uses (`compute_insn_live_regs`). What the kernel does not
/// recognise uses everything.
fn effects<O: Observer>(env: &mut Env<'_, O>, index: u32) -> Step<(u16, u16)> {
    const NOTHING_KNOWN: (u16, u16) = (0, u16::MAX);
    let insn = env.code.insn(index)?;
    let (dst, src) = (1 << insn.dst(), 1 << insn.src());
    let operand = if bpf_src(insn.code) == BPF_K { 0 } else { src };
    Ok(match (insn.class(), bpf_mode(insn.code)) {
        (BPF_LD, BPF_IMM) if bpf_size(insn.code) == BPF_DW => (dst, 0),
        (BPF_LDX, BPF_MEM | BPF_MEMSX) => (dst, src),
        (BPF_ST, BPF_MEM) => (0, dst),
        (BPF_STX, BPF_MEM) => (0, dst | src),
        (BPF_STX, BPF_ATOMIC) => atomic(insn, dst, src),
        (BPF_LD | BPF_LDX | BPF_ST | BPF_STX, _) => NOTHING_KNOWN,
        (BPF_ALU | BPF_ALU64, _) => match bpf_op(insn.code) {
            BPF_END => (dst, dst),
            BPF_MOV => (dst, operand),
            _ => (dst, dst | operand),
        },
        _ => match bpf_op(insn.code) {
            BPF_JA | BPF_JCOND => (0, 0),
            BPF_EXIT => (0, R0),
            BPF_CALL => (CALLER_SAVED_MASK, arguments(env, index, insn)?),
            _ => (0, dst | operand),
        },
    })
}

fn atomic(insn: Insn, dst: u16, src: u16) -> (u16, u16) {
    match insn.imm {
        BPF_CMPXCHG => (R0, R0 | dst | src),
        BPF_LOAD_ACQ => (dst, src),
        BPF_STORE_REL => (0, dst | src),
        imm if imm & BPF_FETCH != 0 => (src, dst | src),
        _ => (0, dst | src),
    }
}

fn arguments<O: Observer>(env: &mut Env<'_, O>, index: u32, insn: Insn) -> Step<u16> {
    Ok(match calls::summary(env, index, insn)? {
        // R1 to Rn.
        Some(summary) => registers_up_to(summary.params) & !R0,
        None => ARGUMENTS,
    })
}

/// R0 to Rn; all for what does not fit.
const fn registers_up_to(n: u8) -> u16 {
    match 1u16.checked_shl(n as u32 + 1) {
        Some(bit) => bit - 1,
        None => u16::MAX,
    }
}

/// The block of the level-2 log.
fn emit<O: Observer>(env: &mut Env<'_, O>) -> Step {
    env.emit(Event::LiveRegistersHeading);
    let mut index = 0;
    while index < env.code.len() {
        let aux = *env.code.aux(index)?;
        env.with_insn_text(index, |observer, text| {
            let (scc, live) = (aux.scc, aux.live_regs);
            observer.event(Event::LiveRegisters { index, scc, live, insn: text });
        })?;
        index += if env.code.insn(index)?.is_ldimm64() { 2 } else { 1 };
    }
    Ok(())
}
