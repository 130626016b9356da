// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The values that a relocation has in the object and in the kernel.

use super::spec::{Accessor, Spec};
use super::{RelocError, RelocKind, Relocated, Rules, size_of};
use crate::{Btf, Kind, Member, Type, TypeId};

/// `BTF_INT_SIGNED` and no other encoding.
const ENCODING_SIGNED: u8 = 1;

/// How many array dimensions are followed; libbpf does not count.
const MAX_DIMENSIONS: u32 = 1024;

/// A field's value in some BTF.
#[derive(Clone, Copy, Debug, Default)]
struct FieldValue {
    value: u64,
    /// The size that a load or store must have, 0 if it does not matter.
    size: u32,
    /// The type to which that size belongs.
    type_id: TypeId,
    /// Whether the compiler must have computed the same.
    validate: bool,
}

/// Computes the answer for a path in the object and the same path in the kernel, `None` if the
/// kernel does not have it (`bpf_core_calc_relo`).
pub(super) fn relocate(
    local: &Spec<'_>,
    target: Option<&Spec<'_>>,
) -> Result<Relocated, RelocError> {
    let start = Relocated::start();
    let poison = Relocated { poison: true, ..start };
    match local.kind {
        RelocKind::FieldExists => {
            Ok(Relocated { original: 1, new: u64::from(target.is_some()), ..start })
        }
        kind if kind.is_field() => {
            let one = field_value(local)?;
            let poison = Relocated {
                original: one.value,
                original_size: one.size,
                validate: one.validate,
                ..poison
            };
            let Some(target) = target else { return Ok(poison) };
            let other = field_value(target)?;
            Ok(Relocated {
                new: other.value,
                new_size: other.size,
                poison: false,
                fail_size_change: one.size != other.size
                    && !may_change_size(local.btf, one.type_id, target.btf, other.type_id)?,
                ..poison
            })
        }
        RelocKind::EnumvalExists => {
            Ok(Relocated { original: 1, new: u64::from(target.is_some()), ..start })
        }
        RelocKind::EnumvalValue => {
            let original = enum_value(local)?;
            let Some(target) = target else { return Ok(Relocated { original, ..poison }) };
            Ok(Relocated { original, new: enum_value(target)?, ..start })
        }
        kind => Ok(Relocated {
            original: type_value(local)?,
            // What does not exist has the value 0.
            new: target.map_or(Ok(0), type_value)?,
            validate: kind != RelocKind::TypeIdTarget,
            ..start
        }),
    }
}

/// Whether a load or store may have another size than the compiler gave it: of a pointer, or of an
/// unsigned integer, where the rest of the register is zero either way.
fn may_change_size(
    local_btf: &Btf<'_>,
    local: TypeId,
    target_btf: &Btf<'_>,
    target: TypeId,
) -> Result<bool, RelocError> {
    let (one, other) = (local_btf.type_by_id(local)?, target_btf.type_by_id(target)?);
    let are_pointers = one.kind() == Kind::Ptr && other.kind() == Kind::Ptr;
    let may_be_unsigned =
        |ty: &Type<'_>| ty.as_int().is_some_and(|int| int.encoding != ENCODING_SIGNED);
    Ok(are_pointers || (may_be_unsigned(&one) && may_be_unsigned(&other)))
}

/// The value of a relocation about a type (`bpf_core_calc_type_relo`).
fn type_value(spec: &Spec<'_>) -> Result<u64, RelocError> {
    Ok(match spec.kind {
        RelocKind::TypeIdTarget | RelocKind::TypeIdLocal => u64::from(spec.root.0),
        RelocKind::TypeSize => u64::from(size_of(spec.btf, spec.root, spec.rules)?),
        _ => 1,
    })
}

/// The value of an enum value (`bpf_core_calc_enumval_relo`).
fn enum_value(spec: &Spec<'_>) -> Result<u64, RelocError> {
    let step = last_step(spec)?;
    let ty = spec.btf.type_by_id(step.type_id)?;
    let value = ty.as_enum().and_then(|data| data.values.get(step.index as usize));
    let value = value.ok_or(RelocError::BadAccess { problem: "no such enum value" })?.value;
    Ok(match ty.kind() {
        // libbpf extends the sign of unsigned values, too.
        Kind::Enum => i64::from(value as i32).cast_unsigned(),
        _ => value.cast_unsigned(),
    })
}

fn last_step<'s, 'b>(spec: &'s Spec<'b>) -> Result<&'s Accessor<'b>, RelocError> {
    spec.steps.last().ok_or(RelocError::BadAccess { problem: "empty" })
}

/// The size that a load or store of this type has: that of the elements, for arrays.
fn access_size(btf: &Btf<'_>, id: TypeId, rules: Rules) -> Result<u32, RelocError> {
    if !rules.element_sizes {
        return size_of(btf, id, rules);
    }
    let mut ty = btf.skip_modifiers(id)?;
    for _ in 0..MAX_DIMENSIONS {
        match ty.as_array() {
            Some(array) => ty = btf.skip_modifiers(array.element)?,
            None => return size_of(btf, ty.id(), rules),
        }
    }
    Err(RelocError::TooManyLevels)
}

