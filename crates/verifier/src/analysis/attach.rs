// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the program attaches to (`check_attach_btf_id`, `bpf_check_attach_target`,
//! `check_struct_ops_btf_id`).

use crate::analysis::kfuncs::check_model;
use crate::analysis::program_target;
use crate::env::{Env, Subprog, SubprogFlags};
use crate::errno::Errno;
use crate::mem::Text;
use crate::messages::Attach;
use crate::outcome::{Abort, Step, Stop};
use crate::trace::Observer;
use veristable_btf::{Btf, Kind, Type, TypeId};
use veristable_kernel::{AttachType, Behaviour, NameList, ProgType, Sleepable};
use veristable_program::Attach as Target;

/// The kernel's own BTF must be readable ("in-kernel BTF is malformed"). A description of a kernel
/// has either readable BTF or none, so nothing can fail here.
///
/// # Errors
///
/// None.
pub fn check_kernel_btf<O: Observer>(_: &mut Env<'_, O>) -> Step {
    Ok(())
}

/// Tests and resolves the attach target.
///
/// # Errors
///
/// The rejection.
pub fn check<O: Observer>(env: &mut Env<'_, O>) -> Step {
    let prog = env.prog;
    if prog.prog_type == ProgType::SYSCALL {
        return if prog.sleepable { Ok(()) } else { env.reject(Attach::SyscallNotSleepable) };
    }
    let never = prog.prog_type == ProgType::LSM
        && prog.attach_type == AttachType::LSM_CGROUP
        && env.has(Behaviour::LsmCgroupNeverSleeps);
    if prog.sleepable && (never || !can_sleep(prog.prog_type, prog.attach_type)) {
        return env.reject(Attach::CannotSleep);
    }
    match prog.prog_type {
        ProgType::STRUCT_OPS => check_struct_ops(env),
        ProgType::TRACING | ProgType::LSM | ProgType::EXT => check_target(env),
        _ => Ok(()),
    }
}

/// `can_be_sleepable`
const fn can_sleep(prog_type: ProgType, attach_type: AttachType) -> bool {
    match prog_type {
        ProgType::TRACING => matches!(
            attach_type,
            AttachType::TRACE_FENTRY
                | AttachType::TRACE_FEXIT
                | AttachType::MODIFY_RETURN
                | AttachType::TRACE_ITER
        ),
        ProgType::LSM | ProgType::KPROBE | ProgType::STRUCT_OPS => true,
        _ => false,
    }
}

/// The BTF that `attach_btf_id` counts in; `None` without an id.
fn target_btf<'a, O: Observer>(env: &Env<'a, O>) -> Step<Option<(&'a Btf<'a>, u32)>> {
    match &env.request.attach {
        Target::None | Target::Kernel { btf_id: 0, .. } => Ok(None),
        // Only programs of types that go no further than their target may name one.
        Target::Program { .. } => Err(Stop::Aborted(Abort::Internal("a target program"))),
        Target::Kernel { module: Some(module), .. } => {
            // No built-in kernel has modules.
            env.unsupported("attaching to a module", &**module)
        }
        // The load gate refuses an id where there is no BTF.
        Target::Kernel { btf_id, .. } => match env.kernel.btf(None)? {
            Some(btf) => Ok(Some((btf, *btf_id))),
            None => Err(Stop::Rejected(Errno::EINVAL)),
        },
    }
}

fn check_struct_ops<O: Observer>(env: &mut Env<'_, O>) -> Step {
    if !env.prog.gpl_compatible {
        return env.reject(Attach::StructOpsNeedsGpl);
    }
    let Some((btf, btf_id)) = target_btf(env)? else { return Err(Stop::Rejected(Errno::ENOTSUPP)) };
    let found = btf.type_by_id(TypeId(btf_id)).ok().filter(|ty| ty.kind() == Kind::Struct);
    let Some(ty) = found else { return env.reject(Attach::NotStructOps { btf_id }) };
    let Some(ops) = env.kernel.struct_ops(ty.name())? else {
        return env.reject(Attach::NotStructOps { btf_id });
    };
    let name = || Text::new(ops.name);
    let index = env.prog.attach_type.0;
    let Some(member) = ty.members().get(index as usize) else {
        return env.reject(Attach::InvalidMemberIndex { index, name: name() });
    };
    let member_name = || Text::new(member.name());
    let Some(proto) = function_pointer(btf, member.type_id) else {
        return env.reject(Attach::InvalidMember { member: member_name(), index, name: name() });
    };
    let unsupported = || Attach::UnsupportedMember { member: member_name(), name: name() };
    let facts = env.kernel.struct_ops_member(ty.name(), member.name())?;
    if !facts.is_some_and(|facts| facts.implementable) {
        return env.reject(unsupported());
    }
    // All that the structures' own tests refuse in 6.18 are sleepable programs for some members.
    if env.prog.sleepable
        && let Some(check) = ops.check_member
        && !member_may_sleep(env, check, member.name())?
    {
        return env.reject_with(Errno::EINVAL, unsupported());
    }
    let tail_call = |subprog: &Subprog| subprog.flags.contains(SubprogFlags::HAS_TAIL_CALL);
    if env.subprogs.iter().any(tail_call)
        && reference_arguments(btf, ty.name(), member.name()).next().is_some()
    {
        return env.reject(Attach::TailCallWithReference);
    }
    env.prog.attach_btf = Some(btf);
    env.prog.attach_btf_id = TypeId(btf_id);
    env.prog.attach_func_proto = Some(proto);
    env.prog.attach_func_name = Some(member.name());
    Ok(())
}

