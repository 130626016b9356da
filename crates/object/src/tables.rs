// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! struct_ops tables fitted to the kernel's structures (`bpf_map__init_kern_struct_ops` of
//! libbpf).

use crate::kernel_types::KernelTypes;
use crate::maps::{Map, MapKind, Maps};
use crate::struct_ops::StructOps;
use crate::{LinkError, LinkOptions};
use std::collections::HashMap;
use veristable_btf::relo::essential_name;
use veristable_btf::{Btf, Composite, Kind, Member, TypeData, TypeId};
use veristable_program::StructOpsValue;

/// Largest kernel structure that is taken for one; `struct bpf_struct_ops_*` have some hundreds of
/// bytes.
const MAX_VALUE: u32 = 1 << 20;

/// Where a program stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    /// Name of the kernel's structure.
    pub(crate) structure: String,
    /// Its id.
    pub(crate) type_id: u32,
    pub(crate) module: Option<usize>,
    /// The member's index in the kernel's structure.
    pub(crate) member: u32,
    pub(crate) member_name: String,
}

/// A table for one kernel.
#[derive(Clone, Debug)]
pub(crate) struct KernelTable {
    pub(crate) value: StructOpsValue,
    /// Bytes of `struct bpf_struct_ops_NAME`.
    pub(crate) size: u32,
    /// Its contents, with zeroes for programs.
    pub(crate) contents: Vec<u8>,
    /// Whether the structure is a module's.
    pub(crate) in_module: bool,
}

/// All tables of an object for one kernel.
#[derive(Default)]
pub(crate) struct Tables {
    /// By map.
    pub(crate) maps: HashMap<usize, Result<KernelTable, LinkError>>,
    /// By program.
    slots: HashMap<usize, Result<Slot, LinkError>>,
    /// The first failure, which stops libbpf.
    pub(crate) error: Option<LinkError>,
}

impl Tables {
    /// Fits every table that is created.
    pub(crate) fn fit(
        maps: &Maps,
        btf: Option<&Btf<'_>>,
        types: &Result<KernelTypes<'_>, LinkError>,
        options: &LinkOptions,
    ) -> Self {
        let mut tables = Self::default();
        for (index, map) in maps.list.iter().enumerate() {
            let (MapKind::StructOps(table), Some(btf)) = (&map.kind, btf) else { continue };
            if !crate::link::is_created(map, options) {
                continue;
            }
            let fit = Fit { map, table, btf };
            let result = match types {
                Ok(types) => fit.run(types, &mut tables),
                Err(error) => Err(error.clone()),
            };
            if let Err(error) = &result {
                tables.error.get_or_insert_with(|| error.clone());
                // Programs whose place was not found before the failure share it.
                for program in table.programs.iter().flatten() {
                    tables.slots.entry(*program).or_insert_with(|| Err(error.clone()));
                }
            }
            tables.maps.insert(index, result);
        }
        tables
    }

    /// Where a program stands.
    pub(crate) fn slot(&self, program: usize) -> Result<&Slot, LinkError> {
        match self.slots.get(&program) {
            Some(slot) => slot.as_ref().map_err(Clone::clone),
            None => Err(LinkError::StructOpsUnused),
        }
    }

    /// Puts a program into its place; it may stand in several tables, but in the same one of each.
    fn place(&mut self, map: &Map, program: usize, slot: Slot) -> Option<LinkError> {
        let known = self.slots.entry(program).or_insert_with(|| Ok(slot.clone()));
        let problem = match known {
            Ok(first) if first.type_id == slot.type_id && first.member == slot.member => {
                return None;
            }
            Ok(first) => format!(
                "a program stands in member `{}` here and in `{}` of `{}` elsewhere",
                slot.member_name, first.member_name, first.structure
            ),
            Err(error) => return Some(error.clone()),
        };
        let error = LinkError::StructOps { map: map.spec.name.clone(), problem };
        *known = Err(error.clone());
        Some(error)
    }
}

/// One table being fitted.
struct Fit<'o> {
    map: &'o Map,
    table: &'o StructOps,
    btf: &'o Btf<'o>,
}

/// The kernel's side of it.
struct Target<'k> {
    btf: &'k Btf<'k>,
    type_id: TypeId,
    name: String,
    structure: Composite<'k>,
    module: Option<usize>,
    /// Where the structure begins in the value.
    offset: u32,
}

