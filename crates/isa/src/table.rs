// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The one table of instructions. Opcode constants, names, the classification of an opcode byte
//! and [`opcode_in_insntable`] derive from it.

use crate::consts::*;
use crate::op::{AluOp, CmpOp, Size, Source, Swap, Width};

/// What an opcode byte alone says about an instruction.
///
/// Other fields may refine it: `off` turns a division into a signed one, `imm` chooses the atomic
/// operation, the source register the kind of a call. [`crate::decode()`] does that.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Form {
    /// Two-operand arithmetic. The operation is the unsigned one for division and remainder.
    Alu(Width, AluOp, Source),
    /// Negation.
    Neg(Width),
    /// Byte order conversion.
    Swap(Swap),
    /// Load from memory.
    Load(Size),
    /// Load from memory with sign extension.
    LoadSx(Size),
    /// Store of a register.
    Store(Size),
    /// Store of an immediate.
    StoreImm(Size),
    /// Atomic operation on memory.
    Atomic(Size),
    /// Load of packet data at a constant offset.
    LoadAbs(Size),
    /// Load of packet data at a register plus a constant.
    LoadInd(Size),
    /// First slot of a 64-bit immediate load.
    LoadImm64,
    /// Unconditional jump by `off`.
    Goto,
    /// Unconditional jump by `imm`.
    GotoLong,
    /// Jump to the address in a register.
    GotoX,
    /// Conditional jump.
    Branch(Width, CmpOp, Source),
    /// `may_goto`.
    MayGoto,
    /// Call of any kind.
    Call,
    /// Return.
    Exit,
}

/// Opcodes that came to the kernel together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Group {
    /// In every kernel since Linux 5.0.
    Base,
    /// Jumps with 32-bit comparison, Linux 5.1.
    Jmp32,
    /// Sign-extending loads, `bswap` and the long jump, Linux 6.6.
    CpuV4,
    /// `may_goto`, Linux 6.9.
    MayGoto,
    /// One- and two-byte atomics (only load-acquire and store-release use them), Linux 6.15.
    NarrowAtomics,
    /// Jump to the address in a register, Linux 6.19.
    Gotox,
}

/// One row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// The opcode byte.
    pub code: u8,
    /// Its name, as in the kernel's `BPF_INSN_MAP` (`kernel/bpf/core.c`): `ALU64_ADD_X`.
    pub name: &'static str,
    /// What the opcode says.
    pub form: Form,
    /// Since when kernels know it.
    pub group: Group,
}

/// A choice of [`Group`]s: the opcodes one kernel knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OpcodeSet(u8);

impl OpcodeSet {
    /// Only [`Group::Base`].
    pub const BASE: Self = Self(0).with(Group::Base);
    /// Linux 6.12 (read in 6.12.117).
    pub const LINUX_6_12: Self =
        Self::BASE.with(Group::Jmp32).with(Group::CpuV4).with(Group::MayGoto);
    /// Linux 6.18 (read in 6.18.15).
    pub const LINUX_6_18: Self = Self::LINUX_6_12.with(Group::NarrowAtomics);
    /// Linux 7.3.
    pub const LINUX_7_3: Self = Self::LINUX_6_18.with(Group::Gotox);
    /// Every row of the table.
    pub const ALL: Self = Self::LINUX_7_3;

    /// The set and one more group.
    #[must_use]
    pub const fn with(self, group: Group) -> Self {
        Self(self.0 | 1 << group as u8)
    }

    /// The set less one group.
    #[must_use]
    pub const fn without(self, group: Group) -> Self {
        Self(self.0 & !(1 << group as u8))
    }

    /// Whether the set has the group.
    #[must_use]
    pub const fn contains(self, group: Group) -> bool {
        self.0 & (1 << group as u8) != 0
    }
}

macro_rules! table {
    ($( $name:ident = $code:expr => $form:expr, $group:ident; )*) => {
        /// Opcode bytes, named as in the kernel's `BPF_INSN_MAP` (`kernel/bpf/core.c`).
        pub mod opcode {
            use crate::consts::*;
            $(
                #[doc = concat!("`", stringify!($code), "`")]
                pub const $name: u8 = $code;
            )*
        }

        /// Every instruction's opcode, each once.
        pub const TABLE: &[Entry] = &[
            $( Entry {
                code: $code, name: stringify!($name), form: $form, group: Group::$group,
            }, )*
        ];
    };
}

