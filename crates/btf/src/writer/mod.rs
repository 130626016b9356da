// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Writing BTF: anew, or a changed copy of what was read.

mod ext;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::raw::{HEADER_LEN, HEADER_LEN_LAYOUT, MAGIC, info_kind, info_vlen, u32_at};
use crate::{Btf, DeclTag, Error, Kind, Linkage, SectionVar, TypeId};

pub use ext::ExtWriter;

/// BTF that is being written.
///
/// Types get the next id as they are added; strings are stored once. What is written need not make
/// sense: neither kinds nor ids are checked.
///
/// ```
/// use veristable_btf::{Btf, Kind, writer::{NewMember, Writer}};
///
/// let mut writer = Writer::new();
/// let int = writer.add_int("int", 4, 1);
/// writer.add_struct("pair", 8, &[NewMember::at("a", int, 0), NewMember::at("b", int, 4)]);
/// let btf = Btf::open(writer.finish()).unwrap();
/// let pair = btf.find_by_name("pair", Kind::Struct).unwrap();
/// assert_eq!(btf.resolve_size(pair), Ok(8));
/// ```
#[derive(Clone, Debug)]
pub struct Writer {
    types: Vec<u8>,
    /// Where each type begins in `types`.
    offsets: Vec<u32>,
    strings: Vec<u8>,
    /// Every string that has been stored, by its text.
    known: BTreeMap<Vec<u8>, u32>,
    first_id: u32,
    first_string: u32,
    layout: Vec<u8>,
    header_len: usize,
}

/// A member of a struct or union to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewMember<'n> {
    /// Its name, empty if it has none.
    pub name: &'n str,
    /// Its type.
    pub type_id: TypeId,
    /// Its offset in bits.
    pub bit_offset: u32,
    /// The width of a bit-field in bits, else 0.
    pub bitfield_size: u8,
}

impl<'n> NewMember<'n> {
    /// A plain member at an offset in bytes.
    pub const fn at(name: &'n str, type_id: TypeId, byte_offset: u32) -> Self {
        Self { name, type_id, bit_offset: byte_offset.saturating_mul(8), bitfield_size: 0 }
    }

