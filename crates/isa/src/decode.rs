// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! From slots to typed instructions, and the check of reserved fields.

use core::fmt;

use crate::consts::*;
use crate::op::{
    AluOp, AtomicOp, CallKind, Imm64, Op, Operand, Reg, Size, Source, SwapBits, Wide, Width,
};
use crate::table::{self, Form};
use crate::{Insn, encode};

/// Why slots are no instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// There is no slot with this index.
    OutOfBounds,
    /// The opcode is in no kernel's table.
    UnknownOpcode(u8),
    /// A 64-bit immediate load is the last slot.
    MissingSecondSlot,
    /// `imm` of an atomic is no operation.
    AtomicOp(i32),
    /// The source register field of a call is no kind of call.
    CallKind(u8),
    /// The source register field of a 64-bit immediate load is no kind of constant.
    Imm64Kind(u8),
    /// `imm` of a byte order conversion is not 16, 32 or 64.
    SwapBits(i32),
    /// Strict decoding only: a field has a value that the kernel rejects.
    Field(FieldError),
    /// Strict decoding only: a register number is over 10.
    Register(u8),
    /// Strict decoding only: a field that nothing reads is not zero, and the kernel does not mind.
    Unread,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfBounds => write!(f, "no such instruction slot"),
            Self::UnknownOpcode(code) => write!(f, "unknown opcode {code:02x}"),
            Self::MissingSecondSlot => {
                write!(f, "64-bit immediate load without its second slot")
            }
            Self::AtomicOp(imm) => write!(f, "unknown atomic operation {imm:#x}"),
            Self::CallKind(src) => write!(f, "unknown kind of call {src}"),
            Self::Imm64Kind(src) => write!(f, "unknown kind of 64-bit immediate load {src}"),
            Self::SwapBits(imm) => write!(f, "byte order conversion of {imm} bits"),
            Self::Field(error) => fmt::Display::fmt(error, f),
            Self::Register(number) => write!(f, "no register r{number}"),
            Self::Unread => write!(f, "field without a meaning is not zero"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// A field that has a value the kernel rejects; which of the kernel's tests fails.
///
/// The names follow the kernel's messages (`check_alu_op`, `do_check_insn`, `check_cond_jmp_op`,
/// `check_ld_abs`, `check_ld_imm`, `check_atomic`, `resolve_pseudo_ldimm64` in
/// `kernel/bpf/verifier.c` of 6.18; `check_insn_fields` of 7.3). Linux 6.18 makes most of these
/// tests when it simulates the instruction; those marked *early* for all instructions beforehand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FieldError {
    /// `BPF_LDX uses reserved fields` (early; before [`FieldError::UnknownOpcode`]).
    Ldx,
    /// `unknown opcode %02x` (early). For the kernels that lack an opcode of our table, ask
    /// [`table::opcode_in_insntable`].
    UnknownOpcode,
    /// `invalid bpf_ld_imm64 insn` (early): the second slot is missing or not plain.
    LdImm64SecondSlot,
    /// `unrecognized bpf_ld_imm64 insn` (early): no such kind, or a map with a non-zero second
    /// immediate.
    LdImm64Kind,
    /// `BPF_LD_IMM64 uses reserved fields`.
    LdImm64,
    /// `BPF_NEG uses reserved fields`.
    Neg,
    /// `BPF_END uses reserved fields`.
    End,
    /// `BPF_MOV uses reserved fields`.
    Mov,
    /// `addr_space_cast insn can only convert between address space 1 and 0`.
    AddrSpaceCast,
    /// `BPF_ALU uses reserved fields`.
    Alu,
    /// `BPF_ATOMIC uses invalid atomic opcode %02x`. Linux 6.12 says so for load-acquire and
    /// store-release, too.
    AtomicOp,
    /// `BPF_STX uses reserved fields`.
    Stx,
    /// `BPF_ST uses reserved fields`.
    St,
    /// `BPF_CALL uses reserved fields`.
    Call,
    /// `BPF_JA uses reserved fields`.
    Ja,
    /// `BPF_JA|BPF_X uses reserved fields`.
    JaX,
    /// `BPF_EXIT uses reserved fields`.
    Exit,
    /// `invalid may_goto imm %d`.
    MayGoto,
    /// `BPF_JMP/JMP32 uses reserved fields`.
    Jmp,
    /// `BPF_LD_[ABS|IND] uses reserved fields`.
    LdAbs,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ldx => "load with reserved fields or mode",
            Self::UnknownOpcode => "unknown opcode",
            Self::LdImm64SecondSlot => "second slot of a 64-bit immediate load is wrong",
            Self::LdImm64Kind => "unknown kind of 64-bit immediate load",
            Self::LdImm64 => "64-bit immediate load with reserved fields",
            Self::Neg => "negation with reserved fields",
            Self::End => "byte order conversion with reserved fields",
            Self::Mov => "move with reserved fields",
            Self::AddrSpaceCast => "address space cast between other spaces than 0 and 1",
            Self::Alu => "arithmetic with reserved fields",
            Self::AtomicOp => "unknown atomic operation",
            Self::Stx => "register store with reserved fields or mode",
            Self::St => "immediate store with reserved fields or mode",
            Self::Call => "call with reserved fields",
            Self::Ja => "jump with reserved fields",
            Self::JaX => "indirect jump with reserved fields",
            Self::Exit => "exit with reserved fields",
            Self::MayGoto => "may_goto with reserved fields",
            Self::Jmp => "conditional jump with reserved fields",
            Self::LdAbs => "packet data load with reserved fields",
        })
    }
}

