// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The parts of a typed instruction: registers, operands, operations.

use core::fmt;

use crate::consts::*;

/// A register field: 0 to 15, of which only 0 to 10 are registers.
///
/// Invalid numbers can be represented because the kernel rejects them late, with its own message,
/// when it simulates the instruction (`__check_reg_arg` in `kernel/bpf/verifier.c`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Reg(u8);

impl Reg {
    /// Return value, and the value a compare-and-exchange compares with.
    pub const R0: Self = Self(0);
    /// First argument; the context at program entry.
    pub const R1: Self = Self(1);
    /// Second argument.
    pub const R2: Self = Self(2);
    /// Third argument.
    pub const R3: Self = Self(3);
    /// Fourth argument.
    pub const R4: Self = Self(4);
    /// Fifth argument.
    pub const R5: Self = Self(5);
    /// First register a callee preserves; the socket buffer of packet data loads.
    pub const R6: Self = Self(6);
    /// Preserved by callees.
    pub const R7: Self = Self(7);
    /// Preserved by callees.
    pub const R8: Self = Self(8);
    /// Preserved by callees.
    pub const R9: Self = Self(9);
    /// Frame pointer, read-only.
    pub const R10: Self = Self(10);
    /// Another name of [`Reg::R10`].
    pub const FP: Self = Self::R10;
    /// The registers that exist, in order.
    pub const ALL: [Self; MAX_BPF_REG as usize] = [
        Self::R0,
        Self::R1,
        Self::R2,
        Self::R3,
        Self::R4,
        Self::R5,
        Self::R6,
        Self::R7,
        Self::R8,
        Self::R9,
        Self::R10,
    ];

    /// The register with this number; only the low four bits count.
    #[must_use]
    #[inline]
    pub const fn new(number: u8) -> Self {
        Self(number & 0xf)
    }

    /// Its number, 0 to 15.
    #[must_use]
    #[inline]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its number as an array index, 0 to 15.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether there is such a register: number 0 to 10.
    #[must_use]
    #[inline]
    pub const fn exists(self) -> bool {
        self.0 < MAX_BPF_REG
    }
}

impl fmt::Display for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

impl fmt::Debug for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a second operand comes from, as the opcode's source bit says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// The `imm` field (`BPF_K`).
    Imm,
    /// The source register (`BPF_X`).
    Reg,
}

/// A second operand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operand {
    /// A constant; 64-bit operations sign-extend it.
    Imm(i32),
    /// A register.
    Reg(Reg),
}

impl Operand {
    /// Which of the two it is.
    #[must_use]
    pub const fn source(self) -> Source {
        match self {
            Self::Imm(_) => Source::Imm,
            Self::Reg(_) => Source::Reg,
        }
    }
}

/// Width of an arithmetic operation or comparison.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Width {
    /// 32 bits; the upper half of a result is zero.
    W32,
    /// 64 bits.
    W64,
}

impl Width {
    /// 32 or 64.
    #[must_use]
    #[inline]
    pub const fn bits(self) -> u32 {
        match self {
            Self::W32 => 32,
            Self::W64 => 64,
        }
    }

    /// Whether this is the 32-bit form.
    #[must_use]
    #[inline]
    pub const fn is_32(self) -> bool {
        matches!(self, Self::W32)
    }
}

/// Size of a memory access.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Size {
    /// 1 byte.
    B,
    /// 2 bytes.
    H,
    /// 4 bytes.
    W,
    /// 8 bytes.
    DW,
}

impl Size {
    /// 1, 2, 4 or 8.
    #[must_use]
    #[inline]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::B => 1,
            Self::H => 2,
            Self::W => 4,
            Self::DW => 8,
        }
    }

    /// 8, 16, 32 or 64.
    #[must_use]
    #[inline]
    pub const fn bits(self) -> u32 {
        self.bytes() * 8
    }

    /// The size bits of an opcode.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::B => BPF_B,
            Self::H => BPF_H,
            Self::W => BPF_W,
            Self::DW => BPF_DW,
        }
    }

    /// The size an opcode's size bits name.
    #[must_use]
    pub const fn of(code: u8) -> Self {
        match bpf_size(code) {
            BPF_B => Self::B,
            BPF_H => Self::H,
            BPF_W => Self::W,
            _ => Self::DW,
        }
    }
}