    /// A bit-field at an offset in bits.
    pub const fn bits(name: &'n str, type_id: TypeId, bit_offset: u32, size: u8) -> Self {
        Self { name, type_id, bit_offset, bitfield_size: size }
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// BTF without types.
    pub fn new() -> Self {
        Self {
            types: Vec::new(),
            offsets: Vec::new(),
            strings: alloc::vec![0],
            known: BTreeMap::from([(Vec::new(), 0)]),
            first_id: 1,
            first_string: 0,
            layout: Vec::new(),
            header_len: HEADER_LEN,
        }
    }

    /// Split BTF without own types over `base`. Its strings are stored again, not looked for in the
    /// base.
    pub fn split(base: &Btf<'_>) -> Self {
        let base_strings = u32::try_from(base.string_section().len()).unwrap_or(u32::MAX);
        Self {
            strings: Vec::new(),
            first_id: base.type_count(),
            first_string: base.first_string().saturating_add(base_strings),
            ..Self::new()
        }
    }

    /// A copy of BTF that can be changed. Ids and offsets of strings stay what they are.
    pub fn edit(btf: &Btf<'_>) -> Self {
        let strings = btf.string_section().to_vec();
        let first_string = btf.first_string();
        let mut known = BTreeMap::from([(Vec::new(), 0)]);
        let mut at = first_string;
        for string in strings.split_inclusive(|byte| *byte == 0) {
            let text = string.strip_suffix(&[0]).unwrap_or(string);
            known.entry(text.to_vec()).or_insert(at);
            at = at.saturating_add(u32::try_from(string.len()).unwrap_or(u32::MAX));
        }
        // The index is relative to the whole data, this one's to the types.
        let start = btf.offset_index().first().copied().unwrap_or(0);
        let offsets = btf.offset_index().iter().map(|at| at.saturating_sub(start)).collect();
        let layout = btf.layout().to_vec();
        let header_len = if layout.is_empty() { HEADER_LEN } else { HEADER_LEN_LAYOUT };
        Self {
            types: btf.type_section().to_vec(),
            offsets,
            strings,
            known,
            first_id: btf.first_id().0,
            first_string,
            layout,
            header_len,
        }
    }

    /// Changes the length of the header: 24 is the least; what is past the known fields is zero.
    pub fn set_header_len(&mut self, len: usize) {
        self.header_len = len.max(HEADER_LEN);
    }

    /// Adds the layout table of Linux 7.1: for each kind, beginning with 0, the size of what
    /// follows the type once and per element.
    pub fn set_layout(&mut self, kinds: &[(u8, u8)]) {
        self.layout = kinds.iter().flat_map(|(once, each)| [*once, *each, 0, 0]).collect();
        self.header_len = self.header_len.max(HEADER_LEN_LAYOUT);
    }

    /// The id that the next type will get.
    pub fn next_id(&self) -> TypeId {
        let count = u32::try_from(self.offsets.len()).unwrap_or(u32::MAX);
        TypeId(self.first_id.saturating_add(count))
    }

    /// Stores a string unless it is there already; returns its offset. A zero byte ends it.
    pub fn string(&mut self, text: &str) -> u32 {
        self.string_bytes(text.as_bytes())
    }

    /// As [`Writer::string`], for text that need not be UTF-8.
    pub fn string_bytes(&mut self, text: &[u8]) -> u32 {
        let text = text.split(|byte| *byte == 0).next().unwrap_or(&[]);
        if let Some(offset) = self.known.get(text) {
            return *offset;
        }
        let len = u32::try_from(self.strings.len()).unwrap_or(u32::MAX);
        let offset = self.first_string.saturating_add(len);
        self.strings.extend_from_slice(text);
        self.strings.push(0);
        self.known.insert(text.to_vec(), offset);
        offset
    }

    /// Adds a type by its parts: `words` follow `struct btf_type`.
    pub fn add(
        &mut self,
        name: &str,
        kind: Kind,
        flag: bool,
        vlen: u32,
        size_or_type: u32,
        words: impl IntoIterator<Item = u32>,
    ) -> TypeId {
        let id = self.next_id();
        self.offsets.push(u32::try_from(self.types.len()).unwrap_or(u32::MAX));
        let name = self.string(name);
        let head = [name, info(kind, flag, vlen), size_or_type];
        for word in head.into_iter().chain(words) {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
        id
    }

    /// Adds an integer of `size` bytes; encoding: 1 signed, 2 char, 4 bool.
    pub fn add_int(&mut self, name: &str, size: u32, encoding: u8) -> TypeId {
        let bits = size.saturating_mul(8) & 0xff;
        self.add(name, Kind::Int, false, 0, size, [u32::from(encoding & 0xf) << 24 | bits])
    }

    /// Adds a pointer, typedef, modifier, function prototype without parameters, or whatever else
    /// is only a reference to `target`; `name` may be empty.
    pub fn add_reference(&mut self, kind: Kind, name: &str, target: TypeId) -> TypeId {
        self.add(name, kind, false, 0, target.0, [])
    }

    /// Adds a pointer.
    pub fn add_ptr(&mut self, target: TypeId) -> TypeId {
        self.add_reference(Kind::Ptr, "", target)
    }

    /// Adds a typedef.
    pub fn add_typedef(&mut self, name: &str, target: TypeId) -> TypeId {
        self.add_reference(Kind::Typedef, name, target)
    }

    /// Adds an array.
    pub fn add_array(&mut self, element: TypeId, index: TypeId, count: u32) -> TypeId {
        self.add("", Kind::Array, false, 0, 0, [element.0, index.0, count])
    }

    /// Adds a struct of `size` bytes.
    pub fn add_struct(&mut self, name: &str, size: u32, members: &[NewMember<'_>]) -> TypeId {
        self.add_composite(Kind::Struct, name, size, members)
    }

    /// Adds a union of `size` bytes.
    pub fn add_union(&mut self, name: &str, size: u32, members: &[NewMember<'_>]) -> TypeId {
        self.add_composite(Kind::Union, name, size, members)
    }

    fn add_composite(
        &mut self,
        kind: Kind,
        name: &str,
        size: u32,
        members: &[NewMember<'_>],
    ) -> TypeId {
        let flag = members.iter().any(|member| member.bitfield_size != 0);
        let mut words = Vec::with_capacity(members.len().saturating_mul(3));
        for member in members {
            let width = u32::from(member.bitfield_size) << 24;
            let offset =
                if flag { width | (member.bit_offset & 0xff_ffff) } else { member.bit_offset };
            words.extend([self.string(member.name), member.type_id.0, offset]);
        }
        self.add(name, kind, flag, count(members), size, words)
    }

    /// Adds an enum whose values have up to 32 bits.
    pub fn add_enum(
        &mut self,
        name: &str,
        size: u32,
        signed: bool,
        values: &[(&str, i64)],
    ) -> TypeId {
        let mut words = Vec::with_capacity(values.len().saturating_mul(2));
        for (name, value) in values {
            words.extend([self.string(name), *value as u32]);
        }
        self.add(name, Kind::Enum, signed, count(values), size, words)
    }

    /// Adds an enum whose values have 64 bits.
    pub fn add_enum64(
        &mut self,
        name: &str,
        size: u32,
        signed: bool,
        values: &[(&str, i64)],
    ) -> TypeId {
        let mut words = Vec::with_capacity(values.len().saturating_mul(3));
        for (name, value) in values {
            words.extend([self.string(name), *value as u32, (*value >> 32) as u32]);
        }
        self.add(name, Kind::Enum64, signed, count(values), size, words)
    }

    /// Adds a forward declaration.
    pub fn add_fwd(&mut self, name: &str, kind: crate::FwdKind) -> TypeId {
        self.add(name, Kind::Fwd, kind == crate::FwdKind::Union, 0, 0, [])
    }

    /// Adds a function prototype.
    pub fn add_func_proto(&mut self, returns: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let mut words = Vec::with_capacity(params.len().saturating_mul(2));
        for (name, type_id) in params {
            words.extend([self.string(name), type_id.0]);
        }
        self.add("", Kind::FuncProto, false, count(params), returns.0, words)
    }

    /// Adds a function.
    pub fn add_func(&mut self, name: &str, proto: TypeId, linkage: Linkage) -> TypeId {
        self.add(name, Kind::Func, false, linkage.number(), proto.0, [])
    }

    /// Adds a variable.
    pub fn add_var(&mut self, name: &str, type_id: TypeId, linkage: Linkage) -> TypeId {
        self.add(name, Kind::Var, false, 0, type_id.0, [linkage.number()])
    }

    /// Adds a section.
    pub fn add_datasec(&mut self, name: &str, size: u32, vars: &[SectionVar]) -> TypeId {
        let words = vars.iter().flat_map(|var| [var.type_id.0, var.offset, var.size]);
        self.add(name, Kind::Datasec, false, count(vars), size, words)
    }

    /// Adds a floating-point type.
    pub fn add_float(&mut self, name: &str, size: u32) -> TypeId {
        self.add(name, Kind::Float, false, 0, size, [])
    }

    /// Adds a tag on a declaration.
    pub fn add_decl_tag(&mut self, text: &str, tag: DeclTag) -> TypeId {
        let component = tag.component.unwrap_or(u32::MAX);
        self.add(text, Kind::DeclTag, tag.attribute, 0, tag.target.0, [component])
    }

    /// Adds a tag on a type.
    pub fn add_type_tag(&mut self, text: &str, target: TypeId) -> TypeId {
        self.add_reference(Kind::TypeTag, text, target)
    }

    /// Changes the name of a type.
    ///
    /// # Errors
    ///
    /// If there is no such own type.
    pub fn set_name(&mut self, id: TypeId, name: &str) -> Result<(), Error> {
        let name = self.string(name);
        self.set_word(id, 0, name)
    }

    /// Changes the kind, kind flag and number of elements (for functions: the linkage) of a type,
    /// but not what follows it: the new kind must be as long as the old one.
    ///
    /// # Errors
    ///
    /// If there is no such own type.
    pub fn set_info(&mut self, id: TypeId, kind: Kind, flag: bool, vlen: u32) -> Result<(), Error> {
        self.set_word(id, 1, info(kind, flag, vlen))
    }

    /// Changes the size of a type, for the kinds that have one.
    ///
    /// # Errors
    ///
    /// If there is no such own type.
    pub fn set_size(&mut self, id: TypeId, size: u32) -> Result<(), Error> {
        self.set_word(id, 2, size)
    }

    /// Changes the type that a type refers to, for the kinds that do.
    ///
    /// # Errors
    ///
    /// If there is no such own type.
    pub fn set_target(&mut self, id: TypeId, target: TypeId) -> Result<(), Error> {
        self.set_word(id, 2, target.0)
    }

    /// Changes the linkage of a function.
    ///
    /// # Errors
    ///
    /// If there is no such own function.
    pub fn set_func_linkage(&mut self, id: TypeId, linkage: Linkage) -> Result<(), Error> {
        self.expect_kind(id, Kind::Func, "it is not a FUNC")?;
        self.set_info(id, Kind::Func, false, linkage.number())
    }

    /// Changes the linkage of a variable.
    ///
    /// # Errors
    ///
    /// If there is no such own variable.
    pub fn set_var_linkage(&mut self, id: TypeId, linkage: Linkage) -> Result<(), Error> {
        self.expect_kind(id, Kind::Var, "it is not a VAR")?;
        self.set_word(id, 3, linkage.number())
    }

    /// The variables of a section as they are now.
    ///
    /// # Errors
    ///
    /// If there is no such own section.
    pub fn section_vars(&self, id: TypeId) -> Result<Vec<SectionVar>, Error> {
        let vlen = self.expect_kind(id, Kind::Datasec, "it is not a DATASEC")?;
        let var = |index: u32| {
            let word = |at: u32| self.word(id, index.saturating_mul(3).saturating_add(at));
            Ok(SectionVar { type_id: TypeId(word(3)?), offset: word(4)?, size: word(5)? })
        };
        (0..vlen).map(var).collect()
    }

    /// Changes the first variables of a section, at most as many as it has.
    ///
    /// # Errors
    ///
    /// If there is no such own section.
    pub fn set_section_vars(&mut self, id: TypeId, vars: &[SectionVar]) -> Result<(), Error> {
        let vlen = self.expect_kind(id, Kind::Datasec, "it is not a DATASEC")?;
        for (index, var) in (0..vlen).zip(vars) {
            let first = index.saturating_mul(3).saturating_add(3);
            for (at, value) in (first..).zip([var.type_id.0, var.offset, var.size]) {
                self.set_word(id, at, value)?;
            }
        }
        Ok(())
    }

    /// A word of a type: 0 is the name, 1 the info, 2 size or type; then what follows.
    ///
    /// # Errors
    ///
    /// If there is no such own type, or it has no such word.
    pub fn word(&self, id: TypeId, word: u32) -> Result<u32, Error> {
        let at = self.word_offset(id, word)?;
        u32_at(&self.types, at).ok_or(self.missing(id))
    }

    /// Changes a word of a type, counted as for [`Writer::word`].
    ///
    /// # Errors
    ///
    /// If there is no such own type, or it has no such word.
    pub fn set_word(&mut self, id: TypeId, word: u32, value: u32) -> Result<(), Error> {
        let at = self.word_offset(id, word)?;
        let missing = self.missing(id);
        let place = self.types.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<4>());
        *place.ok_or(missing)? = value.to_le_bytes();
        Ok(())
    }

    fn missing(&self, id: TypeId) -> Error {
        Error::NoSuchType { id, count: self.next_id().0 }
    }

    /// Where a word of a type is in `types`.
    fn word_offset(&self, id: TypeId, word: u32) -> Result<usize, Error> {
        let index = id.0.checked_sub(self.first_id).ok_or(self.missing(id))? as usize;
        let start = *self.offsets.get(index).ok_or(self.missing(id))? as usize;
        let next = self.offsets.get(index.saturating_add(1));
        let end = next.map_or(self.types.len(), |next| *next as usize);
        let at = start.saturating_add((word as usize).saturating_mul(4));
        if at.saturating_add(4) > end {
            return Err(Error::BadReference { id, problem: "it has no such word" });
        }
        Ok(at)
    }

    /// The number of elements of a type that has to be of a kind.
    fn expect_kind(&self, id: TypeId, kind: Kind, problem: &'static str) -> Result<u32, Error> {
        let info = self.word(id, 1)?;
        if info_kind(info) == kind.number() {
            Ok(info_vlen(info))
        } else {
            Err(Error::BadReference { id, problem })
        }
    }

    /// The finished data: header, types, layout table if any, strings.
    pub fn finish(&self) -> Vec<u8> {
        let len = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX);
        let (types, layout, strings) = (len(&self.types), len(&self.layout), len(&self.strings));
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&[1, 0]);
        let header_len = u32::try_from(self.header_len).unwrap_or(u32::MAX);
        let string_offset = types.saturating_add(layout);
        for field in [header_len, 0, types, string_offset, strings, types, layout] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        if layout == 0 {
            // Not even an offset: kernels before 7.1 want all that they do not know to be zero.
            bytes.truncate(HEADER_LEN);
        }
        bytes.resize(self.header_len, 0);
        bytes.extend_from_slice(&self.types);
        bytes.extend_from_slice(&self.layout);
        bytes.extend_from_slice(&self.strings);
        bytes
    }
}

/// An info word.
fn info(kind: Kind, flag: bool, vlen: u32) -> u32 {
    (u32::from(flag) << 31) | (u32::from(kind.number()) << 24) | (vlen & 0xff_ffff)
}

/// A number of elements.
fn count<T>(elements: &[T]) -> u32 {
    u32::try_from(elements.len()).unwrap_or(u32::MAX)
}
