// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Finding in the kernel's types what the object means.

use alloc::vec::Vec;

use super::names::{essential_name, match_names};
use super::spec::{Accessor, MAX_LEN, Spec};
use super::{RelocError, RelocKind, Work, compat, size_of};
use crate::{Btf, Error, Kind, Members, Type, TypeId};

/// A type of the kernel that may be what the object means.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'t> {
    /// The kernel's BTF or that of a module.
    pub btf: &'t Btf<'t>,
    /// The type there.
    pub id: TypeId,
}

/// Own types of `target` with this name, but for flavours, and of one of the `kinds`, in the order of
/// ids (`bpf_core_add_cands`).
pub fn candidates<'t>(
    name: &[u8],
    kinds: impl Fn(Kind) -> bool,
    target: &'t Btf<'t>,
) -> Vec<Candidate<'t>> {
    let wanted = essential_name(name);
    let is_candidate =
        |ty: &Type<'_>| kinds(ty.kind()) && essential_name(ty.name_bytes()) == wanted;
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

/// Looks for the object's path in a type of the kernel, the root of `found`, which gets as much of it
/// as the type has (`bpf_core_spec_match`); whether it has all of it.
pub(super) fn match_spec(
    local: &Spec<'_>,
    found: &mut Spec<'_>,
    work: &mut Work,
) -> Result<bool, RelocError> {
    let (target, id) = (found.btf, found.root);
    match local.kind {
        RelocKind::TypeMatches => {
            compat::types_match(local.btf, local.root, target, id, local.rules, work)
        }
        kind if kind.is_type() => {
            compat::types_compatible(local.btf, local.root, target, id, local.rules, work)
        }
        kind if kind.is_enum_value() => match_enum_value(local, found, work),
        _ => match_path(local, found, work),
    }
}

/// Looks for the object's enum value.
fn match_enum_value(
    local: &Spec<'_>,
    found: &mut Spec<'_>,
    work: &mut Work,
) -> Result<bool, RelocError> {
    let ty = found.btf.skip_modifiers(found.root)?;
    let wanted = local.steps.first().and_then(|step| step.name).unwrap_or(&[]);
    let data = ty.as_enum().filter(|data| !local.rules.kernel || !data.values.is_empty());
    let Some(data) = data else {
        if local.rules.kernel {
            let reason = "enum value of a type without values";
            return Err(RelocError::Undecided { reason });
        }
        return Ok(false);
    };
    for (index, value) in (0_u32..).zip(data.values) {
        work.step()?;
        let name = value.name_bytes();
        if essential_name(name) == essential_name(wanted) {
            found.steps.push(Accessor { type_id: ty.id(), index, name: Some(name) });
            found.raw.push(index.cast_signed());
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
        found.raw.push(step.index.cast_signed());
        let size = size_of(found.btf, id, found.rules).map_err(|error| match error {
            RelocError::Btf(Error::TooLarge { id }) => RelocError::TooLarge { id },
            other => other,
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
        found.raw.push(level.next.cast_signed());
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
