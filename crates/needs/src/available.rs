// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Whether a kernel has a thing, for a program that needs it.

use crate::item::prog_type;
use crate::{InsnClass, Item, TargetKind};
use veristable_btf::relo::essential_name;
use veristable_btf::{Btf, Kind, Type, TypeId};
use veristable_kernel::{
    Allowed, Answer, AttachType, Fact, HelperAnswer, Kernel, KfuncRef, ProgContext,
};
use veristable_object::CoreUse;

/// Whether a kernel has something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Has {
    /// It does.
    Yes,
    /// It does not, or not for this program: in what way, in a few words.
    No(String),
    /// It is not known, and what is not.
    Unknown(String),
}

impl Has {
    fn of<T>(answer: Answer<T>, otherwise: &str) -> Self {
        match answer {
            Ok(Some(_)) => Self::Yes,
            Ok(None) => Self::No(otherwise.to_owned()),
            Err(Fact(what)) => Self::Unknown(what),
        }
    }
}

/// Whether `kernel` has `item` for a program.
#[must_use]
pub fn has(item: &Item, program: &ProgContext<'_>, kernel: &dyn Kernel) -> Has {
    match item {
        Item::ProgramType(ty) => {
            Has::of(kernel.prog_type(&ProgContext::of(*ty)), "no programs of this type")
        }
        Item::AttachType(_, ty) => has_attach_type(*ty, kernel),
        Item::Target(kind, name) => has_target(*kind, name, kernel),
        Item::StructOps { structure, member } => has_member(structure, member, kernel),
        Item::Helper(id) => match kernel.helper(*id, program) {
            Ok(HelperAnswer::NoSuchHelper) => Has::No("no such helper".into()),
            Ok(HelperAnswer::NotForProgram) => Has::No(not_for(program)),
            Ok(HelperAnswer::Available(helper)) => match helper.allowed {
                Allowed::Yes => Has::Yes,
                Allowed::No => Has::No("not where this program attaches".into()),
                Allowed::Unknown(Fact(what)) => Has::Unknown(what),
            },
            Err(Fact(what)) => Has::Unknown(what),
        },
        Item::Kfunc(name) => has_kfunc(KfuncRef::Name(name), program, kernel),
        Item::KfuncId(id) => has_kfunc(KfuncRef::BtfId(*id), program, kernel),
        Item::MapType(ty) => Has::of(kernel.map_type(*ty), "no maps of this type"),
        Item::Instruction(class) => has_instruction(*class, kernel),
        Item::Variable(name) => Has::of(
            kernel.btf(None).map(|btf| btf.and_then(|btf| btf.find_by_name(name, Kind::Var))),
            "no such variable",
        ),
        Item::Symbol(name) => Has::of(kernel.symbol(name), "no such symbol"),
        Item::Config(name) if name.starts_with("CONFIG_") => {
            Has::of(kernel.config(name), "not set")
        }
        // libbpf itself answers these.
        Item::Config(_) => Has::Yes,
        Item::Core(kind, name) => match kernel.btf(None) {
            Ok(Some(btf)) if has_type(btf, *kind, name) => Has::Yes,
            Ok(Some(_)) => Has::No("not in the kernel's BTF".into()),
            Ok(None) => Has::No("no BTF".into()),
            Err(Fact(what)) => Has::Unknown(what),
        },
    }
}

fn not_for(program: &ProgContext<'_>) -> String {
    format!("not for {} programs", prog_type(program.prog_type))
}

/// An attach type is a value of `enum bpf_attach_type` in the kernel's BTF.
fn has_attach_type(ty: AttachType, kernel: &dyn Kernel) -> Has {
    let btf = match kernel.btf(None) {
        Ok(Some(btf)) => btf,
        Ok(None) => return Has::Unknown("attach types: the kernel has no BTF".into()),
        Err(Fact(what)) => return Has::Unknown(what),
    };
    let values = btf.find_by_name("bpf_attach_type", Kind::Enum);
    let values = values.and_then(|id| btf.type_by_id(id).ok()?.as_enum());
    let Some(values) = values else {
        return Has::Unknown("enum bpf_attach_type".into());
    };
    let known = values
        .values
        .iter()
        .any(|value| value.value == i64::from(ty.0) && !value.name_bytes().starts_with(b"__MAX"));
    if known { Has::Yes } else { Has::No("no such attach type".into()) }
}

