// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Data references of a program that is put together: maps, variables, externs, jump tables
//! (`bpf_object__relocate_data` of libbpf).

use crate::LinkError;
use crate::assemble::Placed;
use crate::externs::ExternKind;
use crate::link::Context;
use crate::program::{CALL, Function, Reloc, RelocKind};
use crate::resolve::Resolved;
use std::collections::HashMap;
use std::sync::Arc;
use veristable_isa::Insn;
use veristable_kernel::MapType;
use veristable_program::{Blob, FdEntry, Fixup, FixupKind, LoadRequest, MapDesc, MapSpec};

/// `BPF_PSEUDO_MAP_FD`
const PSEUDO_MAP_FD: u8 = 1;
/// `BPF_PSEUDO_MAP_VALUE`
const PSEUDO_MAP_VALUE: u8 = 2;
/// `BPF_PSEUDO_BTF_ID`
const PSEUDO_BTF_ID: u8 = 3;
/// `BPF_PSEUDO_KFUNC_CALL`
const PSEUDO_KFUNC_CALL: u8 = 2;
/// Helper number in the place of a map that was not created, to which the map's position is added
/// (`POISON_LDIMM64_MAP_BASE` of libbpf).
pub(crate) const POISON_MAP: i32 = 2_001_000_000;
/// The same for a kernel function that is missing (`POISON_CALL_KFUNC_BASE`).
pub(crate) const POISON_KFUNC: i32 = 2_002_000_000;
/// Bytes of an entry in a jump table of the object.
const JUMP_ENTRY: u32 = 8;
/// Bytes of `struct bpf_insn_array_value`.
const INSN_ARRAY_VALUE: u32 = 16;

/// A map that instructions name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum MapRef {
    /// One of the object, by position.
    Object(usize),
    /// A jump table, by offset in its section.
    JumpTable(u32),
}

/// A program's data references being filled in.
struct Patcher<'p, 'o> {
    context: &'p Context<'o>,
    function: &'p Function,
    subprograms: &'p [Placed],
    request: &'p mut LoadRequest,
    maps: HashMap<MapRef, u32>,
}

/// Fills in all data references.
pub(crate) fn apply(
    context: &Context<'_>,
    function: &Function,
    relocs: &[Reloc],
    subprograms: &[Placed],
    request: &mut LoadRequest,
) -> Result<(), LinkError> {
    let mut patcher = Patcher { context, function, subprograms, request, maps: HashMap::new() };
    for reloc in relocs {
        patcher.reloc(reloc)?;
    }
    Ok(())
}

impl Patcher<'_, '_> {
    fn error(&self, at: u32, problem: &str) -> LinkError {
        LinkError::Relocation {
            function: self.function.name.to_string(),
            insn: at,
            symbol: String::new(),
            problem: problem.to_owned(),
        }
    }

    fn insn(&mut self, at: u32) -> Result<&mut Insn, LinkError> {
        let error = self.error(at, "there is no such instruction");
        self.request.insns.get_mut(at as usize).ok_or(error)
    }

    fn set_src(&mut self, at: u32, src: u8) -> Result<(), LinkError> {
        let insn = self.insn(at)?;
        insn.regs = (insn.regs & 0xf) | src << 4;
        Ok(())
    }

    fn reloc(&mut self, reloc: &Reloc) -> Result<(), LinkError> {
        let at = reloc.insn;
        match reloc.kind {
            RelocKind::Call { .. } | RelocKind::FuncAddress { .. } => Ok(()),
            RelocKind::Map(map) => self.load_map(at, map, PSEUDO_MAP_FD),
            RelocKind::Data { map, offset } => {
                let is_arena = self.context.object.maps.arena == Some(map);
                let base = if is_arena { self.context.arena_offset } else { 0 };
                let low = self.insn(at)?.imm;
                let sum = low.wrapping_add(offset.wrapping_add(base).cast_signed());
                self.insn(at + 1)?.imm = sum;
                self.load_map(at, map, PSEUDO_MAP_VALUE)
            }
            RelocKind::ExternLoad(index) => self.load_extern(at, index),
            RelocKind::ExternCall(index) => self.call_extern(at, index),
            RelocKind::JumpTable { offset, size } => {
                let map = self.jump_table(at, offset, size)?;
                self.set_src(at, PSEUDO_MAP_VALUE)?;
                let insn = self.insn(at)?;
                insn.imm = map.cast_signed();
                insn.off = 0;
                Ok(())
            }
        }
    }

    /// Puts a map into a 64-bit load, or poisons both slots.
    fn load_map(&mut self, at: u32, map: usize, src: u8) -> Result<(), LinkError> {
        let Some(Some(desc)) = self.context.maps.get(map) else {
            let position = i32::try_from(map).unwrap_or(0);
            let poison = Insn::new(CALL, 0, 0, 0, POISON_MAP.wrapping_add(position));
            *self.insn(at)? = poison;
            *self.insn(at + 1)? = poison;
            return Ok(());
        };
        let index = self.map_index(MapRef::Object(map), desc);
        self.set_src(at, src)?;
        self.insn(at)?.imm = index.cast_signed();
        Ok(())
    }

