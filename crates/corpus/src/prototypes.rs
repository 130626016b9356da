// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Prototypes of functions in rule files: BTF and function info from a line each.
//!
//! ```text
//! ; func: main global int(struct __sk_buff *)
//! ; func: callee static int(u64, const char *)
//! ; func: other global int(struct task_struct:64 * __arg_trusted, void * __arg_nullable)
//! ```
//!
//! The name is that of the label where the function begins; `main` is the beginning of the program.
//! All functions of a program are named, in the order of the text. A type is an optional `const`, a
//! name, and stars: `void`, `int`, `u64`, `u32`, `u8`, `char`, `float`, `struct NAME` and `union
//! NAME` with `:SIZE` in bytes if not 4, `enum NAME`, `fwd NAME` for a structure that is only
//! declared, `fn` for a function, `typedef NAME` for an `int` of that name, `int[N]` and the like
//! for arrays. A word `__arg_TAG` adds the declaration tag `arg:TAG`. `__exception_callback=NAME`
//! after the closing bracket adds the declaration tag `exception_callback:NAME`. A structure that
//! the file declares (see `structs.rs`) is meant by its name.

use anyhow::{Context as _, Result, anyhow, bail};
use veristable_btf::writer::NewMember;
use veristable_btf::{DeclTag, FwdKind, Kind, Linkage, TypeId};
use veristable_program::{InfoTable, LoadRequest};

use crate::structs::Structs;

/// One `func` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Prototype {
    name: String,
    linkage: Linkage,
    returns: String,
    args: Vec<String>,
    /// Names of exception callbacks.
    callbacks: Vec<String>,
}

/// Reads what follows `func:`.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Prototype> {
    let (head, args) = text.split_once('(').ok_or_else(|| anyhow!("no arguments"))?;
    let (args, tags) = args.rsplit_once(')').ok_or_else(|| anyhow!("no closing bracket"))?;
    let mut callbacks = Vec::new();
    for tag in tags.split_whitespace() {
        let callback = tag.strip_prefix("__exception_callback=");
        callbacks.push(callback.ok_or_else(|| anyhow!("no tag {tag:?}"))?.to_owned());
    }
    let mut words = head.split_whitespace();
    let name = words.next().ok_or_else(|| anyhow!("no name"))?.to_owned();
    let linkage = match words.next() {
        Some("static") => Linkage::Static,
        Some("global") => Linkage::Global,
        other => bail!("no linkage {other:?}"),
    };
    let returns = words.collect::<Vec<_>>().join(" ");
    let args = args.split(',').map(|arg| arg.trim().to_owned());
    let args = args.filter(|arg| !arg.is_empty()).collect();
    Ok(Prototype { name, linkage, returns, args, callbacks })
}

/// Adds BTF and function info for the functions to a request, after the structures in `structs`.
/// `labels` as the assembler gives them.
///
/// # Errors
///
/// A type that cannot be read, a function without a label.
pub(crate) fn apply(
    request: &mut LoadRequest,
    structs: &mut Structs,
    prototypes: &[Prototype],
    labels: &[(&str, usize)],
) -> Result<()> {
    if prototypes.is_empty() {
        return Ok(());
    }
    let mut records = Vec::new();
    for prototype in prototypes {
        let found = labels.iter().find(|(name, _)| *name == prototype.name);
        let start = match found {
            Some((_, slot)) => u32::try_from(*slot)?,
            None if prototype.name == "main" => 0,
            None => bail!("no label {:?}", prototype.name),
        };
        let func = add(structs, prototype).with_context(|| prototype.name.clone())?;
        records.extend(start.to_le_bytes());
        records.extend(func.0.to_le_bytes());
    }
    let count = u32::try_from(prototypes.len())?;
    request.func_info = InfoTable { rec_size: 8, count, bytes: records.into() };
    request.btf = Some(structs.writer().finish().into());
    Ok(())
}

