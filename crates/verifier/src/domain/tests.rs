// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Soundness against concrete numbers: exhaustive at small widths, by chance at full width.

extern crate std;

use super::{AluResult, Branches, Int, Interval, Narrow, Quad, Rules, Tnum, flipped};
use proptest::prelude::*;
use std::vec::Vec;
use veristable_isa::{AluOp, CmpOp, Width};

const WIDTHS: [Width; 2] = [Width::W32, Width::W64];
/// What a machine computes; `None` where BPF leaves the shift undefined.
fn concrete(op: AluOp, a: u64, b: u64, width: Width) -> Option<u64> {
    let bits = width.bits();
    let (a, b) = match width {
        Width::W32 => (a & 0xffff_ffff, b & 0xffff_ffff),
        Width::W64 => (a, b),
    };
    let shift = (b < u64::from(bits)).then_some(b as u32);
    let result = match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::And => a & b,
        AluOp::Or => a | b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => a << shift?,
        AluOp::Rsh => a >> shift?,
        AluOp::Arsh => match width {
            Width::W32 => (a as u32 as i32 >> shift?) as u32 as u64,
            Width::W64 => (a as i64 >> shift?) as u64,
        },
        AluOp::Mov => b,
        // No range is computed for these.
        AluOp::Sdiv | AluOp::Smod => return None,
    };
    Some(if width == Width::W32 { result & 0xffff_ffff } else { result })
}

fn holds(cond: CmpOp, a: u64, b: u64, width: Width) -> bool {
    let (ua, ub, sa, sb) = match width {
        Width::W32 => (a & 0xffff_ffff, b & 0xffff_ffff, a as i32 as i64, b as i32 as i64),
        Width::W64 => (a, b, a as i64, b as i64),
    };
    match cond {
        CmpOp::Eq => ua == ub,
        CmpOp::Ne => ua != ub,
        CmpOp::Set => ua & ub != 0,
        CmpOp::Gt => ua > ub,
        CmpOp::Ge => ua >= ub,
        CmpOp::Lt => ua < ub,
        CmpOp::Le => ua <= ub,
        CmpOp::Sgt => sa > sb,
        CmpOp::Sge => sa >= sb,
        CmpOp::Slt => sa < sb,
        CmpOp::Sle => sa <= sb,
    }
}

/// Every tnum of `bits` bits.
fn small_tnums(bits: u32) -> Vec<Tnum> {
    let all = 1u64 << bits;
    (0..all)
        .flat_map(|mask| (0..all).map(move |value| Tnum { value, mask }))
        .filter(|t| t.value & t.mask == 0)
        .collect()
}

fn members(t: Tnum, bits: u32) -> impl Iterator<Item = u64> {
    (0..1u64 << bits).filter(move |n| t.contains(*n))
}

/// The smallest tnum with all of `numbers`.
fn hull(numbers: impl Iterator<Item = u64>) -> Option<Tnum> {
    numbers.map(Tnum::constant).reduce(Tnum::union)
}