    /// The map's place in the request.
    fn map_index(&mut self, map: MapRef, desc: &Arc<MapDesc>) -> u32 {
        let maps = &mut self.request.maps;
        *self.maps.entry(map).or_insert_with(|| {
            maps.push(Arc::clone(desc));
            u32::try_from(maps.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// What an extern came to, or why the program cannot be linked.
    fn resolved(&self, at: u32, index: usize) -> Result<(Resolved, &str), LinkError> {
        let resolved = self.context.resolution.externs.get(index);
        let ext = self.context.object.externs.list.get(index);
        match (resolved, ext) {
            (Some(Ok(resolved)), Some(ext)) => Ok((*resolved, &ext.name)),
            (Some(Err(error)), _) => Err(error.clone()),
            _ => Err(self.error(at, "the extern does not exist")),
        }
    }

    fn load_extern(&mut self, at: u32, index: usize) -> Result<(), LinkError> {
        let (resolved, name) = self.resolved(at, index)?;
        let name = name.to_owned();
        match resolved {
            Resolved::Config { offset } => {
                let map = self.context.object.maps.kconfig;
                let map = map.ok_or_else(|| self.error(at, "there is no map `.kconfig`"))?;
                self.insn(at + 1)?.imm = offset.cast_signed();
                self.load_map(at, map, PSEUDO_MAP_VALUE)
            }
            Resolved::Type { id, module, .. } => {
                self.set_src(at, PSEUDO_BTF_ID)?;
                self.insn(at)?.imm = id.cast_signed();
                self.insn(at + 1)?.imm = 0;
                self.fix_up(at, FixupKind::KernelType(name));
                if let Some(module) = module.and_then(|index| self.context.modules.get(index)) {
                    self.fix_up(at, FixupKind::ModuleBtf(module.clone()));
                }
                Ok(())
            }
            Resolved::Address(address) => {
                self.set_address(at, address)?;
                self.fix_up(at, FixupKind::SymbolAddress(name));
                Ok(())
            }
            Resolved::Missing => self.set_address(at, 0),
        }
    }

    fn set_address(&mut self, at: u32, address: u64) -> Result<(), LinkError> {
        let [low, high] = [address, address >> 32]
            .map(|half| u32::try_from(half & u64::from(u32::MAX)).unwrap_or(0).cast_signed());
        self.insn(at)?.imm = low;
        self.insn(at + 1)?.imm = high;
        Ok(())
    }

    fn call_extern(&mut self, at: u32, index: usize) -> Result<(), LinkError> {
        let (resolved, name) = self.resolved(at, index)?;
        let name = name.to_owned();
        let Resolved::Type { id, fd_index, .. } = resolved else {
            let kind = self.context.object.externs.list.get(index).map(|ext| ext.kind);
            if !matches!(kind, Some(ExternKind::Function { .. })) {
                return Err(self.error(at, "the extern that is called is no function"));
            }
            let position = i32::try_from(index).unwrap_or(0);
            *self.insn(at)? = Insn::new(CALL, 0, 0, 0, POISON_KFUNC.wrapping_add(position));
            return Ok(());
        };
        self.set_src(at, PSEUDO_KFUNC_CALL)?;
        let insn = self.insn(at)?;
        insn.imm = id.cast_signed();
        insn.off = fd_index;
        if fd_index != 0 && self.request.fd_array.is_empty() {
            // Place 0 stands for the kernel's own BTF.
            let modules = self.context.resolution.fd_modules.iter();
            let modules = modules.filter_map(|index| self.context.modules.get(*index));
            self.request.fd_array = std::iter::once(FdEntry::Empty)
                .chain(modules.map(|name| FdEntry::ModuleBtf(name.clone())))
                .collect();
        }
        self.fix_up(at, FixupKind::Kfunc(name));
        Ok(())
    }

    fn fix_up(&mut self, insn: u32, kind: FixupKind) {
        self.request.fixups.push(Fixup { insn, kind });
    }

    /// Makes the map of a jump table (`create_jt_map` of libbpf): each program has its own, as
    /// jumps are counted from the program's start.
    fn jump_table(&mut self, at: u32, offset: u32, size: u32) -> Result<u32, LinkError> {
        let key = MapRef::JumpTable(offset);
        if let Some(index) = self.maps.get(&key) {
            return Ok(*index);
        }
        let error = |problem: String| LinkError::JumpTable { offset: u64::from(offset), problem };
        if !offset.is_multiple_of(JUMP_ENTRY) || !size.is_multiple_of(JUMP_ENTRY) {
            return Err(error(format!("its {size} bytes are not entries of {JUMP_ENTRY} bytes")));
        }
        let tables = &self.context.object.maps.jump_tables;
        let entries = (offset as usize)
            .checked_add(size as usize)
            .and_then(|end| tables.get(offset as usize..end))
            .ok_or_else(|| error(format!("its {size} bytes reach past the section's end")))?;
        let (entries, _) = entries.as_chunks::<8>();
        // The function that the jump is in.
        let after = self.subprograms.partition_point(|placed| placed.in_program <= at);
        let placed = after.checked_sub(1).and_then(|last| self.subprograms.get(last));
        let placed =
            placed.copied().unwrap_or(Placed { in_section: self.function.first, in_program: 0 });
        self.context.take((size as usize).saturating_mul(2))?;
        let mut contents = Vec::with_capacity(entries.len() * 16);
        for entry in entries {
            let value = u64::from_le_bytes(*entry);
            let insn = (value / 8)
                .wrapping_sub(u64::from(placed.in_section))
                .wrapping_add(u64::from(placed.in_program));
            let insn = u32::try_from(insn)
                .map_err(|_| error(format!("entry {value:#x} is before the function")))?;
            contents.extend_from_slice(&insn.to_le_bytes());
            contents.extend_from_slice(&[0; 12]);
        }
        let spec = MapSpec {
            name: ".jumptables".into(),
            map_type: MapType::INSN_ARRAY,
            key_size: 4,
            value_size: INSN_ARRAY_VALUE,
            max_entries: size / JUMP_ENTRY,
            ..MapSpec::default()
        };
        let desc =
            MapDesc { spec, inner: None, contents: Some(Blob::from(contents)), frozen: true };
        Ok(self.map_index(key, &Arc::new(desc)))
    }
}
