// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Tristate numbers: each bit is 0, 1 or unknown (`include/linux/tnum.h`).

/// A number of which some bits are known.
///
/// A bit set in `mask` is unknown, and is then 0 in `value`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tnum {
    /// The known bits that are 1.
    pub value: u64,
    /// The unknown bits.
    pub mask: u64,
}

impl Tnum {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { value: 0, mask: u64::MAX };

    /// Exactly `value`.
    #[must_use]
    pub const fn constant(value: u64) -> Self {
        Self { value, mask: 0 }
    }

    /// The smallest tnum with every number from `min` to `max`; `min` must not exceed `max` for
    /// the result to mean something (the kernel computes it for such ranges too).
    #[must_use]
    pub const fn range(min: u64, max: u64) -> Self {
        let different = 64 - (min ^ max).leading_zeros();
        if different > 63 {
            return Self::UNKNOWN;
        }
        let low = (1 << different) - 1;
        Self { value: min & !low, mask: low }
    }

    /// Whether only one number is possible.
    #[must_use]
    pub const fn is_const(self) -> bool {
        self.mask == 0
    }

    /// Whether only `value` is possible.
    #[must_use]
    pub const fn equals(self, value: u64) -> bool {
        self.mask == 0 && self.value == value
    }

    /// Whether nothing is known of it.
    #[must_use]
    pub const fn is_unknown(self) -> bool {
        self.mask == u64::MAX
    }

    /// Whether the low 32 bits are known.
    #[must_use]
    pub const fn is_subreg_const(self) -> bool {
        self.mask as u32 == 0
    }

    /// Whether `number` is one of the possible numbers.
    #[must_use]
    pub const fn contains(self, number: u64) -> bool {
        number & !self.mask == self.value
    }

    /// Whether every possible number of `other` is possible here (`tnum_in`).
    #[must_use]
    pub const fn includes(self, other: Self) -> bool {
        other.mask & !self.mask == 0 && self.value == other.value & !self.mask
    }

