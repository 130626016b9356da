// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Comparing types of an object with types of a kernel.
//!
//! libbpf's functions call themselves; here the same order of work is kept on explicit stacks.
//! Where libbpf limits the depth to 32 calls, or one call to 32 steps, so does this.

use alloc::vec;
use alloc::vec::Vec;

use super::find::enums_match;
use super::names::{essential_name, match_names};
use super::{RelocError, Rules, Work};
use crate::{Btf, Kind, Members, Params, Type, TypeData, TypeId};

/// How many steps one call takes when types are compared.
const MAX_STEPS: u32 = 32;

/// How many array dimensions are followed when fields are compared; libbpf does not count.
const MAX_DIMENSIONS: u32 = 1024;

/// Whether two kinds are the same, taking both kinds of enum as one (`btf_kind_core_compat`).
pub(super) fn compatible_kinds(one: Kind, other: Kind) -> bool {
    one == other || (one.is_enum() && other.is_enum())
}

/// Whether both are integers of the usual sort; obsolete bit-field types are not.
fn plain_ints(local: &Type<'_>, target: &Type<'_>) -> bool {
    let is_plain = |ty: &Type<'_>| ty.as_int().is_some_and(|int| int.offset == 0);
    is_plain(local) && is_plain(target)
}

/// Whether a field of the object can be read from a field of the kernel
/// (`bpf_core_fields_are_compat`).
pub(super) fn fields_compatible(
    local_btf: &Btf<'_>,
    local: TypeId,
    target_btf: &Btf<'_>,
    target: TypeId,
) -> Result<bool, RelocError> {
    let (mut local, mut target) = (local, target);
    for _ in 0..MAX_DIMENSIONS {
        let one = local_btf.skip_modifiers(local)?;
        let other = target_btf.skip_modifiers(target)?;
        if one.kind().is_composite() && other.kind().is_composite() {
            return Ok(true);
        }
        if !compatible_kinds(one.kind(), other.kind()) {
            return Ok(false);
        }
        if let (Some(one), Some(other)) = (one.as_array(), other.as_array()) {
            (local, target) = (one.element, other.element);
            continue;
        }
        return Ok(match one.kind() {
            Kind::Ptr | Kind::Float => true,
            Kind::Fwd | Kind::Enum | Kind::Enum64 => {
                let one = essential_name(one.name_bytes());
                let other = essential_name(other.name_bytes());
                one.is_empty() || other.is_empty() || one == other
            }
            Kind::Int => plain_ints(&one, &other),
            _ => false,
        });
    }
    Err(RelocError::TooManyLevels)
}

/// Two types that are to be compared.
#[derive(Clone, Copy, Debug)]
struct Pair {
    local: TypeId,
    target: TypeId,
    /// Whether a pointer was followed to get here.
    behind_pointer: bool,
    /// How many calls libbpf may still nest.
    level: u32,
    /// How many steps libbpf may still take in this call.
    steps: u32,
}

impl Pair {
    const fn new(local: TypeId, target: TypeId, level: u32) -> Self {
        Self { local, target, behind_pointer: false, level, steps: MAX_STEPS }
    }
}

/// Whether two types have a compatible form, whatever their names: as libbpf decides whether a
/// kernel's type is the one of a relocation or of an extern symbol (`bpf_core_types_are_compat`).
///
/// # Errors
///
/// If a type does not exist, or the comparison goes too deep.
pub fn types_are_compatible(
    local_btf: &Btf<'_>,
    local: TypeId,
    target_btf: &Btf<'_>,
    target: TypeId,
) -> Result<bool, RelocError> {
    types_compatible(local_btf, local, target_btf, target, Rules::LIBBPF, &mut Work::default())
}

