// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! BPF instructions: what they are, not what they do.
//!
//! * [`Insn`] is one eight-byte slot as it stands in a program.
//! * [`table`] is the one list of opcodes; constants, names and classification derive from it.
//! * [`Op`] is a typed instruction, 16 bytes. [`decode()`] makes it from slots without a look at
//!   reserved fields, [`check_fields`] tests those as the kernel does, [`decode_strict`] does both
//!   and [`encode()`] goes back.
//! * [`successors`], [`Insn::jump_target`] and their neighbours say where control goes.
//! * [`disassemble`] writes the text of the kernel's verifier logs, byte for byte, in the dialects of
//!   several kernels.
//! * [`asm`] reads that text (and LLVM's), with labels and names, and writes listings.
//!
//! Everything up to LLVM's `-mcpu=v4` and the kernel's later additions is here: `may_goto`,
//! load-acquire and store-release, `addr_space_cast`, `gotox`. Classic BPF is not.
//!
//! Nothing here panics on any input, recurses, or needs more memory than a small multiple of its
//! input; only [`asm`] allocates.
//!
//! ```
//! use veristable_isa::{Dialect, Op, Reg, Style, asm, decode, disassemble};
//!
//! let program = asm::assemble("r6 = r1\nif r1 == 0 goto +1\nr0 = *(u32 *)(r6 + 4)\nexit", &())?;
//! let op = decode(&program.insns, 2)?;
//! assert!(matches!(op, Op::Load { dst: Reg::R0, base: Reg::R6, off: 4, .. }));
//!
//! let style = Style { dialect: Dialect::LINUX_6_18, allow_ptr_leaks: true };
//! let mut text = String::new();
//! disassemble(&mut text, program.insns[2], None, style, &())?;
//! assert_eq!(text, "(61) r0 = *(u32 *)(r6 +4)");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
mod parts;
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