    /// Whether some number is possible in both (`tnum_overlap`).
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        let known = !self.mask & !other.mask;
        self.value & known == other.value & known
    }

    /// Whether every possible number is a multiple of `size`, a power of two or 0.
    #[must_use]
    pub const fn is_aligned(self, size: u64) -> bool {
        size == 0 || (self.value | self.mask) & size.wrapping_sub(1) == 0
    }

    /// The largest possible number.
    #[must_use]
    pub const fn max(self) -> u64 {
        self.value | self.mask
    }

    /// Shifted left by `by` (taken modulo 64).
    #[must_use]
    pub const fn shl(self, by: u8) -> Self {
        Self { value: self.value.wrapping_shl(by as u32), mask: self.mask.wrapping_shl(by as u32) }
    }

    /// Shifted right by `by` (taken modulo 64), zeroes from the left.
    #[must_use]
    pub const fn shr(self, by: u8) -> Self {
        Self { value: self.value.wrapping_shr(by as u32), mask: self.mask.wrapping_shr(by as u32) }
    }

    /// Shifted right by `by`, the sign (of 64 bits) from the left.
    #[must_use]
    pub const fn sar64(self, by: u8) -> Self {
        Self {
            value: (self.value as i64).wrapping_shr(by as u32) as u64,
            mask: (self.mask as i64).wrapping_shr(by as u32) as u64,
        }
    }

    /// The low half shifted right by `by`, its sign from the left; the upper half becomes 0.
    #[must_use]
    pub const fn sar32(self, by: u8) -> Self {
        Self {
            value: (self.value as i32).wrapping_shr(by as u32) as u32 as u64,
            mask: (self.mask as i32).wrapping_shr(by as u32) as u32 as u64,
        }
    }

    /// Sum, modulo 2^64.
    #[must_use]
    pub const fn add(self, other: Self) -> Self {
        let value = self.value.wrapping_add(other.value);
        let carries = self.mask.wrapping_add(other.mask).wrapping_add(value) ^ value;
        Self::known(value, carries | self.mask | other.mask)
    }

    /// Difference, modulo 2^64.
    #[must_use]
    pub const fn sub(self, other: Self) -> Self {
        let value = self.value.wrapping_sub(other.value);
        let borrows = value.wrapping_add(self.mask) ^ value.wrapping_sub(other.mask);
        Self::known(value, borrows | self.mask | other.mask)
    }

    /// Two's complement.
    #[must_use]
    pub const fn neg(self) -> Self {
        Self::constant(0).sub(self)
    }

    /// Bitwise and.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        let value = self.value & other.value;
        Self { value, mask: self.max() & other.max() & !value }
    }

    /// Bitwise or.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        let value = self.value | other.value;
        Self { value, mask: (self.mask | other.mask) & !value }
    }

    /// Bitwise exclusive or.
    #[must_use]
    pub const fn xor(self, other: Self) -> Self {
        Self::known(self.value ^ other.value, self.mask | other.mask)
    }

    /// Product, modulo 2^64: long multiplication, where an unknown bit of `self` gives the union of
    /// both cases (`tnum_mul`, as of 6.18).
    #[must_use]
    pub fn product(self, other: Self) -> Self {
        let (mut multiplier, mut addend) = (self, other);
        let mut sum = Self::constant(0);
        while multiplier.value != 0 || multiplier.mask != 0 {
            if multiplier.value & 1 != 0 {
                sum = sum.add(addend);
            } else if multiplier.mask & 1 != 0 {
                sum = sum.union(sum.add(addend));
            }
            multiplier = multiplier.shr(1);
            addend = addend.shl(1);
        }
        sum
    }

    /// Product, modulo 2^64: the known parts are multiplied, the unknown bits of all partial
    /// products are added up (`tnum_mul`, up to 6.17).
    #[must_use]
    pub fn half_product(self, other: Self) -> Self {
        let value = self.value.wrapping_mul(other.value);
        let (mut multiplier, mut addend) = (self, other);
        let mut unknown = Self::constant(0);
        while multiplier.value != 0 || multiplier.mask != 0 {
            if multiplier.value & 1 != 0 {
                unknown = unknown.add(Self { value: 0, mask: addend.mask });
            } else if multiplier.mask & 1 != 0 {
                unknown = unknown.add(Self { value: 0, mask: addend.max() });
            }
            multiplier = multiplier.shr(1);
            addend = addend.shl(1);
        }
        Self::constant(value).add(unknown)
    }

    /// What both say. Where they contradict each other the bit is taken as 1.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Self {
        Self::known(self.value | other.value, self.mask & other.mask)
    }

    /// The smallest tnum with the numbers of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        let mask = (self.value ^ other.value) | self.mask | other.mask;
        Self::known(self.value & other.value, mask)
    }

    /// The low `bytes` (1 to 8) bytes, zero-extended.
    #[must_use]
    pub const fn truncate(self, bytes: u8) -> Self {
        let keep = match bytes {
            0..8 => (1 << (bytes as u32 * 8)) - 1,
            _ => u64::MAX,
        };
        Self { value: self.value & keep, mask: self.mask & keep }
    }

    /// The low 32 bits, zero-extended.
    #[must_use]
    pub const fn subreg(self) -> Self {
        self.truncate(4)
    }

    /// The upper 32 bits, the lower ones 0.
    #[must_use]
    pub const fn clear_subreg(self) -> Self {
        self.shr(32).shl(32)
    }

    /// The upper 32 bits of `self` and the lower ones of `low`.
    #[must_use]
    pub const fn with_subreg(self, low: Self) -> Self {
        self.clear_subreg().or(low.subreg())
    }

    /// The smallest member above `number`, the largest one if there is none (`tnum_step`).
    #[must_use]
    pub const fn next_after(self, number: u64) -> u64 {
        let Self { value, mask } = self;
        if number >= self.max() {
            return self.max();
        }
        let odd = (number ^ value) & !mask;
        // Bits above the first one in which the number cannot be a member, and that bit.
        let (above, first) = match odd {
            0 => (u64::MAX, 0),
            _ => {
                let first = 1 << (63 - odd.leading_zeros());
                (!(first | (first - 1)), first)
            }
        };
        let free = mask & above;
        if value & first != 0 {
            return value | (number & free);
        }
        // One more, counted in the free bits alone.
        value | (((number | !free).wrapping_add(1)) & free)
    }

    /// The bytes of the low `bits` (16, 32 or 64) in the other order, and 0 above them
    /// (`tnum_bswap16`, `tnum_bswap32`, `tnum_bswap64`).
    #[must_use]
    pub const fn swap_bytes(self, bits: u32) -> Self {
        let shift = 64 - bits;
        Self { value: (self.value << shift).swap_bytes(), mask: (self.mask << shift).swap_bytes() }
    }

    const fn known(value: u64, mask: u64) -> Self {
        Self { value: value & !mask, mask }
    }
}
