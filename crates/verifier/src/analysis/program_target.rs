// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Attaching to a function of another BPF program, to trace or to replace it
//! (`bpf_check_attach_target` with a target program, `btf_check_type_match`).

use crate::analysis::attach::refuse_wide_result;
use crate::analysis::kfuncs::{self, check_model};
use crate::env::{Env, SubprogFlags};
use crate::errno::Errno;
use crate::mem::Text;
use crate::messages::Attach;
use crate::outcome::{Step, Stop};
use crate::target::{Function, TargetProgram};
use crate::trace::Observer;
use veristable_btf::{Btf, FuncProto, Kind, Linkage, Type, TypeId};
use veristable_kernel::{AttachType, Behaviour, NameList, ProgType};

/// Tests and resolves a function of another program as a target.
///
/// # Errors
///
/// The rejection.
pub(super) fn check<'a, O: Observer>(
    env: &mut Env<'a, O>,
    target: &'a TargetProgram<'a>,
    btf_id: u32,
) -> Step {
    if btf_id == 0 {
        return env.reject(Attach::NoBtfId);
    }
    let Some(btf) = target.btf else { return env.reject(Attach::NoTargetBtf) };
    let Ok(ty) = btf.type_by_id(TypeId(btf_id)) else {
        return env.reject(Attach::InvalidBtfId { btf_id });
    };
    let Some(function) = target.function(ty.id()) else {
        return env.reject(Attach::NoSubprogram { name: Text::new(ty.name()) });
    };
    check_programs(env, target, function)?;
    check_attach_type(env, btf, &ty, function)?;
    if env.prog.prog_type == ProgType::EXT {
        inherit(env, target)?;
    }
    env.prog.attach_func_name = Some(ty.name());
    match env.prog.attach_type {
        AttachType::TRACE_RAW_TP => Ok(()),
        AttachType::TRACE_ITER => check_iterator(env, ty.name()),
        _ => refuse_denied(env, &ty),
    }
}

/// What the programs and the function must be, whatever the function's type.
fn check_programs<O: Observer>(
    env: &mut Env<'_, O>,
    target: &TargetProgram<'_>,
    function: Function,
) -> Step {
    let replaces = env.prog.prog_type == ProgType::EXT;
    if function.flags.contains(SubprogFlags::IS_EXCEPTION_CALLBACK) {
        let kind = if replaces { "Extension" } else { "FENTRY/FEXIT" };
        return env.reject(Attach::ExceptionCallback { kind });
    }
    if replaces {
        check_replacement(env, function)?;
    }
    // A program is compiled if the loader's machine compiles programs.
    if !env.machine.jit {
        return env.reject(Attach::TargetNotJited);
    }
    if !replaces && target.traces_tracing() {
        return env.reject(Attach::NestedTracing);
    }
    if replaces && target.prog_type() == ProgType::EXT {
        return env.reject(Attach::Recursive);
    }
    let traces = matches!(target.attach_type(), AttachType::TRACE_FENTRY | AttachType::TRACE_FEXIT);
    if replaces && target.prog_type() == ProgType::TRACING && traces {
        return env.reject(Attach::ReplaceTracing);
    }
    Ok(())
}

/// A replacement may do no more than what it replaces.
fn check_replacement<O: Observer>(env: &mut Env<'_, O>, function: Function) -> Step {
    if function.flags.contains(SubprogFlags::UNRELIABLE) {
        return env.reject(Attach::ReplaceStatic);
    }
    if !env.machine.jit {
        return env.reject(Attach::ReplacementNotJited);
    }
    if env.prog.changes_pkt_data && !function.flags.contains(SubprogFlags::CHANGES_PKT_DATA) {
        return env.reject(Attach::ReplacementChangesPacket);
    }
    if env.has(Behaviour::GlobalCallsBySleep)
        && env.prog.might_sleep
        && !function.flags.contains(SubprogFlags::MIGHT_SLEEP)
    {
        return env.reject(Attach::ReplacementSleeps);
    }
    Ok(())
}