/// Decodes the instruction whose first slot is `insns[idx]`.
///
/// Lenient: it reads the fields that have a meaning and ignores those that should be zero, so that
/// a verifier can decode a whole program first and complain about a reserved field
/// ([`check_fields`]) when the kernel would. Where [`check_fields`] is content, decoding succeeds.
/// Registers may have numbers over 10.
///
/// # Errors
///
/// When no typed instruction can express the slots; the variants of [`DecodeError`] that do not
/// mention strict decoding.
pub fn decode(insns: &[Insn], idx: usize) -> Result<Op, DecodeError> {
    let insn = *insns.get(idx).ok_or(DecodeError::OutOfBounds)?;
    let next = idx.checked_add(1).and_then(|i| insns.get(i)).copied();
    decode_slots(insn, next)
}

/// As [`decode()`], for one slot and the slot after it, if any.
///
/// # Errors
///
/// As [`decode()`], except [`DecodeError::OutOfBounds`].
pub fn decode_slots(insn: Insn, next: Option<Insn>) -> Result<Op, DecodeError> {
    let (dst, src) = (Reg::new(insn.dst()), Reg::new(insn.src()));
    let off = insn.off;
    let form = table::form(insn.code).ok_or(DecodeError::UnknownOpcode(insn.code))?;
    let operand = |source| match source {
        Source::Imm => Operand::Imm(insn.imm),
        Source::Reg => Operand::Reg(src),
    };
    Ok(match form {
        Form::Alu(width, op, source) => decode_alu(insn, width, op, operand(source)),
        Form::Neg(width) => Op::Neg { width, dst },
        Form::Swap(kind) => {
            let bits = SwapBits::from_imm(insn.imm).ok_or(DecodeError::SwapBits(insn.imm))?;
            Op::Swap { kind, bits, dst }
        }
        Form::Load(size) => Op::Load { size, sign_extend: false, dst, base: src, off },
        Form::LoadSx(size) => Op::Load { size, sign_extend: true, dst, base: src, off },
        Form::Store(size) => Op::Store { size, base: dst, off, value: Operand::Reg(src) },
        Form::StoreImm(size) => Op::Store { size, base: dst, off, value: Operand::Imm(insn.imm) },
        Form::Atomic(size) => match insn.imm {
            BPF_LOAD_ACQ => Op::LoadAcquire { size, dst, base: src, off },
            BPF_STORE_REL => Op::StoreRelease { size, base: dst, off, src },
            imm => {
                let op = AtomicOp::from_imm(imm).ok_or(DecodeError::AtomicOp(imm))?;
                Op::Atomic { op, size, base: dst, off, src }
            }
        },
        Form::LoadAbs(size) => Op::LoadAbs { size, off: insn.imm },
        Form::LoadInd(size) => Op::LoadInd { size, src, off: insn.imm },
        Form::LoadImm64 => Op::LoadImm64 { dst, value: decode_imm64(insn, next)? },
        Form::Goto => Op::Goto { long: false, off: i32::from(off) },
        Form::GotoLong => Op::Goto { long: true, off: insn.imm },
        Form::GotoX => Op::GotoX { dst },
        Form::Branch(width, op, source) => Op::Branch { op, width, dst, src: operand(source), off },
        Form::MayGoto => Op::MayGoto { off },
        Form::Call => Op::Call(decode_call(insn)?),
        Form::Exit => Op::Exit,
    })
}

