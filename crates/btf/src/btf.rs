// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! BTF data with its indexes.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::names;
use crate::raw::{
    Header, MAX_STRING_OFFSET, Shape, TYPE_LEN, info_kind, info_vlen, truncated, u32_at,
};
use crate::{DeclTag, Error, Kind, Type, TypeId};

/// BTF data: a row of types and a heap of strings, borrowed or owned.
///
/// Types are found by id through an index of offsets, which is computed when the data is opened or
/// handed in. Names are found through a sorted index if there is one ([`Btf::build_name_index`] or
/// handed in), otherwise by looking at every type.
///
/// Nothing in the data is trusted: what does not fit is an [`Error`], and a name that cannot be
/// read is empty. [`Btf::check`] looks for all of that at once.
#[derive(Clone)]
pub struct Btf<'a> {
    bytes: Cow<'a, [u8]>,
    header: Header,
    /// For each own type, where it begins in `bytes`.
    offsets: Cow<'a, [u32]>,
    /// Which kinds they are of.
    kinds: Kinds,
    /// The own types that have names, sorted by name, then id.
    names: Option<Cow<'a, [u32]>>,
    base: Option<Base<'a>>,
    /// The id of the first own type.
    first_id: u32,
    /// The offset of the first own string.
    first_string: u32,
    pointer_size: PointerSize,
}

/// The BTF that split BTF continues, by reference or shared.
#[derive(Clone)]
pub enum Base<'a> {
    /// By reference.
    Borrowed(&'a Btf<'a>),
    /// Shared, for values that own all their data.
    Shared(Arc<Btf<'a>>),
}

impl<'a> Base<'a> {
    fn get<'b>(&'b self) -> &'b Btf<'b>
    where
        'a: 'b,
    {
        match self {
            Self::Borrowed(base) => base,
            Self::Shared(base) => base,
        }
    }
}

impl<'a> From<&'a Btf<'a>> for Base<'a> {
    fn from(base: &'a Btf<'a>) -> Self {
        Self::Borrowed(base)
    }
}

impl<'a> From<Arc<Btf<'a>>> for Base<'a> {
    fn from(base: Arc<Btf<'a>>) -> Self {
        Self::Shared(base)
    }
}

/// The size of a pointer in the programs that BTF describes. BTF itself does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PointerSize {
    /// 4 bytes.
    Four,
    /// 8 bytes: BPF programs and 64-bit kernels.
    #[default]
    Eight,
}

impl PointerSize {
    /// The size in bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }
}

/// Indexes computed earlier for the very same data, so that opening it need not look at it.
///
/// Indexes that do not fit the data lead to errors or wrong answers, never to a panic.
#[derive(Clone, Debug, Default)]
pub struct Indexes<'a> {
    /// What [`Btf::offset_index`] returned.
    pub offsets: Option<Cow<'a, [u32]>>,
    /// What [`Btf::name_index`] returned.
    pub names: Option<Cow<'a, [u32]>>,
}

/// Names of C's `long` as compilers write them (`determine_ptr_size` of tools/lib/bpf/btf.c).
const LONG: [&[u8]; 11] = [
    b"long",
    b"long int",
    b"int long",
    b"unsigned long",
    b"long unsigned",
    b"unsigned long int",
    b"unsigned int long",
    b"long unsigned int",
    b"long int unsigned",
    b"int unsigned long",
    b"int long unsigned",
];

impl<'a> Btf<'a> {
    /// Opens raw BTF: the contents of an ELF section `.BTF`, of `/sys/kernel/btf/vmlinux`, or what
    /// `BPF_BTF_LOAD` takes. One pass over the types finds where each begins.
    ///
    /// # Errors
    ///
    /// If the header or the string section is malformed, or a type is truncated or unknown.
    pub fn open(bytes: impl Into<Cow<'a, [u8]>>) -> Result<Self, Error> {
        Self::open_with(bytes, None, Indexes::default())
    }

