// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a kernel that refuses a program lacks, where that is the reason.
//!
//! A thing counts as the reason only if the refusal is about it: the linker failed on it, or the
//! verifier stopped at the very instruction that uses it and the kernel does not have it.

use crate::{Has, InsnClass, Item, ItemKind, TargetKind, has};
use veristable_isa::{CallKind, Op, decode};
use veristable_kernel::{Fact, HelperId, Kernel, KfuncRef, ProgType};
use veristable_object::{Absence, CoreUse, ExternUse, LinkError, Object, ProgramInfo, section_def};
use veristable_program::{FixupKind, LoadRequest};
use veristable_verifier::Rejected;

/// What is missing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// What kind of thing.
    pub kind: ItemKind,
    /// Its name.
    pub name: String,
    /// In what way it is missing, in a few words; may be empty.
    pub why: String,
}

impl Missing {
    fn of(item: &Item, why: impl Into<String>, kernel: &dyn Kernel) -> Self {
        Self { kind: item.kind(), name: item.name([kernel]), why: why.into() }
    }
}

/// What the linker failed on.
#[must_use]
pub fn at_link(
    error: &LinkError,
    object: &Object,
    program: &ProgramInfo,
    kernel: &dyn Kernel,
) -> Option<Missing> {
    match error {
        LinkError::AttachTarget { name, .. } => {
            let def = section_def(&program.section)?;
            let kind = TargetKind::of(def.prog_type, def.attach_type);
            let item = Item::Target(kind, name.clone());
            Some(Missing::of(&item, "not in the kernel's BTF", kernel))
        }
        LinkError::Extern { name, problem } => {
            let item = match object.extern_use(name)? {
                ExternUse::Function => Item::Kfunc(name.clone()),
                ExternUse::Variable => Item::Variable(name.clone()),
                ExternUse::Symbol => Item::Symbol(name.clone()),
                ExternUse::Config => Item::Config(name.clone()),
            };
            Some(Missing::of(&item, problem.as_str(), kernel))
        }
        LinkError::StructOps { .. } => {
            let uses = object.uses();
            let uses = uses.iter().find(|uses| uses.info == *program)?;
            uses.struct_ops.iter().find_map(|(structure, member)| {
                let item = Item::StructOps { structure: structure.clone(), member: member.clone() };
                let context = veristable_kernel::ProgContext::of(ProgType::STRUCT_OPS);
                match has(&item, &context, kernel) {
                    Has::No(why) => Some(Missing::of(&item, why, kernel)),
                    Has::Yes | Has::Unknown(_) => None,
                }
            })
        }
        LinkError::Object(inner) => at_link(inner, object, program, kernel),
        _ => None,
    }
}

/// A map of the program that the kernel cannot create, so that no loader gets as far as the
/// program.
#[must_use]
pub fn map(request: &LoadRequest, kernel: &dyn Kernel) -> Option<Missing> {
    let specs =
        request.maps.iter().flat_map(|map| std::iter::once(&map.spec).chain(map.inner.as_deref()));
    specs.into_iter().find_map(|spec| match kernel.map_type(spec.map_type) {
        Ok(None) => {
            let why = format!("map {}: the kernel has no maps of this type", spec.name);
            Some(Missing::of(&Item::MapType(spec.map_type), why, kernel))
        }
        Ok(Some(_)) | Err(Fact(_)) => None,
    })
}

/// What the verifier stopped at. `object` is where the request was linked from, if it was.
#[must_use]
pub fn at_verification(
    rejected: &Rejected,
    request: &LoadRequest,
    object: Option<&Object>,
    kernel: &dyn Kernel,
) -> Option<Missing> {
    let context = request.context();
    let lacks = |item: &Item| match has(item, &context, kernel) {
        Has::No(why) => Some(Missing::of(item, why, kernel)),
        Has::Yes | Has::Unknown(_) => None,
    };
    // What the load gate refuses before it looks at anything else.
    if let Some(missing) = lacks(&Item::ProgramType(request.prog_type)) {
        return Some(missing);
    }
    let attach_type = request.expected_attach_type;
    if request.prog_type != ProgType::STRUCT_OPS && attach_type.0 != 0 && rejected.stats.is_none() {
        let missing = lacks(&Item::AttachType(request.prog_type, attach_type));
        if missing.is_some() {
            return missing;
        }
    }
    let at = rejected.insn?;
    if let Some(absence) = object.and_then(|object| object.absence(request, at)) {
        return Some(absent(absence, kernel));
    }
    let slot = usize::try_from(at).ok()?;
    if let Some(missing) =
        InsnClass::of(&request.insns, slot).and_then(|class| lacks(&Item::Instruction(class)))
    {
        return Some(missing);
    }
    match decode(&request.insns, slot).ok()? {
        Op::Call(CallKind::Helper { id }) => lacks(&Item::Helper(HelperId(id.cast_unsigned()))),
        Op::Call(CallKind::Kfunc { btf_id, fd_idx: 0 }) => {
            let id = btf_id.cast_unsigned();
            let known = request.fixups.iter().find_map(|fixup| match &fixup.kind {
                FixupKind::Kfunc(name) if fixup.insn == at => Some(name.clone()),
                _ => None,
            });
            let name = known.or_else(|| {
                let found = kernel.kfunc(KfuncRef::BtfId(id), &context).ok()??;
                Some(found.name.to_owned())
            });
            lacks(&name.map_or(Item::KfuncId(id), Item::Kfunc))
        }
        _ => None,
    }
}

fn absent(absence: Absence, kernel: &dyn Kernel) -> Missing {
    match absence {
        Absence::Function(name) => {
            Missing::of(&Item::Kfunc(name), "declared weak and called all the same", kernel)
        }
        Absence::Map(name) => {
            Missing { kind: ItemKind::MapType, name, why: "the map is not created".into() }
        }
        Absence::Core(kind, name) => {
            let why = match kind {
                CoreUse::Field => "no such field, or of another size",
                CoreUse::Type => "no such type",
                CoreUse::EnumValue => "no such enum value",
            };
            Missing::of(&Item::Core(kind, name), why, kernel)
        }
    }
}
