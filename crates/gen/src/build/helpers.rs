// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Calls of helpers, by their prototypes.

use veristable_isa::Reg;
use veristable_kernel::{ArgBase, HelperArg, HelperBtf, MapType, RegBase, RetBase, TypeFlags};

use super::Builder;
use crate::kinds::KnownHelper;
use crate::pool::Field;
use crate::value::{Memory, Region, Value, What};

/// Helpers that statements of their own call: what they give must be given back, or they change
/// what comes after them.
const APART: [&str; 17] = [
    "spin_lock",
    "spin_unlock",
    "ringbuf_reserve",
    "ringbuf_submit",
    "ringbuf_discard",
    "sk_lookup_tcp",
    "sk_lookup_udp",
    "skc_lookup_tcp",
    "sk_release",
    "tail_call",
    "dynptr_from_mem",
    "ringbuf_reserve_dynptr",
    "ringbuf_submit_dynptr",
    "ringbuf_discard_dynptr",
    "map_lookup_elem",
    "kptr_xchg",
    "sys_close",
];

/// Types of maps that a helper takes (`check_map_func_compatibility`), by the helper's name.
fn map_types(helper: &str) -> &'static [MapType] {
    use MapType as M;
    match helper {
        "tail_call" => &[M::PROG_ARRAY],
        "perf_event_read"
        | "perf_event_output"
        | "perf_event_read_value"
        | "skb_output"
        | "xdp_output" => &[M::PERF_EVENT_ARRAY],
        "get_stackid" => &[M::STACK_TRACE],
        "current_task_under_cgroup" | "skb_under_cgroup" => &[M::CGROUP_ARRAY],
        "redirect_map" => &[M::DEVMAP, M::DEVMAP_HASH, M::CPUMAP, M::XSKMAP],
        "sk_redirect_map" | "msg_redirect_map" | "sock_map_update" => &[M::SOCKMAP],
        "sk_redirect_hash" | "msg_redirect_hash" | "sock_hash_update" => &[M::SOCKHASH],
        "get_local_storage" => &[M::CGROUP_STORAGE, M::PERCPU_CGROUP_STORAGE],
        "sk_select_reuseport" => &[M::REUSEPORT_SOCKARRAY, M::SOCKMAP, M::SOCKHASH],
        "map_peek_elem" => &[M::QUEUE, M::STACK, M::BLOOM_FILTER],
        "map_pop_elem" => &[M::QUEUE, M::STACK],
        "map_push_elem" => &[M::QUEUE, M::STACK, M::BLOOM_FILTER],
        "sk_storage_get" | "sk_storage_delete" => &[M::SK_STORAGE],
        "inode_storage_get" | "inode_storage_delete" => &[M::INODE_STORAGE],
        "task_storage_get" | "task_storage_delete" => &[M::TASK_STORAGE],
        "cgrp_storage_get" | "cgrp_storage_delete" => &[M::CGRP_STORAGE],
        "ringbuf_output" | "ringbuf_reserve" | "ringbuf_query" | "ringbuf_reserve_dynptr" => {
            &[M::RINGBUF]
        }
        "user_ringbuf_drain" => &[M::USER_RINGBUF],
        "map_lookup_percpu_elem" => &[M::PERCPU_ARRAY, M::PERCPU_HASH, M::LRU_PERCPU_HASH],
        "for_each_map_elem" => &[M::ARRAY, M::HASH, M::PERCPU_ARRAY, M::LRU_HASH, M::PERCPU_HASH],
        _ => &[M::ARRAY, M::HASH, M::LRU_HASH, M::PERCPU_ARRAY, M::LPM_TRIE, M::PERCPU_HASH],
    }
}

/// What the arguments so far have fixed.
#[derive(Clone, Copy, Default)]
struct Chosen {
    map: Option<usize>,
    /// Bytes behind the last pointer.
    size: i32,
    /// The reference that the call gives back.
    released: u32,
}

