// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which types of the program's BTF stand for its context (`btf_is_prog_ctx_type`,
//! `btf_validate_prog_ctx_type` of kernel/bpf/btf.c).

use crate::mem::Text;
use crate::messages::Functions;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::trace::Observer;
use veristable_btf::{Btf, Kind, Type, TypeId};
use veristable_kernel::{AttachType, ProgType};

/// The typedef that kprobe programs know their registers by.
const USER_REGS: &str = "bpf_user_pt_regs_t";

/// The structure whose members pair the context types of all program types
/// (`bpf_ctx_convert` of kernel/bpf/btf.c).
const CONTEXTS: &str = "bpf_ctx_convert";

/// Modifiers in a row at most; BTF with more is not loaded.
const MAX_MODIFIERS: usize = 128;

/// Steps over modifiers, but not over a typedef.
fn skip_to_typedef<'b>(btf: &'b Btf<'b>, id: TypeId) -> Option<Type<'b>> {
    let mut ty = btf.type_by_id(id).ok()?;
    for _ in 0..MAX_MODIFIERS {
        if !ty.kind().is_modifier() || ty.kind() == Kind::Typedef {
            return Some(ty);
        }
        ty = btf.type_by_id(ty.target()?).ok()?;
    }
    None
}

impl<'a, O: Observer> Sim<'_, 'a, O> {
    /// The type that the kernel knows a program's context by: `struct __sk_buff`,
    /// `bpf_user_pt_regs_t`, `void *` (`find_canonical_prog_ctx_type`).
    fn canonical_context(&self, prog_type: ProgType) -> Step<Type<'a>> {
        let kernel = self.env.kernel;
        let found = kernel.btf(None)?.and_then(|btf| {
            let contexts = btf.type_by_id(btf.find_by_name(CONTEXTS, Kind::Struct)?).ok()?;
            let mut members = contexts.members().iter();
            let wanted = prog_type.name();
            let is_wanted = |member: &str| {
                let name = member.strip_prefix("BPF_PROG_TYPE_")?.strip_suffix("_prog")?;
                (Some(name) == wanted).then_some(())
            };
            // A type that was not compiled in has the index 0.
            let member = members
                .find(|member| is_wanted(member.name()).is_some())
                .or_else(|| contexts.members().get(0))?;
            btf.type_by_id(member.type_id).ok()
        });
        match found {
            Some(ty) => Ok(ty),
            None => self.env.unsupported("kernel BTF", CONTEXTS),
        }
    }

    /// Whether a pointer to `id` is the context by its type alone (`btf_is_prog_ctx_type`).
    pub(super) fn is_context_type(
        &self,
        btf: &Btf<'_>,
        id: TypeId,
        prog_type: ProgType,
    ) -> Step<bool> {
        if prog_type == ProgType::KPROBE
            && skip_to_typedef(btf, id)
                .is_some_and(|ty| ty.kind() == Kind::Typedef && ty.name() == USER_REGS)
        {
            return Ok(true);
        }
        let Ok(ty) = btf.skip_modifiers(id) else { return Ok(false) };
        if !ty.kind().is_composite() {
            return Ok(false);
        }
        let mut context = self.canonical_context(prog_type)?;
        for _ in 0..MAX_MODIFIERS {
            let name = context.name();
            // Types without a name work only with the tag.
            if name.is_empty() {
                return Ok(false);
            }
            let projects =
                matches!((name, ty.name()), ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff"));
            if projects || name == ty.name() {
                return Ok(true);
            }
            if !context.kind().is_modifier() {
                return Ok(false);
            }
            let Ok(next) = context.btf().skip_modifiers(context.id()) else { return Ok(false) };
            context = next;
        }
        Ok(false)
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
        if by_typedef
            && skip_to_typedef(btf, id)
                .is_some_and(|ty| ty.kind() == Kind::Typedef && ty.name() == USER_REGS)
        {
            return Ok(());
        }
        let Ok(ty) = btf.skip_modifiers(id) else { return self.env.unsupported("BTF", "chain") };
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
        let Ok(context) = context.btf().skip_modifiers(context.id()) else {
            return self.env.unsupported("kernel BTF", CONTEXTS);
        };
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

    /// The structure behind [`USER_REGS`] on this architecture.
    fn user_regs_struct(&self) -> Step<&'static str> {
        if self.env.kernel.config("CONFIG_X86")?.is_some() {
            return Ok("pt_regs");
        }
        self.env.unsupported("context of this architecture", "PERF_EVENT")
    }
}
