// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What becomes of an instruction (`bpf_core_patch_insn` of tools/lib/bpf/relo_core.c).

use core::fmt;

use super::{Relocated, Rules};

/// The helper that a poisoned instruction calls, 0xbad2310: the verifier says `invalid func
/// unknown#195896080` if it gets there.
pub const BAD_RELO_HELPER: i32 = 195_896_080;

const CLASS: u8 = 0x07;
const LD: u8 = 0x00;
const LDX: u8 = 0x01;
const ST: u8 = 0x02;
const STX: u8 = 0x03;
const ALU: u8 = 0x04;
const ALU64: u8 = 0x07;
const SOURCE_REGISTER: u8 = 0x08;
const SIZE: u8 = 0x18;
const LDIMM64: u8 = 0x18;
const CALL: u8 = 0x85;

/// The fields of an instruction, as in `struct bpf_insn`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawInsn {
    /// The operation code.
    pub code: u8,
    /// The destination register.
    pub dst: u8,
    /// The source register.
    pub src: u8,
    /// The offset.
    pub offset: i16,
    /// The immediate value.
    pub imm: i32,
}

/// What an instruction becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
    /// A call of [`BAD_RELO_HELPER`], which does not load; for a 64-bit constant both halves.
    Poison,
    /// An arithmetic instruction with another immediate value.
    Imm(i32),
    /// The two halves of a 64-bit constant with other immediate values.
    Imm64 {
        /// The first half's immediate value.
        low: i32,
        /// The second half's immediate value.
        high: i32,
    },
    /// A load or store with another offset, and maybe another size.
    Memory {
        /// The offset.
        offset: i16,
        /// The operation code.
        code: u8,
    },
}

impl Patch {
    /// Changes the instruction, and the second half of a 64-bit constant.
    pub const fn apply(self, insn: &mut RawInsn, second: Option<&mut RawInsn>) {
        match self {
            Self::Poison => {
                let poison =
                    RawInsn { code: CALL, dst: 0, src: 0, offset: 0, imm: BAD_RELO_HELPER };
                if let (LDIMM64, Some(second)) = (insn.code, second) {
                    *second = poison;
                }
                *insn = poison;
            }
            Self::Imm(imm) => insn.imm = imm,
            Self::Imm64 { low, high } => {
                insn.imm = low;
                if let Some(second) = second {
                    second.imm = high;
                }
            }
            Self::Memory { offset, code } => {
                insn.offset = offset;
                insn.code = code;
            }
        }
    }
}

/// Why an instruction cannot be patched, so that libbpf refuses to load the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchError {
    /// The instruction is none that can be relocated.
    Unrecognized {
        /// Its operation code.
        code: u8,
    },
    /// An arithmetic instruction has no immediate value.
    NoImmediate {
        /// Its operation code.
        code: u8,
    },
    /// The instruction does not have the value that the compiler should have put there.
    UnexpectedValue {
        /// The value of the instruction, sign-extended.
        found: u64,
        /// The value according to the object's types.
        expected: u64,
        /// The value that it should get.
        new: u64,
    },
    /// The offset does not fit a load or store.
    OffsetTooLarge {
        /// The offset in bytes.
        new: u64,
    },
    /// The load or store does not have the field's size.
    UnexpectedSize {
        /// The size that it has in bytes.
        found: u32,
        /// The size according to the object's types.
        expected: u32,
    },
    /// The field has a size in the kernel that no load or store has.
    InvalidSize {
        /// The size in bytes.
        new: u32,
    },
    /// A 64-bit constant is not of the plain form.
    UnexpectedForm,
}

impl PatchError {
    /// The number of the error with which libbpf's load fails, such as 22 for `EINVAL`.
    pub const fn errno(&self) -> i32 {
        match self {
            Self::OffsetTooLarge { .. } => 34,
            _ => 22,
        }
    }
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unrecognized { code } | Self::NoImmediate { code } => {
                write!(f, "an instruction with code {code:#04x} cannot be relocated")
            }
            Self::UnexpectedValue { found, expected, new } => write!(
                f,
                "the instruction has the value {found}, expected {expected} (to become {new})"
            ),
            Self::OffsetTooLarge { new } => {
                write!(f, "the offset {new} is too large for a load or store")
            }
            Self::UnexpectedSize { found, expected } => {
                write!(f, "the load or store has {found} bytes, expected {expected}")
            }
            Self::InvalidSize { new } => write!(f, "no load or store has {new} bytes"),
            Self::UnexpectedForm => f.write_str("the 64-bit constant has an unexpected form"),
        }
    }
}

