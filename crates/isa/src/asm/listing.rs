// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! From slots to a text that assembles to the same slots.

use core::fmt;

use crate::consts::*;
use crate::disasm::{Dialect, Names, Style, disassemble};
use crate::op::{CallKind, Op};
use crate::{Insn, decode_strict};

/// The assembly text of a program, one instruction a line.
///
/// Each instruction is written as the newest kernel writes it, except that the kinds of calls and
/// 64-bit immediate loads are all visible. What no kernel accepts becomes `.raw`.
#[derive(Clone, Copy)]
pub struct Listing<'a>(&'a [Insn]);

/// The assembly text of a program.
#[must_use]
pub const fn listing(insns: &[Insn]) -> Listing<'_> {
    Listing(insns)
}

/// The kinds of 64-bit immediate loads in the assembler's text.
struct Kinds;

impl Names for Kinds {
    fn imm64(&self, out: &mut dyn fmt::Write, insn: Insn, imm: u64) -> fmt::Result {
        let off = imm >> 32;
        match insn.src() {
            BPF_PSEUDO_MAP_FD => write!(out, "map[fd:{}]", insn.imm),
            BPF_PSEUDO_MAP_VALUE => write!(out, "map[fd:{}][{off}]", insn.imm),
            BPF_PSEUDO_BTF_ID => {
                let id = insn.imm.cast_unsigned();
                write!(out, "btf[id:{id}][{}]", (off as u32).cast_signed())
            }
            BPF_PSEUDO_FUNC => write!(out, "func[pc{:+}]", insn.imm),
            BPF_PSEUDO_MAP_IDX => write!(out, "map[idx:{}]", insn.imm),
            BPF_PSEUDO_MAP_IDX_VALUE => write!(out, "map[idx:{}][{off}]", insn.imm),
            _ => write!(out, "{imm:#x} ll"),
        }
    }
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut slots = self.0.iter().enumerate();
        while let Some((idx, &insn)) = slots.next() {
            let style = Style { dialect: Dialect::LINUX_7_3, allow_ptr_leaks: true };
            let op = decode_strict(self.0, idx);
            match op {
                Ok(Op::Call(CallKind::Helper { id })) => write!(f, "call {id}")?,
                Ok(Op::Call(CallKind::Kfunc { btf_id, fd_idx })) => {
                    write!(f, "call kfunc {btf_id} off {fd_idx}")?;
                }
                Ok(op) => {
                    let next = self.0.get(idx + 1).copied();
                    disassemble(f, insn, next, style, &Kinds)?;
                    if op.slots() == 2 {
                        slots.next();
                    }
                }
                Err(_) => {
                    let (dst, src) = (insn.dst(), insn.src());
                    write!(f, ".raw {:#04x} {dst} {src} {} {}", insn.code, insn.off, insn.imm)?;
                }
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}
