// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Objects of the program's own, and the lists and trees that hold them.

use veristable_isa::Reg;

use super::Builder;
use super::functions::Form;
use crate::pool::Field;
use crate::value::{Memory, Region, Value};

impl Builder<'_, '_> {
    /// Makes an object, uses it and gives it away.
    pub(super) fn own_object(&mut self) -> bool {
        let (Some(new), Some(drop)) =
            (self.kfunc("bpf_obj_new_impl"), self.kfunc("bpf_obj_drop_impl"))
        else {
            return false;
        };
        if !self.typed || self.locked || self.pinned & 0b11_1111 != 0 {
            return false;
        }
        let node = self.pool.node;
        self.constant(Reg::R1, node.id.into());
        self.constant(Reg::R2, 0);
        let (null, owner) = (self.fresh(), self.fresh());
        let region = Region::Own(node.id);
        let size = node.size;
        self.call_kfunc(
            new,
            Value::Memory(Memory { region, off: 0, spread: 0, size, null, owner }),
        );
        let how = self.choices.below(5);
        self.while_held(owner, |this, reg| {
            let given = match how {
                0 => this.push(reg, false),
                1 => this.push(reg, true),
                2 => this.keep(reg),
                3 => {
                    this.share(reg, drop);
                    false
                }
                _ => false,
            };
            if !given {
                this.mov(Reg::R1, reg);
                this.constant(Reg::R2, 0);
                this.call_kfunc(drop, Value::Uninit);
            }
        });
        true
    }

    /// One more reference to an object, given back at once.
    fn share(&mut self, object: Reg, drop: u32) {
        let Some(acquire) = self.kfunc("bpf_refcount_acquire_impl") else { return };
        self.mov(Reg::R1, object);
        self.constant(Reg::R2, 0);
        let (null, owner) = (self.fresh(), self.fresh());
        let node = self.pool.node;
        let region = Region::Own(node.id);
        let memory = Memory { region, off: 0, spread: 0, size: node.size, null, owner };
        self.call_kfunc(acquire, Value::Memory(memory));
        let test = self.begin_test(Reg::R0);
        self.mov(Reg::R1, Reg::R0);
        self.constant(Reg::R2, 0);
        self.call_kfunc(drop, Value::Uninit);
        self.end_of_test(test);
    }

    /// Looks a value with a lock up; the register with it, and the offset of a field.
    fn holder(&mut self, field: Field, pinned: Reg) -> Option<(Reg, i32, i32)> {
        // Arithmetic to where a field is goes out of range (`sanitize_check_bounds`).
        if !self.loader.perfmon && !self.slip() {
            return None;
        }
        let pool = self.pool;
        let fits = |map: &usize| {
            pool.maps.get(*map).is_some_and(|map| map.has(field).is_some() && self.may_use(map))
        };
        let maps: Vec<usize> = (0..pool.maps.len()).filter(fits).collect();
        let map = self.choices.of(&maps)?;
        let off = pool.maps.get(map)?.has(field)?;
        let lock = pool.maps.get(map)?.has(Field::Lock).unwrap_or(0);
        let lookup = self.helper_id("map_lookup_elem")?;
        let before = self.pinned;
        self.pin(pinned);
        let value = self.saved_dest();
        self.pinned = before;
        let value = value?;
        self.load_map(Reg::R1, map);
        let off_key = self.free_bytes(4);
        self.initialise(off_key, 4);
        self.frame_pointer(Reg::R2, off_key);
        let found = self.found(map);
        self.call_helper(lookup, found);
        self.mov(value, Reg::R0);
        Some((value, lock, off))
    }

    /// Puts an object into a list or a tree; true if the code gives it away on every way.
    fn push(&mut self, object: Reg, tree: bool) -> bool {
        let node = self.pool.node;
        let (field, name, at) = match tree {
            true => (Field::Tree, "bpf_rbtree_add_impl", node.tree),
            false => (Field::List, "bpf_list_push_front_impl", node.list),
        };
        let (Some(add), Some(drop)) = (self.kfunc(name), self.kfunc("bpf_obj_drop_impl")) else {
            return false;
        };
        let (Some(lock), Some(unlock)) =
            (self.helper_id("spin_lock"), self.helper_id("spin_unlock"))
        else {
            return false;
        };
        if tree && !self.has_callback() {
            return false;
        }
        let Some((value, lock_off, off)) = self.holder(field, object) else { return false };
        let (none, end) = (self.code.label(), self.code.label());
        let zero = veristable_isa::Operand::Imm(0);
        let equal = veristable_isa::CmpOp::Eq;
        self.code.branch(equal, veristable_isa::Width::W64, value, zero, none);
        self.lock_call(value, lock_off, lock);
        self.mov(Reg::R1, value);
        self.add_imm(Reg::R1, off);
        self.mov(Reg::R2, object);
        self.add_imm(Reg::R2, at);
        if tree {
            self.pending_callback(Reg::R3, [Value::Opaque, Value::Opaque]);
            self.constant(Reg::R4, 0);
            self.constant(Reg::R5, 0);
        } else {
            self.constant(Reg::R3, 0);
            self.constant(Reg::R4, 0);
        }
        self.call_kfunc(add, Value::ANY);
        self.lock_call(value, lock_off, unlock);
        self.code.goto(end, false);
        self.code.bind(none);
        self.mov(Reg::R1, object);
        self.constant(Reg::R2, 0);
        self.call_kfunc(drop, Value::Uninit);
        self.code.bind(end);
        self.state.set(value, Value::Uninit);
        true
    }