/// Whether a sleepable program may implement a member, by what `check_member` of its structure is
/// (`kernel/sched/ext.c`, `net/bpf/bpf_dummy_struct_ops.c` of Linux 6.18).
fn member_may_sleep<O: Observer>(env: &Env<'_, O>, check: &str, member: &str) -> Step<bool> {
    const SCHED_EXT: [&str; 8] = [
        "init_task",
        "cgroup_init",
        "cgroup_exit",
        "cgroup_prep_move",
        "cpu_online",
        "cpu_offline",
        "init",
        "exit",
    ];
    Ok(match check {
        "bpf_scx_check_member" => SCHED_EXT.contains(&member),
        "bpf_dummy_ops_check_member" => member == "test_sleepable",
        _ => !matches!(env.kernel.sleepable(&env.context())?, Sleepable::No(_)),
    })
}

/// The places of the arguments of a struct_ops member that the program must give back: their names
/// end in `__ref` in the stub function (`prepare_arg_info` of `kernel/bpf/bpf_struct_ops.c`).
pub(crate) fn reference_arguments<'b>(
    btf: &'b Btf<'_>,
    structure: &str,
    member: &str,
) -> impl Iterator<Item = usize> + use<'b> {
    let stub = Text::format(format_args!("{structure}__{member}"));
    let stub = btf.find_by_name(stub.as_str(), Kind::Func);
    let func = stub.and_then(|id| btf.type_by_id(id).ok()?.as_func());
    let proto = func.and_then(|func| btf.type_by_id(func.proto).ok()?.as_func_proto());
    let params = proto.into_iter().flat_map(|proto| proto.params.enumerate());
    let is_reference = |name: &str| name.strip_suffix("__ref").is_some_and(|name| !name.is_empty());
    params.filter(move |(_, param)| is_reference(param.name())).map(|(place, _)| place)
}

/// `btf_type_resolve_func_ptr`
fn function_pointer(btf: &Btf<'_>, id: TypeId) -> Option<TypeId> {
    let pointer = btf.skip_modifiers(id).ok().filter(|ty| ty.kind() == Kind::Ptr)?;
    let pointee = btf.skip_modifiers(pointer.target()?).ok()?;
    (pointee.kind() == Kind::FuncProto).then(|| pointee.id())
}

/// `bpf_check_attach_target` for kernel functions, and what `check_attach_btf_id` tests after it.
fn check_target<O: Observer>(env: &mut Env<'_, O>) -> Step {
    if let (Target::Program { btf_id, .. }, Some(target)) = (&env.request.attach, env.prog.target) {
        return program_target::check(env, target, *btf_id);
    }
    let Some((btf, btf_id)) = target_btf(env)? else { return env.reject(Attach::NoBtfId) };
    let Ok(ty) = btf.type_by_id(TypeId(btf_id)) else {
        return env.reject(Attach::InvalidBtfId { btf_id });
    };
    if env.prog.prog_type == ProgType::EXT {
        return env.reject(Attach::ReplaceKernelFunction);
    }
    check_request_name(env, &ty)?;
    env.prog.attach_btf = Some(btf);
    env.prog.attach_btf_id = TypeId(btf_id);
    match env.prog.attach_type {
        AttachType::TRACE_RAW_TP => check_raw_tracepoint(env, btf, &ty),
        AttachType::TRACE_ITER => check_iterator(env, btf, &ty),
        AttachType::MODIFY_RETURN
        | AttachType::LSM_MAC
        | AttachType::LSM_CGROUP
        | AttachType::TRACE_FENTRY
        | AttachType::TRACE_FEXIT => check_function(env, btf, &ty),
        _ => Err(Stop::Rejected(Errno::EINVAL)),
    }
}