    /// Opens split BTF, as of a kernel module, over its base.
    ///
    /// # Errors
    ///
    /// As for [`Btf::open`].
    pub fn open_split(
        bytes: impl Into<Cow<'a, [u8]>>,
        base: impl Into<Base<'a>>,
    ) -> Result<Self, Error> {
        Self::open_with(bytes, Some(base.into()), Indexes::default())
    }

    /// Opens BTF with everything that may be known about it.
    ///
    /// # Errors
    ///
    /// As for [`Btf::open`], or if an index evidently belongs to other data.
    pub fn open_with(
        bytes: impl Into<Cow<'a, [u8]>>,
        base: Option<Base<'a>>,
        indexes: Indexes<'a>,
    ) -> Result<Self, Error> {
        let bytes = bytes.into();
        let header = Header::parse(&bytes)?;
        check_strings(&bytes, &header, base.is_some())?;
        let (first_id, first_string, pointer_size) = match base.as_ref().map(Base::get) {
            None => (1, 0, PointerSize::default()),
            Some(base) => (
                base.type_count(),
                base.first_string.saturating_add(saturate(base.header.strings.len)),
                base.pointer_size,
            ),
        };
        let (offsets, kinds) = match indexes.offsets {
            Some(offsets) => {
                check_offsets(&offsets, &header)?;
                (offsets, Kinds::ANY)
            }
            None => {
                let layouts = [
                    header.layout.of(&bytes),
                    base.as_ref().map_or(&[][..], |base| base.get().layout()),
                ];
                let (offsets, kinds) = index_types(&bytes, &header, layouts, first_id)?;
                (Cow::Owned(offsets), kinds)
            }
        };
        if u32::try_from(offsets.len()).ok().and_then(|n| n.checked_add(first_id)).is_none() {
            return Err(Error::BadHeader { problem: "more than 2^32 types", offset: 12 });
        }
        if let Some(names) = &indexes.names {
            check_names(names, first_id, offsets.len())?;
        }
        let names = indexes.names;
        Ok(Self {
            bytes,
            header,
            offsets,
            kinds,
            names,
            base,
            first_id,
            first_string,
            pointer_size,
        })
    }

