// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Packet data.

use veristable_isa::{AluOp, CmpOp, Op, Operand, Reg, Size, Width};
use veristable_kernel::ProgType;

use super::Builder;
use crate::value::{Memory, Range, Region, Value};

impl Builder<'_, '_> {
    /// Whether the program may write to the packet.
    pub(super) fn writes_packet(&self) -> bool {
        matches!(
            self.kind.row.prog_type,
            ProgType::XDP
                | ProgType::SCHED_CLS
                | ProgType::SCHED_ACT
                | ProgType::LWT_XMIT
                | ProgType::SK_SKB
                | ProgType::SK_MSG
        )
    }

    /// Compares a packet pointer with the end and uses what lies before it.
    pub(super) fn packet_access(&mut self) -> bool {
        let Some((data, end)) = self.packet_bounds() else { return false };
        let pinned = self.pinned;
        self.pin(data);
        self.pin(end);
        let limit = self.dest();
        if limit == data || limit == end {
            self.pinned = pinned;
            return false;
        }
        let room = self.choices.pick([1, 2, 4, 8, 14, 20, 34, 40, 54, 64]);
        // What is added may be a number that is only bounded.
        if self.choices.percent(25) && (self.loader.perfmon || self.slip()) {
            self.pin(limit);
            let index = self.bounded(self.choices_mask(), 0);
            self.unpin(limit);
            self.op(Op::Alu {
                op: AluOp::Add,
                width: Width::W64,
                dst: data,
                src: Operand::Reg(index),
            });
            let memory =
                Memory { region: Region::Packet, off: 0, spread: 0, size: 0, null: 0, owner: 0 };
            self.state.set(data, Value::Memory(memory));
        }
        self.mov(limit, data);
        self.add_imm(limit, room);
        self.state.set(limit, Value::Opaque);
        self.pinned = pinned;
        let checked =
            Memory { region: Region::Packet, off: 0, spread: 0, size: room, null: 0, owner: 0 };
        let label = self.code.label();
        // `limit > end`, or the same with the sides exchanged.
        let (op, dst, src) = match self.choices.below(4) {
            0 => (CmpOp::Lt, end, limit),
            1 => (CmpOp::Ge, limit, end),
            2 if self.slip() => (CmpOp::Lt, limit, end),
            _ => (CmpOp::Gt, limit, end),
        };
        self.code.branch(op, Width::W64, dst, Operand::Reg(src), label);
        let other = self.state.clone();
        self.state.set(data, Value::Memory(checked));
        if self.held == 0 && self.choices.percent(50) {
            // The way out is the short one.
            let go = self.code.label();
            self.code.goto(go, false);
            self.code.bind(label);
            let inside = core::mem::replace(&mut self.state, other);
            self.exit();
            self.state = inside;
            self.code.bind(go);
            for _ in 0..1 + self.choices.below(2) {
                self.access_at(data);
            }
        } else {
            self.pin(data);
            for _ in 0..1 + self.choices.below(3) {
                self.access_at(data);
            }
            let count = self.choices.below(2);
            self.inner_block(count);
            self.pinned = pinned;
            self.code.bind(label);
            self.state.join(&other);
        }
        true
    }

    fn choices_mask(&self) -> i64 {
        // Small enough that two of them stay below what a packet pointer may be moved by.
        0x3f
    }

    /// The old loads from a socket buffer.
    pub(super) fn packet_load(&mut self) -> bool {
        let has = matches!(
            self.kind.row.prog_type,
            ProgType::SOCKET_FILTER | ProgType::SCHED_CLS | ProgType::SCHED_ACT
        );
        let free = [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
        if (!has || self.locked || self.held != 0) && !self.slip() {
            return false;
        }
        if free.iter().any(|reg| self.is_pinned(*reg)) {
            return false;
        }
        if self.state.reg(Reg::R6) != Value::Ctx {
            if self.is_pinned(Reg::R6) || !self.context_into(Reg::R6) {
                return false;
            }
            self.state.set(Reg::R6, Value::Ctx);
        }
        let size = self.choices.pick([Size::B, Size::H, Size::W]);
        let off = self.choices.pick([0, 12, 14, 23, 34, -0x10_0000, -0x20_0000 + 4]);
        if self.choices.percent(60) {
            self.op(Op::LoadAbs { size, off });
        } else {
            let src = self.scalar();
            self.op(Op::LoadInd { size, src, off });
        }
        let range = Range::up_to((1 << size.bits()) - 1);
        self.state.call(Value::Scalar(range));
        true
    }
}
