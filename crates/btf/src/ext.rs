// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `.BTF.ext`: what belongs to which instruction of which ELF section.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;

use crate::raw::{
    HEADER_LEN, HEADER_LEN_LAYOUT, Section, check_start, section_at, truncated, u32_at,
};
use crate::relo::RelocKind;
use crate::{Btf, Error, TypeId};

/// The contents of an ELF section `.BTF.ext`, borrowed or owned.
///
/// It has up to three subsections, each a row of groups (one per ELF section), each a row of
/// records. Records may be longer than those known here; the rest of each is skipped. Type ids and
/// string offsets are those of the `.BTF` beside it.
#[derive(Clone)]
pub struct BtfExt<'a> {
    bytes: Cow<'a, [u8]>,
    func_info: Subsection,
    line_info: Subsection,
    core_relos: Subsection,
}

/// The groups of a subsection, and the size of its records.
#[derive(Clone, Copy, Debug, Default)]
struct Subsection {
    groups: Section,
    record_size: u32,
}

impl<'a> BtfExt<'a> {
    /// Opens `.BTF.ext`, checking it as libbpf does (`btf_ext_parse` of tools/lib/bpf/btf.c):
    /// afterwards every group and record is known to be there.
    ///
    /// # Errors
    ///
    /// If the header is malformed, or a subsection is truncated, misaligned, or without records.
    pub fn open(bytes: impl Into<Cow<'a, [u8]>>) -> Result<Self, Error> {
        let bytes = bytes.into();
        let header_len = check_start(&bytes, HEADER_LEN)?;
        if header_len == bytes.len() {
            return Err(Error::NoRecords { what: "data", offset: header_len });
        }
        let func_info = Subsection::parse::<FuncInfo>(&bytes, header_len, 8)?;
        let line_info = Subsection::parse::<LineInfo>(&bytes, header_len, 16)?;
        let core_relos = if header_len >= HEADER_LEN_LAYOUT {
            Subsection::parse::<CoreRelo>(&bytes, header_len, 24)?
        } else {
            Subsection::default()
        };
        Ok(Self { bytes, func_info, line_info, core_relos })
    }

    /// Copies what is borrowed.
    pub fn into_owned(self) -> BtfExt<'static> {
        let Self { bytes, func_info, line_info, core_relos } = self;
        let bytes = Cow::Owned(bytes.into_owned());
        BtfExt { bytes, func_info, line_info, core_relos }
    }

    /// The raw data.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Which instruction begins which function.
    pub fn func_info(&self) -> Groups<'_, FuncInfo> {
        self.groups(self.func_info)
    }

    /// Which instruction begins which source line.
    pub fn line_info(&self) -> Groups<'_, LineInfo> {
        self.groups(self.line_info)
    }

    /// Which instruction depends on the kernel's types.
    pub fn core_relos(&self) -> Groups<'_, CoreRelo> {
        self.groups(self.core_relos)
    }

    fn groups<R>(&self, part: Subsection) -> Groups<'_, R> {
        Groups {
            raw: part.groups.of(&self.bytes),
            record_size: part.record_size,
            record: PhantomData,
        }
    }
}

impl fmt::Debug for BtfExt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BtfExt")
            .field("bytes", &self.bytes.len())
            .field("func_info", &self.func_info)
            .field("line_info", &self.line_info)
            .field("core_relos", &self.core_relos)
            .finish()
    }
}

