// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The object: everything that can be known without a kernel.

use crate::data::SectionTypes;
use crate::elf::{Elf, Section, SectionKind};
use crate::externs::Externs;
use crate::info::Infos;
use crate::maps::{MapKind, Maps};
use crate::program::{CoreReloc, Function, Functions, MAX_NAME, Targets};
use crate::{Error, btf_fixup, btf_load, data, struct_ops};
use std::collections::HashMap;
use std::sync::Arc;
use veristable_btf::{Btf, BtfExt, Kind, TypeId};
use veristable_kernel::{MapType, ProgType};
use veristable_program::{Blob, MapFlags};

/// A program of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgramInfo {
    /// The function's name.
    pub name: String,
    /// The section's name, without a leading `?`.
    pub section: String,
    /// The type that the section's name stands for, if it stands for one.
    pub prog_type: Option<ProgType>,
    /// Whether libbpf loads it unless told otherwise (no `?` before the section's name).
    pub autoload: bool,
    /// Number of its own instruction slots, without subprograms.
    pub len: u32,
}

impl Function {
    /// What users may know of it.
    pub(crate) fn info(&self) -> ProgramInfo {
        ProgramInfo {
            name: self.name.to_string(),
            section: self.section_name.to_string(),
            prog_type: self.def.map(|def| def.prog_type),
            autoload: self.autoload,
            len: self.len,
        }
    }
}

/// A map of an object, before any option is applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapInfo {
    /// Its name as programs and the kernel know it (the kernel keeps 15 bytes).
    pub name: String,
    /// The section that defines it or whose variables it holds.
    pub section: String,
    /// Map type.
    pub map_type: MapType,
    /// `map_flags` as defined.
    pub flags: MapFlags,
    /// `max_entries` as defined.
    pub max_entries: u32,
    /// Whether libbpf creates it unless told otherwise.
    pub autocreate: bool,
}

/// An ELF object with BPF programs, read and checked, but not yet linked for a kernel.
#[derive(Debug)]
pub struct Object {
    pub(crate) license: String,
    pub(crate) kern_version: Option<u32>,
    pub(crate) functions: Functions,
    pub(crate) maps: Maps,
    pub(crate) externs: Externs,
    pub(crate) btf: Option<Btf<'static>>,
    /// The BTF as the kernel gets it; absent also if the kernel would refuse it.
    pub(crate) btf_bytes: Option<Blob>,
    pub(crate) infos: Option<Infos>,
    pub(crate) exception_callbacks: ExceptionCallbacks,
    /// Why BTF that the object has but does not need is not used.
    btf_problem: Option<Error>,
    /// Bytes of the file.
    pub(crate) file_size: usize,
}

