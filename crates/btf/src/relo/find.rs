// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Finding in the kernel's types what the object means.

use alloc::vec::Vec;

use super::names::{essential_name, match_names};
use super::spec::{Accessor, MAX_LEN, Spec};
use super::{Candidate, RelocError, RelocKind, Work, compat};
use crate::{Btf, Error, Members, Type, TypeId};

/// Own types of `target` with the name of `local`, but for flavours, and of a compatible kind, in
/// the order of ids (`bpf_core_add_cands`).
pub(super) fn candidates<'t>(local: &Type<'_>, target: &'t Btf<'t>) -> Vec<Candidate<'t>> {
    let wanted = essential_name(local.name_bytes());
    let is_candidate = |ty: &Type<'_>| {
        compat::compatible_kinds(ty.kind(), local.kind())
            && essential_name(ty.name_bytes()) == wanted
    };
    let mut flavour = wanted.to_vec();
    let mut ids: Vec<TypeId> = if target.name_index().is_some() {
        let plain = target.own_types_exactly(wanted).filter(is_candidate).map(|ty| ty.id());
        let mut ids: Vec<_> = plain.collect();
        flavour.extend_from_slice(b"___");
        let flavours = target.own_types_with_prefix(&flavour);
        ids.extend(flavours.filter(is_candidate).map(|ty| ty.id()));
        ids
    } else {
        let types = target.own_types_with_prefix(&flavour);
        types.filter(is_candidate).map(|ty| ty.id()).collect()
    };
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().map(|id| Candidate { btf: target, id }).collect()
}

/// Looks for the object's path in a type of the kernel (`bpf_core_spec_match`); `None` if the type
/// does not have it.
pub(super) fn match_spec<'t>(
    local: &Spec<'_>,
    target: &'t Btf<'t>,
    id: TypeId,
    work: &mut Work,
) -> Result<Option<Spec<'t>>, RelocError> {
    let mut found = Spec::new(target, local.kind, id);
    let matched = match local.kind {
        RelocKind::TypeMatches => compat::types_match(local.btf, local.root, target, id, work)?,
        kind if kind.is_type() => {
            compat::types_compatible(local.btf, local.root, target, id, work)?
        }
        kind if kind.is_enum_value() => match_enum_value(local, &mut found, work)?,
        _ => match_path(local, &mut found, work)?,
    };
    Ok(matched.then_some(found))
}

/// Looks for the object's enum value.
fn match_enum_value(
    local: &Spec<'_>,
    found: &mut Spec<'_>,
    work: &mut Work,
) -> Result<bool, RelocError> {
    let ty = found.btf.skip_modifiers(found.root)?;
    let wanted = local.steps.first().and_then(|step| step.name).unwrap_or(&[]);
    let Some(data) = ty.as_enum() else { return Ok(false) };
    for (index, value) in (0..).zip(data.values) {
        work.step()?;
        let name = value.name_bytes();
        if essential_name(name) == essential_name(wanted) {
            found.steps.push(Accessor { type_id: ty.id(), index, name: Some(name) });
            found.raw.push(index);
            return Ok(true);
        }
    }
    Ok(false)
}

/// Looks for the object's field.
fn match_path<'t>(
    local: &Spec<'_>,
    found: &mut Spec<'t>,
    work: &mut Work,
) -> Result<bool, RelocError> {
    let mut id = found.root;
    for (position, step) in local.steps.iter().enumerate() {
        let ty = found.btf.skip_modifiers(id)?;
        if step.name.is_some() {
            match match_member(local.btf, step, found, &ty, work)? {
                Some(next) => id = next,
                None => return Ok(false),
            }
            continue;
        }
        id = ty.id();
        // The first index counts whole values of the root type, the others elements of arrays.
        if position > 0 {
            let Some(array) = ty.as_array() else { return Ok(false) };
            let flexible = found.is_flexible(found.steps.last(), array.count)?;
            if step.index >= array.count && !flexible {
                return Ok(false);
            }
            id = found.btf.skip_modifiers(array.element)?.id();
        }
        if found.raw.len() == MAX_LEN {
            return Err(RelocError::TooDeep);
        }
        found.steps.push(Accessor { type_id: id, index: step.index, name: None });
        found.raw.push(step.index);
        let size = found.btf.resolve_size(id).map_err(|error| match error {
            Error::TooLarge { id } => RelocError::TooLarge { id },
            other => other.into(),
        })?;
        found.advance(step.index, size);
    }
    Ok(true)
}