impl Subsection {
    /// Checks the subsection that the two header fields at `field` describe.
    fn parse<R: Record>(bytes: &[u8], header_len: usize, field: usize) -> Result<Self, Error> {
        if u32_at(bytes, field.saturating_add(4)) == Some(0) {
            return Ok(Self::default());
        }
        let section = section_at(bytes, header_len, field, R::NAME)?;
        let start = section.start;
        if start.saturating_sub(header_len) % 4 != 0 {
            return Err(Error::BadHeader {
                problem: "a subsection is not aligned to 4",
                offset: field,
            });
        }
        let raw = section.of(bytes);
        let size = u32_at(raw, 0).ok_or(truncated(R::NAME, start, 4, section.end()))?;
        if size < R::LEN || size % 4 != 0 {
            return Err(Error::BadRecordSize { what: R::NAME, size, offset: start });
        }
        let mut at = 4;
        if at == raw.len() {
            return Err(Error::NoRecords { what: R::NAME, offset: start });
        }
        while at < raw.len() {
            let offset = start.saturating_add(at);
            let count = u32_at(raw, at.saturating_add(4));
            let count = count.ok_or(truncated(R::NAME, offset, 8, section.end()))?;
            if count == 0 {
                return Err(Error::NoRecords { what: R::NAME, offset });
            }
            let len = 8 + u64::from(count) * u64::from(size);
            let left = raw.len().saturating_sub(at);
            let fits = usize::try_from(len).ok().filter(|len| *len <= left);
            at = at.saturating_add(fits.ok_or(truncated(R::NAME, offset, len, section.end()))?);
        }
        let groups = Section { start: start.saturating_add(4), len: section.len.saturating_sub(4) };
        Ok(Self { groups, record_size: size })
    }
}

/// A record of `.BTF.ext`.
pub trait Record: Sized + sealed::Sealed {
    /// What the subsection is called.
    #[doc(hidden)]
    const NAME: &'static str;
    /// The size of the fields that are known, in bytes.
    #[doc(hidden)]
    const LEN: u32;
    /// Reads the record.
    #[doc(hidden)]
    fn read(raw: &[u8]) -> Option<Self>;
}

mod sealed {
    pub trait Sealed {}
}

/// The groups of a subsection, in order.
#[derive(Clone, Copy, Debug)]
pub struct Groups<'b, R> {
    raw: &'b [u8],
    record_size: u32,
    record: PhantomData<fn() -> R>,
}

impl<R> Groups<'_, R> {
    /// The size of a record in bytes; 0 if there is no such subsection.
    pub const fn record_size(&self) -> u32 {
        self.record_size
    }
}

/// The records that belong to one ELF section.
#[derive(Clone, Copy, Debug)]
pub struct Group<'b, R> {
    /// The offset of the ELF section's name in the `.BTF` strings.
    pub section_name_offset: u32,
    /// The records, in order.
    pub records: Records<'b, R>,
}

impl<'b, R: Record> Iterator for Groups<'b, R> {
    type Item = Group<'b, R>;

    fn next(&mut self) -> Option<Group<'b, R>> {
        let section_name_offset = u32_at(self.raw, 0)?;
        let count = usize::try_from(u32_at(self.raw, 4)?).ok()?;
        let size = usize::try_from(self.record_size).ok()?;
        let rest = self.raw.get(8..)?;
        let (raw, rest) = rest.split_at_checked(count.checked_mul(size)?)?;
        self.raw = rest;
        let records = Records { raw, record_size: size.max(1), record: PhantomData };
        Some(Group { section_name_offset, records })
    }
}

impl<R: Record> FusedIterator for Groups<'_, R> {}

/// Records: an indexable list and an iterator at once.
#[derive(Clone, Copy, Debug)]
pub struct Records<'b, R> {
    raw: &'b [u8],
    /// Never 0.
    record_size: usize,
    record: PhantomData<fn() -> R>,
}

impl<'b, R: Record> Records<'b, R> {
    /// How many records there are (left).
    pub const fn len(&self) -> usize {
        self.raw.len() / self.record_size
    }

    /// Whether there are none (left).
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The record at `index`.
    pub fn get(&self, index: usize) -> Option<R> {
        let start = index.checked_mul(self.record_size)?;
        R::read(self.raw.get(start..start.checked_add(self.record_size)?)?)
    }

    /// The records as stored, with what is not known of each.
    pub const fn raw(&self) -> &'b [u8] {
        self.raw
    }
}

