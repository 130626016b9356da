// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Loops.

use veristable_isa::{AluOp, CmpOp, Op, Operand, Reg, Width};

use super::Builder;
use crate::loader::Loader;
use crate::value::{Range, State, Value};

impl Builder<'_, '_> {
    /// Forgets what a body might change: what is known at its beginning must hold each time.
    ///
    /// Numbers are only numbers; pointers stay where nothing overwrites them.
    pub(super) fn enter_loop(&mut self) -> State {
        self.state.each(|value| match value {
            Value::Scalar(_) => Value::ANY,
            other => other,
        });
        self.state.clone()
    }

    /// Whether there may be one more loop in the program.
    ///
    /// Without CAP_BPF there must be none. Without CAP_PERFMON each way out of a round is followed
    /// as a misprediction too, and that never ends: a kernel spends its million instructions.
    pub(super) fn another_loop(&mut self) -> bool {
        let most = match self.loader {
            Loader { bpf: false, .. } | Loader { perfmon: false, .. } => u32::from(self.slip()),
            _ => 3,
        };
        let more = self.loops < most;
        self.loops += u32::from(more);
        more
    }

    /// A body that leaves what was there as it was: what it changed must not be relied on.
    pub(super) fn loop_body(&mut self, count: usize) {
        let before = self.state.clone();
        self.inner_block(count);
        let after = core::mem::replace(&mut self.state, before);
        self.state.join(&after);
    }

    /// A loop with a counter.
    pub(super) fn counted_loop(&mut self) -> bool {
        if self.depth > 2 || !self.another_loop() {
            return false;
        }
        let Some(counter) = self.saved_dest() else { return false };
        if self.state.reg(counter) == Value::Ctx {
            return false;
        }
        let times = match self.depth {
            _ if !self.loader.perfmon => self.choices.pick([1, 2, 3]),
            0 => self.choices.pick([1, 2, 3, 4, 5, 8, 10, 16, 30]),
            _ => self.choices.pick([1, 2, 3, 4]),
        };
        let down = self.choices.percent(20);
        let start = if down { times } else { 0 };
        self.constant(counter, start.into());
        let pinned = self.pinned;
        self.pin(counter);
        self.enter_loop();
        // Registers that a call loses must not be needed by the next round.
        for reg in [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            if !self.is_pinned(reg) {
                self.state.set(reg, Value::Uninit);
            }
        }
        self.state.set(counter, Value::Scalar(Range::up_to(times.into())));
        let top = self.code.here();
        let count = 1 + self.choices.below(3);
        let frozen = self.freeze();
        self.loop_body(count);
        self.thaw(frozen);
        let width = if self.choices.percent(75) { Width::W64 } else { Width::W32 };
        let step = if down { -1 } else { 1 };
        let step = if self.slip() { self.choices.pick([0, 2, -1]) } else { step };
        self.op(Op::Alu { op: AluOp::Add, width, dst: counter, src: Operand::Imm(step) });
        let (op, bound) = match down {
            true => (CmpOp::Ne, 0),
            false => (self.choices.pick([CmpOp::Lt, CmpOp::Slt, CmpOp::Ne, CmpOp::Lt]), times),
        };
        if !down && self.choices.percent(20) {
            // The bound in a register.
            let bound_reg = self.dest();
            self.constant(bound_reg, bound.into());
            self.code.branch(op, width, counter, Operand::Reg(bound_reg), top);
        } else {
            self.code.branch(op, width, counter, Operand::Imm(bound), top);
        }
        self.pinned = pinned;
        self.state.set(counter, Value::Scalar(Range::up_to(times.into())));
        true
    }

    /// Keeps the callee-saved registers and used stack from being overwritten.
    pub(super) fn freeze(&mut self) -> (u16, u64) {
        let before = (self.pinned, self.reserved);
        for reg in [Reg::R6, Reg::R7, Reg::R8, Reg::R9] {
            let value = self.state.reg(reg);
            if value != Value::Uninit && !value.is_scalar() {
                self.pin(reg);
            }
        }
        for (number, slot) in self.state.stack.iter().enumerate() {
            let value = slot.value;
            if slot.written != 0 && value != Value::Uninit && !value.is_scalar() {
                self.reserved |= 1 << number;
            }
        }
        before
    }

    pub(super) fn thaw(&mut self, (pinned, reserved): (u16, u64)) {
        self.pinned = pinned;
        self.reserved = reserved;
    }

    /// A loop that the kernel ends when its time is up.
    pub(super) fn may_goto_loop(&mut self) -> bool {
        if self.depth > 2 || self.locked || !self.another_loop() {
            return false;
        }
        self.enter_loop();
        for reg in [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            if !self.is_pinned(reg) {
                self.state.set(reg, Value::Uninit);
            }
        }
        let top = self.code.here();
        let end = self.code.label();
        self.code.may_goto(end);
        let before = self.state.clone();
        let frozen = self.freeze();
        let count = 1 + self.choices.below(3);
        self.loop_body(count);
        self.thaw(frozen);
        if self.choices.percent(40) {
            let reg = self.scalar();
            let op = self.choices.pick(CmpOp::ALL);
            let imm = self.imm();
            self.code.branch(op, Width::W64, reg, Operand::Imm(imm), end);
        }
        let long = self.choices.percent(10);
        self.code.goto(top, long);
        self.code.bind(end);
        self.state.join(&before);
        true
    }
}