impl Fit<'_> {
    fn error(&self, problem: impl Into<String>) -> LinkError {
        LinkError::StructOps { map: self.map.spec.name.clone(), problem: problem.into() }
    }

    fn btf_error(&self, error: veristable_btf::Error) -> LinkError {
        self.error(error.to_string())
    }

    fn run(&self, types: &KernelTypes<'_>, tables: &mut Tables) -> Result<KernelTable, LinkError> {
        let (target, value_id, size) = self.target(types)?;
        let mut contents = vec![0; size as usize];
        let local = self.btf.type_by_id(self.table.type_id).map_err(|e| self.btf_error(e))?;
        let mut failure = None;
        for (index, member) in local.members().iter().enumerate() {
            let program = self.table.programs.get(index).copied().flatten();
            let done = self.member(&member, program, &target, &mut contents);
            match (done, program) {
                (Ok(Some(slot)), Some(program)) => {
                    let problem = tables.place(self.map, program, slot);
                    failure = failure.or(problem);
                }
                (Ok(_), _) => {}
                (Err(error), program) => {
                    if let Some(program) = program {
                        tables.slots.entry(program).or_insert_with(|| Err(error.clone()));
                    }
                    failure.get_or_insert(error);
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(KernelTable {
                value: StructOpsValue { name: target.name, value_type_id: value_id },
                size,
                contents,
                in_module: target.module.is_some(),
            }),
        }
    }

    /// The kernel's structure, the id and the size of the value that holds it
    /// (`find_struct_ops_kern_types` of libbpf).
    fn target<'k>(&self, types: &KernelTypes<'k>) -> Result<(Target<'k>, u32, u32), LinkError> {
        let local = self.btf.type_by_id(self.table.type_id).map_err(|e| self.btf_error(e))?;
        let name = String::from_utf8_lossy(essential_name(local.name_bytes())).into_owned();
        let missing = |name: &str| self.error(format!("the kernel's BTF has no `struct {name}`"));
        let value_name = format!("bpf_struct_ops_{name}");
        let value = types.find(&value_name, Kind::Struct, "a struct_ops map")?;
        let value = value.ok_or_else(|| missing(&value_name))?;
        let btf = value.btf;
        let type_id = btf.find_by_name(&name, Kind::Struct).ok_or_else(|| missing(&name))?;
        let structure = btf.type_by_id(type_id).ok().and_then(|ty| ty.as_composite());
        let structure = structure.ok_or_else(|| missing(&name))?;
        let value_type = btf.type_by_id(value.id).ok().and_then(|ty| ty.as_composite());
        let value_type = value_type.ok_or_else(|| missing(&value_name))?;
        let data = value_type.members.iter().find(|member| member.type_id == type_id);
        let data = data.ok_or_else(|| {
            self.error(format!("the kernel's `struct {value_name}` has no `struct {name}`"))
        })?;
        if value_type.size > MAX_VALUE {
            return Err(self.error(format!("the kernel's `struct {value_name}` is too large")));
        }
        let offset = data.byte_offset();
        let target = Target { btf, type_id, name, structure, module: value.module, offset };
        Ok((target, value.id.0, value_type.size))
    }

    /// Copies a member, or says where its program stands.
    fn member(
        &self,
        member: &Member<'_>,
        program: Option<usize>,
        target: &Target<'_>,
        contents: &mut [u8],
    ) -> Result<Option<Slot>, LinkError> {
        let name = member.name();
        let size = self.btf.resolve_size(member.type_id).map_err(|e| self.btf_error(e))?;
        let start = member.byte_offset() as usize;
        let data = start
            .checked_add(size as usize)
            .and_then(|end| self.table.data.get(start..end))
            .ok_or_else(|| self.error(format!("member `{name}` reaches past the structure")))?;
        let found = target.structure.members.iter().enumerate().find(|(_, m)| m.name() == name);
        let Some((index, kernel)) = found else {
            if program.is_some() || data.iter().any(|byte| *byte != 0) {
                return Err(self.error(format!(
                    "member `{name}` is set, but the kernel's `struct {}` has none",
                    target.name
                )));
            }
            return Ok(None);
        };
        if member.is_bitfield() || kernel.is_bitfield() {
            return Err(self.error(format!("member `{name}` is a bit-field")));
        }
        let local_type = self.btf.skip_modifiers(member.type_id).map_err(|e| self.btf_error(e))?;
        let kernel_type =
            target.btf.skip_modifiers(kernel.type_id).map_err(|e| self.btf_error(e))?;
        if local_type.kind() != kernel_type.kind() {
            return Err(self.error(format!(
                "member `{name}` is a {}, but a {} in the kernel",
                local_type.kind(),
                kernel_type.kind()
            )));
        }
        if let TypeData::Ptr(pointee) = kernel_type.data() {
            if program.is_none() {
                return Ok(None);
            }
            let pointee = target.btf.skip_modifiers(pointee).map_err(|e| self.btf_error(e))?;
            if pointee.kind() != Kind::FuncProto {
                return Err(self.error(format!("the kernel's member `{name}` takes no program")));
            }
            return Ok(Some(Slot {
                structure: target.name.clone(),
                type_id: target.type_id.0,
                module: target.module,
                member: u32::try_from(index).unwrap_or(u32::MAX),
                member_name: name.to_owned(),
            }));
        }
        let kernel_size =
            target.btf.resolve_size(kernel_type.id()).map_err(|e| self.btf_error(e))?;
        if kernel_size != size {
            return Err(self.error(format!(
                "member `{name}` has {size} bytes, but {kernel_size} in the kernel"
            )));
        }
        let start = (target.offset as usize).saturating_add(kernel.byte_offset() as usize);
        let to = start.checked_add(data.len()).and_then(|end| contents.get_mut(start..end));
        if let Some(to) = to {
            to.copy_from_slice(data);
        }
        Ok(None)
    }
}
