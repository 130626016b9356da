// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Maps: those that section `.maps` defines, and the list of all.

use crate::Error;
use crate::elf::{Elf, Section};
use crate::program::MAX_NAME;
use crate::struct_ops::StructOps;
use veristable_btf::{Btf, Kind, Linkage, Member, SectionVar, Type, TypeData};
use veristable_kernel::MapType;
use veristable_program::{Blob, MapFlags, MapSpec};

/// Section of map definitions.
const MAPS: &str = ".maps";
/// Section of the arena's variables.
const ARENA_DATA: &str = ".addr_space.1";
/// Section of jump tables.
const JUMP_TABLES: &str = ".jumptables";
/// Bytes of a page: ring buffers and arenas count in pages.
pub(crate) const PAGE: u32 = 4096;

/// Where a map comes from.
#[derive(Clone, Debug)]
pub(crate) enum MapKind {
    /// Defined in `.maps`.
    Defined,
    /// Variables with initial values.
    Data,
    /// Variables without.
    Bss,
    /// Constants.
    Rodata,
    /// Configuration values.
    Kconfig,
    /// A variable in `.struct_ops`.
    StructOps(StructOps),
}

/// A map of the object.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    /// As programs and `BPF_MAP_CREATE` are told; the latter keeps 15 bytes.
    pub(crate) spec: MapSpec,
    pub(crate) inner: Option<MapSpec>,
    pub(crate) kind: MapKind,
    /// Section of the definition.
    pub(crate) section: usize,
    /// Its name.
    pub(crate) section_name: String,
    /// Offset of the definition in the section.
    pub(crate) offset: u64,
    /// Whether libbpf creates it unless told otherwise.
    pub(crate) autocreate: bool,
    /// Initial value; absent for zeroes.
    pub(crate) contents: Option<Blob>,
}

/// All maps, in libbpf's order.
#[derive(Debug, Default)]
pub(crate) struct Maps {
    pub(crate) list: Vec<Map>,
    /// Section `.maps`.
    pub(crate) section: Option<usize>,
    /// The arena among the maps.
    pub(crate) arena: Option<usize>,
    /// Section of its variables.
    pub(crate) arena_section: Option<usize>,
    /// The map of configuration values.
    pub(crate) kconfig: Option<usize>,
    pub(crate) jump_table_section: Option<usize>,
    /// Contents of `.jumptables`.
    pub(crate) jump_tables: Vec<u8>,
}

impl Maps {
    /// Reads the definitions in `.maps` (`bpf_object__init_user_btf_maps` of libbpf).
    pub(crate) fn collect(elf: &Elf<'_>, btf: Option<&Btf<'_>>) -> Result<Self, Error> {
        let usable = |name: &str| {
            let section = elf.sections.get(elf.section_named(name)?)?;
            let is_data = section.kind == crate::elf::SectionKind::Progbits
                && !section.executable
                && !section.data.is_empty();
            is_data.then(|| elf.section_named(name)).flatten()
        };
        let mut maps = Self {
            section: elf.section_named(MAPS),
            arena_section: usable(ARENA_DATA),
            jump_table_section: usable(JUMP_TABLES),
            ..Self::default()
        };
        if let Some(section) = maps.jump_table_section.and_then(|index| elf.sections.get(index)) {
            maps.jump_tables = section.data.to_vec();
        }
        if let Some((index, section)) =
            maps.section.and_then(|index| Some((index, elf.sections.get(index)?)))
        {
            let btf = btf.ok_or_else(|| section.error("maps are defined, but there is no BTF"))?;
            maps.read_definitions(btf, section, index)?;
        }
        maps.find_arena(elf)?;
        Ok(maps)
    }

    fn read_definitions(
        &mut self,
        btf: &Btf<'_>,
        section: &Section<'_>,
        index: usize,
    ) -> Result<(), Error> {
        let datasec = btf.types().find(|ty| ty.kind() == Kind::Datasec && ty.name() == MAPS);
        let datasec =
            datasec.ok_or_else(|| section.error("the BTF has no description of the section"))?;
        for (number, var) in datasec.as_datasec().into_iter().flat_map(|s| s.vars).enumerate() {
            let map = read_definition(btf, section, index, &var).map_err(|(name, problem)| {
                Error::Map {
                    map: name.unwrap_or_else(|| format!("#{number}")),
                    section: section.name.to_owned(),
                    offset: section.offset.saturating_add(u64::from(var.offset)),
                    problem,
                }
            })?;
            self.list.push(map);
        }
        Ok(())
    }

