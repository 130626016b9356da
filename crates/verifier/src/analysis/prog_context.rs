// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which BTF types stand for a program's context (`bpf_ctx_convert` of `kernel/bpf/btf.c`): the
//! structure as programs see it, and the kernel's own behind it.

use crate::mem::Text;
use veristable_btf::{Btf, Kind, Type, TypeId};
use veristable_kernel::ProgType;

/// Which of the two types of a program type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum View {
    /// As programs see it, e.g. `__sk_buff`.
    Program,
    /// As the kernel has it, e.g. `sk_buff`.
    Kernel,
}

/// The member of `struct bpf_ctx_convert`. A program type without members of its own has those of
/// the first type, as `bpf_ctx_convert_map` is zero there.
fn converted(kernel: &Btf<'_>, prog_type: ProgType, view: View) -> Option<TypeId> {
    let id = kernel.find_by_name("bpf_ctx_convert", Kind::Struct)?;
    let convert = kernel.type_by_id(id).ok()?;
    let suffix = match view {
        View::Program => "prog",
        View::Kernel => "kern",
    };
    let name = prog_type.name().unwrap_or("");
    let name = Text::format(format_args!("BPF_PROG_TYPE_{name}_{suffix}"));
    let members = convert.members();
    let own = members.iter().find(|member| member.name() == name.as_str());
    let other = || members.get(usize::from(view == View::Kernel));
    own.or_else(other).map(|member| member.type_id)
}

/// The kernel's own context type of a program type, as a type id of the kernel's BTF
/// (`get_kern_ctx_btf_id`); often a pointer's or a number's where there is no structure.
pub(crate) fn kernel_context(kernel: &Btf<'_>, prog_type: ProgType) -> Option<TypeId> {
    converted(kernel, prog_type, View::Kernel)
}

/// The context type of a program type as programs see it, as a type id of the kernel's BTF
/// (`find_canonical_prog_ctx_type`).
pub(crate) fn program_context(kernel: &Btf<'_>, prog_type: ProgType) -> Option<TypeId> {
    converted(kernel, prog_type, View::Program)
}

/// Whether programs know a kernel structure under another name (`btf_is_projection_of`).
pub(crate) fn is_projection(program: &str, kernel: &str) -> bool {
    matches!((program, kernel), ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff"))
}

/// Whether a pointer to `target` points to the context of programs of this type
/// (`btf_is_prog_ctx_type`). `target` counts in `btf`, which may be the kernel's or another.
pub(crate) fn is_context(
    kernel: &Btf<'_>,
    btf: &Btf<'_>,
    target: TypeId,
    prog_type: ProgType,
) -> bool {
    if prog_type == ProgType::KPROBE && is_user_registers(btf, target) {
        return true;
    }
    let Ok(target) = btf.skip_modifiers(target) else { return false };
    if !target.kind().is_composite() {
        return false;
    }
    let Some(context) = converted(kernel, prog_type, View::Program) else { return false };
    let Ok(context) = kernel.type_by_id(context) else { return false };
    let names = |context: &Type<'_>| {
        let name = context.name();
        !name.is_empty() && (is_projection(name, target.name()) || name == target.name())
    };
    if context.name().is_empty() {
        return false;
    }
    if names(&context) {
        return true;
    }
    // `bpf_user_pt_regs_t` is a typedef; the structure behind it counts as well.
    context.kind().is_modifier()
        && kernel.skip_modifiers(context.id()).is_ok_and(|context| names(&context))
}

/// Whether a type is, behind qualifiers, the typedef `bpf_user_pt_regs_t`.
pub(crate) fn is_user_registers(btf: &Btf<'_>, mut id: TypeId) -> bool {
    // No chain that the kernel loads is longer.
    for _ in 0..32 {
        let Ok(ty) = btf.type_by_id(id) else { return false };
        match ty.kind() {
            Kind::Typedef => return ty.name() == "bpf_user_pt_regs_t",
            kind if kind.is_modifier() => id = TypeId(ty.size_or_type()),
            _ => return false,
        }
    }
    false
}
