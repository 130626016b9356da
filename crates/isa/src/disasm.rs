// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The kernel's text of an instruction, byte for byte as `print_bpf_insn` (`kernel/bpf/disasm.c`)
//! writes it into verifier logs, without the line feed.
//!
//! Any slot has a text, also one that no kernel accepts. Up to 6.18 the kernel's function ends the
//! line itself, in 7.3 its callers do.

use core::fmt;

use crate::Insn;
use crate::consts::*;
use crate::op::{AluOp, AtomicOp, CmpOp, Size};

/// What the kernel's `printk` writes for a missing string.
const NULL: &str = "(null)";

/// How kernels' disassemblers differ.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Dialect {
    /// Without permission to see pointers, all pointer kinds of 64-bit immediate loads are masked,
    /// not only those by map file descriptor.
    pub masks_every_pointer: bool,
    /// Load-acquire and store-release have a text.
    pub acquire_release: bool,
    /// The jump to an address in a register has a text.
    pub gotox: bool,
    /// The kernel-internal mode [`BPF_PROBE_ATOMIC`] has a text.
    pub probe_atomics: bool,
    /// An eight-byte load with sign extension is called a bug. Without, the kernel reads outside of
    /// an array; we then write `(null)`. No verifier gets so far as to print such a load.
    pub rejects_wide_ldsx: bool,
}

impl Dialect {
    /// Linux 6.12, read in 6.12.117.
    pub const LINUX_6_12: Self = Self {
        masks_every_pointer: true,
        acquire_release: false,
        gotox: false,
        probe_atomics: false,
        rejects_wide_ldsx: false,
    };
    /// Linux 6.18, read in 6.18.15.
    pub const LINUX_6_18: Self =
        Self { masks_every_pointer: false, acquire_release: true, ..Self::LINUX_6_12 };
    /// Linux 7.3.
    pub const LINUX_7_3: Self = Self {
        masks_every_pointer: true,
        acquire_release: true,
        gotox: true,
        probe_atomics: true,
        rejects_wide_ldsx: true,
    };
}

/// What the text depends on besides the instruction and the names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Style {
    /// Whose text.
    pub dialect: Dialect,
    /// Whether pointers in 64-bit immediate loads are shown; otherwise they become 0. The verifier
    /// shows them to loaders with `CAP_PERFMON`.
    pub allow_ptr_leaks: bool,
}

impl Style {
    /// Whether the value of a 64-bit immediate load is a pointer that the reader may not see, and
    /// shown as 0 (`print_bpf_insn`).
    #[must_use]
    pub const fn masks(self, insn: Insn) -> bool {
        let is_pointer = match insn.src() {
            BPF_PSEUDO_MAP_FD | BPF_PSEUDO_MAP_VALUE => true,
            BPF_PSEUDO_MAP_IDX | BPF_PSEUDO_MAP_IDX_VALUE | BPF_PSEUDO_BTF_ID => {
                self.dialect.masks_every_pointer
            }
            _ => false,
        };
        is_pointer && !self.allow_ptr_leaks
    }
}

/// Names that a text needs: the kernel's `struct bpf_insn_cbs` (`kernel/bpf/disasm.h`), plus the
/// helper names, which the kernel has compiled in.
pub trait Names {
    /// Name of a helper, `bpf_map_lookup_elem`. `None` if the kernel has no such helper. The kernel
    /// calls number 0 `bpf_unspec`.
    fn helper(&self, id: u32) -> Option<&str> {
        let _ = id;
        None
    }

    /// Text for what is called, where there is no helper name; `None` for the default: `+3` for a
    /// subprogram, `kernel-function`, or `unknown`. The verifier names kernel functions this way.
    fn call(&self, insn: Insn) -> Option<&str> {
        let _ = insn;
        None
    }

    /// Writes a 64-bit constant. `imm` is the whole constant, or 0 if it was masked.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    fn imm64(&self, out: &mut dyn fmt::Write, insn: Insn, imm: u64) -> fmt::Result {
        let _ = insn;
        write!(out, "{imm:#x}")
    }
}