impl Object {
    /// Reads an object. `name` is the file's name; libbpf puts its beginning into the names of the
    /// maps that hold variables.
    ///
    /// # Errors
    /// If the file is no BPF object, or damaged, or libbpf would refuse to open it.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self, Error> {
        let elf = Elf::parse(bytes)?;
        let (license, kern_version) = read_license(&elf)?;
        let mut functions = Functions::collect(&elf)?;
        let (raw, raw_ext) = btf_sections(&elf)?;
        let offset = raw.map_or(0, |section| section.offset);
        let (btf, mut btf_problem) = open_btf(raw)?;
        let is_needed = needs_btf(&elf);
        if let (Some(problem), true) = (&btf_problem, is_needed) {
            return Err(problem.clone());
        }
        // Without BTF no extern can be; what is wrong with the BTF says more.
        let externs = Externs::collect(&elf, btf.as_ref())
            .map_err(|error| btf_problem.clone().unwrap_or(error))?;
        let btf = btf
            .map(|btf| btf_fixup::fix(btf, &elf, offset, &externs, &functions.list, functions.text))
            .transpose()?;
        let mut maps = Maps::collect(&elf, btf.as_ref())?;
        let names = btf.as_ref().map(SectionTypes::new).unwrap_or_default();
        let types = (btf.as_ref(), &names);
        data::add_maps(&mut maps, &elf, types, &externs, &object_name(name))?;
        struct_ops::add_maps(&mut maps, &elf, btf.as_ref(), &names)?;
        read_relocations(&elf, btf.as_ref(), &mut maps, &externs, &mut functions)?;
        let infos = match (&btf, raw_ext) {
            (Some(btf), Some(section)) => match BtfExt::open(section.data) {
                Ok(ext) => {
                    read_core_relocations(&elf, btf, &ext, section, &mut functions)?;
                    Some(Infos::new(&elf, btf, &ext))
                }
                Err(error) => {
                    let offset = section.offset;
                    let error = Error::Btf { section: ".BTF.ext", offset, error };
                    if is_needed {
                        return Err(error);
                    }
                    btf_problem = Some(error);
                    None
                }
            },
            _ => None,
        };
        let btf_bytes = btf.as_ref().filter(|btf| btf_load::is_loadable(btf));
        let btf_bytes = btf_bytes.map(|btf| Blob::from(btf.bytes()));
        for map in &mut maps.list {
            describe_btf(map, btf_bytes.as_ref());
        }
        let exception_callbacks = btf.as_ref().map(|btf| ExceptionCallbacks::new(btf, &functions));
        let exception_callbacks = exception_callbacks.unwrap_or_default();
        Ok(Self {
            license,
            kern_version,
            functions,
            maps,
            externs,
            btf,
            btf_bytes,
            infos,
            exception_callbacks,
            btf_problem,
            file_size: bytes.len(),
        })
    }

    /// The programs, in libbpf's order: by section and place in it.
    pub fn programs(&self) -> impl Iterator<Item = ProgramInfo> + '_ {
        self.mains().map(|(_, function)| function.info())
    }

    /// Programs that are no subprograms, with their index among all functions.
    pub(crate) fn mains(&self) -> impl Iterator<Item = (usize, &Function)> {
        let all = self.functions.list.iter().enumerate();
        all.filter(|(_, function)| !self.functions.is_subprogram(function))
    }

    /// The maps, in libbpf's order.
    pub fn maps(&self) -> impl Iterator<Item = MapInfo> + '_ {
        self.maps.list.iter().map(|map| MapInfo {
            name: map.spec.name.clone(),
            section: map.section_name.clone(),
            map_type: map.spec.map_type,
            flags: map.spec.flags,
            max_entries: map.spec.max_entries,
            autocreate: map.autocreate,
        })
    }

    /// The license.
    pub fn license(&self) -> &str {
        &self.license
    }

    /// The BTF as it is handed to a kernel.
    pub fn btf(&self) -> Option<&Btf<'static>> {
        self.btf.as_ref()
    }

    /// Why the object's BTF is not used although it is there: it is damaged, but not needed, and
    /// libbpf goes on without it.
    pub fn btf_problem(&self) -> Option<&Error> {
        self.btf_problem.as_ref()
    }
}

/// The object's name as libbpf takes it from the file's: up to the first dot, at most 15 bytes.
fn object_name(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    // libbpf cuts at 15 bytes first, then at the dot.
    let cut: Vec<u8> = base.bytes().take(data::NAME_LEN).take_while(|byte| *byte != b'.').collect();
    String::from_utf8_lossy(&cut).into_owned()
}

/// License and kernel version.
fn read_license(elf: &Elf<'_>) -> Result<(String, Option<u32>), Error> {
    /// Bytes of the license that libbpf keeps.
    const LICENSE_LEN: usize = 63;
    let mut license = String::new();
    let mut kern_version = None;
    for section in elf.sections.iter().filter(|section| !section.ignored) {
        match section.name {
            "license" => {
                let text = section.data.split(|byte| *byte == 0).next().unwrap_or(&[]);
                let text = text.get(..LICENSE_LEN).unwrap_or(text);
                license = String::from_utf8_lossy(text).into_owned();
            }
            "version" => {
                let raw = section.data.try_into().map_err(|_| {
                    section.error(format!("it has {} bytes instead of 4", section.data.len()))
                })?;
                kern_version = Some(u32::from_le_bytes(raw));
            }
            "maps" => {
                return Err(section.error(
                    "maps in this old form are not supported by libbpf since version 1.0; \
                     define them in section `.maps`",
                ));
            }
            _ => {}
        }
    }
    Ok((license, kern_version))
}