fn check_attach_type<'a, O: Observer>(
    env: &mut Env<'a, O>,
    btf: &'a Btf<'a>,
    ty: &Type<'a>,
    function: Function,
) -> Step {
    let bare = Err(Stop::Rejected(Errno::EINVAL));
    let replaces = env.prog.prog_type == ProgType::EXT;
    // Function info names functions with prototypes only.
    let Some(func) = ty.as_func() else { return bare };
    let Some(proto) = btf.type_by_id(func.proto).ok().and_then(|ty| ty.as_func_proto()) else {
        return bare;
    };
    match env.prog.attach_type {
        AttachType::TRACE_RAW_TP => env.reject(Attach::OnlyFentryOnPrograms),
        AttachType::TRACE_ITER => {
            env.prog.attach_func_proto = Some(func.proto);
            check_model(env, btf, ty.name(), proto)
        }
        AttachType::MODIFY_RETURN | AttachType::TRACE_FENTRY | AttachType::TRACE_FEXIT => {
            check_function(env, btf, ty, func.proto, function)
        }
        _ if replaces => {
            check_types_match(env, btf, ty, proto)?;
            check_function(env, btf, ty, func.proto, function)
        }
        _ => bare,
    }
}

fn check_function<'a, O: Observer>(
    env: &mut Env<'a, O>,
    btf: &'a Btf<'a>,
    ty: &Type<'a>,
    proto: TypeId,
    function: Function,
) -> Step {
    // The trampoline of a function whose types mean nothing passes five numbers.
    if !function.flags.contains(SubprogFlags::UNRELIABLE) {
        if let Some(proto) = btf.type_by_id(proto).ok().and_then(|ty| ty.as_func_proto()) {
            check_model(env, btf, ty.name(), proto)?;
        }
        env.prog.attach_func_proto = Some(proto);
        refuse_wide_result(env, btf, ty.name())?;
    }
    if env.prog.sleepable {
        // No function of a program is in the lists of those that may sleep.
        return env.reject(Attach::NotSleepable { name: Text::new(ty.name()) });
    }
    if env.prog.attach_type == AttachType::MODIFY_RETURN {
        return env.reject(Attach::ModifyReturnOfProgram);
    }
    Ok(())
}

/// From here on the rules are those of the target's type.
fn inherit<O: Observer>(env: &mut Env<'_, O>, target: &TargetProgram<'_>) -> Step {
    env.prog.rules = target.prog_type();
    env.prog.attach_type = target.attach_type();
    kfuncs::look_up_flags(env)
}

/// The kernel takes a function for the target of iterators that has its name
/// (`bpf_iter_prog_supported` of `kernel/bpf/bpf_iter.c`).
fn check_iterator<O: Observer>(env: &Env<'_, O>, name: &str) -> Step {
    match name.strip_prefix("bpf_iter_") {
        Some(target) if env.kernel.iter_target(target)?.is_some() => Ok(()),
        _ => Err(Stop::Rejected(Errno::EINVAL)),
    }
}

/// The kernel compares the id of the target with those of its own functions.
fn refuse_denied<O: Observer>(env: &mut Env<'_, O>, ty: &Type<'_>) -> Step {
    let is_id_of = |env: &Env<'_, O>, list| -> Step<bool> {
        let Some(names) = env.kernel.names(list)? else { return Ok(false) };
        let Some(btf) = env.kernel.btf(None)? else { return Ok(false) };
        let Ok(own) = btf.type_by_id(ty.id()) else { return Ok(false) };
        Ok(own.kind() == Kind::Func && names.contains(&own.name()))
    };
    let name = || Text::new(ty.name());
    if env.prog.prog_type == ProgType::TRACING && is_id_of(env, NameList::DeniedTargets)? {
        if !env.has(Behaviour::DenialsNameFunctions) {
            return Err(Stop::Rejected(Errno::EINVAL));
        }
        return env.reject(Attach::DeniedTarget { name: name() });
    }
    let after = matches!(env.prog.attach_type, AttachType::TRACE_FEXIT | AttachType::MODIFY_RETURN);
    if after && is_id_of(env, NameList::NoReturnTargets)? {
        return env.reject(Attach::NoReturnTarget { name: name() });
    }
    Ok(())
}

