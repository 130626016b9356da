// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Functions of the program: static, global, and those that helpers call back.

use veristable_isa::Reg;

use super::Builder;
use crate::pool::Param;
use crate::value::{Memory, Range, Region, State, Value};

/// What a function is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Main,
    Static,
    Global,
    Callback,
    /// Called back while a lock is held.
    Locked,
    /// Called back; a scene has its body.
    Written,
}

/// A function to be built.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    label: crate::code::Label,
    form: Form,
    btf: u32,
    /// What registers 1 to 5 hold.
    arguments: [Value; 5],
}

impl Builder<'_, '_> {
    /// Builds a function that was called.
    pub(super) fn function(&mut self, number: usize) {
        let Some(pending) = self.pending.get(number).copied() else { return };
        self.code.bind(pending.label);
        self.starts.push((self.code.len(), pending.btf));
        self.form = pending.form;
        self.state = State::new();
        self.pinned = 0;
        self.reserved = 0;
        self.dynptrs.clear();
        self.held = 0;
        self.locked = pending.form == Form::Locked;
        self.depth = 1;
        self.in_rcu = false;
        self.sleepable =
            self.is_sleepable && !matches!(pending.form, Form::Callback | Form::Written);
        if pending.form == Form::Written {
            return self.written_body(pending.label);
        }
        for (reg, value) in Reg::ALL.into_iter().skip(1).zip(pending.arguments) {
            self.state.set(reg, value);
        }
        // Arguments are lost with the first call.
        for _ in 0..1 + self.choices.below(2) {
            let Some(dst) = self.saved_dest() else { break };
            let argument = |value: Value| value != Value::Uninit;
            if let Some(src) = self.find(argument).filter(|reg| reg.number() < 6)
                && self.state.reg(dst) == Value::Uninit
            {
                self.mov(dst, src);
            }
        }
        let usable = |value: Value| matches!(value, Value::Memory(memory) if memory.null != 0);
        if let Some(reg) = self.find(usable) {
            self.test_or_exit(reg);
        }
        self.budget = self.budget.max(self.code.len() + 12);
        let count = 1 + self.choices.below(5);
        self.block(count);
        self.exit();
    }

    pub(super) fn pend(
        &mut self,
        form: Form,
        btf: u32,
        arguments: [Value; 5],
    ) -> crate::code::Label {
        let label = self.code.label();
        self.pending.push(Pending { label, form, btf, arguments });
        label
    }

    fn arguments_free(&self) -> bool {
        ![Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5]
            .iter()
            .any(|reg| self.is_pinned(*reg))
    }

    /// Functions that can still be made: more would make programs large and call chains deep.
    fn room(&self) -> bool {
        self.loader.bpf && self.pending.len() < 4 && self.arguments_free() && !self.locked
    }

    /// What a function of its own sees of a value that the caller passes.
    fn passed(value: Value) -> Value {
        match value {
            Value::Frame(_) | Value::Uninit => Value::Opaque,
            Value::Object { .. } | Value::Memory(_) if value.owner() != 0 => Value::Opaque,
            other => other,
        }
    }

    /// Calls a function of the program.
    pub(super) fn static_call(&mut self) -> bool {
        let forbidden =
            |this: &mut Self| this.slip() && this.arguments_free() && this.pending.len() < 4;
        if !self.room() && !forbidden(self) {
            return false;
        }
        let statics = &self.pool.statics;
        let unused: Vec<u32> =
            statics.iter().filter(|id| !self.used.contains(id)).copied().collect();
        let Some(btf) = self.choices.of(&unused) else { return false };
        self.used.push(btf);
        let mut arguments = [Value::Uninit; 5];
        let count = 1 + self.choices.below(3);
        for (reg, place) in Reg::ALL.into_iter().skip(1).zip(&mut arguments).take(count) {
            match self.choices.below(4) {
                0 => {
                    let size = self.choices.pick([8, 16, 24]);
                    let off = self.free_bytes(size);
                    self.initialise(off, size);
                    self.frame_pointer(reg, off);
                    let memory = Memory {
                        region: Region::Plain,
                        off: 0,
                        spread: 0,
                        size,
                        null: 0,
                        owner: 0,
                    };
                    *place = Value::Memory(memory);
                }
                1 if self.context_into(reg) => *place = Value::Ctx,
                _ => {
                    let found = self.find(|value| !matches!(value, Value::Uninit));
                    if let Some(src) = found {
                        self.mov(reg, src);
                    } else {
                        let imm = self.imm();
                        self.constant(reg, imm.into());
                    }
                    *place = Self::passed(self.state.reg(reg));
                }
            }
            self.pin(reg);
        }
        for reg in [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            self.unpin(reg);
        }
        let label = self.pend(Form::Static, btf, arguments);
        self.code.call(label);
        self.state.call(Value::ANY);
        // The callee may have written to what it was given.
        true
    }

