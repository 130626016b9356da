// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! struct_ops: tables of programs that stand in for kernel code, as the object defines them.

use crate::Error;
use crate::data::SectionTypes;
use crate::elf::{Elf, Section, SectionKind};
use crate::maps::{Map, MapKind, Maps};
use crate::program::{Functions, MAX_NAME};
use std::collections::HashMap;
use veristable_btf::{Btf, Kind, TypeData, TypeId};
use veristable_kernel::{MapType, ProgType};
use veristable_program::{MapFlags, MapSpec};

/// A table in the object.
#[derive(Clone, Debug)]
pub(crate) struct StructOps {
    /// The struct, in the object's BTF.
    pub(crate) type_id: TypeId,
    /// The variable's initial value; programs are still zero in it.
    pub(crate) data: Vec<u8>,
    /// For each member the program it points to.
    pub(crate) programs: Vec<Option<usize>>,
}

/// Whether the section holds tables.
fn is_struct_ops(section: &Section<'_>) -> bool {
    let name = section.name.strip_prefix('?').unwrap_or(section.name);
    matches!(name, ".struct_ops" | ".struct_ops.link")
        && !section.ignored
        && section.kind == SectionKind::Progbits
        && !section.executable
        && !section.data.is_empty()
}

/// Whether relocations for this section are a table's programs.
pub(crate) fn is_struct_ops_section(elf: &Elf<'_>, index: usize) -> bool {
    elf.sections.get(index).is_some_and(is_struct_ops)
}

/// Adds the maps (`init_struct_ops_maps` of libbpf).
pub(crate) fn add_maps(
    maps: &mut Maps,
    elf: &Elf<'_>,
    btf: Option<&Btf<'_>>,
    names: &SectionTypes<'_>,
) -> Result<(), Error> {
    for (index, section) in elf.sections.iter().enumerate().filter(|(_, s)| is_struct_ops(s)) {
        let btf = btf.ok_or_else(|| section.error("it needs BTF, and there is none"))?;
        let datasec = names
            .datasec(section.name)
            .and_then(|id| btf.type_by_id(id).ok()?.as_datasec())
            .ok_or_else(|| section.error("the BTF does not describe it"))?;
        // libbpf forgets the `?` after the first variable: only that one is not created.
        let mut name = section.name;
        let mut room = section.data.len();
        for var in datasec.vars {
            let autocreate = !name.starts_with('?');
            name = name.strip_prefix('?').unwrap_or(name);
            let map = read_map(btf, section, index, var.type_id, var.offset, name, autocreate)
                .map_err(|(map, problem)| Error::Map {
                    map,
                    section: section.name.to_owned(),
                    offset: section.offset.saturating_add(u64::from(var.offset)),
                    problem,
                })?;
            // Variables do not overlap; ones that do would take many times the file's size.
            room = room.checked_sub((map.spec.value_size as usize).max(1)).ok_or_else(|| {
                section.error("the BTF describes more variables than the section has room for")
            })?;
            maps.list.push(map);
        }
    }
    Ok(())
}

fn read_map(
    btf: &Btf<'_>,
    section: &Section<'_>,
    index: usize,
    var: TypeId,
    offset: u32,
    section_name: &str,
    autocreate: bool,
) -> Result<Map, (String, String)> {
    let bare = |error: veristable_btf::Error| (String::new(), error.to_string());
    let ty = btf.type_by_id(var).map_err(bare)?;
    if ty.name().len() > MAX_NAME {
        return Err((String::new(), "its name is too long".into()));
    }
    let name = ty.name().to_owned();
    let fail = |problem: String| (name.clone(), problem);
    let variable = ty.as_var().ok_or_else(|| fail("it is not a variable in the BTF".into()))?;
    let target = btf.skip_modifiers(variable.type_id).map_err(|e| fail(e.to_string()))?;
    let TypeData::Struct(data) = target.data() else {
        return Err(fail(format!("its type is a {}, not a struct", target.kind())));
    };
    if target.name().is_empty() {
        return Err(fail("its struct has no name to find it in the kernel".into()));
    }
    if data.members.len() > 8 * data.size as usize {
        return Err(fail("its struct has more members than bits".into()));
    }
    let start = offset as usize;
    let value = section.data.get(start..).and_then(|rest| rest.get(..data.size as usize));
    let value = value.ok_or_else(|| {
        fail(format!("its {} bytes at {offset:#x} reach past the section's end", data.size))
    })?;
    let is_link = section_name == ".struct_ops.link";
    let spec = MapSpec {
        name: name.clone(),
        map_type: MapType::STRUCT_OPS,
        key_size: 4,
        value_size: data.size,
        max_entries: 1,
        flags: if is_link { MapFlags::LINK } else { MapFlags::empty() },
        ..MapSpec::default()
    };
    let table = StructOps {
        type_id: target.id(),
        data: value.to_vec(),
        programs: vec![None; data.members.len()],
    };
    Ok(Map {
        spec,
        inner: None,
        kind: MapKind::StructOps(table),
        section: index,
        section_name: section.name.to_owned(),
        offset: u64::from(offset),
        autocreate,
        contents: None,
    })
}

