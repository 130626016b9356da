// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the programs of an object refer to, whatever kernel they are linked for, and what stands
//! behind an instruction that linking made unusable.

use crate::externs::ExternKind;
use crate::maps::MapKind;
use crate::object::{MapInfo, Object, ProgramInfo};
use crate::program::{Function, PSEUDO_FUNC, RelocKind};
use crate::sections::SectionDef;
use std::collections::{BTreeMap, BTreeSet};
use veristable_btf::relo::{self, BAD_RELO_HELPER, RelocKind as CoreKind, essential_name};
use veristable_isa::Insn;
use veristable_program::LoadRequest;

/// What kind of thing an extern is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ExternUse {
    /// A kernel function that is called.
    Function,
    /// A kernel variable with a type.
    Variable,
    /// A kernel symbol of which the address alone is wanted.
    Symbol,
    /// A value of the kernel's configuration, or one that libbpf makes up (`LINUX_…`).
    Config,
}

/// What a CO-RE relocation is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CoreUse {
    /// A field, as `struct.field`.
    Field,
    /// A type.
    Type,
    /// An enum's value, as `enum::value`.
    EnumValue,
}

/// What one program uses, its subprograms included.
#[derive(Clone, Debug)]
pub struct ProgramUses {
    /// The program.
    pub info: ProgramInfo,
    /// What its section stands for.
    pub def: Option<&'static SectionDef>,
    /// What it attaches to by BTF, as the section names it.
    pub target: Option<String>,
    /// Structures and members that the program stands in.
    pub struct_ops: Vec<(String, String)>,
    /// Instructions, function after function, without relocations but for the kind of loads that
    /// take a function's address.
    pub insns: Vec<Insn>,
    /// Externs by name, and whether the program is linked without them (`__weak`).
    pub externs: BTreeMap<(ExternUse, String), bool>,
    /// Maps, in the object's order.
    pub maps: Vec<MapInfo>,
    /// Types, fields and enum values that CO-RE looks for. Those that the program only asks after
    /// (`bpf_core_field_exists` and its kin) are not among them; the flag says that the program
    /// asks after them, too, and so may do without.
    pub core: BTreeMap<(CoreUse, String), bool>,
}

/// What an instruction would need that libbpf made unusable as the kernel has no such thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Absence {
    /// A weak kernel function.
    Function(String),
    /// A map that is not created.
    Map(String),
    /// A type, field or enum value.
    Core(CoreUse, String),
}

impl Object {
    /// What each program uses, in the order of [`Object::programs`].
    pub fn uses(&self) -> Vec<ProgramUses> {
        self.mains().map(|(index, function)| self.uses_of(index, function)).collect()
    }

    /// Whether and as what the object declares an extern of this name.
    pub fn extern_use(&self, name: &str) -> Option<ExternUse> {
        self.externs.by_name(name).map(|ext| extern_use(ext.kind))
    }

    /// What stands behind an instruction of a linked program that linking made unusable; `None` if
    /// it did not, or the program is not of this object.
    pub fn absence(&self, request: &LoadRequest, insn: u32) -> Option<Absence> {
        let found = request.insns.get(insn as usize)?;
        if found.code != crate::program::CALL || found.src() != 0 {
            return None;
        }
        let position =
            |base: i32| usize::try_from(i64::from(found.imm).checked_sub(i64::from(base))?).ok();
        let listed = |base: i32, len: usize| position(base).filter(|position| *position < len);
        if found.imm == BAD_RELO_HELPER {
            return self.core_absence(request, insn);
        }
        if let Some(at) = listed(crate::patch::POISON_KFUNC, self.externs.list.len()) {
            let name = &self.externs.list.get(at)?.name;
            return Some(Absence::Function(base_name(name)));
        }
        let at = listed(crate::patch::POISON_MAP, self.maps.list.len())?;
        Some(Absence::Map(self.maps.list.get(at)?.spec.name.clone()))
    }