/// Two-operand arithmetic: `dst = dst op src`, or `dst = src` for [`AluOp::Mov`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AluOp {
    /// Addition.
    Add,
    /// Subtraction.
    Sub,
    /// Multiplication.
    Mul,
    /// Unsigned division; by zero gives zero.
    Div,
    /// Signed division (`off` is 1).
    Sdiv,
    /// Bitwise or.
    Or,
    /// Bitwise and.
    And,
    /// Left shift.
    Lsh,
    /// Logical right shift.
    Rsh,
    /// Unsigned remainder; of division by zero it is `dst`.
    Mod,
    /// Signed remainder (`off` is 1).
    Smod,
    /// Bitwise exclusive or.
    Xor,
    /// Copy.
    Mov,
    /// Arithmetic right shift.
    Arsh,
}

impl AluOp {
    /// Every operation.
    pub const ALL: [Self; 14] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Sdiv,
        Self::Or,
        Self::And,
        Self::Lsh,
        Self::Rsh,
        Self::Mod,
        Self::Smod,
        Self::Xor,
        Self::Mov,
        Self::Arsh,
    ];

    /// The operation bits of its opcode. Signed and unsigned division share theirs.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Add => BPF_ADD,
            Self::Sub => BPF_SUB,
            Self::Mul => BPF_MUL,
            Self::Div | Self::Sdiv => BPF_DIV,
            Self::Or => BPF_OR,
            Self::And => BPF_AND,
            Self::Lsh => BPF_LSH,
            Self::Rsh => BPF_RSH,
            Self::Mod | Self::Smod => BPF_MOD,
            Self::Xor => BPF_XOR,
            Self::Mov => BPF_MOV,
            Self::Arsh => BPF_ARSH,
        }
    }

    /// Whether `off` must be 1: the signed divisions.
    #[must_use]
    pub const fn is_signed_division(self) -> bool {
        matches!(self, Self::Sdiv | Self::Smod)
    }

    /// The kernel's text of the operation (`bpf_alu_string` in `kernel/bpf/disasm.c`).
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+=",
            Self::Sub => "-=",
            Self::Mul => "*=",
            Self::Div => "/=",
            Self::Sdiv => "s/=",
            Self::Or => "|=",
            Self::And => "&=",
            Self::Lsh => "<<=",
            Self::Rsh => ">>=",
            Self::Mod => "%=",
            Self::Smod => "s%=",
            Self::Xor => "^=",
            Self::Mov => "=",
            Self::Arsh => "s>>=",
        }
    }
}

/// Condition of a jump, between `dst` and the source operand.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CmpOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Unsigned greater.
    Gt,
    /// Unsigned greater or equal.
    Ge,
    /// Unsigned less.
    Lt,
    /// Unsigned less or equal.
    Le,
    /// Signed greater.
    Sgt,
    /// Signed greater or equal.
    Sge,
    /// Signed less.
    Slt,
    /// Signed less or equal.
    Sle,
    /// The two have a common bit.
    Set,
}

impl CmpOp {
    /// Every condition.
    pub const ALL: [Self; 11] = [
        Self::Eq,
        Self::Ne,
        Self::Gt,
        Self::Ge,
        Self::Lt,
        Self::Le,
        Self::Sgt,
        Self::Sge,
        Self::Slt,
        Self::Sle,
        Self::Set,
    ];