    /// Calls a global function of the program, which is verified on its own.
    pub(super) fn global_call(&mut self) -> bool {
        if !self.room() || !self.typed || (self.held != 0 && !self.slip()) {
            return false;
        }
        let pool = self.pool;
        let context = self.kind.context;
        let usable = |global: &&crate::pool::Global| {
            !self.used.contains(&global.id)
                && (global.ctx.is_none() || global.ctx.as_deref() == context)
        };
        let usable: Vec<_> = pool.globals.iter().filter(usable).collect();
        let Some(global) = self.choices.of(&usable) else { return false };
        let mut arguments = [Value::Uninit; 5];
        for ((reg, param), place) in
            Reg::ALL.into_iter().skip(1).zip(&global.params).zip(&mut arguments)
        {
            let Some(value) = self.global_argument(reg, *param) else {
                self.pinned &= !0b11_1110;
                return false;
            };
            *place = value;
            self.pin(reg);
        }
        self.pinned &= !0b11_1110;
        self.used.push(global.id);
        let label = self.pend(Form::Global, global.id, arguments);
        self.code.call(label);
        self.state.call(Value::ANY);
        self.state.packet_changed();
        true
    }

    /// Puts an argument of a global function into its register; what the function makes of it.
    fn global_argument(&mut self, reg: Reg, param: Param) -> Option<Value> {
        let memory = |size, null| {
            Value::Memory(Memory { region: Region::Plain, off: 0, spread: 0, size, null, owner: 0 })
        };
        Some(match param {
            Param::Scalar => {
                let src = self.scalar();
                self.mov(reg, src);
                Value::ANY
            }
            Param::Ctx => {
                if !self.context_into(reg) {
                    return None;
                }
                Value::Ctx
            }
            Param::Memory(size) => {
                if self.choices.percent(20) {
                    self.constant(reg, 0);
                } else if !self.buffer(reg, size, true) {
                    return None;
                }
                memory(size, self.fresh())
            }
            Param::SolidMemory(size) => {
                if !self.buffer(reg, size, true) {
                    return None;
                }
                memory(size, 0)
            }
            Param::Dynptr => {
                let off = self.choices.of(&self.dynptrs)?;
                self.frame_pointer(reg, off);
                Value::Opaque
            }
            Param::Arena | Param::Task => return None,
        })
    }

    /// A callback that the program does not have yet.
    pub(super) fn unused_callback(&self) -> Option<u32> {
        self.pool.callbacks.iter().find(|id| !self.used.contains(id)).copied()
    }

    /// Loads the address of a function that a helper calls back.
    pub(super) fn callback(&mut self, reg: Reg, helper: &str, map: Option<usize>) -> bool {
        if !self.typed || self.pending.len() >= 4 {
            return false;
        }
        let Some(btf) = self.unused_callback() else { return false };
        let context = Value::Opaque;
        let value = |this: &Self| {
            let map = map?;
            let size = this.map_sizes(map).1;
            let memory = Memory {
                region: Region::MapValue(map),
                off: 0,
                spread: 0,
                size,
                null: 0,
                owner: 0,
            };
            Some(Value::Memory(memory))
        };
        let key = |this: &Self| {
            let map = map?;
            let size = this.map_sizes(map).0;
            let memory =
                Memory { region: Region::ReadOnly, off: 0, spread: 0, size, null: 0, owner: 0 };
            Some(Value::Memory(memory))
        };
        let opaque = Value::Opaque;
        let none = Value::Uninit;
        let arguments = match helper {
            "loop" => [Value::Scalar(Range::up_to(1 << 23)), context, none, none, none],
            "for_each_map_elem" => {
                let (Some(key), Some(value)) = (key(self), value(self)) else { return false };
                [opaque, key, value, context, none]
            }
            "timer_set_callback" | "wq_set_callback" => {
                let (Some(key), Some(value)) = (key(self), value(self)) else { return false };
                [opaque, key, value, none, none]
            }
            _ => [opaque, context, none, none, none],
        };
        self.used.push(btf);
        let label = self.pend(Form::Callback, btf, arguments);
        self.code.func(reg, label);
        self.state.set(reg, Value::Opaque);
        true
    }
}
