// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Numbers: constants and arithmetic.

use veristable_isa::{AluOp, CmpOp, Op, Operand, Reg, Size, Swap, SwapBits, Width};

use super::Builder;
use crate::value::{Range, Value};

/// Numbers at which something changes.
const EDGES: [i64; 16] = [
    0,
    1,
    -1,
    2,
    7,
    8,
    0x7f,
    0x80,
    0xff,
    0xffff,
    i32::MAX as i64,
    i32::MIN as i64,
    u32::MAX as i64,
    1 << 32,
    i64::MAX,
    i64::MIN,
];

/// The greatest number of 32 bits.
const U32: i64 = u32::MAX as i64;

impl Builder<'_, '_> {
    /// A constant of 32 bits that is worth trying.
    pub(super) fn imm(&mut self) -> i32 {
        match self.choices.below(10) {
            0..=3 => self.choices.within(0, 17),
            4 => -self.choices.within(1, 9),
            5 => (1_i64 << self.choices.below(32)) as i32,
            6 => ((1_i64 << self.choices.below(32)) - 1) as i32,
            7 | 8 => self.choices.pick(EDGES) as i32,
            _ => self.choices.any() as i32,
        }
    }

    fn wide(&mut self) -> i64 {
        match self.choices.below(5) {
            0 => self.choices.pick(EDGES),
            1 => self.choices.any().cast_signed(),
            2 => (1_u64 << self.choices.below(64)).cast_signed(),
            _ => self.imm().into(),
        }
    }

    /// A new number in a register.
    pub(super) fn number(&mut self) -> bool {
        let dst = self.dest();
        if self.choices.percent(35) && self.unknown_number(dst) {
            return true;
        }
        let value = self.wide();
        self.constant(dst, value);
        true
    }

    /// A number that no verifier knows: from a helper, the context or memory.
    pub(super) fn unknown_number(&mut self, dst: Reg) -> bool {
        if self.choices.percent(50) && self.scalar_context_load(dst) {
            return true;
        }
        let names = ["get_prandom_u32", "ktime_get_ns", "get_smp_processor_id", "jiffies64"];
        let name = self.choices.pick(names);
        let Some(id) = self.helper_id(name).filter(|_| !self.locked) else { return false };
        if self.is_pinned(Reg::R0) {
            return false;
        }
        let arguments = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
        if arguments.iter().any(|reg| self.is_pinned(*reg)) {
            return false;
        }
        self.call_helper(id, Value::ANY);
        if dst != Reg::R0 && !self.is_pinned(dst) {
            self.mov(dst, Reg::R0);
        }
        true
    }

    /// A register with a number.
    pub(super) fn scalar(&mut self) -> Reg {
        if let Some(reg) = self.find(|value| value.is_scalar()) {
            return reg;
        }
        let dst = self.dest();
        let value = self.wide();
        self.constant(dst, value);
        dst
    }

    /// Puts a number from 0 to `max` into a register that may be changed: an unknown one if there
    /// is any.
    pub(super) fn bounded(&mut self, max: i64, low: i64) -> Reg {
        let fits = |value: Value| {
            matches!(value, Value::Scalar(range) if range.min >= low && range.max <= max
                && range.known().is_none())
        };
        if let Some(reg) = self.find(fits) {
            return reg;
        }
        let dst = self.dest();
        let from =
            self.find(|value| matches!(value, Value::Scalar(range) if range.known().is_none()));
        match from {
            Some(src) if src != dst => self.mov(dst, src),
            Some(_) => {}
            None => {
                if !self.unknown_number(dst) || !self.state.reg(dst).is_scalar() {
                    let value = self.choices.within(low as i32, max as i32);
                    self.constant(dst, value.into());
                    return dst;
                }
            }
        }
        self.limit(dst, low, max);
        dst
    }

    /// Makes the number in a register lie between two bounds, or forgets to.
    fn limit(&mut self, dst: Reg, low: i64, max: i64) {
        let max32 = i32::try_from(max).unwrap_or(i32::MAX);
        let w = if self.choices.percent(70) { Width::W64 } else { Width::W32 };
        let alu = |op, imm| Op::Alu { op, width: w, dst, src: Operand::Imm(imm) };
        if self.slip() {
            self.op(alu(AluOp::And, max32.saturating_mul(2).saturating_add(1)));
        } else if self.choices.percent(50) {
            // The largest mask below the bound, and what is missing at the other end.
            let span = max - low + 1;
            let mask = (1_i64 << (63 - span.max(1).leading_zeros())) - 1;
            self.op(alu(AluOp::And, mask as i32));
            if low != 0 {
                self.add_imm(dst, low as i32);
            }
        } else if low == 0 && max > 0 && self.choices.percent(40) {
            // What is left of so many bits.
            let bits = 63 - (max + 1).leading_zeros();
            let width = Width::W64;
            let imm = 64 - bits as i32;
            self.op(Op::Alu { op: AluOp::Rsh, width, dst, src: Operand::Imm(imm.min(63)) });
            if bits == 0 {
                self.op(alu(AluOp::And, 0));
            }
        } else {
            // Tests, and a number for the case that it is outside.
            let other = self.code.label();
            let end = self.code.label();
            let signed = low < 0 || self.choices.percent(30);
            let (above, below) =
                if signed { (CmpOp::Sgt, CmpOp::Slt) } else { (CmpOp::Gt, CmpOp::Lt) };
            self.code.branch(above, Width::W64, dst, Operand::Imm(max32), other);
            if low != 0 || signed {
                self.code.branch(below, Width::W64, dst, Operand::Imm(low as i32), other);
            }
            self.code.goto(end, false);
            self.code.bind(other);
            let value = self.choices.within(low as i32, max32);
            self.constant(dst, value.into());
            self.code.bind(end);
        }
        self.state.set(dst, Value::Scalar(Range { min: low, max }));
    }

