// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Map values, and maps themselves (`check_map_access`, `check_ptr_to_map_access`).

use super::map_fields::Accessor;
use super::plain::Part;
use super::{Access, Span};
use crate::analysis::record::RecordId;
use crate::design::Design;
use crate::errno::Errno;
use crate::mem::{List, Text};
use crate::messages::{BtfAccess, Memory};
use crate::outcome::{Abort, Step, Stop};
use crate::simulate::btf::loaded::{Loaded, ObjectPart};
use crate::simulate::sim::Sim;
use crate::state::{BtfRef, MapRef, RegState};
use crate::trace::Observer;
use veristable_btf::TypeId;
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
    /// Fields of its value that only certain functions may touch.
    pub(crate) record: Option<RecordId>,
    /// The kernel's structure behind the map (`map_btf_id`).
    pub(crate) object: Option<TypeId>,
}

/// Whether programs only read a map's values. Those of device maps are the devices' own numbers:
/// `dev_map_init_map` of `kernel/bpf/devmap.c` sets the flag itself.
pub(crate) fn only_read(spec: &MapSpec) -> bool {
    spec.flags.contains(MapFlags::RDONLY_PROG)
        || matches!(spec.map_type, MapType::DEVMAP | MapType::DEVMAP_HASH)
}

impl<'a, D: Design, O: Observer> Sim<'_, 'a, D, O> {
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
        let kind = self.env.kernel.map_type(spec.map_type)?;
        let constant = frozen
            && only_read(spec)
            && kind.is_some_and(|kind| kind.op("map_direct_value_addr").is_some());
        let object = kind.and_then(|kind| kind.btf);
        let object = object.map(|ty| self.kernel_type(Some(ty))).transpose()?;
        let facts = MapFacts { constant, record: self.map_record(map)?, object };
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
        let record = self.check_map_value(part, pointer, map, Accessor::Instruction)?;
        if let Some(field) = self.kptr_at(record, part, pointer)? {
            return self.access_kptr(&field, access);
        }
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
        let (reads_only, writes_only) =
            (only_read(spec), spec.flags.contains(MapFlags::WRONLY_PROG));
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
            // Arenas, the only others that can be addressed, are never read-only.
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
            let found = contents.get(from..).unwrap_or_default().iter();
            // What was not written is zero.
            for (byte, found) in bytes.iter_mut().take(size as usize).zip(found) {
                *byte = *found;
            }
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
        let Some(id) = self.map_facts(map)?.object else {
            let map_type = self.map_spec(map)?.map_type.0;
            return self.env.reject(BtfAccess::NoMapBtf { map_type });
        };
        let Part { off, size, .. } = Part::of(span, pointer);
        let reg = span.base.number();
        let perfmon = self.env.privileges.allow_ptr_leaks;
        if !perfmon || off < 0 || matches!(access, Access::Write(_)) {
            let name = Text::new(self.name_of_type(BtfRef::Kernel, id)?);
            return self.env.reject(match access {
                _ if !perfmon => BtfAccess::NeedsPerfmon { name },
                _ if off < 0 => BtfAccess::NegativeMap { reg, name, off },
                _ => BtfAccess::ReadOnlyMap { name },
            });
        }
        let loaded =
            self.look_into(ObjectPart { btf: BtfRef::Kernel, id, off, size, is_local: false })?;
        match (access, loaded) {
            (Access::Read(Some(dst)), Loaded::Object { id, flags, .. }) => {
                self.load_object(dst, BtfRef::Kernel, id, flags)
            }
            (Access::Read(Some(dst)), loaded) => self.load_no_object(dst, loaded),
            _ => Ok(()),
        }
    }
}