/// A struct or union that is being searched.
struct Level<'t> {
    id: TypeId,
    members: Members<'t>,
    next: u32,
}

/// Looks for the object's member in a struct or union of the kernel and in its unnamed members
/// (`bpf_core_match_member`, which calls itself for these); returns the member's type.
fn match_member<'t>(
    local: &Btf<'_>,
    step: &Accessor<'_>,
    found: &mut Spec<'t>,
    ty: &Type<'t>,
    work: &mut Work,
) -> Result<Option<TypeId>, RelocError> {
    let wanted = local.type_by_id(step.type_id)?.members().get(step.index as usize);
    let Some(wanted) = wanted.filter(|_| ty.kind().is_composite()) else { return Ok(None) };
    let btf = found.btf;
    let mut levels: Vec<Level<'t>> = Vec::new();
    levels.push(Level { id: ty.id(), members: ty.members(), next: 0 });
    while let Some(level) = levels.last_mut() {
        let Some(member) = level.members.get(level.next as usize) else {
            leave(&mut levels, found);
            continue;
        };
        work.step()?;
        if found.raw.len() == MAX_LEN {
            return Err(RelocError::TooDeep);
        }
        found.bit_offset = found.bit_offset.wrapping_add(member.bit_offset);
        found.raw.push(level.next);
        let name = member.name_bytes();
        if name.is_empty() {
            let inner = btf.skip_modifiers(member.type_id)?;
            // Only its members are searched, so another kind is left at once.
            levels.push(Level { id: inner.id(), members: inner.members(), next: 0 });
        } else if name == wanted.name_bytes() {
            if !compat::fields_compatible(local, wanted.type_id, btf, member.type_id)? {
                // libbpf gives up this struct, without looking for another member of the name.
                leave(&mut levels, found);
                continue;
            }
            found.steps.push(Accessor { type_id: level.id, index: level.next, name: Some(name) });
            return Ok(Some(member.type_id));
        } else {
            undo(level, found);
        }
    }
    Ok(None)
}

/// Goes on after an unnamed member in which nothing was found.
fn leave(levels: &mut Vec<Level<'_>>, found: &mut Spec<'_>) {
    levels.pop();
    if let Some(outer) = levels.last_mut() {
        undo(outer, found);
    }
}

/// Goes on after a member that was not the right one.
fn undo(level: &mut Level<'_>, found: &mut Spec<'_>) {
    let offset = level.members.get(level.next as usize).map_or(0, |member| member.bit_offset);
    found.bit_offset = found.bit_offset.wrapping_sub(offset);
    found.raw.pop();
    level.next = level.next.saturating_add(1);
}

/// Whether the values of an enum have all the names of another (`bpf_core_enums_match`).
pub(super) fn enums_match(
    local: &Type<'_>,
    target: &Type<'_>,
    work: &mut Work,
) -> Result<bool, RelocError> {
    let (Some(local), Some(target)) = (local.as_enum(), target.as_enum()) else {
        return Ok(false);
    };
    if local.size != target.size || local.values.len() > target.values.len() {
        return Ok(false);
    }
    for value in local.values {
        let mut matched = false;
        for other in target.values {
            work.step()?;
            matched = match_names(value.name_bytes(), other.name_bytes());
            if matched {
                break;
            }
        }
        if !matched {
            return Ok(false);
        }
    }
    Ok(true)
}
