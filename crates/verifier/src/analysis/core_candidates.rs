// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The kernel's types that a CO-RE relocation may mean, and the cache in which the kernel keeps them
//! (`bpf_core_find_cands`, `kernel/bpf/btf.c`).
//!
//! The cache is one for all programs of a machine and goes by name alone, so that a type of another
//! kind may find what an earlier one left. A verification begins with an empty one: what earlier
//! programs left is known to nobody.

use crate::mem::{Budget, List};
use crate::outcome::Abort;
use veristable_btf::relo::{self, Candidate};
use veristable_btf::{Btf, Kind, TypeId};

/// `VMLINUX_CAND_CACHE_SIZE`
const SLOTS: usize = 31;

/// What was found for a name.
pub(crate) struct Found<'a> {
    /// The name, without flavour.
    pub(crate) name: &'a [u8],
    /// The kind of the type that was looked for first.
    pub(crate) kind: Kind,
    /// The kernel's types, in the order of ids.
    pub(crate) ids: List<TypeId>,
}

/// The kernel's cache (`vmlinux_cand_cache`). That for modules' types holds nothing but names that
/// have none, since a kernel is described as it is without modules.
pub(crate) struct Cache<'a> {
    slots: [Option<Found<'a>>; SLOTS],
}

impl<'a> Cache<'a> {
    /// An empty cache.
    pub(crate) fn new() -> Self {
        Self { slots: core::array::from_fn(|_| None) }
    }

    /// What the kernel has for a name, which may have a flavour.
    ///
    /// # Errors
    ///
    /// If memory does not suffice.
    pub(crate) fn find(
        &mut self,
        budget: &Budget,
        kernel: &Btf<'_>,
        name: &'a [u8],
        kind: Kind,
    ) -> Result<&Found<'a>, Abort> {
        let name = relo::essential_name(name);
        let slot = hash(name) as usize % SLOTS;
        let slot = self.slots.get_mut(slot).ok_or(Abort::Internal("slot of a candidate"))?;
        let stale = slot.take_if(|found| found.name != name);
        if let Some(stale) = stale {
            stale.ids.release(budget);
        }
        match slot {
            Some(found) => Ok(found),
            empty => {
                let types = relo::candidates(name, |found| found == kind, kernel);
                let ids = types.iter().map(|candidate: &Candidate<'_>| candidate.id);
                let ids = List::collect(budget, ids)?;
                Ok(empty.insert(Found { name, kind, ids }))
            }
        }
    }
}

/// Bob Jenkins' hash of bytes (`lookup3`), as `jhash` of `include/linux/jhash.h` computes it with a
/// first value of 0.
fn hash(bytes: &[u8]) -> u32 {
    const START: u32 = 0xdead_beef;
    let start = START.wrapping_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    let mut state = [start; 3];
    let mut rest = bytes;
    while rest.len() > 12 {
        let (block, after) = rest.split_at(12);
        add(&mut state, block);
        mix(&mut state);
        rest = after;
    }
    if !rest.is_empty() {
        add(&mut state, rest);
        finish(&mut state);
    }
    state[2]
}

/// Adds up to twelve bytes, as three numbers.
fn add(state: &mut [u32; 3], bytes: &[u8]) {
    let mut words = [[0_u8; 4]; 3];
    for (to, from) in words.as_flattened_mut().iter_mut().zip(bytes) {
        *to = *from;
    }
    for (word, more) in state.iter_mut().zip(words) {
        *word = word.wrapping_add(u32::from_le_bytes(more));
    }
}

fn mix([a, b, c]: &mut [u32; 3]) {
    fn step(one: &mut u32, two: u32, other: &mut u32, by: u32) {
        *one = one.wrapping_sub(*other) ^ other.rotate_left(by);
        *other = other.wrapping_add(two);
    }
    step(a, *b, c, 4);
    step(b, *c, a, 6);
    step(c, *a, b, 8);
    step(a, *b, c, 16);
    step(b, *c, a, 19);
    step(c, *a, b, 4);
}

fn finish([a, b, c]: &mut [u32; 3]) {
    const fn step(one: u32, other: u32, by: u32) -> u32 {
        (one ^ other).wrapping_sub(other.rotate_left(by))
    }
    *c = step(*c, *b, 14);
    *a = step(*a, *c, 11);
    *b = step(*b, *a, 25);
    *c = step(*c, *b, 16);
    *a = step(*a, *c, 4);
    *b = step(*b, *a, 14);
    *c = step(*c, *b, 24);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_lookup3() {
        assert_eq!(hash(b""), 0xdead_beef);
        assert_eq!(hash(b"Four score and seven years ago"), 0x1777_0551);
    }
}
