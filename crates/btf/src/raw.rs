// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The bytes: the header, and how long each kind of type is.

use crate::{Error, Kind};

/// `BTF_MAGIC`.
pub(crate) const MAGIC: u16 = 0xeb9f;
/// The header up to and including `str_len`; every header has at least this.
pub(crate) const HEADER_LEN: usize = 24;
/// The header up to and including `layout_len` (Linux 7.1).
pub(crate) const HEADER_LEN_LAYOUT: usize = 32;
/// `struct btf_type`.
pub(crate) const TYPE_LEN: usize = 12;
/// `BTF_MAX_NR_TYPES` and `BTF_MAX_STR_OFFSET` of libbpf (tools/lib/bpf/btf.c).
pub(crate) const MAX_STRING_OFFSET: u32 = 0x7fff_ffff;

/// Reads a little-endian number; `None` past the end.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let raw = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_le_bytes(*raw))
}

/// Reads a little-endian number; `None` past the end.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let raw = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*raw))
}

/// A part of the data: absolute offset and length, known to lie within the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl Section {
    /// The section's bytes.
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        let end = self.start.saturating_add(self.len);
        bytes.get(self.start..end).unwrap_or(&[])
    }

    /// Where the section ends.
    pub(crate) fn end(self) -> usize {
        self.start.saturating_add(self.len)
    }
}

/// The start that BTF and BTF.ext share: magic, version, flags, header length.
///
/// Returns the header length, which is at least `min_len` and within the data.
pub(crate) fn check_start(bytes: &[u8], min_len: usize) -> Result<usize, Error> {
    let magic = u16_at(bytes, 0).ok_or(truncated("magic", 0, 2, bytes.len()))?;
    if magic == MAGIC.swap_bytes() {
        return Err(Error::BigEndian);
    }
    if magic != MAGIC {
        return Err(Error::BadMagic { found: magic });
    }
    let header_len = u32_at(bytes, 4).ok_or(truncated("header", 0, 8, bytes.len()))?;
    match (bytes.get(2).copied(), bytes.get(3).copied()) {
        (Some(1), Some(0)) => {}
        (Some(1), flags) => {
            return Err(Error::UnsupportedFlags { found: flags.unwrap_or(0) });
        }
        (version, _) => {
            return Err(Error::UnsupportedVersion { found: version.unwrap_or(0) });
        }
    }
    let len = usize::try_from(header_len).unwrap_or(usize::MAX);
    if len < min_len {
        return Err(Error::BadHeader { problem: "hdr_len is too small", offset: 4 });
    }
    if len > bytes.len() {
        return Err(truncated("header", 0, u64::from(header_len), bytes.len()));
    }
    Ok(len)
}

/// An [`Error::Truncated`].
pub(crate) fn truncated(what: &'static str, offset: usize, needed: u64, len: usize) -> Error {
    let available = len.saturating_sub(offset) as u64;
    Error::Truncated { what, offset, needed, available }
}

/// The section described by the two header fields at `field`, checked against the data's length.
pub(crate) fn section_at(
    bytes: &[u8],
    header_len: usize,
    field: usize,
    what: &'static str,
) -> Result<Section, Error> {
    let read = |at| u32_at(bytes, at).ok_or(truncated("header", at, 4, bytes.len()));
    let (offset, len) = (read(field)?, read(field + 4)?);
    let start = header_len as u64 + u64::from(offset);
    let fits = start.checked_add(u64::from(len)).is_some_and(|end| end <= bytes.len() as u64);
    match (usize::try_from(start), usize::try_from(len)) {
        (Ok(start), Ok(len)) if fits => Ok(Section { start, len }),
        (start, _) => {
            Err(truncated(what, start.unwrap_or(usize::MAX), u64::from(len), bytes.len()))
        }
    }
}

/// The parsed header: where the sections are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) types: Section,
    pub(crate) strings: Section,
    /// The layout table; empty if there is none.
    pub(crate) layout: Section,
}

