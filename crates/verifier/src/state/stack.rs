// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Stack slots.

use super::{Kind, RegState, bits};
use veristable_kernel::TypeFlags;

/// Bytes of a slot (`BPF_REG_SIZE`).
pub const SLOT_BYTES: i32 = 8;

/// Bytes of a program's stack (`MAX_BPF_STACK`).
pub const STACK_BYTES: i32 = 512;

/// What one byte of the stack holds (`enum bpf_stack_slot_type`). `TypeWord` depends on the
/// numbers of the first four.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SlotType {
    /// Nothing was written.
    Invalid = 0,
    /// Something.
    Misc = 1,
    /// A byte of a spilled register.
    Spill = 2,
    /// Zero.
    Zero = 3,
    /// A byte of a dynptr.
    Dynptr,
    /// A byte of an iterator.
    Iter,
    /// A byte of saved interrupt flags.
    IrqFlag,
}

impl SlotType {
    /// The letter in the log.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Invalid => '?',
            Self::Spill => 'r',
            Self::Misc => 'm',
            Self::Zero => '0',
            Self::Dynptr => 'd',
            Self::Iter => 'i',
            Self::IrqFlag => 'f',
        }
    }
}

/// The types of a slot's eight bytes in one number, for comparing them at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TypeWord(u64);

impl TypeWord {
    const MISC: u64 = 0x0101_0101_0101_0101;

    /// No byte was written.
    #[inline]
    pub(crate) const fn is_invalid(self) -> bool {
        self.0 == 0
    }

    /// All bytes are something.
    #[inline]
    pub(crate) const fn is_misc(self) -> bool {
        self.0 == Self::MISC
    }

    /// Each byte is something or zero.
    #[inline]
    pub(crate) const fn is_data(self) -> bool {
        self.0 & !(Self::MISC << 1) == Self::MISC
    }

    /// Each byte is something or was not written.
    #[inline]
    pub(crate) const fn is_misc_or_invalid(self) -> bool {
        self.0 & !Self::MISC == 0
    }
}

/// Eight bytes of stack. `types` runs from the slot's highest byte in memory order of offsets:
/// entry `i` is the byte at distance `i + 1` below the slot's upper end, so that a spill of n
/// bytes fills the *last* n entries on a little-endian machine (`struct bpf_stack_state`).
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// What is spilled there, if [`Slot::is_spill`].
    pub reg: RegState,
    /// What each byte holds.
    pub types: [SlotType; 8],
}

impl Slot {
    /// Never written.
    pub const EMPTY: Self = Self { reg: RegState::NOT_INIT, types: [SlotType::Invalid; 8] };

    /// All types at once.
    #[inline]
    pub(crate) fn type_word(&self) -> TypeWord {
        TypeWord(u64::from_le_bytes(self.types.map(|ty| ty as u8)))
    }

    /// The type that decides what the slot as a whole is: that of its last entry.
    #[must_use]
    pub const fn main_type(&self) -> SlotType {
        let [.., last] = self.types;
        last
    }

    /// The type of the byte at `offset` from the frame pointer, which must be in this slot.
    #[must_use]
    pub fn byte(&self, offset: i32) -> SlotType {
        self.types.get(byte_of(offset)).copied().unwrap_or(SlotType::Invalid)
    }

    /// Sets the type of the byte at `offset` from the frame pointer.
    pub fn set_byte(&mut self, offset: i32, to: SlotType) {
        if let Some(byte) = self.types.get_mut(byte_of(offset)) {
            *byte = to;
        }
    }

    /// Holds a register, whole or its low part (`is_spilled_reg`).
    #[must_use]
    pub fn is_spill(&self) -> bool {
        self.main_type() == SlotType::Spill
    }

    /// Holds a number, whole or its low part (`is_spilled_scalar_reg`).
    #[must_use]
    pub fn is_scalar_spill(&self) -> bool {
        self.is_spill() && self.reg.is_scalar()
    }

    /// Holds a number of eight bytes (`is_spilled_scalar_reg64`).
    #[must_use]
    pub fn is_whole_scalar_spill(&self) -> bool {
        let [first, ..] = self.types;
        first == SlotType::Spill && self.reg.is_scalar()
    }

    /// Holds a register or an object (`is_stack_slot_special`).
    #[must_use]
    pub const fn is_special(&self) -> bool {
        !matches!(self.main_type(), SlotType::Invalid | SlotType::Misc | SlotType::Zero)
    }

    /// How many of the last entries are of a spill.
    #[must_use]
    pub fn spill_size(&self) -> u32 {
        let bytes = self.types.iter().rev().take_while(|t| **t == SlotType::Spill).count();
        u32::try_from(bytes).unwrap_or(0)
    }

    /// Puts the low `size` bytes of a register there (`save_register_state`).
    pub fn spill(&mut self, reg: RegState, size: u32) {
        self.reg = reg;
        for (left, byte) in (1..).zip(self.types.iter_mut().rev()) {
            *byte = match *byte {
                _ if left <= size => SlotType::Spill,
                kept @ (SlotType::Zero | SlotType::Invalid) => kept,
                _ => SlotType::Misc,
            };
        }
    }

    /// Forgets a register or an object: what was its bytes is now something
    /// (`scrub_spilled_slot`).
    pub fn scrub(&mut self) {
        for byte in self.types.iter_mut().filter(|byte| **byte != SlotType::Invalid) {
            *byte = SlotType::Misc;
        }
    }

    /// The spilled register is gone; its bytes keep their types.
    pub const fn forget_reg(&mut self) {
        self.reg.kind = Kind::NotInit;
        self.reg.flags = TypeFlags::empty();
    }
}

/// Those of some slots, one bit each, that hold numbers.
#[must_use]
pub fn scalar_spills_of(stack: &[Slot], slots: u64) -> u64 {
    let is_scalar = |slot: &u32| stack.get(*slot as usize).is_some_and(Slot::is_scalar_spill);
    bits(slots).filter(is_scalar).fold(0, |mask, slot| mask | 1 << slot)
}

/// The slot that holds the byte at a negative offset from the frame pointer (`__get_spi`).
#[must_use]
pub const fn slot_of(offset: i32) -> usize {
    // -offset - 1, which cannot overflow.
    (!offset / SLOT_BYTES).unsigned_abs() as usize
}

const fn byte_of(offset: i32) -> usize {
    (!offset % SLOT_BYTES).unsigned_abs() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_their_bytes_say() {
        use SlotType::{Dynptr, Invalid, IrqFlag, Iter, Misc, Spill, Zero};
        for ty in [Invalid, Misc, Spill, Zero, Dynptr, Iter, IrqFlag] {
            for (most, place) in [Misc, Zero, Invalid].into_iter().zip([0, 3, 7]) {
                let mut slot = Slot { types: [most; 8], ..Slot::EMPTY };
                slot.types[place] = ty;
                let all = |wanted: &[SlotType]| slot.types.iter().all(|ty| wanted.contains(ty));
                let word = slot.type_word();
                assert_eq!(word.is_invalid(), all(&[Invalid]), "{slot:?}");
                assert_eq!(word.is_misc(), all(&[Misc]), "{slot:?}");
                assert_eq!(word.is_misc_or_invalid(), all(&[Misc, Invalid]), "{slot:?}");
                assert_eq!(word.is_data(), all(&[Misc, Zero]), "{slot:?}");
            }
        }
    }
}
