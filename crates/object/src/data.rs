// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Maps that the loader makes of its own accord: one for each section of variables, and one for
//! configuration values.

use crate::Error;
use crate::elf::{Elf, Section, SectionKind};
use crate::externs::{Externs, KCONFIG};
use crate::maps::{Map, MapKind, Maps};
use std::collections::HashMap;
use veristable_btf::{Btf, Kind, Linkage, TypeId};
use veristable_kernel::MapType;
use veristable_program::{Blob, MapFlags, MapSpec};

/// Longest name of a map or program in the kernel (`BPF_OBJ_NAME_LEN` less one).
pub(crate) const NAME_LEN: usize = 15;

/// Types with names of sections: looking through all types for each section would take long for
/// an object with many of both.
#[derive(Default)]
pub(crate) struct SectionTypes<'b> {
    /// The first type of a name, and the first that describes a section.
    by_name: HashMap<&'b str, (TypeId, Option<TypeId>)>,
}

impl<'b> SectionTypes<'b> {
    pub(crate) fn new(btf: &'b Btf<'_>) -> Self {
        let mut by_name = HashMap::new();
        for ty in btf.types() {
            let name = ty.name();
            if name.starts_with(['.', '?']) {
                let (_, datasec) = by_name.entry(name).or_insert((ty.id(), None));
                if ty.kind() == Kind::Datasec {
                    datasec.get_or_insert(ty.id());
                }
            }
        }
        Self { by_name }
    }

    /// The first type of this name.
    fn first(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name).map(|(first, _)| *first)
    }

    /// The section of this name.
    pub(crate) fn datasec(&self, name: &str) -> Option<TypeId> {
        self.by_name.get(name)?.1
    }
}

/// The kind of map that a section becomes.
fn kind_of(section: &Section<'_>) -> Option<MapKind> {
    let is = |base: &str| {
        section.name.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    match section.kind {
        _ if section.ignored || section.size == 0 => None,
        SectionKind::Progbits if section.executable => None,
        SectionKind::Progbits if is(".data") => Some(MapKind::Data),
        SectionKind::Progbits if is(".rodata") => Some(MapKind::Rodata),
        SectionKind::Nobits if is(".bss") => Some(MapKind::Bss),
        _ => None,
    }
}

/// Adds the maps (`bpf_object__init_global_data_maps`, `bpf_object__init_kconfig_map` of libbpf).
pub(crate) fn add_maps(
    maps: &mut Maps,
    elf: &Elf<'_>,
    types: (Option<&Btf<'_>>, &SectionTypes<'_>),
    externs: &Externs,
    object_name: &str,
) -> Result<(), Error> {
    for (index, section) in elf.sections.iter().enumerate() {
        let Some(kind) = kind_of(section) else { continue };
        let size = u32::try_from(section.size).map_err(|_| {
            section
                .error(format!("its {} bytes are more than a map's value can have", section.size))
        })?;
        let contents = match kind {
            MapKind::Bss => None,
            _ => Some(Blob::from(section.data)),
        };
        let spec = value_map(types, object_name, section.name, &kind, size);
        maps.list.push(Map {
            spec,
            inner: None,
            kind,
            section: index,
            section_name: section.name.to_owned(),
            offset: 0,
            autocreate: true,
            contents,
        });
    }
    if externs.config_size > 0 {
        let kind = MapKind::Kconfig;
        maps.kconfig = Some(maps.list.len());
        maps.list.push(Map {
            spec: value_map(types, object_name, KCONFIG, &kind, externs.config_size),
            inner: None,
            kind,
            section: elf.symtab,
            section_name: KCONFIG.to_owned(),
            offset: 0,
            autocreate: true,
            contents: None,
        });
    }
    Ok(())
}

/// An array with one value (`bpf_object__init_internal_map` of libbpf).
fn value_map(
    (btf, names): (Option<&Btf<'_>>, &SectionTypes<'_>),
    object_name: &str,
    section: &str,
    kind: &MapKind,
    size: u32,
) -> MapSpec {
    let value = names.first(section);
    let mut flags = MapFlags::empty();
    flags.set(MapFlags::RDONLY_PROG, matches!(kind, MapKind::Rodata | MapKind::Kconfig));
    let is_mmapable = btf.zip(value).is_some_and(|(btf, value)| {
        let section = btf.type_by_id(value).ok().and_then(|ty| ty.as_datasec());
        section.into_iter().flat_map(|section| section.vars).any(|var| {
            let ty = btf.type_by_id(var.type_id).ok().filter(|ty| ty.kind() == Kind::Var);
            let linkage = ty.and_then(|ty| ty.as_var()).map(|var| var.linkage);
            linkage.is_some_and(|linkage| linkage != Linkage::Static)
        })
    });
    flags.set(MapFlags::MMAPABLE, is_mmapable);
    MapSpec {
        name: map_name(object_name, section),
        map_type: MapType::ARRAY,
        key_size: 4,
        value_size: size,
        max_entries: 1,
        flags,
        btf_value_type_id: value.map_or(0, |id| id.0),
        ..MapSpec::default()
    }
}

/// The name of such a map (`internal_map_name` of libbpf): as much of the object's name as fits
/// before at least seven bytes of the section's, unless the section's has a second dot.
fn map_name(object: &str, section: &str) -> String {
    let suffix = section.len().clamp(7, NAME_LEN);
    let is_custom = section.get(1..).is_some_and(|rest| rest.contains('.'));
    let prefix = if is_custom { 0 } else { NAME_LEN - suffix };
    let bytes = object.bytes().take(prefix).chain(section.bytes().take(suffix));
    bytes
        .take(NAME_LEN)
        .map(|byte| match byte {
            b'_' | b'.' => char::from(byte),
            _ if byte.is_ascii_alphanumeric() => char::from(byte),
            _ => '_',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::map_name;

    #[test]
    fn names() {
        for (object, section, expected) in [
            ("my_object_name", ".rodata", "my_objec.rodata"),
            ("my_object_name", ".bss", "my_objec.bss"),
            ("my_object_name", ".kconfig", "my_obje.kconfig"),
            ("my_object_name", ".rodata.abracadabra", ".rodata.abracad"),
            ("a", ".data", "a.data"),
            ("a-b", ".data.x", ".data.x"),
            ("a-b", ".data", "a_b.data"),
        ] {
            assert_eq!(map_name(object, section), expected);
        }
    }
}