/// Answers about helpers and contexts go by the name in the request, so it must be that of the id.
fn check_request_name<O: Observer>(env: &Env<'_, O>, ty: &Type<'_>) -> Step {
    const PREFIXES: [&str; 4] = ["", "bpf_lsm_", "btf_trace_", "bpf_iter_"];
    let Some(name) = env.request.context().attach_name else { return Ok(()) };
    let same = PREFIXES.iter().any(|prefix| ty.name().strip_prefix(prefix) == Some(name));
    if same {
        Ok(())
    } else {
        // The request contradicts itself.
        env.unsupported("attach_btf_id of another type than the one named", ty.name())
    }
}

fn check_raw_tracepoint<'a, O: Observer>(
    env: &mut Env<'a, O>,
    btf: &'a Btf<'a>,
    ty: &Type<'a>,
) -> Step {
    let btf_id = ty.id().0;
    if ty.kind() != Kind::Typedef {
        return env.reject(Attach::NotTypedef { btf_id });
    }
    let Some(name) = ty.name().strip_prefix("btf_trace_") else {
        return env.reject(Attach::WrongTypeName { btf_id, name: Text::new(ty.name()) });
    };
    if !env.kernel.tracepoint(name)?.is_some_and(|tracepoint| tracepoint.raw) {
        return Err(Stop::Rejected(Errno::EINVAL));
    }
    // The kernel takes the prototype of the template function, which differs from the typedef's
    // only in that its arguments have names.
    let template = Text::format(format_args!("__bpf_trace_{name}"));
    let proto = match btf.find_by_name(template.as_str(), Kind::Func) {
        Some(id) => btf.type_by_id(id).ok().and_then(|ty| ty.target()),
        None => function_pointer(btf, TypeId(ty.size_or_type())),
    };
    if proto.is_none() {
        return Err(Stop::Rejected(Errno::EINVAL));
    }
    env.prog.attach_func_proto = proto;
    env.prog.attach_func_name = Some(name);
    Ok(())
}

fn check_iterator<'a, O: Observer>(env: &mut Env<'a, O>, btf: &'a Btf<'a>, ty: &Type<'a>) -> Step {
    resolve_function(env, btf, ty)?;
    let Some(target) = ty.name().strip_prefix("bpf_iter_") else {
        return Err(Stop::Rejected(Errno::EINVAL));
    };
    if env.kernel.iter_target(target)?.is_none() {
        return Err(Stop::Rejected(Errno::EINVAL));
    }
    Ok(())
}

/// The target is a function whose calls can be modelled.
fn resolve_function<'a, O: Observer>(
    env: &mut Env<'a, O>,
    btf: &'a Btf<'a>,
    ty: &Type<'a>,
) -> Step {
    let Some(func) = ty.as_func() else {
        return env.reject(Attach::NotFunction { btf_id: ty.id().0 });
    };
    let proto = btf.type_by_id(func.proto).ok().and_then(|ty| ty.as_func_proto());
    let Some(proto) = proto else { return Err(Stop::Rejected(Errno::EINVAL)) };
    check_model(env, btf, ty.name(), proto)?;
    env.prog.attach_func_proto = Some(func.proto);
    env.prog.attach_func_name = Some(ty.name());
    Ok(())
}

fn check_function<'a, O: Observer>(env: &mut Env<'a, O>, btf: &'a Btf<'a>, ty: &Type<'a>) -> Step {
    resolve_function(env, btf, ty)?;
    let (name, btf_id) = (ty.name(), ty.id().0);
    refuse_wide_result(env, btf, name)?;
    if env.kernel.symbol(name)?.is_none() {
        return env.reject(Attach::NoAddress { name: Text::new(name) });
    }
    if env.prog.sleepable {
        if !target_may_sleep(env, name)? {
            return env.reject(Attach::NotSleepable { name: Text::new(name) });
        }
    } else if env.prog.attach_type == AttachType::MODIFY_RETURN && !is_modifiable(env, name)? {
        return env.reject(Attach::NotModifiable { name: Text::new(name) });
    }
    if env.prog.prog_type == ProgType::LSM {
        return check_lsm_hook(env, name, btf_id);
    }
    if is_listed(env, NameList::DeniedTargets, name)? {
        if !env.has(Behaviour::DenialsNameFunctions) {
            return Err(Stop::Rejected(Errno::EINVAL));
        }
        return env.reject(Attach::DeniedTarget { name: Text::new(name) });
    }
    let after = matches!(env.prog.attach_type, AttachType::TRACE_FEXIT | AttachType::MODIFY_RETURN);
    if after && is_listed(env, NameList::NoReturnTargets, name)? {
        return env.reject(Attach::NoReturnTarget { name: Text::new(name) });
    }
    Ok(())
}