/// Arithmetic, refined by `off`. Other values of `off` than those tested here are reserved.
fn decode_alu(insn: Insn, width: Width, op: AluOp, src: Operand) -> Op {
    let dst = Reg::new(insn.dst());
    let op = match (op, insn.off, src) {
        (AluOp::Div, 1, _) => AluOp::Sdiv,
        (AluOp::Mod, 1, _) => AluOp::Smod,
        (AluOp::Mov, BPF_ADDR_SPACE_CAST, Operand::Reg(src)) if width == Width::W64 => {
            let [from_low, from_high, to_low, to_high] = insn.imm.to_le_bytes();
            return Op::AddrSpaceCast {
                dst,
                src,
                to: u16::from_le_bytes([to_low, to_high]),
                from: u16::from_le_bytes([from_low, from_high]),
            };
        }
        (AluOp::Mov, bits, Operand::Reg(src)) => match move_size(width, bits) {
            Some(from) => return Op::MovSx { width, from, dst, src },
            None => op,
        },
        _ => op,
    };
    Op::Alu { op, width, dst, src }
}

/// The size from which a register move sign-extends, given its `off`.
fn move_size(width: Width, off: i16) -> Option<Size> {
    match (off, width) {
        (8, _) => Some(Size::B),
        (16, _) => Some(Size::H),
        (32, Width::W64) => Some(Size::W),
        _ => None,
    }
}

fn decode_imm64(insn: Insn, next: Option<Insn>) -> Result<Imm64, DecodeError> {
    let second = next.ok_or(DecodeError::MissingSecondSlot)?.imm;
    Ok(match insn.src() {
        0 => Imm64::Value(Wide::from_imms(insn.imm, second)),
        BPF_PSEUDO_MAP_FD => Imm64::MapFd { fd: insn.imm },
        BPF_PSEUDO_MAP_VALUE => Imm64::MapValue { fd: insn.imm, off: second.cast_unsigned() },
        BPF_PSEUDO_BTF_ID => Imm64::BtfId { id: insn.imm.cast_unsigned(), btf_fd: second },
        BPF_PSEUDO_FUNC => Imm64::Func { off: insn.imm },
        BPF_PSEUDO_MAP_IDX => Imm64::MapIdx { idx: insn.imm },
        BPF_PSEUDO_MAP_IDX_VALUE => {
            Imm64::MapIdxValue { idx: insn.imm, off: second.cast_unsigned() }
        }
        kind => return Err(DecodeError::Imm64Kind(kind)),
    })
}

fn decode_call(insn: Insn) -> Result<CallKind, DecodeError> {
    match insn.src() {
        0 => Ok(CallKind::Helper { id: insn.imm }),
        BPF_PSEUDO_CALL => Ok(CallKind::Subprog { off: insn.imm }),
        BPF_PSEUDO_KFUNC_CALL => Ok(CallKind::Kfunc { btf_id: insn.imm, fd_idx: insn.off }),
        kind => Err(DecodeError::CallKind(kind)),
    }
}

/// Tests the reserved fields of an instruction exactly as the kernel does, given the slot after it.
///
/// Register numbers over 10 are no matter of this test. The kernel does not test `off` of an exit
/// and `imm` in the second slot of a subprogram's address, so neither does this.
///
/// Where several tests fail, the order is that of 6.12 and 6.18. 7.3 looks the opcode up before it
/// tests loads (so a load of an unknown mode is [`FieldError::UnknownOpcode`]), and of a 64-bit
/// immediate load it tests `off` before the kind.
///
/// # Errors
///
/// The first of the kernel's tests that fails.
pub fn check_fields(insn: Insn, next: Option<Insn>) -> Result<(), FieldError> {
    // The kernel tests loads before it looks the opcode up.
    if insn.class() == BPF_LDX
        && (!matches!(bpf_mode(insn.code), BPF_MEM | BPF_MEMSX) || insn.imm != 0)
    {
        return Err(FieldError::Ldx);
    }
    let form = table::form(insn.code).ok_or(FieldError::UnknownOpcode)?;
    let (dst, src, off, imm) = (insn.dst(), insn.src(), insn.off, insn.imm);
    let (good, error) = match form {
        Form::Alu(width, op, source) => return check_alu_fields(insn, width, op, source),
        Form::Neg(_) => (src == 0 && off == 0 && imm == 0, FieldError::Neg),
        Form::Swap(_) => {
            (src == 0 && off == 0 && SwapBits::from_imm(imm).is_some(), FieldError::End)
        }
        Form::Load(_) | Form::LoadSx(_) => return Ok(()),
        Form::Store(_) => (imm == 0, FieldError::Stx),
        Form::StoreImm(_) => (src == 0, FieldError::St),
        Form::Atomic(_) => (
            AtomicOp::from_imm(imm).is_some() || matches!(imm, BPF_LOAD_ACQ | BPF_STORE_REL),
            FieldError::AtomicOp,
        ),
        Form::LoadAbs(_) => (dst == 0 && off == 0 && src == 0, FieldError::LdAbs),
        Form::LoadInd(_) => (dst == 0 && off == 0, FieldError::LdAbs),
        Form::LoadImm64 => return check_imm64_fields(insn, next),
        Form::Goto => (src == 0 && dst == 0 && imm == 0, FieldError::Ja),
        Form::GotoLong => (src == 0 && dst == 0 && off == 0, FieldError::Ja),
        Form::GotoX => (src == 0 && imm == 0 && off == 0, FieldError::JaX),
        Form::Branch(_, _, Source::Reg) => (imm == 0, FieldError::Jmp),
        Form::Branch(_, _, Source::Imm) => (src == 0, FieldError::Jmp),
        Form::MayGoto => (src == BPF_MAY_GOTO && dst == 0 && imm == 0, FieldError::MayGoto),
        Form::Call => (
            dst == 0 && matches!((src, off), (0 | BPF_PSEUDO_CALL, 0) | (BPF_PSEUDO_KFUNC_CALL, _)),
            FieldError::Call,
        ),
        Form::Exit => (imm == 0 && src == 0 && dst == 0, FieldError::Exit),
    };
    if good { Ok(()) } else { Err(error) }
}

