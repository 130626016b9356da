// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Changes of a program that keep its jumps, calls and tables true.

use veristable_isa::Insn;
use veristable_isa::consts::*;
use veristable_program::{Blob, InfoTable, LoadRequest};

/// Slots where an instruction begins: not the second ones of 64-bit loads.
pub(crate) fn starts(insns: &[Insn]) -> Vec<usize> {
    let mut starts = Vec::with_capacity(insns.len());
    let mut at = 0;
    while let Some(insn) = insns.get(at) {
        starts.push(at);
        at += insn.slots();
    }
    starts
}

/// Writes a jump's distance into the field that holds it.
pub(crate) fn set_jump(insn: &mut Insn, distance: i64) -> Option<()> {
    if insn.class() == BPF_JMP32 && bpf_op(insn.code) == BPF_JA {
        insn.imm = distance.try_into().ok()?;
    } else {
        insn.off = distance.try_into().ok()?;
    }
    Some(())
}

/// Gives an instruction that moves from slot `from` to slot `to` the same target, or where that
/// target moved.
pub(crate) fn retarget(
    insn: &mut Insn,
    from: usize,
    to: usize,
    moved: impl Fn(i64) -> i64,
) -> Option<()> {
    if let Some(target) = insn.jump_target(from) {
        return set_jump(insn, moved(target) - to as i64 - 1);
    }
    if let Some(target) = insn.subprog_target(from) {
        insn.imm = (moved(target) - to as i64 - 1).try_into().ok()?;
    }
    Some(())
}

/// Removes or doubles the instruction at a slot; everything that names a slot behind it follows.
pub(crate) fn resize(request: &LoadRequest, at: usize, double: bool) -> Option<LoadRequest> {
    let slots = request.insns.get(at)?.slots();
    let end = at.checked_add(slots)?;
    if end > request.insns.len() || (!double && slots == request.insns.len()) {
        return None;
    }
    let moved = |slot: i64| match (double, slot) {
        (true, slot) if slot > at as i64 => slot + slots as i64,
        (false, slot) if slot >= end as i64 => slot - slots as i64,
        (false, slot) if slot > at as i64 => at as i64,
        _ => slot,
    };
    let mut insns = Vec::with_capacity(request.insns.len() + slots);
    let mut from = 0;
    while let Some(&insn) = request.insns.get(from) {
        let next = from + insn.slots();
        let copies = match from == at {
            true if double => 2,
            true => 0,
            false => 1,
        };
        for _ in 0..copies {
            let mut insn = insn;
            retarget(&mut insn, from, insns.len(), moved)?;
            insns.push(insn);
            insns.extend(request.insns.get(from + 1..next).into_iter().flatten());
        }
        from = next;
    }
    let mut out = LoadRequest { insns, ..request.clone() };
    move_table(&mut out.func_info, 1, moved);
    move_table(&mut out.line_info, 1, moved);
    move_table(&mut out.core_relos, Insn::SIZE as i64, moved);
    out.fixups.retain(|fixup| double || fixup.insn as usize != at);
    for fixup in &mut out.fixups {
        fixup.insn = moved(fixup.insn.into()).try_into().ok()?;
    }
    Some(out)
}

/// Every record begins with its instruction's offset, in slots or (CO-RE) in bytes. A record whose
/// instruction went away gives way to the one that now stands there.
fn move_table(table: &mut InfoTable, unit: i64, moved: impl Fn(i64) -> i64) {
    let size = table.rec_size as usize;
    if size < 4 || table.bytes.len() != size.saturating_mul(table.count as usize) {
        // Tables that do not fit are the kernel's to judge, as they are.
        return;
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(table.bytes.len());
    let mut last = None;
    for record in table.bytes.chunks_exact(size) {
        let Some((offset, rest)) = record.split_first_chunk::<4>() else { return };
        let old = i64::from(u32::from_le_bytes(*offset));
        let new = moved(old / unit) * unit + old % unit;
        if last == Some(new) && new != old {
            bytes.truncate(bytes.len().saturating_sub(size));
        }
        last = Some(new);
        bytes.extend_from_slice(&u32::try_from(new).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(rest);
    }
    table.count = (bytes.len() / size) as u32;
    table.bytes = Blob::from(bytes);
}