#[test]
fn tnum_operations_are_sound_for_every_small_pair() {
    type Op = (fn(Tnum, Tnum) -> Tnum, fn(u64, u64) -> u64, bool);
    let ops: [Op; 6] = [
        (Tnum::add, u64::wrapping_add, true),
        (Tnum::sub, u64::wrapping_sub, true),
        (Tnum::and, |a, b| a & b, true),
        (Tnum::or, |a, b| a | b, true),
        (Tnum::xor, |a, b| a ^ b, true),
        (Tnum::product, u64::wrapping_mul, false),
    ];
    const BITS: u32 = 3;
    for a in small_tnums(BITS) {
        for b in small_tnums(BITS) {
            for (abstract_op, op, exact) in ops {
                let result = abstract_op(a, b);
                let all = members(a, BITS)
                    .flat_map(|x| members(b, BITS).map(move |y| op(x, y)))
                    .collect::<Vec<_>>();
                assert!(all.iter().all(|n| result.contains(*n)), "{a:?} {b:?} {result:?}");
                if exact {
                    assert_eq!(Some(result), hull(all.into_iter()), "{a:?} {b:?}");
                }
            }
            assert_eq!(a.overlaps(b), members(a, BITS).any(|n| b.contains(n)), "{a:?} {b:?}");
            assert_eq!(a.includes(b), members(b, BITS).all(|n| a.contains(n)), "{a:?} {b:?}");
            let both = a.intersect(b);
            if a.overlaps(b) {
                assert!(members(a, BITS).all(|n| both.contains(n) == b.contains(n)));
            }
        }
        for number in 0..1u64 << (BITS + 1) {
            let above = members(a, BITS).filter(|n| *n > number).min();
            assert_eq!(a.next_after(number), above.unwrap_or(a.max()), "{a:?} {number}");
        }
        for bits in [16, 32, 64] {
            let wide = Tnum { value: a.value << (bits - 4), mask: a.mask << (bits - 4) };
            for n in members(a, BITS).map(|n| n << (bits - 4)) {
                let swapped = n.swap_bytes() >> (64 - bits);
                assert!(wide.swap_bytes(bits).contains(swapped), "{wide:?} {bits}");
            }
        }
        for by in 0..64 {
            for n in members(a, BITS) {
                assert!(a.shl(by).contains(n << by) && a.shr(by).contains(n >> by));
                let high = a.shl(61);
                assert!(high.sar64(by).contains(((n << 61) as i64 >> by) as u64));
            }
            for n in members(a, BITS).filter(|_| by < 32) {
                let high = a.shl(29);
                assert!(
                    high.sar32(by).contains(u64::from(((n << 29) as i32 >> by) as u32)),
                    "{a:?} {by}"
                );
            }
        }
    }
}

#[test]
fn tnum_range_is_the_hull() {
    for min in 0..64 {
        for max in min..64 {
            let range = Tnum::range(min, max);
            // The hull may know more of the common low bits only if there are two numbers.
            assert!((min..=max).all(|n| range.contains(n)), "{min} {max}");
            assert!(Tnum::range(min, max).max() < 2 * max.max(1), "{min} {max}");
        }
    }
    assert!(Tnum::range(0, u64::MAX).is_unknown());
    assert_eq!(Tnum::range(5, 5), Tnum::constant(5));
}

/// Both readings of eight bits, to try every range of a step.
trait Small: Int {
    fn all() -> Vec<Self>;
}

macro_rules! small {
    ($ty:ty) => {
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
        impl Small for $ty {
            fn all() -> Vec<Self> {
                (0..=255u8).map(|n| n as $ty).collect()
            }
        }
    };
}
small!(u8);
small!(i8);

fn check_interval<T: Small>(
    name: &str,
    abstract_op: fn(Interval<T>, Interval<T>) -> Interval<T>,
    op: fn(T, T) -> T,
) {
    let all = T::all();
    let ends: Vec<T> =
        all.iter().copied().enumerate().filter(|(i, _)| i % 17 < 2).map(|(_, n)| n).collect();
    let ranges: Vec<Interval<T>> = ends
        .iter()
        .flat_map(|min| ends.iter().map(move |max| Interval::new(*min, *max)))
        .filter(|r| !r.is_empty())
        .collect();
    for a in &ranges {
        for b in ranges.iter().step_by(7) {
            let result = abstract_op(*a, *b);
            for x in [a.min, a.max] {
                for y in all.iter().copied().filter(|n| b.contains(*n)).step_by(3) {
                    assert!(result.contains(op(x, y)), "{name} {a:?} {b:?} {x:?} {y:?} {result:?}");
                }
            }
            for x in all.iter().copied().filter(|n| a.contains(*n)).step_by(3) {
                for y in [b.min, b.max] {
                    assert!(result.contains(op(x, y)), "{name} {a:?} {b:?} {x:?} {y:?} {result:?}");
                }
            }
        }
    }
}