fn check_alu_fields(insn: Insn, width: Width, op: AluOp, source: Source) -> Result<(), FieldError> {
    let (off, imm) = (insn.off, insn.imm);
    let unused_operand_is_zero = match source {
        Source::Imm => insn.src() == 0,
        Source::Reg => imm == 0,
    };
    let (good, error) = match (op, source) {
        (AluOp::Mov, Source::Reg) if width == Width::W64 && off == BPF_ADDR_SPACE_CAST => {
            (imm == 1 || imm == 1 << 16, FieldError::AddrSpaceCast)
        }
        (AluOp::Mov, Source::Reg) => {
            (imm == 0 && (off == 0 || move_size(width, off).is_some()), FieldError::Mov)
        }
        (AluOp::Mov, Source::Imm) => (unused_operand_is_zero && off == 0, FieldError::Mov),
        (AluOp::Div | AluOp::Mod, _) => {
            (unused_operand_is_zero && matches!(off, 0 | 1), FieldError::Alu)
        }
        _ => (unused_operand_is_zero && off == 0, FieldError::Alu),
    };
    if good { Ok(()) } else { Err(error) }
}

fn check_imm64_fields(insn: Insn, next: Option<Insn>) -> Result<(), FieldError> {
    let Some(second) = next.filter(|s| s.code == 0 && s.regs == 0 && s.off == 0) else {
        return Err(FieldError::LdImm64SecondSlot);
    };
    match insn.src() {
        0
        | BPF_PSEUDO_MAP_VALUE
        | BPF_PSEUDO_BTF_ID
        | BPF_PSEUDO_FUNC
        | BPF_PSEUDO_MAP_IDX_VALUE => {}
        BPF_PSEUDO_MAP_FD | BPF_PSEUDO_MAP_IDX if second.imm == 0 => {}
        _ => return Err(FieldError::LdImm64Kind),
    }
    if insn.off == 0 { Ok(()) } else { Err(FieldError::LdImm64) }
}

/// Decodes strictly: registers exist, no reserved field is used, and the two fields that the kernel
/// leaves unread are zero. Encoding the result gives the same slots back.
///
/// # Errors
///
/// See [`DecodeError`].
pub fn decode_strict(insns: &[Insn], idx: usize) -> Result<Op, DecodeError> {
    let op = decode(insns, idx)?;
    let insn = *insns.get(idx).ok_or(DecodeError::OutOfBounds)?;
    let next = idx.checked_add(1).and_then(|i| insns.get(i)).copied();
    check_fields(insn, next).map_err(DecodeError::Field)?;
    let src_is_register = !matches!(op, Op::LoadImm64 { .. } | Op::Call(_) | Op::MayGoto { .. });
    for (number, is_register) in [(insn.dst(), true), (insn.src(), src_is_register)] {
        if is_register && number >= MAX_BPF_REG {
            return Err(DecodeError::Register(number));
        }
    }
    let given = [Some(insn), if op.slots() == 2 { next } else { None }];
    if encode(op).iter().eq(given.into_iter().flatten()) {
        Ok(op)
    } else {
        Err(DecodeError::Unread)
    }
}
