// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Structures of programs in rule files: map values with special fields and objects that programs
//! make, as BTF.
//!
//! ```text
//! ; struct: node { u64 number; struct bpf_list_node link; struct bpf_refcount users }
//! ; struct: value { struct bpf_spin_lock lock; struct bpf_list_head nodes __contains=node:link }
//! ; struct: keeper { struct task_struct __kptr * task; struct node __kptr * node }
//! ; map: values array key=4 value=value entries=1
//! ```
//!
//! A member is a type as in prototypes (see `prototypes.rs`), a name, and tags: `__kptr` and the
//! like before the star say what the pointer is, `__contains=TYPE:MEMBER` after the name what a list
//! or tree holds. Members are laid out as C does. A structure is declared before it is used, one of
//! the kernel's need not be. `NAME:BITS` is a bit-field, `_` no name;
//! `NAME@BIT` stands where C would not put it.
//!
//! ```text
//! ; union: either { u64 number; u8 byte }
//! ; enum: state { IDLE = 0; BUSY = 1 }
//! ; enum64: wide { ALL = -1 }
//! ```
//!
//! Enums are signed if a value is negative. `typeid(NAME)` in the program is the BTF id of a structure.

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use veristable_btf::writer::{NewMember, Writer};
use veristable_btf::{Btf, DeclTag, TypeId};
use veristable_program::{Blob, MapDesc, MapSpec};

use crate::prototypes;

/// What a pointer in a map value may be tagged as.
const POINTER_TAGS: [&str; 4] = ["__kptr", "__kptr_untrusted", "__percpu_kptr", "__uptr"];

/// Fields with a meaning of their own: size and alignment in bytes (`include/uapi/linux/bpf.h`).
const SPECIAL: [(&str, u32, u32); 10] = [
    ("bpf_spin_lock", 4, 4),
    ("bpf_res_spin_lock", 4, 4),
    ("bpf_timer", 16, 8),
    ("bpf_wq", 16, 8),
    ("bpf_task_work", 8, 8),
    ("bpf_list_head", 16, 8),
    ("bpf_list_node", 24, 8),
    ("bpf_rb_root", 16, 8),
    ("bpf_rb_node", 32, 8),
    ("bpf_refcount", 4, 4),
];

/// One `struct` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Struct {
    name: String,
    members: Members,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Members {
    Struct(Vec<Member>),
    Union(Vec<Member>),
    /// Names and values; whether they have 64 bits.
    Enum(Vec<(String, i64)>, bool),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Member {
    ty: String,
    /// Tag of the pointer, without the underscores.
    pointer_tag: Option<String>,
    name: String,
    /// `TYPE:MEMBER`.
    contains: Option<String>,
}

/// Takes `NAME { PART; PART }` apart.
fn parts<'t>(text: &'t str, of: &str) -> Result<(String, impl Iterator<Item = &'t str>)> {
    let (name, rest) = text.split_once('{').ok_or_else(|| anyhow!("no {of}"))?;
    let parts = rest.trim().strip_suffix('}').ok_or_else(|| anyhow!("no closing brace"))?;
    let parts = parts.split(';').map(str::trim).filter(|part| !part.is_empty());
    Ok((name.trim().to_owned(), parts))
}

fn members(text: &str) -> Result<(String, Vec<Member>)> {
    let (name, members) = parts(text, "members")?;
    let members = members.map(|text| member(text).with_context(|| text.to_owned()));
    Ok((name, members.collect::<Result<_>>()?))
}

/// Reads what follows `struct:`.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Struct> {
    let (name, members) = members(text)?;
    Ok(Struct { name, members: Members::Struct(members) })
}

/// Reads what follows `union:`.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn parse_union(text: &str) -> Result<Struct> {
    let (name, members) = members(text)?;
    Ok(Struct { name, members: Members::Union(members) })
}

/// Reads what follows `enum:` or `enum64:`.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn parse_enum(text: &str, wide: bool) -> Result<Struct> {
    let (name, values) = parts(text, "values")?;
    let values = values.map(|value| {
        let (name, number) = value.split_once('=').ok_or_else(|| anyhow!("{value:?}: no value"))?;
        Ok((name.trim().to_owned(), number.trim().parse()?))
    });
    Ok(Struct { name, members: Members::Enum(values.collect::<Result<_>>()?, wide) })
}