impl<R: Record> Iterator for Records<'_, R> {
    type Item = R;

    fn next(&mut self) -> Option<R> {
        let (raw, rest) = self.raw.split_at_checked(self.record_size)?;
        self.raw = rest;
        R::read(raw)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl<R: Record> ExactSizeIterator for Records<'_, R> {}
impl<R: Record> FusedIterator for Records<'_, R> {}

/// `struct bpf_func_info`: where a function begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncInfo {
    /// The function's first instruction: bytes from the start of the ELF section in the file,
    /// instructions from the start of the program when handed to the kernel.
    pub insn_offset: u32,
    /// The function: a [`crate::Kind::Func`].
    pub type_id: TypeId,
}

impl sealed::Sealed for FuncInfo {}

impl Record for FuncInfo {
    const NAME: &'static str = "func_info";
    const LEN: u32 = 8;

    fn read(raw: &[u8]) -> Option<Self> {
        Some(Self { insn_offset: u32_at(raw, 0)?, type_id: TypeId(u32_at(raw, 4)?) })
    }
}

/// `struct bpf_line_info`: where a source line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineInfo {
    /// The line's first instruction, counted as for [`FuncInfo::insn_offset`].
    pub insn_offset: u32,
    /// The offset of the file's name in the strings.
    pub file_name_offset: u32,
    /// The offset of the source text in the strings.
    pub line_offset: u32,
    /// Line and column as stored.
    pub line_column: u32,
}

impl LineInfo {
    /// The line number, from 1 (`BPF_LINE_INFO_LINE_NUM`).
    pub const fn line(&self) -> u32 {
        self.line_column >> 10
    }

    /// The column number, from 1 (`BPF_LINE_INFO_LINE_COL`); 0 if not known.
    pub const fn column(&self) -> u32 {
        self.line_column & 0x3ff
    }

    /// The name of the file. Bytes that are not UTF-8 are replaced; an unreadable name is empty.
    pub fn file<'b>(&self, btf: &'b Btf<'_>) -> Cow<'b, str> {
        String::from_utf8_lossy(btf.string(self.file_name_offset).unwrap_or(&[]))
    }

    /// The source text of the line, which may be indented. Bytes that are not UTF-8 are replaced;
    /// an unreadable text is empty.
    pub fn text<'b>(&self, btf: &'b Btf<'_>) -> Cow<'b, str> {
        String::from_utf8_lossy(btf.string(self.line_offset).unwrap_or(&[]))
    }
}

impl sealed::Sealed for LineInfo {}

impl Record for LineInfo {
    const NAME: &'static str = "line_info";
    const LEN: u32 = 16;

    fn read(raw: &[u8]) -> Option<Self> {
        Some(Self {
            insn_offset: u32_at(raw, 0)?,
            file_name_offset: u32_at(raw, 4)?,
            line_offset: u32_at(raw, 8)?,
            line_column: u32_at(raw, 12)?,
        })
    }
}

/// `struct bpf_core_relo`: an instruction that depends on a type of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreRelo {
    /// The instruction: bytes from the start of the ELF section.
    pub insn_offset: u32,
    /// The local type with which the access begins.
    pub type_id: TypeId,
    /// The offset of the access string, such as `0:1:2`, in the strings.
    pub access_offset: u32,
    /// The kind as stored; see [`CoreRelo::kind`].
    pub kind_number: u32,
}

impl CoreRelo {
    /// What is asked, if it is of a kind that is known.
    pub const fn kind(&self) -> Option<RelocKind> {
        RelocKind::from_number(self.kind_number)
    }
}

impl sealed::Sealed for CoreRelo {}

impl Record for CoreRelo {
    const NAME: &'static str = "core_relo";
    const LEN: u32 = 16;

    fn read(raw: &[u8]) -> Option<Self> {
        Some(Self {
            insn_offset: u32_at(raw, 0)?,
            type_id: TypeId(u32_at(raw, 4)?),
            access_offset: u32_at(raw, 8)?,
            kind_number: u32_at(raw, 12)?,
        })
    }
}
