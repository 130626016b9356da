// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the loader corrects in an object's BTF before a kernel may see it: sizes and offsets that
//! only the ELF file knows, externs turned into variables that the kernel accepts, and hidden
//! functions and variables made static.

use crate::Error;
use crate::elf::{Elf, SymbolKind};
use crate::externs::{ExternKind, Externs, KCONFIG, KSYMS};
use crate::program::Function;
use std::collections::{HashMap, HashSet};
use veristable_btf::{Btf, Indexes, Kind, Linkage, SectionVar, Type, TypeData, TypeId};

/// Bytes of `struct btf_type`.
const TYPE_LEN: usize = 12;
/// Name of the variable that stands in for extern functions in `.ksyms`.
const DUMMY: &[u8] = b"dummy_ksym";

/// A word to be written into the BTF's bytes.
struct Patch {
    at: usize,
    value: u32,
}

/// Patches of one pass, positions taken from the BTF as it was before.
struct Patches<'b, 'a> {
    btf: &'b Btf<'a>,
    list: Vec<Patch>,
}

impl<'b, 'a> Patches<'b, 'a> {
    fn new(btf: &'b Btf<'a>) -> Self {
        Self { btf, list: Vec::new() }
    }

    /// Sets the word `offset` bytes into the type.
    fn set(&mut self, id: TypeId, offset: usize, value: u32) {
        let index = usize::try_from(id.0).ok().and_then(|id| id.checked_sub(1));
        if let Some(start) = index.and_then(|index| self.btf.offset_index().get(index)) {
            self.list.push(Patch { at: *start as usize + offset, value });
        }
    }

    fn set_info(&mut self, id: TypeId, value: u32) {
        self.set(id, 4, value);
    }

    fn set_size_or_type(&mut self, id: TypeId, value: u32) {
        self.set(id, 8, value);
    }

    fn set_linkage(&mut self, var: TypeId, linkage: Linkage) {
        self.set(var, TYPE_LEN, linkage.number());
    }

    fn set_section_vars(&mut self, section: TypeId, vars: &[SectionVar]) {
        for (index, var) in vars.iter().enumerate() {
            let at = TYPE_LEN + 12 * index;
            self.set(section, at, var.type_id.0);
            self.set(section, at + 4, var.offset);
            self.set(section, at + 8, var.size);
        }
    }

    /// The corrected BTF.
    fn apply(self) -> Result<Btf<'static>, veristable_btf::Error> {
        let mut bytes = self.btf.bytes().to_vec();
        for patch in &self.list {
            if let Some(word) = bytes.get_mut(patch.at..patch.at + 4) {
                word.copy_from_slice(&patch.value.to_le_bytes());
            }
        }
        let offsets = Some(self.btf.offset_index().to_vec().into());
        Btf::open_with(bytes, None, Indexes { offsets, names: None })
    }
}

/// All corrections.
pub(crate) fn fix(
    btf: Btf<'static>,
    elf: &Elf<'_>,
    btf_offset: u64,
    externs: &Externs,
    functions: &[Function],
    text: Option<usize>,
) -> Result<Btf<'static>, Error> {
    let wrap = |error| Error::Btf { section: ".BTF", offset: btf_offset, error };
    let btf = add_dummy(btf).map_err(wrap)?;
    let btf = fix_externs(&btf.btf, btf.dummy, btf_offset, externs)?.map_err(wrap)?;
    let mut patches = Patches::new(&btf);
    let variables = Variables::new(elf);
    for ty in btf.types().filter(|ty| ty.kind() == Kind::Datasec) {
        fix_section(&mut patches, &ty, elf, &variables, btf_offset)?;
    }
    hide_functions(&mut patches, functions, text);
    patches.apply().map_err(wrap)
}

/// BTF with the variable that stands in for extern functions.
struct WithDummy {
    btf: Btf<'static>,
    /// The variable and the offset of its name; absent if there is no extern function.
    dummy: Option<(TypeId, u32)>,
}

