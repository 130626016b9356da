// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! One object: libbpf's requests beside ours.

use super::capture::{self, Captured};
use super::interpose::{self, Load, Map, Record};
use super::live;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use veristable_object::{LinkOptions, Object};
use veristable_program::{Attach, FdEntry, FixupKind, InfoTable, LoadRequest, MapDesc, MapSpec};

/// What was found for one object.
#[derive(Serialize, Deserialize, Default, Debug)]
pub(crate) struct Report {
    /// Why libbpf does not open the object.
    pub(crate) libbpf: Option<String>,
    /// Why we do not.
    pub(crate) ours: Option<String>,
    /// The programs, if both open it.
    pub(crate) programs: Vec<Program>,
    /// Milliseconds that our parsing and linking took.
    pub(crate) link_ms: f64,
}

/// What was found for one program.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    /// Why libbpf does not load it.
    pub(crate) libbpf: Option<String>,
    /// Why we do not link it.
    pub(crate) ours: Option<String>,
    /// Whether [`LinkOptions::libbpf_strict`] links it.
    pub(crate) strict: bool,
    /// Whether the instructions are the same.
    pub(crate) same_insns: bool,
    /// What else differs.
    pub(crate) differences: Vec<String>,
}

/// Compares one object and prints a [`Report`] as JSON.
pub(crate) fn child(file: &Path, files: &live::Files) -> Result<()> {
    let kernel = live::kernel(files)?;
    interpose::activate(files);
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let captured = capture::capture(file)?;
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let options = LinkOptions {
        possible_cpus: live::possible_cpus(),
        modules: files.modules.iter().map(|(name, _)| name.clone()).collect(),
        // The probe for them is answered so.
        full_range_offsets: Some(false),
        ..LinkOptions::default()
    };
    let modules = &options.modules;
    let start = std::time::Instant::now();
    let object = Object::parse(&bytes, &name);
    let linked = object.as_ref().map(|object| object.link(&kernel, &options));
    let link_ms = start.elapsed().as_secs_f64() * 1e3;
    let mut report = Report { link_ms, ..Report::default() };
    match (captured, &object, linked) {
        (Ok(captured), Ok(object), Ok(linked)) => {
            for (index, captured) in captured.into_iter().enumerate() {
                let ours = linked.programs.get(index);
                let request = match ours {
                    Some((info, _)) if info.name != captured.name => {
                        Err(format!("we have `{}` in this place", info.name))
                    }
                    Some((_, result)) => result.as_ref().map_err(ToString::to_string),
                    None => Err("we do not find the program".into()),
                };
                let strict = LinkOptions {
                    libbpf_strict: true,
                    programs: Some([captured.name.clone()].into()),
                    ..options.clone()
                };
                let strict = object.link(&kernel, &strict);
                let strict = strict.programs.iter().any(|(_, result)| result.is_ok());
                report.programs.push(program(captured, request, strict, modules));
            }
        }
        (captured, object, _) => {
            report.libbpf = captured.err();
            report.ours = object.as_ref().err().map(ToString::to_string);
        }
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn program(
    captured: Captured,
    ours: Result<&LoadRequest, String>,
    strict: bool,
    modules: &[String],
) -> Program {
    let mut program = Program {
        name: captured.name,
        libbpf: captured.load.as_ref().err().cloned(),
        ours: ours.as_ref().err().cloned(),
        strict,
        same_insns: false,
        differences: Vec::new(),
    };
    if let (Ok((record, load)), Ok(request)) = (&captured.load, ours) {
        let load = &record.loads[*load];
        match insns(record, load, request, modules) {
            None => program.same_insns = true,
            Some(difference) => program.differences.push(difference),
        }
        attributes(record, load, request, modules, &mut program.differences);
    }
    program
}

/// The first difference in the instructions, maps by name.
fn insns(
    record: &Record,
    load: &Load,
    request: &LoadRequest,
    modules: &[String],
) -> Option<String> {
    if load.insns.len() != request.insns.len() {
        return Some(format!(
            "instructions: {} of libbpf, {} of ours",
            load.insns.len(),
            request.insns.len()
        ));
    }
    for (at, (theirs, ours)) in load.insns.iter().zip(&request.insns).enumerate() {
        let mut theirs = *theirs;
        let mut ours = ours.to_bytes();
        if let Some(map) = load.maps.get(&at) {
            let index = u32::from_le_bytes([ours[4], ours[5], ours[6], ours[7]]);
            let is_map = ours[0] == 0x18 && matches!(ours[1] >> 4, 1 | 2);
            let desc = request.maps.get(index as usize).filter(|_| is_map);
            let name = desc.map_or("no map", |desc| cut(&desc.spec.name));
            if name != record.maps[*map].name {
                return Some(format!(
                    "instructions: {at} names map `{}`, ours `{name}`",
                    record.maps[*map].name
                ));
            }
            theirs[4..].fill(0);
            ours[4..].fill(0);
        }
        if let Some(module) = at.checked_sub(1).and_then(|at| load.modules.get(&at)) {
            // The high half of a load of a module's variable is a descriptor.
            let named = FixupKind::ModuleBtf(modules[*module].clone());
            let first = u32::try_from(at - 1).unwrap_or(0);
            let fixups = request.fixups.iter();
            if !fixups.clone().any(|fixup| fixup.insn == first && fixup.kind == named) {
                return Some(format!("instructions: {} names module {named:?}", at - 1));
            }
            theirs[4..].fill(0);
        }
        if let Some(module) = load.fd_array.get(&i16::from_le_bytes([theirs[2], theirs[3]]))
            && theirs[..2] == [0x85, 0x20]
        {
            let place = usize::from(u16::from_le_bytes([theirs[2], theirs[3]]));
            let named = FdEntry::ModuleBtf(modules[*module].clone());
            if request.fd_array.get(place) != Some(&named) {
                return Some(format!("instructions: {at} calls into {named:?}"));
            }
        }
        if theirs != ours {
            return Some(format!("instructions: {at} is {theirs:02x?}, ours {ours:02x?}"));
        }
    }
    None
}

/// A name as the kernel keeps it.
fn cut(name: &str) -> &str {
    let mut len = name.len().min(15);
    while !name.is_char_boundary(len) {
        len -= 1;
    }
    &name[..len]
}

fn attributes(
    record: &Record,
    load: &Load,
    request: &LoadRequest,
    modules: &[String],
    out: &mut Vec<String>,
) {
    let mut check = |what: &str, theirs: &dyn std::fmt::Debug, ours: &dyn std::fmt::Debug| {
        let (theirs, ours) = (format!("{theirs:?}"), format!("{ours:?}"));
        if theirs != ours {
            out.push(format!("{what}: {theirs}, ours {ours}"));
        }
    };
    check("name", &load.name, &cut(&request.name));
    check("program type", &load.prog_type, &request.prog_type.0);
    check("attach type", &load.expected_attach_type, &request.expected_attach_type.0);
    let btf_id = match &request.attach {
        Attach::None => 0,
        Attach::Kernel { btf_id, .. } | Attach::Program { btf_id, .. } => *btf_id,
    };
    check("attach_btf_id", &load.attach_btf_id, &btf_id);
    let attach_module = match &request.attach {
        Attach::Kernel { module, .. } => module.as_deref(),
        _ => None,
    };
    let module = load.attach_module.map(|module| modules[module].as_str());
    check("attach module", &module, &attach_module);
    check("flags", &load.flags, &request.flags.bits());
    check("license", &load.license, &request.license);
    check("kern_version", &load.kern_version, &request.kern_version);
    info("function info", &load.func_info, &request.func_info, out);
    info("line info", &load.line_info, &request.line_info, out);
    let theirs = load.btf.map(|index| &record.btfs[index][..]);
    if theirs != request.btf.as_deref() {
        out.push(format!("BTF: {}", btf_difference(theirs, request.btf.as_deref())));
    }
    for (at, map) in &load.maps {
        let imm = request.insns.get(*at).map_or(u32::MAX, |insn| insn.imm.cast_unsigned());
        if let Some(desc) = request.maps.get(imm as usize) {
            map_desc(record, &record.maps[*map], desc, out);
        }
    }
    out.dedup();
}

fn info(what: &str, theirs: &(u32, Vec<u8>), ours: &InfoTable, out: &mut Vec<String>) {
    if (theirs.0, &theirs.1[..]) != (ours.rec_size, &ours.bytes[..]) {
        let size = theirs.0.max(1) as usize;
        out.push(format!(
            "{what}: {} records of {} bytes, ours {} of {}",
            theirs.1.len() / size,
            theirs.0,
            ours.count,
            ours.rec_size
        ));
    }
}

fn btf_difference(theirs: Option<&[u8]>, ours: Option<&[u8]>) -> String {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) if theirs.len() == ours.len() => {
            let at = theirs.iter().zip(ours).position(|(a, b)| a != b).unwrap_or(0);
            format!("byte {at} of {} differs", theirs.len())
        }
        (Some(theirs), Some(ours)) => format!("{} bytes, ours {}", theirs.len(), ours.len()),
        (Some(_), None) => "there is one, none of ours".into(),
        _ => "there is none, but one of ours".into(),
    }
}

