// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A tnum and four ranges of the same number, and how each learns from the others.

use super::{Interval, Rules, Tnum};

/// What is known of a 64-bit number: its bits, and its range as a signed and an unsigned number of
/// 64 bits and of its low 32 bits. The parts need not agree; [`Quad::sync`] lets them learn from
/// each other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Quad {
    /// The bits.
    pub bits: Tnum,
    /// Range as an unsigned number.
    pub u64: Interval<u64>,
    /// Range as a signed number.
    pub s64: Interval<i64>,
    /// Range of the low half as an unsigned number.
    pub u32: Interval<u32>,
    /// Range of the low half as a signed number.
    pub s32: Interval<i32>,
}

/// Parts of a [`Quad`] that contradict each other (`reg_bounds_sanity_check`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// A range is empty.
    EmptyRange,
    /// All bits are known, but a 64-bit range is not that number.
    Constant,
    /// The low bits are known, but a 32-bit range is not that number.
    ConstantSubreg,
}

/// Sizes below eight bytes that a value is cut to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Narrow {
    /// One byte.
    B1,
    /// Two bytes.
    B2,
    /// Four bytes.
    B4,
}

impl Narrow {
    /// The size in bytes: 1, 2 or 4.
    #[must_use]
    pub const fn bytes(self) -> u8 {
        match self {
            Self::B1 => 1,
            Self::B2 => 2,
            Self::B4 => 4,
        }
    }

    /// `bytes` as a narrow size; `None` if it is not 1, 2 or 4.
    #[must_use]
    pub const fn from_bytes(bytes: u32) -> Option<Self> {
        match bytes {
            1 => Some(Self::B1),
            2 => Some(Self::B2),
            4 => Some(Self::B4),
            _ => None,
        }
    }

    const fn bits(self) -> u32 {
        self.bytes() as u32 * 8
    }

    const fn signed(self) -> Interval<i32> {
        match self {
            Self::B1 => Interval::new(i8::MIN as i32, i8::MAX as i32),
            Self::B2 => Interval::new(i16::MIN as i32, i16::MAX as i32),
            Self::B4 => Interval::new(i32::MIN, i32::MAX),
        }
    }

    const fn sign_extend(self, number: u64) -> i64 {
        match self {
            Self::B1 => number as i8 as i64,
            Self::B2 => number as i16 as i64,
            Self::B4 => number as i32 as i64,
        }
    }
}

const fn upper(number: u64) -> u64 {
    number & !(u32::MAX as u64)
}

const fn upper_half(number: u64) -> u32 {
    (number >> 32) as u32
}

