// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The typed instruction.

use core::fmt;

use crate::consts::*;
pub use crate::parts::{AluOp, AtomicOp, CmpOp, Operand, Reg, Size, Source, Swap, SwapBits, Width};

/// What is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CallKind {
    /// A helper, by its number. Negative numbers can be written but name nothing.
    Helper {
        /// `BPF_FUNC_*`.
        id: i32,
    },
    /// A subprogram.
    Subprog {
        /// Distance in slots from the next slot to the callee.
        off: i32,
    },
    /// A kernel function.
    Kfunc {
        /// BTF id of the function.
        btf_id: i32,
        /// Index into `fd_array` of the module's BTF, 0 for vmlinux.
        fd_idx: i16,
    },
}

/// A 64-bit constant, in halves so that [`Op`] stays small.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wide {
    low: u32,
    high: u32,
}

impl Wide {
    /// From the value.
    #[must_use]
    #[inline]
    pub const fn new(value: u64) -> Self {
        Self { low: value as u32, high: (value >> 32) as u32 }
    }

    /// The value.
    #[must_use]
    #[inline]
    pub const fn get(self) -> u64 {
        (self.high as u64) << 32 | self.low as u64
    }

    /// From the `imm` fields of the two slots.
    #[must_use]
    #[inline]
    pub const fn from_imms(first: i32, second: i32) -> Self {
        Self { low: first.cast_unsigned(), high: second.cast_unsigned() }
    }

    /// The `imm` fields of the two slots.
    #[must_use]
    #[inline]
    pub const fn imms(self) -> (i32, i32) {
        (self.low.cast_signed(), self.high.cast_signed())
    }
}

impl fmt::Debug for Wide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.get())
    }
}

/// What a 64-bit immediate load loads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Imm64 {
    /// A plain number.
    Value(Wide),
    /// The address of a map.
    MapFd {
        /// File descriptor of the map.
        fd: i32,
    },
    /// The address of a map's value.
    MapValue {
        /// File descriptor of the map.
        fd: i32,
        /// Offset in bytes into the value.
        off: u32,
    },
    /// The address of a kernel variable or function.
    BtfId {
        /// BTF id.
        id: u32,
        /// File descriptor of the module's BTF, 0 for vmlinux.
        btf_fd: i32,
    },
    /// The address of a subprogram.
    Func {
        /// Distance in slots from the slot after the *first* one of this instruction to the
        /// subprogram.
        off: i32,
    },
    /// The address of a map.
    MapIdx {
        /// Index into `fd_array`.
        idx: i32,
    },
    /// The address of a map's value.
    MapIdxValue {
        /// Index into `fd_array`.
        idx: i32,
        /// Offset in bytes into the value.
        off: u32,
    },
}

impl Imm64 {
    /// The source register field that chooses the kind: 0 or a `BPF_PSEUDO_*`.
    #[must_use]
    pub const fn pseudo(self) -> u8 {
        match self {
            Self::Value(_) => 0,
            Self::MapFd { .. } => BPF_PSEUDO_MAP_FD,
            Self::MapValue { .. } => BPF_PSEUDO_MAP_VALUE,
            Self::BtfId { .. } => BPF_PSEUDO_BTF_ID,
            Self::Func { .. } => BPF_PSEUDO_FUNC,
            Self::MapIdx { .. } => BPF_PSEUDO_MAP_IDX,
            Self::MapIdxValue { .. } => BPF_PSEUDO_MAP_IDX_VALUE,
        }
    }
}