/// Adds the stand-in variable if `.ksyms` has a function (`add_dummy_ksym_var` of libbpf).
fn add_dummy(btf: Btf<'static>) -> Result<WithDummy, veristable_btf::Error> {
    let has_function = btf
        .find_by_name(KSYMS, Kind::Datasec)
        .and_then(|id| btf.type_by_id(id).ok()?.as_datasec())
        .is_some_and(|section| {
            let kind = |id| btf.type_by_id(id).map(|ty| ty.kind());
            section.vars.iter().any(|var| kind(var.type_id) == Ok(Kind::Func))
        });
    if !has_function {
        return Ok(WithDummy { btf, dummy: None });
    }
    let mut strings = btf.string_section().to_vec();
    let wanted: Vec<u8> = [b"\0", DUMMY, b"\0"].concat();
    let found = strings.windows(wanted.len()).position(|window| window == wanted);
    let name = found.map_or(strings.len(), |at| at + 1);
    if found.is_none() {
        strings.extend_from_slice(&wanted[1..]);
    }
    let name = u32::try_from(name).unwrap_or(0);
    let info = u32::from(Kind::Var.number()) << 24;
    let variable = [name, info, int_type(&btf).0, Linkage::Global.number()];
    let mut types = btf.type_section().to_vec();
    types.extend(variable.iter().flat_map(|word| word.to_le_bytes()));
    let id = TypeId(btf.type_count());
    let btf = Btf::open(assemble(&btf, &types, &strings))?;
    Ok(WithDummy { btf, dummy: Some((id, name)) })
}

/// Header, types and strings in a row, as libbpf writes modified BTF.
fn assemble(old: &Btf<'_>, types: &[u8], strings: &[u8]) -> Vec<u8> {
    let word = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    let header_len = old.bytes().get(4..8).and_then(|raw| raw.try_into().ok());
    let header_len = header_len.map_or(24, u32::from_le_bytes) as usize;
    let mut bytes = old.bytes().get(..header_len).unwrap_or(&[]).to_vec();
    for (at, value) in
        [(8, word(0)), (12, word(types.len())), (16, word(types.len())), (20, word(strings.len()))]
    {
        if let Some(field) = bytes.get_mut(at..at + 4) {
            field.copy_from_slice(&value);
        }
    }
    bytes.extend_from_slice(types);
    bytes.extend_from_slice(strings);
    bytes
}

/// The first 32-bit integer, as type of the stand-ins (`find_int_btf_id` of libbpf).
fn int_type(btf: &Btf<'_>) -> TypeId {
    let is_int = |ty: &Type<'_>| ty.as_int().is_some_and(|int| int.bits == 32);
    btf.types().find(is_int).map_or(TypeId::VOID, |ty| ty.id())
}

/// Turns externs into variables (`bpf_object__collect_externs` of libbpf, its second half).
fn fix_externs(
    btf: &Btf<'_>,
    dummy: Option<(TypeId, u32)>,
    btf_offset: u64,
    externs: &Externs,
) -> Result<Result<Btf<'static>, veristable_btf::Error>, Error> {
    let mut patches = Patches::new(btf);
    // The sections are those of the externs; a section without an extern stays as it is.
    let is = |name: &str, config: bool| {
        let wanted =
            externs.list.iter().any(|ext| matches!(ext.kind, ExternKind::Config { .. }) == config);
        wanted.then(|| btf.find_by_name(name, Kind::Datasec)).flatten()
    };
    let undefined = |ty: &Type<'_>| Error::BtfType {
        offset: btf_offset,
        id: ty.id().0,
        name: ty.name().to_owned(),
        problem: "it is an extern without a symbol".into(),
    };
    if let Some(section) = is(KSYMS, false).and_then(|id| btf.type_by_id(id).ok()) {
        let int = int_type(btf);
        let mut named = HashSet::new();
        let mut vars: Vec<SectionVar> =
            section.as_datasec().into_iter().flat_map(|s| s.vars).collect();
        for (index, var) in vars.iter_mut().enumerate() {
            let Ok(ty) = btf.type_by_id(var.type_id) else { continue };
            externs.by_name(ty.name()).ok_or_else(|| undefined(&ty))?;
            match (ty.kind(), dummy) {
                (Kind::Func, Some((dummy_id, dummy_name))) => {
                    // Many functions may share a prototype.
                    if named.insert(ty.size_or_type()) {
                        name_params(&mut patches, &ty, dummy_name);
                    }
                    var.type_id = dummy_id;
                    patches.set_info(ty.id(), (ty.info() & !0xffff) | Linkage::Global.number());
                }
                _ => {
                    patches.set_linkage(ty.id(), Linkage::Global);
                    patches.set_size_or_type(ty.id(), int.0);
                }
            }
            var.offset = u32::try_from(index * 4).unwrap_or(u32::MAX);
            var.size = 4;
        }
        patches.set_section_vars(section.id(), &vars);
        let size = u32::try_from(vars.len() * 4).unwrap_or(u32::MAX);
        patches.set_size_or_type(section.id(), size);
    }
    if let Some(section) = is(KCONFIG, true).and_then(|id| btf.type_by_id(id).ok()) {
        let mut vars: Vec<SectionVar> =
            section.as_datasec().into_iter().flat_map(|s| s.vars).collect();
        for var in &mut vars {
            let Ok(ty) = btf.type_by_id(var.type_id) else { continue };
            let ext = externs.by_name(ty.name()).ok_or_else(|| undefined(&ty))?;
            patches.set_linkage(ty.id(), Linkage::Global);
            if let ExternKind::Config { offset, .. } = ext.kind {
                var.offset = offset;
            }
        }
        patches.set_section_vars(section.id(), &vars);
        patches.set_size_or_type(section.id(), externs.config_size);
    }
    Ok(patches.apply())
}

