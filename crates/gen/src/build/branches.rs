// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Conditions.

use veristable_isa::{CmpOp, Operand, Reg, Width};

use super::Builder;
use crate::value::{Range, State, Value};

impl Builder<'_, '_> {
    /// A condition with one or two blocks, or an early end.
    pub(super) fn branch(&mut self) -> bool {
        let dst = if self.slip() {
            Reg::new(self.choices.below(11) as u8)
        } else if self.choices.percent(10) {
            let perfmon = self.loader.perfmon;
            let comparable = |value: Value| match value {
                Value::Uninit => false,
                Value::Scalar(_) => true,
                // Comparing addresses tells something of them.
                _ => perfmon || value.null() != 0,
            };
            match self.find(comparable) {
                Some(reg) => reg,
                None => self.scalar(),
            }
        } else {
            self.scalar()
        };
        let is_number = self.state.reg(dst).is_scalar();
        let width = match is_number && self.choices.percent(40) {
            true => Width::W32,
            false => Width::W64,
        };
        let op = match is_number {
            true => self.choices.pick(CmpOp::ALL),
            false => self.choices.pick([CmpOp::Eq, CmpOp::Ne]),
        };
        let src = if !is_number {
            Operand::Imm(0)
        } else if self.choices.percent(60) {
            Operand::Imm(self.imm())
        } else {
            Operand::Reg(self.scalar())
        };
        let other = self.code.label();
        self.code.branch(op, width, dst, src, other);
        let mut taken = self.state.clone();
        self.learn(&mut taken, op, width, dst, src);
        if let Some(negated) = negated(op) {
            let mut state = self.state.clone();
            self.learn(&mut state, negated, width, dst, src);
            self.state = state;
        }
        match self.choices.below(10) {
            // The path ends here; only the other goes on.
            0 | 1 if self.held == 0 => {
                let count = self.choices.below(3);
                self.inner_block(count);
                self.exit();
                self.code.bind(other);
                self.state = taken;
            }
            2..=5 => {
                let count = 1 + self.choices.below(3);
                self.inner_block(count);
                self.code.bind(other);
                self.state.join(&taken);
            }
            _ => {
                let count = 1 + self.choices.below(3);
                self.inner_block(count);
                let end = self.code.label();
                let long = self.choices.percent(15);
                self.code.goto(end, long);
                self.code.bind(other);
                let first = core::mem::replace(&mut self.state, taken);
                let count = 1 + self.choices.below(3);
                self.inner_block(count);
                self.code.bind(end);
                self.state.join(&first);
            }
        }
        true
    }

    /// Narrows what is known on the way where the condition holds.
    fn learn(&self, state: &mut State, op: CmpOp, width: Width, dst: Reg, src: Operand) {
        let Operand::Imm(imm) = src else { return };
        match state.reg(dst) {
            Value::Scalar(range) => {
                // Narrow comparisons say something of numbers that have no more than 31 bits.
                let narrow = range.min >= 0 && range.max <= i32::MAX.into();
                if width == Width::W64 || (narrow && imm >= 0) {
                    state.set(dst, Value::Scalar(narrowed(range, op, imm.into())));
                }
            }
            value if imm == 0 && value.null() != 0 && width == Width::W64 => match op {
                CmpOp::Eq => state.null_checked(value.null(), true),
                CmpOp::Ne => state.null_checked(value.null(), false),
                _ => {}
            },
            _ => {}
        }
    }

    /// Tests a pointer that may be NULL, and goes on where it is not; what comes until
    /// [`Builder::end_of_test`] is only for that way.
    pub(super) fn begin_test(&mut self, reg: Reg) -> NullTest {
        let label = self.code.label();
        let null = self.state.reg(reg).null();
        let mut other = self.state.clone();
        other.null_checked(null, true);
        if !self.slip() {
            self.code.branch(CmpOp::Eq, Width::W64, reg, Operand::Imm(0), label);
        }
        self.state.null_checked(null, false);
        NullTest { label, other }
    }

    /// The ways come together.
    pub(super) fn end_of_test(&mut self, test: NullTest) {
        self.code.bind(test.label);
        self.state.join(&test.other);
    }

    /// Tests a pointer that may be NULL and ends the program if it is.
    pub(super) fn test_or_exit(&mut self, reg: Reg) {
        let label = self.code.label();
        let null = self.state.reg(reg).null();
        if self.slip() {
            self.state.null_checked(null, false);
            return;
        }
        let after = self.state.clone();
        self.code.branch(CmpOp::Ne, Width::W64, reg, Operand::Imm(0), label);
        self.state.null_checked(null, true);
        self.exit();
        self.code.bind(label);
        self.state = after;
        self.state.null_checked(null, false);
    }
}

/// The way where a tested pointer is NULL.
pub(super) struct NullTest {
    label: crate::code::Label,
    other: State,
}

const fn negated(op: CmpOp) -> Option<CmpOp> {
    Some(match op {
        CmpOp::Eq => CmpOp::Ne,
        CmpOp::Ne => CmpOp::Eq,
        CmpOp::Gt => CmpOp::Le,
        CmpOp::Le => CmpOp::Gt,
        CmpOp::Ge => CmpOp::Lt,
        CmpOp::Lt => CmpOp::Ge,
        CmpOp::Sgt => CmpOp::Sle,
        CmpOp::Sle => CmpOp::Sgt,
        CmpOp::Sge => CmpOp::Slt,
        CmpOp::Slt => CmpOp::Sge,
        CmpOp::Set => return None,
    })
}

fn narrowed(range: Range, op: CmpOp, imm: i64) -> Range {
    let Range { min, max } = range;
    let fits = |min: i64, max: i64| if min <= max { Range { min, max } } else { range };
    match op {
        CmpOp::Eq => Range::of(imm),
        CmpOp::Sgt => fits(min.max(imm.saturating_add(1)), max),
        CmpOp::Sge => fits(min.max(imm), max),
        CmpOp::Slt => fits(min, max.min(imm.saturating_sub(1))),
        CmpOp::Sle => fits(min, max.min(imm)),
        CmpOp::Lt if imm > 0 => fits(min.max(0), if min >= 0 { max.min(imm - 1) } else { imm - 1 }),
        CmpOp::Le if imm >= 0 => fits(min.max(0), if min >= 0 { max.min(imm) } else { imm }),
        CmpOp::Gt if imm >= 0 && min >= 0 => fits(min.max(imm.saturating_add(1)), max),
        CmpOp::Ge if imm >= 0 && min >= 0 => fits(min.max(imm), max),
        _ => range,
    }
}
