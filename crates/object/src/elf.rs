// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The ELF file: sections and symbols over untrusted bytes.

use crate::Error;
use crate::program::MAX_NAME;
use object::LittleEndian as Le;
use object::elf::{
    EM_BPF, EM_NONE, ET_REL, FileHeader64, Rel64, SHF_EXECINSTR, SHT_NOBITS, SHT_PROGBITS, SHT_REL,
    SHT_STRTAB, SHT_SYMTAB, SectionHeader64, Sym64,
};
use object::read::elf::{FileHeader, SectionHeader};
use std::borrow::Cow;
use std::collections::HashMap;

/// Section type of LLVM's address-significance tables (`SHT_LLVM_ADDRSIG`).
const SHT_LLVM_ADDRSIG: u32 = 0x6fff_4c03;

/// What a section holds, as far as the loader cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SectionKind {
    /// `SHT_PROGBITS`
    Progbits,
    /// `SHT_NOBITS`: no data in the file.
    Nobits,
    /// `SHT_REL`
    Rel,
    /// `SHT_SYMTAB`
    Symtab,
    /// Anything else.
    Other,
}

/// A section.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: SectionKind,
    /// Skipped by libbpf before it looks at anything else (`ignore_elf_section`).
    pub(crate) ignored: bool,
    pub(crate) executable: bool,
    /// Where the data begins in the file.
    pub(crate) offset: u64,
    /// Size in bytes; more than `data.len()` for a section without data.
    pub(crate) size: u64,
    /// `sh_info`: for relocations the section that they apply to.
    pub(crate) info: u32,
    pub(crate) entry_size: u64,
    pub(crate) data: &'a [u8],
}

impl Section<'_> {
    /// An error about this section.
    pub(crate) fn error(&self, problem: impl Into<String>) -> Error {
        Error::Section {
            section: self.name.to_owned(),
            offset: self.offset,
            problem: problem.into(),
        }
    }
}

/// What a symbol stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SymbolKind {
    /// `STT_NOTYPE`
    None,
    /// `STT_OBJECT`
    Object,
    /// `STT_FUNC`
    Func,
    /// `STT_SECTION`
    Section,
    /// Anything else.
    Other,
}

/// A symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol<'a> {
    /// Empty if it has none, or one that cannot be read or is too long.
    pub(crate) name: &'a [u8],
    pub(crate) kind: SymbolKind,
    pub(crate) local: bool,
    pub(crate) weak: bool,
    /// `STV_HIDDEN` or `STV_INTERNAL`.
    pub(crate) hidden: bool,
    /// `st_shndx` as stored: 0 for undefined, from 0xff00 on special.
    pub(crate) section: u16,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

impl<'a> Symbol<'a> {
    /// The name for messages.
    pub(crate) fn display(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.name)
    }

    /// Global or weak (`sym_is_extern` and others of libbpf ask it so).
    pub(crate) fn is_global(&self) -> bool {
        !self.local
    }

    /// An extern: undefined, global or weak, without a type.
    pub(crate) fn is_extern(&self) -> bool {
        self.section == 0 && self.is_global() && self.kind == SymbolKind::None
    }
}

/// A relocation: where, and against which symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rel {
    pub(crate) offset: u64,
    pub(crate) symbol: usize,
}