    /// There may be one arena, and it must hold the variables of its section.
    fn find_arena(&mut self, elf: &Elf<'_>) -> Result<(), Error> {
        let mut arenas =
            self.list.iter().enumerate().filter(|(_, map)| map.spec.map_type == MapType::ARENA);
        let first = arenas.next().map(|(index, _)| index);
        if let Some((_, second)) = arenas.next() {
            return Err(Error::Map {
                map: second.spec.name.clone(),
                section: second.section_name.clone(),
                offset: second.offset,
                problem: "it is the second arena, and there may be only one".into(),
            });
        }
        self.arena = first;
        let Some(section) = self.arena_section.and_then(|index| elf.sections.get(index)) else {
            return Ok(());
        };
        let Some(arena) = first.and_then(|index| self.list.get_mut(index)) else {
            return Err(section.error("there are arena variables, but no arena map in `.maps`"));
        };
        let pages = section.data.len().div_ceil(PAGE as usize);
        if pages as u64 > u64::from(arena.spec.max_entries) {
            return Err(section.error(format!(
                "its {} bytes of variables do not fit the arena `{}` of {} pages",
                section.data.len(),
                arena.spec.name,
                arena.spec.max_entries
            )));
        }
        arena.contents = Some(Blob::from(section.data));
        Ok(())
    }
}

/// What goes wrong in a definition: the map's name if it is known, and the problem.
type Problem = (Option<String>, String);

fn read_definition(
    btf: &Btf<'_>,
    section: &Section<'_>,
    index: usize,
    var: &SectionVar,
) -> Result<Map, Problem> {
    let ty = btf.type_by_id(var.type_id).map_err(|error| (None, error.to_string()))?;
    let name = ty.name();
    if name.is_empty() || name.len() > MAX_NAME {
        return Err((None, format!("its name has {} bytes", name.len())));
    }
    let fail = |problem: String| (Some(name.to_owned()), problem);
    if u64::from(var.offset) + u64::from(var.size) > section.data.len() as u64 {
        return Err(fail(format!(
            "its definition, {} bytes at {:#x}, reaches past the section's end",
            var.size, var.offset
        )));
    }
    let Some(variable) = ty.as_var() else {
        return Err(fail(format!("it is a {} in the BTF, not a variable", ty.kind())));
    };
    if variable.linkage != Linkage::Global {
        return Err(fail("it is not a global variable".into()));
    }
    let def = btf.skip_modifiers(variable.type_id).map_err(|error| fail(error.to_string()))?;
    if def.kind() != Kind::Struct {
        return Err(fail(format!("its type is a {}, not a struct", def.kind())));
    }
    if def.size_or_type() > var.size {
        return Err(fail("its type is larger than the variable".into()));
    }
    let (spec, inner) = Definition { btf, name }.read(&def).map_err(fail)?;
    Ok(Map {
        spec,
        inner,
        kind: MapKind::Defined,
        section: index,
        section_name: section.name.to_owned(),
        offset: u64::from(var.offset),
        autocreate: true,
        contents: None,
    })
}

/// A definition being read (`parse_btf_map_def` of libbpf).
struct Definition<'b, 'a> {
    btf: &'b Btf<'a>,
    name: &'b str,
}

impl Definition<'_, '_> {
    fn read(&self, def: &Type<'_>) -> Result<(MapSpec, Option<MapSpec>), String> {
        let mut spec = self.start(self.name.to_owned());
        let mut inner = None;
        let members = def.members();
        for (number, member) in members.iter().enumerate() {
            if member.name() == "values" {
                if number + 1 != members.len() {
                    return Err("`values` must be the last member".into());
                }
                inner = self.values(&mut spec, &member)?;
            } else {
                self.member(&mut spec, &member, false)?;
            }
        }
        self.finish(&mut spec)?;
        Ok((spec, inner))
    }

    fn read_inner(&self, def: &Type<'_>) -> Result<MapSpec, String> {
        let mut spec = self.start(format!("{}.inner", self.name));
        for member in def.members() {
            if member.name() == "values" {
                return Err("maps of maps of maps are not possible".into());
            }
            self.member(&mut spec, &member, true)?;
        }
        self.finish(&mut spec)?;
        Ok(spec)
    }

    fn start(&self, name: String) -> MapSpec {
        MapSpec { name, ..MapSpec::default() }
    }

    fn finish(&self, spec: &mut MapSpec) -> Result<(), String> {
        if spec.map_type == MapType::UNSPEC {
            return Err("its type is not given".into());
        }
        if is_ring_buffer(spec.map_type) {
            spec.max_entries = ring_buffer_size(spec.max_entries);
        }
        Ok(())
    }

    fn member(&self, spec: &mut MapSpec, member: &Member<'_>, inner: bool) -> Result<(), String> {
        match member.name() {
            "type" => spec.map_type = MapType(self.int(member)?),
            "max_entries" => spec.max_entries = self.int(member)?,
            "map_flags" => spec.flags = MapFlags::from_bits_retain(self.int(member)?),
            "numa_node" => spec.numa_node = Some(self.int(member)?),
            "key_size" => set_size("key", &mut spec.key_size, self.int(member)?)?,
            "value_size" => set_size("value", &mut spec.value_size, self.int(member)?)?,
            "key" => {
                let (id, size) = self.pointee("key", member)?;
                set_size("key", &mut spec.key_size, size)?;
                spec.btf_key_type_id = id;
            }
            "value" => {
                let (id, size) = self.pointee("value", member)?;
                set_size("value", &mut spec.value_size, size)?;
                spec.btf_value_type_id = id;
            }
            "pinning" if inner => return Err("inner maps cannot be pinned".into()),
            "pinning" => match self.int(member)? {
                0 | 1 => {}
                other => return Err(format!("pinning {other} does not exist")),
            },
            "map_extra" => spec.map_extra = self.long(member)?,
            other => return Err(format!("unknown member `{other}` in its definition")),
        }
        Ok(())
    }

