// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The function's own stack: spills, fills and bytes.

use veristable_isa::{AluOp, Op, Operand, Reg, Size, Width};

use super::Builder;
use crate::value::{Range, State, Value};

/// Stack that is used by choice; the kernel gives a function 512 bytes.
const USUAL: i32 = 16;

impl Builder<'_, '_> {
    /// The offset of a slot that may be written.
    fn free_slot(&mut self) -> i32 {
        for _ in 0..8 {
            let slot = match self.choices.percent(95) {
                true => self.choices.below(USUAL as usize),
                false => self.choices.below(64),
            };
            if self.reserved & 1 << slot == 0 {
                return -8 - 8 * slot as i32;
            }
        }
        -8 * (USUAL + 1)
    }

    /// Bytes of stack that may be written, beginning at a slot; the offset of the lowest.
    pub(super) fn free_bytes(&mut self, size: i32) -> i32 {
        let slots = (size + 7) / 8;
        for _ in 0..8 {
            let lowest = self.choices.below(USUAL as usize) as i32 + slots;
            let mut taken = (lowest - slots..lowest)
                .map(|slot| self.reserved & 1_u64.wrapping_shl(slot as u32));
            if lowest <= 60 && taken.all(|bit| bit == 0) {
                return -8 * lowest;
            }
        }
        -8 * (USUAL + slots + 8)
    }

    /// Keeps bytes of stack from being overwritten; gives back what to put into `reserved` later.
    pub(super) fn reserve(&mut self, off: i32, size: i32) -> u64 {
        let before = self.reserved;
        for at in (off..off + size).step_by(8) {
            if let Some((slot, _)) = State::place(at) {
                self.reserved |= 1 << slot;
            }
        }
        before
    }

    /// Stores a register with eight bytes.
    pub(super) fn store_register(&mut self, off: i32, src: Reg) {
        self.op(Op::Store {
            size: Size::DW,
            base: Reg::R10,
            off: off as i16,
            value: Operand::Reg(src),
        });
        self.state.write(off, 8, self.state.reg(src));
    }

    /// Loads a slot.
    pub(super) fn load_slot(&mut self, dst: Reg, slot: usize) {
        let off = -8 - 8 * slot as i16;
        self.op(Op::Load { size: Size::DW, sign_extend: false, dst, base: Reg::R10, off });
        let value = self.state.stack.get(slot).map_or(Value::Uninit, |slot| slot.value);
        self.state.set(dst, value);
    }

    /// Saves a register, or loads a saved one.
    pub(super) fn spill_or_fill(&mut self) -> bool {
        if self.choices.percent(50) {
            let Some(src) = self.find(|value| value != Value::Uninit) else { return false };
            let off = self.free_slot();
            if self.choices.percent(75) {
                self.store_register(off, src);
                return true;
            }
            // Part of a register; of a pointer only for those who may leak it.
            let size = self.choices.pick([Size::B, Size::H, Size::W]);
            let off =
                off + size.bytes() as i32 * self.choices.below(8 / size.bytes() as usize) as i32;
            let is_number = self.state.reg(src).is_scalar();
            if !is_number && !self.slip() {
                return false;
            }
            self.op(Op::Store { size, base: Reg::R10, off: off as i16, value: Operand::Reg(src) });
            self.state.write(off, size.bytes() as i32, Value::ANY);
            return true;
        }
        self.fill()
    }

    /// Loads a slot that was stored, in whole or in part.
    fn fill(&mut self) -> bool {
        let used = |slot: &usize| {
            self.state.stack.get(*slot).is_some_and(|slot| slot.written != 0)
                && self.reserved & 1 << slot == 0
        };
        let used: Vec<usize> = (0..60).filter(used).collect();
        let Some(slot) = self.choices.of(&used) else { return false };
        let Some(content) = self.state.stack.get(slot).copied() else { return false };
        let dst = self.dest();
        if content.written == 0xff && (self.choices.percent(75) || !content.value.is_scalar()) {
            if content.value == Value::Uninit {
                return false;
            }
            self.load_slot(dst, slot);
            return true;
        }
        let size = self.choices.pick([Size::B, Size::H, Size::W]);
        let bytes = size.bytes() as i32;
        let off = -8 - 8 * slot as i32 + bytes * self.choices.below(8 / bytes as usize) as i32;
        if !self.state.is_written(off, bytes) && !self.slip() {
            return false;
        }
        let sign_extend = self.choices.percent(20);
        self.op(Op::Load { size, sign_extend, dst, base: Reg::R10, off: off as i16 });
        let range = match sign_extend {
            true => Range { min: -(1 << (8 * bytes - 1)), max: (1 << (8 * bytes - 1)) - 1 },
            false => Range::up_to((1 << (8 * bytes)) - 1),
        };
        self.state.set(dst, Value::Scalar(range));
        true
    }