    /// The operation bits of its opcode.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Eq => BPF_JEQ,
            Self::Ne => BPF_JNE,
            Self::Gt => BPF_JGT,
            Self::Ge => BPF_JGE,
            Self::Lt => BPF_JLT,
            Self::Le => BPF_JLE,
            Self::Sgt => BPF_JSGT,
            Self::Sge => BPF_JSGE,
            Self::Slt => BPF_JSLT,
            Self::Sle => BPF_JSLE,
            Self::Set => BPF_JSET,
        }
    }

    /// The kernel's text of the condition (`bpf_jmp_string` in `kernel/bpf/disasm.c`).
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Sgt => "s>",
            Self::Sge => "s>=",
            Self::Slt => "s<",
            Self::Sle => "s<=",
            Self::Set => "&",
        }
    }
}

/// Byte order conversion of the low bits of a register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Swap {
    /// To little endian.
    ToLe,
    /// To big endian.
    ToBe,
    /// Unconditional.
    Bswap,
}

/// How many bits a byte order conversion keeps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SwapBits {
    /// 16 bits.
    B16,
    /// 32 bits.
    B32,
    /// 64 bits.
    B64,
}

impl SwapBits {
    /// 16, 32 or 64.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::B16 => 16,
            Self::B32 => 32,
            Self::B64 => 64,
        }
    }

    /// From the `imm` field.
    #[must_use]
    pub const fn from_imm(imm: i32) -> Option<Self> {
        match imm {
            16 => Some(Self::B16),
            32 => Some(Self::B32),
            64 => Some(Self::B64),
            _ => None,
        }
    }
}

/// Atomic read-modify-write. The fetching forms put the old value into the source register,
/// [`AtomicOp::Cmpxchg`] into R0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AtomicOp {
    /// Addition.
    Add,
    /// Bitwise or.
    Or,
    /// Bitwise and.
    And,
    /// Bitwise exclusive or.
    Xor,
    /// Addition, old value returned.
    FetchAdd,
    /// Bitwise or, old value returned.
    FetchOr,
    /// Bitwise and, old value returned.
    FetchAnd,
    /// Bitwise exclusive or, old value returned.
    FetchXor,
    /// Exchange.
    Xchg,
    /// Store of the source register if memory equals R0; R0 becomes the old value.
    Cmpxchg,
}

impl AtomicOp {
    /// Every operation.
    pub const ALL: [Self; 10] = [
        Self::Add,
        Self::Or,
        Self::And,
        Self::Xor,
        Self::FetchAdd,
        Self::FetchOr,
        Self::FetchAnd,
        Self::FetchXor,
        Self::Xchg,
        Self::Cmpxchg,
    ];

    /// The `imm` field that chooses it.
    #[must_use]
    pub const fn imm(self) -> i32 {
        match self {
            Self::Add => BPF_ADD as i32,
            Self::Or => BPF_OR as i32,
            Self::And => BPF_AND as i32,
            Self::Xor => BPF_XOR as i32,
            Self::FetchAdd => BPF_ADD as i32 | BPF_FETCH,
            Self::FetchOr => BPF_OR as i32 | BPF_FETCH,
            Self::FetchAnd => BPF_AND as i32 | BPF_FETCH,
            Self::FetchXor => BPF_XOR as i32 | BPF_FETCH,
            Self::Xchg => BPF_XCHG,
            Self::Cmpxchg => BPF_CMPXCHG,
        }
    }

    /// The operation an `imm` field chooses; `None` also for load-acquire and store-release.
    #[must_use]
    pub fn from_imm(imm: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.imm() == imm)
    }

    /// Whether the old value is returned.
    #[must_use]
    pub const fn fetches(self) -> bool {
        self.imm() & BPF_FETCH != 0
    }

    /// The register that receives the old value, given the source register.
    #[must_use]
    pub const fn result(self, src: Reg) -> Option<Reg> {
        match self {
            Self::Add | Self::Or | Self::And | Self::Xor => None,
            Self::Cmpxchg => Some(Reg::R0),
            Self::FetchAdd | Self::FetchOr | Self::FetchAnd | Self::FetchXor | Self::Xchg => {
                Some(src)
            }
        }
    }
}
