// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which helpers take which maps (`check_map_func_compatibility`), constant keys, and what is
//! remembered of a call's map.

use super::Call;
use super::rules::Func;
use crate::design::Design;
use crate::env::InsnFlags;
use crate::messages::Helper as Message;
use crate::outcome::Step;
use crate::simulate::memory::only_read;
use crate::simulate::sim::Sim;
use crate::state::{Kind, RegState, SlotType, slot_of};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::{AttachType, JitFeature, MapType, ProgType};

/// Helpers that a map type takes; `None`: any.
fn helpers_of(map: MapType) -> Option<&'static [Func]> {
    use Func as F;
    Some(match map {
        MapType::PROG_ARRAY => &[F::TailCall],
        MapType::PERF_EVENT_ARRAY => &[
            F::PerfEventRead,
            F::PerfEventOutput,
            F::SkbOutput,
            F::PerfEventReadValue,
            F::XdpOutput,
        ],
        MapType::RINGBUF => &[
            F::RingbufOutput,
            F::RingbufReserve,
            F::RingbufQuery,
            F::RingbufReserveDynptr,
            F::RingbufSubmitDynptr,
            F::RingbufDiscardDynptr,
        ],
        MapType::USER_RINGBUF => &[F::UserRingbufDrain],
        MapType::STACK_TRACE => &[F::GetStackid],
        MapType::CGROUP_ARRAY => &[F::SkbUnderCgroup, F::CurrentTaskUnderCgroup],
        MapType::CGROUP_STORAGE | MapType::PERCPU_CGROUP_STORAGE => &[F::GetLocalStorage],
        MapType::DEVMAP | MapType::DEVMAP_HASH | MapType::XSKMAP => &[F::RedirectMap, F::MapLookup],
        MapType::CPUMAP => &[F::RedirectMap],
        MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS => &[F::MapLookup],
        MapType::SOCKMAP => &[
            F::SkRedirectMap,
            F::SockMapUpdate,
            F::MsgRedirectMap,
            F::SkSelectReuseport,
            F::MapLookup,
        ],
        MapType::SOCKHASH => &[
            F::SkRedirectHash,
            F::SockHashUpdate,
            F::MsgRedirectHash,
            F::SkSelectReuseport,
            F::MapLookup,
        ],
        MapType::REUSEPORT_SOCKARRAY => &[F::SkSelectReuseport],
        MapType::QUEUE | MapType::STACK => &[F::MapPeek, F::MapPop, F::MapPush],
        MapType::SK_STORAGE => &[F::SkStorageGet, F::SkStorageDelete, F::KptrXchg],
        MapType::INODE_STORAGE => &[F::InodeStorageGet, F::InodeStorageDelete, F::KptrXchg],
        MapType::TASK_STORAGE => &[F::TaskStorageGet, F::TaskStorageDelete, F::KptrXchg],
        MapType::CGRP_STORAGE => &[F::CgrpStorageGet, F::CgrpStorageDelete, F::KptrXchg],
        MapType::BLOOM_FILTER => &[F::MapPeek, F::MapPush],
        _ => return None,
    })
}

/// Map types that a helper takes; `None`: any.
fn maps_of(func: Func) -> Option<&'static [MapType]> {
    Some(match func {
        Func::TailCall => &[MapType::PROG_ARRAY],
        Func::PerfEventRead
        | Func::PerfEventOutput
        | Func::PerfEventReadValue
        | Func::SkbOutput
        | Func::XdpOutput => &[MapType::PERF_EVENT_ARRAY],
        Func::RingbufOutput
        | Func::RingbufReserve
        | Func::RingbufQuery
        | Func::RingbufReserveDynptr
        | Func::RingbufSubmitDynptr
        | Func::RingbufDiscardDynptr => &[MapType::RINGBUF],
        Func::UserRingbufDrain => &[MapType::USER_RINGBUF],
        Func::GetStackid => &[MapType::STACK_TRACE],
        Func::CurrentTaskUnderCgroup | Func::SkbUnderCgroup => &[MapType::CGROUP_ARRAY],
        Func::RedirectMap => {
            &[MapType::DEVMAP, MapType::DEVMAP_HASH, MapType::CPUMAP, MapType::XSKMAP]
        }
        Func::SkRedirectMap | Func::MsgRedirectMap | Func::SockMapUpdate => &[MapType::SOCKMAP],
        Func::SkRedirectHash | Func::MsgRedirectHash | Func::SockHashUpdate => &[MapType::SOCKHASH],
        Func::GetLocalStorage => &[MapType::CGROUP_STORAGE, MapType::PERCPU_CGROUP_STORAGE],
        Func::SkSelectReuseport => {
            &[MapType::REUSEPORT_SOCKARRAY, MapType::SOCKMAP, MapType::SOCKHASH]
        }
        Func::MapPop => &[MapType::QUEUE, MapType::STACK],
        Func::MapPeek | Func::MapPush => &[MapType::QUEUE, MapType::STACK, MapType::BLOOM_FILTER],
        Func::MapLookupPercpu => {
            &[MapType::PERCPU_ARRAY, MapType::PERCPU_HASH, MapType::LRU_PERCPU_HASH]
        }
        Func::SkStorageGet | Func::SkStorageDelete => &[MapType::SK_STORAGE],
        Func::InodeStorageGet | Func::InodeStorageDelete => &[MapType::INODE_STORAGE],
        Func::TaskStorageGet | Func::TaskStorageDelete => &[MapType::TASK_STORAGE],
        Func::CgrpStorageGet | Func::CgrpStorageDelete => &[MapType::CGRP_STORAGE],
        _ => return None,
    })
}

