// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a relocation speaks of: a path from a type to a field, an enum value, or the type itself.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{RelocError, RelocKind, Relocated, Rules, names, size_of};
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

/// A path in some BTF: `struct bpf_core_spec`. Its text is the one of libbpf's debug output and of
/// verifier logs.
#[derive(Clone, Debug)]
pub struct Spec<'b> {
    pub(super) btf: &'b Btf<'b>,
    pub(super) kind: RelocKind,
    pub(super) rules: Rules,
    /// The type with which it begins, with its modifiers.
    pub(super) root: TypeId,
    /// The steps that mean something. Empty for relocations about types.
    pub(super) steps: Vec<Accessor<'b>>,
    /// Every step, also through unnamed members.
    pub(super) raw: Vec<i32>,
    /// Where the path leads, in bits from the start of the root.
    pub(super) bit_offset: u32,
}

impl<'b> Spec<'b> {
    /// A path without steps.
    pub(super) const fn new(btf: &'b Btf<'b>, kind: RelocKind, root: TypeId, rules: Rules) -> Self {
        Self { btf, kind, rules, root, steps: Vec::new(), raw: Vec::new(), bit_offset: 0 }
    }

    /// Parses a relocation's access string (`bpf_core_parse_spec`).
    ///
    /// # Errors
    ///
    /// If it makes no sense for the type.
    pub fn parse(btf: &'b Btf<'b>, relo: &CoreRelo, rules: Rules) -> Result<Self, RelocError> {
        let access = btf.string(relo.access_offset)?;
        let Some(kind) = relo.kind() else {
            parse_indexes(access, rules)?;
            return Err(RelocError::UnknownKind { number: relo.kind_number });
        };
        let mut spec = Self::new(btf, kind, relo.type_id, rules);
        if kind.is_type() {
            return if access == b"0" { Ok(spec) } else { Err(bad("not \"0\"")) };
        }
        spec.raw = parse_indexes(access, rules)?;
        let [first, rest @ ..] = spec.raw.as_slice() else {
            return Err(bad("empty"));
        };
        let (first, rest) = (*first, rest.to_vec());
        let root = btf.skip_modifiers(relo.type_id)?;
        let index = first.cast_unsigned();
        if kind.is_enum_value() {
            if !rest.is_empty() {
                return Err(bad("more than one index for an enum value"));
            }
            let name = enum_value_name(&root, first)?;
            spec.steps.push(Accessor { type_id: root.id(), index, name: Some(name) });
            return Ok(spec);
        }
        spec.steps.push(Accessor { type_id: root.id(), index, name: None });
        let mut id = root.id();
        spec.advance(index, size_of(btf, id, rules)?);
        for (position, index) in (1..).zip(rest) {
            id = spec.step_into(id, index, position)?;
        }
        Ok(spec)
    }

    /// The answer to a relocation about the id that the type has in the object.
    pub fn own_id(&self) -> Relocated {
        let id = u64::from(self.root.0);
        Relocated { original: id, new: id, validate: false, ..Relocated::start() }
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
    fn step_into(&mut self, id: TypeId, access: i32, position: u32) -> Result<TypeId, RelocError> {
        let index = access.cast_unsigned();
        let ty = self.btf.skip_modifiers(id)?;
        if let Some(array) = ty.as_array() {
            let element = self.btf.skip_modifiers(array.element)?.id();
            if index >= array.count && !self.is_flexible(self.steps.last(), array.count)? {
                return Err(bad("index past the end of an array"));
            }
            self.steps.push(Accessor { type_id: element, index, name: None });
            self.advance(index, size_of(self.btf, element, self.rules)?);
            return Ok(element);
        }
        if !ty.kind().is_composite() {
            return Err(RelocError::UnexpectedKind { id: ty.id(), kind: ty.kind(), position });
        }
        let member = ty.members().get(look_up(access)?).ok_or(bad("no such member"))?;
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

/// The place of a member or enum value. Kernels that let a negative one pass take what stands before
/// the first for it.
fn look_up(index: i32) -> Result<usize, RelocError> {
    let reason = "CO-RE index before the first member or value";
    usize::try_from(index).map_err(|_| RelocError::Undecided { reason })
}

/// Parses numbers separated by colons.
fn parse_indexes(access: &[u8], rules: Rules) -> Result<Vec<i32>, RelocError> {
    let mut indexes = Vec::new();
    let mut rest = access;
    if rest.first().is_none_or(|first| *first == b':') {
        return Err(bad("not numbers"));
    }
    while !rest.is_empty() {
        let (index, after) = parse_index(rest.strip_prefix(b":").unwrap_or(rest), rules)
            .ok_or(bad("not numbers"))?;
        if index < 0 && !rules.negative_indexes {
            return Err(bad("a negative index"));
        }
        if indexes.len() == MAX_LEN {
            return Err(if rules.kernel {
                RelocError::TooDeep
            } else {
                bad("more than 64 indexes")
            });
        }
        indexes.push(index);
        rest = after;
    }
    Ok(indexes)
}

/// A number at the beginning of a text, and what follows it (`%d` of `sscanf`; the kernel's
/// `vsscanf` in lib/vsprintf.c does not mind how large it is).
fn parse_index(text: &[u8], rules: Rules) -> Option<(i32, &[u8])> {
    let is_space =
        |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r') || rules.kernel && *byte == 0xa0;
    let text = text.get(text.iter().take_while(|byte| is_space(byte)).count()..)?;
    let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at_checked(len).filter(|(digits, _)| !digits.is_empty())?;
    let number = digits.iter().try_fold(0_u64, |number, digit| {
        let digit = u64::from(digit.wrapping_sub(b'0'));
        if rules.kernel {
            return Some(number.wrapping_mul(10).wrapping_add(digit));
        }
        number.checked_mul(10)?.checked_add(digit)
    })?;
    let number = if negative { number.wrapping_neg() } else { number }.cast_signed();
    if rules.kernel {
        return Some((number as i32, rest));
    }
    Some((i32::try_from(number).ok()?, rest))
}

/// The name of an enum's value.
fn enum_value_name<'b>(ty: &Type<'b>, index: i32) -> Result<&'b [u8], RelocError> {
    let unexpected = RelocError::UnexpectedKind { id: ty.id(), kind: ty.kind(), position: 0 };
    let data = ty.as_enum().ok_or(unexpected)?;
    let value = data.values.get(look_up(index)?).ok_or(bad("no such enum value"))?;
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
        let kind = if self.rules.kernel { root.kind().name() } else { lower(root.kind()) };
        write!(f, "<{}> {} {kind} {}", self.kind, self.root, lossy(name))?;
        if self.kind.is_enum_value() {
            // Where none was found, the first is printed.
            let index = self.raw.first().copied().unwrap_or(0);
            let value = self.btf.skip_modifiers(self.root).ok().and_then(|ty| {
                let data = ty.as_enum()?;
                Some((data.signed, data.values.get(usize::try_from(index).ok()?)?))
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
