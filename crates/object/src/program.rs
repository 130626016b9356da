// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Functions of the object (programs and subprograms) and the relocations in them.

use crate::elf::{Elf, Rel, Section, SectionKind, Symbol, SymbolKind};
use crate::externs::Externs;
use crate::maps::{MapKind, Maps};
use crate::sections::{SectionDef, section_def};
use crate::{Error, LinkError};
use std::collections::HashMap;
use std::sync::Arc;
use veristable_btf::CoreRelo;
use veristable_isa::Insn;

/// Opcode of a call.
pub(crate) const CALL: u8 = 0x85;
/// Opcode of a 64-bit immediate load.
pub(crate) const LD_IMM64: u8 = 0x18;
/// `BPF_PSEUDO_CALL`
pub(crate) const PSEUDO_CALL: u8 = 1;
/// `BPF_PSEUDO_FUNC`
pub(crate) const PSEUDO_FUNC: u8 = 4;
/// Longest name that is accepted, as the kernel's symbols have it (`KSYM_NAME_LEN`). Without a
/// limit names that share their bytes in the file would take many times its size.
pub(crate) const MAX_NAME: usize = 512;

/// What a relocation puts into its instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RelocKind {
    /// A map.
    Map(usize),
    /// An address in a map's value.
    Data { map: usize, offset: u32 },
    /// The address of an extern, or its configuration value.
    ExternLoad(usize),
    /// A call of a kernel function.
    ExternCall(usize),
    /// The address of a function in `.text`.
    FuncAddress { offset: u32 },
    /// A call of a function in `.text`.
    Call { offset: u32 },
    /// A jump table.
    JumpTable { offset: u32, size: u32 },
}

/// A relocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reloc {
    /// Instruction, from the start of the function.
    pub(crate) insn: u32,
    pub(crate) kind: RelocKind,
}

/// A CO-RE relocation of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CoreReloc {
    /// Instruction, from the start of the function.
    pub(crate) insn: u32,
    /// Number within the section's relocations.
    pub(crate) index: u32,
    pub(crate) relo: CoreRelo,
}

/// A program or subprogram.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: Arc<str>,
    /// Name of the section, without a leading `?`.
    pub(crate) section_name: Arc<str>,
    pub(crate) section: usize,
    /// First instruction, from the start of the section.
    pub(crate) first: u32,
    /// Number of instructions.
    pub(crate) len: u32,
    /// All instructions of the section; hostile objects have functions that overlap.
    code: Arc<[Insn]>,
    /// Whether libbpf loads it unless told otherwise.
    pub(crate) autoload: bool,
    pub(crate) global: bool,
    /// Global for the linker, but of restricted visibility.
    pub(crate) hidden: bool,
    /// What the section name stands for.
    pub(crate) def: Option<&'static SectionDef>,
    /// By instruction.
    pub(crate) relocs: Vec<Reloc>,
    /// CO-RE relocations by number within their group, in the order of the file.
    pub(crate) core: Vec<CoreReloc>,
    /// A relocation that cannot be: no program with this function can be linked.
    pub(crate) broken: Option<LinkError>,
}

impl Function {
    /// One past the last instruction, from the start of the section.
    pub(crate) fn end(&self) -> u32 {
        self.first.saturating_add(self.len)
    }

    /// The instructions, without any relocation applied.
    pub(crate) fn insns(&self) -> &[Insn] {
        self.code.get(self.first as usize..self.end() as usize).unwrap_or(&[])
    }

    /// The relocation at an instruction, counted from the function's start.
    pub(crate) fn reloc_at(&self, insn: u32) -> Option<&Reloc> {
        let at = self.relocs.partition_point(|reloc| reloc.insn < insn);
        self.relocs.get(at).filter(|reloc| reloc.insn == insn)
    }
}

/// All functions of an object, by section and place in it.
#[derive(Default, Debug)]
pub(crate) struct Functions {
    pub(crate) list: Vec<Function>,
    /// The section `.text`, whose functions are subprograms.
    pub(crate) text: Option<usize>,
}

