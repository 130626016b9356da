// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Whether kernels take the BTF that an object carries.
//!
//! libbpf goes on without BTF that the kernel refuses, unless the object has struct_ops maps
//! (`bpf_object__sanitize_and_load_btf`): its programs and maps are then loaded without types.

use veristable_btf::{Btf, Kind, Type, TypeId};

/// Whether kernels take it. The one refusal that compilers are known to provoke: naked functions
/// have parameters without names, and every kernel wants names (`btf_func_check`,
/// `kernel/bpf/btf.c`).
pub(crate) fn is_loadable(btf: &Btf<'_>) -> bool {
    btf.types().filter(|ty| ty.kind() == Kind::Func).all(|ty| has_named_parameters(btf, &ty))
}

fn has_named_parameters(btf: &Btf<'_>, function: &Type<'_>) -> bool {
    let Ok(proto) = btf.type_by_id(TypeId(function.size_or_type())) else { return true };
    let Some(proto) = proto.as_func_proto() else { return true };
    // The last of a variable number of parameters has neither name nor type.
    proto.params.iter().all(|param| param.name_offset != 0 || param.type_id.is_void())
}

#[cfg(test)]
mod tests {
    use super::is_loadable;
    use veristable_btf::writer::Writer;
    use veristable_btf::{Btf, Linkage, TypeId};

    #[test]
    fn parameters_of_functions_have_names() {
        let check = |params: &[(&str, Option<TypeId>)], is_function: bool, want: bool| {
            let mut writer = Writer::new();
            let int = writer.add_int("int", 4, 0);
            let params: Vec<_> =
                params.iter().map(|(name, ty)| (*name, ty.unwrap_or(int))).collect();
            let proto = writer.add_func_proto(int, &params);
            if is_function {
                writer.add_func("f", proto, Linkage::Static);
            }
            let bytes = writer.finish();
            assert_eq!(is_loadable(&Btf::open(bytes).unwrap()), want, "{params:?}");
        };
        check(&[("a", None)], true, true);
        check(&[("a", None), ("", None)], true, false);
        // A pointer to a function needs no names, and `...` has none.
        check(&[("", None)], false, true);
        check(&[("a", None), ("", Some(TypeId::VOID))], true, true);
    }
}
