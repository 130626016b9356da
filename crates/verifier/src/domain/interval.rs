// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A closed range of one of the four kinds of number.

use core::fmt::Debug;

/// The integers that ranges are made of: `u64`, `i64`, `u32`, `i32`.
pub trait Int: Copy + Ord + Debug + 'static {
    /// Smallest number.
    const MIN: Self;
    /// Largest number.
    const MAX: Self;
    /// Sum modulo 2^width, and whether it left the range.
    fn add_overflows(self, other: Self) -> (Self, bool);
    /// Difference modulo 2^width, and whether it left the range.
    fn sub_overflows(self, other: Self) -> (Self, bool);
    /// Product modulo 2^width, and whether it left the range.
    fn mul_overflows(self, other: Self) -> (Self, bool);
    /// Next number, wrapping.
    fn next(self) -> Self;
    /// Previous number, wrapping.
    fn previous(self) -> Self;
}

macro_rules! int {
    ($($ty:ty)+) => {$(
        impl Int for $ty {
            const MIN: Self = <$ty>::MIN;
            const MAX: Self = <$ty>::MAX;
            fn add_overflows(self, other: Self) -> (Self, bool) {
                self.overflowing_add(other)
            }
            fn sub_overflows(self, other: Self) -> (Self, bool) {
                self.overflowing_sub(other)
            }
            fn mul_overflows(self, other: Self) -> (Self, bool) {
                self.overflowing_mul(other)
            }
            fn next(self) -> Self {
                self.wrapping_add(1)
            }
            fn previous(self) -> Self {
                self.wrapping_sub(1)
            }
        }
    )+};
}
int!(u64 i64 u32 i32);

/// All numbers from `min` to `max`, both included. `min > max` happens on dead branches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Interval<T> {
    /// Smallest possible number.
    pub min: T,
    /// Largest possible number.
    pub max: T,
}

impl<T: Int> Interval<T> {
    /// Every number.
    pub const FULL: Self = Self { min: T::MIN, max: T::MAX };

    /// From `min` to `max`.
    #[must_use]
    pub const fn new(min: T, max: T) -> Self {
        Self { min, max }
    }

    /// Only `number`.
    #[must_use]
    pub const fn single(number: T) -> Self {
        Self { min: number, max: number }
    }

    /// Whether it is [`Interval::FULL`].
    #[must_use]
    pub fn is_full(&self) -> bool {
        *self == Self::FULL
    }

