// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What can be wrong with BTF data.

use core::fmt;

use crate::{Kind, TypeId};

/// Why BTF or BTF.ext data could not be read.
///
/// Offsets are in bytes from the start of the data that was handed in, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The data is for a big-endian machine; this crate reads little-endian BTF only.
    BigEndian,
    /// The data does not begin with the BTF magic number `0xeb9f`.
    BadMagic {
        /// The first two bytes as a little-endian number.
        found: u16,
    },
    /// The header's version is not 1, the only one there is.
    UnsupportedVersion {
        /// The version found.
        found: u8,
    },
    /// The header has flags; none are defined.
    UnsupportedFlags {
        /// The flags found.
        found: u8,
    },
    /// Something reaches past the end of the bytes that should hold it.
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it begins.
        offset: usize,
        /// How many bytes it needs.
        needed: u64,
        /// How many bytes there are.
        available: u64,
    },
    /// A header field contradicts the others, or is not aligned.
    BadHeader {
        /// What is wrong, in words.
        problem: &'static str,
        /// The offset of the offending field.
        offset: usize,
    },
    /// The string section does not begin or end with a zero byte, or is too long.
    BadStringSection {
        /// Where the string section begins.
        offset: usize,
    },
    /// A type is of a kind that neither this crate nor the layout table knows, so that the type
    /// after it cannot be found.
    UnknownKind {
        /// The type.
        id: TypeId,
        /// The kind's number.
        kind: u8,
        /// Where the type begins.
        offset: usize,
    },
    /// A handed-in index does not fit the data.
    BadIndex {
        /// What is wrong, in words.
        problem: &'static str,
        /// The position in the index.
        position: usize,
    },
    /// There is no type of this id.
    NoSuchType {
        /// The id asked for.
        id: TypeId,
        /// How many types there are, with those of the base and with `void`.
        count: u32,
    },
    /// There is no string at this offset of the string section(s).
    NoSuchString {
        /// The offset asked for, as a type would give it.
        offset: u32,
    },
    /// The string at this offset of the string section(s) is not UTF-8.
    NotUtf8 {
        /// The offset asked for, as a type would give it.
        offset: u32,
    },
    /// A type refers to something that it may not refer to.
    BadReference {
        /// The type.
        id: TypeId,
        /// What is wrong, in words.
        problem: &'static str,
    },
    /// A chain of modifiers, typedefs or arrays is endless or absurdly long.
    EndlessChain {
        /// The first type of the chain.
        id: TypeId,
    },
    /// The type has no size (`void`, a forward declaration, a function).
    NoSize {
        /// The type that was to be measured.
        id: TypeId,
        /// The kind at the end of its chain.
        kind: Kind,
    },
    /// The size of the type does not fit in 32 bits.
    TooLarge {
        /// The type that was to be measured.
        id: TypeId,
    },
    /// The record size of a BTF.ext section is smaller than the records that are known, or not a
    /// multiple of four.
    BadRecordSize {
        /// Which kind of record.
        what: &'static str,
        /// The size found.
        size: u32,
        /// Where it was found.
        offset: usize,
    },
    /// A BTF.ext subsection is empty, which libbpf refuses too.
    NoRecords {
        /// Which kind of record.
        what: &'static str,
        /// Where the subsection is.
        offset: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BigEndian => f.write_str("BTF is big-endian: only little-endian BTF can be read"),
            Self::BadMagic { found } => {
                write!(f, "not BTF: magic is {found:#06x}, expected 0xeb9f")
            }
            Self::UnsupportedVersion { found } => {
                write!(f, "BTF version {found} at offset 2 is not supported, expected 1")
            }
            Self::UnsupportedFlags { found } => {
                write!(f, "BTF flags {found:#x} at offset 3 are not supported, expected 0")
            }
            Self::Truncated { what, offset, needed, available } => write!(
                f,
                "BTF {what} at offset {offset} needs {needed} bytes, but there are {available}"
            ),
            Self::BadHeader { problem, offset } => {
                write!(f, "BTF header: {problem} (field at offset {offset})")
            }
            Self::BadStringSection { offset } => write!(
                f,
                "BTF string section at offset {offset} is malformed: it must begin (unless split) \
                 and end with a zero byte"
            ),
            Self::UnknownKind { id, kind, offset } => write!(
                f,
                "BTF type {id} at offset {offset} is of unknown kind {kind}, and no layout table \
                 tells its length"
            ),
            Self::BadIndex { problem, position } => {
                write!(f, "BTF index does not fit the data: {problem} at position {position}")
            }
            Self::NoSuchType { id, count } => {
                write!(f, "BTF has no type {id}: ids are below {count}")
            }
            Self::NoSuchString { offset } => write!(f, "BTF has no string at {offset}"),
            Self::NotUtf8 { offset } => write!(f, "BTF string at {offset} is not UTF-8"),
            Self::BadReference { id, problem } => write!(f, "BTF type {id}: {problem}"),
            Self::EndlessChain { id } => {
                write!(f, "BTF type {id} begins an endless or absurdly long chain of types")
            }
            Self::NoSize { id, kind } => {
                write!(f, "BTF type {id} has no size: it comes to a {kind}")
            }
            Self::TooLarge { id } => write!(f, "BTF type {id} is larger than 4 GiB"),
            Self::BadRecordSize { what, size, offset } => {
                write!(f, "BTF.ext {what} at offset {offset} has invalid record size {size}")
            }
            Self::NoRecords { what, offset } => {
                write!(f, "BTF.ext {what} at offset {offset} has no records")
            }
        }
    }
}

impl core::error::Error for Error {}
