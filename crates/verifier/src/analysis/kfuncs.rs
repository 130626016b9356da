// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The kernel functions that a program calls (`add_kfunc_call`). All of them are looked up before
//! anything else is known of the program, those in dead code included.

use crate::analysis::maps::has_zero_behind;
use crate::env::Env;
use crate::errno::Errno;
use crate::mem::Text;
use crate::messages::Structure;
use crate::outcome::{Step, Stop};
use crate::trace::Observer;
use veristable_btf::{Btf, FuncProto, Kind, Type, TypeId};
use veristable_isa::Insn;
use veristable_kernel::{
    AttachType, Behaviour, JitFeature, KfuncFlags, KfuncRef, ProgContext, ProgType,
};
use veristable_program::FdEntry;

/// A kfunc that the program calls.
#[derive(Clone, Copy, Debug)]
pub struct Kfunc<'a> {
    /// The BTF id of the function, in [`Kfunc::btf`].
    pub func: TypeId,
    /// The `off` field of the call: 0 for the kernel, else an index into `fd_array`.
    pub offset: i16,
    /// The kernel's BTF, or that of the module.
    pub btf: &'a Btf<'a>,
    /// The function's name.
    pub name: &'a str,
    /// Its prototype.
    pub proto: FuncProto<'a>,
    /// What the kernel says of it for this program; `None` if it is in no set that the program may
    /// call from (`btf_kfunc_id_set_contains`): the simulation rejects the call then.
    pub flags: Option<KfuncFlags>,
}

/// Kfuncs that only programs bound to a device may call (`XDP_METADATA_KFUNC_xxx`,
/// `include/net/xdp.h`).
const METADATA_KFUNCS: [&str; 3] =
    ["bpf_xdp_metadata_rx_timestamp", "bpf_xdp_metadata_rx_hash", "bpf_xdp_metadata_rx_vlan_tag"];

/// The index of the kfunc that an instruction calls; `None` if the call has no id, which is
/// refused only where the simulation gets there.
#[must_use]
pub fn find<O: Observer>(env: &Env<'_, O>, insn: Insn) -> Option<u32> {
    let key = (insn.imm.cast_unsigned(), insn.off);
    let index = env.kfuncs.binary_search_by_key(&key, |k| (k.func.0, k.offset)).ok()?;
    u32::try_from(index).ok()
}

/// Looks a kfunc up and adds it to the table.
///
/// # Errors
///
/// The rejection.
pub fn add<O: Observer>(env: &mut Env<'_, O>, func: u32, offset: i16) -> Step {
    if !env.kfuncs_allowed {
        check_allowed(env)?;
        env.kfuncs_allowed = true;
    }
    if func == 0 && offset == 0 {
        return Ok(());
    }
    let btf = match find_btf(env, offset) {
        Ok(btf) => btf,
        Err(Stop::Rejected(errno)) => {
            return env.reject_with(errno, Structure::KfuncBtfNotFound);
        }
        Err(other) => return Err(other),
    };
    let key = (func, offset);
    let Err(place) = env.kfuncs.binary_search_by_key(&key, |k| (k.func.0, k.offset)) else {
        return Ok(());
    };
    if env.kfuncs.len() >= env.kernel.limits().kfuncs as usize {
        return env.reject(Structure::TooManyKfuncs);
    }
    let id = TypeId(func);
    let Some(ty) = btf.type_by_id(id).ok().filter(|ty| ty.kind() == Kind::Func) else {
        return env.reject(Structure::NotAFunction { btf_id: func });
    };
    let Some(proto) = prototype(btf, &ty) else {
        return env.reject(Structure::NoFunctionPrototype { btf_id: func });
    };
    let name = ty.name();
    check_symbol(env, name, offset)?;
    if METADATA_KFUNCS.contains(&name) {
        return env.reject(Structure::MetadataNeedsDevice);
    }
    check_model(env, btf, name, proto)?;
    let flags = flags_of(env, id)?;
    let kfunc = Kfunc { func: id, offset, btf, name, proto, flags };
    env.kfuncs.insert(&env.budget, place, kfunc)?;
    Ok(())
}

