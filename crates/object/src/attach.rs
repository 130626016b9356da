// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a program attaches to, as far as it is decided at load time.

use crate::kernel_types::KernelTypes;
use crate::object::function_id;
use crate::options::TargetProgram;
use crate::program::Function;
use crate::sections::SectionDef;
use crate::tables::Tables;
use crate::{LinkError, LinkOptions};
use veristable_btf::{Btf, Kind};
use veristable_kernel::{AttachType, ProgType};
use veristable_program::{Attach, Blob};

/// Longest name of an attach target (`BTF_MAX_NAME_SIZE` of libbpf less one).
const MAX_NAME: usize = 127;

/// The target, and the attach type where it differs from that of the section.
pub(crate) fn resolve(
    index: usize,
    function: &Function,
    def: &SectionDef,
    tables: &Tables,
    types: &Result<KernelTypes<'_>, LinkError>,
    options: &LinkOptions,
) -> Result<(Attach, AttachType), LinkError> {
    if def.prog_type == ProgType::STRUCT_OPS {
        let slot = tables.slot(index)?;
        let types = types.as_ref().map_err(Clone::clone)?;
        let attach = Attach::Kernel {
            name: slot.structure.clone(),
            btf_id: slot.type_id,
            module: slot.module.map(|module| types.module_name(module)),
            member: Some(slot.member_name.clone()),
        };
        return Ok((attach, AttachType(slot.member)));
    }
    if !def.flags.attach_btf {
        return Ok((Attach::None, def.attach_type));
    }
    let section = &*function.section_name;
    let from_section = section.split_once('/').map(|(_, target)| target);
    let given = options.attach.get(&*function.name).map(String::as_str);
    let target = given.or(from_section);
    if let Some(program) = options.targets.get(&*function.name) {
        let func = program.func.as_deref().or(target);
        let func = func.ok_or_else(|| no_target(section))?;
        return Ok((in_program(program, func)?, def.attach_type));
    }
    if def.prog_type == ProgType::EXT {
        return Err(LinkError::NoTargetProgram { section: section.to_owned() });
    }
    let target = target.ok_or_else(|| no_target(section))?;
    let types = types.as_ref().map_err(Clone::clone)?;
    Ok((in_kernel(target, def.attach_type, types)?, def.attach_type))
}

fn no_target(section: &str) -> LinkError {
    LinkError::NoAttachTarget { section: section.to_owned() }
}

/// A function of another program (`libbpf_find_prog_btf_id`).
fn in_program(target: &TargetProgram, func: &str) -> Result<Attach, LinkError> {
    let missing = || LinkError::TargetFunction { func: func.to_owned() };
    let btf = target.request.btf.as_ref().and_then(|bytes| Btf::open(&bytes[..]).ok());
    let btf_id = btf.and_then(|btf| function_id(&btf, func)).ok_or_else(missing)?;
    let bytes = target.request.to_bytes().map_err(|_| missing())?;
    Ok(Attach::Program { target: Blob::from(bytes), func: func.to_owned(), btf_id })
}

/// Prefix and kind of the type that stands for a target (`btf_get_kernel_prefix_kind` of libbpf).
fn prefix_and_kind(attach_type: AttachType) -> (&'static str, Kind) {
    match attach_type {
        AttachType::TRACE_RAW_TP => ("btf_trace_", Kind::Typedef),
        AttachType::LSM_MAC | AttachType::LSM_CGROUP => ("bpf_lsm_", Kind::Func),
        AttachType::TRACE_ITER => ("bpf_iter_", Kind::Func),
        _ => ("", Kind::Func),
    }
}

/// A type of the kernel or a module: `target` or `module:target` (`find_kernel_btf_id` of libbpf).
fn in_kernel(
    target: &str,
    attach_type: AttachType,
    types: &KernelTypes<'_>,
) -> Result<Attach, LinkError> {
    let (module, name) = match target.split_once(':') {
        Some((module, name)) => (Some(module), name),
        None => (None, target),
    };
    let (prefix, kind) = prefix_and_kind(attach_type);
    let full = format!("{prefix}{name}");
    let missing = || LinkError::AttachTarget {
        name: target.to_owned(),
        modules: !types.modules().is_empty(),
    };
    if full.len() > MAX_NAME {
        return Err(missing());
    }
    let attach = |btf_id: u32, module: Option<String>| Attach::Kernel {
        name: name.to_owned(),
        btf_id,
        module,
        member: None,
    };
    let own = types.own("attaching by BTF")?;
    // libbpf compares as many bytes of a module's name as are given.
    if module.is_none_or(|module| "vmlinux".starts_with(module))
        && let Some(id) = own.find_by_name(&full, kind)
    {
        return Ok(attach(id.0, None));
    }
    let mut modules = types.modules().iter();
    let found = modules.find_map(|(module_name, btf)| {
        let wanted = module.is_none_or(|module| module_name.starts_with(module));
        let id = wanted.then(|| btf.find_by_name(&full, kind)).flatten()?;
        Some(attach(id.0, Some((*module_name).to_owned())))
    });
    found.ok_or_else(missing)
}
