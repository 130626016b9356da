// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The elements of types: members, enum values, parameters, variables of a section.

use core::fmt;
use core::iter::FusedIterator;

use crate::raw::{info_vlen, u32_at};
use crate::{Btf, Kind, Type, TypeId};

/// Something that is stored as one fixed-size element after a type.
pub trait Element<'b>: Sized + sealed::Sealed {
    /// The size of the stored element in bytes.
    #[doc(hidden)]
    fn len(list: &Elements<'b, Self>) -> usize;
    /// Reads the element from exactly that many bytes.
    #[doc(hidden)]
    fn read(list: &Elements<'b, Self>, raw: &'b [u8]) -> Option<Self>;
    /// Whether types of this kind have such elements.
    #[doc(hidden)]
    fn belongs_to(kind: Kind) -> bool;
}

mod sealed {
    pub trait Sealed {}
}

/// The elements of a type, in order: an indexable list and an iterator at once.
pub struct Elements<'b, E> {
    btf: &'b Btf<'b>,
    raw: &'b [u8],
    kind: Kind,
    flag: bool,
    element: core::marker::PhantomData<fn() -> E>,
}

/// The members of a struct or union.
pub type Members<'b> = Elements<'b, Member<'b>>;
/// The values of an enum.
pub type Values<'b> = Elements<'b, Value<'b>>;
/// The parameters of a function prototype.
pub type Params<'b> = Elements<'b, Param<'b>>;
/// The variables of a section.
pub type SectionVars<'b> = Elements<'b, SectionVar>;

impl<E> Clone for Elements<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Elements<'_, E> {}

impl<'b, E: Element<'b>> Elements<'b, E> {
    pub(crate) fn new(ty: &Type<'b>) -> Self {
        let kind = ty.kind();
        let mut list = Self {
            btf: ty.btf,
            raw: &[],
            kind,
            flag: ty.kind_flag(),
            element: core::marker::PhantomData,
        };
        if E::belongs_to(kind) {
            let len = info_vlen(ty.info) as usize;
            let bytes = len.saturating_mul(E::len(&list));
            list.raw = ty.tail.get(..bytes).unwrap_or(&[]);
        }
        list
    }

    /// How many elements there are (left).
    pub fn len(&self) -> usize {
        self.raw.len() / E::len(self)
    }

    /// Whether there are none (left).
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<E> {
        let len = E::len(self);
        let start = index.checked_mul(len)?;
        let raw = self.raw.get(start..start.checked_add(len)?)?;
        E::read(self, raw)
    }

    /// An iterator over the elements.
    pub fn iter(&self) -> Self {
        *self
    }
}

impl<'b, E: Element<'b>> Iterator for Elements<'b, E> {
    type Item = E;

    fn next(&mut self) -> Option<E> {
        let (raw, rest) = self.raw.split_at_checked(E::len(self))?;
        self.raw = rest;
        E::read(self, raw)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }

    fn nth(&mut self, n: usize) -> Option<E> {
        let skip = n.saturating_mul(E::len(self)).min(self.raw.len());
        self.raw = self.raw.get(skip..).unwrap_or(&[]);
        self.next()
    }
}

impl<'b, E: Element<'b>> DoubleEndedIterator for Elements<'b, E> {
    fn next_back(&mut self) -> Option<E> {
        let at = self.raw.len().checked_sub(E::len(self))?;
        let (rest, raw) = self.raw.split_at_checked(at)?;
        self.raw = rest;
        E::read(self, raw)
    }
}

impl<'b, E: Element<'b>> ExactSizeIterator for Elements<'b, E> {}
impl<'b, E: Element<'b>> FusedIterator for Elements<'b, E> {}

impl<'b, E: Element<'b> + fmt::Debug> fmt::Debug for Elements<'b, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

/// A member of a struct or union.
#[derive(Clone, Copy)]
pub struct Member<'b> {
    btf: &'b Btf<'b>,
    /// The offset of the name in the string section(s); 0 for an unnamed struct or union.
    pub name_offset: u32,
    /// The member's type.
    pub type_id: TypeId,
    /// The offset from the start of the struct in bits.
    pub bit_offset: u32,
    /// The width in bits of a bit-field, 0 for any other member. Compilers that do not set the
    /// kind flag (before 2019) encode bit-fields in the integer type instead.
    pub bitfield_size: u8,
}

impl<'b> Member<'b> {
    /// The member's name; empty for an unnamed one.
    pub fn name(&self) -> &'b str {
        self.btf.name(self.name_offset)
    }

    /// The member's name as bytes.
    pub fn name_bytes(&self) -> &'b [u8] {
        self.btf.string(self.name_offset).unwrap_or(&[])
    }

    /// The offset from the start of the struct in whole bytes.
    pub const fn byte_offset(&self) -> u32 {
        self.bit_offset / 8
    }

    /// Whether it is a bit-field with an explicit width.
    pub const fn is_bitfield(&self) -> bool {
        self.bitfield_size != 0
    }
}