impl core::error::Error for PatchError {}

impl Relocated {
    /// What the instruction becomes. `second` is the one after it, which is needed for 64-bit
    /// constants.
    ///
    /// # Errors
    ///
    /// If the instruction is not one that the compiler makes for such a relocation.
    pub fn patch(
        &self,
        insn: RawInsn,
        second: Option<RawInsn>,
        rules: Rules,
    ) -> Result<Patch, PatchError> {
        if self.poison {
            if rules.form_first {
                check_form(insn, second)?;
            }
            return Ok(Patch::Poison);
        }
        check_form(insn, second)?;
        match insn.code & CLASS {
            ALU | ALU64 => {
                self.check(i64::from(insn.imm).cast_unsigned())?;
                Ok(Patch::Imm(low_half(self.new)))
            }
            LDX | ST | STX => self.patch_memory(insn),
            LD => self.patch_constant(insn, second),
            _ => Err(PatchError::Unrecognized { code: insn.code }),
        }
    }

    fn check(&self, found: u64) -> Result<(), PatchError> {
        if self.validate && found != self.original {
            let (expected, new) = (self.original, self.new);
            return Err(PatchError::UnexpectedValue { found, expected, new });
        }
        Ok(())
    }

    fn patch_memory(&self, insn: RawInsn) -> Result<Patch, PatchError> {
        self.check(i64::from(insn.offset).cast_unsigned())?;
        let new = self.new;
        let offset = i16::try_from(new).map_err(|_| PatchError::OffsetTooLarge { new })?;
        if self.fail_size_change {
            return Ok(Patch::Poison);
        }
        let mut code = insn.code;
        if self.new_size != self.original_size {
            let found = size_of_code(code);
            if found != self.original_size {
                let expected = self.original_size;
                return Err(PatchError::UnexpectedSize { found, expected });
            }
            let new = self.new_size;
            let size = code_of_size(new).ok_or(PatchError::InvalidSize { new })?;
            code = (code & !SIZE) | size;
        }
        Ok(Patch::Memory { offset, code })
    }

    fn patch_constant(&self, insn: RawInsn, second: Option<RawInsn>) -> Result<Patch, PatchError> {
        let second = second.ok_or(PatchError::UnexpectedForm)?;
        let high = u64::from(second.imm.cast_unsigned()) << 32;
        self.check(high | u64::from(insn.imm.cast_unsigned()))?;
        Ok(Patch::Imm64 { low: low_half(self.new), high: low_half(self.new >> 32) })
    }
}

/// Whether an instruction is of a form that can be relocated.
fn check_form(insn: RawInsn, second: Option<RawInsn>) -> Result<(), PatchError> {
    let code = insn.code;
    match code & CLASS {
        ALU | ALU64 if code & SOURCE_REGISTER != 0 => Err(PatchError::NoImmediate { code }),
        ALU | ALU64 | LDX | ST | STX => Ok(()),
        LD => {
            let is_plain = code == LDIMM64
                && (insn.src, insn.offset) == (0, 0)
                && second.is_some_and(|half| RawInsn { imm: 0, ..half } == RawInsn::default());
            if is_plain { Ok(()) } else { Err(PatchError::UnexpectedForm) }
        }
        _ => Err(PatchError::Unrecognized { code }),
    }
}

/// The low 32 bits.
const fn low_half(value: u64) -> i32 {
    (value & 0xffff_ffff) as u32 as i32
}

/// The bytes that a load or store moves.
const fn size_of_code(code: u8) -> u32 {
    match code & SIZE {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

/// The size bits of a load or store of so many bytes.
const fn code_of_size(size: u32) -> Option<u8> {
    match size {
        4 => Some(0x00),
        2 => Some(0x08),
        1 => Some(0x10),
        8 => Some(0x18),
        _ => None,
    }
}