    /// One operation on numbers.
    pub(super) fn arithmetic(&mut self) -> bool {
        let dst = self.scalar();
        if self.is_pinned(dst) {
            let copy = self.dest();
            self.mov(copy, dst);
            return true;
        }
        let range = match self.state.reg(dst) {
            Value::Scalar(range) => range,
            _ => Range::ANY,
        };
        let width = if self.choices.percent(60) { Width::W64 } else { Width::W32 };
        match self.choices.below(12) {
            0 => self.op(Op::Neg { width, dst }),
            1 => {
                let kinds = [Swap::ToLe, Swap::ToBe, Swap::Bswap];
                let kind = self.choices.pick(kinds);
                let bits = self.choices.pick([SwapBits::B16, SwapBits::B32, SwapBits::B64]);
                self.op(Op::Swap { kind, bits, dst });
                let range = match bits {
                    SwapBits::B16 => Range::up_to(0xffff),
                    SwapBits::B32 => Range::up_to(U32),
                    SwapBits::B64 => Range::ANY,
                };
                self.state.set(dst, Value::Scalar(range));
                return true;
            }
            2 => {
                let from = match width {
                    Width::W64 => self.choices.pick([Size::B, Size::H, Size::W]),
                    Width::W32 => self.choices.pick([Size::B, Size::H]),
                };
                let src = self.scalar();
                self.op(Op::MovSx { width, from, dst, src });
            }
            _ => return self.binary(dst, width, range),
        }
        self.state.set(dst, Value::Scalar(any_of(width)));
        true
    }

    fn binary(&mut self, dst: Reg, width: Width, range: Range) -> bool {
        let op = self.choices.pick(AluOp::ALL);
        let src = if self.choices.percent(55) {
            Operand::Imm(self.right_imm(op, width))
        } else if self.slip() {
            Operand::Reg(Reg::new(self.choices.below(11) as u8))
        } else {
            Operand::Reg(self.scalar())
        };
        let right = match src {
            Operand::Imm(imm) => Range::of(imm.into()),
            Operand::Reg(reg) => match self.state.reg(reg) {
                Value::Scalar(range) => range,
                _ => Range::ANY,
            },
        };
        self.op(Op::Alu { op, width, dst, src });
        self.state.set(dst, Value::Scalar(result(op, width, range, right)));
        true
    }

    /// A right operand that the operation takes.
    fn right_imm(&mut self, op: AluOp, width: Width) -> i32 {
        let imm = match op {
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => {
                let bits = width.bits() as usize;
                if self.slip() { bits as i32 } else { self.choices.below(bits) as i32 }
            }
            _ => self.imm(),
        };
        let divides = matches!(op, AluOp::Div | AluOp::Mod | AluOp::Sdiv | AluOp::Smod);
        if divides && imm == 0 && !self.slip() { 1 } else { imm }
    }
}

const fn any_of(width: Width) -> Range {
    match width {
        Width::W32 => Range::up_to(U32),
        Width::W64 => Range::ANY,
    }
}

/// What an operation gives, where that is easily said.
fn result(op: AluOp, width: Width, left: Range, right: Range) -> Range {
    let any = any_of(width);
    let cut = |range: Range| match width {
        Width::W32 if range.min < 0 || range.max > U32 => any,
        _ => range,
    };
    let known = right.known();
    let limited = match (op, known) {
        (AluOp::Mov, _) => Some(right),
        (AluOp::And, Some(mask)) if mask >= 0 => Some(Range::up_to(mask)),
        (AluOp::Rsh, Some(shift @ 1..64)) => match width {
            Width::W64 => Some(Range::up_to(((u64::MAX) >> shift) as i64)),
            Width::W32 => Some(Range::up_to(U32 >> shift)),
        },
        (AluOp::Add, _) => {
            let min = left.min.checked_add(right.min);
            min.zip(left.max.checked_add(right.max)).map(|(min, max)| Range { min, max })
        }
        (AluOp::Sub, _) => {
            let min = left.min.checked_sub(right.max);
            min.zip(left.max.checked_sub(right.min)).map(|(min, max)| Range { min, max })
        }
        _ => None,
    };
    limited.map_or(any, cut)
}
