// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What must be given back: records of ring buffers, locks, sockets.

use veristable_isa::Reg;
use veristable_kernel::MapType;

use super::Builder;
use crate::pool::Field;
use crate::value::{Memory, Region, Value, What};

impl Builder<'_, '_> {
    fn calls_possible(&mut self) -> bool {
        self.pinned & 0b11_1111 == 0 && (!self.locked || self.slip())
    }

    /// Reserves a record, fills it and submits it.
    pub(super) fn record(&mut self) -> bool {
        let Some(id) = self.helper_id("ringbuf_reserve") else { return false };
        if !self.calls_possible() {
            return false;
        }
        let Some(map) = self.map_of(&[MapType::RINGBUF]) else { return false };
        let size = self.choices.pick([8, 16, 24, 40]);
        self.load_map(Reg::R1, map);
        self.constant(Reg::R2, size.into());
        let flags = if self.slip() { 1 } else { 0 };
        self.constant(Reg::R3, flags);
        let (null, owner) = (self.fresh(), self.fresh());
        let memory = Memory { region: Region::Record, off: 0, spread: 0, size, null, owner };
        self.call_helper(id, Value::Memory(memory));
        let done = if self.choices.percent(80) { "ringbuf_submit" } else { "ringbuf_discard" };
        let Some(done) = self.helper_id(done) else { return false };
        self.while_held(owner, |this, reg| {
            this.mov(Reg::R1, reg);
            let flags = this.choices.pick([0, 0, 1, 2]);
            this.constant(Reg::R2, flags);
            this.call_helper(done, Value::Uninit);
        });
        true
    }

    /// Saves and tests what R0 holds, goes on with it, and gives it back.
    pub(super) fn while_held(&mut self, owner: u32, release: impl Fn(&mut Self, Reg)) {
        let saved = match self.saved_dest() {
            Some(saved) => {
                self.mov(saved, Reg::R0);
                if self.choices.percent(60) {
                    self.state.set(Reg::R0, Value::Uninit);
                }
                saved
            }
            None => Reg::R0,
        };
        let pinned = self.pinned;
        let test = self.begin_test(saved);
        self.pin(saved);
        self.held += 1;
        for _ in 0..self.choices.below(3) {
            self.use_held(saved);
        }
        if saved != Reg::R0 {
            let count = self.choices.below(3);
            self.inner_block(count);
        }
        self.held -= 1;
        self.pinned = pinned;
        if !self.slip() {
            release(self, saved);
        }
        if self.slip() {
            release(self, saved);
        }
        self.state.released(owner);
        self.end_of_test(test);
        // On the other way the register holds zero.
        self.state.released(owner);
    }

    fn use_held(&mut self, reg: Reg) {
        match self.state.reg(reg) {
            Value::Memory(_) => self.access_at(reg),
            Value::Object { .. } => {
                self.object_walk();
            }
            _ => {}
        }
    }

    /// Looks a socket up.
    pub(super) fn socket_lookup(&mut self) -> bool {
        if !self.calls_possible() {
            return false;
        }
        let name = self.choices.pick(["sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp"]);
        let Some(id) = self.helper_id(name) else { return false };
        let Some(release) = self.helper_id("sk_release") else { return false };
        if !self.context_into(Reg::R1) {
            return false;
        }
        self.pin(Reg::R1);
        let size = self.choices.pick([12, 36]);
        let ready = self.buffer(Reg::R2, size, true);
        self.unpin(Reg::R1);
        if !ready {
            return false;
        }
        self.constant(Reg::R3, size.into());
        self.constant(Reg::R4, -1);
        self.constant(Reg::R5, 0);
        let (null, owner) = (self.fresh(), self.fresh());
        let what = if name == "skc_lookup_tcp" { What::SockCommon } else { What::Socket };
        self.call_helper(id, Value::Object { what, null, owner });
        self.while_held(owner, |this, reg| {
            this.mov(Reg::R1, reg);
            this.call_helper(release, Value::ANY);
        });
        true
    }

    /// A section under a spin lock in a map's value.
    pub(super) fn lock_section(&mut self) -> bool {
        let (Some(lock), Some(unlock)) =
            (self.helper_id("spin_lock"), self.helper_id("spin_unlock"))
        else {
            return false;
        };
        if !self.calls_possible() || self.locked {
            return false;
        }
        let pool = self.pool;
        let is_locked = |map: &usize| {
            pool.maps
                .get(*map)
                .is_some_and(|map| map.has(Field::Lock).is_some() && self.may_use(map))
        };
        let maps: Vec<usize> = (0..pool.maps.len()).filter(is_locked).collect();
        let Some(map) = self.choices.of(&maps) else { return false };
        let Some(off) = pool.maps.get(map).and_then(|map| map.has(Field::Lock)) else {
            return false;
        };
        let (Some(lookup), Some(value)) = (self.helper_id("map_lookup_elem"), self.saved_dest())
        else {
            return false;
        };
        self.load_map(Reg::R1, map);
        if !self.buffer(Reg::R2, 4, true) {
            return false;
        }
        let found = self.found(map);
        self.call_helper(lookup, found);
        self.mov(value, Reg::R0);
        let pinned = self.pinned;
        let test = self.begin_test(value);
        self.pin(value);
        self.lock_call(value, off, lock);
        self.locked = true;
        self.held += 1;
        for _ in 0..1 + self.choices.below(3) {
            self.access_at(value);
        }
        let count = self.choices.below(3);
        self.inner_block(count);
        self.held -= 1;
        self.locked = false;
        if !self.slip() {
            self.lock_call(value, off, unlock);
        }
        self.pinned = pinned;
        self.end_of_test(test);
        true
    }

    pub(super) fn lock_call(&mut self, value: Reg, off: i32, id: i32) {
        self.mov(Reg::R1, value);
        let off = if self.slip() { off + 4 } else { off };
        if off != 0 {
            self.add_imm(Reg::R1, off);
        }
        self.call_helper(id, Value::Uninit);
    }
}