impl Quad {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        bits: Tnum::UNKNOWN,
        u64: Interval::FULL,
        s64: Interval::FULL,
        u32: Interval::FULL,
        s32: Interval::FULL,
    };

    /// Zero.
    pub const ZERO: Self = Self::constant(0);

    /// Exactly `number`.
    #[must_use]
    pub const fn constant(number: u64) -> Self {
        Self {
            bits: Tnum::constant(number),
            u64: Interval::single(number),
            s64: Interval::single(number as i64),
            u32: Interval::single(number as u32),
            s32: Interval::single(number as i32),
        }
    }

    /// The number, if the bits leave only one.
    #[must_use]
    pub fn as_const(&self) -> Option<u64> {
        self.bits.is_const().then_some(self.bits.value)
    }

    /// The low half, if its bits leave only one.
    #[must_use]
    pub fn as_const32(&self) -> Option<u32> {
        self.bits.is_subreg_const().then_some(self.bits.value as u32)
    }

    /// Whether every range is full and no bit known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::UNKNOWN
    }

    /// Whether every part says that it is the same one number.
    fn is_single(&self) -> bool {
        self.bits.is_const() && *self == Self::constant(self.bits.value)
    }

    /// Forgets all four ranges and keeps the bits (`__mark_reg_unbounded`).
    pub const fn forget_ranges(&mut self) {
        self.forget_64();
        self.forget_32();
    }

    /// The low half is this number; the 64-bit ranges stay (`__mark_reg32_known`).
    pub const fn set_low(&mut self, number: u32) {
        self.bits = self.bits.with_subreg(Tnum::constant(number as u64));
        self.u32 = Interval::single(number);
        self.s32 = Interval::single(number as i32);
    }

    /// Forgets the 64-bit ranges.
    pub const fn forget_64(&mut self) {
        self.u64 = Interval::FULL;
        self.s64 = Interval::FULL;
    }

    /// Forgets the 32-bit ranges.
    pub const fn forget_32(&mut self) {
        self.u32 = Interval::FULL;
        self.s32 = Interval::FULL;
    }

    /// Whether each range of `other` lies within the same range here (`range_within`); the bits
    /// are not looked at.
    #[must_use]
    pub fn includes_ranges(&self, other: &Self) -> bool {
        self.u64.includes(&other.u64)
            && self.s64.includes(&other.s64)
            && self.u32.includes(&other.u32)
            && self.s32.includes(&other.s32)
    }

    /// Whether `number` is possible according to every part.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.bits.contains(number)
            && self.u64.contains(number)
            && self.s64.contains(number as i64)
            && self.u32.contains(number as u32)
            && self.s32.contains(number as i32)
    }

    /// Lets bits and ranges learn from each other, in the kernel's order and no further
    /// (`reg_bounds_sync`).
    pub fn sync(&mut self, rules: Rules) {
        // Both have nothing to learn, and are the most frequent.
        if !self.is_single() && !self.is_unknown() {
            self.learn(rules);
        }
    }

    /// [`Quad::sync`] whatever is known. A round that changes nothing is the last.
    pub(super) fn learn(&mut self, rules: Rules) {
        self.ranges_from_bits(rules);
        for _ in 0..3 {
            let before = *self;
            self.low_ranges_from_all(rules);
            self.ranges_from_ranges();
            self.ranges_from_low_ranges(rules);
            if *self == before {
                break;
            }
        }
        self.bits_from_ranges();
        self.ranges_from_bits(rules);
    }

    /// `__update_reg32_bounds`
    pub(super) fn low_ranges_from_bits(&mut self) {
        let low = self.bits.subreg();
        let (value, mask) = (low.value as u32, low.mask as u32);
        let sign = i32::MIN as u32;
        self.s32
            .narrow(Interval::new((value | (mask & sign)) as i32, (value | (mask & !sign)) as i32));
        self.u32.narrow(Interval::new(value, value | mask));
    }

    /// `__update_reg64_bounds`
    fn wide_ranges_from_bits(&mut self) {
        let Tnum { value, mask } = self.bits;
        let sign = i64::MIN as u64;
        self.s64
            .narrow(Interval::new((value | (mask & sign)) as i64, (value | (mask & !sign)) as i64));
        self.u64.narrow(Interval::new(value, value | mask));
    }

    /// `__update_reg_bounds`
    pub(super) fn ranges_from_bits(&mut self, rules: Rules) {
        self.low_ranges_from_bits();
        self.wide_ranges_from_bits();
        if rules.contains(Rules::SINGLE_MEMBER)
            && let Some(number) = self.single_member()
        {
            *self = Self::constant(number);
        }
    }

    /// The number, if the bits and the unsigned range have only one in common (the end of
    /// `__update_reg64_bounds`).
    fn single_member(&self) -> Option<u64> {
        let Interval { min, max } = self.u64;
        let next = self.bits.next_after(min);
        if self.bits.contains(min) {
            (next > max).then_some(min)
        } else if next == self.bits.max() || (next <= max && self.bits.next_after(next) > max) {
            Some(next)
        } else {
            None
        }
    }

    /// `__reg32_deduce_bounds`: the low half learns from the whole and from its other reading.
    fn low_ranges_from_all(&mut self, rules: Rules) {
        let unsigned = self.u64;
        let low_unsigned = Interval::new(unsigned.min as u32, unsigned.max as u32);
        if upper(unsigned.min) == upper(unsigned.max) {
            self.u32.narrow(low_unsigned);
            if let Some(range) = low_unsigned.as_signed() {
                self.s32.narrow(range);
            }
        }
        let signed = self.s64;
        let low_signed = Interval::new(signed.min as u32, signed.max as u32);
        if upper(signed.min as u64) == upper(signed.max as u64) {
            if !low_signed.is_empty() {
                self.u32.narrow(low_signed);
            }
            if let Some(range) = low_signed.as_signed() {
                self.s32.narrow(range);
            }
        }
        for (min, max) in [(unsigned.min, unsigned.max), (signed.min as u64, signed.max as u64)] {
            // Two neighbouring upper halves with the low half going from below 0 to above.
            if upper_half(min).wrapping_add(1) == upper_half(max)
                && (min as i32) < 0
                && max as i32 >= 0
            {
                self.s32.narrow(Interval::new(min as i32, max as i32));
            }
        }
        if let Some(range) = self.u32.as_signed() {
            self.s32.narrow(range);
        }
        if let Some(range) = self.s32.as_unsigned() {
            self.u32.narrow(range);
        } else if rules.contains(Rules::SIGN_CROSSING_LOW_HALF) {
            // As below for the whole.
            if self.u32.max < self.s32.min as u32 {
                self.s32.min = self.u32.min as i32;
                self.u32.max = self.u32.max.min(self.s32.max as u32);
            } else if (self.s32.max as u32) < self.u32.min {
                self.s32.max = self.u32.max as i32;
                self.u32.min = self.u32.min.max(self.s32.min as u32);
            }
        }
    }

    /// `__reg64_deduce_bounds`: the signed and the unsigned reading learn from each other.
    fn ranges_from_ranges(&mut self) {
        if let Some(range) = self.u64.as_signed() {
            self.s64.narrow(range);
        }
        if let Some(range) = self.s64.as_unsigned() {
            self.u64.narrow(range);
        } else if self.u64.max < self.s64.min as u64 {
            // The signed range crosses the sign; the unsigned one meets only its positive part.
            self.s64.min = self.u64.min as i64;
            self.u64.max = self.u64.max.min(self.s64.max as u64);
        } else if (self.s64.max as u64) < self.u64.min {
            self.s64.max = self.u64.max as i64;
            self.u64.min = self.u64.min.max(self.s64.min as u64);
        }
    }

    /// `__reg_deduce_mixed_bounds`: the whole learns from the low half.
    fn ranges_from_low_ranges(&mut self, rules: Rules) {
        self.narrow_low_ends(self.u32);
        if let (true, Some(low)) = (rules.contains(Rules::SIGNED_LOW_HALF), self.s32.as_unsigned())
        {
            self.narrow_low_ends(low);
        }
        let sign_extended =
            self.s64.min >= i64::from(i32::MIN) && self.s64.max <= i64::from(i32::MAX);
        if self.s32.min >= 0 && sign_extended {
            self.s64 = Interval::new(i64::from(self.s32.min), i64::from(self.s32.max));
            self.u64 = Interval::new(self.s64.min as u64, self.s64.max as u64);
            self.bits = self.bits.intersect(Tnum::range(self.u64.min, self.u64.max));
        }
    }

    /// The low halves of both ends of the 64-bit ranges move into `low`.
    fn narrow_low_ends(&mut self, low: Interval<u32>) {
        let (min, max) = (u64::from(low.min), u64::from(low.max));
        self.u64.narrow(Interval::new(upper(self.u64.min) | min, upper(self.u64.max) | max));
        self.s64.narrow(Interval::new(
            (upper(self.s64.min as u64) | min) as i64,
            (upper(self.s64.max as u64) | max) as i64,
        ));
    }

    /// `__reg_bound_offset`
    fn bits_from_ranges(&mut self) {
        let whole = self.bits.intersect(Tnum::range(self.u64.min, self.u64.max));
        let low_range = Tnum::range(u64::from(self.u32.min), u64::from(self.u32.max));
        let low = whole.subreg().intersect(low_range);
        self.bits = whole.clear_subreg().or(low);
    }

    /// Looks for parts that contradict each other.
    ///
    /// # Errors
    /// The first contradiction in the kernel's order.
    pub fn check(&self) -> Result<(), Violation> {
        if self.u64.is_empty() || self.s64.is_empty() || self.u32.is_empty() || self.s32.is_empty()
        {
            return Err(Violation::EmptyRange);
        }
        if let Some(number) = self.as_const()
            && (self.u64 != Interval::single(number) || self.s64 != Interval::single(number as i64))
        {
            return Err(Violation::Constant);
        }
        if let Some(number) = self.as_const32()
            && (self.u32 != Interval::single(number) || self.s32 != Interval::single(number as i32))
        {
            return Err(Violation::ConstantSubreg);
        }
        Ok(())
    }

    /// The low half zero-extended; the 32-bit ranges decide (`zext_32_to_64`). Not synchronised.
    pub fn zero_extend_low(&mut self) {
        self.bits = self.bits.subreg();
        self.u64 = Interval::new(u64::from(self.u32.min), u64::from(self.u32.max));
        self.s64 = if self.s32.min >= 0 && self.s32.max >= 0 {
            Interval::new(i64::from(self.s32.min), i64::from(self.s32.max))
        } else {
            Interval::new(0, i64::from(u32::MAX))
        };
    }

    /// The low `size` bytes zero-extended (`coerce_reg_to_size`).
    pub fn truncate(&mut self, size: Narrow, rules: Rules) {
        self.bits = self.bits.truncate(size.bytes());
        let keep = u64::MAX >> (64 - size.bits());
        self.u64 = if self.u64.min & !keep == self.u64.max & !keep {
            Interval::new(self.u64.min & keep, self.u64.max & keep)
        } else {
            Interval::new(0, keep)
        };
        self.s64 = Interval::new(self.u64.min as i64, self.u64.max as i64);
        if size != Narrow::B4 {
            self.forget_32();
        }
        self.sync(rules);
    }

    /// The low `size` bytes sign-extended to 64 bits (`coerce_reg_to_size_sx`).
    pub fn sign_extend(&mut self, size: Narrow) {
        if let Some(number) = self.as_const() {
            *self = Self::constant(size.sign_extend(number) as u64);
            return;
        }
        let keeps = |n: i64| n as u64 >> size.bits();
        let (first, last) =
            (size.sign_extend(self.s64.min as u64), size.sign_extend(self.s64.max as u64));
        let range = Interval::new(first.min(last), first.max(last));
        if keeps(self.s64.min) == keeps(self.s64.max) && (range.min >= 0) == (range.max >= 0) {
            self.s64 = range;
            self.u64 = Interval::new(range.min as u64, range.max as u64);
            self.s32 = Interval::new(range.min as i32, range.max as i32);
            self.u32 = Interval::new(range.min as u32, range.max as u32);
            self.bits = Tnum::range(self.u64.min, self.u64.max);
        } else {
            *self = Self::UNKNOWN;
            self.s32 = size.signed();
            self.s64 = Interval::new(i64::from(self.s32.min), i64::from(self.s32.max));
        }
    }

    /// The low `size` bytes (1 or 2) sign-extended to 32 bits (`coerce_subreg_to_size_sx`). Only
    /// the low half's ranges are set: [`Quad::zero_extend_low`] must follow.
    pub fn sign_extend_low(&mut self, size: Narrow) {
        if let Some(number) = self.as_const() {
            self.bits = Tnum::constant(size.sign_extend(number) as u64);
            self.s32 = Interval::single(self.bits.value as i32);
            self.u32 = Interval::single(self.bits.value as u32);
            return;
        }
        let keeps = |n: i32| u64::from(n as u32) >> size.bits();
        let (first, last) = (
            size.sign_extend(self.s32.min as u64) as i32,
            size.sign_extend(self.s32.max as u64) as i32,
        );
        let range = Interval::new(first.min(last), first.max(last));
        if keeps(self.s32.min) == keeps(self.s32.max) && (range.min >= 0) == (range.max >= 0) {
            self.s32 = range;
            self.u32 = Interval::new(range.min as u32, range.max as u32);
            self.bits = Tnum::range(range.min as i64 as u64, range.max as i64 as u64).subreg();
        } else {
            self.s32 = size.signed();
            self.u32 = Interval::FULL;
            self.bits = Tnum::UNKNOWN.subreg();
        }
    }
}