impl fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' {} @ bit {}", self.name(), self.type_id, self.bit_offset)?;
        if self.is_bitfield() {
            write!(f, ":{}", self.bitfield_size)?;
        }
        Ok(())
    }
}

impl sealed::Sealed for Member<'_> {}

impl<'b> Element<'b> for Member<'b> {
    fn len(_: &Elements<'b, Self>) -> usize {
        12
    }

    fn read(list: &Elements<'b, Self>, raw: &'b [u8]) -> Option<Self> {
        let offset = u32_at(raw, 8)?;
        let [low, middle, high, width] = offset.to_le_bytes();
        let (bit_offset, bitfield_size) = if list.flag {
            (u32::from_le_bytes([low, middle, high, 0]), width)
        } else {
            (offset, 0)
        };
        Some(Self {
            btf: list.btf,
            name_offset: u32_at(raw, 0)?,
            type_id: TypeId(u32_at(raw, 4)?),
            bit_offset,
            bitfield_size,
        })
    }

    fn belongs_to(kind: Kind) -> bool {
        kind.is_composite()
    }
}

/// A value of an enum.
#[derive(Clone, Copy)]
pub struct Value<'b> {
    btf: &'b Btf<'b>,
    /// The offset of the name in the string section(s).
    pub name_offset: u32,
    /// The value: sign- or zero-extended by the enum's signedness; an unsigned 64-bit value above
    /// `i64::MAX` is to be read as `u64`.
    pub value: i64,
}

impl<'b> Value<'b> {
    /// The value's name.
    pub fn name(&self) -> &'b str {
        self.btf.name(self.name_offset)
    }

    /// The value's name as bytes.
    pub fn name_bytes(&self) -> &'b [u8] {
        self.btf.string(self.name_offset).unwrap_or(&[])
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' = {}", self.name(), self.value)
    }
}

impl sealed::Sealed for Value<'_> {}

impl<'b> Element<'b> for Value<'b> {
    fn len(list: &Elements<'b, Self>) -> usize {
        if list.kind == Kind::Enum64 { 12 } else { 8 }
    }

    fn read(list: &Elements<'b, Self>, raw: &'b [u8]) -> Option<Self> {
        let low = u32_at(raw, 4)?;
        let value = match u32_at(raw, 8) {
            Some(high) => ((u64::from(high) << 32) | u64::from(low)).cast_signed(),
            None if list.flag => i64::from(low.cast_signed()),
            None => i64::from(low),
        };
        Some(Self { btf: list.btf, name_offset: u32_at(raw, 0)?, value })
    }

    fn belongs_to(kind: Kind) -> bool {
        kind.is_enum()
    }
}

/// A parameter of a function prototype.
#[derive(Clone, Copy)]
pub struct Param<'b> {
    btf: &'b Btf<'b>,
    /// The offset of the name in the string section(s); often 0.
    pub name_offset: u32,
    /// The parameter's type; `void` with no name means that more arguments may follow.
    pub type_id: TypeId,
}

impl<'b> Param<'b> {
    /// The parameter's name; often empty.
    pub fn name(&self) -> &'b str {
        self.btf.name(self.name_offset)
    }

    /// The parameter's name as bytes.
    pub fn name_bytes(&self) -> &'b [u8] {
        self.btf.string(self.name_offset).unwrap_or(&[])
    }
}

impl fmt::Debug for Param<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' {}", self.name(), self.type_id)
    }
}

impl sealed::Sealed for Param<'_> {}

impl<'b> Element<'b> for Param<'b> {
    fn len(_: &Elements<'b, Self>) -> usize {
        8
    }

    fn read(list: &Elements<'b, Self>, raw: &'b [u8]) -> Option<Self> {
        let type_id = TypeId(u32_at(raw, 4)?);
        Some(Self { btf: list.btf, name_offset: u32_at(raw, 0)?, type_id })
    }

    fn belongs_to(kind: Kind) -> bool {
        kind == Kind::FuncProto
    }
}

/// A variable (or extern function) in a section: `struct btf_var_secinfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionVar {
    /// The [`Kind::Var`] or, for externs, [`Kind::Func`].
    pub type_id: TypeId,
    /// The offset in the section in bytes; compilers leave it 0 for libbpf to fill in.
    pub offset: u32,
    /// The size in bytes.
    pub size: u32,
}

impl sealed::Sealed for SectionVar {}

impl<'b> Element<'b> for SectionVar {
    fn len(_: &Elements<'b, Self>) -> usize {
        12
    }

    fn read(_: &Elements<'b, Self>, raw: &'b [u8]) -> Option<Self> {
        let type_id = TypeId(u32_at(raw, 0)?);
        Some(Self { type_id, offset: u32_at(raw, 4)?, size: u32_at(raw, 8)? })
    }

    fn belongs_to(kind: Kind) -> bool {
        kind == Kind::Datasec
    }
}