/// `.BTF` and `.BTF.ext`.
type BtfSections<'e, 'a> = (Option<&'e Section<'a>>, Option<&'e Section<'a>>);

fn btf_sections<'e, 'a>(elf: &'e Elf<'a>) -> Result<BtfSections<'e, 'a>, Error> {
    // The last of a name counts.
    let find = |name: &str| {
        let found = elf.sections.iter().rfind(|s| !s.ignored && s.name == name);
        match found {
            Some(section) if section.kind != SectionKind::Progbits => {
                Err(section.error("its ELF section type is not PROGBITS"))
            }
            found => Ok(found),
        }
    };
    Ok((find(".BTF")?, find(".BTF.ext")?))
}

/// Opens the BTF; a problem with it is an error only if the object needs it.
fn open_btf(section: Option<&Section<'_>>) -> Result<(Option<Btf<'static>>, Option<Error>), Error> {
    /// Longest string that is accepted: names that share the bytes of a longer one would take
    /// forever to look at.
    const MAX_STRING: usize = 1 << 16;

    let Some(section) = section else { return Ok((None, None)) };
    if let Some(long) = section.data.split(|byte| *byte == 0).find(|s| s.len() > MAX_STRING) {
        let problem = format!("{} bytes follow each other without a zero", long.len());
        return Err(section.error(problem));
    }
    let opened = Btf::open(section.data).and_then(|btf| {
        btf.check()?;
        Ok(btf.into_owned())
    });
    Ok(match opened {
        Ok(btf) => (Some(btf), None),
        Err(error) => (None, Some(Error::Btf { section: ".BTF", offset: section.offset, error })),
    })
}

/// `libbpf_needs_btf`, with externs as they are in the symbol table.
fn needs_btf(elf: &Elf<'_>) -> bool {
    elf.section_named(".maps").is_some()
        || (0..elf.sections.len()).any(|index| struct_ops::is_struct_ops_section(elf, index))
}

/// Reads all relocations (`bpf_object__collect_relos` of libbpf).
fn read_relocations(
    elf: &Elf<'_>,
    btf: Option<&Btf<'_>>,
    maps: &mut Maps,
    externs: &Externs,
    functions: &mut Functions,
) -> Result<(), Error> {
    let targets = Targets::new(maps, externs, functions.text);
    let rels = elf.sections.iter().filter(|s| !s.ignored && s.kind == SectionKind::Rel);
    for section in rels {
        let target = section.info as usize;
        let Some(of) = elf.sections.get(target) else {
            return Err(
                section.error(format!("it applies to section {target}, which does not exist"))
            );
        };
        if section.entry_size != 16 {
            return Err(section
                .error(format!("its entries have {} bytes instead of 16", section.entry_size)));
        }
        if struct_ops::is_struct_ops_section(elf, target) {
            struct_ops::add_relocations(maps, elf, btf, functions, section)?;
        } else if of.executable {
            functions.add_relocations(elf, section, &targets)?;
        }
        // Those of `.maps` fill maps of maps and of programs, which no verifier looks into.
    }
    functions.sort_relocations();
    Ok(())
}

