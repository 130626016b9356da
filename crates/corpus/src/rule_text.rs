// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! A load request as a case of a rule file: the way back from [`crate::rules`].

use std::fmt::Write as _;

use veristable_btf::{Btf, Kind, Linkage, TypeId};
use veristable_isa::asm;
use veristable_kernel::{AttachType, HelperId, Kernel, ProgType};
use veristable_program::{Attach, Capabilities, LoadRequest, MapDesc, ProgFlags};

/// The case's text, without an expectation. `None` where rule files have no words for it. Types of
/// map values become plain bytes, so that who needs them must compare what the text gives.
#[must_use]
pub fn write(request: &LoadRequest, name: &str, kernel: &dyn Kernel) -> Option<String> {
    let mut text = format!("; case: {name}\n");
    settings(&mut text, request, kernel)?;
    for map in &request.maps {
        map_line(&mut text, map)?;
    }
    let functions = functions(request)?;
    for function in &functions {
        let _ = writeln!(text, "; func: {}", function.prototype);
    }
    let mut slot = 0;
    for line in asm::listing(&request.insns).to_string().lines() {
        if let Some(function) = functions.iter().find(|f| f.slot == slot && slot != 0) {
            let _ = writeln!(text, "{}:", function.name);
        }
        let _ = writeln!(text, "    {}", named(line, request, kernel));
        slot += request.insns.get(slot).map_or(1, |insn| insn.slots());
    }
    Some(text)
}

fn settings(text: &mut String, request: &LoadRequest, kernel: &dyn Kernel) -> Option<()> {
    if request.prog_type != ProgType::SOCKET_FILTER {
        let _ = writeln!(text, "; type: {}", request.prog_type.name()?.to_ascii_lowercase());
    }
    let mut by_target = false;
    match &request.attach {
        Attach::None => {}
        Attach::Kernel { btf_id, module: None, member, .. } => {
            let btf = kernel.btf(None).ok()??;
            let name = btf.type_by_id(TypeId(*btf_id)).ok()?.name();
            by_target = member.is_some();
            let member = member.as_ref().map(|member| format!(".{member}")).unwrap_or_default();
            let _ = writeln!(text, "; target: {name}{member}");
        }
        _ => return None,
    }
    if request.expected_attach_type != AttachType(0) && !by_target {
        let name = request.expected_attach_type.name()?.to_ascii_lowercase();
        let _ = writeln!(text, "; attach: {name}");
    }
    if request.license != "GPL" {
        let _ = writeln!(text, "; license: {}", request.license);
    }
    if request.flags != ProgFlags::empty() {
        let names: Vec<&str> = request.flags.iter_names().map(|(name, _)| name).collect();
        let _ = writeln!(text, "; flags: {}", names.join(" ").to_ascii_lowercase());
    }
    if request.capabilities != Capabilities::all() {
        let names: Vec<&str> = request.capabilities.iter_names().map(|(name, _)| name).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(" ") };
        let _ = writeln!(text, "; caps: {}", names.to_ascii_lowercase());
    }
    (request.fd_array.is_empty() && request.fixups.is_empty()).then_some(())
}

fn map_line(text: &mut String, map: &MapDesc) -> Option<()> {
    let spec = &map.spec;
    if map.inner.is_some() || spec.map_extra != 0 {
        return None;
    }
    let kind = spec.map_type.name()?.to_ascii_lowercase();
    let _ = write!(
        text,
        "; map: {} {kind} key={} value={} entries={}",
        spec.name, spec.key_size, spec.value_size, spec.max_entries
    );
    if spec.flags.bits() != 0 {
        let _ = write!(text, " flags={}", spec.flags.bits());
    }
    if let Some(contents) = &map.contents {
        text.push_str(" hex=");
        contents.iter().for_each(|byte| {
            let _ = write!(text, "{byte:02x}");
        });
    }
    text.push_str(if map.frozen { " frozen\n" } else { "\n" });
    Some(())
}

struct Function {
    slot: usize,
    name: String,
    prototype: String,
}

/// Names and prototypes by function info.
fn functions(request: &LoadRequest) -> Option<Vec<Function>> {
    let Some(bytes) = &request.btf else { return Some(Vec::new()) };
    let btf = Btf::open(bytes.to_vec()).ok()?;
    let mut found = Vec::new();
    for record in request.func_info.bytes.chunks_exact(8) {
        let (slot, id) = record.split_first_chunk::<4>()?;
        let id = TypeId(u32::from_le_bytes(*id.first_chunk()?));
        let func = btf.type_by_id(id).ok()?;
        let linkage = match func.as_func()?.linkage {
            Linkage::Static => "static",
            _ => "global",
        };
        let proto = btf.type_by_id(func.target()?).ok()?.as_func_proto()?;
        let mut params = Vec::new();
        for (number, param) in (0_u32..).zip(proto.params.iter()) {
            let mut words = type_text(&btf, param.type_id)?;
            for (tag, text) in btf.decl_tags(id) {
                if tag.component == Some(number)
                    && let Some(tag) = text.strip_prefix("arg:")
                {
                    let _ = write!(words, " __arg_{tag}");
                }
            }
            params.push(words);
        }
        let name = func.name().to_owned();
        let returns = type_text(&btf, proto.returns)?;
        let prototype = format!("{name} {linkage} {returns}({})", params.join(", "));
        found.push(Function { slot: u32::from_le_bytes(*slot) as usize, name, prototype });
    }
    Some(found)
}

/// A type in the words of rule files.
fn type_text(btf: &Btf<'_>, id: TypeId) -> Option<String> {
    if id == TypeId::VOID {
        return Some("void".to_owned());
    }
    let ty = btf.type_by_id(id).ok()?;
    Some(match ty.kind() {
        Kind::Ptr => format!("{} *", type_text(btf, ty.target()?)?),
        Kind::Const => format!("const {}", type_text(btf, ty.target()?)?),
        Kind::Struct => format!("struct {}:{}", ty.name(), ty.size()?),
        Kind::Typedef => format!("typedef {}", ty.name()),
        Kind::Int => match (ty.size()?, ty.as_int()?.is_signed()) {
            (8, _) => "u64",
            (4, true) => "int",
            (4, false) => "u32",
            (1, _) => "u8",
            _ => return None,
        }
        .to_owned(),
        _ => return None,
    })
}

/// A line of the listing with names in place of numbers.
fn named(line: &str, request: &LoadRequest, kernel: &dyn Kernel) -> String {
    let line = match line.split_once(") ") {
        Some((code, rest)) if code.starts_with('(') && code.len() == 3 => rest,
        _ => line,
    };
    if let Some(rest) = line.strip_prefix("call kfunc ") {
        let id = rest.split(' ').next().and_then(|id| id.parse().ok()).map(TypeId);
        let btf = kernel.btf(None).ok().flatten();
        let name = id.zip(btf).and_then(|(id, btf)| Some(btf.type_by_id(id).ok()?.name()));
        if let Some(name) = name.filter(|_| rest.ends_with("off 0")) {
            return format!("call kfunc {name}");
        }
    }
    if let Some(id) = line.strip_prefix("call ").and_then(|id| id.parse().ok())
        && let Some(name) = kernel.helper_name(HelperId(id))
    {
        return format!("call bpf_{name}");
    }
    if let Some((before, rest)) = line.split_once("map[fd:")
        && let Some((number, after)) = rest.split_once(']')
        && let Some(map) = number.parse().ok().and_then(|number: usize| request.maps.get(number))
    {
        return format!("{before}map[{}]{after}", map.spec.name);
    }
    line.to_owned()
}
