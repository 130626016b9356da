// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The context.

use veristable_isa::{Op, Operand, Reg, Size};
use veristable_kernel::Direction;

use super::Builder;
use crate::kinds::{Loaded, Place};
use crate::value::{Memory, Region, Value};

const fn size_of(bytes: u8) -> Size {
    match bytes {
        1 => Size::B,
        2 => Size::H,
        4 => Size::W,
        _ => Size::DW,
    }
}

impl Builder<'_, '_> {
    /// A register with the context; one is filled if it is only on the stack.
    pub(super) fn context(&mut self) -> Option<Reg> {
        if let Some(reg) = self.find(|value| value == Value::Ctx) {
            return Some(reg);
        }
        let dst = self.dest();
        (!self.is_pinned(dst) && self.context_into(dst)).then_some(dst)
    }

    fn place(&mut self, direction: Direction, wanted: impl Fn(&Place) -> bool) -> Option<Place> {
        let facts = self.facts;
        let fits = |place: &&Place| place.direction == direction && wanted(place);
        let count = facts.places.iter().filter(fits).count();
        facts.places.iter().filter(fits).nth(self.choices.below(count)).copied()
    }

    /// Loads something from the context.
    pub(super) fn context_load(&mut self) -> bool {
        let Some(base) = self.context() else { return false };
        let place = match self.choices.percent(35) {
            true => self.place(Direction::Read, |place| {
                !matches!(place.value, Loaded::Value(Value::Scalar(_)))
            }),
            false => self.place(Direction::Read, |_| true),
        };
        let Some(place) = place else { return false };
        let dst = if self.choices.percent(40) {
            self.saved_dest().filter(|reg| *reg != base).unwrap_or_else(|| self.dest())
        } else {
            self.dest()
        };
        self.load_place(dst, base, place);
        if self.state.reg(dst).null() != 0 && self.held == 0 && self.choices.percent(70) {
            self.test_or_exit(dst);
        }
        true
    }

    /// Loads a number from the context.
    pub(super) fn scalar_context_load(&mut self, dst: Reg) -> bool {
        let is_number = |place: &Place| matches!(place.value, Loaded::Value(Value::Scalar(_)));
        let Some(place) = self.place(Direction::Read, is_number) else { return false };
        let Some(base) = self.find(|value| value == Value::Ctx) else { return false };
        if self.is_pinned(dst) {
            return false;
        }
        self.load_place(dst, base, place);
        true
    }

    fn load_place(&mut self, dst: Reg, base: Reg, place: Place) {
        let off = if self.slip() {
            place.off.wrapping_add(self.choices.pick([1, 2, 4, 256, -8]))
        } else {
            place.off
        };
        let size = size_of(place.size);
        let sign_extend = size != Size::DW && self.choices.percent(4);
        self.op(Op::Load { size, sign_extend, dst, base, off });
        let packet = |region| {
            Value::Memory(Memory { region, off: 0, spread: 0, size: 0, null: 0, owner: 0 })
        };
        let value = match place.value {
            Loaded::Value(_) if sign_extend => Value::ANY,
            Loaded::Value(value) => value,
            Loaded::Packet => packet(Region::Packet),
            Loaded::PacketMeta => packet(Region::PacketMeta),
            Loaded::Nullable(what) => Value::Object { what, null: self.fresh(), owner: 0 },
        };
        self.state.set(dst, value);
    }

    /// Loads packet data's beginning or end: the registers with both.
    pub(super) fn packet_bounds(&mut self) -> Option<(Reg, Reg)> {
        let data = self.place(Direction::Read, |place| matches!(place.value, Loaded::Packet))?;
        let end = self.place(Direction::Read, |place| {
            matches!(place.value, Loaded::Value(Value::PacketEnd))
        })?;
        let pinned = self.pinned;
        let context = self.context()?;
        self.pin(context);
        let first = self.dest();
        self.pin(first);
        let last = self.dest();
        self.pinned = pinned;
        if first == last || context == first || context == last {
            return None;
        }
        self.load_place(first, context, data);
        self.load_place(last, context, end);
        Some((first, last))
    }

    /// Stores to the context.
    pub(super) fn context_store(&mut self) -> bool {
        let Some(base) = self.context() else { return false };
        let direction = if self.slip() { Direction::Read } else { Direction::Write };
        let Some(place) = self.place(direction, |_| true) else { return false };
        let size = size_of(place.size);
        let value = match self.choices.percent(50) {
            true => Operand::Imm(self.imm()),
            false => {
                let scalar = self.find(|value| value.is_scalar());
                scalar.map_or(Operand::Imm(0), Operand::Reg)
            }
        };
        self.op(Op::Store { size, base, off: place.off, value });
        true
    }
}