fn member(text: &str) -> Result<Member> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let contains = words.last().and_then(|word| word.strip_prefix("__contains="));
    let contains = contains.map(str::to_owned);
    if contains.is_some() {
        words.pop();
    }
    let name = words.pop().ok_or_else(|| anyhow!("no name"))?.to_owned();
    let tag = words.iter().find(|word| POINTER_TAGS.contains(word));
    let pointer_tag = tag.map(|word| word.trim_start_matches('_').to_owned());
    words.retain(|word| !POINTER_TAGS.contains(word));
    Ok(Member { ty: words.join(" "), pointer_tag, name, contains })
}

/// The structures of a case.
#[derive(Clone, Debug)]
pub(crate) struct Structs {
    known: Vec<(String, TypeId)>,
    writer: Writer,
}

impl Structs {
    /// Writes BTF for the structures.
    ///
    /// # Errors
    ///
    /// A type that cannot be read.
    pub(crate) fn new(structs: &[Struct]) -> Result<Self> {
        let mut made = Self { known: Vec::new(), writer: Writer::new() };
        for ty in structs {
            made.add(ty).with_context(|| ty.name.clone())?;
        }
        Ok(made)
    }

    /// The BTF so far, to add more to it.
    pub(crate) const fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// The structures by name.
    pub(crate) fn names(&self) -> Vec<(String, TypeId)> {
        self.known.clone()
    }

    /// The id of a structure, if it is one of these.
    pub(crate) fn id(&self, name: &str) -> Option<TypeId> {
        self.known.iter().find(|(known, _)| known == name).map(|(_, id)| *id)
    }

    fn add(&mut self, ty: &Struct) -> Result<()> {
        let id = match &ty.members {
            Members::Struct(members) => self.add_composite(&ty.name, members, false)?,
            Members::Union(members) => self.add_composite(&ty.name, members, true)?,
            Members::Enum(values, wide) => {
                let values: Vec<_> = values.iter().map(|(name, value)| (&**name, *value)).collect();
                let signed = values.iter().any(|(_, value)| *value < 0);
                if *wide {
                    self.writer.add_enum64(&ty.name, 8, signed, &values)
                } else {
                    self.writer.add_enum(&ty.name, 4, signed, &values)
                }
            }
        };
        self.known.push((ty.name.clone(), id));
        Ok(())
    }

    fn add_composite(&mut self, name: &str, members: &[Member], union: bool) -> Result<TypeId> {
        // In bits, as far as members go.
        let (mut at, mut end) = (0_u32, 0_u32);
        let mut align = 1;
        let mut made = Vec::new();
        for member in members {
            let id = self.member_type(member)?;
            let (size, own) = self.layout(id)?;
            align = align.max(own);
            let (name, bits) = match member.name.split_once(':') {
                Some((name, bits)) => (name, bits.parse::<u8>()?),
                None => (member.name.as_str(), 0),
            };
            let width = if bits == 0 { size * 8 } else { u32::from(bits) };
            // A bit-field begins where the last member ends, unless it would leave its unit.
            if bits == 0 || at / (size * 8) != (at + width - 1) / (size * 8) {
                at = at.next_multiple_of(own * 8);
            }
            let (name, place) = match name.split_once('@') {
                Some((name, place)) => (name, place.parse()?),
                None => (name, at),
            };
            at = place;
            let name = if name == "_" { "" } else { name };
            made.push(NewMember { name, type_id: id, bit_offset: at, bitfield_size: bits });
            end = end.max(at + width);
            at = if union { 0 } else { at + width };
        }
        let size = end.div_ceil(8).next_multiple_of(align);
        let target = match union {
            true => self.writer.add_union(name, size, &made),
            false => self.writer.add_struct(name, size, &made),
        };
        for (component, member) in (0..).zip(members) {
            let Some(contains) = &member.contains else { continue };
            let tag = DeclTag { target, component: Some(component), attribute: false };
            self.writer.add_decl_tag(&format!("contains:{contains}"), tag);
        }
        Ok(target)
    }

    fn member_type(&mut self, member: &Member) -> Result<TypeId> {
        if let Some((name, size, align)) = special(&member.ty) {
            if let Some(id) = self.id(name) {
                return Ok(id);
            }
            let word = self.writer.add_int("unsigned int", 4, 0);
            let words = if align == 8 {
                let long = self.writer.add_int("unsigned long long", 8, 0);
                self.writer.add_array(long, word, size / 8)
            } else {
                word
            };
            let id = self.writer.add_struct(name, size, &[NewMember::at("opaque", words, 0)]);
            self.known.push((name.to_owned(), id));
            return Ok(id);
        }
        let Some(tag) = &member.pointer_tag else {
            return prototypes::add_type(self, &member.ty);
        };
        let pointee = member.ty.strip_suffix('*').ok_or_else(|| anyhow!("a tag on no pointer"))?;
        let pointee = prototypes::add_type(self, pointee)?;
        let tagged = self.writer.add_type_tag(tag, pointee);
        Ok(self.writer.add_ptr(tagged))
    }

