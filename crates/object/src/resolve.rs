// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Externs resolved for one kernel: each for itself, so that one that is missing fails only the
//! programs that use it.

use crate::externs::{Extern, ExternKind, Externs, ValueKind};
use crate::kernel_types::KernelTypes;
use crate::{LinkError, LinkOptions};
use veristable_btf::relo::{essential_name, types_are_compatible};
use veristable_btf::{Btf, Kind, TypeId};
use veristable_kernel::Kernel;

/// What an extern came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resolved {
    /// A configuration value, at this offset of its map.
    Config { offset: u32 },
    /// The address of an untyped symbol: 0 if it is not known, or weak and missing.
    Address(u64),
    /// A variable or function in BTF. `fd_index` is the module's place in `fd_array`, 0 for the
    /// kernel's own.
    Type { id: u32, module: Option<usize>, fd_index: i16 },
    /// Weak and missing.
    Missing,
}

/// All externs of an object for one kernel.
pub(crate) struct Resolution {
    pub(crate) externs: Vec<Result<Resolved, LinkError>>,
    /// Contents of the map `.kconfig`.
    pub(crate) config: Vec<u8>,
    /// Modules in `fd_array`, from its place 1 on.
    pub(crate) fd_modules: Vec<usize>,
}

/// Resolves all externs (`bpf_object__resolve_externs` of libbpf).
pub(crate) fn resolve(
    externs: &Externs,
    btf: Option<&Btf<'_>>,
    kernel: &dyn Kernel,
    types: &Result<KernelTypes<'_>, LinkError>,
    options: &LinkOptions,
) -> Resolution {
    let mut resolution = Resolution {
        externs: Vec::with_capacity(externs.list.len()),
        config: vec![0; externs.config_size as usize],
        fd_modules: Vec::new(),
    };
    for ext in &externs.list {
        let resolved = match ext.kind {
            ExternKind::Config { kind, size, offset, .. } => {
                let field = resolution.config.get_mut(offset as usize..(offset + size) as usize);
                let field = Config { kind, field: field.unwrap_or(&mut []) };
                resolve_config(ext, field, kernel, options).map(|()| Resolved::Config { offset })
            }
            ExternKind::Variable { type_id } if type_id.is_void() => resolve_address(ext, kernel),
            ExternKind::Variable { type_id } => {
                with(btf, types).and_then(|(btf, types)| resolve_variable(ext, type_id, btf, types))
            }
            ExternKind::Function { proto } => with(btf, types).and_then(|(btf, types)| {
                resolve_function(ext, proto, btf, types, &mut resolution.fd_modules)
            }),
        };
        resolution.externs.push(resolved);
    }
    resolution
}

/// Both sides of a typed extern.
fn with<'o, 'k>(
    btf: Option<&'o Btf<'o>>,
    types: &'o Result<KernelTypes<'k>, LinkError>,
) -> Result<(&'o Btf<'o>, &'o KernelTypes<'k>), LinkError> {
    let types = types.as_ref().map_err(Clone::clone)?;
    let btf = btf.ok_or(LinkError::NoKernelBtf { what: "a typed extern" })?;
    Ok((btf, types))
}

fn error(ext: &Extern, problem: impl Into<String>) -> LinkError {
    LinkError::Extern { name: ext.name.clone(), problem: problem.into() }
}

fn resolve_address(ext: &Extern, kernel: &dyn Kernel) -> Result<Resolved, LinkError> {
    match kernel.symbol(&ext.name)? {
        Some(address) => Ok(Resolved::Address(address)),
        None if ext.weak => Ok(Resolved::Address(0)),
        None => Err(error(ext, "the kernel has no such symbol")),
    }
}

