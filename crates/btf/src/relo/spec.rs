// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a relocation speaks of: a path from a type to a field, an enum value, or the type itself.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{RelocError, RelocKind, names};
use crate::{Btf, CoreRelo, Kind, Type, TypeId};

/// The longest path, `BPF_CORE_SPEC_MAX_LEN` of tools/lib/bpf/relo_core.h.
pub(super) const MAX_LEN: usize = 64;

/// A step of a path that means something: a named member or an array index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accessor<'b> {
    /// The struct or union of the member, or the type of the array's element; no modifier. For
    /// enum values the enum.
    pub(super) type_id: TypeId,
    /// The index of the member, element or enum value.
    pub(super) index: u32,
    /// The name of the member or enum value; `None` for an array element.
    pub(super) name: Option<&'b [u8]>,
}

/// A path in some BTF.
#[derive(Clone, Debug)]
pub(super) struct Spec<'b> {
    pub(super) btf: &'b Btf<'b>,
    pub(super) kind: RelocKind,
    /// The type with which it begins, with its modifiers.
    pub(super) root: TypeId,
    /// The steps that mean something. Empty for relocations about types.
    pub(super) steps: Vec<Accessor<'b>>,
    /// Every step, also through unnamed members.
    pub(super) raw: Vec<u32>,
    /// Where the path leads, in bits from the start of the root.
    pub(super) bit_offset: u32,
}

impl<'b> Spec<'b> {
    /// A path without steps.
    pub(super) fn new(btf: &'b Btf<'b>, kind: RelocKind, root: TypeId) -> Self {
        Self { btf, kind, root, steps: Vec::new(), raw: Vec::new(), bit_offset: 0 }
    }

    /// Parses a relocation's access string (`bpf_core_parse_spec`).
    ///
    /// libbpf 1.7 lets a negative index pass, and reads outside the type; here, as in libbpf 1.8,
    /// it is an error.
    pub(super) fn parse(
        btf: &'b Btf<'b>,
        relo: &CoreRelo,
        kind: RelocKind,
    ) -> Result<Self, RelocError> {
        let access = btf.string(relo.access_offset)?;
        let mut spec = Self::new(btf, kind, relo.type_id);
        if kind.is_type() {
            return if access == b"0" { Ok(spec) } else { Err(bad("not \"0\"")) };
        }
        spec.raw = parse_indexes(access)?;
        let [first, rest @ ..] = spec.raw.as_slice() else {
            return Err(bad("empty"));
        };
        let (first, rest) = (*first, rest.to_vec());
        let root = btf.skip_modifiers(relo.type_id)?;
        if kind.is_enum_value() {
            if !rest.is_empty() {
                return Err(bad("more than one index for an enum value"));
            }
            let name = enum_value_name(&root, first)?;
            spec.steps.push(Accessor { type_id: root.id(), index: first, name: Some(name) });
            return Ok(spec);
        }
        spec.steps.push(Accessor { type_id: root.id(), index: first, name: None });
        let mut id = root.id();
        spec.advance(first, btf.resolve_size(id)?);
        for index in rest {
            id = spec.step_into(id, index)?;
        }
        Ok(spec)
    }

    /// The path in words, without flavours: `root.member[index].member`, `enum::value`, or the
    /// type's name.
    pub(super) fn subject(&self) -> String {
        let essential =
            |name: &[u8]| String::from_utf8_lossy(names::essential_name(name)).into_owned();
        let root = self.btf.type_by_id(self.root).ok();
        let mut text = root.map_or_else(String::new, |ty| essential(ty.name_bytes()));
        for (position, step) in self.steps.iter().enumerate() {
            match step.name {
                Some(name) if self.kind.is_enum_value() => {
                    text.push_str("::");
                    text.push_str(&essential(name));
                }
                Some(name) => {
                    text.push('.');
                    text.push_str(&String::from_utf8_lossy(name));
                }
                // The first index is that of the root, nearly always 0.
                None if position > 0 => text.push_str("[]"),
                None => {}
            }
        }
        text
    }

    /// Moves on by `index` elements of `size` bytes.
    ///
    /// libbpf computes this with 32 bits, too; a path that wraps around matches no instruction.
    pub(super) fn advance(&mut self, index: u32, size: u32) {
        let bits = index.wrapping_mul(size).wrapping_mul(8);
        self.bit_offset = self.bit_offset.wrapping_add(bits);
    }

    /// Follows one more index of the access string; returns the type that it leads to.
    fn step_into(&mut self, id: TypeId, index: u32) -> Result<TypeId, RelocError> {
        let ty = self.btf.skip_modifiers(id)?;
        if let Some(array) = ty.as_array() {
            let element = self.btf.skip_modifiers(array.element)?.id();
            if index >= array.count && !self.is_flexible(self.steps.last(), array.count)? {
                return Err(bad("index past the end of an array"));
            }
            self.steps.push(Accessor { type_id: element, index, name: None });
            self.advance(index, self.btf.resolve_size(element)?);
            return Ok(element);
        }
        if !ty.kind().is_composite() {
            return Err(RelocError::UnexpectedKind { id: ty.id(), kind: ty.kind() });
        }
        let member = ty.members().get(index as usize).ok_or(bad("no such member"))?;
        self.bit_offset = self.bit_offset.wrapping_add(member.bit_offset);
        if member.name_offset != 0 {
            let name = self.btf.string(member.name_offset)?;
            if name.is_empty() {
                return Err(bad("a member with an empty name"));
            }
            self.steps.push(Accessor { type_id: ty.id(), index, name: Some(name) });
        }
        Ok(member.type_id)
    }