    fn core_absence(&self, request: &LoadRequest, insn: u32) -> Option<Absence> {
        let is_main = |f: &&(usize, &Function)| {
            *f.1.name == *request.name && *f.1.section_name == *request.section
        };
        let (main, _) = self.mains().collect::<Vec<_>>().iter().find(is_main).copied()?;
        let layout = self.layout(main);
        let after = layout.partition_point(|(_, place)| *place <= insn);
        let (function, place) = layout.get(after.checked_sub(1)?)?;
        let function = self.functions.list.get(*function)?;
        let local = insn.checked_sub(*place)?;
        // Of a 64-bit load both slots are made unusable; the relocation is on the first.
        let at = |insn: u32| function.core.iter().find(|core| core.insn == insn);
        let core = at(local).or_else(|| at(local.checked_sub(1)?))?;
        let subject = relo::Relocator::subject(self.btf.as_ref()?, &core.relo).ok()?;
        Some(Absence::Core(core_use(core.relo.kind()?)?, subject))
    }

    /// The functions of a program with their first instruction in it: in the order in which
    /// libbpf puts them together, see [`crate::assemble`].
    fn layout(&self, main: usize) -> Vec<(usize, u32)> {
        let mut layout = Vec::new();
        let mut known = BTreeSet::new();
        let mut end = 0u32;
        let mut append = |index: usize, layout: &mut Vec<(usize, u32)>| {
            layout.push((index, end));
            let len = self.functions.list.get(index).map_or(0, |function| function.len);
            end = end.saturating_add(len);
        };
        append(main, &mut layout);
        let callbacks = self.exception_callback_of(main);
        for root in [Some(main), callbacks].into_iter().flatten() {
            if root != main {
                if !known.insert(root) {
                    continue;
                }
                append(root, &mut layout);
            }
            let mut frames = vec![(root, 0u32)];
            while let Some((index, next)) = frames.last_mut() {
                let Some(function) = self.functions.list.get(*index) else { break };
                let at = *next;
                if at >= function.len {
                    frames.pop();
                    continue;
                }
                *next += 1;
                let insn = function.insns().get(at as usize).copied().unwrap_or_default();
                let callee = self.functions.callee(function, at, insn);
                if let Some(Ok(callee)) = callee
                    && known.insert(callee)
                {
                    append(callee, &mut layout);
                    frames.push((callee, 0));
                }
            }
        }
        layout
    }

    fn exception_callback_of(&self, main: usize) -> Option<usize> {
        let (btf, program) = (self.btf.as_ref()?, self.functions.list.get(main)?);
        let [tag] = self.exception_callbacks.tags_on(&program.name) else { return None };
        let tag = btf.type_by_id(*tag).ok()?;
        let name = tag.name().strip_prefix(crate::object::CALLBACK_TAG)?;
        self.exception_callbacks.subprogram(name)
    }

    fn uses_of(&self, main: usize, program: &Function) -> ProgramUses {
        let mut uses = ProgramUses {
            info: program.info(),
            def: program.def,
            target: None,
            struct_ops: self.struct_ops_of(main),
            insns: Vec::new(),
            externs: BTreeMap::new(),
            maps: Vec::new(),
            core: BTreeMap::new(),
        };
        if program.def.is_some_and(|def| def.flags.attach_btf) {
            uses.target = program.section_name.split_once('/').map(|(_, name)| name.to_owned());
        }
        let mut maps = BTreeSet::new();
        let mut asked = BTreeSet::new();
        for (index, _) in self.layout(main) {
            let Some(function) = self.functions.list.get(index) else { continue };
            let start = uses.insns.len();
            uses.insns.extend_from_slice(function.insns());
            for reloc in &function.relocs {
                match reloc.kind {
                    RelocKind::FuncAddress { .. } => {
                        if let Some(insn) = uses.insns.get_mut(start + reloc.insn as usize) {
                            insn.regs = (insn.regs & 0xf) | PSEUDO_FUNC << 4;
                        }
                    }
                    RelocKind::Map(map) | RelocKind::Data { map, .. } => {
                        maps.insert(map);
                    }
                    RelocKind::ExternLoad(at) | RelocKind::ExternCall(at) => {
                        self.use_extern(at, &mut uses);
                    }
                    RelocKind::JumpTable { .. } | RelocKind::Call { .. } => {}
                }
            }
            self.use_core(function, &mut uses, &mut asked);
        }
        for (key, optional) in &mut uses.core {
            *optional = is_asked_after(&key.1, &asked);
        }
        let all: Vec<MapInfo> = self.maps().collect();
        uses.maps = maps.iter().filter_map(|map| all.get(*map).cloned()).collect();
        uses
    }