fn has_target(kind: TargetKind, name: &str, kernel: &dyn Kernel) -> Has {
    let (module, name) = match name.split_once(':') {
        Some((module, name)) => (Some(module), name),
        None => (None, name),
    };
    if let Some(module) = module.filter(|module| *module != "vmlinux") {
        return Has::Unknown(format!("the module {module}"));
    }
    match kind {
        TargetKind::Program => Has::Yes,
        TargetKind::Tracepoint => Has::of(kernel.tracepoint(name), "no such tracepoint"),
        TargetKind::LsmHook => Has::of(kernel.lsm_hook(name), "no such hook"),
        TargetKind::Iterator => Has::of(kernel.iter_target(name), "no such iterator"),
        TargetKind::Function => Has::of(
            kernel.btf(None).map(|btf| btf.and_then(|btf| btf.find_by_name(name, Kind::Func))),
            "no such function in the kernel's BTF",
        ),
    }
}

fn has_member(structure: &str, member: &str, kernel: &dyn Kernel) -> Has {
    match kernel.struct_ops(structure) {
        Ok(None) => return Has::No("no such structure".into()),
        Err(Fact(what)) => return Has::Unknown(what),
        Ok(Some(_)) => {}
    }
    match kernel.struct_ops_member(structure, member) {
        Ok(Some(found)) if !found.implementable => Has::No("not open to programs".into()),
        answer => Has::of(answer, "no such member"),
    }
}

fn has_kfunc(kfunc: KfuncRef<'_>, program: &ProgContext<'_>, kernel: &dyn Kernel) -> Has {
    match kernel.kfunc(kfunc, program) {
        Ok(Some(found)) if !found.allowed => Has::No(not_for(program)),
        answer => Has::of(answer, "no such kfunc"),
    }
}

fn has_instruction(class: InsnClass, kernel: &dyn Kernel) -> Has {
    let (major, minor) = class.since();
    let known = match class.behaviour() {
        Some(behaviour) => kernel.behaviours().has(behaviour),
        None => kernel.id().version_code >= major << 16 | minor << 8,
    };
    if !known {
        return Has::No("unknown to the verifier".into());
    }
    match class.jit().map(|feature| kernel.jit(feature)) {
        None | Some(Ok(true)) => Has::Yes,
        Some(Ok(false)) => Has::No("not in this architecture's JIT".into()),
        Some(Err(Fact(what))) => Has::Unknown(what),
    }
}

/// Whether a type, field or enum value is in the BTF, by its names alone.
fn has_type(btf: &Btf<'_>, kind: CoreUse, name: &str) -> bool {
    let separator = match kind {
        CoreUse::Field => ".",
        CoreUse::EnumValue => "::",
        CoreUse::Type => "\0",
    };
    let (root, path) = name.split_once(separator).unwrap_or((name, ""));
    let root = root.trim_end_matches("[]");
    let kinds = [Kind::Struct, Kind::Union, Kind::Enum, Kind::Enum64, Kind::Typedef, Kind::Int];
    let roots = kinds.into_iter().filter_map(|kind| btf.find_by_name(root, kind));
    roots.into_iter().any(|root| match kind {
        CoreUse::Type => true,
        CoreUse::EnumValue => has_value(btf, root, path),
        CoreUse::Field => has_path(btf, root, path),
    })
}

fn has_value(btf: &Btf<'_>, root: TypeId, name: &str) -> bool {
    let data = btf.skip_modifiers(root).ok().and_then(|ty| ty.as_enum());
    let essential = |raw: &[u8]| essential_name(raw) == name.as_bytes();
    data.is_some_and(|data| data.values.iter().any(|value| essential(value.name_bytes())))
}

fn has_path(btf: &Btf<'_>, root: TypeId, path: &str) -> bool {
    let names = path.split('.').map(|step| step.trim_end_matches("[]"));
    let mut at = root;
    for name in names.filter(|name| !name.is_empty()) {
        match member(btf, at, name) {
            Some(next) => at = next,
            None => return false,
        }
    }
    true
}

/// The type of a member of this name, also inside of members without a name.
fn member(btf: &Btf<'_>, id: TypeId, name: &str) -> Option<TypeId> {
    /// More than any kernel nests.
    const MOST: usize = 1000;
    let mut open = vec![element(btf, id)?.id()];
    for _ in 0..MOST {
        let ty = btf.type_by_id(open.pop()?).ok()?;
        for member in ty.members() {
            if member.name_bytes() == name.as_bytes() {
                return Some(member.type_id);
            }
            if member.name_bytes().is_empty() {
                open.extend(element(btf, member.type_id).map(|inner| inner.id()));
            }
        }
    }
    None
}

/// A type without modifiers; of an array, that of its elements.
fn element<'b>(btf: &'b Btf<'b>, id: TypeId) -> Option<Type<'b>> {
    /// More dimensions than any array has.
    const MOST: usize = 32;
    let mut ty = btf.skip_modifiers(id).ok()?;
    for _ in 0..MOST {
        let Some(array) = ty.as_array() else { break };
        ty = btf.skip_modifiers(array.element).ok()?;
    }
    Some(ty)
}