    /// Copies what is borrowed, so that the value stands alone.
    pub fn into_owned(self) -> Btf<'static> {
        let base = self.base.map(|base| match base {
            Base::Borrowed(base) => Base::Shared(Arc::new(base.clone().into_owned())),
            Base::Shared(base) => Base::Shared(Arc::new(Arc::unwrap_or_clone(base).into_owned())),
        });
        Btf {
            bytes: Cow::Owned(self.bytes.into_owned()),
            header: self.header,
            offsets: Cow::Owned(self.offsets.into_owned()),
            kinds: self.kinds,
            names: self.names.map(|names| Cow::Owned(names.into_owned())),
            base,
            first_id: self.first_id,
            first_string: self.first_string,
            pointer_size: self.pointer_size,
        }
    }

    /// The raw data, without that of the base.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The types as raw data: `struct btf_type` and what follows, one after the other.
    pub fn type_section(&self) -> &[u8] {
        self.header.types.of(&self.bytes)
    }

    /// The strings as raw data, without those of the base.
    pub fn string_section(&self) -> &[u8] {
        self.header.strings.of(&self.bytes)
    }

    /// The layout table of Linux 7.1: four bytes for each kind; empty if there is none.
    pub(crate) fn layout(&self) -> &[u8] {
        self.header.layout.of(&self.bytes)
    }

    /// The BTF that this one continues, if it is split.
    pub fn base(&self) -> Option<&Btf<'_>> {
        self.base.as_ref().map(Base::get)
    }

    /// The id of the first own type: 1, or for split BTF one more than the last of the base.
    pub const fn first_id(&self) -> TypeId {
        TypeId(self.first_id)
    }

    /// The offset of the first own string: 0, or for split BTF the length of the base's strings.
    pub const fn first_string(&self) -> u32 {
        self.first_string
    }

    /// The number of types with `void` and with those of the base: valid ids are below it.
    pub fn type_count(&self) -> u32 {
        self.first_id.saturating_add(saturate(self.offsets.len()))
    }

    /// The size of a pointer: 8 unless changed, for split BTF that of the base.
    pub const fn pointer_size(&self) -> PointerSize {
        self.pointer_size
    }

    /// Changes the size of a pointer. libbpf takes a kernel's from [`Btf::guess_pointer_size`],
    /// and an object's is always 8.
    pub const fn set_pointer_size(&mut self, size: PointerSize) {
        self.pointer_size = size;
    }

    /// The size of a pointer as libbpf guesses it: the size of the first integer named like C's
    /// `long`, if there is one (`determine_ptr_size` of tools/lib/bpf/btf.c).
    pub fn guess_pointer_size(&self) -> Option<PointerSize> {
        self.all_types().filter(|ty| ty.kind() == Kind::Int).find_map(|ty| {
            let size = match ty.size_or_type() {
                4 => PointerSize::Four,
                8 => PointerSize::Eight,
                _ => return None,
            };
            LONG.contains(&ty.name_bytes()).then_some(size)
        })
    }

    /// The index of offsets, for a cache: see [`Indexes`].
    pub fn offset_index(&self) -> &[u32] {
        &self.offsets
    }

    /// The index of names if there is one, for a cache: see [`Indexes`].
    pub fn name_index(&self) -> Option<&[u32]> {
        self.names.as_deref()
    }

    /// Computes the index of names unless there is one; takes time for sorting all names.
    pub fn build_name_index(&mut self) {
        if self.names.is_none() {
            self.names = Some(Cow::Owned(names::build(self)));
        }
    }

    /// The type with this id.
    ///
    /// # Errors
    ///
    /// If there is no such type.
    pub fn type_by_id(&self, id: TypeId) -> Result<Type<'_>, Error> {
        let missing = Error::NoSuchType { id, count: self.type_count() };
        let mut btf: &Btf<'_> = self;
        while id.0 < btf.first_id && !id.is_void() {
            btf = btf.base().ok_or(missing)?;
        }
        if id.is_void() {
            return Ok(Type { btf, id, name_offset: 0, info: 0, size_or_type: 0, tail: &[] });
        }
        let index = usize::try_from(id.0.wrapping_sub(btf.first_id)).unwrap_or(usize::MAX);
        btf.own_type(index).ok_or(missing)
    }

    /// The own type at a position in the index.
    fn own_type(&self, index: usize) -> Option<Type<'_>> {
        let at = usize::try_from(*self.offsets.get(index)?).ok()?;
        let raw = self.bytes.get(at..self.header.types.end())?;
        let (head, rest) = raw.split_at_checked(TYPE_LEN)?;
        let info = u32_at(head, 4)?;
        let tail_len = usize::try_from(self.shape(info_kind(info))?.tail_len(info_vlen(info)));
        Some(Type {
            btf: self,
            id: TypeId(self.first_id.saturating_add(saturate(index))),
            name_offset: u32_at(head, 0)?,
            info,
            size_or_type: u32_at(head, 8)?,
            tail: rest.get(..tail_len.ok()?)?,
        })
    }

    fn shape(&self, kind: u8) -> Option<Shape> {
        Shape::of_number(kind).or_else(|| {
            Shape::from_layout(self.layout(), kind)
                .or_else(|| Shape::from_layout(self.base()?.layout(), kind))
        })
    }

    /// The own types, in the order of their ids.
    pub fn types(&self) -> impl Iterator<Item = Type<'_>> + Clone {
        (0..self.offsets.len()).filter_map(|index| self.own_type(index))
    }

    /// The own types of one kind, in the order of their ids. Of the others only the kind is read.
    pub fn types_of(&self, kind: Kind) -> impl Iterator<Item = Type<'_>> + Clone {
        let info = |offset: u32| u32_at(self.bytes.get(offset as usize..)?, 4);
        let is_of = move |offset: u32| {
            info(offset).is_some_and(|info| Kind::from_number(info_kind(info)) == kind)
        };
        let offsets: &[u32] = if self.kinds.may_have(kind) { &self.offsets } else { &[] };
        let of_kind = offsets.iter().enumerate().filter(move |(_, offset)| is_of(**offset));
        of_kind.filter_map(|(index, _)| self.own_type(index))
    }

    /// All types, first those of the base, without `void`.
    pub fn all_types(&self) -> impl Iterator<Item = Type<'_>> + Clone {
        (1..self.type_count()).filter_map(|id| self.type_by_id(TypeId(id)).ok())
    }

    /// The string at this offset, without its final zero.
    ///
    /// # Errors
    ///
    /// If the offset is past the end.
    pub fn string(&self, offset: u32) -> Result<&[u8], Error> {
        let missing = Error::NoSuchString { offset };
        let mut btf: &Btf<'_> = self;
        while offset < btf.first_string {
            btf = btf.base().ok_or(missing)?;
        }
        let at = usize::try_from(offset.wrapping_sub(btf.first_string)).unwrap_or(usize::MAX);
        let rest = btf.string_section().get(at..).filter(|rest| !rest.is_empty()).ok_or(missing)?;
        let len = rest.iter().position(|byte| *byte == 0).ok_or(missing)?;
        rest.get(..len).ok_or(missing)
    }

    /// Whether there is a string at this offset: [`Btf::string`] without looking for its end.
    pub fn has_string(&self, offset: u32) -> bool {
        let mut btf: &Btf<'_> = self;
        while offset < btf.first_string {
            let Some(base) = btf.base() else { return false };
            btf = base;
        }
        // The strings end with a zero, or there are none.
        let at = usize::try_from(offset.wrapping_sub(btf.first_string)).unwrap_or(usize::MAX);
        at < btf.string_section().len()
    }

    /// The string at this offset as UTF-8.
    ///
    /// # Errors
    ///
    /// If the offset is past the end, or the string is not UTF-8.
    pub fn utf8(&self, offset: u32) -> Result<&str, Error> {
        core::str::from_utf8(self.string(offset)?).map_err(|_| Error::NotUtf8 { offset })
    }

    /// The name at this offset; empty if it cannot be read.
    pub(crate) fn name(&self, offset: u32) -> &str {
        if offset == 0 { "" } else { self.utf8(offset).unwrap_or("") }
    }

    /// The tags on a declaration and on its members or parameters: tag and text. Looks at all own
    /// types; for more than a few questions use a [`crate::DeclTagIndex`].
    pub fn decl_tags(&self, target: TypeId) -> impl Iterator<Item = (DeclTag, &str)> {
        self.types_of(Kind::DeclTag).filter_map(move |ty| {
            let tag = ty.as_decl_tag().filter(|tag| tag.target == target)?;
            Some((tag, ty.name()))
        })
    }
}

