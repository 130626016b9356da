// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Arithmetic on abstract values (`adjust_scalar_min_max_vals`).

use super::{Interval, Quad, Rules, Tnum};
use veristable_isa::{AluOp, Width};

/// What an operation gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AluResult {
    /// The kernel does not compute this: anything is possible.
    Unknown,
    /// A value.
    Value(Quad),
    /// A value that the kernel assigned as a constant on the way: what else the register carried
    /// (link distance) is gone too (`__mark_reg_known`).
    Reset(Quad),
}

impl Quad {
    /// `self op src`, both read before; for [`AluOp::Mov`] `src`.
    #[must_use]
    pub fn alu(&self, op: AluOp, src: &Self, width: Width, rules: Rules) -> AluResult {
        if !is_computed(op, src, width) {
            return AluResult::Unknown;
        }
        let mut result = *self;
        let mut reset = false;
        match op {
            AluOp::Add => result.add(src, rules),
            AluOp::Sub => result.sub(src, rules),
            AluOp::Mul => result.mul(src, rules),
            AluOp::Mov => result = *src,
            AluOp::And | AluOp::Or | AluOp::Xor => reset = result.bitwise(op, src, rules),
            AluOp::Lsh => match width {
                Width::W32 => result.lsh32(src),
                Width::W64 => result.lsh64(src, rules),
            },
            AluOp::Rsh => match width {
                Width::W32 => result.rsh32(src),
                Width::W64 => result.rsh64(src, rules),
            },
            AluOp::Arsh => match width {
                Width::W32 => result.arsh32(src),
                Width::W64 => result.arsh64(src, rules),
            },
            AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod => return AluResult::Unknown,
        }
        if width == Width::W32 {
            result.zero_extend_low();
        }
        result.sync(rules);
        if reset { AluResult::Reset(result) } else { AluResult::Value(result) }
    }

    /// Two's complement: 0 less the number (`BPF_NEG`).
    #[must_use]
    pub fn neg(&self, width: Width, rules: Rules) -> Self {
        let mut result = Self::ZERO;
        result.sub(self, rules);
        if width == Width::W32 {
            result.zero_extend_low();
        }
        result.sync(rules);
        result
    }

    fn add(&mut self, src: &Self, rules: Rules) {
        let wraps = rules.contains(Rules::BOTH_ENDS_WRAP);
        self.s32 = self.s32.add_signed(src.s32);
        self.u32 = self.u32.add_unsigned(src.u32, wraps);
        self.s64 = self.s64.add_signed(src.s64);
        self.u64 = self.u64.add_unsigned(src.u64, wraps);
        self.bits = self.bits.add(src.bits);
    }

    /// Adds without synchronising, as linked scalars are adjusted (`sync_linked_regs`).
    pub fn add_unsynced(&mut self, src: &Self, rules: Rules) {
        self.add(src, rules);
    }

    fn sub(&mut self, src: &Self, rules: Rules) {
        let wraps = rules.contains(Rules::BOTH_ENDS_WRAP);
        self.s32 = self.s32.sub_signed(src.s32);
        self.u32 = self.u32.sub_unsigned(src.u32, wraps);
        self.s64 = self.s64.sub_signed(src.s64);
        self.u64 = self.u64.sub_unsigned(src.u64, wraps);
        self.bits = self.bits.sub(src.bits);
    }

    fn mul(&mut self, src: &Self, rules: Rules) {
        self.bits = match rules.contains(Rules::UNION_PRODUCT) {
            true => self.bits.product(src.bits),
            false => self.bits.half_product(src.bits),
        };
        if !rules.contains(Rules::SIGNED_PRODUCTS) {
            (self.u32, self.s32) = if self.s32.min < 0
                || src.s32.min < 0
                || self.u32.max.max(src.u32.max) > u32::from(u16::MAX)
            {
                (Interval::FULL, Interval::FULL)
            } else {
                let product = self.u32.mul_unsigned(src.u32);
                (product, product.as_signed_if_small())
            };
            (self.u64, self.s64) = if self.s64.min < 0
                || src.s64.min < 0
                || self.u64.max.max(src.u64.max) > u64::from(u32::MAX)
            {
                (Interval::FULL, Interval::FULL)
            } else {
                let product = self.u64.mul_unsigned(src.u64);
                (product, product.as_signed_if_small())
            };
            return;
        }
        self.u32 = self.u32.mul_unsigned(src.u32);
        self.s32 = self.s32.mul_signed(src.s32);
        self.u64 = self.u64.mul_unsigned(src.u64);
        self.s64 = self.s64.mul_signed(src.s64);
    }

