// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Maps, and memory that a pointer points to.

use veristable_isa::{AluOp, AtomicOp, Imm64, Op, Operand, Reg, Size, Width};
use veristable_kernel::{AttachType, JitFeature, MapType, ProgType};

use veristable_program::MapFlags;

use super::Builder;
use crate::pool::{Field, PoolMap};
use crate::value::{Memory, Range, Region, Value, What};

/// Bytes of a field of a map's value.
const fn field_size(field: Field) -> i32 {
    match field {
        Field::Lock | Field::ResLock => 4,
        Field::TaskWork | Field::TaskPointer | Field::NodePointer => 8,
        Field::Timer | Field::Workqueue | Field::List | Field::Tree => 16,
    }
}

impl Builder<'_, '_> {
    /// A map of one of some types; any map if the rule is broken.
    pub(super) fn map_of(&mut self, types: &[MapType]) -> Option<usize> {
        let all = 0..self.pool.maps.len();
        let pool = self.pool;
        if self.slip() {
            let typed = self.typed;
            let fits =
                |map: &usize| typed || pool.maps.get(*map).is_some_and(|map| map.fields.is_empty());
            return Some(self.choices.below(all.len())).filter(fits);
        }
        let fits = |map: &usize| {
            let usable = |map: &PoolMap| types.contains(&map.map_type()) && self.may_use(map);
            pool.maps.get(*map).is_some_and(usable)
        };
        let fitting: Vec<usize> = all.filter(fits).collect();
        self.choices.of(&fitting)
    }

    /// Whether programs of this kind may use a map (`check_map_prog_compatibility`).
    pub(super) fn may_use(&self, map: &PoolMap) -> bool {
        use ProgType as P;
        let prog_type = self.kind.row.prog_type;
        let tracing = matches!(
            prog_type,
            P::KPROBE
                | P::TRACEPOINT
                | P::PERF_EVENT
                | P::RAW_TRACEPOINT
                | P::RAW_TRACEPOINT_WRITABLE
        ) || (prog_type == P::TRACING
            && self.kind.row.attach_type != AttachType::TRACE_ITER);
        let special =
            |field: &(Field, i32)| !matches!(field.0, Field::TaskPointer | Field::NodePointer);
        if map.fields.iter().any(special) && (tracing || prog_type == P::SOCKET_FILTER) {
            return false;
        }
        let for_sleepers = matches!(
            map.map_type(),
            MapType::HASH
                | MapType::LRU_HASH
                | MapType::ARRAY
                | MapType::PERCPU_HASH
                | MapType::PERCPU_ARRAY
                | MapType::LRU_PERCPU_HASH
                | MapType::ARRAY_OF_MAPS
                | MapType::HASH_OF_MAPS
                | MapType::RINGBUF
                | MapType::USER_RINGBUF
                | MapType::INODE_STORAGE
                | MapType::SK_STORAGE
                | MapType::TASK_STORAGE
                | MapType::CGRP_STORAGE
                | MapType::QUEUE
                | MapType::STACK
                | MapType::ARENA
        );
        // Types of the program's own are those of its BTF.
        let own = |field: &(Field, i32)| {
            matches!(field.0, Field::List | Field::Tree | Field::NodePointer)
        };
        (self.typed || !map.fields.iter().any(own))
            && (self.loader.bpf || map.desc.spec.btf.is_none())
            && (for_sleepers || !self.is_sleepable)
            // Arithmetic to where a field is goes out of range (`sanitize_check_bounds`).
            && (self.loader.perfmon || map.fields.first().is_none_or(|(_, off)| *off == 0))
            && self.loader.may_make(map.map_type())
    }

    /// Key and value size.
    pub(super) fn map_sizes(&self, map: usize) -> (i32, i32) {
        let spec = self.pool.maps.get(map).map(|map| &map.desc.spec);
        spec.map_or((4, 4), |spec| (spec.key_size as i32, spec.value_size as i32))
    }

    /// What a lookup in a map gives.
    pub(super) fn found(&mut self, map: usize) -> Value {
        let null = self.fresh();
        let map_type = self.pool.maps.get(map).map(|map| map.map_type());
        match map_type {
            Some(MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS) => Value::Inner(null),
            Some(MapType::SOCKMAP | MapType::SOCKHASH) => {
                Value::Object { what: What::Socket, null, owner: self.fresh() }
            }
            Some(MapType::XSKMAP) => Value::Object { what: What::XdpSock, null, owner: 0 },
            _ => {
                let size = self.map_sizes(map).1;
                Value::Memory(Memory {
                    region: Region::MapValue(map),
                    off: 0,
                    spread: 0,
                    size,
                    null,
                    owner: 0,
                })
            }
        }
    }

