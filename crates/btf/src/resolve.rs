// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Following types to what they come to, and checking that they can be followed.

use alloc::vec::Vec;

use crate::{Btf, DeclTag, Error, Kind, Type, TypeData, TypeId};

/// The longest chain of modifiers that is followed. libbpf has no limit (and hangs on a cycle); the
/// kernel refuses to load BTF whose chains are longer than 32 (`MAX_RESOLVE_DEPTH` of
/// kernel/bpf/btf.c).
const MAX_CHAIN: usize = 128;

/// `MAX_RESOLVE_DEPTH` of tools/lib/bpf/btf.c: the longest chain that has a size.
const MAX_RESOLVE_DEPTH: usize = 32;

impl Btf<'_> {
    /// Steps over typedefs, `volatile`, `const`, `restrict` and type tags.
    ///
    /// # Errors
    ///
    /// If a type of the chain does not exist, or the chain is endless.
    pub fn skip_modifiers(&self, id: TypeId) -> Result<Type<'_>, Error> {
        let mut ty = self.type_by_id(id)?;
        for _ in 0..MAX_CHAIN {
            if !ty.kind().is_modifier() {
                return Ok(ty);
            }
            ty = self.type_by_id(TypeId(ty.size_or_type()))?;
        }
        Err(Error::EndlessChain { id })
    }

    /// The size of a value of this type in bytes, as libbpf's `btf__resolve_size` computes it:
    /// modifiers, variables and declaration tags have the size of what they refer to; a chain of
    /// more than 32 types (also of array dimensions) has no size.
    ///
    /// # Errors
    ///
    /// If a type of the chain does not exist or has no size, or the chain is endless.
    pub fn resolve_size(&self, id: TypeId) -> Result<u32, Error> {
        let mut count: u32 = 1;
        let mut at = id;
        for _ in 0..MAX_RESOLVE_DEPTH {
            let ty = self.type_by_id(at)?;
            let size = match ty.data() {
                TypeData::Ptr(_) => self.pointer_size().bytes(),
                TypeData::Array(array) => {
                    count = count.checked_mul(array.count).ok_or(Error::TooLarge { id })?;
                    at = array.element;
                    continue;
                }
                TypeData::Typedef(target)
                | TypeData::Volatile(target)
                | TypeData::Const(target)
                | TypeData::Restrict(target) => {
                    at = target;
                    continue;
                }
                TypeData::Var(var) => {
                    at = var.type_id;
                    continue;
                }
                TypeData::DeclTag(tag) => {
                    at = tag.target;
                    continue;
                }
                TypeData::TypeTag(tag) => {
                    at = tag.target;
                    continue;
                }
                _ => ty.size().ok_or(Error::NoSize { id, kind: ty.kind() })?,
            };
            return size.checked_mul(count).ok_or(Error::TooLarge { id });
        }
        Err(Error::EndlessChain { id })
    }

    /// Checks all own types as libbpf does before it uses an object's BTF (`btf_sanity_check` of
    /// tools/lib/bpf/btf.c): every type id and string offset exists, functions have prototypes.
    /// In addition the names must be UTF-8. This is much less than what the kernel checks.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), Error> {
        self.types().try_for_each(|ty| self.check_type(&ty))
    }

    fn check_type(&self, ty: &Type<'_>) -> Result<(), Error> {
        let id = ty.id();
        let check_name = |offset| self.utf8(offset).map(drop);
        let check_ref = |target: TypeId| {
            if target.0 < self.type_count() {
                Ok(())
            } else {
                Err(Error::BadReference { id, problem: "it refers to a type that does not exist" })
            }
        };
        check_name(ty.name_offset())?;
        if let Some(target) = ty.target() {
            check_ref(target)?;
        }
        match ty.data() {
            TypeData::Array(array) => {
                check_ref(array.element)?;
                check_ref(array.index)
            }
            TypeData::Struct(data) | TypeData::Union(data) => {
                data.members.iter().try_for_each(|member| {
                    check_name(member.name_offset)?;
                    check_ref(member.type_id)
                })
            }
            TypeData::Enum(data) | TypeData::Enum64(data) => {
                data.values.iter().try_for_each(|value| check_name(value.name_offset))
            }
            TypeData::Func(func) => match self.type_by_id(func.proto)?.kind() {
                Kind::FuncProto => Ok(()),
                _ => Err(Error::BadReference { id, problem: "its type is not a FUNC_PROTO" }),
            },
            TypeData::FuncProto(proto) => proto.params.iter().try_for_each(|param| {
                check_name(param.name_offset)?;
                check_ref(param.type_id)
            }),
            TypeData::Datasec(section) => {
                section.vars.iter().try_for_each(|var| check_ref(var.type_id))
            }
            TypeData::Unknown(_) => {
                Err(Error::BadReference { id, problem: "it is of a kind that is not known" })
            }
            _ => Ok(()),
        }
    }
}

/// The declaration tags of BTF by what they tag.
#[derive(Clone, Debug, Default)]
pub struct DeclTagIndex {
    /// Target and tag, sorted.
    tags: Vec<(TypeId, TypeId)>,
}

impl DeclTagIndex {
    /// Looks at all own types of `btf` once.
    pub fn new(btf: &Btf<'_>) -> Self {
        let tags = btf.types().filter_map(|ty| Some((ty.as_decl_tag()?.target, ty.id())));
        let mut tags: Vec<_> = tags.collect();
        tags.sort_unstable();
        Self { tags }
    }

    /// The tags on `target` and on its members or parameters, in the order of their ids: tag and
    /// text. `btf` is that of which this is the index, or split BTF that continues it.
    pub fn of<'b>(
        &self,
        btf: &'b Btf<'_>,
        target: TypeId,
    ) -> impl Iterator<Item = (DeclTag, &'b str)> {
        let first = self.tags.partition_point(|(tagged, _)| *tagged < target);
        let tags = self.tags.get(first..).unwrap_or(&[]).iter();
        tags.take_while(move |(tagged, _)| *tagged == target).filter_map(|(_, tag)| {
            let ty = btf.type_by_id(*tag).ok()?;
            Some((ty.as_decl_tag()?, ty.name()))
        })
    }
}
