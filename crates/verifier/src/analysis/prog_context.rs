// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which BTF types stand for a program's context (`bpf_ctx_convert` of `kernel/bpf/btf.c`): the
//! structure as programs see it, and the kernel's own behind it.

use veristable_btf::{Btf, Kind, Type, TypeId};
use veristable_kernel::{ContextTypes, ProgType};

/// Whether programs know a kernel structure under another name (`btf_is_projection_of`).
pub(crate) fn is_projection(program: &str, kernel: &str) -> bool {
    matches!((program, kernel), ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff"))
}

/// Whether a pointer to `target` points to the context of programs of this type
/// (`btf_is_prog_ctx_type`). `target` counts in `btf`, which may be the kernel's or another; `types`
/// is what the kernel's BTF says of the program type.
pub(crate) fn is_context(
    kernel: &Btf<'_>,
    types: Option<ContextTypes>,
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
    let Some(types) = types else { return false };
    let Ok(context) = kernel.type_by_id(types.program) else { return false };
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
