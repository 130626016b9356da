// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Calls of kernel functions, by their prototypes in the kernel's BTF.

use veristable_btf::{Kind as TypeKind, Type, TypeId};
use veristable_isa::{CallKind, CmpOp, Imm64, Op, Operand, Reg, Width};
use veristable_kernel::{KfuncFlags, MapType};

use super::Builder;
use crate::kinds::KnownKfunc;
use crate::pool::Field;
use crate::value::{Memory, Range, Region, Value, What};

/// What a parameter wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Want {
    Number,
    /// A constant.
    Constant,
    /// The number of bytes behind the pointer before it.
    Size,
    Ignored,
    /// Memory of so many bytes; 0: of as many as the next argument says.
    Memory(u32),
    Context,
    Dynptr,
    /// A kernel structure.
    Object(u32),
    Map,
    String,
    Field(Field),
    /// What statements of their own provide.
    Apart,
}

/// A parameter.
#[derive(Clone, Copy, Debug)]
struct Param {
    want: Want,
    nullable: bool,
}

/// Kfuncs that statements of their own call.
const APART: [&str; 23] = [
    "bpf_rcu_read_lock",
    "bpf_rcu_read_unlock",
    "bpf_preempt_disable",
    "bpf_preempt_enable",
    "bpf_local_irq_save",
    "bpf_local_irq_restore",
    "bpf_obj_new_impl",
    "bpf_obj_drop_impl",
    "bpf_percpu_obj_new_impl",
    "bpf_percpu_obj_drop_impl",
    "bpf_refcount_acquire_impl",
    "bpf_list_push_front_impl",
    "bpf_list_push_back_impl",
    "bpf_list_pop_front",
    "bpf_list_pop_back",
    "bpf_rbtree_add_impl",
    "bpf_rbtree_remove",
    "bpf_rbtree_first",
    "bpf_throw",
    "__bpf_trap",
    "bpf_res_spin_lock",
    "bpf_res_spin_unlock",
    "bpf_wq_set_callback_impl",
];