fn map_desc(record: &Record, theirs: &Map, ours: &MapDesc, out: &mut Vec<String>) {
    map_spec(record, theirs, &ours.spec, out);
    let name = &ours.spec.name;
    match (theirs.inner, &ours.inner) {
        (None, None) => {}
        (Some(inner), Some(spec)) => map_spec(record, &record.maps[inner], spec, out),
        _ => out.push(format!("map `{name}`: only one has an inner map")),
    }
    if theirs.frozen != ours.frozen {
        out.push(format!("map `{name}`: frozen is {}, ours {}", theirs.frozen, ours.frozen));
    }
    if let Some(contents) = &theirs.contents {
        let zeroes = contents.iter().all(|byte| *byte == 0);
        let same = match &ours.contents {
            Some(ours) => ours[..] == contents[..],
            None => zeroes,
        };
        if !same {
            out.push(format!("map `{name}`: the contents differ"));
        }
    }
}

fn map_spec(record: &Record, theirs: &Map, ours: &MapSpec, out: &mut Vec<String>) {
    let mut check = |what: &str, theirs: u64, other: u64| {
        if theirs != other {
            out.push(format!("map `{}`: {what} is {theirs:#x}, ours {other:#x}", ours.name));
        }
    };
    check("type", theirs.map_type.into(), ours.map_type.0.into());
    check("key size", theirs.key_size.into(), ours.key_size.into());
    check("value size", theirs.value_size.into(), ours.value_size.into());
    // Sizes that a program leaves to its loader are 1 or a page of ours.
    if theirs.max_entries != 0 || !matches!(ours.max_entries, 0 | 1 | 4096) {
        check("max_entries", theirs.max_entries.into(), ours.max_entries.into());
    }
    check("flags", theirs.flags.into(), ours.flags.bits().into());
    check("numa node", theirs.numa_node.into(), ours.numa_node.unwrap_or(0).into());
    check("map_extra", theirs.map_extra, ours.map_extra);
    check("key type", theirs.btf_key_type_id.into(), ours.btf_key_type_id.into());
    check("value type", theirs.btf_value_type_id.into(), ours.btf_value_type_id.into());
    let kernel_type = ours.struct_ops.as_ref().map_or(0, |value| value.value_type_id);
    check("kernel value type", theirs.btf_vmlinux_value_type_id.into(), kernel_type.into());
    if theirs.name != cut(&ours.name) {
        out.push(format!("map `{}` is called `{}` by libbpf", ours.name, theirs.name));
    }
    let btf = theirs.btf.map(|index| &record.btfs[index][..]);
    if btf != ours.btf.as_deref() {
        out.push(format!("map `{}`: BTF: {}", ours.name, btf_difference(btf, ours.btf.as_deref())));
    }
}