fn resolve_variable(
    ext: &Extern,
    type_id: TypeId,
    btf: &Btf<'_>,
    types: &KernelTypes<'_>,
) -> Result<Resolved, LinkError> {
    let Some(found) = types.find(&ext.name, Kind::Var, "a kernel variable")? else {
        return if ext.weak {
            Ok(Resolved::Missing)
        } else {
            Err(error(ext, "the kernel's BTF has no such variable"))
        };
    };
    let text = |problem: veristable_btf::Error| error(ext, problem.to_string());
    let target = found.btf.type_by_id(found.id).map_err(text)?;
    let target = found.btf.skip_modifiers(TypeId(target.size_or_type())).map_err(text)?;
    match types_are_compatible(btf, type_id, found.btf, target.id()) {
        Ok(true) => Ok(Resolved::Type { id: found.id.0, module: found.module, fd_index: 0 }),
        Ok(false) => Err(error(
            ext,
            format!(
                "the kernel's variable has another type: {} `{}`",
                target.kind(),
                target.name()
            ),
        )),
        Err(problem) => Err(error(ext, problem.to_string())),
    }
}

fn resolve_function(
    ext: &Extern,
    proto: TypeId,
    btf: &Btf<'_>,
    types: &KernelTypes<'_>,
    fd_modules: &mut Vec<usize>,
) -> Result<Resolved, LinkError> {
    let name = str::from_utf8(essential_name(ext.name.as_bytes())).unwrap_or(&ext.name);
    let Some(found) = types.find(name, Kind::Func, "a kernel function")? else {
        return if ext.weak {
            Ok(Resolved::Missing)
        } else {
            Err(error(ext, "the kernel's BTF has no such function"))
        };
    };
    let text = |problem: veristable_btf::Error| error(ext, problem.to_string());
    let target = found.btf.type_by_id(found.id).map_err(text)?;
    let compatible = types_are_compatible(btf, proto, found.btf, TypeId(target.size_or_type()));
    if compatible != Ok(true) {
        if ext.weak {
            return Ok(Resolved::Missing);
        }
        return Err(error(ext, "the kernel's function has another prototype"));
    }
    let fd_index = match found.module {
        None => 0,
        Some(module) => {
            let known = fd_modules.iter().position(|known| *known == module);
            let position = known.unwrap_or_else(|| {
                fd_modules.push(module);
                fd_modules.len() - 1
            });
            i16::try_from(position + 1).map_err(|_| error(ext, "too many modules are involved"))?
        }
    };
    Ok(Resolved::Type { id: found.id.0, module: found.module, fd_index })
}

/// Where a configuration value goes.
struct Config<'f> {
    kind: ValueKind,
    field: &'f mut [u8],
}

fn resolve_config(
    ext: &Extern,
    field: Config<'_>,
    kernel: &dyn Kernel,
    options: &LinkOptions,
) -> Result<(), LinkError> {
    let set = |field: Config<'_>, value: u64| field.set_number(value).map_err(|p| error(ext, p));
    let version = kernel.id().version_code;
    match ext.name.as_str() {
        name if name.starts_with("CONFIG_") => {
            let value = match options.config.get(name) {
                Some(value) => Some(value.as_str()),
                None => kernel.config(name)?,
            };
            match value {
                Some(value) => field.set(value).map_err(|problem| error(ext, problem)),
                None if ext.weak => Ok(()),
                None => Err(error(ext, "the kernel's configuration does not set it")),
            }
        }
        "LINUX_KERNEL_VERSION" => set(field, u64::from(version)),
        // bpf_get_attach_cookie came with 5.15.
        "LINUX_HAS_BPF_COOKIE" => set(field, u64::from(version >= version_code(5, 15))),
        // ARCH_HAS_SYSCALL_WRAPPER came with 4.17 on x86-64; libbpf finds out by placing a kprobe.
        "LINUX_HAS_SYSCALL_WRAPPER" => {
            let has_kprobes = !matches!(kernel.config("CONFIG_KPROBE_EVENTS"), Ok(None));
            set(field, u64::from(has_kprobes && version >= version_code(4, 17)))
        }
        name if name.starts_with("LINUX_") && ext.weak => set(field, 0),
        _ => Err(error(ext, "it is neither a configuration option nor a value that libbpf knows")),
    }
}

/// `KERNEL_VERSION(major, minor, 0)`
pub(crate) const fn version_code(major: u32, minor: u32) -> u32 {
    major << 16 | minor << 8
}