impl fmt::Debug for Btf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Btf")
            .field("bytes", &self.bytes.len())
            .field("first_id", &self.first_id)
            .field("types", &self.offsets.len())
            .field("name_index", &self.names.as_ref().map(|names| names.len()))
            .finish_non_exhaustive()
    }
}

fn saturate(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The conditions of libbpf's `btf_parse_str_sec`.
fn check_strings(bytes: &[u8], header: &Header, is_split: bool) -> Result<(), Error> {
    let strings = header.strings.of(bytes);
    let good = match (strings.first(), strings.last()) {
        (Some(first), Some(last)) => {
            *last == 0 && (is_split || *first == 0) && saturate(strings.len()) <= MAX_STRING_OFFSET
        }
        _ => is_split,
    };
    if good { Ok(()) } else { Err(Error::BadStringSection { offset: header.strings.start }) }
}

/// Finds where each type begins.
fn index_types(
    bytes: &[u8],
    header: &Header,
    layouts: [&[u8]; 2],
    first_id: u32,
) -> Result<(Vec<u32>, Kinds), Error> {
    let section = header.types.of(bytes);
    let start = u32::try_from(header.types.start).ok();
    let start = start.filter(|_| u32::try_from(header.types.end()).is_ok());
    let start =
        start.ok_or(Error::BadHeader { problem: "the type section is past 4 GiB", offset: 8 })?;
    // Most types are longer than the minimum of 12 bytes.
    let mut offsets = Vec::with_capacity(section.len() / 24);
    let mut kinds = Kinds::NONE;
    let mut rest = section;
    while !rest.is_empty() {
        let offset = start.saturating_add(saturate(section.len().saturating_sub(rest.len())));
        let short = |needed| truncated("type", offset as usize, needed, header.types.end());
        let Some((&[_, _, _, _, a, b, c, d, ..], tail)) = rest.split_first_chunk::<TYPE_LEN>()
        else {
            return Err(short(TYPE_LEN as u64));
        };
        let info = u32::from_le_bytes([a, b, c, d]);
        let kind = info_kind(info);
        kinds.add(kind);
        let shape = Shape::of_number(kind)
            .or_else(|| layouts.iter().find_map(|layout| Shape::from_layout(layout, kind)));
        let shape = shape.ok_or_else(|| Error::UnknownKind {
            id: TypeId(first_id.saturating_add(saturate(offsets.len()))),
            kind,
            offset: offset as usize,
        })?;
        let len = shape.tail_len(info_vlen(info));
        let Some(next) = usize::try_from(len).ok().and_then(|len| tail.get(len..)) else {
            return Err(short(TYPE_LEN as u64 + len));
        };
        offsets.push(offset);
        rest = next;
    }
    Ok((offsets, kinds))
}

/// Which kinds of types there are, a bit each: most programs have no tags, and are asked for them often.
#[derive(Clone, Copy)]
struct Kinds(u32);

impl Kinds {
    const NONE: Self = Self(0);
    /// It was not looked.
    const ANY: Self = Self(u32::MAX);

    fn add(&mut self, kind: u8) {
        self.0 |= Self::bit(kind);
    }

    fn may_have(self, kind: Kind) -> bool {
        self.0 & Self::bit(kind.number()) != 0
    }

    /// Kinds that do not fit share the last bit.
    fn bit(kind: u8) -> u32 {
        1 << kind.min(31)
    }
}

/// Whether an index of offsets may belong to the data.
fn check_offsets(offsets: &[u32], header: &Header) -> Result<(), Error> {
    let bad = |problem, position| Err(Error::BadIndex { problem, position });
    let starts = offsets
        .first()
        .map_or(header.types.len == 0, |first| *first as usize == header.types.start);
    if !starts {
        return bad("it does not begin with the first type", 0);
    }
    let too_close = |pair: &[u32]| match pair {
        [low, high] => high.saturating_sub(*low) < TYPE_LEN as u32,
        _ => false,
    };
    if let Some(position) = offsets.windows(2).position(too_close) {
        return bad("it does not rise", position);
    }
    let last = offsets.last().map_or(0, |last| (*last as usize).saturating_add(TYPE_LEN));
    if last > header.types.end() {
        return bad("it reaches past the types", offsets.len().saturating_sub(1));
    }
    Ok(())
}

/// Whether an index of names may belong to the data.
fn check_names(names: &[u32], first_id: u32, count: usize) -> Result<(), Error> {
    let is_own = |id: &u32| id.checked_sub(first_id).is_some_and(|index| (index as usize) < count);
    match names.iter().position(|id| !is_own(id)) {
        Some(position) => Err(Error::BadIndex { problem: "no such own type", position }),
        None => Ok(()),
    }
}