/// As [`types_are_compatible`], with a limit.
pub(super) fn types_compatible(
    local_btf: &Btf<'_>,
    local: TypeId,
    target_btf: &Btf<'_>,
    target: TypeId,
    rules: Rules,
    work: &mut Work,
) -> Result<bool, RelocError> {
    let roots = (local_btf.type_by_id(local)?.kind(), target_btf.type_by_id(target)?.kind());
    if !compatible_kinds(roots.0, roots.1) {
        return Ok(false);
    }
    // All pairs have to be compatible; the last is the next.
    let mut pairs = vec![Pair::new(local, target, rules.levels)];
    while let Some(pair) = pairs.pop() {
        work.step()?;
        let steps = pair.steps.checked_sub(1).ok_or(RelocError::TooManyLevels)?;
        let one = local_btf.skip_modifiers(pair.local)?;
        let other = target_btf.skip_modifiers(pair.target)?;
        if !compatible_kinds(one.kind(), other.kind()) {
            return Ok(false);
        }
        let follow = |local, target| Pair { local, target, steps, ..pair };
        match (one.data(), other.data()) {
            (TypeData::Ptr(one), TypeData::Ptr(other)) => pairs.push(follow(one, other)),
            (TypeData::Array(one), TypeData::Array(other)) => {
                pairs.push(follow(one.element, other.element));
            }
            (TypeData::FuncProto(one), TypeData::FuncProto(other)) => {
                if one.params.len() != other.params.len() {
                    return Ok(false);
                }
                pairs.push(follow(one.returns, other.returns));
                let level = match pair.level.checked_sub(1) {
                    None if !one.params.is_empty() => return Err(RelocError::TooManyLevels),
                    level => level.unwrap_or(0),
                };
                // In the order of libbpf, in case that one is an error and another a difference.
                for (one, other) in one.params.zip(other.params).rev() {
                    work.step()?;
                    pairs.push(Pair::new(one.type_id, other.type_id, level));
                }
            }
            (TypeData::Int(_), _) if !plain_ints(&one, &other) => return Ok(false),
            (
                TypeData::Int(_)
                | TypeData::Void
                | TypeData::Struct(_)
                | TypeData::Union(_)
                | TypeData::Enum(_)
                | TypeData::Enum64(_)
                | TypeData::Fwd(_),
                _,
            ) => {}
            _ => return unexpected(rules),
        }
    }
    Ok(true)
}

/// Kinds that are not compared do not match. Kernels warn of them, but with a name in the place of
/// the log (`pr_warn` in `__bpf_core_types_are_compat` and `__bpf_core_types_match`), and so write
/// where nothing may be written.
const fn unexpected(rules: Rules) -> Result<bool, RelocError> {
    if rules.kernel {
        return Err(RelocError::Undecided { reason: "CO-RE comparison that breaks the kernel" });
    }
    Ok(false)
}

/// A comparison that waits for that of its parts.
enum Waiting<'l, 't> {
    /// Every member of the object's struct needs one of the kernel's that matches.
    Members { local: Members<'l>, target: Members<'t>, at: usize, tried: usize, pair: Pair },
    /// Parameters have to match one by one, and then what is returned.
    Params { local: Params<'l>, target: Params<'t>, at: usize, pair: Pair, returns: Pair },
}

/// What to do next.
enum Next {
    /// Compare these, as a part of what waits.
    Compare(Pair),
    /// Compare these in place of what waits.
    Instead(Pair),
    /// What waits is decided.
    Decided(bool),
}

/// What one comparison came to.
enum Compared<'l, 't> {
    Decided(bool),
    Wait(Waiting<'l, 't>),
}

/// Whether two types match in names and contents (`bpf_core_types_match`).
pub(super) fn types_match(
    local_btf: &Btf<'_>,
    local: TypeId,
    target_btf: &Btf<'_>,
    target: TypeId,
    rules: Rules,
    work: &mut Work,
) -> Result<bool, RelocError> {
    let mut waiting: Vec<Waiting<'_, '_>> = Vec::new();
    let mut next = Next::Compare(Pair::new(local, target, rules.levels));
    loop {
        let mut decided = None;
        match next {
            Next::Compare(pair) | Next::Instead(pair) => {
                if matches!(next, Next::Instead(_)) {
                    waiting.pop();
                }
                match compare(local_btf, target_btf, pair, rules, work)? {
                    Compared::Decided(matches) => decided = Some(matches),
                    Compared::Wait(more) => waiting.push(more),
                }
            }
            Next::Decided(matches) => {
                waiting.pop();
                decided = Some(matches);
            }
        }
        match (waiting.last_mut(), decided) {
            (Some(last), decided) => next = last.go_on(decided, work)?,
            (None, decided) => return Ok(decided == Some(true)),
        }
    }
}

