// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Arguments of helpers (`check_func_arg`).

use super::Call;
use super::maps::knows_its_keys;
use super::proto::Param;
use super::rules::Func;
use crate::analysis::record::FieldKind;
use crate::design::Design;
use crate::errno::Errno;
use crate::log::state::TypeName;
use crate::messages::Helper as Message;
use crate::outcome::Step;
use crate::simulate::memory::{BufferUse, Span};
use crate::simulate::objects::{DynptrUse, LockKind};
use crate::simulate::sim::Sim;
use crate::state::{DynptrKind, Kind, MapRef, RegState};
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::{ArgBase, Behaviour, MapType, TypeFlags};

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// One argument.
    pub(super) fn check_argument(
        &mut self,
        call: &mut Call<'_>,
        reg: Reg,
        param: &Param<'_>,
    ) -> Step {
        self.read(reg, true)?;
        if param.ty.base == ArgBase::Anything {
            if self.is_secret(reg)? {
                return self.env.reject(Message::LeaksAddress { reg: reg.number() });
            }
            return Ok(());
        }
        let state = self.copy_of(reg)?;
        if state.kind.is_packet() && !self.may_access_packet(false, Some(call.proto.pkt_access)) {
            return self.env.reject(Message::PacketAccess);
        }
        let mut param = *param;
        if param.ty.base == ArgBase::MapValue {
            self.resolve_map_value(call, &mut param)?;
        }
        let is_no_pointer = state.is_null() && param.has(TypeFlags::PTR_MAYBE_NULL);
        if is_no_pointer && self.env.has(Behaviour::PreciseNulls) {
            self.mark_precise(reg)?;
        }
        if !is_no_pointer {
            self.check_type(call, reg, &param, &state)?;
            self.check_pointer_offset(reg, &param, &state)?;
        }
        if param.has(TypeFlags::OBJ_RELEASE) {
            self.check_released(call, reg, &param, &state)?;
        }
        if state.ref_id != 0 && param.ty.base != ArgBase::KptrXchgDest {
            if call.ref_id != 0 {
                let (id, before) = (state.ref_id, call.ref_id);
                let refused = self.env.has(Behaviour::TwoReferencesRefused);
                let errno = if refused { Errno::EACCES } else { Errno::EFAULT };
                let message = Message::TwoReferences { reg: reg.number(), id, before };
                return self.env.reject_with(errno, message);
            }
            call.ref_id = state.ref_id;
        }
        self.check_by_kind(call, reg, &param, &state)
    }

    /// What a map's value is for this map (`resolve_map_arg_type`).
    fn resolve_map_value(&mut self, call: &Call<'_>, param: &mut Param<'_>) -> Step {
        let Some((map, _)) = call.map else {
            return self.bug(format_args!("invalid map_ptr to access map->type"));
        };
        match self.map_spec(map)?.map_type {
            MapType::SOCKMAP | MapType::SOCKHASH if param.ty.flags.is_empty() => {
                param.ty.base = ArgBase::BtfIdSockCommon;
                param.takes = param.takes_socket;
            }
            MapType::SOCKMAP | MapType::SOCKHASH => {
                return self.env.reject(Message::SockmapArgument);
            }
            MapType::BLOOM_FILTER if call.proto.func == Func::MapPeek => {
                param.ty.flags = TypeFlags::empty();
            }
            _ => {}
        }
        Ok(())
    }

    /// Where the argument may point.
    fn check_pointer_offset(&mut self, reg: Reg, param: &Param<'_>, state: &RegState) -> Step {
        let releases = param.has(TypeFlags::OBJ_RELEASE);
        if releases && param.ty.base == ArgBase::Dynptr && is_stack(state) {
            return Ok(());
        }
        self.check_passed_offset(reg, state, releases)
    }

    /// The argument is given back: it must be held.
    fn check_released(
        &mut self,
        call: &mut Call<'_>,
        reg: Reg,
        param: &Param<'_>,
        state: &RegState,
    ) -> Step {
        if param.ty.base == ArgBase::Dynptr {
            if !is_stack(state) {
                return self.env.reject(Message::ConstDynptr);
            }
            if !self.is_acquired_dynptr(state)? {
                return self.env.reject(Message::UnacquiredDynptr { reg: reg.number() });
            }
        } else if state.ref_id == 0 && !state.is_null() {
            return self.env.reject(Message::NotReferenced { reg: reg.number() });
        }
        if call.releases.replace(reg).is_some() {
            return self.bug(format_args!("more than one release argument"));
        }
        Ok(())
    }

    /// What the kind of argument asks.
    fn check_by_kind(
        &mut self,
        call: &mut Call<'_>,
        reg: Reg,
        param: &Param<'_>,
        state: &RegState,
    ) -> Step {
        match param.ty.base {
            ArgBase::ConstMapPtr => self.note_map(call, state),
            ArgBase::MapKey => self.check_key(call, reg, state),
            ArgBase::MapValue => self.check_value(call, reg, param, state),
            ArgBase::PercpuBtfId => match state.kind {
                Kind::BtfId { btf, id } if id.0 != 0 => {
                    call.object = Some((btf, id));
                    Ok(())
                }
                _ => self.env.reject(Message::NoBtfId { reg: reg.number() }),
            },
            ArgBase::SpinLock => self.check_lock(call, reg),
            ArgBase::Timer => {
                call.map = Some(self.check_map_field(reg, FieldKind::Timer)?);
                Ok(())
            }
            ArgBase::Func => {
                if let Kind::Func(subprog) = state.kind {
                    call.subprog = Some(subprog);
                }
                Ok(())
            }
            ArgBase::Mem => self.check_memory_argument(call, reg, param, state),
            ArgBase::ConstSize => self.check_size(call, reg, state, false),
            ArgBase::ConstSizeOrZero => self.check_size(call, reg, state, true),
            ArgBase::Dynptr => self.check_dynptr(reg, dynptr_use(param)),
            ArgBase::ConstAllocSizeOrZero => {
                let Some(size) = state.value.as_const() else {
                    return self.env.reject(Message::NotConstant { reg: reg.number() });
                };
                call.mem_size = size;
                self.mark_precise(reg)
            }
            ArgBase::ConstStr => self.check_const_string(reg),
            ArgBase::KptrXchgDest => {
                call.kptr = Some(self.check_kptr_field(reg)?);
                if let Kind::MapValue { map, .. } = state.kind {
                    // The kernel notes the map, but not which look-up it came from.
                    call.map = Some((map, 0));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn note_map(&mut self, call: &mut Call<'_>, state: &RegState) -> Step {
        let Kind::ConstMapPtr { map, uid } = state.kind else {
            // `check_type` lets only these pass, and no prototype takes null instead.
            return self.env.unsupported("map argument", TypeName::of(state).text());
        };
        if let Some((before, before_uid)) = call.map
            && (before, before_uid) != (map, uid)
        {
            return self.env.reject(Message::OtherMap { before: before_uid, uid });
        }
        call.map = Some((map, uid));
        Ok(())
    }

    /// The map that the arguments before named, with its sizes.
    fn map_of_call(&mut self, call: &Call<'_>, place: &str) -> Step<MapRef> {
        match call.map {
            Some((map, _)) => Ok(map),
            None => self.bug(format_args!("invalid map_ptr to access map->{place}")),
        }
    }

    fn check_key(&mut self, call: &mut Call<'_>, reg: Reg, state: &RegState) -> Step {
        let map = self.map_of_call(call, "key")?;
        let spec = self.map_spec(map)?;
        self.check_buffer(reg, spec.key_size, false, BufferUse::Read)?;
        if knows_its_keys(spec.map_type) && self.env.has(Behaviour::ConstantKeysNotNull) {
            call.key = self.constant_key(state, spec.key_size)?;
        }
        Ok(())
    }

    fn check_value(
        &mut self,
        call: &mut Call<'_>,
        reg: Reg,
        param: &Param<'_>,
        state: &RegState,
    ) -> Step {
        if param.has(TypeFlags::PTR_MAYBE_NULL) && state.is_null() {
            return Ok(());
        }
        let map = self.map_of_call(call, "value")?;
        let size = self.map_spec(map)?.value_size;
        call.fills = param.has(TypeFlags::MEM_UNINIT);
        let filled = self.check_buffer(reg, size, false, buffer_use(param))?;
        call.filled = filled.or(call.filled);
        Ok(())
    }

    fn check_lock(&mut self, call: &Call<'_>, reg: Reg) -> Step {
        if self.in_tree_callback()? {
            return self.env.reject(Message::LockInTree);
        }
        match call.proto.func {
            Func::SpinLock => self.take_lock(reg, LockKind::Spin),
            Func::SpinUnlock => self.give_lock(reg, LockKind::Spin),
            _ => self.bug(format_args!("spin lock arg on unexpected helper")),
        }
    }

    /// Memory of a fixed size; of other memory the size comes in the next argument.
    fn check_memory_argument(
        &mut self,
        call: &mut Call<'_>,
        reg: Reg,
        param: &Param<'_>,
        state: &RegState,
    ) -> Step {
        call.fills = param.has(TypeFlags::MEM_UNINIT);
        if !param.has(TypeFlags::MEM_FIXED_SIZE) {
            return Ok(());
        }
        let filled = self.check_buffer(reg, param.size, false, buffer_use(param))?;
        call.filled = filled.or(call.filled);
        if param.has(TypeFlags::MEM_ALIGNED) {
            self.check_alignment(state, Span { base: reg, off: 0, size: param.size }, true)?;
        }
        Ok(())
    }

    fn check_size(
        &mut self,
        call: &mut Call<'_>,
        reg: Reg,
        state: &RegState,
        zero_allowed: bool,
    ) -> Step {
        call.max_size = state.value.u64.max.cast_signed();
        let memory = reg.number().saturating_sub(1);
        let writes = call
            .proto
            .params
            .get(usize::from(memory.saturating_sub(1)))
            .is_some_and(|param| param.has(TypeFlags::MEM_WRITE));
        let access = match (call.fills, writes) {
            (true, _) => BufferUse::Fill,
            (false, true) => BufferUse::Write,
            (false, false) => BufferUse::Read,
        };
        let filled = self.check_sized_buffer(Reg::new(memory), reg, zero_allowed, access)?;
        call.filled = filled.or(call.filled);
        Ok(())
    }
}

fn buffer_use(param: &Param<'_>) -> BufferUse {
    if param.has(TypeFlags::MEM_UNINIT) {
        BufferUse::Fill
    } else if param.has(TypeFlags::MEM_WRITE) {
        BufferUse::Write
    } else {
        BufferUse::Read
    }
}

fn dynptr_use(param: &Param<'_>) -> DynptrUse {
    let kinds = [
        (TypeFlags::DYNPTR_TYPE_LOCAL, DynptrKind::Local),
        (TypeFlags::DYNPTR_TYPE_RINGBUF, DynptrKind::Ringbuf),
        (TypeFlags::DYNPTR_TYPE_SKB, DynptrKind::Skb),
        (TypeFlags::DYNPTR_TYPE_XDP, DynptrKind::Xdp),
        (TypeFlags::DYNPTR_TYPE_SKB_META, DynptrKind::SkbMeta),
    ];
    let kind = kinds.into_iter().find(|(flag, _)| param.has(*flag)).map(|(_, kind)| kind);
    match kind {
        Some(kind) if param.has(TypeFlags::MEM_UNINIT) => DynptrUse::Make { kind, clone_ref: 0 },
        _ => DynptrUse::Use { kind, read_only: param.has(TypeFlags::MEM_RDONLY) },
    }
}

/// A pointer to the stack and nothing else.
fn is_stack(state: &RegState) -> bool {
    matches!(state.kind, Kind::Stack) && state.flags.is_empty()
}