    /// `int (*name)[VALUE]`: a number, given as the length of an array.
    fn int(&self, member: &Member<'_>) -> Result<u32, String> {
        let name = member.name();
        let ty = self.btf.skip_modifiers(member.type_id).map_err(|e| e.to_string())?;
        let TypeData::Ptr(target) = ty.data() else {
            return Err(format!("member `{name}` is a {}, not a pointer", ty.kind()));
        };
        let target = self.btf.type_by_id(target).map_err(|e| e.to_string())?;
        let array = target.as_array();
        array
            .map(|array| array.count)
            .ok_or_else(|| format!("member `{name}` points to a {}, not an array", target.kind()))
    }

    /// The same, or an enum with one value for numbers that do not fit.
    fn long(&self, member: &Member<'_>) -> Result<u64, String> {
        let ty = self.btf.skip_modifiers(member.type_id).map_err(|e| e.to_string())?;
        if ty.kind() == Kind::Ptr {
            return Ok(u64::from(self.int(member)?));
        }
        let value = ty.as_enum().filter(|data| data.values.len() == 1);
        value
            .and_then(|data| data.values.get(0))
            .map(|value| value.value.cast_unsigned())
            .ok_or_else(|| format!("member `{}` is no number", member.name()))
    }

    /// The type that a key or value is a pointer to, and its size.
    fn pointee(&self, what: &str, member: &Member<'_>) -> Result<(u32, u32), String> {
        let ty = self.btf.type_by_id(member.type_id).map_err(|e| e.to_string())?;
        let TypeData::Ptr(target) = ty.data() else {
            return Err(format!("`{what}` is a {}, not a pointer", ty.kind()));
        };
        let size = self.btf.resolve_size(target);
        let size = size.map_err(|error| format!("the size of its {what} is not known: {error}"))?;
        Ok((target.0, size))
    }

    /// `values`: what a map of maps or programs holds.
    fn values(&self, spec: &mut MapSpec, member: &Member<'_>) -> Result<Option<MapSpec>, String> {
        let is_programs = spec.map_type == MapType::PROG_ARRAY;
        if !is_programs && !is_map_of_maps(spec.map_type) {
            return Err("`values` is for maps of maps and arrays of programs only".into());
        }
        set_size("value", &mut spec.value_size, 4)?;
        let text = |error: veristable_btf::Error| error.to_string();
        let array = self.btf.type_by_id(member.type_id).map_err(text)?.as_array();
        let array = array.filter(|array| array.count == 0);
        let array = array.ok_or("`values` is not an array of unknown length")?;
        let TypeData::Ptr(target) = self.btf.skip_modifiers(array.element).map_err(text)?.data()
        else {
            return Err("`values` does not hold pointers".into());
        };
        let target = self.btf.skip_modifiers(target).map_err(text)?;
        match (is_programs, target.kind()) {
            (true, Kind::FuncProto) => Ok(None),
            (false, Kind::Struct) => self.read_inner(&target).map(Some),
            (_, kind) => Err(format!("`values` holds pointers to {kind}")),
        }
    }
}

fn set_size(what: &str, field: &mut u32, size: u32) -> Result<(), String> {
    if *field != 0 && *field != size {
        return Err(format!("conflicting {what} sizes {field} and {size}"));
    }
    *field = size;
    Ok(())
}

/// Whether values of the map are maps.
pub(crate) fn is_map_of_maps(map_type: MapType) -> bool {
    matches!(map_type, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS)
}

/// Whether `max_entries` is a size in bytes that has to be a power of two and pages.
pub(crate) fn is_ring_buffer(map_type: MapType) -> bool {
    matches!(map_type, MapType::RINGBUF | MapType::USER_RINGBUF)
}

/// The size that libbpf makes of a wanted size (`adjust_ringbuf_sz`).
pub(crate) fn ring_buffer_size(wanted: u32) -> u32 {
    if wanted == 0 || (wanted.is_multiple_of(PAGE) && (wanted / PAGE).is_power_of_two()) {
        return wanted;
    }
    let sizes =
        (0..u32::BITS).map_while(|shift| PAGE.checked_shl(shift).filter(|s| s >> shift == PAGE));
    sizes.into_iter().find(|size| *size > wanted).unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::ring_buffer_size;

    #[test]
    fn ring_buffers() {
        for (wanted, size) in [
            (0, 0),
            (1, 4096),
            (4095, 4096),
            (4096, 4096),
            (4097, 8192),
            (12288, 16384),
            (1 << 31, 1 << 31),
            ((1 << 31) + 1, (1 << 31) + 1),
            (u32::MAX, u32::MAX),
        ] {
            assert_eq!(ring_buffer_size(wanted), size, "{wanted}");
        }
    }
}