/// Whether the program's main function can stand for the target (`btf_check_type_match`).
fn check_types_match<O: Observer>(
    env: &mut Env<'_, O>,
    target_btf: &Btf<'_>,
    target: &Type<'_>,
    target_proto: FuncProto<'_>,
) -> Step {
    let main = env.code.func_info.first().copied();
    let (Some(main), Some(btf)) = (main, env.prog.btf) else {
        return env.reject(Attach::ReplacementNeedsBtf);
    };
    // Both were tested with the function info.
    let Ok(own) = btf.type_by_id(main.type_id) else { return Err(Stop::Rejected(Errno::EFAULT)) };
    let proto = own.as_func().and_then(|func| btf.type_by_id(func.proto).ok()?.as_func_proto());
    let Some(proto) = proto else { return Err(Stop::Rejected(Errno::EFAULT)) };
    for func in [&own, target] {
        if func.as_func().is_none_or(|func| func.linkage != Linkage::Global) {
            return env.reject(Attach::NotGlobal { func: Text::new(func.name()) });
        }
    }
    let names = (Text::new(own.name()), Text::new(target.name()));
    match mismatch((btf, proto), (target_btf, target_proto), names) {
        Some(message) => env.reject(message),
        None => Ok(()),
    }
}

/// A function's BTF and its prototype.
type Prototype<'b> = (&'b Btf<'b>, FuncProto<'b>);

/// What differs between a replacement and what it replaces (`btf_check_func_type_match`).
fn mismatch(
    (btf1, proto1): Prototype<'_>,
    (btf2, proto2): Prototype<'_>,
    (fn1, fn2): (Text, Text),
) -> Option<Attach> {
    let (count1, count2) = (proto1.params.len(), proto2.params.len());
    if count1 != count2 {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (count1, count2) = (count(count1), count(count2));
        return Some(Attach::ArgumentCounts { fn1, count1, fn2, count2 });
    }
    let skip1 = |id| btf1.skip_modifiers(id).ok();
    let skip2 = |id| btf2.skip_modifiers(id).ok();
    let (type1, type2) = (skip1(proto1.returns)?, skip2(proto2.returns)?);
    if type1.info() != type2.info() {
        let (type1, type2) = (type1.kind().name(), type2.kind().name());
        return Some(Attach::ReturnTypes { type1, fn1, type2, fn2 });
    }
    for (arg, (param1, param2)) in (0u32..).zip(proto1.params.zip(proto2.params)) {
        let (type1, type2) = (skip1(param1.type_id)?, skip2(param2.type_id)?);
        let differs = argument_mismatch(arg, &type1, &type2, (&fn1, &fn2));
        if differs.is_some() {
            return differs;
        }
    }
    None
}

fn argument_mismatch(
    arg: u32,
    type1: &Type<'_>,
    type2: &Type<'_>,
    (fn1, fn2): (&Text, &Text),
) -> Option<Attach> {
    let names = || (fn1.clone(), fn2.clone());
    if type1.info() != type2.info() {
        let (fn1, fn2) = names();
        let (type1, type2) = (type1.kind().name(), type2.kind().name());
        return Some(Attach::ArgumentTypes { arg, fn1, type1, fn2, type2 });
    }
    if let (Some(size1), Some(size2)) = (type1.size(), type2.size())
        && size1 != size2
    {
        let (fn1, fn2) = names();
        let (size1, size2) = (size1.cast_signed(), size2.cast_signed());
        return Some(Attach::ArgumentSizes { arg, fn1, size1, fn2, size2 });
    }
    if type1.kind() == Kind::Int || type1.kind().is_enum() {
        return None;
    }
    if type1.kind() != Kind::Ptr {
        return Some(Attach::ArgumentUnrecognized { arg, func: fn1.clone() });
    }
    for (pointer, func) in [(type1, fn1), (type2, fn2)] {
        if pointee(pointer).is_none_or(|ty| !ty.kind().is_composite()) {
            return Some(Attach::ArgumentNotContext { arg, func: func.clone() });
        }
    }
    let (struct1, struct2) = (pointee(type1)?, pointee(type2)?);
    if struct1.name() == struct2.name() {
        return None;
    }
    let (fn1, fn2) = names();
    let (struct1, struct2) = (Text::new(struct1.name()), Text::new(struct2.name()));
    Some(Attach::ArgumentStructs { arg, fn1, struct1, fn2, struct2 })
}

/// What a pointer points to, without modifiers.
fn pointee<'b>(pointer: &Type<'b>) -> Option<Type<'b>> {
    pointer.btf().skip_modifiers(pointer.target()?).ok()
}