    /// Looks a key up, tests the result and uses it.
    pub(super) fn map_lookup(&mut self) -> bool {
        if self.is_pinned(Reg::R0)
            || self.pinned & 0b111_1110 & !0b100_0000 != 0
            || (self.locked && !self.slip())
        {
            return false;
        }
        let types = [
            MapType::ARRAY,
            MapType::HASH,
            MapType::ARRAY,
            MapType::HASH,
            MapType::LRU_HASH,
            MapType::PERCPU_ARRAY,
            MapType::PERCPU_HASH,
            MapType::LPM_TRIE,
            MapType::ARRAY_OF_MAPS,
            MapType::HASH_OF_MAPS,
            MapType::LRU_PERCPU_HASH,
        ];
        let Some(map) = self.map_of(&types) else { return false };
        let Some(id) = self.helper_id("map_lookup_elem") else { return false };
        self.load_map(Reg::R1, map);
        self.pin(Reg::R1);
        let key = self.map_sizes(map).0;
        let ready = self.buffer(Reg::R2, key.max(1), true);
        self.unpin(Reg::R1);
        if !ready {
            return false;
        }
        let result = self.found(map);
        self.call_helper(id, result);
        self.use_found(map);
        true
    }

    fn use_found(&mut self, map: usize) {
        let saved = if self.choices.percent(60) { self.saved_dest() } else { None };
        let reg = match saved {
            Some(reg) => {
                self.mov(reg, Reg::R0);
                reg
            }
            None => Reg::R0,
        };
        if self.held == 0 && self.choices.percent(35) {
            self.test_or_exit(reg);
            return;
        }
        let pinned = self.pinned;
        let test = self.begin_test(reg);
        self.pin(reg);
        let is_inner = matches!(self.state.reg(reg), Value::Inner(0));
        if is_inner {
            self.inner_lookup(reg);
        } else {
            let _ = map;
            let count = 1 + self.choices.below(3);
            for _ in 0..count {
                self.access_at(reg);
            }
            let count = self.choices.below(3);
            self.inner_block(count);
        }
        self.pinned = pinned;
        self.end_of_test(test);
    }

    /// Looks up in a map that was looked up.
    fn inner_lookup(&mut self, outer: Reg) {
        let Some(id) = self.helper_id("map_lookup_elem") else { return };
        if !self.buffer(Reg::R2, 4, true) {
            return;
        }
        self.mov(Reg::R1, outer);
        let null = self.fresh();
        let memory = Memory { region: Region::Plain, off: 0, spread: 0, size: 16, null, owner: 0 };
        self.call_helper(id, Value::Memory(memory));
        let test = self.begin_test(Reg::R0);
        self.access_at(Reg::R0);
        self.end_of_test(test);
    }

    /// The address of an array map's value.
    pub(super) fn map_value(&mut self) -> bool {
        let Some(map) = self.direct_map() else { return false };
        let dst = self.dest();
        self.load_map_value(dst, map);
        for _ in 0..self.choices.below(3) {
            if self.state.reg(dst) == Value::Uninit {
                break;
            }
            self.access_at(dst);
        }
        true
    }

    /// A map whose value has an address: an array of one element.
    pub(super) fn direct_map(&mut self) -> Option<usize> {
        if self.slip() {
            return self.map_of(&[]);
        }
        let pool = self.pool;
        let fits = |map: &usize| {
            pool.maps.get(*map).is_some_and(|map| {
                map.map_type() == MapType::ARRAY
                    && map.desc.spec.max_entries == 1
                    && self.may_use(map)
            })
        };
        let fitting: Vec<usize> = (0..pool.maps.len()).filter(fits).collect();
        self.choices.of(&fitting)
    }

    fn load_map_value(&mut self, dst: Reg, map: usize) {
        let size = self.map_sizes(map).1;
        let off = if self.choices.percent(75) {
            0
        } else {
            self.choices.below(size.max(1) as usize) as i32
        };
        let fd = self.map_number(map);
        self.op(Op::LoadImm64 { dst, value: Imm64::MapValue { fd, off: off.cast_unsigned() } });
        let memory =
            Memory { region: Region::MapValue(map), off, spread: 0, size, null: 0, owner: 0 };
        self.state.set(dst, Value::Memory(memory));
    }

