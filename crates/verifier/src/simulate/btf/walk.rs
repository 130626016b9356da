// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What lies at an offset of a structure (`btf_struct_walk` of `kernel/bpf/btf.c`).
//!
//! Offsets are those of the kernel's `int`, which it compares as unsigned numbers; so they are
//! unsigned here.

use crate::mem::Text;
use crate::messages::{BtfAccess, Message};
use veristable_btf::{Btf, Kind, Member, Type, TypeData, TypeId};
use veristable_kernel::TypeFlags;

/// Chains of modifiers and array dimensions that have a size (`MAX_RESOLVE_DEPTH`). The kernel
/// refuses to load BTF whose structures nest deeper, so it also bounds the walk.
const MAX_DEPTH: usize = 32;

/// Why a walk did not find anything.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Missed {
    /// The kernel says so.
    Because(BtfAccess),
    /// BTF that the kernel would not have loaded, or that it cannot be walked.
    BadBtf,
}

impl From<BtfAccess> for Missed {
    fn from(message: BtfAccess) -> Self {
        Self::Because(message)
    }
}

impl Missed {
    /// The message, if the kernel has one.
    pub(super) fn message(self) -> Option<Message> {
        match self {
            Self::Because(message) => Some(message.into()),
            Self::BadBtf => None,
        }
    }
}

/// What was found (`enum bpf_struct_walk_result`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// No pointer.
    Scalar,
    /// A pointer to a structure.
    Pointer {
        /// The structure.
        to: TypeId,
        /// The name of the member, as an offset in the strings.
        member: u32,
    },
    /// A pointer to anything else.
    OtherPointer,
    /// A structure that begins exactly there. The id may be that of a modifier.
    Struct(TypeId),
}

/// Which flexible arrays behind the end of a structure may be accessed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tail {
    /// All.
    Any,
    /// Those whose elements have a size.
    Sized,
    /// None.
    None,
}

/// A name as the kernel's messages give it (`__btf_name_by_offset`).
pub(super) fn name_or_anonymous(name: &str) -> Text {
    Text::new(if name.is_empty() { "(anon)" } else { name })
}

/// A member resolved to what its bytes are (`__btf_resolve_size`).
struct Resolved<'b> {
    /// The array, or what is no modifier.
    ty: Type<'b>,
    /// The id of `ty` as the last modifier names it; the member's own without modifiers.
    id: TypeId,
    /// Bytes of everything.
    size: u32,
    /// For arrays: the innermost element's type, its id as the array names it, and how many there
    /// are in all dimensions.
    elements: Option<(Type<'b>, TypeId, u32)>,
}

fn resolve<'b>(btf: &'b Btf<'_>, start: TypeId) -> Option<Resolved<'b>> {
    let mut ty = btf.type_by_id(start).ok()?;
    let (mut id, mut count) = (start, 1u32);
    let mut array: Option<(Type<'b>, TypeId)> = None;
    for _ in 0..MAX_DEPTH {
        let size = match ty.data() {
            TypeData::Ptr(_) => 8,
            TypeData::Array(inner) => {
                let outer = array.map_or(ty, |(outer, _)| outer);
                array = Some((outer, inner.element));
                count = count.checked_mul(inner.count)?;
                ty = btf.type_by_id(inner.element).ok()?;
                continue;
            }
            TypeData::Typedef(target)
            | TypeData::Volatile(target)
            | TypeData::Const(target)
            | TypeData::Restrict(target)
            | TypeData::TypeTag(veristable_btf::TypeTag { target, .. }) => {
                id = target;
                ty = btf.type_by_id(target).ok()?;
                continue;
            }
            TypeData::Datasec(_) => return None,
            _ => ty.size()?,
        };
        let size = count.checked_mul(size)?;
        return Some(match array {
            Some((outer, element)) => {
                Resolved { ty: outer, id, size, elements: Some((ty, element, count)) }
            }
            None => Resolved { ty, id, size, elements: None },
        });
    }
    None
}

/// The flag that a pointer's type tag stands for.
fn tag_flag(btf: &Btf<'_>, pointer: &Type<'_>) -> TypeFlags {
    let pointee = pointer.target().and_then(|id| btf.type_by_id(id).ok());
    let Some(tag) = pointee.filter(|ty| ty.kind() == Kind::TypeTag && !ty.kind_flag()) else {
        return TypeFlags::empty();
    };
    match tag.name() {
        "user" => TypeFlags::MEM_USER,
        "percpu" => TypeFlags::MEM_PERCPU,
        "rcu" => TypeFlags::MEM_RCU,
        _ => TypeFlags::empty(),
    }
}

/// Whether a member takes part, and how it ends the search.
enum Step<'b> {
    /// Look at the next member.
    Next,
    /// No later member can be it.
    NoField,
    /// It is this.
    Done(Found),
    /// Go on inside this structure at this offset.
    Into(Type<'b>, u32),
}

/// One access in a structure, with what messages about it need.
#[derive(Clone, Copy)]
struct Place<'b> {
    btf: &'b Btf<'b>,
    /// The structure.
    name: &'b str,
    /// Where in it.
    off: u32,
    /// Bytes.
    size: u32,
}

