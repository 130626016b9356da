// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Externs as the object declares them: `.kconfig` and `.ksyms`.

use crate::Error;
use crate::elf::Elf;
use std::collections::HashMap;
use veristable_btf::{Btf, Kind, Linkage, Type, TypeData, TypeId};

/// Section of kernel symbols, in BTF only.
pub(crate) const KSYMS: &str = ".ksyms";
/// Section of configuration values, in BTF only.
pub(crate) const KCONFIG: &str = ".kconfig";

/// Bytes that the configuration values of an object may have together. They are numbers and
/// strings of a kernel configuration, whose lines libbpf cuts at 4096 bytes.
const MAX_KCONFIG: u32 = 1 << 20;

/// What a configuration value may be (`enum kcfg_type` of libbpf).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ValueKind {
    Char,
    Bool,
    Int { signed: bool },
    Tristate,
    Text,
}

/// An extern's kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExternKind {
    /// A value in the map `.kconfig`.
    Config {
        kind: ValueKind,
        size: u32,
        align: u32,
        /// Offset in the map.
        offset: u32,
    },
    /// A kernel variable; `type_id` is void for an untyped one, whose address alone is wanted.
    Variable { type_id: TypeId },
    /// A kernel function with its prototype.
    Function { proto: TypeId },
}

/// An extern.
#[derive(Clone, Debug)]
pub(crate) struct Extern {
    pub(crate) name: String,
    pub(crate) weak: bool,
    pub(crate) kind: ExternKind,
    /// Index of the symbol.
    symbol: usize,
}

impl Extern {
    /// Order of libbpf's `cmp_externs`: it decides the layout of `.kconfig` and the numbers in
    /// poisoned calls.
    fn sort_key(&self) -> impl Ord + use<> {
        let class = match self.kind {
            ExternKind::Config { size, align, .. } => (0, std::cmp::Reverse(align), size),
            ExternKind::Variable { .. } | ExternKind::Function { .. } => {
                (1, std::cmp::Reverse(0), 0)
            }
        };
        (class, self.name.clone())
    }
}

/// All externs of an object, in libbpf's order.
#[derive(Debug, Default)]
pub(crate) struct Externs {
    pub(crate) list: Vec<Extern>,
    /// Position in the list by symbol.
    by_symbol: HashMap<usize, usize>,
    by_name: HashMap<String, usize>,
    /// Size of the map `.kconfig`, 0 if there is none.
    pub(crate) config_size: u32,
}

impl Externs {
    /// The extern that a symbol stands for.
    pub(crate) fn by_symbol(&self, symbol: usize) -> Option<usize> {
        self.by_symbol.get(&symbol).copied()
    }

    /// The extern of this name.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Extern> {
        self.list.get(*self.by_name.get(name)?)
    }

    /// Collects the externs among the symbols. `btf` is as the compiler wrote it.
    pub(crate) fn collect(elf: &Elf<'_>, btf: Option<&Btf<'_>>) -> Result<Self, Error> {
        let undefined = elf.symbols.iter().enumerate();
        let undefined = undefined.filter(|(_, s)| s.is_extern() && !s.name.is_empty());
        let mut declared = None;
        let mut list = Vec::new();
        for (symbol, elf_symbol) in undefined {
            let name = elf_symbol.display().into_owned();
            let no_btf = || Error::Extern {
                name: name.clone(),
                section: String::new(),
                problem: "the object has no BTF that describes it".into(),
            };
            let btf = btf.ok_or_else(no_btf)?;
            let declared = declared.get_or_insert_with(|| Declarations::new(btf));
            let kind = declared.kind(btf, &name)?;
            list.push(Extern { name, weak: elf_symbol.weak, kind, symbol });
        }
        list.sort_by_cached_key(Extern::sort_key);
        let mut externs = Self { list, ..Self::default() };
        externs.lay_out()?;
        externs.by_symbol =
            externs.list.iter().enumerate().map(|(at, ext)| (ext.symbol, at)).collect();
        for (at, ext) in externs.list.iter().enumerate() {
            externs.by_name.entry(ext.name.clone()).or_insert(at);
        }
        Ok(externs)
    }

    /// Gives every configuration value its offset in the map.
    fn lay_out(&mut self) -> Result<(), Error> {
        let mut end = 0u32;
        for ext in &mut self.list {
            let ExternKind::Config { size, align, offset, .. } = &mut ext.kind else { continue };
            let start = end.checked_next_multiple_of(*align);
            let next = start.and_then(|start| start.checked_add(*size));
            match (start, next) {
                (Some(start), Some(next)) if next <= MAX_KCONFIG => {
                    *offset = start;
                    end = next;
                }
                _ => {
                    return Err(Error::Extern {
                        name: ext.name.clone(),
                        section: KCONFIG.into(),
                        problem: format!("configuration values have more than {MAX_KCONFIG} bytes"),
                    });
                }
            }
        }
        self.config_size = end;
        Ok(())
    }
}

