// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The program's context (`check_ctx_access`).

use super::plain::Part;
use super::{Access, Span};
use crate::analysis::offer::is_context_open;
use crate::design::Design;
use crate::messages::Memory;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, Kind, RegId, RegState};
use crate::trace::Observer;
use veristable_btf::TypeId;
use veristable_isa::Reg;
use veristable_kernel::{
    AttachType, Behaviour, CtxAccess, CtxAnswer, CtxField, Direction, ProgType, RegBase,
    ReturnRange, TypeFlags, TypeRef,
};

/// What a permitted access to the context yields (`struct bpf_insn_access_aux`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct CtxLoad {
    /// What a loaded register holds.
    pub(crate) kind: Kind,
    /// Its modifiers.
    pub(crate) flags: TypeFlags,
    /// The reference that it belongs to, 0 if none.
    pub(crate) ref_id: u32,
    /// It is what the traced function returned, which lies in this range.
    pub(crate) range: Option<(i32, i32)>,
}

/// What accesses to the context yield. The kernel is asked again only if other accesses have taken
/// an access's place.
#[derive(Debug, Default)]
pub(crate) struct CtxLoads {
    known: [Option<(CtxAccess, CtxLoad)>; 16],
}

impl CtxLoads {
    /// The place of an access: members of a structure follow each other in steps of four bytes.
    fn place(&mut self, access: CtxAccess) -> Option<&mut Option<(CtxAccess, CtxLoad)>> {
        let steps = access.offset.cast_unsigned() / 4;
        self.known.get_mut((steps % 16) as usize)
    }
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// A load from or store to the context.
    pub(super) fn access_ctx(
        &mut self,
        span: Span,
        pointer: &RegState,
        access: Access,
        sign_extend: bool,
    ) -> Step {
        if let Access::Write(value) = access {
            self.refuse_leak(value, "ctx")?;
        }
        self.check_unmoved(span.base, pointer, false)?;
        let Part { off, size, .. } = Part::of(span, pointer);
        let direction = match access {
            Access::Read(_) => Direction::Read,
            Access::Write(_) => Direction::Write,
        };
        let question = CtxAccess { offset: off, size, direction, sign_extend };
        let Some(load) = self.resolve_ctx(question)? else {
            self.env.say(Memory::Context { off, size })?;
            self.env.source_line(self.insn, &"; ");
            return Err(crate::errno::Errno::EACCES.into());
        };
        match access {
            Access::Read(Some(dst)) => self.load_from_ctx(dst, &load),
            _ => Ok(()),
        }
    }

    /// What an access yields; `None` if it is refused.
    fn resolve_ctx(&mut self, access: CtxAccess) -> Step<Option<CtxLoad>> {
        if self.env.replaces_struct_ops() {
            // `bpf_struct_ops_verifier_ops` has no `is_valid_access`.
            return Ok(None);
        }
        if matches!(self.env.prog.rules, ProgType::TRACING | ProgType::LSM | ProgType::STRUCT_OPS) {
            return self.access_ctx_by_btf(access);
        }
        if let Some(Some((known, load))) = self.ctx_loads.place(access)
            && *known == access
        {
            return Ok(Some(*load));
        }
        if !is_context_open(self.env, access) {
            return Ok(None);
        }
        let program = self.env.context();
        let load = match self.env.kernel.context(access, &program)? {
            CtxAnswer::Refused => return Ok(None),
            CtxAnswer::Allowed(field) => self.ctx_field(&field)?,
            CtxAnswer::ByBtf => return self.access_ctx_by_btf(access),
        };
        if let Some(place) = self.ctx_loads.place(access) {
            *place = Some((access, load));
        }
        Ok(Some(load))
    }

