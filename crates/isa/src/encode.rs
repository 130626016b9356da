// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! From typed instructions to slots.

use crate::Insn;
use crate::consts::*;
use crate::op::{CallKind, Imm64, Op, Operand, Reg, Size, Source, Swap, Width};

/// One or two slots.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Encoded {
    first: Insn,
    second: Option<Insn>,
}

impl Encoded {
    /// The first slot.
    #[must_use]
    pub const fn first(self) -> Insn {
        self.first
    }

    /// The second slot of a 64-bit immediate load.
    #[must_use]
    pub const fn second(self) -> Option<Insn> {
        self.second
    }

    /// The slots in order.
    pub fn iter(self) -> impl Iterator<Item = Insn> {
        [Some(self.first), self.second].into_iter().flatten()
    }
}

impl From<Insn> for Encoded {
    fn from(first: Insn) -> Self {
        Self { first, second: None }
    }
}

/// The slots of an instruction. Decoding them gives it back.
///
/// Not every value of the type is an instruction: the distance of a short [`Op::Goto`] is cut to its
/// low 16 bits; a 32-bit [`Op::MovSx`] from 32 bits, any from 64 bits, a sign-extending load of 8
/// bytes and packet data loads of 8 bytes get the encoding they would have, which no kernel accepts.
#[must_use]
pub fn encode(op: Op) -> Encoded {
    let insn = |code: u8, dst: Reg, src: Reg, off: i16, imm: i32| {
        Insn::new(code, dst.number(), src.number(), off, imm)
    };
    const R0: Reg = Reg::R0;
    Encoded::from(match op {
        Op::Alu { op, width, dst, src } => {
            let (bit, src, imm) = operand(src);
            let off = i16::from(op.is_signed_division());
            insn(alu_class(width) | op.code() | bit, dst, src, off, imm)
        }
        Op::MovSx { width, from, dst, src } => {
            let off = match from {
                Size::B => 8,
                Size::H => 16,
                Size::W => 32,
                Size::DW => 64,
            };
            insn(alu_class(width) | BPF_MOV | BPF_X, dst, src, off, 0)
        }
        Op::Neg { width, dst } => insn(alu_class(width) | BPF_NEG, dst, R0, 0, 0),
        Op::Swap { kind, bits, dst } => {
            let code = match kind {
                Swap::ToLe => BPF_ALU | BPF_END | BPF_TO_LE,
                Swap::ToBe => BPF_ALU | BPF_END | BPF_TO_BE,
                Swap::Bswap => BPF_ALU64 | BPF_END | BPF_TO_LE,
            };
            insn(code, dst, R0, 0, bits.bits().cast_signed())
        }
        Op::AddrSpaceCast { dst, src, to, from } => {
            let imm = (u32::from(to) << 16 | u32::from(from)).cast_signed();
            insn(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, BPF_ADDR_SPACE_CAST, imm)
        }
        Op::Load { size, sign_extend, dst, base, off } => {
            let mode = if sign_extend { BPF_MEMSX } else { BPF_MEM };
            insn(BPF_LDX | mode | size.code(), dst, base, off, 0)
        }
        Op::Store { size, base, off, value } => {
            let class = match value.source() {
                Source::Imm => BPF_ST,
                Source::Reg => BPF_STX,
            };
            let (_, src, imm) = operand(value);
            insn(class | BPF_MEM | size.code(), base, src, off, imm)
        }
        Op::Atomic { op, size, base, off, src } => {
            insn(BPF_STX | BPF_ATOMIC | size.code(), base, src, off, op.imm())
        }
        Op::LoadAcquire { size, dst, base, off } => {
            insn(BPF_STX | BPF_ATOMIC | size.code(), dst, base, off, BPF_LOAD_ACQ)
        }
        Op::StoreRelease { size, base, off, src } => {
            insn(BPF_STX | BPF_ATOMIC | size.code(), base, src, off, BPF_STORE_REL)
        }
        Op::LoadAbs { size, off } => insn(BPF_LD | BPF_ABS | size.code(), R0, R0, 0, off),
        Op::LoadInd { size, src, off } => insn(BPF_LD | BPF_IND | size.code(), R0, src, 0, off),
        Op::LoadImm64 { dst, value } => return encode_imm64(dst, value),
        Op::Goto { long: true, off } => insn(BPF_JMP32 | BPF_JA, R0, R0, 0, off),
        Op::Goto { long: false, off } => insn(BPF_JMP | BPF_JA, R0, R0, off as i16, 0),
        Op::GotoX { dst } => insn(BPF_JMP | BPF_JA | BPF_X, dst, R0, 0, 0),
        Op::Branch { op, width, dst, src, off } => {
            let (bit, src, imm) = operand(src);
            let class = match width {
                Width::W32 => BPF_JMP32,
                Width::W64 => BPF_JMP,
            };
            insn(class | op.code() | bit, dst, src, off, imm)
        }
        Op::MayGoto { off } => Insn::new(BPF_JMP | BPF_JCOND, 0, BPF_MAY_GOTO, off, 0),
        Op::Call(kind) => encode_call(kind),
        Op::Exit => insn(BPF_JMP | BPF_EXIT, R0, R0, 0, 0),
    })
}

const fn alu_class(width: Width) -> u8 {
    match width {
        Width::W32 => BPF_ALU,
        Width::W64 => BPF_ALU64,
    }
}

/// Source bit, source register and immediate.
const fn operand(operand: Operand) -> (u8, Reg, i32) {
    match operand {
        Operand::Imm(imm) => (BPF_K, Reg::R0, imm),
        Operand::Reg(src) => (BPF_X, src, 0),
    }
}

fn encode_call(kind: CallKind) -> Insn {
    let (src, off, imm) = match kind {
        CallKind::Helper { id } => (0, 0, id),
        CallKind::Subprog { off } => (BPF_PSEUDO_CALL, 0, off),
        CallKind::Kfunc { btf_id, fd_idx } => (BPF_PSEUDO_KFUNC_CALL, fd_idx, btf_id),
    };
    Insn::new(BPF_JMP | BPF_CALL, 0, src, off, imm)
}

fn encode_imm64(dst: Reg, value: Imm64) -> Encoded {
    let (first, second) = match value {
        Imm64::Value(wide) => wide.imms(),
        Imm64::MapFd { fd } => (fd, 0),
        Imm64::MapValue { fd, off } => (fd, off.cast_signed()),
        Imm64::BtfId { id, btf_fd } => (id.cast_signed(), btf_fd),
        Imm64::Func { off } => (off, 0),
        Imm64::MapIdx { idx } => (idx, 0),
        Imm64::MapIdxValue { idx, off } => (idx, off.cast_signed()),
    };
    Encoded {
        first: Insn::new(BPF_LD | BPF_IMM | BPF_DW, dst.number(), value.pseudo(), 0, first),
        second: Some(Insn::new(0, 0, 0, 0, second)),
    }
}