/// What the BTF declares, by name.
struct Declarations<'b> {
    /// The first variable or function of a name.
    by_name: HashMap<&'b [u8], TypeId>,
    /// The first section that a variable or function is in.
    section: HashMap<TypeId, TypeId>,
}

impl<'b> Declarations<'b> {
    fn new(btf: &'b Btf<'_>) -> Self {
        let mut by_name = HashMap::new();
        let mut section = HashMap::new();
        for ty in btf.types() {
            match ty.data() {
                TypeData::Var(_) | TypeData::Func(_) => {
                    by_name.entry(ty.name_bytes()).or_insert(ty.id());
                }
                TypeData::Datasec(data) => {
                    for var in data.vars.iter() {
                        section.entry(var.type_id).or_insert(ty.id());
                    }
                }
                _ => {}
            }
        }
        Self { by_name, section }
    }

    /// The kind of an extern; offsets of configuration values are still 0.
    fn kind(&self, btf: &Btf<'_>, name: &str) -> Result<ExternKind, Error> {
        let error = |section: &str, problem: String| Error::Extern {
            name: name.to_owned(),
            section: section.to_owned(),
            problem,
        };
        let missing = || error("", "the BTF does not describe it".into());
        let id = *self.by_name.get(name.as_bytes()).ok_or_else(missing)?;
        let ty = btf.type_by_id(id).map_err(|e| error("", e.to_string()))?;
        let linkage = match ty.data() {
            TypeData::Var(var) => var.linkage,
            TypeData::Func(func) => func.linkage,
            _ => return Err(missing()),
        };
        if linkage != Linkage::Extern {
            return Err(error("", format!("the BTF describes it ({id}) as defined here")));
        }
        let section = self
            .section
            .get(&id)
            .and_then(|section| btf.type_by_id(*section).ok())
            .ok_or_else(|| error("", "the BTF does not say in which section it is".into()))?;
        match section.name() {
            KSYMS => symbol_kind(btf, &ty).map_err(|e| error(KSYMS, e.to_string())),
            KCONFIG => config_kind(btf, &ty).map_err(|problem| error(KCONFIG, problem)),
            other => Err(error(other, "only `.ksyms` and `.kconfig` may have externs".into())),
        }
    }
}

fn symbol_kind(btf: &Btf<'_>, ty: &Type<'_>) -> Result<ExternKind, veristable_btf::Error> {
    let type_id = btf.skip_modifiers(TypeId(ty.size_or_type()))?.id();
    Ok(match ty.kind() {
        Kind::Func => ExternKind::Function { proto: type_id },
        _ => ExternKind::Variable { type_id },
    })
}

fn config_kind(btf: &Btf<'_>, ty: &Type<'_>) -> Result<ExternKind, String> {
    if ty.kind() == Kind::Func {
        return Err("functions cannot be configuration values".into());
    }
    let type_id = TypeId(ty.size_or_type());
    let text = |error: veristable_btf::Error| error.to_string();
    let size = btf.resolve_size(type_id).map_err(text)?;
    let target = btf.skip_modifiers(type_id).map_err(text)?;
    let unsupported = || "its type cannot hold a configuration value".to_owned();
    let (kind, align) = if let Some(array) = target.as_array() {
        let element = btf.skip_modifiers(array.element).map_err(text)?;
        if array.count == 0 || value_kind(&element) != Some(ValueKind::Char) {
            return Err(unsupported());
        }
        (ValueKind::Text, 1)
    } else {
        (value_kind(&target).ok_or_else(unsupported)?, size.min(8))
    };
    if size == 0 || !align.is_power_of_two() {
        return Err(unsupported());
    }
    Ok(ExternKind::Config { kind, size, align, offset: 0 })
}

/// The kind of a value that is no array (`find_kcfg_type` of libbpf).
fn value_kind(ty: &Type<'_>) -> Option<ValueKind> {
    match ty.data() {
        TypeData::Int(int) if int.is_bool() => (int.size == 1).then_some(ValueKind::Bool),
        TypeData::Int(int) if int.size == 1 => Some(ValueKind::Char),
        TypeData::Int(int) => {
            matches!(int.size, 2 | 4 | 8).then_some(ValueKind::Int { signed: int.is_signed() })
        }
        TypeData::Enum(data) if data.size != 4 => None,
        TypeData::Enum(_) | TypeData::Enum64(_) => {
            (ty.name() == "libbpf_tristate").then_some(ValueKind::Tristate)
        }
        _ => None,
    }
}