impl Header {
    /// Parses the header as libbpf's `btf_parse_hdr` does.
    ///
    /// Unlike libbpf, a header shorter than 24 bytes is an error.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let header_len = check_start(bytes, HEADER_LEN)?;
        let types = section_at(bytes, header_len, 8, "type section")?;
        let strings = section_at(bytes, header_len, 16, "string section")?;
        if types.start.wrapping_sub(header_len) % 4 != 0 {
            return Err(Error::BadHeader { problem: "type_off is not aligned to 4", offset: 8 });
        }
        if types.end() > strings.start {
            return Err(Error::BadHeader {
                problem: "the type section overlaps the string section",
                offset: 8,
            });
        }
        let layout = if header_len >= HEADER_LEN_LAYOUT {
            Self::parse_layout(bytes, header_len, types, strings)?
        } else {
            Section::default()
        };
        Ok(Self { types, strings, layout })
    }

    fn parse_layout(
        bytes: &[u8],
        header_len: usize,
        types: Section,
        strings: Section,
    ) -> Result<Section, Error> {
        let layout = section_at(bytes, header_len, 24, "layout section")?;
        if layout.len == 0 {
            return Ok(Section::default());
        }
        let problem = if layout.start.wrapping_sub(header_len) % 4 != 0 {
            "layout_off is not aligned to 4"
        } else if layout.len % 4 != 0 {
            "layout_len is not a multiple of 4"
        } else if layout.start < types.end() || layout.end() > strings.start {
            "the layout section is not between types and strings"
        } else {
            return Ok(layout);
        };
        Err(Error::BadHeader { problem, offset: 24 })
    }
}

/// The kind in a type's info word (bits 24 to 30; before Linux 7.1 only 24 to 28 were defined and
/// the others had to be zero).
pub(crate) const fn info_kind(info: u32) -> u8 {
    ((info >> 24) & 0x7f) as u8
}

/// The number of elements in a type's info word (bits 0 to 23; before Linux 7.1 only 0 to 15 were
/// defined and the others had to be zero).
pub(crate) const fn info_vlen(info: u32) -> u32 {
    info & 0x00ff_ffff
}

/// The `kind_flag` of a type's info word.
pub(crate) const fn info_flag(info: u32) -> bool {
    info >> 31 != 0
}

/// How much data follows `struct btf_type`: once, and per element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) once: u8,
    pub(crate) each: u8,
}

impl Shape {
    /// The length of what follows `struct btf_type`; at most 255 * 2^24 + 255.
    pub(crate) const fn tail_len(self, vlen: u32) -> u64 {
        self.once as u64 + self.each as u64 * vlen as u64
    }

    /// The shape of a kind that this crate knows.
    pub(crate) const fn of(kind: Kind) -> Option<Self> {
        let (once, each) = match kind {
            Kind::Void | Kind::Unknown(_) => return None,
            Kind::Ptr
            | Kind::Fwd
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Func
            | Kind::Float
            | Kind::TypeTag => (0, 0),
            Kind::Int | Kind::Var | Kind::DeclTag => (4, 0),
            Kind::Array => (12, 0),
            Kind::Struct | Kind::Union | Kind::Datasec | Kind::Enum64 => (0, 12),
            Kind::Enum | Kind::FuncProto => (0, 8),
        };
        Some(Self { once, each })
    }

    /// As [`Shape::of`], by the number of the kind.
    #[inline]
    pub(crate) fn of_number(kind: u8) -> Option<Self> {
        /// Kinds have seven bits.
        const COUNT: usize = 128;
        const SHAPES: [Option<Shape>; COUNT] = {
            let mut shapes = [None; COUNT];
            let mut number = 0;
            while number < COUNT {
                shapes[number] = Shape::of(Kind::from_number(number as u8));
                number += 1;
            }
            shapes
        };
        SHAPES.get(usize::from(kind)).copied().flatten()
    }

    /// The shape of `kind` by a layout table, `None` if it is not in there or not aligned
    /// (`btf_type_size_unknown` of libbpf 1.8).
    pub(crate) fn from_layout(layout: &[u8], kind: u8) -> Option<Self> {
        let at = usize::from(kind) * 4;
        let once = *layout.get(at)?;
        let each = *layout.get(at + 1)?;
        // Kind 0 is no type: an entry of zeros would make an endless row of them legal.
        (kind != 0 && once % 4 == 0 && each % 4 == 0).then_some(Self { once, each })
    }
}
