// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Finding types by name.

use alloc::vec::Vec;

use crate::{Btf, Kind, Type, TypeId};

/// The own types that have names, sorted by name, then id.
pub(crate) fn build(btf: &Btf<'_>) -> Vec<u32> {
    // Most comparisons end within the first eight bytes.
    let mut keyed: Vec<(u64, &[u8], u32)> = btf
        .types()
        .filter(|ty| ty.name_offset() != 0)
        .map(|ty| (ty.name_bytes(), ty.id().0))
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, id)| (prefix(name), name, id))
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, _, id)| id).collect()
}

/// The first eight bytes as a number that sorts as they do.
fn prefix(name: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(name) {
        *to = *from;
    }
    u64::from_be_bytes(bytes)
}

/// Own types by name: what a search found, in the order of ids for one name.
#[derive(Clone)]
enum Found<'b> {
    /// A range of the index of names.
    Indexed(core::slice::Iter<'b, u32>),
    /// Every own type is to be looked at.
    Scan { next: u32, end: u32 },
}

/// A condition on names.
#[derive(Clone, Copy)]
enum Wanted<'n> {
    /// The whole name.
    Exactly(&'n [u8]),
    /// The beginning of the name.
    Prefix(&'n [u8]),
}

impl Wanted<'_> {
    fn compare(self, name: &[u8]) -> core::cmp::Ordering {
        match self {
            Self::Exactly(wanted) => name.cmp(wanted),
            Self::Prefix(wanted) => name.get(..wanted.len()).unwrap_or(name).cmp(wanted),
        }
    }
}

/// The own types of `btf` that are `wanted`.
fn own<'b>(btf: &'b Btf<'_>, wanted: Wanted<'_>) -> Found<'b> {
    let Some(names) = btf.name_index() else {
        return Found::Scan { next: btf.first_id().0, end: btf.type_count() };
    };
    let name_of = |id: u32| btf.type_by_id(TypeId(id)).map_or(&[][..], |ty| ty.name_bytes());
    let first = names.partition_point(|id| wanted.compare(name_of(*id)).is_lt());
    let rest = names.get(first..).unwrap_or(&[]);
    let count = rest.partition_point(|id| wanted.compare(name_of(*id)).is_eq());
    Found::Indexed(rest.get(..count).unwrap_or(&[]).iter())
}

/// The own types of `btf` that are `wanted`, in the order of ids for one name.
fn own_types<'b>(btf: &'b Btf<'_>, wanted: Wanted<'_>) -> impl Iterator<Item = Type<'b>> {
    let mut found = own(btf, wanted);
    let ids = core::iter::from_fn(move || match &mut found {
        Found::Indexed(ids) => ids.next().copied(),
        Found::Scan { next, end } => {
            let id = *next;
            *next = id.saturating_add(1);
            (id < *end).then_some(id)
        }
    });
    ids.filter_map(|id| btf.type_by_id(TypeId(id)).ok()).filter(move |ty| {
        // Also for the index: it may have been handed in for other data.
        let name = ty.name_bytes();
        !name.is_empty() && wanted.compare(name).is_eq()
    })
}

/// `btf` and the BTF that it continues, down to the first.
fn levels<'b>(btf: &'b Btf<'b>) -> impl Iterator<Item = &'b Btf<'b>> {
    core::iter::successors(Some(btf), |btf| btf.base())
}

impl Btf<'_> {
    /// The first type of this name and kind: that with the lowest id, so a type of the base rather
    /// than an own one.
    pub fn find_by_name(&self, name: &str, kind: Kind) -> Option<TypeId> {
        self.find(name.as_bytes(), |found| found == kind)
    }

    /// The first type of this name whose kind is accepted by `kinds`.
    pub fn find(&self, name: &[u8], kinds: impl Fn(Kind) -> bool) -> Option<TypeId> {
        levels(self)
            .filter_map(|btf| {
                let mut types = own_types(btf, Wanted::Exactly(name));
                types.find(|ty| kinds(ty.kind())).map(|ty| ty.id())
            })
            .last()
    }

    /// The first own type of this name and kind, not looking into the base.
    pub fn find_own_by_name(&self, name: &str, kind: Kind) -> Option<TypeId> {
        let mut types = own_types(self, Wanted::Exactly(name.as_bytes()));
        types.find(|ty| ty.kind() == kind).map(|ty| ty.id())
    }

    /// All own types of this name, in the order of ids.
    pub fn own_types_named<'b>(&'b self, name: &'b str) -> impl Iterator<Item = Type<'b>> {
        own_types(self, Wanted::Exactly(name.as_bytes()))
    }

    /// All own types of this name as bytes, in the order of ids.
    pub(crate) fn own_types_exactly<'b>(
        &'b self,
        name: &'b [u8],
    ) -> impl Iterator<Item = Type<'b>> {
        own_types(self, Wanted::Exactly(name))
    }

    /// All own types whose names begin so, in no useful order across names.
    pub fn own_types_with_prefix<'b>(&'b self, prefix: &'b [u8]) -> impl Iterator<Item = Type<'b>> {
        own_types(self, Wanted::Prefix(prefix))
    }
}