/// A typed instruction. Sixteen bytes, [`Copy`]. Offsets of jumps and calls are in slots, relative
/// to the slot after the (first) slot of the instruction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Op {
    /// `dst = dst op src`; `dst = src` for [`AluOp::Mov`].
    Alu {
        /// Operation.
        op: AluOp,
        /// Width.
        width: Width,
        /// Left operand and result.
        dst: Reg,
        /// Right operand.
        src: Operand,
    },
    /// `dst = src`, sign-extended from `from`. `from` is [`Size::B`], [`Size::H`] or, for 64-bit
    /// moves, [`Size::W`].
    MovSx {
        /// Width of the result.
        width: Width,
        /// Size of the source value.
        from: Size,
        /// Result.
        dst: Reg,
        /// Source.
        src: Reg,
    },
    /// `dst = -dst`.
    Neg {
        /// Width.
        width: Width,
        /// Operand and result.
        dst: Reg,
    },
    /// Byte order conversion of `dst`.
    Swap {
        /// Kind.
        kind: Swap,
        /// How many bits are kept.
        bits: SwapBits,
        /// Operand and result.
        dst: Reg,
    },
    /// `dst = src`, a pointer moved between address spaces. The kernel knows only 0 (its own) and 1
    /// (the arena).
    AddrSpaceCast {
        /// Result.
        dst: Reg,
        /// Source.
        src: Reg,
        /// Address space of the result.
        to: u16,
        /// Address space of the source.
        from: u16,
    },
    /// `dst = *(size *)(base + off)`.
    Load {
        /// Access size.
        size: Size,
        /// Whether the value is sign-extended rather than zero-extended.
        sign_extend: bool,
        /// Result.
        dst: Reg,
        /// Base address.
        base: Reg,
        /// Offset in bytes.
        off: i16,
    },
    /// `*(size *)(base + off) = value`.
    Store {
        /// Access size.
        size: Size,
        /// Base address.
        base: Reg,
        /// Offset in bytes.
        off: i16,
        /// Stored value.
        value: Operand,
    },
    /// Atomic read-modify-write of `*(size *)(base + off)`.
    Atomic {
        /// Operation.
        op: AtomicOp,
        /// Access size.
        size: Size,
        /// Base address.
        base: Reg,
        /// Offset in bytes.
        off: i16,
        /// Operand; of fetching operations also the result.
        src: Reg,
    },
    /// `dst = *(size *)(base + off)` with acquire semantics.
    LoadAcquire {
        /// Access size.
        size: Size,
        /// Result.
        dst: Reg,
        /// Base address.
        base: Reg,
        /// Offset in bytes.
        off: i16,
    },
    /// `*(size *)(base + off) = src` with release semantics.
    StoreRelease {
        /// Access size.
        size: Size,
        /// Base address.
        base: Reg,
        /// Offset in bytes.
        off: i16,
        /// Stored value.
        src: Reg,
    },
    /// `r0 = *(size *)skb[off]`; the socket buffer is R6.
    LoadAbs {
        /// Access size, not 8 bytes.
        size: Size,
        /// Offset in bytes.
        off: i32,
    },
    /// `r0 = *(size *)skb[src + off]`; the socket buffer is R6.
    LoadInd {
        /// Access size, not 8 bytes.
        size: Size,
        /// Index.
        src: Reg,
        /// Offset in bytes.
        off: i32,
    },
    /// `dst` = a 64-bit constant. Takes two slots.
    LoadImm64 {
        /// Result.
        dst: Reg,
        /// Constant.
        value: Imm64,
    },
    /// Unconditional jump.
    Goto {
        /// Whether the distance is in the `imm` field (`gotol`), not the `off` field. A short jump's
        /// distance fits 16 bits.
        long: bool,
        /// Distance.
        off: i32,
    },
    /// Jump to the address in a register.
    GotoX {
        /// Address.
        dst: Reg,
    },
    /// Jump if `dst op src`.
    Branch {
        /// Condition.
        op: CmpOp,
        /// Width of the comparison.
        width: Width,
        /// Left operand.
        dst: Reg,
        /// Right operand.
        src: Operand,
        /// Distance.
        off: i16,
    },
    /// Jump once the kernel's loop budget is used up.
    MayGoto {
        /// Distance.
        off: i16,
    },
    /// Call.
    Call(CallKind),
    /// Return.
    Exit,
}

impl Op {
    /// Slots the instruction takes: 1 or 2.
    #[must_use]
    pub const fn slots(self) -> usize {
        match self {
            Self::LoadImm64 { .. } => 2,
            _ => 1,
        }
    }
}