    /// Uses a pointer into memory that is there.
    pub(super) fn access(&mut self) -> bool {
        let usable = |value: Value| matches!(value, Value::Memory(memory) if memory.null == 0);
        let Some(reg) = self.find(usable) else { return false };
        if self.choices.percent(25) {
            return self.move_pointer(reg);
        }
        self.access_at(reg);
        true
    }

    /// Adds to a pointer: a constant, or a number within bounds.
    fn move_pointer(&mut self, reg: Reg) -> bool {
        let Value::Memory(memory) = self.state.reg(reg) else { return false };
        let left = memory.size - memory.off - memory.spread;
        if left < 2 {
            return false;
        }
        let dst = if self.is_pinned(reg) || self.choices.percent(40) {
            let pinned = self.pinned;
            self.pin(reg);
            let dst = self.dest();
            self.pinned = pinned;
            if dst != reg {
                self.mov(dst, reg);
            }
            dst
        } else {
            reg
        };
        if self.is_pinned(dst) {
            return false;
        }
        if self.choices.percent(40) {
            let by = self.choices.below(left as usize) as i32;
            self.add_imm(dst, by);
            self.state.set(dst, Value::Memory(Memory { off: memory.off + by, ..memory }));
            return true;
        }
        // Others than values of maps have no limit for `retrieve_ptr_limit`.
        let limited = self.loader.perfmon || matches!(memory.region, Region::MapValue(_));
        if !limited && !self.slip() {
            return false;
        }
        let pinned = self.pinned;
        self.pin(dst);
        let most = self.choices.below(left as usize - 1) as i32 + 1;
        let index = self.bounded((most - 1).into(), 0);
        self.pinned = pinned;
        let op = if self.slip() { self.choices.pick(AluOp::ALL) } else { AluOp::Add };
        self.op(Op::Alu { op, width: Width::W64, dst, src: Operand::Reg(index) });
        // Packet pointers lose what was checked.
        let moved = match memory.region {
            Region::Packet | Region::PacketMeta => {
                Memory { spread: memory.spread + most, size: 0, ..memory }
            }
            _ => Memory { spread: memory.spread + most, ..memory },
        };
        self.state.set(dst, Value::Memory(moved));
        true
    }

    /// Loads from or stores to the memory behind a register.
    pub(super) fn access_at(&mut self, base: Reg) {
        let Value::Memory(memory) = self.state.reg(base) else { return };
        let Some((off, size)) = self.place_in(memory) else { return };
        let off = off as i16;
        let write =
            !matches!(memory.region, Region::ReadOnly) && self.may_write(memory) || self.slip();
        let choice = match self.may_read(memory) || self.slip() {
            true => self.choices.below(10),
            false => 5,
        };
        match choice {
            0..=4 => self.load_from(base, off, size),
            5 | 6 if write => {
                let value = Operand::Imm(self.imm());
                self.op(Op::Store { size, base, off, value });
            }
            7 if write => {
                // Only those who may see addresses may store them.
                let number = self.choices.percent(90) || !self.loader.perfmon;
                let src = if number && !self.slip() {
                    self.scalar()
                } else {
                    self.find(|value| value != Value::Uninit).unwrap_or(base)
                };
                self.op(Op::Store { size, base, off, value: Operand::Reg(src) });
            }
            8 if write => self.atomic(base, off, size, memory),
            9 => self.ordered(base, off, size, write),
            _ => self.load_from(base, off, size),
        }
    }

    fn may_read(&self, memory: Memory) -> bool {
        let Region::MapValue(map) = memory.region else { return true };
        let flags = self.pool.maps.get(map).map(|map| map.desc.spec.flags);
        !flags.is_some_and(|flags| flags.contains(MapFlags::WRONLY_PROG))
    }

    fn may_write(&self, memory: Memory) -> bool {
        let Region::MapValue(map) = memory.region else {
            let packet = matches!(memory.region, Region::Packet | Region::PacketMeta);
            return !packet || self.writes_packet();
        };
        let flags = self.pool.maps.get(map).map(|map| map.desc.spec.flags);
        !flags.is_some_and(|flags| flags.contains(MapFlags::RDONLY_PROG))
    }