/// The trampoline has room for eight bytes of a result (`attach_uses_trampoline_retval`).
pub(super) fn refuse_wide_result<O: Observer>(
    env: &mut Env<'_, O>,
    btf: &Btf<'_>,
    name: &str,
) -> Step {
    let uses = matches!(env.prog.attach_type, AttachType::TRACE_FEXIT | AttachType::MODIFY_RETURN);
    if !uses || !env.has(Behaviour::WideResultsRefused) {
        return Ok(());
    }
    let proto = env.prog.attach_func_proto.and_then(|id| btf.type_by_id(id).ok());
    let returns = proto.and_then(|ty| Some(ty.as_func_proto()?.returns));
    let size = returns.and_then(|id| btf.skip_modifiers(id).ok()?.size());
    if size.is_some_and(|size| size > 8) {
        return env.reject(Attach::WideResult { name: Text::new(name) });
    }
    Ok(())
}

fn is_listed<O: Observer>(env: &Env<'_, O>, list: NameList, name: &str) -> Step<bool> {
    Ok(env.kernel.names(list)?.is_some_and(|names| names.contains(&name)))
}

/// Which functions of `BTF_KFUNC_HOOK_FMODRET` have `KF_SLEEPABLE`, as the sources of Linux 6.18
/// register them (`net/bpf/test_run.c`, `net/mptcp/bpf.c`).
const MODIFY_RETURN_SLEEPABLE: [(&str, bool); 5] = [
    ("bpf_fentry_test1", true),
    ("bpf_modify_return_test", false),
    ("bpf_modify_return_test2", false),
    ("bpf_modify_return_test_tp", false),
    ("update_socket_protocol", false),
];

/// The one hook that is in both `bpf_lsm_disabled_hooks` and `sleepable_lsm_hooks` of
/// `kernel/bpf/bpf_lsm.c`: no program was ever seen to attach there, sleepable or not.
const DISABLED_SLEEPABLE: &str = "inode_need_killpriv";

/// Whether sleepable programs may attach to the function.
fn target_may_sleep<O: Observer>(env: &Env<'_, O>, name: &str) -> Step<bool> {
    match env.prog.prog_type {
        ProgType::TRACING => {
            let injectable = is_listed(env, NameList::ErrorInjection, name)?
                && !is_listed(env, NameList::NonSleepableErrorInjection, name)?;
            if injectable {
                return Ok(true);
            }
            if !is_listed(env, NameList::ModifyReturnKfuncs, name)? {
                return Ok(false);
            }
            match MODIFY_RETURN_SLEEPABLE.iter().find(|(known, _)| *known == name) {
                Some((_, sleepable)) => Ok(*sleepable),
                // One of a module (of `hid_bpf`, say), or of a kernel after 6.18.
                None => env.unsupported("sleepable program on an fmod_ret kfunc", name),
            }
        }
        ProgType::LSM => {
            let hook = name.strip_prefix("bpf_lsm_").unwrap_or(name);
            let facts = env.kernel.lsm_hook(hook)?;
            Ok(facts.is_some_and(|facts| facts.sleepable) || hook == DISABLED_SLEEPABLE)
        }
        _ => Ok(false),
    }
}

/// Whether the function's return value may be replaced (`btf_kfunc_is_modify_return`,
/// `check_attach_modify_return`).
fn is_modifiable<O: Observer>(env: &Env<'_, O>, name: &str) -> Step<bool> {
    Ok(name.starts_with("security_")
        || is_listed(env, NameList::ErrorInjection, name)?
        || is_listed(env, NameList::ModifyReturnKfuncs, name)?)
}

/// `bpf_lsm_verify_prog` (`kernel/bpf/bpf_lsm.c`)
fn check_lsm_hook<O: Observer>(env: &mut Env<'_, O>, name: &str, btf_id: u32) -> Step {
    if !env.prog.gpl_compatible {
        return env.reject(Attach::LsmNeedsGpl);
    }
    let hook = match name.strip_prefix("bpf_lsm_") {
        Some(hook) => env.kernel.lsm_hook(hook)?,
        None => None,
    };
    let Some(hook) = hook else {
        return env.reject(Attach::WrongTypeName { btf_id, name: Text::new(name) });
    };
    if !hook.attachable {
        return env.reject(Attach::DisabledHook { btf_id, name: Text::new(name) });
    }
    Ok(())
}