#[test]
fn interval_operations_are_sound_at_eight_bits() {
    check_interval::<u8>("add", |a, b| a.add_unsigned(b, true), u8::wrapping_add);
    check_interval::<u8>("add", |a, b| a.add_unsigned(b, false), u8::wrapping_add);
    check_interval::<u8>("sub", |a, b| a.sub_unsigned(b, true), u8::wrapping_sub);
    check_interval::<u8>("sub", |a, b| a.sub_unsigned(b, false), u8::wrapping_sub);
    check_interval::<u8>("mul", Interval::mul_unsigned, u8::wrapping_mul);
    check_interval::<i8>("add", Interval::add_signed, i8::wrapping_add);
    check_interval::<i8>("sub", Interval::sub_signed, i8::wrapping_sub);
    check_interval::<i8>("mul", Interval::mul_signed, i8::wrapping_mul);
}

/// Numbers that sit near the ends of the ranges more often than chance would have it.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0..64u64),
        any::<i8>().prop_map(|n| n as i64 as u64),
        any::<i32>().prop_map(|n| n as i64 as u64),
        any::<u32>().prop_map(u64::from),
        (0u32..64, -2i64..=2).prop_map(|(bit, near)| (1u64 << bit).wrapping_add(near as u64)),
    ]
}

fn interval_around<T: Int>(number: T, ends: [T; 2], kind: u8) -> Interval<T> {
    match kind % 4 {
        0 => Interval::FULL,
        1 => Interval::new(number.min(ends[0]), number.max(ends[0])),
        2 => Interval::new(number.min(ends[0]).min(ends[1]), number.max(ends[0]).max(ends[1])),
        _ => Interval::new(number.min(ends[1]), T::MAX),
    }
}

/// The rules of two kernels that share none.
const RULES: [Rules; 2] = [Rules::V6_18, Rules::V6_18.complement()];

/// A number and an abstract value that contains it.
fn value() -> impl Strategy<Value = (u64, Quad)> {
    let shape = (any::<[u8; 4]>(), 0u8..8);
    (
        number(),
        [number(), number(), number(), number()],
        prop_oneof![any::<u64>(), number(), Just(0), Just(u64::MAX)],
        shape,
    )
        .prop_map(|(n, ends, mask, (kinds, constant))| {
            if constant == 0 {
                return (n, Quad::constant(n));
            }
            let mut quad = Quad {
                bits: Tnum { value: n & !mask, mask },
                u64: interval_around(n, [ends[0], ends[1]], kinds[0]),
                s64: interval_around(n as i64, [ends[1] as i64, ends[2] as i64], kinds[1]),
                u32: interval_around(n as u32, [ends[2] as u32, ends[3] as u32], kinds[2]),
                s32: interval_around(n as i32, [ends[3] as i32, ends[0] as i32], kinds[3]),
            };
            quad.sync(Rules::V6_18);
            (n, quad)
        })
}