table! {
    ALU64_ADD_K = BPF_ALU64 | BPF_ADD | BPF_K => Form::Alu(Width::W64, AluOp::Add, Source::Imm), Base;
    ALU64_ADD_X = BPF_ALU64 | BPF_ADD | BPF_X => Form::Alu(Width::W64, AluOp::Add, Source::Reg), Base;
    ALU64_SUB_K = BPF_ALU64 | BPF_SUB | BPF_K => Form::Alu(Width::W64, AluOp::Sub, Source::Imm), Base;
    ALU64_SUB_X = BPF_ALU64 | BPF_SUB | BPF_X => Form::Alu(Width::W64, AluOp::Sub, Source::Reg), Base;
    ALU64_MUL_K = BPF_ALU64 | BPF_MUL | BPF_K => Form::Alu(Width::W64, AluOp::Mul, Source::Imm), Base;
    ALU64_MUL_X = BPF_ALU64 | BPF_MUL | BPF_X => Form::Alu(Width::W64, AluOp::Mul, Source::Reg), Base;
    ALU64_DIV_K = BPF_ALU64 | BPF_DIV | BPF_K => Form::Alu(Width::W64, AluOp::Div, Source::Imm), Base;
    ALU64_DIV_X = BPF_ALU64 | BPF_DIV | BPF_X => Form::Alu(Width::W64, AluOp::Div, Source::Reg), Base;
    ALU64_OR_K = BPF_ALU64 | BPF_OR | BPF_K => Form::Alu(Width::W64, AluOp::Or, Source::Imm), Base;
    ALU64_OR_X = BPF_ALU64 | BPF_OR | BPF_X => Form::Alu(Width::W64, AluOp::Or, Source::Reg), Base;
    ALU64_AND_K = BPF_ALU64 | BPF_AND | BPF_K => Form::Alu(Width::W64, AluOp::And, Source::Imm), Base;
    ALU64_AND_X = BPF_ALU64 | BPF_AND | BPF_X => Form::Alu(Width::W64, AluOp::And, Source::Reg), Base;
    ALU64_LSH_K = BPF_ALU64 | BPF_LSH | BPF_K => Form::Alu(Width::W64, AluOp::Lsh, Source::Imm), Base;
    ALU64_LSH_X = BPF_ALU64 | BPF_LSH | BPF_X => Form::Alu(Width::W64, AluOp::Lsh, Source::Reg), Base;
    ALU64_RSH_K = BPF_ALU64 | BPF_RSH | BPF_K => Form::Alu(Width::W64, AluOp::Rsh, Source::Imm), Base;
    ALU64_RSH_X = BPF_ALU64 | BPF_RSH | BPF_X => Form::Alu(Width::W64, AluOp::Rsh, Source::Reg), Base;
    ALU64_MOD_K = BPF_ALU64 | BPF_MOD | BPF_K => Form::Alu(Width::W64, AluOp::Mod, Source::Imm), Base;
    ALU64_MOD_X = BPF_ALU64 | BPF_MOD | BPF_X => Form::Alu(Width::W64, AluOp::Mod, Source::Reg), Base;
    ALU64_XOR_K = BPF_ALU64 | BPF_XOR | BPF_K => Form::Alu(Width::W64, AluOp::Xor, Source::Imm), Base;
    ALU64_XOR_X = BPF_ALU64 | BPF_XOR | BPF_X => Form::Alu(Width::W64, AluOp::Xor, Source::Reg), Base;
    ALU64_MOV_K = BPF_ALU64 | BPF_MOV | BPF_K => Form::Alu(Width::W64, AluOp::Mov, Source::Imm), Base;
    ALU64_MOV_X = BPF_ALU64 | BPF_MOV | BPF_X => Form::Alu(Width::W64, AluOp::Mov, Source::Reg), Base;
    ALU64_ARSH_K = BPF_ALU64 | BPF_ARSH | BPF_K => Form::Alu(Width::W64, AluOp::Arsh, Source::Imm), Base;
    ALU64_ARSH_X = BPF_ALU64 | BPF_ARSH | BPF_X => Form::Alu(Width::W64, AluOp::Arsh, Source::Reg), Base;
    ALU64_NEG = BPF_ALU64 | BPF_NEG => Form::Neg(Width::W64), Base;
    ALU_ADD_K = BPF_ALU | BPF_ADD | BPF_K => Form::Alu(Width::W32, AluOp::Add, Source::Imm), Base;
    ALU_ADD_X = BPF_ALU | BPF_ADD | BPF_X => Form::Alu(Width::W32, AluOp::Add, Source::Reg), Base;
    ALU_SUB_K = BPF_ALU | BPF_SUB | BPF_K => Form::Alu(Width::W32, AluOp::Sub, Source::Imm), Base;
    ALU_SUB_X = BPF_ALU | BPF_SUB | BPF_X => Form::Alu(Width::W32, AluOp::Sub, Source::Reg), Base;
    ALU_MUL_K = BPF_ALU | BPF_MUL | BPF_K => Form::Alu(Width::W32, AluOp::Mul, Source::Imm), Base;
    ALU_MUL_X = BPF_ALU | BPF_MUL | BPF_X => Form::Alu(Width::W32, AluOp::Mul, Source::Reg), Base;
    ALU_DIV_K = BPF_ALU | BPF_DIV | BPF_K => Form::Alu(Width::W32, AluOp::Div, Source::Imm), Base;
    ALU_DIV_X = BPF_ALU | BPF_DIV | BPF_X => Form::Alu(Width::W32, AluOp::Div, Source::Reg), Base;
    ALU_OR_K = BPF_ALU | BPF_OR | BPF_K => Form::Alu(Width::W32, AluOp::Or, Source::Imm), Base;
    ALU_OR_X = BPF_ALU | BPF_OR | BPF_X => Form::Alu(Width::W32, AluOp::Or, Source::Reg), Base;
    ALU_AND_K = BPF_ALU | BPF_AND | BPF_K => Form::Alu(Width::W32, AluOp::And, Source::Imm), Base;
    ALU_AND_X = BPF_ALU | BPF_AND | BPF_X => Form::Alu(Width::W32, AluOp::And, Source::Reg), Base;
    ALU_LSH_K = BPF_ALU | BPF_LSH | BPF_K => Form::Alu(Width::W32, AluOp::Lsh, Source::Imm), Base;
    ALU_LSH_X = BPF_ALU | BPF_LSH | BPF_X => Form::Alu(Width::W32, AluOp::Lsh, Source::Reg), Base;
    ALU_RSH_K = BPF_ALU | BPF_RSH | BPF_K => Form::Alu(Width::W32, AluOp::Rsh, Source::Imm), Base;
    ALU_RSH_X = BPF_ALU | BPF_RSH | BPF_X => Form::Alu(Width::W32, AluOp::Rsh, Source::Reg), Base;
    ALU_MOD_K = BPF_ALU | BPF_MOD | BPF_K => Form::Alu(Width::W32, AluOp::Mod, Source::Imm), Base;
    ALU_MOD_X = BPF_ALU | BPF_MOD | BPF_X => Form::Alu(Width::W32, AluOp::Mod, Source::Reg), Base;
    ALU_XOR_K = BPF_ALU | BPF_XOR | BPF_K => Form::Alu(Width::W32, AluOp::Xor, Source::Imm), Base;
    ALU_XOR_X = BPF_ALU | BPF_XOR | BPF_X => Form::Alu(Width::W32, AluOp::Xor, Source::Reg), Base;
    ALU_MOV_K = BPF_ALU | BPF_MOV | BPF_K => Form::Alu(Width::W32, AluOp::Mov, Source::Imm), Base;
    ALU_MOV_X = BPF_ALU | BPF_MOV | BPF_X => Form::Alu(Width::W32, AluOp::Mov, Source::Reg), Base;
    ALU_ARSH_K = BPF_ALU | BPF_ARSH | BPF_K => Form::Alu(Width::W32, AluOp::Arsh, Source::Imm), Base;
    ALU_ARSH_X = BPF_ALU | BPF_ARSH | BPF_X => Form::Alu(Width::W32, AluOp::Arsh, Source::Reg), Base;
    ALU_NEG = BPF_ALU | BPF_NEG => Form::Neg(Width::W32), Base;
    ALU_END_TO_LE = BPF_ALU | BPF_END | BPF_TO_LE => Form::Swap(Swap::ToLe), Base;
    ALU_END_TO_BE = BPF_ALU | BPF_END | BPF_TO_BE => Form::Swap(Swap::ToBe), Base;
    ALU64_END_TO_LE = BPF_ALU64 | BPF_END | BPF_TO_LE => Form::Swap(Swap::Bswap), CpuV4;
    JMP_JEQ_K = BPF_JMP | BPF_JEQ | BPF_K => Form::Branch(Width::W64, CmpOp::Eq, Source::Imm), Base;
    JMP_JEQ_X = BPF_JMP | BPF_JEQ | BPF_X => Form::Branch(Width::W64, CmpOp::Eq, Source::Reg), Base;
    JMP_JGT_K = BPF_JMP | BPF_JGT | BPF_K => Form::Branch(Width::W64, CmpOp::Gt, Source::Imm), Base;
    JMP_JGT_X = BPF_JMP | BPF_JGT | BPF_X => Form::Branch(Width::W64, CmpOp::Gt, Source::Reg), Base;
    JMP_JGE_K = BPF_JMP | BPF_JGE | BPF_K => Form::Branch(Width::W64, CmpOp::Ge, Source::Imm), Base;
    JMP_JGE_X = BPF_JMP | BPF_JGE | BPF_X => Form::Branch(Width::W64, CmpOp::Ge, Source::Reg), Base;
    JMP_JSET_K = BPF_JMP | BPF_JSET | BPF_K => Form::Branch(Width::W64, CmpOp::Set, Source::Imm), Base;
    JMP_JSET_X = BPF_JMP | BPF_JSET | BPF_X => Form::Branch(Width::W64, CmpOp::Set, Source::Reg), Base;
    JMP_JNE_K = BPF_JMP | BPF_JNE | BPF_K => Form::Branch(Width::W64, CmpOp::Ne, Source::Imm), Base;
    JMP_JNE_X = BPF_JMP | BPF_JNE | BPF_X => Form::Branch(Width::W64, CmpOp::Ne, Source::Reg), Base;
    JMP_JSGT_K = BPF_JMP | BPF_JSGT | BPF_K => Form::Branch(Width::W64, CmpOp::Sgt, Source::Imm), Base;
    JMP_JSGT_X = BPF_JMP | BPF_JSGT | BPF_X => Form::Branch(Width::W64, CmpOp::Sgt, Source::Reg), Base;
    JMP_JSGE_K = BPF_JMP | BPF_JSGE | BPF_K => Form::Branch(Width::W64, CmpOp::Sge, Source::Imm), Base;
    JMP_JSGE_X = BPF_JMP | BPF_JSGE | BPF_X => Form::Branch(Width::W64, CmpOp::Sge, Source::Reg), Base;
    JMP_JLT_K = BPF_JMP | BPF_JLT | BPF_K => Form::Branch(Width::W64, CmpOp::Lt, Source::Imm), Base;
    JMP_JLT_X = BPF_JMP | BPF_JLT | BPF_X => Form::Branch(Width::W64, CmpOp::Lt, Source::Reg), Base;
    JMP_JLE_K = BPF_JMP | BPF_JLE | BPF_K => Form::Branch(Width::W64, CmpOp::Le, Source::Imm), Base;
    JMP_JLE_X = BPF_JMP | BPF_JLE | BPF_X => Form::Branch(Width::W64, CmpOp::Le, Source::Reg), Base;
    JMP_JSLT_K = BPF_JMP | BPF_JSLT | BPF_K => Form::Branch(Width::W64, CmpOp::Slt, Source::Imm), Base;
    JMP_JSLT_X = BPF_JMP | BPF_JSLT | BPF_X => Form::Branch(Width::W64, CmpOp::Slt, Source::Reg), Base;
    JMP_JSLE_K = BPF_JMP | BPF_JSLE | BPF_K => Form::Branch(Width::W64, CmpOp::Sle, Source::Imm), Base;
    JMP_JSLE_X = BPF_JMP | BPF_JSLE | BPF_X => Form::Branch(Width::W64, CmpOp::Sle, Source::Reg), Base;
    JMP32_JEQ_K = BPF_JMP32 | BPF_JEQ | BPF_K => Form::Branch(Width::W32, CmpOp::Eq, Source::Imm), Jmp32;
    JMP32_JEQ_X = BPF_JMP32 | BPF_JEQ | BPF_X => Form::Branch(Width::W32, CmpOp::Eq, Source::Reg), Jmp32;
    JMP32_JGT_K = BPF_JMP32 | BPF_JGT | BPF_K => Form::Branch(Width::W32, CmpOp::Gt, Source::Imm), Jmp32;
    JMP32_JGT_X = BPF_JMP32 | BPF_JGT | BPF_X => Form::Branch(Width::W32, CmpOp::Gt, Source::Reg), Jmp32;
    JMP32_JGE_K = BPF_JMP32 | BPF_JGE | BPF_K => Form::Branch(Width::W32, CmpOp::Ge, Source::Imm), Jmp32;
    JMP32_JGE_X = BPF_JMP32 | BPF_JGE | BPF_X => Form::Branch(Width::W32, CmpOp::Ge, Source::Reg), Jmp32;
    JMP32_JSET_K = BPF_JMP32 | BPF_JSET | BPF_K => Form::Branch(Width::W32, CmpOp::Set, Source::Imm), Jmp32;
    JMP32_JSET_X = BPF_JMP32 | BPF_JSET | BPF_X => Form::Branch(Width::W32, CmpOp::Set, Source::Reg), Jmp32;
    JMP32_JNE_K = BPF_JMP32 | BPF_JNE | BPF_K => Form::Branch(Width::W32, CmpOp::Ne, Source::Imm), Jmp32;
    JMP32_JNE_X = BPF_JMP32 | BPF_JNE | BPF_X => Form::Branch(Width::W32, CmpOp::Ne, Source::Reg), Jmp32;
    JMP32_JSGT_K = BPF_JMP32 | BPF_JSGT | BPF_K => Form::Branch(Width::W32, CmpOp::Sgt, Source::Imm), Jmp32;
    JMP32_JSGT_X = BPF_JMP32 | BPF_JSGT | BPF_X => Form::Branch(Width::W32, CmpOp::Sgt, Source::Reg), Jmp32;
    JMP32_JSGE_K = BPF_JMP32 | BPF_JSGE | BPF_K => Form::Branch(Width::W32, CmpOp::Sge, Source::Imm), Jmp32;
    JMP32_JSGE_X = BPF_JMP32 | BPF_JSGE | BPF_X => Form::Branch(Width::W32, CmpOp::Sge, Source::Reg), Jmp32;
    JMP32_JLT_K = BPF_JMP32 | BPF_JLT | BPF_K => Form::Branch(Width::W32, CmpOp::Lt, Source::Imm), Jmp32;
    JMP32_JLT_X = BPF_JMP32 | BPF_JLT | BPF_X => Form::Branch(Width::W32, CmpOp::Lt, Source::Reg), Jmp32;
    JMP32_JLE_K = BPF_JMP32 | BPF_JLE | BPF_K => Form::Branch(Width::W32, CmpOp::Le, Source::Imm), Jmp32;
    JMP32_JLE_X = BPF_JMP32 | BPF_JLE | BPF_X => Form::Branch(Width::W32, CmpOp::Le, Source::Reg), Jmp32;
    JMP32_JSLT_K = BPF_JMP32 | BPF_JSLT | BPF_K => Form::Branch(Width::W32, CmpOp::Slt, Source::Imm), Jmp32;
    JMP32_JSLT_X = BPF_JMP32 | BPF_JSLT | BPF_X => Form::Branch(Width::W32, CmpOp::Slt, Source::Reg), Jmp32;
    JMP32_JSLE_K = BPF_JMP32 | BPF_JSLE | BPF_K => Form::Branch(Width::W32, CmpOp::Sle, Source::Imm), Jmp32;
    JMP32_JSLE_X = BPF_JMP32 | BPF_JSLE | BPF_X => Form::Branch(Width::W32, CmpOp::Sle, Source::Reg), Jmp32;
    JMP_JA = BPF_JMP | BPF_JA => Form::Goto, Base;
    JMP32_JA = BPF_JMP32 | BPF_JA => Form::GotoLong, CpuV4;
    JMP_JA_X = BPF_JMP | BPF_JA | BPF_X => Form::GotoX, Gotox;
    JMP_JCOND = BPF_JMP | BPF_JCOND => Form::MayGoto, MayGoto;
    JMP_CALL = BPF_JMP | BPF_CALL => Form::Call, Base;
    JMP_EXIT = BPF_JMP | BPF_EXIT => Form::Exit, Base;
    LDX_MEM_B = BPF_LDX | BPF_MEM | BPF_B => Form::Load(Size::B), Base;
    LDX_MEM_H = BPF_LDX | BPF_MEM | BPF_H => Form::Load(Size::H), Base;
    LDX_MEM_W = BPF_LDX | BPF_MEM | BPF_W => Form::Load(Size::W), Base;
    LDX_MEM_DW = BPF_LDX | BPF_MEM | BPF_DW => Form::Load(Size::DW), Base;
    LDX_MEMSX_B = BPF_LDX | BPF_MEMSX | BPF_B => Form::LoadSx(Size::B), CpuV4;
    LDX_MEMSX_H = BPF_LDX | BPF_MEMSX | BPF_H => Form::LoadSx(Size::H), CpuV4;
    LDX_MEMSX_W = BPF_LDX | BPF_MEMSX | BPF_W => Form::LoadSx(Size::W), CpuV4;
    STX_MEM_B = BPF_STX | BPF_MEM | BPF_B => Form::Store(Size::B), Base;
    STX_MEM_H = BPF_STX | BPF_MEM | BPF_H => Form::Store(Size::H), Base;
    STX_MEM_W = BPF_STX | BPF_MEM | BPF_W => Form::Store(Size::W), Base;
    STX_MEM_DW = BPF_STX | BPF_MEM | BPF_DW => Form::Store(Size::DW), Base;
    ST_MEM_B = BPF_ST | BPF_MEM | BPF_B => Form::StoreImm(Size::B), Base;
    ST_MEM_H = BPF_ST | BPF_MEM | BPF_H => Form::StoreImm(Size::H), Base;
    ST_MEM_W = BPF_ST | BPF_MEM | BPF_W => Form::StoreImm(Size::W), Base;
    ST_MEM_DW = BPF_ST | BPF_MEM | BPF_DW => Form::StoreImm(Size::DW), Base;
    STX_ATOMIC_B = BPF_STX | BPF_ATOMIC | BPF_B => Form::Atomic(Size::B), NarrowAtomics;
    STX_ATOMIC_H = BPF_STX | BPF_ATOMIC | BPF_H => Form::Atomic(Size::H), NarrowAtomics;
    STX_ATOMIC_W = BPF_STX | BPF_ATOMIC | BPF_W => Form::Atomic(Size::W), Base;
    STX_ATOMIC_DW = BPF_STX | BPF_ATOMIC | BPF_DW => Form::Atomic(Size::DW), Base;
    LD_ABS_B = BPF_LD | BPF_ABS | BPF_B => Form::LoadAbs(Size::B), Base;
    LD_ABS_H = BPF_LD | BPF_ABS | BPF_H => Form::LoadAbs(Size::H), Base;
    LD_ABS_W = BPF_LD | BPF_ABS | BPF_W => Form::LoadAbs(Size::W), Base;
    LD_IND_B = BPF_LD | BPF_IND | BPF_B => Form::LoadInd(Size::B), Base;
    LD_IND_H = BPF_LD | BPF_IND | BPF_H => Form::LoadInd(Size::H), Base;
    LD_IND_W = BPF_LD | BPF_IND | BPF_W => Form::LoadInd(Size::W), Base;
    LD_IMM_DW = BPF_LD | BPF_IMM | BPF_DW => Form::LoadImm64, Base;
}

/// [`TABLE`] by opcode byte.
static BY_CODE: [Option<Entry>; 256] = {
    let mut by_code = [None; 256];
    let mut i = 0;
    while i < TABLE.len() {
        // Evaluated by the compiler: a double row is a compile error, not a panic.
        assert!(by_code[TABLE[i].code as usize].is_none(), "opcode listed twice");
        by_code[TABLE[i].code as usize] = Some(TABLE[i]);
        i += 1;
    }
    by_code
};

/// The row of an opcode byte, or `None` if no kernel accepts it in a program.
#[must_use]
#[inline]
pub fn entry(code: u8) -> Option<&'static Entry> {
    BY_CODE[usize::from(code)].as_ref()
}

/// What an opcode byte says, or `None` if no kernel accepts it in a program.
#[must_use]
#[inline]
pub fn form(code: u8) -> Option<Form> {
    entry(code).map(|e| e.form)
}

/// Whether a kernel with these opcodes knows the opcode at all: `bpf_opcode_in_insntable` in
/// `kernel/bpf/core.c`. If not, its verifier says `unknown opcode`.
#[must_use]
pub fn opcode_in_insntable(code: u8, set: OpcodeSet) -> bool {
    entry(code).is_some_and(|e| set.contains(e.group))
}
