// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The eight-byte instruction as it stands in a program.

/// One BPF instruction slot, as in the kernel's `struct bpf_insn` (`include/uapi/linux/bpf.h`).
///
/// A 64-bit immediate load takes two slots; the second one has opcode 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Insn {
    /// Opcode byte: class in the low three bits.
    pub code: u8,
    /// Destination register in the low nibble, source register in the high one.
    pub regs: u8,
    /// Signed 16-bit offset: jump distance in slots, or byte offset of a memory access.
    pub off: i16,
    /// Signed 32-bit immediate.
    pub imm: i32,
}

impl Insn {
    /// Bytes of one slot.
    pub const SIZE: usize = 8;

    /// Builds a slot from its five fields; only the low nibbles of the registers count.
    #[must_use]
    pub const fn new(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Self {
        Self { code, regs: (dst & 0xf) | (src << 4), off, imm }
    }

    /// Destination register number, 0 to 15 (not every value is a register).
    #[must_use]
    pub const fn dst(self) -> u8 {
        self.regs & 0xf
    }

    /// Source register number or pseudo kind, 0 to 15.
    #[must_use]
    pub const fn src(self) -> u8 {
        self.regs >> 4
    }

    /// Reads a slot from its little-endian bytes.
    #[must_use]
    pub const fn from_bytes(b: [u8; 8]) -> Self {
        Self {
            code: b[0],
            regs: b[1],
            off: i16::from_le_bytes([b[2], b[3]]),
            imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// The slot's little-endian bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        let o = self.off.to_le_bytes();
        let i = self.imm.to_le_bytes();
        [self.code, self.regs, o[0], o[1], i[0], i[1], i[2], i[3]]
    }
}