    fn load_from(&mut self, base: Reg, off: i16, size: Size) {
        let dst = self.dest();
        let sign_extend = size != Size::DW && self.choices.percent(20);
        self.op(Op::Load { size, sign_extend, dst, base, off });
        let bits = size.bits();
        let range = match (sign_extend, size) {
            (_, Size::DW) => Range::ANY,
            (true, _) => Range { min: -(1 << (bits - 1)), max: (1 << (bits - 1)) - 1 },
            (false, _) => Range::up_to((1 << bits) - 1),
        };
        self.state.set(dst, Value::Scalar(range));
    }

    /// An offset and a size that fit, or nearly.
    fn place_in(&mut self, memory: Memory) -> Option<(i32, Size)> {
        let room = memory.size - memory.off - memory.spread;
        for _ in 0..6 {
            let size = self.choices.pick([Size::B, Size::H, Size::W, Size::W, Size::DW, Size::DW]);
            let bytes = size.bytes() as i32;
            if room < bytes {
                if self.slip() {
                    return Some((self.choices.below(16) as i32, size));
                }
                continue;
            }
            let mut off = self.choices.below((room - bytes + 1) as usize) as i32;
            let strict =
                self.strict || matches!(memory.region, Region::Packet | Region::PacketMeta);
            if strict && memory.spread != 0 && bytes > 1 && !self.slip() {
                continue;
            }
            // What the packet begins with makes four bytes aligned where two more stand before.
            let base = if strict && memory.region == Region::Packet { 2 } else { 0 };
            if strict || self.choices.percent(92) {
                off -= (memory.off + off + base).rem_euclid(bytes).min(off);
            }
            if self.slip() {
                off = self.choices.pick([
                    room - bytes + 1,
                    -1,
                    -memory.off - bytes,
                    room,
                    4096,
                    off + 8,
                ]);
                return Some((off, size));
            }
            if !self.hits_field(memory, off, bytes) {
                return Some((off, size));
            }
        }
        None
    }

    fn hits_field(&self, memory: Memory, off: i32, bytes: i32) -> bool {
        let first = memory.off + off;
        let last = first + bytes + memory.spread;
        let overlaps = |at: i32, size: i32| first < at + size && at < last;
        match memory.region {
            Region::MapValue(map) => self.pool.maps.get(map).is_some_and(|map| {
                map.fields.iter().any(|(field, at)| overlaps(*at, field_size(*field)))
            }),
            Region::Own(_) => overlaps(8, 60),
            _ => false,
        }
    }

    fn atomic(&mut self, base: Reg, off: i16, size: Size, memory: Memory) {
        let size = match size {
            Size::DW => Size::DW,
            Size::W => Size::W,
            _ if self.slip() => size,
            _ => return self.load_from(base, off, size),
        };
        let packet = matches!(memory.region, Region::Packet | Region::PacketMeta);
        let aligned = i32::from(off) % size.bytes() as i32 == 0 && memory.off % 8 == 0;
        if (packet || !aligned || memory.spread != 0) && !self.slip() {
            return self.load_from(base, off, size);
        }
        let op = self.choices.pick(AtomicOp::ALL);
        let src = self.scalar();
        if self.is_pinned(src) && op.fetches() {
            return;
        }
        if op == AtomicOp::Cmpxchg {
            if self.is_pinned(Reg::R0) || base == Reg::R0 {
                return;
            }
            if !self.state.reg(Reg::R0).is_scalar() {
                self.constant(Reg::R0, 0);
            }
        }
        self.op(Op::Atomic { op, size, base, off, src });
        if let Some(result) = op.result(src) {
            self.state.set(result, Value::ANY);
        }
    }

    /// Load-acquire or store-release.
    fn ordered(&mut self, base: Reg, off: i16, size: Size, write: bool) {
        let known = self.kernel.jit(JitFeature::LoadAcquireStoreRelease) == Ok(true);
        let region = match self.state.reg(base) {
            Value::Memory(memory) => memory.region,
            _ => Region::Plain,
        };
        let packet = matches!(region, Region::Packet | Region::PacketMeta);
        let aligned = i32::from(off) % size.bytes() as i32 == 0;
        if (!known || packet || !aligned) && !self.slip() {
            return self.load_from(base, off, size);
        }
        if write && self.choices.percent(50) {
            let src = self.scalar();
            self.op(Op::StoreRelease { size, base, off, src });
        } else {
            let dst = self.dest();
            self.op(Op::LoadAcquire { size, dst, base, off });
            self.state.set(dst, Value::ANY);
        }
    }