    /// Whether an array of `count` elements, reached by `step`, is a flexible array: of no
    /// elements, the last member of its struct (`is_flex_arr`).
    pub(super) fn is_flexible(
        &self,
        step: Option<&Accessor<'_>>,
        count: u32,
    ) -> Result<bool, RelocError> {
        let Some(step) = step.filter(|step| step.name.is_some() && count == 0) else {
            return Ok(false);
        };
        let len = self.btf.type_by_id(step.type_id)?.members().len();
        Ok((step.index as usize).checked_add(1) == Some(len))
    }
}

/// An [`RelocError::BadAccess`].
fn bad(problem: &'static str) -> RelocError {
    RelocError::BadAccess { problem }
}

/// Parses numbers separated by colons.
fn parse_indexes(access: &[u8]) -> Result<Vec<u32>, RelocError> {
    let mut indexes = Vec::new();
    for part in access.split(|byte| *byte == b':') {
        let is_number = !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        let number = core::str::from_utf8(part).ok().filter(|_| is_number);
        let index: i32 = number.and_then(|n| n.parse().ok()).ok_or(bad("not numbers"))?;
        if indexes.len() == MAX_LEN {
            return Err(bad("more than 64 indexes"));
        }
        indexes.push(index.unsigned_abs());
    }
    Ok(indexes)
}

/// The name of an enum's value.
fn enum_value_name<'b>(ty: &Type<'b>, index: u32) -> Result<&'b [u8], RelocError> {
    let data = ty.as_enum().ok_or(RelocError::UnexpectedKind { id: ty.id(), kind: ty.kind() })?;
    let value = data.values.get(index as usize).ok_or(bad("no such enum value"))?;
    Ok(ty.btf().string(value.name_offset)?)
}

/// As libbpf prints it in its debug output and in verifier logs (`bpf_core_format_spec`).
impl fmt::Display for Spec<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lossy = alloc::string::String::from_utf8_lossy;
        let Ok(root) = self.btf.type_by_id(self.root) else {
            return write!(f, "<{}> {}", self.kind, self.root);
        };
        let name = names::or_anonymous(root.name_bytes());
        write!(f, "<{}> {} {} {}", self.kind, self.root, lower(root.kind()), lossy(name))?;
        if self.kind.is_enum_value() {
            let value = self.raw.first().and_then(|index| {
                let data = self.btf.skip_modifiers(self.root).ok()?.as_enum()?;
                Some((data.signed, data.values.get(*index as usize)?))
            });
            return match value {
                Some((true, value)) => {
                    write!(f, "::{} = {}", lossy(value.name_bytes()), value.value)
                }
                Some((false, value)) => {
                    let number = value.value.cast_unsigned();
                    write!(f, "::{} = {number}", lossy(value.name_bytes()))
                }
                None => Ok(()),
            };
        }
        if self.kind.is_type() {
            return Ok(());
        }
        for (position, step) in self.steps.iter().enumerate() {
            match step.name {
                Some(name) => write!(f, ".{}", lossy(name))?,
                None if position > 0 || step.index > 0 => write!(f, "[{}]", step.index)?,
                None => {}
            }
        }
        f.write_str(" (")?;
        for (position, index) in self.raw.iter().enumerate() {
            write!(f, "{}{index}", if position == 0 { "" } else { ":" })?;
        }
        match self.bit_offset % 8 {
            0 => write!(f, " @ offset {})", self.bit_offset / 8),
            bits => write!(f, " @ offset {}.{bits})", self.bit_offset / 8),
        }
    }
}

/// libbpf's word for a kind (`btf_kind_str` of tools/lib/bpf/libbpf.c).
pub(super) const fn lower(kind: Kind) -> &'static str {
    match kind {
        Kind::Void => "void",
        Kind::Int => "int",
        Kind::Ptr => "ptr",
        Kind::Array => "array",
        Kind::Struct => "struct",
        Kind::Union => "union",
        Kind::Enum => "enum",
        Kind::Fwd => "fwd",
        Kind::Typedef => "typedef",
        Kind::Volatile => "volatile",
        Kind::Const => "const",
        Kind::Restrict => "restrict",
        Kind::Func => "func",
        Kind::FuncProto => "func_proto",
        Kind::Var => "var",
        Kind::Datasec => "datasec",
        Kind::Float => "float",
        Kind::DeclTag => "decl_tag",
        Kind::TypeTag => "type_tag",
        Kind::Enum64 => "enum64",
        Kind::Unknown(_) => "unknown",
    }
}