/// What the kernel says of a kfunc for the program (`btf_kfunc_id_set_contains`).
fn flags_of<O: Observer>(env: &Env<'_, O>, func: TypeId) -> Step<Option<KfuncFlags>> {
    let mut context = env.context();
    if context.prog_type == ProgType::EXT {
        // Until its target is known, a replacement has the kfuncs of all programs, as types have
        // that are no hook for kfuncs (`bpf_prog_type_to_kfunc_hook`).
        context = ProgContext::of(ProgType::SK_REUSEPORT);
        context.expected_attach_type = AttachType::SK_REUSEPORT_SELECT;
    }
    let replaces = env.prog.prog_type == ProgType::EXT;
    if replaces && context.prog_type == ProgType::STRUCT_OPS {
        // Filters of single structures refuse whoever implements none of theirs.
        context.struct_ops = Some(OTHER_STRUCTURE);
    }
    let answer = env.kernel.kfunc(KfuncRef::BtfId(func.0), &context)?;
    let flags = answer.filter(|kfunc| kfunc.allowed).map(|kfunc| kfunc.flags);
    if replaces && context.prog_type == ProgType::LSM && flags.is_some() {
        // The hook is that of tracing programs; filters ask for programs that are LSM themselves.
        let mut tracing = ProgContext::of(ProgType::TRACING);
        tracing.expected_attach_type = AttachType::TRACE_FENTRY;
        let answer = env.kernel.kfunc(KfuncRef::BtfId(func.0), &tracing)?;
        return Ok(flags.filter(|_| answer.is_some_and(|kfunc| kfunc.allowed)));
    }
    Ok(flags)
}

/// A structure, and a member of it, that has no kfuncs of its own.
const OTHER_STRUCTURE: (&str, &str) = ("bpf_dummy_ops", "test_1");

/// Looks all kfuncs up again: the type whose rules hold has changed.
///
/// # Errors
///
/// A missing fact.
pub(crate) fn look_up_flags<O: Observer>(env: &mut Env<'_, O>) -> Step {
    for index in 0..env.kfuncs.len() {
        let flags = flags_of(env, env.kfuncs.at(index)?.func)?;
        env.kfuncs.at_mut(index)?.flags = flags;
    }
    Ok(())
}

/// What must be so for any kfunc call.
fn check_allowed<O: Observer>(env: &mut Env<'_, O>) -> Step {
    if env.kernel.btf(None)?.is_none() {
        return env.reject(Structure::KfuncsNeedBtf);
    }
    if !env.machine.jit {
        return env.reject(Structure::KfuncsNeedJit);
    }
    if !env.kernel.jit(JitFeature::KfuncCall)? {
        return env.reject(Structure::JitLacksKfuncs);
    }
    if !env.prog.gpl_compatible {
        return env.reject(Structure::KfuncsNeedGpl);
    }
    Ok(())
}

/// `find_kfunc_desc_btf`
fn find_btf<'a, O: Observer>(env: &mut Env<'a, O>, offset: i16) -> Step<&'a Btf<'a>> {
    if offset == 0 {
        return env.kernel.btf(None)?.ok_or(Stop::Rejected(Errno::ENOENT));
    }
    let Ok(index) = usize::try_from(offset) else {
        return env.reject(Structure::NegativeKfuncOffset);
    };
    if !env.kfuncs.iter().any(|kfunc| kfunc.offset == offset) {
        let modules = modules(&env.kfuncs);
        if modules >= env.kernel.limits().kfunc_btfs as usize {
            return env.reject(Structure::TooManyModules);
        }
        if env.request.fd_array.is_empty() {
            return env.reject(Structure::KfuncWithoutFdArray);
        }
    }
    match env.request.fd_array.get(index) {
        Some(FdEntry::ModuleBtf(module)) => match env.kernel.btf(Some(module))? {
            Some(btf) => Ok(btf),
            // No built-in kernel has modules.
            None => env.unsupported("BTF of a module that the kernel does not have", &**module),
        },
        Some(FdEntry::Btf(_)) => env.reject(Structure::NotModuleBtf),
        Some(FdEntry::Map(_) | FdEntry::Empty) => env.reject(Structure::InvalidModuleBtf),
        None if has_zero_behind(env.request, i32::from(offset)) => {
            env.reject(Structure::InvalidModuleBtf)
        }
        // Only where the array is counted, which the kernel does not compare with: it takes what
        // stands in the loader's memory behind the array, and a request does not say what.
        None => env.unsupported("fd_array index outside of the array", ""),
    }
}