/// Hands CO-RE relocations to their functions.
fn read_core_relocations(
    elf: &Elf<'_>,
    btf: &Btf<'_>,
    ext: &BtfExt<'_>,
    section: &Section<'_>,
    functions: &mut Functions,
) -> Result<(), Error> {
    for group in ext.core_relos() {
        let name = btf.utf8(group.section_name_offset).unwrap_or("");
        if name.is_empty() {
            return Err(section.error("CO-RE relocations of a section without a name"));
        }
        let Some(target) = elf.section_named(name) else { continue };
        for (index, relo) in group.records.enumerate() {
            if relo.insn_offset % 8 != 0 {
                return Err(section.error(format!(
                    "CO-RE relocation {index} of section `{name}` is at offset {:#x}, which is no \
                     instruction",
                    relo.insn_offset
                )));
            }
            let insn = relo.insn_offset / 8;
            // Relocations of overridden weak functions belong to nothing.
            let Some(at) = functions.at(target, insn) else { continue };
            let Some(function) = functions.list.get_mut(at) else { continue };
            let insn = insn.saturating_sub(function.first);
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            function.core.push(CoreReloc { insn, index, relo });
        }
    }
    Ok(())
}

/// Map types that are created without BTF (`bpf_object__create_map` of libbpf).
fn is_without_btf(map_type: MapType) -> bool {
    matches!(
        map_type,
        MapType::PERF_EVENT_ARRAY
            | MapType::CGROUP_ARRAY
            | MapType::STACK_TRACE
            | MapType::ARRAY_OF_MAPS
            | MapType::HASH_OF_MAPS
            | MapType::DEVMAP
            | MapType::DEVMAP_HASH
            | MapType::CPUMAP
            | MapType::XSKMAP
            | MapType::SOCKMAP
            | MapType::SOCKHASH
            | MapType::QUEUE
            | MapType::STACK
            | MapType::ARENA
    )
}

/// Gives a map the object's BTF, or takes the types away that it may not have.
fn describe_btf(map: &mut crate::maps::Map, bytes: Option<&Blob>) {
    let is_table = matches!(map.kind, MapKind::StructOps(_));
    for spec in [Some(&mut map.spec), map.inner.as_mut()].into_iter().flatten() {
        if is_without_btf(spec.map_type) || bytes.is_none() {
            spec.btf_key_type_id = 0;
            spec.btf_value_type_id = 0;
        } else {
            spec.btf = bytes.cloned();
            if is_table {
                spec.btf_value_type_id = 0;
            }
        }
    }
}

/// What begins declaration tags that name exception callbacks.
pub(crate) const CALLBACK_TAG: &str = "exception_callback:";

/// Declaration tags that name exception callbacks.
#[derive(Debug, Default)]
pub(crate) struct ExceptionCallbacks {
    /// By name of the tagged function, in the order of the tags.
    tags: HashMap<String, Vec<TypeId>>,
    /// The first subprogram of a name.
    subprograms: HashMap<Arc<str>, usize>,
}

impl ExceptionCallbacks {
    fn new(btf: &Btf<'_>, functions: &Functions) -> Self {
        let mut callbacks = Self::default();
        for ty in btf.types().filter(|ty| ty.kind() == Kind::DeclTag) {
            let is_whole = ty.as_decl_tag().is_some_and(|tag| tag.component.is_none());
            let target = btf.type_by_id(TypeId(ty.size_or_type())).ok();
            let target = target.filter(|_| is_whole && ty.name().starts_with(CALLBACK_TAG));
            let name = target.map_or("", |target| target.name());
            if !name.is_empty() && name.len() <= MAX_NAME {
                callbacks.tags.entry(name.to_owned()).or_default().push(ty.id());
            }
        }
        if !callbacks.tags.is_empty() {
            for (index, function) in functions.list.iter().enumerate() {
                if functions.is_subprogram(function) {
                    let name = Arc::clone(&function.name);
                    callbacks.subprograms.entry(name).or_insert(index);
                }
            }
        }
        callbacks
    }

    /// The tags on a program.
    pub(crate) fn tags_on(&self, program: &str) -> &[TypeId] {
        self.tags.get(program).map_or(&[], Vec::as_slice)
    }

    /// The subprogram of this name.
    pub(crate) fn subprogram(&self, name: &str) -> Option<usize> {
        self.subprograms.get(name).copied()
    }
}

/// Whether the object's BTF has a function of this name, and its id.
pub(crate) fn function_id(btf: &Btf<'_>, name: &str) -> Option<u32> {
    btf.find_by_name(name, Kind::Func).map(|id| id.0)
}