/// Whether a look-up by a known key cannot fail (`can_elide_value_nullness`).
pub(super) const fn knows_its_keys(map: MapType) -> bool {
    matches!(map, MapType::ARRAY | MapType::PERCPU_ARRAY)
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// Remembers the map at the instruction (`record_func_map`).
    pub(super) fn record_map(&mut self, call: &Call<'_>) -> Step {
        if !call.proto.func.records_map() {
            return Ok(());
        }
        let Some((map, _)) = call.map else {
            return self.bug(format_args!("expected map for helper call"));
        };
        let read_only = only_read(self.map_spec(map)?);
        if read_only && call.proto.func.changes_map() {
            return self.env.reject(Message::ReadOnlyMap);
        }
        let memo = self.call_memo()?;
        let before = memo.map.replace(map);
        if before.is_some_and(|before| before != map) {
            self.set_flag(self.insn, InsnFlags::SEVERAL_MAPS)?;
        }
        Ok(())
    }

    /// The index of a tail call, which the JIT likes to know (`record_func_key`).
    pub(super) fn record_key(&mut self, call: &Call<'_>) -> Step {
        if call.proto.func != Func::TailCall {
            return Ok(());
        }
        let spec = call.map.map(|(map, _)| self.map_spec(map)).transpose()?;
        let Some(spec) = spec.filter(|spec| spec.map_type == MapType::PROG_ARRAY) else {
            return self.env.reject(Message::NotProgArray);
        };
        match self.reg(Reg::R3)?.as_const() {
            Some(key) if key < u64::from(spec.max_entries) => self.mark_precise(Reg::R3),
            _ => Ok(()),
        }
    }

    /// The number that a key on the stack is, where that is known (`get_constant_map_key`).
    /// Whoever relies on it must not be compared without it, so it becomes precise.
    pub(super) fn constant_key(&mut self, key: &RegState, size: u32) -> Step<Option<i64>> {
        let on_stack = matches!(key.kind, Kind::Stack) && key.flags.is_empty();
        let Some(offset) = key.value.as_const().filter(|_| on_stack) else { return Ok(None) };
        if !self.env.privileges.bpf_capable {
            return Ok(None);
        }
        let offset = key.off.wrapping_add(offset as i32);
        let (index, slot) = (slot_of(offset), self.slot(key.frame, slot_of(offset))?);
        // Entries count downwards from the frame pointer, bytes upwards from the key.
        let first = (!offset % 8).unsigned_abs() as usize;
        let below = |ty| {
            let entries = slot.types.iter().take(first + 1).rev();
            u32::try_from(entries.take_while(|entry| **entry == ty).count()).unwrap_or(0)
        };
        if below(SlotType::Zero) >= size {
            return Ok(Some(0));
        }
        if !slot.is_scalar_spill() || below(SlotType::Spill) != size {
            return Ok(None);
        }
        let Some(value) = slot.reg.value.as_const() else { return Ok(None) };
        self.mark_slot_precise(key.frame, index)?;
        Ok(Some(value.cast_signed()))
    }

    /// Whether the map and the helper go together (`check_map_func_compatibility`).
    pub(super) fn check_map(&mut self, call: &Call<'_>) -> Step {
        let Some((map, _)) = call.map else { return Ok(()) };
        let (map_type, func) = (self.map_spec(map)?.map_type, call.proto.func);
        let takes = helpers_of(map_type).is_none_or(|funcs| funcs.contains(&func))
            || (matches!(map_type, MapType::SOCKMAP | MapType::SOCKHASH)
                && self.may_update_sockmap(func)?);
        if !takes || maps_of(func).is_some_and(|maps| !maps.contains(&map_type)) {
            let MapType(map_type) = map_type;
            return self.env.reject(Message::MapType { map_type, func: call.proto.label() });
        }
        if func == Func::TailCall && self.env.subprogs.len() > 1 {
            let jit = self.env.machine.jit || self.is_jit_always_on()?;
            if !(jit && self.env.kernel.jit(JitFeature::SubprogTailcalls)?) {
                return self.env.reject(Message::MixedTailCalls);
            }
        }
        Ok(())
    }

    fn is_jit_always_on(&self) -> Step<bool> {
        Ok(self.env.kernel.config("CONFIG_BPF_JIT_ALWAYS_ON")?.is_some())
    }

    /// Whether no socket can be locked where a program of this type runs
    /// (`may_update_sockmap`); says so if one can.
    fn may_update_sockmap(&mut self, func: Func) -> Step<bool> {
        if !matches!(func, Func::MapUpdate | Func::MapDelete) {
            return Ok(false);
        }
        let prog = &self.env.prog;
        let may = match prog.rules {
            ProgType::TRACING => prog.attach_type == AttachType::TRACE_ITER,
            ProgType::SOCK_OPS => func == Func::MapDelete,
            ProgType::SOCKET_FILTER
            | ProgType::SCHED_CLS
            | ProgType::SCHED_ACT
            | ProgType::XDP
            | ProgType::SK_REUSEPORT
            | ProgType::FLOW_DISSECTOR
            | ProgType::SK_LOOKUP => true,
            _ => false,
        };
        if !may {
            self.env.say(Message::SockmapUpdate)?;
        }
        Ok(may)
    }
}