    /// A pointer to so many bytes that a callee may read (if `filled`) or write.
    pub(super) fn buffer(&mut self, dst: Reg, size: i32, filled: bool) -> bool {
        if self.is_pinned(dst) {
            return false;
        }
        let fits = |this: &Self, value: Value| match value {
            Value::Memory(memory) => {
                memory.null == 0
                    && this.may_read(memory)
                    && this.may_write(memory)
                    && matches!(memory.region, Region::MapValue(_) | Region::Plain | Region::Record)
                    && memory.size - memory.off - memory.spread >= size
            }
            _ => false,
        };
        if self.choices.percent(25)
            && let Some(reg) = self.find_with(fits)
            && let Value::Memory(memory) = self.state.reg(reg)
            && !self.hits_field(memory, 0, size)
        {
            self.mov(dst, reg);
            return true;
        }
        let off = self.free_bytes(size);
        if filled {
            self.initialise(off, size);
        } else {
            for at in (off..off + size).step_by(8) {
                self.state.write(at, (off + size - at).min(8), Value::ANY);
            }
        }
        self.frame_pointer(dst, off);
        true
    }

    /// Walks through a kernel object, or reads a socket.
    pub(super) fn object_walk(&mut self) -> bool {
        let usable = |value: Value| matches!(value, Value::Object { null: 0, .. });
        let Some(reg) = self.find(usable) else { return false };
        let Value::Object { what, owner, .. } = self.state.reg(reg) else { return false };
        let id = match what {
            What::Kernel(..) if !self.loader.perfmon && !self.slip() => return false,
            What::Kernel(id, _) => id,
            What::Socket | What::SockCommon | What::TcpSock | What::FlowKeys | What::XdpSock => {
                let fields: &[i16] = match what {
                    What::TcpSock => &[0, 4, 8, 40, 56, 64, 104],
                    What::FlowKeys => &[0, 2, 4, 8, 12, 16],
                    What::XdpSock => &[0],
                    _ => &[0, 4, 8, 12, 16, 20, 24, 28, 44, 48, 72, 76],
                };
                let off = self.choices.of(fields).unwrap_or(0);
                let off = if self.slip() { off + 1 } else { off };
                let size = if what == What::FlowKeys { Size::H } else { Size::W };
                self.load_from(reg, off, size);
                return true;
            }
        };
        self.member_load(reg, id, owner)
    }

    /// Loads a member of a kernel structure.
    fn member_load(&mut self, reg: Reg, id: u32, owner: u32) -> bool {
        let Ok(Some(btf)) = self.kernel.btf(None) else { return false };
        let Ok(ty) = btf.type_by_id(veristable_btf::TypeId(id)) else { return false };
        let count = ty.members().len();
        for _ in 0..6 {
            let Some(member) = ty.members().get(self.choices.below(count)) else { return false };
            if member.is_bitfield() {
                continue;
            }
            let Ok(bytes) = btf.resolve_size(member.type_id) else { continue };
            let size = match bytes {
                1 => Size::B,
                2 => Size::H,
                4 => Size::W,
                8 => Size::DW,
                _ => continue,
            };
            let Ok(off) = i16::try_from(member.byte_offset()) else { continue };
            let pointee = btf.skip_modifiers(member.type_id).ok();
            let pointee = pointee.filter(|ty| ty.kind() == veristable_btf::Kind::Ptr);
            let pointee = pointee.and_then(|ty| btf.skip_modifiers(ty.target()?).ok());
            let dst = self.dest();
            let off = if self.slip() { off.wrapping_add(3) } else { off };
            if self.slip() {
                self.op(Op::Store { size, base: reg, off, value: Operand::Imm(0) });
                return true;
            }
            let sign_extend = size != Size::DW && self.choices.percent(5);
            self.op(Op::Load { size, sign_extend, dst, base: reg, off });
            let value = match pointee {
                Some(ty) if ty.kind() == veristable_btf::Kind::Struct => {
                    Value::Object { what: What::Kernel(ty.id().0, false), null: 0, owner }
                }
                Some(_) => Value::Opaque,
                None => Value::ANY,
            };
            self.state.set(dst, value);
            return true;
        }
        false
    }
}