/// Reads which program stands in which member (`bpf_object__collect_st_ops_relos` of libbpf).
pub(crate) fn add_relocations(
    maps: &mut Maps,
    elf: &Elf<'_>,
    btf: Option<&Btf<'_>>,
    functions: &Functions,
    rels: &Section<'_>,
) -> Result<(), Error> {
    let section = rels.info as usize;
    let Some(btf) = btf else { return Ok(()) };
    // The tables of the section by their start.
    let mut tables: Vec<(u64, usize)> = maps
        .list
        .iter()
        .enumerate()
        .filter(|(_, m)| m.section == section && matches!(m.kind, MapKind::StructOps(_)))
        .map(|(index, map)| (map.offset, index))
        .collect();
    tables.sort_unstable();
    let mut members: HashMap<TypeId, HashMap<u32, usize>> = HashMap::new();
    for (number, rel) in elf.relocations(rels).enumerate() {
        let error = |problem: String| rels.error(format!("relocation {number}: {problem}"));
        let symbol = elf.symbols.get(rel.symbol);
        let symbol =
            symbol.ok_or_else(|| error(format!("symbol {} does not exist", rel.symbol)))?;
        let before = tables.partition_point(|(offset, _)| *offset <= rel.offset);
        let table = before.checked_sub(1).and_then(|at| tables.get(at));
        let (start, map) = table
            .and_then(|(start, index)| Some((*start, maps.list.get_mut(*index)?)))
            .filter(|(start, map)| rel.offset - start < u64::from(map.spec.value_size))
            .ok_or_else(|| error(format!("no struct_ops variable is at {:#x}", rel.offset)))?;
        let MapKind::StructOps(table) = &mut map.kind else { continue };
        let offset = u32::try_from(rel.offset - start).unwrap_or(u32::MAX);
        let by_offset = members.entry(table.type_id).or_insert_with(|| {
            let ty = btf.type_by_id(table.type_id).ok();
            let all = ty.into_iter().flat_map(|ty| ty.members()).enumerate();
            let mut map = HashMap::new();
            for (index, member) in all {
                map.entry(member.bit_offset).or_insert(index);
            }
            map
        });
        let member = offset.checked_mul(8).and_then(|bits| by_offset.get(&bits)).copied();
        let member =
            member.ok_or_else(|| error(format!("no member of the struct is at {offset:#x}")))?;
        check_func_pointer(btf, table.type_id, member).map_err(&error)?;
        if symbol.value % 8 != 0 {
            return Err(error(format!("`{}` is at no instruction", symbol.display())));
        }
        let insn = u32::try_from(symbol.value / 8).unwrap_or(u32::MAX);
        let program = functions
            .at(usize::from(symbol.section), insn)
            .filter(|program| {
                let def = functions.list.get(*program).and_then(|function| function.def);
                def.is_some_and(|def| def.prog_type == ProgType::STRUCT_OPS)
            })
            .ok_or_else(|| error(format!("`{}` is no struct_ops program", symbol.display())))?;
        if let Some(slot) = table.programs.get_mut(member) {
            *slot = Some(program);
        }
    }
    Ok(())
}

/// The member must be a pointer to functions.
fn check_func_pointer(btf: &Btf<'_>, type_id: TypeId, member: usize) -> Result<(), String> {
    let text = |error: veristable_btf::Error| error.to_string();
    let member = btf.type_by_id(type_id).map_err(text)?.members().get(member);
    let Some(member) = member else { return Ok(()) };
    let target = match btf.skip_modifiers(member.type_id).map_err(text)?.data() {
        TypeData::Ptr(target) => Some(btf.skip_modifiers(target).map_err(text)?.kind()),
        _ => None,
    };
    match target {
        Some(Kind::FuncProto) => Ok(()),
        _ => Err(format!("member `{}` is no pointer to functions", member.name())),
    }
}
