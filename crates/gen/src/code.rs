// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Instructions with labels.

use veristable_isa::consts::{BPF_JA, BPF_JMP32, bpf_op};
use veristable_isa::{CallKind, CmpOp, Imm64, Insn, Op, Operand, Reg, Width, encode};

/// A place in the program that may not be known yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Label(usize);

/// The instructions so far.
#[derive(Clone, Default, Debug)]
pub(crate) struct Code {
    insns: Vec<Insn>,
    /// Slot of each label.
    labels: Vec<Option<usize>>,
    /// Slots whose distance is that to a label.
    patches: Vec<(usize, Label)>,
}

impl Code {
    /// Slots so far.
    pub(crate) const fn len(&self) -> usize {
        self.insns.len()
    }

    /// Adds an instruction.
    pub(crate) fn op(&mut self, op: Op) {
        self.insns.extend(encode(op).iter());
    }

    /// A label for later.
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Puts a label here.
    pub(crate) fn bind(&mut self, label: Label) {
        let here = self.insns.len();
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = Some(here);
        }
    }

    /// A label that is here.
    pub(crate) fn here(&mut self) -> Label {
        let label = self.label();
        self.bind(label);
        label
    }

    /// Adds a slot as it is; if it jumps or calls, to a label.
    pub(crate) fn raw(&mut self, insn: Insn, label: Option<Label>) {
        if let Some(label) = label {
            self.patches.push((self.insns.len(), label));
        }
        self.insns.push(insn);
    }

    fn to(&mut self, label: Label, op: Op) {
        self.patches.push((self.insns.len(), label));
        self.op(op);
    }

    /// `if dst op src goto label`.
    pub(crate) fn branch(&mut self, op: CmpOp, width: Width, dst: Reg, src: Operand, label: Label) {
        self.to(label, Op::Branch { op, width, dst, src, off: 0 });
    }

    /// `goto label`.
    pub(crate) fn goto(&mut self, label: Label, long: bool) {
        self.to(label, Op::Goto { long, off: 0 });
    }

    /// `may_goto label`.
    pub(crate) fn may_goto(&mut self, label: Label) {
        self.to(label, Op::MayGoto { off: 0 });
    }

    /// Calls the subprogram at a label.
    pub(crate) fn call(&mut self, label: Label) {
        self.to(label, Op::Call(CallKind::Subprog { off: 0 }));
    }

    /// The address of the subprogram at a label.
    pub(crate) fn func(&mut self, dst: Reg, label: Label) {
        self.to(label, Op::LoadImm64 { dst, value: Imm64::Func { off: 0 } });
    }

    /// The slots with every distance in place.
    pub(crate) fn finish(mut self) -> Vec<Insn> {
        for (at, label) in &self.patches {
            let target = self.labels.get(label.0).copied().flatten().unwrap_or(at + 1);
            let distance = target as i64 - *at as i64 - 1;
            let Some(insn) = self.insns.get_mut(*at) else { continue };
            let in_imm = insn.is_ldimm64()
                || insn.is_pseudo_call()
                || (insn.class() == BPF_JMP32 && bpf_op(insn.code) == BPF_JA);
            if in_imm {
                insn.imm = distance as i32;
            } else {
                insn.off = distance as i16;
            }
        }
        self.insns
    }
}