/// Knows no names.
impl Names for () {}

/// Writes the kernel's text of an instruction: `(b7) r1 = 0`. `next` is the slot after it, whose
/// `imm` is the upper half of a 64-bit immediate load; a missing one counts as zero.
///
/// # Errors
///
/// Those of `out`.
pub fn disassemble<W: fmt::Write, N: Names + ?Sized>(
    out: &mut W,
    insn: Insn,
    next: Option<Insn>,
    style: Style,
    names: &N,
) -> fmt::Result {
    match insn.class() {
        BPF_ALU | BPF_ALU64 => alu(out, insn),
        BPF_STX => stx(out, insn, style.dialect),
        BPF_ST => st(out, insn),
        BPF_LDX => ldx(out, insn, style.dialect),
        BPF_LD => ld(out, insn, next, style, names),
        _ => jump(out, insn, style.dialect, names),
    }
}

/// The text as a value that can be formatted.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// The instruction's (first) slot.
    pub insn: Insn,
    /// The slot after it.
    pub next: Option<Insn>,
    /// Style.
    pub style: Style,
    /// Names.
    pub names: &'a dyn Names,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        disassemble(f, self.insn, self.next, self.style, self.names)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Symbol of an ALU operation, by its opcode bits, unsigned.
fn alu_symbol(op: u8) -> &'static str {
    AluOp::ALL
        .iter()
        .find(|o| o.code() == op && !o.is_signed_division())
        .map_or(NULL, |o| o.symbol())
}

/// Symbol of a jump, by its opcode bits. Calls and exits get here with odd class or source bits.
fn jump_symbol(op: u8) -> &'static str {
    match op {
        BPF_JA => "jmp",
        BPF_CALL => "call",
        BPF_EXIT => "exit",
        _ => CmpOp::ALL.iter().find(|o| o.code() == op).map_or(NULL, |o| o.symbol()),
    }
}

fn alu<W: fmt::Write>(out: &mut W, insn: Insn) -> fmt::Result {
    let (code, dst, src, off, imm) = (insn.code, insn.dst(), insn.src(), insn.off, insn.imm);
    let op = bpf_op(code);
    let is_32 = insn.class() == BPF_ALU;
    let r = if is_32 { 'w' } else { 'r' };
    match op {
        BPF_END if !is_32 => return write!(out, "({code:02x}) r{dst} = bswap{imm} r{dst}"),
        BPF_END => {
            let to = if bpf_src(code) == BPF_TO_BE { "be" } else { "le" };
            return write!(out, "({code:02x}) r{dst} = {to}{imm} r{dst}");
        }
        BPF_NEG => return write!(out, "({code:02x}) {r}{dst} = -{r}{dst}"),
        _ => {}
    }
    if code == BPF_ALU64 | BPF_MOV | BPF_X {
        match off {
            BPF_ADDR_SPACE_CAST => {
                let (to, from) = ((imm.cast_unsigned()) >> 16, imm & 0xffff);
                let cast = format_args!("addr_space_cast(r{src}, {to}, {from})");
                return write!(out, "({code:02x}) r{dst} = {cast}");
            }
            BPF_ADDR_PERCPU => {
                return write!(out, "({code:02x}) r{dst} = &(void __percpu *)(r{src})");
            }
            _ => {}
        }
    }
    let symbol = match (op, off) {
        (BPF_DIV, 1) => AluOp::Sdiv.symbol(),
        (BPF_MOD, 1) => AluOp::Smod.symbol(),
        _ => alu_symbol(op),
    };
    if bpf_src(code) == BPF_K {
        return write!(out, "({code:02x}) {r}{dst} {symbol} {imm}");
    }
    let extension = match (op, off) {
        (BPF_MOV, 8) => "(s8)",
        (BPF_MOV, 16) => "(s16)",
        (BPF_MOV, 32) => "(s32)",
        _ => "",
    };
    write!(out, "({code:02x}) {r}{dst} {symbol} {extension}{r}{src}")
}