    /// Lets a map keep an object; what it kept before is dropped.
    fn keep(&mut self, object: Reg) -> bool {
        let (Some(exchange), Some(drop)) =
            (self.helper_id("kptr_xchg"), self.kfunc("bpf_obj_drop_impl"))
        else {
            return false;
        };
        let Some((value, _, off)) = self.holder(Field::NodePointer, object) else { return false };
        let (none, end) = (self.code.label(), self.code.label());
        let zero = veristable_isa::Operand::Imm(0);
        let equal = veristable_isa::CmpOp::Eq;
        self.code.branch(equal, veristable_isa::Width::W64, value, zero, none);
        self.mov(Reg::R1, value);
        self.add_imm(Reg::R1, off);
        self.mov(Reg::R2, object);
        self.call_helper(exchange, Value::Opaque);
        self.code.branch(equal, veristable_isa::Width::W64, Reg::R0, zero, end);
        self.mov(object, Reg::R0);
        self.code.bind(none);
        self.mov(Reg::R1, object);
        self.constant(Reg::R2, 0);
        self.call_kfunc(drop, Value::Uninit);
        self.code.bind(end);
        self.state.set(value, Value::Uninit);
        self.state.set(Reg::R0, Value::Uninit);
        true
    }

    /// Takes something out of a list or a tree.
    pub(super) fn pop(&mut self) -> bool {
        let Some(drop) = self.kfunc("bpf_obj_drop_impl") else { return false };
        let (Some(lock), Some(unlock)) =
            (self.helper_id("spin_lock"), self.helper_id("spin_unlock"))
        else {
            return false;
        };
        if self.locked || self.held != 0 || self.pinned & 0b11_1111 != 0 {
            return false;
        }
        let node = self.pool.node;
        let tree = self.choices.percent(40);
        let (field, at) = if tree { (Field::Tree, node.tree) } else { (Field::List, node.list) };
        let names = ["bpf_list_pop_front", "bpf_list_pop_back"];
        let name = if tree { "bpf_rbtree_first" } else { self.choices.pick(names) };
        let Some(take) = self.kfunc(name) else { return false };
        let Some((value, lock_off, off)) = self.holder(field, Reg::R10) else { return false };
        let pinned = self.pinned;
        self.pin(value);
        let object = self.saved_dest();
        self.pinned = pinned;
        let Some(object) = object else { return false };
        let (end, unlocked) = (self.code.label(), self.code.label());
        let zero = veristable_isa::Operand::Imm(0);
        let equal = veristable_isa::CmpOp::Eq;
        self.code.branch(equal, veristable_isa::Width::W64, value, zero, end);
        self.lock_call(value, lock_off, lock);
        self.mov(Reg::R1, value);
        self.add_imm(Reg::R1, off);
        self.call_kfunc(take, Value::Opaque);
        self.mov(object, Reg::R0);
        if let Some(remove) = self.kfunc("bpf_rbtree_remove").filter(|_| tree) {
            self.code.branch(equal, veristable_isa::Width::W64, object, zero, unlocked);
            self.mov(Reg::R1, value);
            self.add_imm(Reg::R1, off);
            self.mov(Reg::R2, object);
            self.call_kfunc(remove, Value::Opaque);
            self.mov(object, Reg::R0);
            self.code.bind(unlocked);
        }
        self.lock_call(value, lock_off, unlock);
        if !self.slip() {
            self.code.branch(equal, veristable_isa::Width::W64, object, zero, end);
        }
        self.mov(Reg::R1, object);
        if !self.slip() {
            self.add_imm(Reg::R1, -at);
        }
        self.constant(Reg::R2, 0);
        self.call_kfunc(drop, Value::Uninit);
        self.code.bind(end);
        for reg in [value, object, Reg::R0] {
            self.state.set(reg, Value::Uninit);
        }
        true
    }

    fn has_callback(&self) -> bool {
        self.typed && self.unused_callback().is_some()
    }

    /// The address of a callback that runs under a lock.
    fn pending_callback(&mut self, reg: Reg, [first, second]: [Value; 2]) {
        let Some(btf) = self.unused_callback() else { return };
        self.used.push(btf);
        let none = Value::Uninit;
        let label = self.pend(Form::Locked, btf, [first, second, none, none, none]);
        self.code.func(reg, label);
        self.state.set(reg, Value::Opaque);
    }
}