/// Gives nameless parameters a name: the kernel wants one.
fn name_params(patches: &mut Patches<'_, '_>, func: &Type<'_>, name: u32) {
    let Ok(proto) = patches.btf.type_by_id(TypeId(func.size_or_type())) else { return };
    let Some(data) = proto.as_func_proto() else { return };
    for (index, param) in data.params.iter().enumerate() {
        if !param.type_id.is_void() && param.name_offset == 0 {
            patches.set(proto.id(), TYPE_LEN + 8 * index, name);
        }
    }
}

/// Global variables of the ELF file by name.
struct Variables<'a> {
    by_name: HashMap<&'a [u8], (u64, bool)>,
}

impl<'a> Variables<'a> {
    fn new(elf: &Elf<'a>) -> Self {
        let mut by_name = HashMap::new();
        for symbol in &elf.symbols {
            if symbol.kind == SymbolKind::Object && symbol.is_global() {
                by_name.entry(symbol.name).or_insert((symbol.value, symbol.hidden));
            }
        }
        Self { by_name }
    }
}

/// Fills in what the compiler leaves open in a section (`btf_fixup_datasec` of libbpf).
fn fix_section(
    patches: &mut Patches<'_, '_>,
    section: &Type<'_>,
    elf: &Elf<'_>,
    variables: &Variables<'_>,
    btf_offset: u64,
) -> Result<(), Error> {
    let TypeData::Datasec(data) = section.data() else { return Ok(()) };
    let mut vars: Vec<SectionVar> = data.vars.collect();
    let name = section.name();
    if name != KSYMS && name != KCONFIG {
        let error = |problem: String| Error::BtfType {
            offset: btf_offset,
            id: section.id().0,
            name: name.to_owned(),
            problem,
        };
        let is_open = data.size == 0;
        if is_open {
            let found = elf.section_named(name).and_then(|index| elf.sections.get(index));
            let size = found.map_or(0, |section| section.size);
            match u32::try_from(size) {
                Ok(size) if size > 0 => patches.set_size_or_type(section.id(), size),
                _ => return Err(error(format!("the ELF section has {size} bytes"))),
            }
        }
        for var in &mut vars {
            let btf = patches.btf;
            let ty = btf.type_by_id(var.type_id).ok();
            let Some((ty, linkage)) = ty.and_then(|ty| Some((ty, ty.as_var()?.linkage))) else {
                return Err(error(format!("its member {} is not a variable", var.type_id)));
            };
            if matches!(linkage, Linkage::Static | Linkage::Extern) {
                continue;
            }
            let Some((value, hidden)) = variables.by_name.get(ty.name_bytes()) else {
                return Err(error(format!("variable `{}` has no ELF symbol", ty.name())));
            };
            if is_open {
                // A symbol's value is an offset within its section.
                var.offset = u32::try_from(*value).unwrap_or(u32::MAX);
            }
            if *hidden {
                patches.set_linkage(ty.id(), Linkage::Static);
            }
        }
    }
    vars.sort_by_key(|var| var.offset);
    patches.set_section_vars(section.id(), &vars);
    Ok(())
}

/// Makes hidden subprograms static, so that the kernel verifies them with their callers
/// (`bpf_object__sanitize_and_load_btf` of libbpf).
fn hide_functions(patches: &mut Patches<'_, '_>, functions: &[Function], text: Option<usize>) {
    let mut hidden: HashSet<&[u8]> = functions
        .iter()
        .filter(|f| f.hidden && Some(f.section) == text)
        .map(|f| f.name.as_bytes())
        .collect();
    if hidden.is_empty() {
        return;
    }
    let btf = patches.btf;
    for ty in btf.types() {
        let is_global = ty.as_func().is_some_and(|func| func.linkage == Linkage::Global);
        if is_global && hidden.remove(ty.name_bytes()) {
            patches.set_info(ty.id(), u32::from(Kind::Func.number()) << 24);
        }
    }
}
