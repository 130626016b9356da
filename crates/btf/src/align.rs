// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Alignment of types.

use alloc::vec::Vec;

use crate::{Btf, Error, Kind, Members, Type, TypeId};

/// How many types may be looked at; libbpf does not count. Every type of a kernel 6.18 needs less.
const MAX_TYPES: u32 = 100_000;

/// A struct or union whose members are being looked at.
struct Composite<'b> {
    size: u32,
    members: Members<'b>,
    /// The member whose type is being looked at: its offset in bits, unless it is a bit-field.
    place: Option<u32>,
    largest: u32,
}

impl Composite<'_> {
    /// Takes note of the alignment of the member's type; false if the struct turns out to be
    /// packed.
    fn take(&mut self, align: u32) -> bool {
        self.largest = self.largest.max(align);
        self.place.is_none_or(|place| place % align.saturating_mul(8).max(1) == 0)
    }

    /// The alignment after all members.
    const fn finish(&self) -> u32 {
        match self.size.checked_rem(self.largest) {
            Some(0) => self.largest,
            _ => 1,
        }
    }
}

impl Btf<'_> {
    /// The alignment of a value of this type in bytes, as libbpf's `btf__align_of` guesses it from
    /// sizes and offsets: a struct whose members are not where they should be is taken for packed.
    ///
    /// # Errors
    ///
    /// If a type does not exist or has no alignment, or contains itself.
    pub fn align_of(&self, id: TypeId) -> Result<u32, Error> {
        let mut waiting: Vec<Composite<'_>> = Vec::new();
        let mut at = id;
        for _ in 0..MAX_TYPES {
            let ty = self.type_by_id(at)?;
            let mut align = match self.plain_align(&ty) {
                Some(align) => Some(align),
                None if ty.kind().is_composite() => {
                    let (size, members) = (ty.size_or_type(), ty.members());
                    waiting.push(Composite { size, members, place: None, largest: 1 });
                    None
                }
                None => {
                    let element = ty.as_array().map(|array| array.element);
                    let target = ty.target().filter(|_| ty.kind().is_modifier());
                    at = element.or(target).ok_or(Error::NoSize { id, kind: ty.kind() })?;
                    continue;
                }
            };
            // Up through the structs that this decides, and on to the next member.
            loop {
                let Some(last) = waiting.last_mut() else {
                    return align.ok_or(Error::EndlessChain { id });
                };
                if align.is_some_and(|align| !last.take(align)) {
                    align = Some(1);
                    waiting.pop();
                    continue;
                }
                if let Some(member) = last.members.next() {
                    last.place = (!member.is_bitfield()).then_some(member.bit_offset);
                    at = member.type_id;
                    break;
                }
                align = Some(last.finish());
                waiting.pop();
            }
        }
        Err(Error::EndlessChain { id })
    }

    /// The alignment of types without parts.
    fn plain_align(&self, ty: &Type<'_>) -> Option<u32> {
        let pointer = self.pointer_size().bytes();
        match ty.kind() {
            Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Float => {
                // A size of 0 is not valid, and must not divide.
                Some(ty.size_or_type().min(pointer)).filter(|align| *align != 0)
            }
            Kind::Ptr => Some(pointer),
            _ => None,
        }
    }
}