    /// And, or, exclusive or. True if both numbers were constant and the result was assigned.
    fn bitwise(&mut self, op: AluOp, src: &Self, rules: Rules) -> bool {
        self.bits = match op {
            AluOp::And => self.bits.and(src.bits),
            AluOp::Or => self.bits.or(src.bits),
            _ => self.bits.xor(src.bits),
        };
        // "Known" is judged by the second operand and the result.
        if let (true, Some(number)) = (src.bits.is_subreg_const(), self.as_const32()) {
            self.u32 = Interval::single(number);
            self.s32 = Interval::single(number as i32);
        } else {
            let Tnum { value, .. } = self.bits;
            self.u32 = match op {
                AluOp::And => Interval::new(value as u32, self.u32.max.min(src.u32.max)),
                AluOp::Or => Interval::new(self.u32.min.max(src.u32.min), self.bits.max() as u32),
                _ => Interval::new(value as u32, self.bits.max() as u32),
            };
            self.s32 = self.u32.as_signed().unwrap_or(Interval::FULL);
        }
        if let (true, Some(number)) = (src.bits.is_const(), self.as_const()) {
            *self = Self::constant(number);
            return true;
        }
        self.u64 = match op {
            AluOp::And => Interval::new(self.bits.value, self.u64.max.min(src.u64.max)),
            AluOp::Or => Interval::new(self.u64.min.max(src.u64.min), self.bits.max()),
            _ => Interval::new(self.bits.value, self.bits.max()),
        };
        self.s64 = self.u64.as_signed().unwrap_or(Interval::FULL);
        self.ranges_from_bits(rules);
        false
    }

    fn shift_low_left(&mut self, by_min: u64, by_max: u64) {
        self.s32 = Interval::FULL;
        self.u32 = if by_max > 31 || u64::from(self.u32.max) > 1 << (31 - by_max) {
            Interval::FULL
        } else {
            Interval::new(
                self.u32.min.wrapping_shl(by_min as u32),
                self.u32.max.wrapping_shl(by_max as u32),
            )
        };
    }

    fn lsh32(&mut self, src: &Self) {
        let by = src.u32;
        self.shift_low_left(u64::from(by.min), u64::from(by.max));
        self.bits = self.bits.subreg().shl(by.min as u8).subreg();
        self.forget_64();
        self.low_ranges_from_bits();
    }

    fn lsh64(&mut self, src: &Self, rules: Rules) {
        let by = src.u64;
        // A shift by exactly 32 is half of a sign extension: only then is the sign followed.
        let by_32 = by == Interval::single(32);
        let any_sign = rules.contains(Rules::NEGATIVE_SHIFT_BY_32);
        let signed = |end: i32, otherwise: i64| {
            if by_32 && (any_sign || end >= 0) { i64::from(end) << 32 } else { otherwise }
        };
        self.s64 = Interval::new(signed(self.s32.min, i64::MIN), signed(self.s32.max, i64::MAX));
        self.u64 = if self.u64.max > 1u64.wrapping_shl(63u32.wrapping_sub(by.max as u32)) {
            Interval::FULL
        } else {
            Interval::new(
                self.u64.min.wrapping_shl(by.min as u32),
                self.u64.max.wrapping_shl(by.max as u32),
            )
        };
        self.shift_low_left(by.min, by.max);
        self.bits = self.bits.shl(by.min as u8);
        self.ranges_from_bits(rules);
    }

    fn rsh32(&mut self, src: &Self) {
        let by = src.u32;
        self.s32 = Interval::FULL;
        self.bits = self.bits.subreg().shr(by.min as u8);
        self.u32 =
            Interval::new(self.u32.min.wrapping_shr(by.max), self.u32.max.wrapping_shr(by.min));
        self.forget_64();
        self.low_ranges_from_bits();
    }

    fn rsh64(&mut self, src: &Self, rules: Rules) {
        let by = src.u64;
        self.s64 = Interval::FULL;
        self.bits = self.bits.shr(by.min as u8);
        self.u64 = Interval::new(
            self.u64.min.wrapping_shr(by.max as u32),
            self.u64.max.wrapping_shr(by.min as u32),
        );
        self.forget_32();
        self.ranges_from_bits(rules);
    }

    fn arsh32(&mut self, src: &Self) {
        let by = src.u32.min;
        self.s32 = Interval::new(self.s32.min.wrapping_shr(by), self.s32.max.wrapping_shr(by));
        self.bits = self.bits.sar32(by as u8);
        self.u32 = Interval::FULL;
        self.forget_64();
        self.low_ranges_from_bits();
    }

    fn arsh64(&mut self, src: &Self, rules: Rules) {
        let by = src.u64.min as u32;
        self.s64 = Interval::new(self.s64.min.wrapping_shr(by), self.s64.max.wrapping_shr(by));
        self.bits = self.bits.sar64(by as u8);
        self.u64 = Interval::FULL;
        self.forget_32();
        self.ranges_from_bits(rules);
    }
}

/// Whether the kernel follows the operation (`is_safe_to_compute_dst_reg_range`): a shift only by
/// a constant below the width, division never. For 32-bit shifts the *64-bit* upper bound counts.
fn is_computed(op: AluOp, src: &Quad, width: Width) -> bool {
    match op {
        AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod => false,
        AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
            let constant = match width {
                Width::W32 => {
                    src.bits.is_subreg_const() && src.s32.is_single() && src.u32.is_single()
                }
                Width::W64 => src.bits.is_const() && src.s64.is_single() && src.u64.is_single(),
            };
            constant && src.u64.max < u64::from(width.bits())
        }
        _ => true,
    }
}