    fn ctx_field(&mut self, field: &CtxField<'_>) -> Step<CtxLoad> {
        if field.conversion_fails {
            // No access to a context of a built-in kernel is permitted and then not converted.
            return self.env.unsupported("context conversion", "that fails");
        }
        let kind = match field.ty.base {
            RegBase::Scalar => Kind::Scalar,
            RegBase::PacketMeta => Kind::PacketMeta { range: 0 },
            RegBase::Packet => Kind::Packet { range: 0 },
            RegBase::PacketEnd => Kind::PacketEnd,
            RegBase::FlowKeys => Kind::FlowKeys,
            RegBase::Socket => Kind::Socket,
            RegBase::SockCommon => Kind::SockCommon,
            RegBase::TcpSock => Kind::TcpSock,
            RegBase::XdpSock => Kind::XdpSock,
            RegBase::TpBuffer => Kind::TpBuffer,
            RegBase::Buf => Kind::Buf,
            RegBase::Mem => Kind::Mem { size: 0, dynptr_id: 0 },
            RegBase::BtfId => Kind::BtfId { btf: BtfRef::Kernel, id: self.kernel_type(field.btf)? },
            // No context of 6.12 or 6.18 has a field of another kind.
            other => return self.env.unsupported("context field", other.kernel_name()),
        };
        let range = if field.is_retval { self.traced_return_range()? } else { None };
        Ok(CtxLoad { kind, flags: field.ty.flags, ref_id: 0, range })
    }

    /// The id of a type in the kernel's BTF.
    pub(super) fn kernel_type(&mut self, ty: Option<TypeRef<'_>>) -> Step<TypeId> {
        let Some(ty) = ty else {
            // Facts that name no type for a pointer: the built-in ones all do.
            return self.env.unsupported("context field", "pointer without a type");
        };
        if let Some(id) = ty.id {
            return Ok(TypeId(id));
        }
        let btf = self.btf(BtfRef::Kernel)?;
        match btf.find_by_name(ty.name, ty.kind.into()) {
            Some(id) => Ok(id),
            // Facts of another kernel than the BTF.
            None => self.env.unsupported("context field", ty.name),
        }
    }

    /// What the LSM hook that the program attaches to returns (`get_func_retval_range`).
    pub(crate) fn traced_return_range(&mut self) -> Step<Option<(i32, i32)>> {
        let prog = &self.env.prog;
        if prog.prog_type != ProgType::LSM || prog.attach_type != AttachType::LSM_MAC {
            return Ok(None);
        }
        let Some(name) = self.env.context().attach_name else { return Ok(None) };
        let hook = self.env.kernel.lsm_hook(name)?;
        match hook.and_then(|hook| hook.ret) {
            Some(ReturnRange::Within(min, max)) => Ok(Some((min, max))),
            Some(ReturnRange::Any) => Ok(None),
            // It was measured of all hooks to which programs attach.
            None => self.env.unsupported("return value of an LSM hook", name),
        }
    }

    fn load_from_ctx(&mut self, dst: Reg, load: &CtxLoad) -> Step {
        if matches!(load.kind, Kind::Scalar) && load.flags.is_empty() {
            let Some((min, max)) = load.range else {
                self.reg_mut(dst)?.set_unknown();
                return Ok(());
            };
            if self.env.has(Behaviour::RestartReturnValue) {
                self.reg_mut(dst)?.set_unknown();
            }
            // `__mark_reg_s32_range`: what the register held before is only narrowed.
            let rules = self.env.rules;
            let reg = self.reg_mut(dst)?;
            (reg.kind, reg.flags) = (Kind::Scalar, TypeFlags::empty());
            let value = &mut reg.value;
            value.s32.min = value.s32.min.max(min);
            value.s32.max = value.s32.max.min(max);
            value.s64.min = value.s64.min.max(i64::from(min));
            value.s64.max = value.s64.max.min(i64::from(max));
            value.sync(rules);
            return self.check_invariants(dst, "s32_range");
        }
        let maybe_null = load.flags.contains(TypeFlags::PTR_MAYBE_NULL);
        let id = if maybe_null { self.new_id() } else { 0 };
        let reg = self.reg_mut(dst)?;
        reg.set_number(0);
        (reg.kind, reg.flags, reg.id) = (load.kind, load.flags, RegId(id));
        reg.ref_id = load.ref_id;
        // Whatever was loaded, the register holds a whole pointer.
        reg.subreg_def = 0;
        Ok(())
    }
}