    /// Stores constants.
    pub(super) fn stack_bytes(&mut self) -> bool {
        let size = self.choices.pick([Size::B, Size::H, Size::W, Size::DW, Size::DW]);
        let bytes = size.bytes() as i32;
        let mut off = self.free_slot() + bytes * self.choices.below(8 / bytes as usize) as i32;
        if self.slip() {
            off = self.choices.pick([-520, 0, 8, -511, off - 1]);
        }
        let imm = self.imm();
        self.op(Op::Store { size, base: Reg::R10, off: off as i16, value: Operand::Imm(imm) });
        self.state.write(off, bytes, Value::Scalar(Range::of(imm.into())));
        true
    }

    /// Writes zeroes or numbers to bytes of stack, so that a callee may read them.
    pub(super) fn initialise(&mut self, off: i32, size: i32) {
        let number = self.find(|value| value.is_scalar());
        let mut at = off;
        while at < off + size {
            let left = off + size - at;
            let width = match left {
                8.. => Size::DW,
                4.. => Size::W,
                2.. => Size::H,
                _ => Size::B,
            };
            let bytes = width.bytes() as i32;
            if !self.state.is_written(at, bytes) || self.choices.percent(20) {
                let value = match number {
                    Some(reg) if self.choices.percent(30) => Operand::Reg(reg),
                    _ => Operand::Imm(self.choices.pick([0, 0, 0, 1, 3])),
                };
                if !self.slip() {
                    self.op(Op::Store { size: width, base: Reg::R10, off: at as i16, value });
                    let held = match value {
                        Operand::Imm(imm) => Value::Scalar(Range::of(imm.into())),
                        Operand::Reg(reg) => self.state.reg(reg),
                    };
                    self.state.write(at, bytes, held);
                }
            }
            at += bytes;
        }
    }

    /// A number times a size, in a register of its own.
    fn scaled(&mut self, index: Reg, bytes: i32) -> Reg {
        let dst = self.dest();
        if dst != index {
            self.mov(dst, index);
        }
        let (op, imm) = match self.choices.percent(70) {
            true => (AluOp::Lsh, bytes.trailing_zeros() as i32),
            false => (AluOp::Mul, bytes),
        };
        self.op(Op::Alu { op, width: Width::W64, dst, src: Operand::Imm(imm) });
        self.state.set(dst, Value::ANY);
        dst
    }

    /// A load or store at an offset that is not known.
    pub(super) fn stack_at_variable(&mut self) -> bool {
        // Mispredicted, the offset would be anything (`bypass_spec_v1`).
        if !self.loader.perfmon && !self.slip() {
            return false;
        }
        let size = self.choices.pick([Size::B, Size::B, Size::H, Size::W, Size::DW]);
        let bytes = size.bytes() as i32;
        let span = self.choices.pick([8, 16, 16, 32]);
        let low = self.free_bytes(span);
        self.initialise(low, span);
        let before = self.reserve(low, span);
        // Aligned, unless the rule is broken.
        let aligned = bytes > 1 && !self.slip();
        let most = if aligned { span / bytes - 1 } else { span - bytes };
        let index = self.bounded(most.into(), 0);
        let pinned = self.pinned;
        let index = if aligned { self.scaled(index, bytes) } else { index };
        self.pin(index);
        let base = self.dest();
        self.pinned = pinned;
        self.reserved = before;
        if base == index {
            return false;
        }
        self.frame_pointer(base, low);
        self.op(Op::Alu { op: AluOp::Add, width: Width::W64, dst: base, src: Operand::Reg(index) });
        self.state.set(base, Value::Opaque);
        if self.choices.percent(60) {
            self.pin(base);
            let dst = self.dest();
            self.pinned = pinned;
            let sign_extend = bytes < 8 && self.choices.percent(15);
            self.op(Op::Load { size, sign_extend, dst, base, off: 0 });
            self.state.set(dst, Value::ANY);
        } else {
            let number = self.find(|value| value.is_scalar());
            let value = match number {
                Some(reg) if self.choices.percent(50) => Operand::Reg(reg),
                _ => Operand::Imm(self.imm()),
            };
            self.op(Op::Store { size, base, off: 0, value });
            for at in (low..low + span).step_by(8) {
                if let Some((slot, _)) = State::place(at)
                    && let Some(slot) = self.state.stack.get_mut(slot)
                {
                    slot.value = Value::ANY;
                }
            }
        }
        true
    }
}