impl Config<'_> {
    /// Sets the value as `.config` writes it (`bpf_object__process_kconfig_line` of libbpf).
    fn set(self, value: &str) -> Result<(), String> {
        match value.as_bytes() {
            [first @ (b'y' | b'n' | b'm'), ..] => self.set_tristate(*first),
            [b'"', ..] => self.set_text(value),
            _ => {
                let number = parse_number(value)
                    .ok_or_else(|| format!("`{value}` is no number of 64 bits"))?;
                match self.kind {
                    ValueKind::Int { .. } | ValueKind::Char => self.set_number(number),
                    _ => Err(format!("`{value}` needs an integer")),
                }
            }
        }
    }

    fn set_tristate(self, value: u8) -> Result<(), String> {
        let number = match (self.kind, value) {
            (ValueKind::Bool, b'm') => return Err("`m` needs a tristate or a char".into()),
            (ValueKind::Bool, value) => u8::from(value == b'y'),
            // enum libbpf_tristate: no, yes, module.
            (ValueKind::Tristate, b'y') => 1,
            (ValueKind::Tristate, b'm') => 2,
            (ValueKind::Tristate, _) => 0,
            (ValueKind::Char, value) => value,
            _ => return Err(format!("`{}` needs a bool, tristate or char", char::from(value))),
        };
        if let Some(low) = self.field.first_mut() {
            *low = number;
        }
        Ok(())
    }

    fn set_text(self, value: &str) -> Result<(), String> {
        if self.kind != ValueKind::Text {
            return Err(format!("`{value}` needs an array of char"));
        }
        let text = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let text = text.ok_or_else(|| format!("`{value}` lacks a quote"))?;
        let room = self.field.len().saturating_sub(1);
        for (to, from) in self.field.iter_mut().zip(text.bytes().take(room)) {
            *to = from;
        }
        Ok(())
    }

    fn set_number(self, value: u64) -> Result<(), String> {
        let size = self.field.len();
        let bits = u32::try_from(size * 8).unwrap_or(64);
        let fits = match self.kind {
            ValueKind::Bool if value > 1 => return Err(format!("{value} is no bool")),
            ValueKind::Tristate | ValueKind::Text => {
                return Err(format!("{value} needs an integer"));
            }
            _ if bits >= 64 => true,
            ValueKind::Int { signed: true } => value.wrapping_add(1 << (bits - 1)) < 1 << bits,
            _ => value >> bits == 0,
        };
        if !fits {
            return Err(format!("{value} does not fit {size} bytes"));
        }
        for (to, from) in self.field.iter_mut().zip(value.to_le_bytes()) {
            *to = from;
        }
        Ok(())
    }
}

/// `strtoull` with base 0, to the end.
fn parse_number(text: &str) -> Option<u64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, text.get(1..)?),
        [b'+', ..] => (false, text.get(1..)?),
        _ => (false, text),
    };
    let value = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => u64::from_str_radix(digits.get(2..)?, 16).ok()?,
        [b'0', _, ..] => u64::from_str_radix(digits.get(1..)?, 8).ok()?,
        _ => digits.parse().ok()?,
    };
    Some(if negative { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::{Config, ValueKind};

    #[test]
    fn values() {
        let int = |signed| ValueKind::Int { signed };
        let cases: [(ValueKind, usize, &str, Option<&[u8]>); 14] = [
            (ValueKind::Bool, 1, "y", Some(&[1])),
            (ValueKind::Bool, 1, "n", Some(&[0])),
            (ValueKind::Bool, 1, "m", None),
            (ValueKind::Tristate, 4, "m", Some(&[2, 0, 0, 0])),
            (ValueKind::Char, 1, "m", Some(b"m")),
            (ValueKind::Char, 1, "65", Some(b"A")),
            (int(false), 4, "0x10", Some(&[16, 0, 0, 0])),
            (int(false), 2, "65536", None),
            (int(true), 2, "-1", Some(&[255, 255])),
            (int(true), 2, "32768", None),
            (int(false), 4, "y", None),
            (ValueKind::Text, 4, "\"abcdef\"", Some(b"abc\0")),
            (ValueKind::Text, 8, "\"a\"", Some(b"a\0\0\0\0\0\0\0")),
            (ValueKind::Text, 8, "1", None),
        ];
        for (kind, size, text, expected) in cases {
            let mut field = vec![0; size];
            let done = Config { kind, field: &mut field }.set(text).is_ok();
            assert_eq!(done.then_some(&field[..]), expected, "{kind:?} {text}");
        }
    }
}
