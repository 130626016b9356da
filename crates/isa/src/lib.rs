// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! BPF instructions: one table of opcodes ([`table`]), typed instructions ([`Op`]), decoding and
//! encoding.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod asm;
pub mod consts;
mod decode;
pub mod disasm;
mod encode;
mod flow;
mod insn;
mod op;
pub mod table;

pub use decode::{DecodeError, FieldError, check_fields, decode, decode_slots, decode_strict};
pub use disasm::{Dialect, Names, Style, disassemble};
pub use encode::{Encoded, encode};
pub use flow::{Flow, successors};
pub use insn::Insn;
pub use op::{
    AluOp, AtomicOp, CallKind, CmpOp, Imm64, Op, Operand, Reg, Size, Source, Swap, SwapBits, Wide,
    Width,
};
pub use table::{OpcodeSet, opcode_in_insntable};