/// How many modules' BTFs are in use.
fn modules(kfuncs: &[Kfunc<'_>]) -> usize {
    let is_first = |at: usize, offset| kfuncs.iter().take(at).all(|k| k.offset != offset);
    kfuncs.iter().enumerate().filter(|(at, k)| k.offset != 0 && is_first(*at, k.offset)).count()
}

fn prototype<'a>(btf: &'a Btf<'a>, func: &Type<'a>) -> Option<FuncProto<'a>> {
    btf.type_by_id(func.target()?).ok()?.as_func_proto()
}

/// The function must have an address (`kallsyms_lookup_name`).
fn check_symbol<O: Observer>(env: &mut Env<'_, O>, name: &str, offset: i16) -> Step {
    if offset != 0 {
        // No built-in kernel has modules.
        return env.unsupported("kfunc of a module", name);
    }
    match env.kernel.symbol(name)? {
        Some(_) => Ok(()),
        None => env.reject(Structure::NoKfuncAddress { name: Text::new(name) }),
    }
}

/// `MAX_BPF_FUNC_ARGS` (`include/linux/bpf.h`)
const MAX_FUNC_ARGS: usize = 12;

/// Whether the prototype fits the model of a call (`btf_distill_func_proto`,
/// `kernel/bpf/btf.c`). Also for what trampolines are attached to.
pub(crate) fn check_model<O: Observer>(
    env: &mut Env<'_, O>,
    btf: &Btf<'_>,
    name: &str,
    proto: FuncProto<'_>,
) -> Step {
    match model_problem(btf, name, proto, env.has(Behaviour::UnionsByValue)) {
        None => Ok(()),
        Some(message) => env.reject(message),
    }
}

/// What does not fit, if anything. `unions`: they may be passed by value.
pub(crate) fn model_problem(
    btf: &Btf<'_>,
    name: &str,
    proto: FuncProto<'_>,
    unions: bool,
) -> Option<Structure> {
    let name = || Text::new(name);
    let count = proto.params.len();
    if count > MAX_FUNC_ARGS {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        return Some(Structure::TooManyArguments { name: name(), count });
    }
    let (size, kind) = sized(btf, proto.returns, unions);
    if size.is_none() || matches!(kind, Kind::Struct | Kind::Union) {
        let kind = kind_text(kind);
        return Some(Structure::ReturnTypeUnsupported { name: name(), kind });
    }
    for (arg, param) in (0u32..).zip(proto.params) {
        if arg as usize + 1 == count && param.type_id.is_void() {
            return Some(Structure::VariableArguments { name: name() });
        }
        let (size, kind) = sized(btf, param.type_id, unions);
        match size {
            Some(0) => return Some(Structure::VoidArgument { name: name() }),
            Some(1..=16) => {}
            Some(_) | None => {
                let kind = kind_text(kind);
                return Some(Structure::ArgumentTypeUnsupported { name: name(), arg, kind });
            }
        }
    }
    None
}

/// The size of a value of the type as an argument, and the kind it comes to (`__get_type_size`);
/// no size for what cannot be one.
fn sized(btf: &Btf<'_>, id: TypeId, unions: bool) -> (Option<u32>, Kind) {
    if id.is_void() {
        return (Some(0), Kind::Void);
    }
    let Ok(ty) = btf.skip_modifiers(id) else { return (None, Kind::Void) };
    let size = match ty.kind() {
        Kind::Ptr => Some(8),
        Kind::Union if !unions => None,
        Kind::Int | Kind::Enum | Kind::Enum64 | Kind::Struct | Kind::Union => ty.size(),
        _ => None,
    };
    (size, ty.kind())
}

/// `btf_type_str` (`kernel/bpf/btf.c`)
pub(crate) const fn kind_text(kind: Kind) -> &'static str {
    match kind {
        Kind::Void | Kind::Unknown(_) => "UNKNOWN",
        other => other.name(),
    }
}