    /// Whether no number is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.min > self.max
    }

    /// Whether it holds exactly one number.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.min == self.max
    }

    /// Whether `number` is in it.
    #[must_use]
    pub fn contains(&self, number: T) -> bool {
        self.min <= number && number <= self.max
    }

    /// Whether both ends of `other` lie within the ends of `self`.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.min <= other.min && self.max >= other.max
    }

    /// Whether no number is in both (for non-empty ranges).
    #[must_use]
    pub fn is_apart_from(&self, other: &Self) -> bool {
        self.min > other.max || self.max < other.min
    }

    /// Keeps what is also in `other`.
    pub fn narrow(&mut self, other: Self) {
        self.min = self.min.max(other.min);
        self.max = self.max.min(other.max);
    }

    /// Sum of signed numbers: full as soon as one end overflows.
    #[must_use]
    pub fn add_signed(self, other: Self) -> Self {
        Self::unless_either(self.min.add_overflows(other.min), self.max.add_overflows(other.max))
    }

    /// Difference of signed numbers: full as soon as one end overflows.
    #[must_use]
    pub fn sub_signed(self, other: Self) -> Self {
        Self::unless_either(self.min.sub_overflows(other.max), self.max.sub_overflows(other.min))
    }

    /// Sum of unsigned numbers: full if the upper end wraps and the lower one does not. Where both
    /// wrap the result is a range again, if the kernel looks at that (`both`).
    #[must_use]
    pub fn add_unsigned(self, other: Self, both: bool) -> Self {
        let (min, min_wraps) = self.min.add_overflows(other.min);
        let (max, max_wraps) = self.max.add_overflows(other.max);
        let full = if both { max_wraps && !min_wraps } else { max_wraps || min_wraps };
        if full { Self::FULL } else { Self { min, max } }
    }

    /// Difference of unsigned numbers: full if the lower end wraps and the upper one does not.
    /// Where both wrap the result is a range again, if the kernel looks at that (`both`).
    #[must_use]
    pub fn sub_unsigned(self, other: Self, both: bool) -> Self {
        let (min, min_wraps) = self.min.sub_overflows(other.max);
        let (max, max_wraps) = self.max.sub_overflows(other.min);
        if min_wraps && !(max_wraps && both) { Self::FULL } else { Self { min, max } }
    }

    /// Product of unsigned numbers.
    #[must_use]
    pub fn mul_unsigned(self, other: Self) -> Self {
        Self::unless_either(self.min.mul_overflows(other.min), self.max.mul_overflows(other.max))
    }

    /// Product of signed numbers, from the four products of the ends.
    #[must_use]
    pub fn mul_signed(self, other: Self) -> Self {
        let products = [
            self.min.mul_overflows(other.min),
            self.min.mul_overflows(other.max),
            self.max.mul_overflows(other.min),
            self.max.mul_overflows(other.max),
        ];
        let [(first, _), rest @ ..] = products;
        if products.iter().any(|(_, overflows)| *overflows) {
            return Self::FULL;
        }
        rest.iter().fold(Self::single(first), |range, (product, _)| Self {
            min: range.min.min(*product),
            max: range.max.max(*product),
        })
    }

    fn unless_either((min, a): (T, bool), (max, b): (T, bool)) -> Self {
        if a || b { Self::FULL } else { Self { min, max } }
    }
}

impl Interval<u64> {
    /// The same numbers as signed ones if all of them are, else the full range.
    pub(super) const fn as_signed_if_small(self) -> Interval<i64> {
        if self.max <= i64::MAX as u64 {
            Interval { min: self.min as i64, max: self.max as i64 }
        } else {
            Interval::<i64>::FULL
        }
    }

    /// The same bits as signed numbers, if they are in order as such.
    #[must_use]
    pub const fn as_signed(self) -> Option<Interval<i64>> {
        let signed = Interval { min: self.min as i64, max: self.max as i64 };
        if signed.min <= signed.max { Some(signed) } else { None }
    }
}

impl Interval<u32> {
    /// The same numbers as signed ones if all of them are, else the full range.
    pub(super) const fn as_signed_if_small(self) -> Interval<i32> {
        if self.max <= i32::MAX as u32 {
            Interval { min: self.min as i32, max: self.max as i32 }
        } else {
            Interval::<i32>::FULL
        }
    }

    /// The same bits as signed numbers, if they are in order as such.
    #[must_use]
    pub const fn as_signed(self) -> Option<Interval<i32>> {
        let signed = Interval { min: self.min as i32, max: self.max as i32 };
        if signed.min <= signed.max { Some(signed) } else { None }
    }
}

impl Interval<i64> {
    /// The same bits as unsigned numbers, if they are in order as such.
    #[must_use]
    pub const fn as_unsigned(self) -> Option<Interval<u64>> {
        let unsigned = Interval { min: self.min as u64, max: self.max as u64 };
        if unsigned.min <= unsigned.max { Some(unsigned) } else { None }
    }
}

impl Interval<i32> {
    /// The same bits as unsigned numbers, if they are in order as such.
    #[must_use]
    pub const fn as_unsigned(self) -> Option<Interval<u32>> {
        let unsigned = Interval { min: self.min as u32, max: self.max as u32 };
        if unsigned.min <= unsigned.max { Some(unsigned) } else { None }
    }
}
