// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Questions about a raw slot, and where control goes from it.
//!
//! These work on any slot, also on those that no kernel accepts, because a verifier looks at jumps
//! before it has looked every opcode up.

use crate::Insn;
use crate::consts::*;
use crate::table::opcode;

impl Insn {
    /// Instruction class, the low three bits of the opcode.
    #[must_use]
    #[inline]
    pub const fn class(self) -> u8 {
        bpf_class(self.code)
    }

    /// Whether the class is one of the two jump classes (calls and exits included).
    #[must_use]
    #[inline]
    pub const fn is_jump_class(self) -> bool {
        matches!(self.class(), BPF_JMP | BPF_JMP32)
    }

    /// Whether this is the first slot of a 64-bit immediate load.
    #[must_use]
    #[inline]
    pub const fn is_ldimm64(self) -> bool {
        self.code == opcode::LD_IMM_DW
    }

    /// Slots the instruction takes: 1 or 2.
    #[must_use]
    #[inline]
    pub const fn slots(self) -> usize {
        if self.is_ldimm64() { 2 } else { 1 }
    }

    /// Whether this calls a helper.
    #[must_use]
    #[inline]
    pub const fn is_helper_call(self) -> bool {
        self.code == opcode::JMP_CALL && self.src() == 0
    }

    /// Whether this calls a subprogram.
    #[must_use]
    #[inline]
    pub const fn is_pseudo_call(self) -> bool {
        self.code == opcode::JMP_CALL && self.src() == BPF_PSEUDO_CALL
    }

    /// Whether this calls a kernel function.
    #[must_use]
    #[inline]
    pub const fn is_kfunc_call(self) -> bool {
        self.code == opcode::JMP_CALL && self.src() == BPF_PSEUDO_KFUNC_CALL
    }

    /// Whether this loads the address of a subprogram.
    #[must_use]
    #[inline]
    pub const fn is_pseudo_func(self) -> bool {
        self.is_ldimm64() && self.src() == BPF_PSEUDO_FUNC
    }

    /// Whether this is a `may_goto`.
    #[must_use]
    #[inline]
    pub const fn is_may_goto(self) -> bool {
        self.code == opcode::JMP_JCOND && self.src() == BPF_MAY_GOTO
    }

    /// Whether this is a load-acquire, which is a load in the class of stores.
    #[must_use]
    #[inline]
    pub const fn is_atomic_load(self) -> bool {
        self.class() == BPF_STX && bpf_mode(self.code) == BPF_ATOMIC && self.imm == BPF_LOAD_ACQ
    }

    /// Distance of a jump in slots from the next slot: `imm` for `gotol`, else `off`
    /// (`bpf_jmp_offset` in `kernel/bpf/liveness.c`). Meaningless for other instructions.
    #[must_use]
    #[inline]
    pub const fn jump_offset(self) -> i32 {
        if self.code == opcode::JMP32_JA { self.imm } else { self.off as i32 }
    }

    /// Target of a jump in slot `idx`, which may lie outside of the program or below zero; `None` if
    /// this is no jump.
    ///
    /// A jump is here what the kernel's range check (`check_subprogs` in `kernel/bpf/verifier.c`)
    /// takes for one: any instruction of a jump class except call and exit, also with an unknown
    /// operation.
    #[must_use]
    #[inline]
    pub fn jump_target(self, idx: usize) -> Option<i64> {
        if !self.is_jump_class() || matches!(bpf_op(self.code), BPF_CALL | BPF_EXIT) {
            return None;
        }
        target(idx, self.jump_offset())
    }

    /// First slot of the subprogram that a call, or a load of a subprogram's address, in slot `idx`
    /// names; it may lie outside of the program or below zero. `None` for other instructions.
    #[must_use]
    pub fn subprog_target(self, idx: usize) -> Option<i64> {
        if self.is_pseudo_call() || self.is_pseudo_func() { target(idx, self.imm) } else { None }
    }

    /// Where control may go from here, calls aside (`bpf_insn_successors` in
    /// `kernel/bpf/liveness.c`).
    #[must_use]
    pub const fn flow(self) -> Flow {
        if !self.is_jump_class() {
            return Flow::Next;
        }
        match bpf_op(self.code) {
            BPF_EXIT => Flow::End,
            BPF_JA => Flow::Jump,
            BPF_JEQ | BPF_JNE | BPF_JLT | BPF_JLE | BPF_JGT | BPF_JGE | BPF_JSGT | BPF_JSGE
            | BPF_JSLT | BPF_JSLE | BPF_JCOND | BPF_JSET => Flow::Branch,
            _ => Flow::Next,
        }
    }
}

fn target(idx: usize, off: i32) -> Option<i64> {
    i64::try_from(idx).ok()?.checked_add(i64::from(off))?.checked_add(1)
}

/// Where control may go from an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Flow {
    /// To the next instruction.
    Next,
    /// To the jump target. For `gotox` the target is not in the instruction.
    Jump,
    /// To the next instruction or to the jump target.
    Branch,
    /// Nowhere.
    End,
}

/// Slots that may follow the instruction in slot `idx`, in the kernel's order: next instruction,
/// then jump target (`bpf_insn_successors` in `kernel/bpf/liveness.c` of 6.18).
///
/// Slots outside of `insns` are left out, so the results can be used as indices. Calls go to the
/// next instruction. Not for `gotox`, whose targets are not in the instruction.
pub fn successors(insns: &[Insn], idx: usize) -> impl Iterator<Item = usize> + use<> {
    let len = insns.len();
    let (next, jump) = match insns.get(idx) {
        None => (None, None),
        Some(&insn) => {
            let next = || idx.checked_add(insn.slots());
            let jump = || target(idx, insn.jump_offset()).and_then(|t| usize::try_from(t).ok());
            match insn.flow() {
                Flow::Next => (next(), None),
                Flow::Jump => (None, jump()),
                Flow::Branch => (next(), jump()),
                Flow::End => (None, None),
            }
        }
    };
    [next, jump].into_iter().flatten().filter(move |&i| i < len)
}