/// Compares two types as far as that needs no comparison of others (`__bpf_core_types_match`).
fn compare<'l, 't>(
    local_btf: &'l Btf<'_>,
    target_btf: &'t Btf<'_>,
    mut pair: Pair,
    rules: Rules,
    work: &mut Work,
) -> Result<Compared<'l, 't>, RelocError> {
    if pair.level == 0 {
        return Err(RelocError::TooManyLevels);
    }
    loop {
        work.step()?;
        pair.steps = pair.steps.checked_sub(1).ok_or(RelocError::TooManyLevels)?;
        let one = local_btf.skip_modifiers(pair.local)?;
        let other = target_btf.skip_modifiers(pair.target)?;
        if !match_names(one.name_bytes(), other.name_bytes()) {
            return Ok(Compared::Decided(false));
        }
        let matches = match (one.data(), other.data()) {
            (TypeData::Void, TypeData::Void) => true,
            (TypeData::Fwd(_), _) => forward_matches(&one, &other, pair.behind_pointer),
            (TypeData::Enum(_) | TypeData::Enum64(_), _) => enums_match(&one, &other, work)?,
            (TypeData::Struct(_) | TypeData::Union(_), _) if pair.behind_pointer => {
                composite_behind_pointer_matches(&one, &other)
            }
            (TypeData::Struct(local), TypeData::Struct(target))
            | (TypeData::Union(local), TypeData::Union(target)) => {
                let (local, target) = (local.members, target.members);
                if local.len() <= target.len() {
                    let waiting = Waiting::Members { local, target, at: 0, tried: 0, pair };
                    return Ok(Compared::Wait(waiting));
                }
                false
            }
            (TypeData::Int(local), TypeData::Int(target)) => {
                local.size == target.size && local.is_signed() == target.is_signed()
            }
            (TypeData::Ptr(local), TypeData::Ptr(target)) => {
                pair = Pair { local, target, behind_pointer: true, ..pair };
                continue;
            }
            (TypeData::Array(one), TypeData::Array(other)) if one.count == other.count => {
                pair = Pair { local: one.element, target: other.element, ..pair };
                continue;
            }
            (TypeData::FuncProto(one), TypeData::FuncProto(other)) => {
                let (local, target) = (one.params, other.params);
                if local.len() == target.len() {
                    let returns = Pair { local: one.returns, target: other.returns, ..pair };
                    let waiting = Waiting::Params { local, target, at: 0, pair, returns };
                    return Ok(Compared::Wait(waiting));
                }
                false
            }
            (
                TypeData::Float { .. }
                | TypeData::Func(_)
                | TypeData::Var(_)
                | TypeData::Datasec(_)
                | TypeData::DeclTag(_),
                _,
            ) => unexpected(rules)?,
            _ => false,
        };
        return Ok(Compared::Decided(matches));
    }
}

/// Whether the object's forward declaration matches: the same kind of declaration, or behind a
/// pointer the struct or union itself.
fn forward_matches(local: &Type<'_>, target: &Type<'_>, behind_pointer: bool) -> bool {
    let is_union = local.kind_flag();
    match target.kind() {
        Kind::Fwd => is_union == target.kind_flag(),
        Kind::Struct => behind_pointer && !is_union,
        Kind::Union => behind_pointer && is_union,
        _ => false,
    }
}

/// Behind a pointer only the kinds have to match, also that of a forward declaration.
fn composite_behind_pointer_matches(local: &Type<'_>, target: &Type<'_>) -> bool {
    match target.kind() {
        Kind::Fwd => (local.kind() == Kind::Union) == target.kind_flag(),
        kind => kind == local.kind(),
    }
}

impl Waiting<'_, '_> {
    /// Goes on, with the decision about the part that was last asked for, if one was.
    fn go_on(&mut self, decided: Option<bool>, work: &mut Work) -> Result<Next, RelocError> {
        match self {
            Self::Members { local, target, at, tried, pair } => {
                match decided {
                    Some(true) => (*at, *tried) = (at.saturating_add(1), 0),
                    Some(false) => *tried = tried.saturating_add(1),
                    None => {}
                }
                let Some(member) = local.get(*at) else { return Ok(Next::Decided(true)) };
                while let Some(other) = target.get(*tried) {
                    work.step()?;
                    if match_names(member.name_bytes(), other.name_bytes()) {
                        let level = pair.level.saturating_sub(1);
                        let part = Pair::new(member.type_id, other.type_id, level);
                        let behind_pointer = pair.behind_pointer;
                        return Ok(Next::Compare(Pair { behind_pointer, ..part }));
                    }
                    *tried = tried.saturating_add(1);
                }
                Ok(Next::Decided(false))
            }
            Self::Params { local, target, at, pair, returns } => {
                match decided {
                    Some(true) => *at = at.saturating_add(1),
                    Some(false) => return Ok(Next::Decided(false)),
                    None => {}
                }
                let (Some(one), Some(other)) = (local.get(*at), target.get(*at)) else {
                    return Ok(Next::Instead(*returns));
                };
                let part = Pair::new(one.type_id, other.type_id, pair.level.saturating_sub(1));
                Ok(Next::Compare(Pair { behind_pointer: pair.behind_pointer, ..part }))
            }
        }
    }
}
