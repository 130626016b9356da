// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which types of the program's BTF stand for its context (`btf_is_prog_ctx_type`,
//! `btf_validate_prog_ctx_type` of kernel/bpf/btf.c).

use crate::analysis::prog_context::{is_context, is_user_registers};
use crate::design::Design;
use crate::mem::Text;
use crate::messages::Functions;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::trace::Observer;
use veristable_btf::{Btf, Kind, Type, TypeId};
use veristable_kernel::{AttachType, ProgType};

impl<'a, D: Design, O: Observer> Sim<'_, 'a, D, O> {
    /// Whether a pointer to `id` is the context by its type alone.
    pub(super) fn is_context_type(
        &self,
        btf: &Btf<'_>,
        id: TypeId,
        prog_type: ProgType,
    ) -> Step<bool> {
        let kernel = self.env.kernel;
        let types = kernel.context_types(prog_type)?;
        match kernel.btf(None)? {
            Some(kernel) => Ok(is_context(kernel, types, btf, id, prog_type)),
            // A kernel whose BTF is not known.
            None => self.env.unsupported("kernel BTF", "none"),
        }
    }

    /// The structure that the kernel knows a program's context by, or what stands there where
    /// there is none.
    fn canonical_context(&self, prog_type: ProgType) -> Step<Type<'a>> {
        let kernel = self.env.kernel;
        let types = kernel.context_types(prog_type)?;
        let found = types.zip(kernel.btf(None)?);
        let found = found.and_then(|(types, btf)| btf.skip_modifiers(types.program).ok());
        match found {
            Some(ty) => Ok(ty),
            // A kernel whose BTF is not known, or lacks `struct bpf_ctx_convert`.
            None => self.env.unsupported("kernel BTF", "context types"),
        }
    }

    /// Refuses a pointer to `id`, tagged `arg:ctx`, that is no context of this type of program
    /// (`btf_validate_prog_ctx_type`).
    pub(super) fn check_context_type(
        &mut self,
        btf: &Btf<'_>,
        id: TypeId,
        arg: u32,
        prog_type: ProgType,
    ) -> Step {
        let by_typedef = matches!(prog_type, ProgType::KPROBE | ProgType::PERF_EVENT);
        if by_typedef && is_user_registers(btf, id) {
            return Ok(());
        }
        let Ok(ty) = btf.skip_modifiers(id) else {
            // Kernels load no BTF with such chains.
            return self.env.unsupported("BTF", "chain");
        };
        if ty.kind() == Kind::Void {
            return Ok(());
        }
        let name = ty.name();
        if name.is_empty() {
            return self.env.reject(Functions::ContextName { arg });
        }
        if self.is_special_context(&ty, prog_type)? {
            return Ok(());
        }
        let context = self.canonical_context(prog_type)?;
        if context.kind() != Kind::Struct {
            return self.env.reject(Functions::ContextVoid { arg });
        }
        if ty.kind() != Kind::Struct || context.name() != name {
            let name = Text::new(context.name());
            return self.env.reject(Functions::ContextStruct { arg, name });
        }
        Ok(())
    }

    /// What some program types take beside their named structure.
    fn is_special_context(&self, ty: &Type<'_>, prog_type: ProgType) -> Step<bool> {
        let is_struct = |name| ty.kind() == Kind::Struct && ty.name() == name;
        let is_u64 = ty.as_int().is_some_and(|int| int.size == 8);
        Ok(match prog_type {
            ProgType::KPROBE => is_struct("pt_regs"),
            ProgType::PERF_EVENT => is_struct(self.user_regs_struct()?),
            ProgType::RAW_TRACEPOINT
            | ProgType::RAW_TRACEPOINT_WRITABLE
            | ProgType::LSM
            | ProgType::STRUCT_OPS => is_u64,
            ProgType::TRACING => match self.env.prog.attach_type {
                AttachType::TRACE_RAW_TP => is_struct("bpf_raw_tracepoint_args") || is_u64,
                AttachType::TRACE_ITER => {
                    ty.kind() == Kind::Struct && ty.name().starts_with("bpf_iter__")
                }
                AttachType::TRACE_FENTRY | AttachType::TRACE_FEXIT | AttachType::MODIFY_RETURN => {
                    is_u64
                }
                _ => false,
            },
            ProgType::TRACEPOINT | ProgType::SYSCALL | ProgType::EXT => true,
            _ => false,
        })
    }

    /// The structure behind `bpf_user_pt_regs_t` on this architecture.
    fn user_regs_struct(&self) -> Step<&'static str> {
        if self.env.kernel.config("CONFIG_X86")?.is_some() {
            return Ok("pt_regs");
        }
        // The built-in kernels are of this architecture.
        self.env.unsupported("context of this architecture", "PERF_EVENT")
    }
}