/// Finds what `size` bytes at `off` of type `id` are. `flags` gains what the way there and the
/// pointer found there bring along: `PTR_UNTRUSTED` for unions, and the flag of a type tag.
pub(super) fn walk<'b>(
    btf: &'b Btf<'b>,
    id: TypeId,
    off: u32,
    size: u32,
    tail: Tail,
    flags: &mut TypeFlags,
) -> Result<Found, Missed> {
    let (mut ty, mut off) = (btf.type_by_id(id).map_err(|_| Missed::BadBtf)?, off);
    for _ in 0..2 * MAX_DEPTH {
        if ty.kind().is_modifier() {
            ty = btf.skip_modifiers(ty.id()).map_err(|_| Missed::BadBtf)?;
        }
        let Some(data) = ty.as_composite() else {
            return Err(BtfAccess::NotStruct { name: name_or_anonymous(ty.name()) }.into());
        };
        let place = Place { btf, name: ty.name(), off, size };
        // `__bpf_md_ptr` and other unions of one member stand for that member.
        if ty.kind() == Kind::Union && data.members.len() != 1 {
            flags.insert(TypeFlags::PTR_UNTRUSTED);
        }
        if off.wrapping_add(size) > data.size {
            match flexible_element(&place, data.members.iter().next_back(), tail)? {
                Some((element, at)) => (ty, off) = (element, at),
                None => return Ok(Found::Scalar),
            }
            continue;
        }
        let mut step = Step::NoField;
        for member in data.members {
            step = look_at(&place, &member, flags)?;
            if !matches!(step, Step::Next) {
                break;
            }
        }
        match step {
            Step::Next | Step::NoField => {
                let name = name_or_anonymous(place.name);
                return Err(BtfAccess::NoField { name, off: off.cast_signed() }.into());
            }
            Step::Done(found) => return Ok(found),
            Step::Into(inner, at) => (ty, off) = (inner, at),
        }
    }
    Err(Missed::BadBtf)
}

/// An access past the end: allowed into the elements of a flexible array, which must be the last
/// member. The element and the offset in it; `None` for an array of integers.
fn flexible_element<'b>(
    place: &Place<'b>,
    last: Option<Member<'b>>,
    tail: Tail,
) -> Result<Option<(Type<'b>, u32)>, Missed> {
    let Place { btf, off, size, .. } = *place;
    let beyond = || {
        let name = name_or_anonymous(place.name);
        Missed::from(BtfAccess::BeyondStruct { name, off, size })
    };
    let last = last.filter(|_| tail != Tail::None).ok_or_else(beyond)?;
    let array = btf.skip_modifiers(last.type_id).ok().and_then(|ty| ty.as_array());
    let array = array.filter(|array| array.count == 0).ok_or_else(beyond)?;
    let distance = off.checked_sub(last.byte_offset()).ok_or_else(beyond)?;
    let element = btf.skip_modifiers(array.element).map_err(|_| Missed::BadBtf)?;
    if element.kind() == Kind::Int {
        return Ok(None);
    }
    let data = element.as_composite().ok_or_else(beyond)?;
    if tail == Tail::Sized && data.size == 0 {
        return Err(beyond());
    }
    // The kernel divides by zero for structures without members.
    let at = distance.checked_rem(data.size).ok_or(Missed::BadBtf)?;
    Ok(Some((element, at)))
}

fn look_at<'b>(
    place: &Place<'b>,
    member: &Member<'b>,
    flags: &mut TypeFlags,
) -> Result<Step<'b>, Missed> {
    let Place { btf, off, size, .. } = *place;
    let mut start = member.byte_offset();
    if off.wrapping_add(size) <= start {
        return Ok(Step::NoField);
    }
    if member.is_bitfield() {
        let end = member.bit_offset.saturating_add(u32::from(member.bitfield_size));
        let whole = off <= start && end.div_ceil(8) <= off.wrapping_add(size);
        return Ok(if whole { Step::Done(Found::Scalar) } else { Step::Next });
    }
    if off < start {
        return Ok(Step::NoField);
    }
    let member_name = || name_or_anonymous(member.name());
    let Some(resolved) = resolve(btf, member.type_id) else {
        return Err(BtfAccess::NoSize { member: member_name() }.into());
    };
    let Resolved { mut ty, mut id, size: mut bytes, elements } = resolved;
    let end = start.wrapping_add(bytes);
    if off >= end {
        return Ok(Step::Next);
    }
    if let Some((element, element_id, count)) = elements {
        bytes = bytes.checked_div(count).ok_or(Missed::BadBtf)?;
        let index = (off - start).checked_div(bytes).ok_or(Missed::BadBtf)?;
        start = start.wrapping_add(index.wrapping_mul(bytes));
        (ty, id) = (element, element_id);
    }
    if ty.kind().is_composite() {
        let inside = off.wrapping_sub(start);
        return Ok(if inside == 0 {
            Step::Done(Found::Struct(id))
        } else {
            Step::Into(ty, inside)
        });
    }
    if ty.kind() == Kind::Ptr {
        if bytes != size || off != start {
            let name = name_or_anonymous(place.name);
            let member = member_name();
            return Err(BtfAccess::PointerMember { member, start, name, off, size }.into());
        }
        let target =
            ty.target().and_then(|id| btf.skip_modifiers(id).ok()).ok_or(Missed::BadBtf)?;
        if !target.kind().is_composite() {
            return Ok(Step::Done(Found::OtherPointer));
        }
        flags.insert(tag_flag(btf, &ty));
        return Ok(Step::Done(Found::Pointer { to: target.id(), member: member.name_offset }));
    }
    if off.wrapping_add(size) > end && !flags.contains(TypeFlags::PTR_UNTRUSTED) {
        let name = name_or_anonymous(place.name);
        return Err(BtfAccess::BeyondMember { member: member_name(), end, name, off, size }.into());
    }
    Ok(Step::Done(Found::Scalar))
}