/// The same with a good chance of a small constant, as shifts need.
fn operand() -> impl Strategy<Value = (u64, Quad)> {
    prop_oneof![3 => value(), 1 => (0u64..64).prop_map(|n| (n, Quad::constant(n)))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn constants_and_unknown_numbers_have_nothing_to_learn((n, _) in value()) {
        for (quad, rules) in [Quad::constant(n), Quad::UNKNOWN].into_iter().flat_map(|q| RULES.map(|r| (q, r))) {
            let mut again = quad;
            again.learn(rules);
            prop_assert_eq!(again, quad);
        }
    }

    #[test]
    fn synchronising_loses_no_number((n, quad) in value()) {
        for rules in RULES {
            let mut again = quad;
            again.sync(rules);
            prop_assert!(again.contains(n), "{n:#x} {quad:x?} {rules:?}");
        }
        prop_assert!(quad.contains(n), "{n:#x} {quad:x?}");
        prop_assert_eq!(quad.check(), Ok(()));
    }

    #[test]
    fn arithmetic_contains_the_machine_result((x, a) in value(), (y, b) in operand()) {
        for (op, rules) in AluOp::ALL.into_iter().flat_map(|op| RULES.map(|rules| (op, rules))) {
            for width in WIDTHS {
                let (AluResult::Value(result) | AluResult::Reset(result)) = a.alu(op, &b, width, rules) else { continue };
                if let Some(n) = concrete(op, x, y, width) {
                    prop_assert!(result.contains(n), "{op:?} {width:?} {x:#x} {y:#x} -> {n:#x}\n{a:x?}\n{b:x?}\n{result:x?}");
                }
            }
        }
    }

    #[test]
    fn a_decided_branch_goes_that_way((x, a) in value(), (y, b) in value()) {
        for cond in CmpOp::ALL {
            for width in WIDTHS {
                if let Some(taken) = a.decide(cond, &b, width) {
                    prop_assert_eq!(taken, holds(cond, x, y, width), "{:?} {:?}", cond, width);
                }
                prop_assert_eq!(a.decide(cond, &b, width), b.decide(flipped(cond), &a, width));
            }
        }
    }

    #[test]
    fn refinement_keeps_the_numbers_that_go_that_way((x, a) in value(), (y, b) in value()) {
        for (cond, rules) in CmpOp::ALL.into_iter().flat_map(|cond| RULES.map(|rules| (cond, rules))) {
            for width in WIDTHS {
                let Branches { taken, not_taken } = a.refine(cond, &b, width, false, rules);
                let [left, right] = if holds(cond, x, y, width) { taken } else { not_taken };
                prop_assert!(left.contains(x) && right.contains(y), "{cond:?} {width:?} {x:#x} {y:#x}\n{a:x?}\n{b:x?}\n{left:x?}\n{right:x?}");
            }
        }
    }

    #[test]
    fn a_register_against_itself((x, a) in value()) {
        for cond in CmpOp::ALL {
            for width in WIDTHS {
                let Branches { taken, not_taken } = a.refine(cond, &a, width, true, Rules::V6_18);
                let [left, right] = if holds(cond, x, x, width) { taken } else { not_taken };
                prop_assert_eq!(left, right);
                prop_assert!(left.contains(x), "{cond:?} {width:?} {x:#x}\n{a:x?}\n{left:x?}");
            }
        }
    }

    #[test]
    fn resizing((x, a) in value()) {
        for size in [Narrow::B1, Narrow::B2, Narrow::B4] {
            let keep = u64::MAX >> (64 - 8 * u32::from(size.bytes()));
            let mut cut = a;
            cut.truncate(size, Rules::V6_18);
            prop_assert!(cut.contains(x & keep), "{size:?} {x:#x} {a:x?} {cut:x?}");
            let shift = 64 - 8 * u32::from(size.bytes());
            let extended = ((x << shift) as i64 >> shift) as u64;
            let mut wide = a;
            wide.sign_extend(size);
            prop_assert!(wide.contains(extended), "{size:?} {x:#x} {a:x?} {wide:x?}");
            if size != Narrow::B4 {
                let mut low = a;
                low.sign_extend_low(size);
                low.zero_extend_low();
                low.sync(Rules::V6_18);
                prop_assert!(low.contains(extended & 0xffff_ffff), "{size:?} {x:#x} {a:x?} {low:x?}");
            }
        }
        for width in WIDTHS {
            let negated = match width {
                Width::W32 => u64::from((x as u32).wrapping_neg()),
                Width::W64 => x.wrapping_neg(),
            };
            prop_assert!(a.neg(width, Rules::V6_18).contains(negated), "{width:?} {x:#x} {a:x?}");
        }
        let mut zero_extended = a;
        zero_extended.zero_extend_low();
        zero_extended.sync(Rules::V6_18);
        prop_assert!(zero_extended.contains(x & 0xffff_ffff));
    }
}
