// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Comparisons of abstract values: which way a jump goes, and what each way teaches.

use super::{Int, Interval, Quad, Rules, Tnum};
use veristable_isa::{CmpOp, Width};

/// The condition with its operands exchanged (`flip_opcode`).
#[must_use]
pub const fn flipped(cond: CmpOp) -> CmpOp {
    match cond {
        CmpOp::Eq | CmpOp::Ne | CmpOp::Set => cond,
        CmpOp::Gt => CmpOp::Lt,
        CmpOp::Ge => CmpOp::Le,
        CmpOp::Lt => CmpOp::Gt,
        CmpOp::Le => CmpOp::Ge,
        CmpOp::Sgt => CmpOp::Slt,
        CmpOp::Sge => CmpOp::Sle,
        CmpOp::Slt => CmpOp::Sgt,
        CmpOp::Sle => CmpOp::Sge,
    }
}

/// What holds on one way out of a comparison, after exchanging `>` for `<`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Equal,
    NotEqual,
    BitSet,
    NoBitSet,
    Below,
    AtMost,
    SignedBelow,
    SignedAtMost,
}

/// What both ways out of a comparison teach of its two operands, first operand first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Branches {
    /// Where the condition holds.
    pub taken: [Quad; 2],
    /// Where it does not.
    pub not_taken: [Quad; 2],
}

impl Quad {
    /// Whether `self cond other` is certain, and which way (`is_scalar_branch_taken`).
    #[must_use]
    pub fn decide(&self, cond: CmpOp, other: &Self, width: Width) -> Option<bool> {
        match cond {
            CmpOp::Eq => self.decide_equal(other, width),
            CmpOp::Ne => self.decide_equal(other, width).map(|equal| !equal),
            CmpOp::Set => self.decide_set(other, width),
            CmpOp::Gt | CmpOp::Ge | CmpOp::Lt | CmpOp::Le => match width {
                Width::W64 => decide_order(cond, &self.u64, &other.u64),
                Width::W32 => decide_order(cond, &self.u32, &other.u32),
            },
            CmpOp::Sgt => self.decide_signed(CmpOp::Gt, other, width),
            CmpOp::Sge => self.decide_signed(CmpOp::Ge, other, width),
            CmpOp::Slt => self.decide_signed(CmpOp::Lt, other, width),
            CmpOp::Sle => self.decide_signed(CmpOp::Le, other, width),
        }
    }

    fn decide_signed(&self, cond: CmpOp, other: &Self, width: Width) -> Option<bool> {
        match width {
            Width::W64 => decide_order(cond, &self.s64, &other.s64),
            Width::W32 => decide_order(cond, &self.s32, &other.s32),
        }
    }

    fn decide_equal(&self, other: &Self, width: Width) -> Option<bool> {
        let (a, b) = (self.bits_of(width), other.bits_of(width));
        if a.is_const() && b.is_const() {
            return Some(a.value == b.value);
        }
        let low_apart = self.u32.is_apart_from(&other.u32) || self.s32.is_apart_from(&other.s32);
        let wide_apart =
            || self.u64.is_apart_from(&other.u64) || self.s64.is_apart_from(&other.s64);
        let apart = match width {
            Width::W32 => low_apart,
            Width::W64 => wide_apart() || low_apart,
        };
        (!a.overlaps(b) || apart).then_some(false)
    }

    fn decide_set(&self, other: &Self, width: Width) -> Option<bool> {
        let (mut number, mut constant) = (self.bits_of(width), other.bits_of(width));
        if !constant.is_const() {
            core::mem::swap(&mut number, &mut constant);
        }
        if !constant.is_const() {
            return None;
        }
        if number.value & !number.mask & constant.value != 0 {
            Some(true)
        } else if number.max() & constant.value == 0 {
            Some(false)
        } else {
            None
        }
    }

    fn bits_of(&self, width: Width) -> Tnum {
        match width {
            Width::W32 => self.bits.subreg(),
            Width::W64 => self.bits,
        }
    }

    fn const_of(&self, width: Width) -> Option<u64> {
        match width {
            Width::W32 => self.as_const32().map(u64::from),
            Width::W64 => self.as_const(),
        }
    }

    /// What each way out of `self cond other` teaches (`regs_refine_cond_op` and the
    /// synchronisation after it). `same`: both operands are one register, and whatever is learnt
    /// of one counts for the other while it is being learnt.
    #[must_use]
    pub fn refine(
        &self,
        cond: CmpOp,
        other: &Self,
        width: Width,
        same: bool,
        rules: Rules,
    ) -> Branches {
        let learn = |holds: Holds, swap: bool| {
            let mut pair = [*self, *other];
            let (first, second) = match (same, swap) {
                (true, _) => (0, 0),
                (false, false) => (0, 1),
                (false, true) => (1, 0),
            };
            narrow(&mut pair, first, second, holds, width);
            if same {
                let [only, _] = &mut pair;
                only.sync(rules);
                only.sync(rules);
                [*only, *only]
            } else {
                pair.iter_mut().for_each(|value| value.sync(rules));
                pair
            }
        };
        // The way where the condition fails is the opposite condition.
        let (when_taken, when_not) = match cond {
            CmpOp::Eq => ((Holds::Equal, false), (Holds::NotEqual, false)),
            CmpOp::Ne => ((Holds::NotEqual, false), (Holds::Equal, false)),
            CmpOp::Set => ((Holds::BitSet, false), (Holds::NoBitSet, false)),
            CmpOp::Lt => ((Holds::Below, false), (Holds::AtMost, true)),
            CmpOp::Le => ((Holds::AtMost, false), (Holds::Below, true)),
            CmpOp::Gt => ((Holds::Below, true), (Holds::AtMost, false)),
            CmpOp::Ge => ((Holds::AtMost, true), (Holds::Below, false)),
            CmpOp::Slt => ((Holds::SignedBelow, false), (Holds::SignedAtMost, true)),
            CmpOp::Sle => ((Holds::SignedAtMost, false), (Holds::SignedBelow, true)),
            CmpOp::Sgt => ((Holds::SignedBelow, true), (Holds::SignedAtMost, false)),
            CmpOp::Sge => ((Holds::SignedAtMost, true), (Holds::SignedBelow, false)),
        };
        Branches {
            taken: learn(when_taken.0, when_taken.1),
            not_taken: learn(when_not.0, when_not.1),
        }
    }
}