impl<'k> Builder<'_, 'k> {
    /// A kfunc by its name, if the program has it.
    pub(super) fn kfunc(&self, name: &str) -> Option<u32> {
        self.facts.kfuncs.iter().find(|kfunc| kfunc.name == name).map(|kfunc| kfunc.id)
    }

    pub(super) fn call_kfunc(&mut self, id: u32, result: Value) {
        self.op(Op::Call(CallKind::Kfunc { btf_id: id.cast_signed(), fd_idx: 0 }));
        self.state.call(result);
    }

    /// Calls some kfunc that the program has.
    pub(super) fn any_kfunc(&mut self) -> bool {
        if self.locked || self.pinned & 0b11_1111 != 0 {
            return false;
        }
        let facts = self.facts;
        for _ in 0..6 {
            let Some(kfunc) = facts.kfuncs.get(self.choices.below(facts.kfuncs.len())) else {
                return false;
            };
            let apart = APART.contains(&kfunc.name)
                || kfunc.name.starts_with("bpf_xdp_metadata")
                || kfunc.flags.intersects(
                    KfuncFlags::ITER_NEW
                        | KfuncFlags::ITER_NEXT
                        | KfuncFlags::ITER_DESTROY
                        | KfuncFlags::RELEASE,
                );
            let unprotected = kfunc.flags.contains(KfuncFlags::RCU_PROTECTED) && !self.in_rcu;
            let sleeps = kfunc.flags.contains(KfuncFlags::SLEEPABLE) && !self.sleepable;
            if (apart || sleeps || unprotected || kfunc.flags.contains(KfuncFlags::DESTRUCTIVE))
                && !self.slip()
            {
                continue;
            }
            if self.kfunc_call(kfunc) {
                return true;
            }
        }
        false
    }

    fn kfunc_call(&mut self, kfunc: &KnownKfunc<'k>) -> bool {
        let Some((params, result)) = self.prototype(kfunc.id) else { return false };
        let registers = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
        let pinned = self.pinned;
        let mut size = 0;
        for (number, (reg, param)) in registers.iter().zip(&params).enumerate() {
            let next = params.get(number + 1).map(|param| param.want);
            if !self.kfunc_argument(*reg, *param, next, &mut size, kfunc.name) {
                self.pinned = pinned;
                return false;
            }
            self.pin(*reg);
        }
        self.pinned = pinned;
        let null = if kfunc.flags.contains(KfuncFlags::RET_NULL) { self.fresh() } else { 0 };
        let owner = if kfunc.flags.contains(KfuncFlags::ACQUIRE) { self.fresh() } else { 0 };
        let value = match result {
            Want::Number => Value::ANY,
            Want::Object(id) => Value::Object { what: What::Kernel(id, true), null, owner },
            Want::Memory(0) => Value::Memory(Memory {
                region: Region::ReadOnly,
                off: 0,
                spread: 0,
                size,
                null,
                owner,
            }),
            Want::Memory(bytes) => Value::Memory(Memory {
                region: Region::ReadOnly,
                off: 0,
                spread: 0,
                size: bytes as i32,
                null,
                owner,
            }),
            Want::Ignored => Value::Uninit,
            _ => Value::Opaque,
        };
        self.call_kfunc(kfunc.id, value);
        if owner != 0 {
            let release = match result {
                Want::Object(id) => self.release_of(id),
                _ => None,
            };
            self.while_held(owner, |this, reg| {
                this.mov(Reg::R1, reg);
                if let Some(release) = release {
                    this.call_kfunc(release, Value::Uninit);
                }
            });
        } else {
            self.after_call();
        }
        true
    }

    /// A kfunc that gives back a reference to a structure.
    fn release_of(&self, id: u32) -> Option<u32> {
        let releases = |kfunc: &&KnownKfunc<'_>| {
            kfunc.flags.contains(KfuncFlags::RELEASE)
                && self.prototype(kfunc.id).is_some_and(|(params, _)| {
                    params.first().is_some_and(|param| param.want == Want::Object(id))
                })
        };
        self.facts.kfuncs.iter().find(releases).map(|kfunc| kfunc.id)
    }

    /// Parameters and result of a kfunc.
    fn prototype(&self, id: u32) -> Option<(Vec<Param>, Want)> {
        let btf = self.kernel.btf(None).ok()??;
        let func = btf.type_by_id(TypeId(id)).ok()?;
        let proto = btf.type_by_id(func.target()?).ok()?.as_func_proto()?;
        let mut params = Vec::new();
        for param in proto.params.iter() {
            let ty = btf.skip_modifiers(param.type_id).ok()?;
            let name = param.name();
            let has = |suffix: &str| name.contains(suffix);
            let want = if has("__ign") {
                Want::Ignored
            } else if has("__sz") {
                Want::Size
            } else if has("__k") && ty.kind() != TypeKind::Ptr {
                Want::Constant
            } else if has("__str") {
                Want::String
            } else if has("__map") {
                Want::Map
            } else if has("__prog") {
                Want::Ignored
            } else {
                self.want(ty)?
            };
            let nullable = ["__nullable", "__opt"].iter().any(|suffix| has(suffix));
            params.push(Param { want, nullable });
        }
        let result = match proto.returns {
            TypeId::VOID => Want::Ignored,
            returns => self.want(btf.skip_modifiers(returns).ok()?)?,
        };
        Some((params, result))
    }

    fn want(&self, ty: Type<'_>) -> Option<Want> {
        if ty.kind() != TypeKind::Ptr {
            return Some(Want::Number);
        }
        let btf = ty.btf();
        let target = ty.target()?;
        if target == TypeId::VOID {
            return Some(Want::Memory(0));
        }
        let pointee = btf.skip_modifiers(target).ok()?;
        if !pointee.kind().is_composite() {
            return Some(Want::Memory(pointee.size().unwrap_or(0)));
        }
        let name = pointee.name();
        Some(match name {
            "bpf_dynptr" => Want::Dynptr,
            "bpf_wq" => Want::Field(Field::Workqueue),
            "bpf_timer" => Want::Field(Field::Timer),
            "bpf_list_head" => Want::Field(Field::List),
            "bpf_rb_root" => Want::Field(Field::Tree),
            "bpf_res_spin_lock" => Want::Field(Field::ResLock),
            "bpf_task_work" => Want::Field(Field::TaskWork),
            "bpf_list_node" | "bpf_rb_node" | "bpf_refcount" => Want::Apart,
            "bpf_map" => Want::Map,
            _ if name.starts_with("bpf_iter_") => Want::Apart,
            _ if self.is_context(name) => Want::Context,
            // Structures of numbers are memory to kfuncs.
            _ if pointee.size().is_some_and(|size| size <= 64) && self.is_plain(&pointee) => {
                Want::Memory(pointee.size().unwrap_or(0))
            }
            _ => Want::Object(pointee.id().0),
        })
    }

    fn is_context(&self, name: &str) -> bool {
        self.kind.context == Some(name)
            || matches!(
                (name, self.kind.context),
                ("xdp_md" | "xdp_buff", Some("xdp_md"))
                    | ("__sk_buff" | "sk_buff", Some("__sk_buff"))
            )
    }

    fn is_plain(&self, ty: &Type<'_>) -> bool {
        let is_number = |id: TypeId| {
            let ty = ty.btf().skip_modifiers(id);
            ty.is_ok_and(|ty| matches!(ty.kind(), TypeKind::Int | TypeKind::Enum | TypeKind::Array))
        };
        !ty.members().is_empty() && ty.members().iter().all(|member| is_number(member.type_id))
    }

    fn kfunc_argument(
        &mut self,
        reg: Reg,
        param: Param,
        next: Option<Want>,
        size: &mut i32,
        kfunc: &str,
    ) -> bool {
        if self.slip() {
            return self.anything(reg);
        }
        if kfunc == "bpf_rdonly_cast" && param.want == Want::Constant {
            let Ok(Some(btf)) = self.kernel.btf(None) else { return false };
            let name = self.choices.pick(["task_struct", "sk_buff", "file"]);
            let id = btf.find_by_name(name, TypeKind::Struct).map_or(0, |id| id.0);
            self.constant(reg, id.into());
            return true;
        }
        if param.nullable && self.choices.percent(40) {
            self.constant(reg, 0);
            return true;
        }
        match param.want {
            Want::Number => self.number_into(reg),
            Want::Constant => {
                let value = self.choices.pick([0, 1, 4, 8]);
                self.constant(reg, value);
                true
            }
            Want::Ignored => {
                self.constant(reg, 0);
                true
            }
            Want::Size => self.size_into(reg, 1, (*size).max(1)),
            Want::Memory(0) if next == Some(Want::Size) => {
                *size = self.choices.pick([4, 8, 16, 20]);
                self.buffer(reg, *size, true)
            }
            Want::Memory(0) => self.number_into(reg),
            Want::Memory(bytes) => {
                let bytes = bytes as i32;
                *size = if next == Some(Want::Size) {
                    bytes * self.choices.within(1, 8)
                } else {
                    bytes
                };
                self.buffer(reg, *size, true)
            }
            Want::Context => self.context_into(reg),
            Want::Dynptr => {
                let Some(off) = self.choices.of(&self.dynptrs) else { return false };
                self.frame_pointer(reg, off);
                true
            }
            Want::Object(id) => self.kernel_object_into(reg, id),
            Want::Map => {
                let types = [MapType::ARRAY, MapType::ARENA, MapType::HASH];
                let Some(map) = self.map_of(&types) else { return false };
                self.load_map(reg, map);
                true
            }
            Want::String => self.string_into(reg),
            Want::Field(field) => self.field_pointer(reg, field),
            Want::Apart => false,
        }
    }

    /// A pointer to a kernel structure that some register has.
    fn kernel_object_into(&mut self, reg: Reg, id: u32) -> bool {
        let fits = |value: Value| matches!(value, Value::Object { what: What::Kernel(known, _), null: 0, .. } if known == id);
        if let Some(src) = self.find(fits) {
            self.mov(reg, src);
            return true;
        }
        let Ok(Some(btf)) = self.kernel.btf(None) else { return false };
        let is_task = btf.type_by_id(TypeId(id)).is_ok_and(|ty| ty.name() == "task_struct");
        let Some(helper) = self.helper_id("get_current_task_btf").filter(|_| is_task) else {
            return false;
        };
        if self.pinned & 0b11_1111 != 0 {
            return false;
        }
        let what = What::Kernel(id, true);
        self.call_helper(helper, Value::Object { what, null: 0, owner: 0 });
        self.mov(reg, Reg::R0);
        true
    }

    /// A section between two kfuncs without arguments.
    pub(super) fn kfunc_section(&mut self) -> bool {
        let names = [
            ("bpf_rcu_read_lock", "bpf_rcu_read_unlock"),
            ("bpf_rcu_read_lock", "bpf_rcu_read_unlock"),
            ("bpf_preempt_disable", "bpf_preempt_enable"),
            ("bpf_local_irq_save", "bpf_local_irq_restore"),
        ];
        let (enter, leave) = self.choices.pick(names);
        let (Some(enter_id), Some(leave_id)) = (self.kfunc(enter), self.kfunc(leave)) else {
            return false;
        };
        let rcu = enter == "bpf_rcu_read_lock";
        if self.locked || self.pinned & 0b11_1111 != 0 || (rcu && self.in_rcu && !self.slip()) {
            return false;
        }
        let flags = (enter == "bpf_local_irq_save").then(|| self.free_bytes(8));
        if let Some(off) = flags {
            self.frame_pointer(Reg::R1, off);
        }
        self.call_kfunc(enter_id, Value::Uninit);
        let before = flags.map(|off| {
            self.state.write(off, 8, Value::Uninit);
            self.reserve(off, 8)
        });
        let sleepable = core::mem::replace(&mut self.sleepable, false);
        let in_rcu = self.in_rcu;
        self.in_rcu |= rcu;
        self.held += 1;
        let count = 1 + self.choices.below(3);
        self.inner_block(count);
        self.held -= 1;
        self.in_rcu = in_rcu;
        self.sleepable = sleepable;
        if let Some(before) = before {
            self.reserved = before;
        }
        if self.slip() {
            return true;
        }
        if let Some(off) = flags {
            self.frame_pointer(Reg::R1, off);
        }
        self.call_kfunc(leave_id, Value::Uninit);
        true
    }

    /// A loop over what an iterator gives.
    pub(super) fn iterator_loop(&mut self) -> bool {
        let possible = self.depth <= 2 && !self.locked && self.pinned & 0b11_1111 == 0;
        if !possible || !self.another_loop() {
            return false;
        }
        let facts = self.facts;
        let (sleepable, in_rcu) = (self.sleepable, self.in_rcu);
        let is_new = |kfunc: &&KnownKfunc<'_>| {
            let flags = kfunc.flags;
            flags.contains(KfuncFlags::ITER_NEW)
                && (sleepable || !flags.contains(KfuncFlags::SLEEPABLE))
                && (in_rcu || !flags.contains(KfuncFlags::RCU_PROTECTED))
        };
        let all: Vec<_> = facts.kfuncs.iter().filter(is_new).collect();
        let num = all.iter().find(|kfunc| kfunc.name == "bpf_iter_num_new").copied();
        let new = match num {
            Some(num) if self.choices.percent(65) => Some(num),
            _ => self.choices.of(&all),
        };
        let Some(new) = new else { return false };
        let Some(name) = new.name.strip_suffix("_new") else { return false };
        let next = self.facts.kfuncs.iter().find(|k| k.name.strip_suffix("_next") == Some(name));
        let destroy = self.kfunc(&format!("{name}_destroy"));
        let (Some(next), Some(destroy)) = (next, destroy) else { return false };
        let Some(bytes) = self.struct_size(name) else { return false };
        let off = self.free_bytes(bytes);
        if !self.begin_iterator(new.id, off) {
            return false;
        }
        let before = self.reserve(off, bytes);
        for at in (off..off + bytes).step_by(8) {
            self.state.write(at, 8, Value::Uninit);
        }
        self.held += 1;
        self.enter_loop();
        let top = self.code.here();
        let end = self.code.label();
        self.frame_pointer(Reg::R1, off);
        let (_, result) = self.prototype(next.id).unwrap_or((Vec::new(), Want::Number));
        let null = self.fresh();
        let value = match result {
            Want::Object(id) => Value::Object { what: What::Kernel(id, true), null, owner: 0 },
            Want::Memory(size) => Value::Memory(Memory {
                region: Region::ReadOnly,
                off: 0,
                spread: 0,
                size: size as i32,
                null,
                owner: 0,
            }),
            _ => Value::Opaque,
        };
        self.call_kfunc(next.id, value);
        self.code.branch(CmpOp::Eq, Width::W64, Reg::R0, Operand::Imm(0), end);
        let after = self.state.clone();
        self.state.null_checked(null, false);
        if matches!(value, Value::Memory(_)) && self.choices.percent(70) {
            self.access_at(Reg::R0);
        }
        let frozen = self.freeze();
        let count = 1 + self.choices.below(3);
        self.loop_body(count);
        self.thaw(frozen);
        self.code.goto(top, false);
        self.code.bind(end);
        self.state = after;
        self.state.set(Reg::R0, Value::Scalar(Range::of(0)));
        self.held -= 1;
        self.reserved = before;
        if !self.slip() {
            self.frame_pointer(Reg::R1, off);
            self.call_kfunc(destroy, Value::Uninit);
        }
        true
    }

    /// Sets an iterator on the stack up.
    fn begin_iterator(&mut self, id: u32, off: i32) -> bool {
        let Some((params, _)) = self.prototype(id) else { return false };
        let before = self.reserved;
        self.reserve(off, 64);
        let mut size = 0;
        let registers = [Reg::R2, Reg::R3, Reg::R4, Reg::R5];
        let mut ready = true;
        for (reg, param) in registers.iter().zip(params.iter().skip(1)) {
            ready &= match param.want {
                Want::Number => {
                    let value = self.choices.pick([0, 0, 1, 2, 5, 10, 30]);
                    self.constant(*reg, value);
                    true
                }
                _ => self.kfunc_argument(*reg, *param, None, &mut size, ""),
            };
            if !ready {
                break;
            }
            self.pin(*reg);
        }
        self.pinned &= !0b11_1110;
        self.reserved = before;
        if ready {
            self.frame_pointer(Reg::R1, off);
            self.call_kfunc(id, Value::ANY);
        }
        ready
    }

    fn struct_size(&self, name: &str) -> Option<i32> {
        let btf = self.kernel.btf(None).ok()??;
        let id = btf.find_by_name(name, TypeKind::Struct)?;
        i32::try_from(btf.resolve_size(id).ok()?).ok()
    }

    /// Ends the program by an exception.
    pub(super) fn throw(&mut self) -> bool {
        let Some(id) = self.kfunc("bpf_throw") else { return false };
        if (self.held != 0 && !self.slip()) || self.depth == 0 || self.pinned & 0b11_1111 != 0 {
            return false;
        }
        let reg = self.scalar();
        let label = self.code.label();
        let imm = self.imm();
        self.code.branch(CmpOp::Ne, Width::W64, reg, Operand::Imm(imm), label);
        let other = self.state.clone();
        self.constant(Reg::R1, 0);
        self.call_kfunc(id, Value::Uninit);
        self.state = other;
        self.code.bind(label);
        true
    }

    /// Pages of an arena, and what lies there.
    pub(super) fn arena(&mut self) -> bool {
        let Some(id) = self.kfunc("bpf_arena_alloc_pages") else { return false };
        if self.locked || !self.sleepable || self.pinned & 0b11_1111 != 0 {
            return false;
        }
        let Some(map) = self.map_of(&[MapType::ARENA]) else { return false };
        self.load_map(Reg::R1, map);
        self.constant(Reg::R2, 0);
        self.constant(Reg::R3, 1);
        self.constant(Reg::R4, -1);
        self.constant(Reg::R5, 0);
        self.call_kfunc(id, Value::Opaque);
        let dst = self.saved_dest().unwrap_or(Reg::R0);
        self.op(Op::AddrSpaceCast { dst, src: Reg::R0, to: 0, from: 1 });
        let memory =
            Memory { region: Region::Arena, off: 0, spread: 0, size: 64, null: 0, owner: 0 };
        self.state.set(dst, Value::Memory(memory));
        for _ in 0..2 + self.choices.below(3) {
            if !matches!(self.state.reg(dst), Value::Memory(_)) {
                break;
            }
            self.access_at(dst);
        }
        true
    }

    /// The address of a kernel variable, which may be one for each CPU.
    pub(super) fn kernel_variable(&mut self) -> bool {
        let Ok(Some(btf)) = self.kernel.btf(None) else { return false };
        let name = self.choices.pick(["runqueues", "bpf_prog_active", "this_cpu_off", "irq_stat"]);
        let Some(id) = btf.find_by_name(name, TypeKind::Var) else { return false };
        let Some(helper) = self.helper_id("this_cpu_ptr") else { return false };
        if self.locked || self.pinned & 0b11_1111 != 0 {
            return false;
        }
        self.op(Op::LoadImm64 { dst: Reg::R1, value: Imm64::BtfId { id: id.0, btf_fd: 0 } });
        let target = btf.type_by_id(id).ok().and_then(|var| var.target());
        let target = target.and_then(|ty| btf.skip_modifiers(ty).ok());
        let value = match target {
            Some(ty) if ty.kind() == TypeKind::Struct => {
                Value::Object { what: What::Kernel(ty.id().0, true), null: 0, owner: 0 }
            }
            Some(ty) => Value::Memory(Memory {
                region: Region::ReadOnly,
                off: 0,
                spread: 0,
                size: ty.size().unwrap_or(4) as i32,
                null: 0,
                owner: 0,
            }),
            None => Value::Opaque,
        };
        self.call_helper(helper, value);
        self.after_call();
        true
    }
}
