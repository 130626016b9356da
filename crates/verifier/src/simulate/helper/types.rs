// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Types of arguments (`check_reg_type`).

use super::Call;
use super::proto::{KernelType, Param, Registers};
use super::rules::Func;
use crate::design::Design;
use crate::errno::Errno;
use crate::log::state::TypeName;
use crate::mem::Text;
use crate::messages::Helper as Message;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, Kind, RegState};
use crate::trace::Observer;
use core::fmt::Write;
use veristable_isa::Reg;
use veristable_kernel::{ArgBase, RegBase, RegType, TypeFlags};

/// What a dynptr's kind is in a type (`DYNPTR_TYPE_FLAG_MASK`).
const DYNPTR_KINDS: TypeFlags = TypeFlags::DYNPTR_TYPE_LOCAL
    .union(TypeFlags::DYNPTR_TYPE_RINGBUF)
    .union(TypeFlags::DYNPTR_TYPE_SKB)
    .union(TypeFlags::DYNPTR_TYPE_XDP)
    .union(TypeFlags::DYNPTR_TYPE_SKB_META)
    .union(TypeFlags::DYNPTR_TYPE_FILE);

/// Memory of any kind, which a kernel object is to a reader (`mem_types`).
const fn is_memory(base: ArgBase) -> bool {
    matches!(base, ArgBase::MapKey | ArgBase::MapValue | ArgBase::Mem)
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// The register must be of a type that the argument takes.
    pub(super) fn check_type(
        &mut self,
        call: &Call<'_>,
        reg: Reg,
        param: &Param<'_>,
        state: &RegState,
    ) -> Step {
        let Some(takes) = param.takes else {
            return self.bug(format_args!("unsupported arg type"));
        };
        let ty = compared_type(call, reg, param, state);
        if !takes.types.contains(&ty) {
            return self.refuse_type(reg, state, takes.types);
        }
        if state.kind.base() != RegBase::BtfId {
            return Ok(());
        }
        if is_memory(param.ty.base) {
            if param.has(TypeFlags::MEM_RDONLY) {
                return Ok(());
            }
            let name = Text::format(format_args!("bpf_{}", call.proto.name));
            let (reg, ty) = (reg.number(), TypeName::of(state).text());
            return self.env.reject(Message::MayWrite { name, reg, ty });
        }
        self.check_helper_object(call, reg, param, state, takes)
    }

    /// A pointer to a kernel object as a global function takes it: of type `wanted` or with one at
    /// its start. `nullable`: or null.
    pub(crate) fn check_trusted_object(
        &mut self,
        reg: Reg,
        state: &RegState,
        wanted: veristable_btf::TypeId,
        nullable: bool,
    ) -> Step {
        let Some(takes) = self.env.kernel.compatible_registers(ArgBase::BtfId)? else {
            return self.bug(format_args!("unsupported arg type"));
        };
        let mut ty = RegType { base: state.kind.base(), flags: state.flags };
        if nullable {
            ty.flags.remove(TypeFlags::PTR_MAYBE_NULL);
        }
        if !takes.types.contains(&ty) {
            return self.refuse_type(reg, state, takes.types);
        }
        self.match_object(reg, state, wanted, false)
    }

    fn refuse_type(&mut self, reg: Reg, state: &RegState, takes: &[RegType]) -> Step {
        let mut expected = Text::default();
        for (number, RegType { base, flags }) in takes.iter().enumerate() {
            let separator = if number > 0 { ", " } else { "" };
            // Writing to a text never fails.
            let _ = write!(expected, "{separator}{}", TypeName(*base, *flags));
        }
        let (reg, ty) = (reg.number(), TypeName::of(state).text());
        self.env.reject(Message::Expected { reg, ty, expected })
    }

    /// A pointer to a kernel object, or to one that the program allocated.
    fn check_helper_object(
        &mut self,
        call: &Call<'_>,
        reg: Reg,
        param: &Param<'_>,
        state: &RegState,
        takes: Registers<'_>,
    ) -> Step {
        let trust = state.flags.difference(TypeFlags::PTR_MAYBE_NULL);
        let exchanges = call.proto.func == Func::KptrXchg;
        if trust == TypeFlags::empty()
            || trust == TypeFlags::PTR_TRUSTED
            || trust == TypeFlags::MEM_RCU
        {
            let released = param.has(TypeFlags::OBJ_RELEASE);
            if state.may_be_null() && (released || !param.has(TypeFlags::PTR_MAYBE_NULL)) {
                return self.env.reject(Message::PossiblyNull { reg: reg.number() });
            }
            if exchanges {
                return self.check_exchanged(call, reg);
            }
            let own = match param.ty.base {
                ArgBase::BtfId | ArgBase::SpinLock => param.btf,
                _ => KernelType::None,
            };
            let wanted = if own == KernelType::None { takes.btf } else { own };
            let Some(wanted) = self.known_type(wanted)? else {
                return self.bug(format_args!("missing arg compatible BTF ID"));
            };
            let strict = released && call.proto.func != Func::SkRelease;
            return self.match_object(reg, state, wanted, strict);
        }
        if state.flags.contains(TypeFlags::MEM_ALLOC)
            && state.flags.difference(TypeFlags::MEM_ALLOC | TypeFlags::MEM_PERCPU).is_empty()
        {
            if !exchanges && !matches!(call.proto.func, Func::SpinLock | Func::SpinUnlock) {
                return self.bug(format_args!("unimplemented handling of MEM_ALLOC"));
            }
            if exchanges && reg == Reg::R2 {
                return self.check_exchanged(call, reg);
            }
            return Ok(());
        }
        if state.flags.contains(TypeFlags::MEM_PERCPU) && !state.may_be_null() {
            return Ok(());
        }
        self.bug(format_args!("invalid PTR_TO_BTF_ID register for type match"))
    }

    /// What is put into a field must be of the field's type.
    fn check_exchanged(&mut self, call: &Call<'_>, reg: Reg) -> Step {
        let Some(kptr) = call.kptr else {
            return self.bug(format_args!("exchange without a field"));
        };
        if self.matches_kptr(&kptr, reg)? {
            return Ok(());
        }
        Err(Errno::EACCES.into())
    }

    /// The object must be of the wanted kernel type, or have it at the register's offset.
    fn match_object(
        &mut self,
        reg: Reg,
        state: &RegState,
        wanted: veristable_btf::TypeId,
        strict: bool,
    ) -> Step {
        let Kind::BtfId { btf, id } = state.kind else {
            return self.bug(format_args!("object without a type"));
        };
        let is_local = state.flags.contains(TypeFlags::MEM_ALLOC);
        if self.struct_ids_match(
            (btf, id),
            state.off,
            (BtfRef::Kernel, wanted),
            strict,
            is_local,
        )? {
            return Ok(());
        }
        let name = |sim: &Self, btf, id| -> Step<Text> {
            let ty = sim.btf(btf)?.type_by_id(id).ok();
            Ok(Text::new(ty.map_or("", |ty| ty.name())))
        };
        let is = name(self, btf, id)?;
        let expected = name(self, BtfRef::Kernel, wanted)?;
        self.env.reject(Message::WrongType { reg: reg.number(), is, expected })
    }
}

/// The register's type without the modifiers that do not matter to the argument.
fn compared_type(call: &Call<'_>, reg: Reg, param: &Param<'_>, state: &RegState) -> RegType {
    let mut ty = RegType { base: state.kind.base(), flags: state.flags };
    for flag in [TypeFlags::MEM_RDONLY, TypeFlags::PTR_MAYBE_NULL] {
        if param.has(flag) {
            ty.flags.remove(flag);
        }
    }
    if param.ty.base == ArgBase::Mem {
        ty.flags.remove(DYNPTR_KINDS);
    }
    // The second argument of an exchange may be an object that the program allocated.
    if call.proto.func == Func::KptrXchg
        && ty.flags.contains(TypeFlags::MEM_ALLOC)
        && reg == Reg::R2
    {
        ty.flags.remove(TypeFlags::MEM_ALLOC | TypeFlags::MEM_PERCPU);
    }
    ty
}