/// The parsed file.
pub(crate) struct Elf<'a> {
    pub(crate) sections: Vec<Section<'a>>,
    pub(crate) symbols: Vec<Symbol<'a>>,
    /// Index of the symbol table's section.
    pub(crate) symtab: usize,
    by_name: HashMap<&'a str, usize>,
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        check_ident(bytes)?;
        let damaged = |offset: u64, problem: &dyn std::fmt::Display| Error::Header {
            offset,
            problem: problem.to_string(),
        };
        let header = FileHeader64::<Le>::parse(bytes).map_err(|error| damaged(0, &error))?;
        check_machine(header)?;
        let headers = header.section_headers(Le, bytes).map_err(|error| damaged(40, &error))?;
        let names = section_names(header, headers, bytes).map_err(|error| damaged(62, &error))?;
        let mut sections = Vec::with_capacity(headers.len());
        for (index, section) in headers.iter().enumerate() {
            let name = string_at(names, section.sh_name(Le));
            let name = name.and_then(|name| str::from_utf8(name).ok());
            sections.push(read_section(bytes, index, section, name)?);
        }
        check_overlap(&sections, bytes.len())?;
        let mut by_name = HashMap::with_capacity(sections.len());
        for (index, section) in sections.iter().enumerate().skip(1) {
            by_name.entry(section.name).or_insert(index);
        }
        let (symtab, symbols) = read_symbols(headers, &sections)?;
        Ok(Self { sections, symbols, symtab, by_name })
    }

    /// The first section of this name.
    pub(crate) fn section_named(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The relocations in a section of them.
    pub(crate) fn relocations(&self, section: &Section<'a>) -> impl Iterator<Item = Rel> + use<'a> {
        let count = section.data.len() / size_of::<Rel64<Le>>();
        let rels = object::pod::slice_from_bytes::<Rel64<Le>>(section.data, count)
            .map_or(&[][..], |(rels, _)| rels);
        rels.iter().map(|rel| Rel {
            offset: rel.r_offset.get(Le),
            symbol: usize::try_from(rel.r_sym(Le)).unwrap_or(usize::MAX),
        })
    }
}

/// The bytes of the section names.
fn section_names<'a>(
    header: &FileHeader64<Le>,
    headers: &[SectionHeader64<Le>],
    bytes: &'a [u8],
) -> Result<&'a [u8], object::read::Error> {
    if headers.is_empty() {
        return Ok(&[]);
    }
    let index = usize::try_from(header.shstrndx(Le, bytes)?).unwrap_or(usize::MAX);
    headers.get(index).map_or(Ok(&[]), |section| section.data(Le, bytes))
}

/// A string of a table, if it ends within [`MAX_NAME`] bytes. Longer names are of no use, and
/// looking for the end of many that share their bytes would take forever.
fn string_at(strings: &[u8], offset: u32) -> Option<&[u8]> {
    let rest = strings.get(offset as usize..)?;
    let window = rest.get(..=MAX_NAME).unwrap_or(rest);
    window.get(..window.iter().position(|byte| *byte == 0)?)
}

/// Sections that share their bytes would take many times the size of the file.
fn check_overlap(sections: &[Section<'_>], file_size: usize) -> Result<(), Error> {
    let mut room = file_size;
    for section in sections {
        let left = room.checked_sub(section.data.len());
        room = left.ok_or_else(|| section.error("it overlaps other sections"))?;
    }
    Ok(())
}

/// Class and byte order, so that other machines' objects get a message of their own.
fn check_ident(bytes: &[u8]) -> Result<(), Error> {
    if !bytes.starts_with(b"\x7fELF") {
        return Err(Error::NotElf);
    }
    let machine = |offset, problem: &str| Error::Machine { offset, problem: problem.into() };
    match bytes.get(4) {
        Some(2) | None => {}
        Some(1) => return Err(machine(4, "it is a 32-bit ELF file, BPF objects are 64-bit")),
        Some(_) => return Err(machine(4, "unknown ELF class")),
    }
    match bytes.get(5) {
        Some(1) | None => {}
        Some(2) => {
            return Err(machine(
                5,
                "it is big-endian; compile it with `-target bpfel` to check it here",
            ));
        }
        Some(_) => return Err(machine(5, "unknown byte order")),
    }
    if bytes.len() < size_of::<FileHeader64<Le>>() {
        let problem = format!("the file of {} bytes ends within the ELF header", bytes.len());
        return Err(Error::Header { offset: 0, problem });
    }
    Ok(())
}

fn check_machine(header: &FileHeader64<Le>) -> Result<(), Error> {
    let machine = header.e_machine(Le);
    // Old LLVM set the machine to EM_NONE.
    if machine != EM_BPF && machine != EM_NONE {
        let problem = format!("it is for machine {}, BPF is 247", machine.0);
        return Err(Error::Machine { offset: 18, problem });
    }
    if header.e_type(Le) != ET_REL {
        let problem =
            format!("it is of ELF type {}, BPF objects are relocatable (1)", header.e_type(Le).0);
        return Err(Error::Machine { offset: 16, problem });
    }
    Ok(())
}

fn read_section<'a>(
    bytes: &'a [u8],
    index: usize,
    header: &SectionHeader64<Le>,
    name: Option<&'a str>,
) -> Result<Section<'a>, Error> {
    let offset = header.sh_offset(Le);
    let size = header.sh_size(Le);
    let kind = match header.sh_type(Le) {
        SHT_PROGBITS => SectionKind::Progbits,
        SHT_NOBITS => SectionKind::Nobits,
        SHT_REL => SectionKind::Rel,
        SHT_SYMTAB => SectionKind::Symtab,
        _ => SectionKind::Other,
    };
    let error = |problem: String| Error::Section {
        section: name.map_or_else(|| format!("#{index}"), str::to_owned),
        offset,
        problem,
    };
    let mut section = Section {
        name: name.unwrap_or(""),
        kind,
        ignored: index == 0,
        executable: header.sh_flags(Le).contains(SHF_EXECINSTR),
        offset,
        size,
        info: header.sh_info(Le),
        entry_size: header.sh_entsize(Le),
        data: &[],
    };
    if index == 0 {
        return Ok(section);
    }
    let name = name.ok_or_else(|| error("its name cannot be read".into()))?;
    section.ignored = is_ignored(header, name);
    // libelf reads a section's data when asked; the string tables are needed, DWARF is not.
    let needed = !section.ignored || header.sh_type(Le) == SHT_STRTAB;
    match header.data(Le, bytes) {
        Ok(data) if needed => section.data = data,
        Ok(_) => {}
        Err(_) if needed => {
            return Err(error(format!(
                "its {size} bytes reach past the end of the file ({} bytes)",
                bytes.len()
            )));
        }
        Err(_) => {}
    }
    Ok(section)
}