fn add(structs: &mut Structs, prototype: &Prototype) -> Result<TypeId> {
    let returns = add_type(structs, &prototype.returns)?;
    let mut params = Vec::new();
    let mut tags = Vec::new();
    for (number, arg) in (0u32..).zip(&prototype.args) {
        let plain = arg.split_whitespace().filter(|word| !word.starts_with("__arg_"));
        let ty = add_type(structs, &plain.collect::<Vec<_>>().join(" "))?;
        params.push((format!("a{number}"), ty));
        for tag in arg.split_whitespace().filter_map(|word| word.strip_prefix("__arg_")) {
            tags.push((number, format!("arg:{tag}")));
        }
    }
    let params: Vec<_> = params.iter().map(|(name, ty)| (name.as_str(), *ty)).collect();
    let writer = structs.writer();
    let proto = writer.add_func_proto(returns, &params);
    let target = writer.add_func(&prototype.name, proto, prototype.linkage);
    for (number, text) in tags {
        let tag = DeclTag { target, component: Some(number), attribute: false };
        writer.add_decl_tag(&text, tag);
    }
    for name in &prototype.callbacks {
        let tag = DeclTag { target, component: None, attribute: false };
        writer.add_decl_tag(&format!("exception_callback:{name}"), tag);
    }
    Ok(target)
}

/// Adds the type of an argument, a result or a member.
///
/// # Errors
///
/// If it cannot be read.
pub(crate) fn add_type(structs: &mut Structs, text: &str) -> Result<TypeId> {
    let spaced = text.replace('*', " * ");
    let mut words = spaced.split_whitespace().peekable();
    let is_const = words.next_if_eq(&"const").is_some();
    let kind = words.next().ok_or_else(|| anyhow!("no type"))?;
    let mut name = || words.next().ok_or_else(|| anyhow!("{kind}: no name"));
    let (element, count) = match kind.split_once('[') {
        Some((element, count)) => (element, Some(count.trim_end_matches(']').parse()?)),
        None => (kind, None),
    };
    let none: &[NewMember<'_>] = &[];
    let known = structs.names();
    let declared = |name: &str| known.iter().find(|(known, _)| known == name).map(|(_, id)| *id);
    let writer = structs.writer();
    let mut ty = match element {
        "void" => TypeId::VOID,
        "int" => writer.add_int("int", 4, 1),
        "u64" => writer.add_int("unsigned long long", 8, 0),
        "u32" => writer.add_int("unsigned int", 4, 0),
        "u8" => writer.add_int("unsigned char", 1, 0),
        "char" => writer.add_int("char", 1, 1),
        "float" => writer.add_float("float", 4),
        "struct" | "union" => {
            let name = name()?;
            let (name, size) = match name.split_once(':') {
                Some((name, size)) => (name, size.parse()?),
                None => (name, 4),
            };
            if let Some(id) = declared(name) {
                id
            } else if kind == "struct" {
                writer.add_struct(name, size, none)
            } else {
                writer.add_union(name, size, none)
            }
        }
        "enum" => {
            let name = name()?;
            match declared(name) {
                Some(id) => id,
                None => writer.add_enum(name, 4, false, &[(&*format!("{name}_ZERO"), 0)]),
            }
        }
        "fwd" => {
            let name = name()?;
            writer.add_fwd(name, FwdKind::Struct)
        }
        "fn" => writer.add_func_proto(TypeId::VOID, &[]),
        "typedef" => {
            let name = name()?;
            let int = writer.add_int("int", 4, 1);
            writer.add_typedef(name, int)
        }
        other => bail!("no type {other:?}"),
    };
    if let Some(count) = count {
        let index = writer.add_int("unsigned int", 4, 0);
        ty = writer.add_array(ty, index, count);
    }
    if is_const {
        ty = writer.add_reference(Kind::Const, "", ty);
    }
    for word in words {
        if word != "*" {
            bail!("{word:?} after a type");
        }
        ty = writer.add_ptr(ty);
    }
    Ok(ty)
}