    /// Size and alignment of a type in bytes.
    fn layout(&self, id: TypeId) -> Result<(u32, u32)> {
        let btf = Btf::open(self.writer.finish()).map_err(|error| anyhow!("{error}"))?;
        let size = btf.resolve_size(id).map_err(|error| anyhow!("{error}"))?;
        let align = btf.align_of(id).map_err(|error| anyhow!("{error}"))?;
        Ok((size, align.max(1)))
    }

    /// Gives a map the types of its key and of its value, the structure `value`.
    ///
    /// # Errors
    ///
    /// If there is no such structure.
    pub(crate) fn apply(&mut self, map: &mut MapSpec, value: &str) -> Result<()> {
        let id = self.id(value).ok_or_else(|| anyhow!("no structure {value:?}"))?;
        map.value_size = self.layout(id)?.0;
        map.btf_value_type_id = id.0;
        let key = match map.key_size {
            0 => return Ok(()),
            4 => prototypes::add_type(self, "int")?,
            8 => prototypes::add_type(self, "u64")?,
            size => prototypes::add_type(self, &format!("char[{size}]"))?,
        };
        map.btf_key_type_id = key.0;
        Ok(())
    }
}

/// Types the maps of a case: `types` says of which map what its values are. A template of inner
/// maps is typed as the map that it was taken from.
///
/// # Errors
///
/// A structure that does not exist.
pub(crate) fn apply(
    structs: &mut Structs,
    maps: &mut [Arc<MapDesc>],
    types: &[(String, String)],
) -> Result<()> {
    for map in maps {
        let map = Arc::make_mut(map);
        let inner = map.inner.as_mut().map(Arc::make_mut);
        for spec in [Some(&mut map.spec), inner].into_iter().flatten() {
            if let Some((_, value)) = types.iter().find(|(name, _)| *name == spec.name) {
                structs.apply(spec, value).with_context(|| spec.name.clone())?;
            }
        }
    }
    Ok(())
}

/// Gives the typed maps the finished BTF.
pub(crate) fn finish(structs: &Structs, maps: &mut [Arc<MapDesc>]) {
    let btf: Blob = structs.writer.finish().into();
    for map in maps {
        let map = Arc::make_mut(map);
        let inner = map.inner.as_mut().map(Arc::make_mut);
        for spec in [Some(&mut map.spec), inner].into_iter().flatten() {
            if spec.btf_value_type_id != 0 {
                spec.btf = Some(btf.clone());
            }
        }
    }
}

/// `typeid(NAME)` replaced by the number.
///
/// # Errors
///
/// A structure that does not exist.
pub(crate) fn replace_ids(structs: &Structs, text: &str) -> Result<String> {
    let mut parts = text.split("typeid(");
    let mut out = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let Some((name, rest)) = part.split_once(')') else { bail!("typeid: no closing bracket") };
        let id = structs.id(name).ok_or_else(|| anyhow!("no structure {name:?}"))?;
        out.push_str(&id.0.to_string());
        out.push_str(rest);
    }
    Ok(out)
}

fn special(ty: &str) -> Option<(&'static str, u32, u32)> {
    let name = ty.strip_prefix("struct ")?;
    SPECIAL.into_iter().find(|(known, ..)| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use veristable_btf::Kind;

    #[test]
    fn members_are_laid_out_as_in_c() {
        let node = parse("node { u8 a; struct bpf_list_node link; struct bpf_refcount users }");
        let list = parse("list { struct bpf_list_head all __contains=node:link; u8 b; u64 c }");
        let keeper = parse("keeper { struct node __kptr * p; struct task_struct __kptr * t }");
        let all = [node.unwrap(), list.unwrap(), keeper.unwrap()];
        let structs = Structs::new(&all).unwrap();
        let btf = Btf::open(structs.writer.finish()).unwrap();
        for (name, size) in [("node", 40), ("list", 32), ("keeper", 16)] {
            let id = structs.id(name).unwrap();
            assert_eq!(btf.find_by_name(name, Kind::Struct), Some(id));
            assert_eq!(btf.resolve_size(id), Ok(size), "{name}");
        }
        let id = structs.id("list").unwrap().0;
        assert_eq!(replace_ids(&structs, "r1 = typeid(list)").unwrap(), format!("r1 = {id}"));
    }
}