impl Functions {
    /// Finds the functions of all sections with code (`bpf_object__add_programs` of libbpf).
    pub(crate) fn collect(elf: &Elf<'_>) -> Result<Self, Error> {
        let is_code = |s: &Section<'_>| {
            !s.ignored && s.kind == SectionKind::Progbits && s.executable && !s.data.is_empty()
        };
        let text = elf.sections.iter().rposition(|s| is_code(s) && s.name == ".text");
        let mut list = Vec::new();
        let mut codes: HashMap<usize, (Arc<[Insn]>, Arc<str>)> = HashMap::new();
        for symbol in elf.symbols.iter().filter(|symbol| symbol.kind == SymbolKind::Func) {
            let index = usize::from(symbol.section);
            let Some(section) = elf.sections.get(index).filter(|s| is_code(s)) else { continue };
            if is_loader_data(section.name) {
                continue;
            }
            let (code, name) = codes.entry(index).or_insert_with(|| {
                let (slots, _) = section.data.as_chunks::<8>();
                let code = slots.iter().map(|raw| Insn::from_bytes(*raw)).collect();
                (code, Arc::from(section.name.strip_prefix('?').unwrap_or(section.name)))
            });
            list.push(read_function(section, index, symbol, text, code, name)?);
        }
        // Stable, so that aliases stay in the order of their symbols.
        list.sort_by_key(|function| (function.section, function.first));
        Ok(Self { list, text })
    }

    /// The function that an instruction of a section belongs to (`find_prog_by_sec_insn`).
    pub(crate) fn at(&self, section: usize, insn: u32) -> Option<usize> {
        let after = self.list.partition_point(|f| (f.section, f.first) <= (section, insn));
        let index = after.checked_sub(1)?;
        let function = self.list.get(index)?;
        (function.section == section && insn < function.end()).then_some(index)
    }

    /// Whether the function is a subprogram.
    pub(crate) fn is_subprogram(&self, function: &Function) -> bool {
        Some(function.section) == self.text
    }

    /// The subprogram that an instruction of a function calls or takes the address of, or why
    /// there is none; `None` if it does neither. `insn` has its relocation not yet applied.
    pub(crate) fn callee(
        &self,
        function: &Function,
        at: u32,
        insn: Insn,
    ) -> Option<Result<usize, &'static str>> {
        let is_call =
            insn.code == CALL && insn.src() == PSEUDO_CALL && insn.dst() == 0 && insn.off == 0;
        let reloc = function.reloc_at(at).map(|reloc| reloc.kind);
        let is_address = insn.code == LD_IMM64
            && (insn.src() == PSEUDO_FUNC || matches!(reloc, Some(RelocKind::FuncAddress { .. })));
        if !is_call && !is_address {
            return None;
        }
        let imm = i64::from(insn.imm);
        let target = match reloc {
            Some(RelocKind::ExternCall(_)) => return None,
            Some(RelocKind::Call { offset }) => i64::from(offset / 8) + imm + 1,
            Some(RelocKind::FuncAddress { offset }) => (i64::from(offset) + imm) / 8,
            Some(_) => return Some(Err("the instruction cannot refer to data")),
            None if is_address => {
                return Some(Err("the address of a function is not relocated"));
            }
            None => i64::from(function.first) + i64::from(at) + imm + 1,
        };
        let text = self.text.zip(u32::try_from(target).ok());
        let callee = text.and_then(|(text, target)| self.at(text, target));
        Some(callee.ok_or("no function of section `.text` is there"))
    }

    /// Reads the relocations of one section of code. Those that cannot be make the function
    /// unusable, not the object.
    pub(crate) fn add_relocations(
        &mut self,
        elf: &Elf<'_>,
        rels: &Section<'_>,
        targets: &Targets<'_>,
    ) -> Result<(), Error> {
        let section = rels.info as usize;
        let code = elf.sections.get(section).ok_or_else(|| {
            rels.error(format!("it applies to section {section}, which does not exist"))
        })?;
        for (index, rel) in elf.relocations(rels).enumerate() {
            let symbol = elf.symbols.get(rel.symbol).ok_or_else(|| {
                rels.error(format!("relocation {index}: symbol {} does not exist", rel.symbol))
            })?;
            if usize::from(symbol.section) >= elf.sections.len() && symbol.section < 0xff00 {
                let problem = format!(
                    "relocation {index}: symbol `{}` is in section {}, which does not exist",
                    symbol.display(),
                    symbol.section
                );
                return Err(rels.error(problem));
            }
            if rel.offset % 8 != 0 || rel.offset >= code.data.len() as u64 {
                let problem = format!(
                    "relocation {index}: offset {:#x} is no instruction of section `{}`",
                    rel.offset, code.name
                );
                return Err(rels.error(problem));
            }
            let insn = u32::try_from(rel.offset / 8).unwrap_or(u32::MAX);
            // Code of weak functions that were overridden belongs to no function.
            let Some(at) = self.at(section, insn) else { continue };
            let Some(function) = self.list.get_mut(at) else { continue };
            let insn = insn - function.first;
            match targets.kind(elf, function, insn, &rel, symbol) {
                Ok(kind) => function.relocs.push(Reloc { insn, kind }),
                Err(problem) if function.broken.is_none() => {
                    function.broken = Some(LinkError::Relocation {
                        function: function.name.to_string(),
                        insn,
                        symbol: targets.name(elf, symbol),
                        problem,
                    });
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Puts the relocations in the order of instructions; after the last section was read.
    pub(crate) fn sort_relocations(&mut self) {
        for function in &mut self.list {
            function.relocs.sort_by_key(|reloc| reloc.insn);
        }
    }
}

/// Sections that the loader reads itself, whatever their flags say.
fn is_loader_data(name: &str) -> bool {
    matches!(name, "license" | "version" | "maps" | ".maps" | ".BTF" | ".BTF.ext")
}

fn read_function(
    section: &Section<'_>,
    index: usize,
    symbol: &Symbol<'_>,
    text: Option<usize>,
    code: &Arc<[Insn]>,
    section_name: &Arc<str>,
) -> Result<Function, Error> {
    let error = |problem: String| Error::Symbol {
        symbol: symbol.display().into_owned(),
        section: section.name.to_owned(),
        offset: section.offset.saturating_add(symbol.value),
        problem,
    };
    let end = symbol.value.checked_add(symbol.size);
    if end.is_none_or(|end| end > section.data.len() as u64) {
        return Err(error(format!(
            "its {} bytes of code reach past the section's end",
            symbol.size
        )));
    }
    if symbol.local && Some(index) != text {
        return Err(error("static functions are supported in section `.text` only".into()));
    }
    if symbol.size == 0 || !symbol.size.is_multiple_of(8) || !symbol.value.is_multiple_of(8) {
        return Err(error(format!(
            "{} bytes at {:#x} are no instructions of 8 bytes each",
            symbol.size, symbol.value
        )));
    }
    let slots =
        |bytes: u64| u32::try_from(bytes / 8).map_err(|_| error("it is past 32 GiB".into()));
    Ok(Function {
        name: symbol.display().into(),
        section_name: Arc::clone(section_name),
        section: index,
        first: slots(symbol.value)?,
        len: slots(symbol.size)?,
        code: Arc::clone(code),
        autoload: !section.name.starts_with('?'),
        global: symbol.is_global(),
        hidden: symbol.is_global() && symbol.hidden,
        def: section_def(section_name),
        relocs: Vec::new(),
        core: Vec::new(),
        broken: None,
    })
}

/// What relocations may refer to.
pub(crate) struct Targets<'o> {
    pub(crate) externs: &'o Externs,
    pub(crate) text: Option<usize>,
    /// Section of the arena's variables.
    arena_data: Option<usize>,
    arena: Option<usize>,
    jump_tables: Option<usize>,
    /// Section `.maps`.
    map_section: Option<usize>,
    /// Maps by section and offset.
    defined: HashMap<(usize, u64), usize>,
    /// Maps of variables by section.
    data: HashMap<usize, usize>,
}

impl<'o> Targets<'o> {
    pub(crate) fn new(maps: &Maps, externs: &'o Externs, text: Option<usize>) -> Self {
        let mut defined = HashMap::new();
        let mut data = HashMap::new();
        for (index, map) in maps.list.iter().enumerate() {
            match map.kind {
                MapKind::Defined => {
                    defined.entry((map.section, map.offset)).or_insert(index);
                }
                MapKind::Data | MapKind::Bss | MapKind::Rodata => {
                    data.entry(map.section).or_insert(index);
                }
                MapKind::Kconfig | MapKind::StructOps(_) => {}
            }
        }
        Self {
            externs,
            text,
            arena_data: maps.arena_section,
            arena: maps.arena,
            jump_tables: maps.jump_table_section,
            map_section: maps.section,
            defined,
            data,
        }
    }

    /// The symbol's name for messages.
    fn name(&self, elf: &Elf<'_>, symbol: &Symbol<'_>) -> String {
        let section = elf.sections.get(usize::from(symbol.section));
        match section {
            Some(section) if symbol.kind == SymbolKind::Section => section.name.to_owned(),
            _ => symbol.display().into_owned(),
        }
    }

    /// What the relocation means (`bpf_program__record_reloc` of libbpf).
    fn kind(
        &self,
        elf: &Elf<'_>,
        function: &Function,
        at: u32,
        rel: &Rel,
        symbol: &Symbol<'_>,
    ) -> Result<RelocKind, String> {
        let insn = function.insns().get(at as usize).copied().unwrap_or_default();
        let is_call = insn.code == CALL;
        if !is_call && insn.code != LD_IMM64 {
            return Err(format!("opcode {:#04x} is no call and no 64-bit load", insn.code));
        }
        if symbol.is_extern() {
            let index = self.externs.by_symbol(rel.symbol).ok_or("it is an unknown extern")?;
            return Ok(if is_call {
                RelocKind::ExternCall(index)
            } else {
                RelocKind::ExternLoad(index)
            });
        }
        let offset = u32::try_from(symbol.value)
            .map_err(|_| format!("its value {:#x} is too large", symbol.value))?;
        let section = usize::from(symbol.section);
        if is_call {
            return self.call(insn, section, offset);
        }
        if section == 0 || symbol.section >= 0xff00 {
            return Err("it is not defined in the object; a global variable may lack its \
                        initial value"
                .into());
        }
        if self.is_subprogram(symbol) {
            if offset % 8 != 0 || insn.imm % 8 != 0 {
                return Err(format!("offset {offset:#x}+{} is no instruction", insn.imm));
            }
            return Ok(RelocKind::FuncAddress { offset });
        }
        self.data(elf, symbol, section, offset)
    }

    fn call(&self, insn: Insn, section: usize, offset: u32) -> Result<RelocKind, String> {
        if insn.src() != PSEUDO_CALL {
            return Err("the instruction is no call of a function in the object".into());
        }
        if section == 0 || Some(section) != self.text {
            return Err("functions can be called in section `.text` only".into());
        }
        if !offset.is_multiple_of(8) {
            return Err(format!("offset {offset:#x} is no instruction"));
        }
        Ok(RelocKind::Call { offset })
    }

    /// `sym_is_subprog` of libbpf: static functions stand behind their section's symbol.
    fn is_subprogram(&self, symbol: &Symbol<'_>) -> bool {
        let in_text = self.text == Some(usize::from(symbol.section));
        in_text
            && match symbol.kind {
                SymbolKind::Section => symbol.local,
                SymbolKind::Func => symbol.is_global(),
                _ => false,
            }
    }

    fn data(
        &self,
        elf: &Elf<'_>,
        symbol: &Symbol<'_>,
        section: usize,
        offset: u32,
    ) -> Result<RelocKind, String> {
        if self.arena_data == Some(section) {
            let map = self.arena.ok_or("there is no arena map for the variable")?;
            return Ok(RelocKind::Data { map, offset });
        }
        if self.jump_tables == Some(section) {
            let size = u32::try_from(symbol.size)
                .map_err(|_| format!("the jump table has {} bytes", symbol.size))?;
            return Ok(RelocKind::JumpTable { offset, size });
        }
        if let Some(map) = self.data.get(&section) {
            return Ok(RelocKind::Data { map: *map, offset });
        }
        let name = elf.sections.get(section).map_or("?", |section| section.name);
        if self.map_section != Some(section) {
            return Err(format!("section `{name}` holds neither maps nor variables"));
        }
        let map = self.defined.get(&(section, symbol.value));
        map.map(|map| RelocKind::Map(*map))
            .ok_or_else(|| format!("no map begins at offset {offset:#x} of section `{name}`"))
    }
}