/// Type name of an access, by the size bits of an opcode.
fn unsigned_type(code: u8) -> &'static str {
    match Size::of(code) {
        Size::B => "u8",
        Size::H => "u16",
        Size::W => "u32",
        Size::DW => "u64",
    }
}

fn signed_type(code: u8) -> &'static str {
    match Size::of(code) {
        Size::B => "s8",
        Size::H => "s16",
        Size::W => "s32",
        Size::DW => NULL,
    }
}

fn stx<W: fmt::Write>(out: &mut W, insn: Insn, dialect: Dialect) -> fmt::Result {
    let (code, dst, src, off, imm) = (insn.code, insn.dst(), insn.src(), insn.off, insn.imm);
    let ty = unsigned_type(code);
    let probe = match bpf_mode(code) {
        BPF_MEM => return write!(out, "({code:02x}) *({ty} *)(r{dst} {off:+}) = r{src}"),
        BPF_ATOMIC => "",
        BPF_PROBE_ATOMIC if dialect.probe_atomics => "probe ",
        _ => return write!(out, "BUG_{code:02x}"),
    };
    match imm {
        BPF_LOAD_ACQ if dialect.acquire_release => {
            let call = format_args!("load_acquire(({ty} *)(r{src} {off:+}))");
            return write!(out, "({code:02x}) {probe}r{dst} = {call}");
        }
        BPF_STORE_REL if dialect.acquire_release => {
            let call = format_args!("store_release(({ty} *)(r{dst} {off:+}), r{src})");
            return write!(out, "({code:02x}) {probe}{call}");
        }
        _ => {}
    }
    let wide = if Size::of(code) == Size::DW { "64" } else { "" };
    let mem = format_args!("({ty} *)(r{dst} {off:+})");
    let fetch = match AtomicOp::from_imm(imm) {
        None => return write!(out, "BUG_{code:02x}"),
        Some(AtomicOp::Add | AtomicOp::Or | AtomicOp::And | AtomicOp::Xor) => {
            let symbol = alu_symbol((imm & i32::from(BPF_OP_MASK)) as u8);
            return write!(out, "({code:02x}) {probe}lock *{mem} {symbol} r{src}");
        }
        Some(AtomicOp::Cmpxchg) => {
            let call = format_args!("atomic{wide}_cmpxchg({mem}, r0, r{src})");
            return write!(out, "({code:02x}) {probe}r0 = {call}");
        }
        Some(AtomicOp::Xchg) => "xchg",
        Some(AtomicOp::FetchAdd) => "fetch_add",
        Some(AtomicOp::FetchOr) => "fetch_or",
        Some(AtomicOp::FetchAnd) => "fetch_and",
        Some(AtomicOp::FetchXor) => "fetch_xor",
    };
    write!(out, "({code:02x}) {probe}r{src} = atomic{wide}_{fetch}({mem}, r{src})")
}

fn st<W: fmt::Write>(out: &mut W, insn: Insn) -> fmt::Result {
    let (code, dst, off, imm) = (insn.code, insn.dst(), insn.off, insn.imm);
    match bpf_mode(code) {
        BPF_MEM => {
            write!(out, "({code:02x}) *({} *)(r{dst} {off:+}) = {imm}", unsigned_type(code))
        }
        BPF_NOSPEC => write!(out, "({code:02x}) nospec"),
        _ => write!(out, "BUG_st_{code:02x}"),
    }
}

fn ldx<W: fmt::Write>(out: &mut W, insn: Insn, dialect: Dialect) -> fmt::Result {
    let (code, dst, src, off) = (insn.code, insn.dst(), insn.src(), insn.off);
    let ty = match bpf_mode(code) {
        BPF_MEM => unsigned_type(code),
        BPF_MEMSX if !(dialect.rejects_wide_ldsx && Size::of(code) == Size::DW) => {
            signed_type(code)
        }
        _ => return write!(out, "BUG_ldx_{code:02x}"),
    };
    write!(out, "({code:02x}) r{dst} = *({ty} *)(r{src} {off:+})")
}