/// The value of a relocation about a field that exists (`bpf_core_calc_field_relo`).
fn field_value(spec: &Spec<'_>) -> Result<FieldValue, RelocError> {
    let step = last_step(spec)?;
    if step.name.is_none() {
        return element_value(spec, step);
    }
    let ty = spec.btf.type_by_id(step.type_id)?;
    let member = ty.members().get(step.index as usize);
    let member = member.ok_or(RelocError::BadAccess { problem: "no such member" })?;
    let member_type = spec.btf.skip_modifiers(member.type_id)?;
    let place = Place::new(spec, &member, &member_type)?;
    let plain = FieldValue { validate: !member.is_bitfield(), ..FieldValue::default() };
    Ok(match spec.kind {
        RelocKind::FieldByteOffset if member.is_bitfield() => {
            FieldValue { value: u64::from(place.byte_offset), ..plain }
        }
        RelocKind::FieldByteOffset => FieldValue {
            value: u64::from(place.byte_offset),
            size: access_size(spec.btf, member_type.id(), spec.rules)?,
            type_id: member_type.id(),
            ..plain
        },
        RelocKind::FieldByteSize => FieldValue { value: u64::from(place.byte_size), ..plain },
        RelocKind::FieldSigned => {
            let signed_enum = member_type.kind().is_enum() && member_type.kind_flag();
            let signed_int = member_type.as_int().is_some_and(|int| int.is_signed());
            FieldValue { value: u64::from(signed_enum || signed_int), validate: true, ..plain }
        }
        RelocKind::FieldLshiftU64 => FieldValue { value: place.left_shift(), ..plain },
        RelocKind::FieldRshiftU64 => {
            let value = u64::from(64_u32.wrapping_sub(place.bit_size));
            FieldValue { value, validate: true, ..plain }
        }
        kind => {
            let number = kind.number();
            return Err(RelocError::UnknownKind { number });
        }
    })
}

/// The value of a relocation about an element of an array.
fn element_value(spec: &Spec<'_>, step: &Accessor<'_>) -> Result<FieldValue, RelocError> {
    let plain = FieldValue { validate: true, ..FieldValue::default() };
    match spec.kind {
        RelocKind::FieldByteOffset => Ok(FieldValue {
            value: u64::from(spec.bit_offset / 8),
            size: access_size(spec.btf, step.type_id, spec.rules)?,
            type_id: step.type_id,
            ..plain
        }),
        RelocKind::FieldByteSize => Ok(FieldValue {
            value: u64::from(size_of(spec.btf, step.type_id, spec.rules)?),
            ..plain
        }),
        kind => Err(RelocError::ArrayAccess { kind }),
    }
}

/// The bytes that are to be loaded for a field, and the bits of it.
#[derive(Clone, Copy, Debug)]
struct Place {
    byte_offset: u32,
    byte_size: u32,
    bit_offset: u32,
    bit_size: u32,
}

impl Place {
    /// A plain field is loaded as it is. A bit-field is loaded as its type, at that type's
    /// alignment; if it crosses the border, with as many more bytes as needed.
    fn new(spec: &Spec<'_>, member: &Member<'_>, ty: &Type<'_>) -> Result<Self, RelocError> {
        let bit_offset = spec.bit_offset;
        if !member.is_bitfield() {
            let byte_size = size_of(spec.btf, ty.id(), spec.rules)?;
            let bit_size = byte_size.wrapping_mul(8);
            return Ok(Self { byte_offset: bit_offset / 8, byte_size, bit_offset, bit_size });
        }
        let bit_size = u32::from(member.bitfield_size);
        let mut byte_size = ty.size_or_type();
        loop {
            let units = (bit_offset / 8).checked_div(byte_size);
            let byte_offset = units.ok_or(RelocError::UnloadableBitField)?.wrapping_mul(byte_size);
            let place = Self { byte_offset, byte_size, bit_offset, bit_size };
            if place.end_bit() <= byte_size.wrapping_mul(8) {
                return Ok(place);
            }
            if byte_size >= 8 {
                return Err(RelocError::UnloadableBitField);
            }
            byte_size = byte_size.wrapping_mul(2);
        }
    }

    /// The bit after the field's last, counted from the first that is loaded.
    const fn end_bit(self) -> u32 {
        let start = self.bit_offset.wrapping_sub(self.byte_offset.wrapping_mul(8));
        start.wrapping_add(self.bit_size)
    }

    /// By how much the loaded value is shifted to the left, so that the field's highest bit is the
    /// highest of the register (little-endian).
    fn left_shift(self) -> u64 {
        u64::from(64_u32.wrapping_sub(self.end_bit()))
    }
}
