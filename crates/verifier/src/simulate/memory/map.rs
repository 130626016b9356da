// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Map values, and maps themselves (`check_map_access`, `check_ptr_to_map_access`).

use super::plain::Part;
use super::{Access, Span};
use crate::env::Env;
use crate::errno::Errno;
use crate::mem::List;
use crate::messages::Memory;
use crate::outcome::{Abort, Step, Stop};
use crate::simulate::sim::Sim;
use crate::state::{MapRef, RegState};
use crate::trace::Observer;
use veristable_btf::{Btf, Kind as BtfKind, TypeData, TypeId};
use veristable_kernel::MapType;
use veristable_program::{MapFlags, MapSpec};

/// What is asked of the maps in use while instructions are simulated, found out when it is first
/// needed: two entries for each map, the second for its inner map.
#[derive(Default)]
pub(crate) struct MapTable {
    entries: List<Option<MapFacts>>,
}

/// What is known of a map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapFacts {
    /// Loads from its values can be folded: nobody changes them any more (`bpf_map_is_rdonly`,
    /// `map_direct_value_addr`).
    pub(crate) constant: bool,
    /// Fields of its value that only certain functions may touch (`struct btf_record`).
    pub(crate) special: Special,
}

bitflags::bitflags! {
    /// Fields of a structure that only certain functions may touch.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Special: u8 {
        /// `bpf_spin_lock` or `bpf_res_spin_lock`.
        const LOCK = 1 << 0;
        /// What calls back later: `bpf_timer`, `bpf_wq`, `bpf_task_work`.
        const ASYNC = 1 << 1;
        /// Any other.
        const OTHER = 1 << 2;
    }
}

impl<'a, O: Observer> Sim<'_, 'a, O> {
    /// How a map was made.
    pub(crate) fn map_spec(&self, map: MapRef) -> Result<&'a MapSpec, Abort> {
        let desc = self.env.map(map.index)?;
        if map.inner {
            return desc.inner.as_deref().ok_or(Abort::Internal("no inner map"));
        }
        Ok(&desc.spec)
    }

    /// What is known of a map.
    pub(crate) fn map_facts(&mut self, map: MapRef) -> Step<MapFacts> {
        let index = map.index.0 as usize * 2 + usize::from(map.inner);
        if let Some(Some(facts)) = self.maps.entries.get(index) {
            return Ok(*facts);
        }
        let spec = self.map_spec(map)?;
        let frozen = !map.inner && self.env.map(map.index)?.frozen;
        let constant = frozen
            && spec.flags.contains(MapFlags::RDONLY_PROG)
            && self
                .env
                .kernel
                .map_type(spec.map_type)?
                .is_some_and(|facts| facts.op("map_direct_value_addr").is_some());
        let facts = MapFacts { constant, special: special_of_map(self.env, spec)? };
        if self.maps.entries.len() <= index {
            self.maps.entries.resize(&self.env.budget, index + 1, None)?;
        }
        *self.maps.entries.at_mut(index)? = Some(facts);
        Ok(facts)
    }

    /// A load from or store to a map's value.
    pub(super) fn access_map_value(
        &mut self,
        span: Span,
        pointer: &RegState,
        map: MapRef,
        access: Access,
        sign_extend: bool,
    ) -> Step {
        if let Access::Write(value) = access {
            self.refuse_leak(value, "map")?;
        }
        let part = Part::of(span, pointer);
        self.check_map_direction(part, map, matches!(access, Access::Write(_)))?;
        self.check_map_value(part, pointer, map)?;
        let Access::Read(Some(dst)) = access else { return Ok(()) };
        if let Some(offset) = pointer.value.as_const()
            && self.map_facts(map)?.constant
        {
            let offset = i64::from(part.off).cast_unsigned().wrapping_add(offset);
            let number = self.constant_of_map(map, offset, span.size, sign_extend)?;
            self.reg_mut(dst)?.set_number(number);
            return Ok(());
        }
        self.reg_mut(dst)?.set_unknown();
        Ok(())
    }

    /// Programs may read or write maps as their flags say (`check_map_access_type`).
    pub(super) fn check_map_direction(&mut self, part: Part, map: MapRef, writes: bool) -> Step {
        let spec = self.map_spec(map)?;
        let (reads_only, writes_only) = (
            spec.flags.contains(MapFlags::RDONLY_PROG),
            spec.flags.contains(MapFlags::WRONLY_PROG),
        );
        let (off, size) = (part.off, part.size.cast_signed());
        let value_size = spec.value_size.cast_signed();
        if writes && reads_only {
            return self.env.reject(Memory::WriteForbidden { value_size, off, size });
        }
        if !writes && !reads_only && writes_only {
            return self.env.reject(Memory::ReadForbidden { value_size, off, size });
        }
        Ok(())
    }

    /// A part of a value, whoever accesses it (`check_map_access`).
    pub(super) fn check_map_value(&mut self, part: Part, pointer: &RegState, map: MapRef) -> Step {
        let size = self.map_spec(map)?.value_size;
        self.check_region(part, pointer, size)?;
        if !self.map_facts(map)?.special.is_empty() {
            return self.env.unsupported("special fields of a map value", "");
        }
        Ok(())
    }

    /// A number in a map that nobody changes (`bpf_map_direct_read`).
    fn constant_of_map(
        &mut self,
        map: MapRef,
        offset: u64,
        size: u32,
        sign_extend: bool,
    ) -> Step<u64> {
        let desc = self.env.map(map.index)?;
        if desc.spec.map_type != MapType::ARRAY {
            return self.env.unsupported("constant map", "of another type than array");
        }
        if desc.spec.max_entries != 1 {
            // `array_map_direct_value_addr` has no address for one of several elements, and the
            // verifier says nothing of it.
            return Err(Stop::Rejected(Errno::ENOTSUPP));
        }
        let mut bytes = [0u8; 8];
        if let Some(contents) = &desc.contents {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let found = contents.get(from..).and_then(|rest| rest.get(..size as usize));
            let (Some(found), Some(room)) = (found, bytes.get_mut(..size as usize)) else {
                return self.env.unsupported("constant map", "with incomplete contents");
            };
            room.copy_from_slice(found);
        }
        let number = u64::from_le_bytes(bytes);
        let shift = 64 - 8 * size.min(8);
        Ok(match sign_extend {
            true if shift < 64 => ((number << shift).cast_signed() >> shift).cast_unsigned(),
            _ => number,
        })
    }

    /// A load from the kernel's structure behind a map (`check_ptr_to_map_access`).
    pub(super) fn access_map_itself(
        &mut self,
        span: Span,
        pointer: &RegState,
        map: MapRef,
        access: Access,
    ) -> Step {
        let _ = (span, pointer, map, access);
        self.env.unsupported("memory access", "map_ptr")
    }
}