    fn use_extern(&self, at: usize, uses: &mut ProgramUses) {
        let Some(ext) = self.externs.list.get(at) else { return };
        let kind = extern_use(ext.kind);
        let name = match kind {
            ExternUse::Function => base_name(&ext.name),
            _ => ext.name.clone(),
        };
        uses.externs.insert((kind, name), ext.weak);
    }

    fn use_core(&self, function: &Function, uses: &mut ProgramUses, asked: &mut BTreeSet<String>) {
        let Some(btf) = &self.btf else { return };
        for core in &function.core {
            let Some(kind) = core.relo.kind() else { continue };
            let Ok(subject) = relo::Relocator::subject(btf, &core.relo) else { continue };
            match core_use(kind) {
                Some(class) => {
                    uses.core.insert((class, subject), false);
                }
                None if kind != CoreKind::TypeIdLocal => {
                    asked.insert(subject);
                }
                None => {}
            }
        }
    }

    fn struct_ops_of(&self, main: usize) -> Vec<(String, String)> {
        let Some(btf) = &self.btf else { return Vec::new() };
        let mut found = Vec::new();
        for map in &self.maps.list {
            let MapKind::StructOps(table) = &map.kind else { continue };
            let Ok(ty) = btf.type_by_id(table.type_id) else { continue };
            let places = table.programs.iter().enumerate();
            for (at, _) in places.filter(|(_, program)| **program == Some(main)) {
                let member = ty.members().get(at).map_or(String::new(), |m| m.name().to_owned());
                found.push((base_name(ty.name()), member));
            }
        }
        found.dedup();
        found
    }
}

fn extern_use(kind: ExternKind) -> ExternUse {
    match kind {
        ExternKind::Config { .. } => ExternUse::Config,
        ExternKind::Variable { type_id } if type_id.is_void() => ExternUse::Symbol,
        ExternKind::Variable { .. } => ExternUse::Variable,
        ExternKind::Function { .. } => ExternUse::Function,
    }
}

/// What a relocation needs of the kernel; `None` where it only asks, or asks the object itself.
fn core_use(kind: CoreKind) -> Option<CoreUse> {
    match kind {
        CoreKind::FieldByteOffset
        | CoreKind::FieldByteSize
        | CoreKind::FieldSigned
        | CoreKind::FieldLshiftU64
        | CoreKind::FieldRshiftU64 => Some(CoreUse::Field),
        CoreKind::TypeIdTarget | CoreKind::TypeSize => Some(CoreUse::Type),
        CoreKind::EnumvalValue => Some(CoreUse::EnumValue),
        CoreKind::FieldExists
        | CoreKind::TypeExists
        | CoreKind::EnumvalExists
        | CoreKind::TypeMatches
        | CoreKind::TypeIdLocal => None,
    }
}

/// Whether a program that asks after these may do without what `subject` names: itself, or what
/// it is a part of.
fn is_asked_after(subject: &str, asked: &BTreeSet<String>) -> bool {
    asked.iter().any(|name| {
        subject.strip_prefix(name.as_str()).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(['.', '[']) || rest.starts_with("::")
        })
    })
}

/// A name without its flavour.
fn base_name(name: &str) -> String {
    String::from_utf8_lossy(essential_name(name.as_bytes())).into_owned()
}