fn decide_order<T: Int>(cond: CmpOp, a: &Interval<T>, b: &Interval<T>) -> Option<bool> {
    // The kernel tries the certain answer first: for contradictory ranges that matters.
    let (yes, no) = match cond {
        CmpOp::Gt => (a.min > b.max, a.max <= b.min),
        CmpOp::Ge => (a.min >= b.max, a.max < b.min),
        CmpOp::Lt => (a.max < b.min, a.min >= b.max),
        _ => (a.max <= b.min, a.min > b.max),
    };
    if yes {
        Some(true)
    } else if no {
        Some(false)
    } else {
        None
    }
}

/// Takes the sum of two references into one array that may be the same element: reads go through
/// copies, in the kernel's order of assignments.
fn narrow(pair: &mut [Quad; 2], first: usize, second: usize, holds: Holds, width: Width) {
    match holds {
        Holds::Equal => equal(pair, first, second, width),
        Holds::NotEqual | Holds::BitSet | Holds::NoBitSet => {
            let constant_of = |i: usize| pair.get(i).and_then(|q: &Quad| q.const_of(width));
            let (subject, constant) = match (constant_of(second), constant_of(first)) {
                (Some(constant), _) => (first, constant),
                (None, Some(constant)) => (second, constant),
                (None, None) => return,
            };
            if let Some(value) = pair.get_mut(subject) {
                against_constant(value, constant, holds, width);
            }
        }
        Holds::Below | Holds::AtMost => {
            let strict = holds == Holds::Below;
            match width {
                Width::W32 => order(pair, first, second, strict, |q| &mut q.u32),
                Width::W64 => order(pair, first, second, strict, |q| &mut q.u64),
            }
        }
        Holds::SignedBelow | Holds::SignedAtMost => {
            let strict = holds == Holds::SignedBelow;
            match width {
                Width::W32 => order(pair, first, second, strict, |q| &mut q.s32),
                Width::W64 => order(pair, first, second, strict, |q| &mut q.s64),
            }
        }
    }
}

fn equal(pair: &mut [Quad; 2], first: usize, second: usize, width: Width) {
    let (Some(mut a), Some(mut b)) = (pair.get(first).copied(), pair.get(second).copied()) else {
        return;
    };
    match width {
        Width::W32 => {
            a.u32.narrow(b.u32);
            a.s32.narrow(b.s32);
            (b.u32, b.s32) = (a.u32, a.s32);
            let low = a.bits.subreg().intersect(b.bits.subreg());
            a.bits = a.bits.with_subreg(low);
            b.bits = b.bits.with_subreg(low);
        }
        Width::W64 => {
            a.u64.narrow(b.u64);
            a.s64.narrow(b.s64);
            (b.u64, b.s64) = (a.u64, a.s64);
            a.bits = a.bits.intersect(b.bits);
            b.bits = a.bits;
        }
    }
    for (index, value) in [(first, a), (second, b)] {
        if let Some(place) = pair.get_mut(index) {
            *place = value;
        }
    }
}

fn order<T: Int>(
    pair: &mut [Quad; 2],
    first: usize,
    second: usize,
    strict: bool,
    range: impl Fn(&mut Quad) -> &mut Interval<T>,
) {
    let Some(limit) = pair.get_mut(second).map(|q| range(q).max) else { return };
    let Some(start) = pair.get_mut(first).map(|q| {
        let a = range(q);
        a.max = a.max.min(if strict { limit.previous() } else { limit });
        a.min
    }) else {
        return;
    };
    if let Some(q) = pair.get_mut(second) {
        let b = range(q);
        b.min = b.min.max(if strict { start.next() } else { start });
    }
}

fn against_constant(subject: &mut Quad, constant: u64, holds: Holds, width: Width) {
    match (holds, width) {
        (Holds::NotEqual, Width::W32) => {
            exclude_end(&mut subject.u32, constant as u32);
            exclude_end(&mut subject.s32, constant as i32);
        }
        (Holds::NotEqual, Width::W64) => {
            exclude_end(&mut subject.u64, constant);
            exclude_end(&mut subject.s64, constant as i64);
        }
        (Holds::BitSet, _) => {
            // Only of a single bit is it known that it is that one.
            if constant.is_power_of_two() {
                let bit = Tnum::constant(constant);
                subject.bits = match width {
                    Width::W32 => subject.bits.with_subreg(subject.bits.subreg().or(bit)),
                    Width::W64 => subject.bits.or(bit),
                };
            }
        }
        (_, _) => {
            subject.forget_ranges();
            let others = Tnum::constant(!constant);
            subject.bits = match width {
                Width::W32 => subject.bits.with_subreg(subject.bits.subreg().and(others)),
                Width::W64 => subject.bits.and(others),
            };
        }
    }
}

fn exclude_end<T: Int>(range: &mut Interval<T>, number: T) {
    if range.min == number {
        range.min = range.min.next();
    }
    if range.max == number {
        range.max = range.max.previous();
    }
}