impl Builder<'_, '_> {
    /// Calls some helper that the program has.
    pub(super) fn any_helper(&mut self) -> bool {
        let facts = self.facts;
        for _ in 0..5 {
            let Some(helper) = facts.helpers.get(self.choices.below(facts.helpers.len())) else {
                return false;
            };
            let apart = APART.contains(&helper.name);
            if apart && !self.slip() {
                continue;
            }
            if (helper.helper.might_sleep && !self.sleepable) && !self.slip() {
                continue;
            }
            if self.locked && !self.slip() {
                return false;
            }
            if self.helper_call(helper) {
                return true;
            }
        }
        false
    }

    /// Calls a helper that takes a callback.
    pub(super) fn callback_call(&mut self) -> bool {
        let facts = self.facts;
        let takes = |helper: &&KnownHelper<'_>| {
            helper.helper.args.iter().any(|arg| arg.ty.base == ArgBase::Func)
        };
        let all: Vec<_> = facts.helpers.iter().filter(takes).collect();
        let Some(helper) = self.choices.of(&all) else { return false };
        !self.locked && self.helper_call(helper)
    }

    /// Sets the arguments up and calls; false if one of them is not to be had.
    pub(super) fn helper_call(&mut self, known: &KnownHelper<'_>) -> bool {
        let registers = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
        if registers.iter().any(|reg| self.is_pinned(*reg)) || self.is_pinned(Reg::R0) {
            return false;
        }
        let pinned = self.pinned;
        let mut chosen = Chosen::default();
        let args = &known.helper.args;
        for (number, (reg, arg)) in registers.iter().zip(args).enumerate() {
            if arg.ty.base == ArgBase::DontCare {
                break;
            }
            let next = args.get(number + 1).map(|arg| arg.ty.base);
            let ready = if self.slip() {
                self.anything(*reg)
            } else {
                self.argument(*reg, arg, next, known.name, &mut chosen)
            };
            if !ready {
                self.pinned = pinned;
                return false;
            }
            self.pin(*reg);
        }
        self.pinned = pinned;
        let result = self.result(known, chosen);
        self.call_helper(known.id, result);
        self.state.released(chosen.released);
        if changes_packet(known.name) {
            self.state.packet_changed();
        }
        self.after_call();
        true
    }

    /// Saves a result that may be of use, tested if need be.
    pub(super) fn after_call(&mut self) {
        let result = self.state.reg(Reg::R0);
        if result.null() != 0 && self.choices.percent(80) {
            if self.held == 0 && self.choices.percent(40) {
                self.test_or_exit(Reg::R0);
            } else {
                let test = self.begin_test(Reg::R0);
                if matches!(result, Value::Memory(_)) {
                    self.access_at(Reg::R0);
                } else {
                    self.object_walk();
                }
                self.end_of_test(test);
                return;
            }
        }
        if self.choices.percent(30)
            && let Some(saved) = self.saved_dest()
            && self.state.reg(Reg::R0) != Value::Uninit
        {
            self.mov(saved, Reg::R0);
        }
    }

    /// Anything at all.
    pub(super) fn anything(&mut self, reg: Reg) -> bool {
        if let Some(src) = self.find(|value| value != Value::Uninit) {
            self.mov(reg, src);
        } else {
            self.constant(reg, 0);
        }
        true
    }

    fn argument(
        &mut self,
        reg: Reg,
        arg: &HelperArg<'_>,
        next: Option<ArgBase>,
        helper: &str,
        chosen: &mut Chosen,
    ) -> bool {
        let flags = arg.ty.flags;
        if flags.contains(TypeFlags::PTR_MAYBE_NULL) && self.choices.percent(35) {
            self.constant(reg, 0);
            chosen.size = 0;
            return true;
        }
        let filled = !flags.contains(TypeFlags::MEM_UNINIT);
        match arg.ty.base {
            ArgBase::Anything if helper == "loop" && reg == Reg::R1 => {
                let times = self.choices.pick([1, 2, 5, 100, 1 << 23]);
                self.constant(reg, times);
                true
            }
            ArgBase::Anything | ArgBase::Scalar => self.number_into(reg),
            ArgBase::Ctx => self.context_into(reg),
            ArgBase::ConstMapPtr => {
                let Some(map) = self.map_of(map_types(helper)) else { return false };
                self.load_map(reg, map);
                chosen.map = Some(map);
                true
            }
            ArgBase::MapKey => {
                let size = chosen.map.map_or(4, |map| self.map_sizes(map).0);
                self.buffer(reg, size.max(1), filled)
            }
            ArgBase::MapValue => {
                let size = chosen.map.map_or(8, |map| self.map_sizes(map).1);
                self.buffer(reg, size.max(1), filled)
            }
            ArgBase::Mem | ArgBase::Stack => {
                let sized = matches!(
                    next,
                    Some(
                        ArgBase::ConstSize
                            | ArgBase::ConstSizeOrZero
                            | ArgBase::MemSize
                            | ArgBase::MemSizeOrZero
                    )
                );
                let size = match (sized, arg.size) {
                    (true, _) => self.choices.pick([1, 2, 4, 8, 8, 16, 20, 24, 40, 64]),
                    (false, 0) => 8,
                    (false, size) => size as i32,
                };
                chosen.size = size;
                self.buffer(reg, size, filled)
            }
            ArgBase::Int | ArgBase::Long => self.buffer(reg, 8, filled),
            ArgBase::ConstSize | ArgBase::MemSize => self.size_into(reg, 1, chosen.size.max(1)),
            ArgBase::ConstSizeOrZero | ArgBase::MemSizeOrZero => {
                self.size_into(reg, 0, chosen.size)
            }
            ArgBase::ConstAllocSizeOrZero => {
                let size = self.choices.pick([0, 8, 16, 100]);
                self.constant(reg, size);
                true
            }
            ArgBase::Func => self.callback(reg, helper, chosen.map),
            ArgBase::ConstStr => self.string_into(reg),
            ArgBase::Timer => self.field_into(reg, Field::Timer, chosen),
            ArgBase::SpinLock => self.field_into(reg, Field::Lock, chosen),
            ArgBase::KptrXchgDest => self.field_into(reg, Field::TaskPointer, chosen),
            ArgBase::Dynptr => {
                let Some(off) = self.choices.of(&self.dynptrs) else { return false };
                if flags.contains(TypeFlags::MEM_UNINIT) {
                    return false;
                }
                self.frame_pointer(reg, off);
                true
            }
            _ => self.object_into(reg, arg, chosen),
        }
    }

    pub(super) fn number_into(&mut self, reg: Reg) -> bool {
        if self.choices.percent(45)
            && let Some(src) = self.find(|value| value.is_scalar())
        {
            self.mov(reg, src);
        } else {
            let value = self.choices.pick([0, 0, 0, 1, 2, 4, 16, -1, 0x100]);
            self.constant(reg, value);
        }
        true
    }

    /// The size of a buffer: often the whole, sometimes unknown within bounds.
    pub(super) fn size_into(&mut self, reg: Reg, low: i32, size: i32) -> bool {
        if self.slip() {
            let wrong = self.choices.pick([size + 1, 0, -1, 1 << 29]);
            self.constant(reg, wrong.into());
        } else if size > low && self.choices.percent(25) {
            let index = self.bounded(size.into(), low.into());
            if index != reg {
                self.mov(reg, index);
            }
        } else {
            let value =
                if self.choices.percent(70) { size } else { self.choices.within(low, size) };
            self.constant(reg, value.into());
        }
        true
    }

    /// A constant string.
    pub(super) fn string_into(&mut self, reg: Reg) -> bool {
        let pool = self.pool;
        let is_constant = |map: &crate::pool::PoolMap| map.desc.frozen;
        let Some(map) = pool.maps.iter().position(is_constant) else { return false };
        let fd = self.map_number(map);
        let off = if self.slip() { 40 } else { self.choices.pick([0, 0, 7, 11]) };
        let value = veristable_isa::Imm64::MapValue { fd, off };
        self.op(veristable_isa::Op::LoadImm64 { dst: reg, value });
        let memory = Memory {
            region: Region::MapValue(map),
            off: off as i32,
            spread: 0,
            size: 48,
            null: 0,
            owner: 0,
        };
        self.state.set(reg, Value::Memory(memory));
        true
    }

    /// A pointer to a part of a map's value.
    fn field_into(&mut self, reg: Reg, field: Field, chosen: &mut Chosen) -> bool {
        let pool = self.pool;
        let place = |value: Value| match value {
            Value::Memory(Memory {
                region: Region::MapValue(map),
                null: 0,
                spread: 0,
                off,
                ..
            }) => Some((map, pool.maps.get(map)?.has(field)? - off)),
            _ => None,
        };
        let Some(src) = self.find(|value| place(value).is_some()) else { return false };
        let Some((map, off)) = place(self.state.reg(src)) else { return false };
        self.mov(reg, src);
        if off != 0 {
            self.add_imm(reg, off);
        }
        self.state.set(reg, Value::Opaque);
        chosen.map = Some(map);
        true
    }

    /// As [`Builder::field_into`], for kfuncs.
    pub(super) fn field_pointer(&mut self, reg: Reg, field: Field) -> bool {
        self.field_into(reg, field, &mut Chosen::default())
    }

    /// A pointer to an object that some register has.
    fn object_into(&mut self, reg: Reg, arg: &HelperArg<'_>, chosen: &mut Chosen) -> bool {
        let kernel = self.kernel;
        let wanted = match arg.btf {
            HelperBtf::Type(ty) => ty.id,
            _ => None,
        };
        let taken = kernel.compatible_registers(arg.ty.base).ok().flatten();
        let release = arg.ty.flags.contains(TypeFlags::OBJ_RELEASE);
        let fits = |value: Value| {
            let Value::Object { what, null, owner } = value else { return false };
            let base = match what {
                What::Kernel(id, _) => {
                    if wanted.is_some_and(|wanted| wanted != id) {
                        return false;
                    }
                    RegBase::BtfId
                }
                What::Socket => RegBase::Socket,
                What::SockCommon => RegBase::SockCommon,
                What::TcpSock => RegBase::TcpSock,
                What::XdpSock => RegBase::XdpSock,
                What::FlowKeys => RegBase::FlowKeys,
            };
            null == 0
                && (!release || owner != 0)
                && taken.is_some_and(|taken| taken.types.iter().any(|ty| ty.base == base))
        };
        let Some(src) = self.find(fits) else { return false };
        if release {
            chosen.released = self.state.reg(src).owner();
        }
        self.mov(reg, src);
        true
    }

    /// What a helper gives.
    fn result(&mut self, known: &KnownHelper<'_>, chosen: Chosen) -> Value {
        let ret = known.helper.ret;
        let null = if ret.flags.contains(TypeFlags::PTR_MAYBE_NULL) { self.fresh() } else { 0 };
        let object = |what| Value::Object { what, null, owner: 0 };
        match ret.base {
            RetBase::Integer => Value::ANY,
            RetBase::Void => Value::Uninit,
            RetBase::MapValue => {
                let Some(map) = chosen.map else { return Value::Opaque };
                let size = self.map_sizes(map).1;
                let region = Region::MapValue(map);
                Value::Memory(Memory { region, off: 0, spread: 0, size, null, owner: 0 })
            }
            RetBase::Socket => object(What::Socket),
            RetBase::TcpSock => object(What::TcpSock),
            RetBase::SockCommon => object(What::SockCommon),
            RetBase::Mem => {
                let size = chosen.size.max(1);
                Value::Memory(Memory {
                    region: Region::Plain,
                    off: 0,
                    spread: 0,
                    size,
                    null,
                    owner: 0,
                })
            }
            RetBase::BtfId => match known.helper.ret_btf {
                HelperBtf::Type(ty) => {
                    let id = ty.id.or_else(|| {
                        let btf = self.kernel.btf(None).ok()??;
                        Some(btf.find_by_name(ty.name, ty.kind.into())?.0)
                    });
                    id.map_or(Value::Opaque, |id| object(What::Kernel(id, true)))
                }
                _ => Value::Opaque,
            },
            _ => Value::Opaque,
        }
    }

    /// Jumps to another program.
    pub(super) fn tail_call(&mut self) -> bool {
        let facts = self.facts;
        let tail_call = facts.helpers.iter().find(|helper| helper.name == "tail_call");
        let Some(helper) = tail_call else { return false };
        let allowed = self.held == 0 && (self.typed || self.pending.is_empty());
        (allowed || self.slip()) && !self.locked && self.helper_call(helper)
    }

    /// A dynptr over the value of a map, while a block uses it.
    pub(super) fn local_dynptr(&mut self) -> bool {
        let Some(id) = self.helper_id("dynptr_from_mem") else { return false };
        if self.locked || self.pinned & 0b11_1111 != 0 {
            return false;
        }
        let Some(map) = self.direct_map() else { return false };
        let (_, size) = self.map_sizes(map);
        if self.pool.maps.get(map).is_some_and(|map| map.desc.frozen || !map.fields.is_empty()) {
            return false;
        }
        let fd = self.map_number(map);
        let value = veristable_isa::Imm64::MapValue { fd, off: 0 };
        self.op(veristable_isa::Op::LoadImm64 { dst: Reg::R1, value });
        self.pin(Reg::R1);
        self.size_into(Reg::R2, 0, size);
        self.constant(Reg::R3, 0);
        let off = self.free_bytes(16);
        self.frame_pointer(Reg::R4, off);
        self.unpin(Reg::R1);
        self.call_helper(id, Value::ANY);
        let before = self.reserve(off, 16);
        self.dynptrs.push(off);
        for at in [off, off + 8] {
            self.state.write(at, 8, Value::Uninit);
        }
        for _ in 0..1 + self.choices.below(3) {
            self.dynptr_call();
        }
        let count = self.choices.below(3);
        self.inner_block(count);
        self.dynptrs.pop();
        self.reserved = before;
        true
    }

    /// Calls a helper that takes a dynptr.
    pub(super) fn dynptr_call(&mut self) {
        let facts = self.facts;
        let takes = |helper: &&KnownHelper<'_>| {
            matches!(helper.name, "dynptr_read" | "dynptr_write" | "dynptr_data")
        };
        let all: Vec<_> = facts.helpers.iter().filter(takes).collect();
        if let Some(helper) = self.choices.of(&all) {
            self.helper_call(helper);
        }
    }
}

/// Helpers after which packet pointers are worth nothing (`bpf_helper_changes_pkt_data`).
fn changes_packet(name: &str) -> bool {
    const NAMES: [&str; 22] = [
        "clone_redirect",
        "l3_csum_replace",
        "l4_csum_replace",
        "lwt_push_encap",
        "lwt_seg6_action",
        "lwt_seg6_adjust_srh",
        "lwt_seg6_store_bytes",
        "msg_pop_data",
        "msg_pull_data",
        "msg_push_data",
        "skb_adjust_room",
        "skb_change_head",
        "skb_change_proto",
        "skb_change_tail",
        "skb_pull_data",
        "skb_store_bytes",
        "skb_vlan_pop",
        "skb_vlan_push",
        "store_hdr_opt",
        "xdp_adjust_head",
        "xdp_adjust_meta",
        "xdp_adjust_tail",
    ];
    NAMES.contains(&name)
}
