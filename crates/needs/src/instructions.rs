// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Classes of instructions that came after the first set (that of 5.10).

use veristable_isa::{AluOp, AtomicOp, Imm64, Insn, Op, Swap, decode};
use veristable_kernel::{Behaviour, JitFeature};

macro_rules! classes {
    ($($(#[doc = $doc:literal])+ $name:ident $text:literal since $major:literal $minor:literal),+ $(,)?) => {
        /// Instructions that came to the kernel together.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum InsnClass { $($(#[doc = $doc])+ $name),+ }

        impl InsnClass {
            /// Every class.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// The mainline version in which it appeared: major and minor.
            #[must_use]
            pub const fn since(self) -> (u32, u32) {
                match self { $(Self::$name => ($major, $minor)),+ }
            }
        }
    };
}

classes! {
    /// Atomic operations other than addition, and those that fetch.
    Atomics "atomic fetch, exchange, and, or, xor" since 5 12,
    /// Addresses of functions, for callbacks.
    FunctionAddress "address of a function" since 5 13,
    /// Loads and moves with sign extension.
    SignExtension "sign-extending loads and moves" since 6 6,
    /// Division and remainder with sign.
    SignedDivision "signed division" since 6 6,
    /// Unconditional byte swaps.
    ByteSwap "bswap" since 6 6,
    /// Jumps over 32 bits.
    LongJump "gotol" since 6 6,
    /// `may_goto`.
    MayGoto "may_goto" since 6 9,
    /// Pointers cast between address spaces, for arenas.
    AddressSpaces "addr_space_cast" since 6 9,
    /// Load-acquire and store-release.
    LoadAcquireStoreRelease "load-acquire and store-release" since 6 15,
    /// Jumps through a register.
    IndirectJump "gotox" since 6 19,
}

impl InsnClass {
    /// The class of the instruction at a slot; `None` for one of the first set or no instruction.
    #[must_use]
    pub fn of(insns: &[Insn], at: usize) -> Option<Self> {
        match decode(insns, at).ok()? {
            Op::Atomic { op, .. } if op != AtomicOp::Add => Some(Self::Atomics),
            Op::LoadImm64 { value: Imm64::Func { .. }, .. } => Some(Self::FunctionAddress),
            Op::Load { sign_extend: true, .. } | Op::MovSx { .. } => Some(Self::SignExtension),
            Op::Alu { op: AluOp::Sdiv | AluOp::Smod, .. } => Some(Self::SignedDivision),
            Op::Swap { kind: Swap::Bswap, .. } => Some(Self::ByteSwap),
            Op::Goto { long: true, .. } => Some(Self::LongJump),
            Op::MayGoto { .. } => Some(Self::MayGoto),
            Op::AddrSpaceCast { .. } => Some(Self::AddressSpaces),
            Op::LoadAcquire { .. } | Op::StoreRelease { .. } => Some(Self::LoadAcquireStoreRelease),
            Op::GotoX { .. } => Some(Self::IndirectJump),
            _ => None,
        }
    }

    /// The behaviour that says whether a kernel knows it, where there is one; elsewhere its version
    /// does.
    #[must_use]
    pub const fn behaviour(self) -> Option<Behaviour> {
        match self {
            Self::MayGoto => Some(Behaviour::MayGoto),
            Self::LoadAcquireStoreRelease => Some(Behaviour::LoadAcquireStoreRelease),
            Self::IndirectJump => Some(Behaviour::IndirectJump),
            _ => None,
        }
    }

    /// What the JIT must be able to do.
    #[must_use]
    pub const fn jit(self) -> Option<JitFeature> {
        match self {
            Self::AddressSpaces => Some(JitFeature::Arena),
            Self::LoadAcquireStoreRelease => Some(JitFeature::LoadAcquireStoreRelease),
            _ => None,
        }
    }
}