/// Sections that libbpf does not look at (`ignore_elf_section`).
fn is_ignored(header: &SectionHeader64<Le>, name: &str) -> bool {
    let kind = header.sh_type(Le);
    let is_dwarf = |name: &str| name.starts_with(".debug_");
    kind == SHT_STRTAB
        || kind.0 == SHT_LLVM_ADDRSIG
        || (kind == SHT_PROGBITS && header.sh_size(Le) == 0 && name == ".text")
        || is_dwarf(name)
        || name
            .strip_prefix(".rel")
            .is_some_and(|of| is_dwarf(of) || of == ".BTF" || of == ".BTF.ext")
}

fn read_symbols<'a>(
    headers: &[SectionHeader64<Le>],
    sections: &[Section<'a>],
) -> Result<(usize, Vec<Symbol<'a>>), Error> {
    let mut tables =
        sections.iter().enumerate().filter(|(_, section)| section.kind == SectionKind::Symtab);
    let Some((index, table)) = tables.next() else {
        return Err(Error::Header {
            offset: 40,
            problem: "there is no symbol table; a stripped object cannot be loaded".into(),
        });
    };
    if let Some((_, second)) = tables.next() {
        return Err(second.error("it is the second symbol table, there must be only one"));
    }
    let link = headers.get(index).map_or(0, |header| header.sh_link(Le) as usize);
    let strings = match sections.get(link) {
        Some(strings) if link != 0 => strings.data,
        _ => return Err(table.error(format!("its string table, section {link}, does not exist"))),
    };
    let size = size_of::<Sym64<Le>>();
    if table.entry_size != size as u64 {
        return Err(
            table.error(format!("its entries have {} bytes instead of {size}", table.entry_size))
        );
    }
    let symbols = object::pod::slice_from_bytes::<Sym64<Le>>(table.data, table.data.len() / size)
        .map_or(&[][..], |(symbols, _)| symbols);
    Ok((index, symbols.iter().map(|symbol| read_symbol(symbol, strings)).collect()))
}

fn read_symbol<'a>(symbol: &Sym64<Le>, strings: &'a [u8]) -> Symbol<'a> {
    Symbol {
        name: string_at(strings, symbol.st_name.get(Le)).unwrap_or(&[]),
        kind: match symbol.st_info.0 & 0xf {
            0 => SymbolKind::None,
            1 => SymbolKind::Object,
            2 => SymbolKind::Func,
            3 => SymbolKind::Section,
            _ => SymbolKind::Other,
        },
        local: symbol.st_info.0 >> 4 == 0,
        weak: symbol.st_info.0 >> 4 == 2,
        hidden: matches!(symbol.st_other.0 & 3, 1 | 2),
        section: symbol.st_shndx.get(Le).0,
        value: symbol.st_value.get(Le),
        size: symbol.st_size.get(Le),
    }
}