/// Which special fields a map's value could have.
fn special_of_map<O: Observer>(env: &mut Env<'_, O>, spec: &MapSpec) -> Step<Special> {
    let (Some(bytes), id) = (&spec.btf, spec.btf_value_type_id) else {
        return Ok(Special::empty());
    };
    if id == 0 {
        return Ok(Special::empty());
    }
    match Btf::open(&**bytes) {
        Ok(btf) => special_fields(env, &btf, TypeId(id)),
        // Such a map could not have been made.
        Err(_) => env.unsupported("map BTF", ""),
    }
}

/// Which special fields a type could have: structures of the kernel's choice by name, and
/// pointers with tags. A superset of what `btf_parse_fields` finds.
pub(crate) fn special_fields<O: Observer>(
    env: &mut Env<'_, O>,
    btf: &Btf<'_>,
    id: TypeId,
) -> Step<Special> {
    let mut pending = List::new();
    let mut seen = List::new();
    let mut found = Special::empty();
    pending.push(&env.budget, id)?;
    while let Some(id) = pending.pop() {
        env.tick()?;
        let Ok(ty) = btf.type_by_id(id) else { continue };
        let Err(place) = seen.binary_search(&id) else { continue };
        seen.insert(&env.budget, place, id)?;
        found |= special(ty.kind(), ty.name());
        match ty.data() {
            TypeData::Struct(composite) => {
                for member in composite.members {
                    pending.push(&env.budget, member.type_id)?;
                }
            }
            TypeData::Array(array) => pending.push(&env.budget, array.element)?,
            TypeData::Typedef(of)
            | TypeData::Volatile(of)
            | TypeData::Const(of)
            | TypeData::Restrict(of) => pending.push(&env.budget, of)?,
            // Of what a pointer points to, only the tags count.
            TypeData::Ptr(of) => found |= tags(btf, of),
            TypeData::Datasec(section) => {
                for var in section.vars {
                    pending.push(&env.budget, var.type_id)?;
                }
            }
            TypeData::Var(var) => pending.push(&env.budget, var.type_id)?,
            _ => {}
        }
    }
    pending.release(&env.budget);
    seen.release(&env.budget);
    Ok(found)
}

fn special(kind: BtfKind, name: &str) -> Special {
    match name {
        _ if kind != BtfKind::Struct => Special::empty(),
        "bpf_spin_lock" | "bpf_res_spin_lock" => Special::LOCK,
        "bpf_timer" | "bpf_wq" | "bpf_task_work" => Special::ASYNC,
        "bpf_list_head" | "bpf_list_node" | "bpf_rb_root" | "bpf_rb_node" | "bpf_refcount" => {
            Special::OTHER
        }
        _ => Special::empty(),
    }
}

/// What the tags before a pointer's target say.
fn tags(btf: &Btf<'_>, mut id: TypeId) -> Special {
    const TAGS: [&str; 5] = ["kptr", "kptr_untrusted", "kptr_ref", "percpu_kptr", "uptr"];
    // Rows of modifiers are short; the kernel refuses BTF with more than 32 in a row.
    for _ in 0..32 {
        let Ok(ty) = btf.type_by_id(id) else { break };
        match ty.data() {
            TypeData::TypeTag(_) if TAGS.contains(&ty.name()) => return Special::OTHER,
            TypeData::TypeTag(tag) => id = tag.target,
            TypeData::Const(of) | TypeData::Volatile(of) | TypeData::Restrict(of) => id = of,
            _ => break,
        }
    }
    Special::empty()
}
