// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a load from a kernel object yields (`btf_struct_access` of `kernel/bpf/btf.c`), remembered
//! for the loads that come again.

use super::trust::{Safe, promises};
use super::walk::{Found, Tail, walk};
use crate::design::Design;
use crate::mem::List;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::BtfRef;
use crate::trace::Observer;
use veristable_btf::TypeId;
use veristable_kernel::{Behaviour, TypeFlags};

/// Entries of a [`WalkCache`], a power of two.
const ENTRIES: usize = 512;

/// A part of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ObjectPart {
    /// Which BTF the object's type counts in.
    pub(crate) btf: BtfRef,
    /// The object's type.
    pub(crate) id: TypeId,
    /// Distance from its start in bytes; not negative.
    pub(crate) off: i32,
    /// Bytes.
    pub(crate) size: u32,
    /// The program allocated the object.
    pub(crate) is_local: bool,
}

/// What lies there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Loaded {
    /// A number.
    Scalar,
    /// A pointer to a structure.
    Object {
        /// Its type, in the BTF of the object that the pointer is in.
        id: TypeId,
        /// Modifiers by the way there and by a type tag.
        flags: TypeFlags,
        /// What the kernel promises of the member.
        safe: Safe,
    },
    /// A pointer to anything else: `PTR_TO_MEM | MEM_RDONLY | PTR_UNTRUSTED`.
    Memory,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    part: ObjectPart,
    /// It was permitted to write there; otherwise what a load yields.
    write: bool,
    loaded: Loaded,
}

/// The latest walks, each at the place that a hash of its question names.
#[derive(Default)]
pub(crate) struct WalkCache {
    entries: List<Option<Entry>>,
}

impl WalkCache {
    fn known(&self, part: &ObjectPart, write: bool) -> Option<Loaded> {
        let entry = self.entries.get(place(part, write)).copied().flatten()?;
        (entry.part == *part && entry.write == write).then_some(entry.loaded)
    }
}

/// Where a question has its place.
const fn place(part: &ObjectPart, write: bool) -> usize {
    let off = part.off.cast_unsigned().wrapping_mul(2).wrapping_add(write as u32);
    let mixed = part.id.0.wrapping_mul(0x9e37_79b1) ^ off.wrapping_mul(0x85eb_ca6b);
    (mixed >> 16) as usize % ENTRIES
}

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// What a load of a part of an object yields; the rejection if there is nothing such.
    pub(crate) fn look_into(&mut self, part: ObjectPart) -> Step<Loaded> {
        if let Some(loaded) = self.walks.known(&part, false) {
            return Ok(loaded);
        }
        let loaded = self.walk_into(part)?;
        self.remember_walk(Entry { part, write: false, loaded })?;
        Ok(loaded)
    }

    /// Whether it is remembered that the program may write to a part of an object.
    pub(crate) fn write_was_permitted(&self, part: ObjectPart) -> bool {
        self.walks.known(&part, true).is_some()
    }

    /// The program may write to a part of an object.
    pub(crate) fn remember_write(&mut self, part: ObjectPart) -> Step {
        self.remember_walk(Entry { part, write: true, loaded: Loaded::Scalar })
    }

    fn remember_walk(&mut self, entry: Entry) -> Step {
        if self.walks.entries.is_empty() {
            self.walks.entries = List::filled(&self.env.budget, ENTRIES, None)?;
        }
        *self.walks.entries.at_mut(place(&entry.part, entry.write))? = Some(entry);
        Ok(())
    }

    /// What may lie behind the end of an object.
    pub(super) fn flexible_tail(&self, is_local: bool) -> Tail {
        match (self.env.has(Behaviour::ObjectsLackFlexArrays), is_local) {
            (false, _) => Tail::Any,
            (true, false) => Tail::Sized,
            (true, true) => Tail::None,
        }
    }

    fn walk_into(&mut self, part: ObjectPart) -> Step<Loaded> {
        let btf = self.btf(part.btf)?;
        let (mut id, mut off) = (part.id, part.off.cast_unsigned());
        let mut flags = TypeFlags::empty();
        let tail = self.flexible_tail(part.is_local);
        loop {
            self.env.tick()?;
            match walk(btf, id, off, part.size, tail, &mut flags) {
                Ok(Found::Scalar) => return Ok(Loaded::Scalar),
                Ok(Found::OtherPointer) => {
                    let is_memory = self.env.has(Behaviour::WalkToPrimitive);
                    return Ok(if is_memory { Loaded::Memory } else { Loaded::Scalar });
                }
                Ok(Found::Struct(inner)) => (id, off) = (inner, 0),
                Ok(Found::Pointer { to, member }) => {
                    let member = btf.utf8(member).unwrap_or("");
                    let safe = promises(btf, part.id, member, to);
                    return Ok(Loaded::Object { id: to, flags, safe });
                }
                Err(missed) => {
                    return match missed.message() {
                        Some(message) => self.env.reject(message),
                        // Kernels load no BTF with chains without end or arrays of nothing.
                        None => self.env.unsupported("BTF", "that cannot be walked"),
                    };
                }
            }
        }
    }
}