fn ld<W: fmt::Write, N: Names + ?Sized>(
    out: &mut W,
    insn: Insn,
    next: Option<Insn>,
    style: Style,
    names: &N,
) -> fmt::Result {
    let (code, src, imm) = (insn.code, insn.src(), insn.imm);
    let ty = unsigned_type(code);
    match bpf_mode(code) {
        BPF_ABS => return write!(out, "({code:02x}) r0 = *({ty} *)skb[{imm}]"),
        BPF_IND => return write!(out, "({code:02x}) r0 = *({ty} *)skb[r{src} + {imm}]"),
        BPF_IMM if Size::of(code) == Size::DW => {}
        _ => return write!(out, "BUG_ld_{code:02x}"),
    }
    let second = next.map_or(0, |n| n.imm);
    let value = if style.masks(insn) { 0 } else { crate::Wide::from_imms(imm, second).get() };
    write!(out, "({code:02x}) r{} = ", insn.dst())?;
    names.imm64(out, insn, value)
}

fn jump<W: fmt::Write, N: Names + ?Sized>(
    out: &mut W,
    insn: Insn,
    dialect: Dialect,
    names: &N,
) -> fmt::Result {
    const GOTO: u8 = BPF_JMP | BPF_JA;
    const GOTOL: u8 = BPF_JMP32 | BPF_JA;
    const GOTOX: u8 = BPF_JMP | BPF_JA | BPF_X;
    const EXIT: u8 = BPF_JMP | BPF_EXIT;
    let (code, dst, src, off, imm) = (insn.code, insn.dst(), insn.src(), insn.off, insn.imm);
    if bpf_op(code) == BPF_CALL {
        return call(out, insn, names);
    }
    match code {
        GOTO => return write!(out, "({code:02x}) goto pc{off:+}"),
        GOTOX if dialect.gotox => return write!(out, "({code:02x}) gotox r{dst}"),
        GOTOL => return write!(out, "({code:02x}) gotol pc{imm:+}"),
        EXIT => return write!(out, "({code:02x}) exit"),
        _ if insn.is_may_goto() => return write!(out, "({code:02x}) may_goto pc{off:+}"),
        _ => {}
    }
    let r = if insn.class() == BPF_JMP32 { 'w' } else { 'r' };
    let symbol = jump_symbol(bpf_op(code));
    if bpf_src(code) == BPF_X {
        write!(out, "({code:02x}) if {r}{dst} {symbol} {r}{src} goto pc{off:+}")
    } else {
        // `{:x}` of a negative number is its two's complement, as in C.
        write!(out, "({code:02x}) if {r}{dst} {symbol} 0x{imm:x} goto pc{off:+}")
    }
}

fn call<W: fmt::Write, N: Names + ?Sized>(out: &mut W, insn: Insn, names: &N) -> fmt::Result {
    let (code, imm) = (insn.code, insn.imm);
    let helper = match (insn.src(), u32::try_from(imm)) {
        (0, Ok(id)) => names.helper(id),
        _ => None,
    };
    let name = helper.or_else(|| names.call(insn));
    match (insn.src(), name) {
        (BPF_PSEUDO_CALL, Some(name)) => write!(out, "({code:02x}) call pc{name}"),
        (BPF_PSEUDO_CALL, None) => write!(out, "({code:02x}) call pc{imm:+}"),
        (_, Some(name)) => write!(out, "({code:02x}) call {name}#{imm}"),
        (BPF_PSEUDO_KFUNC_CALL, None) => write!(out, "({code:02x}) call kernel-function#{imm}"),
        (_, None) => write!(out, "({code:02x}) call unknown#{imm}"),
    }
}
