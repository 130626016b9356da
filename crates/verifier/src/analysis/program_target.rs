// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Attaching to a function of another BPF program: what is refused whatever the verification of
//! that program found out (`bpf_check_attach_target` with a target program).

use crate::analysis::kfuncs::model_problem;
use crate::env::Env;
use crate::errno::Errno;
use crate::mem::Text;
use crate::messages::Attach;
use crate::outcome::{Step, Stop};
use crate::trace::Observer;
use veristable_btf::{Btf, Kind, Type, TypeId};
use veristable_kernel::{AttachType, Behaviour, ProgType};
use veristable_program::{Attach as Target, Blob, LoadRequest};

/// Tests a function of another program as a target.
pub(super) fn check<O: Observer>(env: &mut Env<'_, O>, target: &Blob, btf_id: u32) -> Step {
    if btf_id == 0 {
        return env.reject(Attach::NoBtfId);
    }
    let Ok(target) = LoadRequest::from_bytes(target) else {
        return env.unsupported("target program that cannot be read", "");
    };
    // The kernel keeps a program's BTF only where records refer to it.
    let has_records = target.func_info.count != 0 || target.line_info.count != 0;
    let Some(bytes) = target.btf.as_ref().filter(|_| has_records) else {
        return env.reject(Attach::NoTargetBtf);
    };
    let Ok(btf) = Btf::open(&**bytes) else {
        return env.unsupported("target program that cannot be loaded", "");
    };
    let Ok(ty) = btf.type_by_id(TypeId(btf_id)) else {
        return env.reject(Attach::InvalidBtfId { btf_id });
    };
    if !has_function(&target, btf_id) {
        return env.reject(Attach::NoSubprogram { name: Text::new(ty.name()) });
    }
    let is_tag =
        |ty: Type<'_>| ty.kind() == Kind::DeclTag && ty.name().starts_with("exception_callback:");
    if btf.types().any(is_tag) {
        return env.unsupported("attaching to a program with an exception callback", "");
    }
    if env.prog.prog_type == ProgType::EXT {
        return env.unsupported("replacing a function of a BPF program", "");
    }
    if is_nested(&target) {
        return env.reject(Attach::NestedTracing);
    }
    check_attach_type(env, &btf, &ty)
}

/// Whether a function info record has the type.
fn has_function(target: &LoadRequest, btf_id: u32) -> bool {
    let records = target.func_info.bytes.chunks_exact(target.func_info.rec_size.max(1) as usize);
    records
        .take(target.func_info.count as usize)
        .any(|record| record.get(4..8).is_some_and(|id| id == btf_id.to_le_bytes().as_slice()))
}

/// Whether the target is itself a tracing program of a tracing program.
fn is_nested(target: &LoadRequest) -> bool {
    let Target::Program { target: inner, .. } = &target.attach else { return false };
    target.prog_type == ProgType::TRACING
        && LoadRequest::from_bytes(inner).is_ok_and(|inner| inner.prog_type == ProgType::TRACING)
}

fn check_attach_type<O: Observer>(env: &mut Env<'_, O>, btf: &Btf<'_>, ty: &Type<'_>) -> Step {
    let bare = Err(Stop::Rejected(Errno::EINVAL));
    let func = ty.as_func();
    let proto = func.and_then(|func| btf.type_by_id(func.proto).ok()?.as_func_proto());
    match env.prog.attach_type {
        AttachType::TRACE_RAW_TP => env.reject(Attach::OnlyFentryOnPrograms),
        AttachType::TRACE_ITER
        | AttachType::MODIFY_RETURN
        | AttachType::TRACE_FENTRY
        | AttachType::TRACE_FEXIT => {
            let Some(proto) = proto else { return bare };
            if model_problem(btf, ty.name(), proto, env.has(Behaviour::UnionsByValue)).is_some() {
                // Tested unless the verification of the target found its types unreliable.
                return env.unsupported("function of a BPF program as a target", ty.name());
            }
            if env.prog.attach_type == AttachType::TRACE_ITER {
                return if ty.name().starts_with("bpf_iter_") {
                    env.unsupported("function of a BPF program as a target", ty.name())
                } else {
                    bare
                };
            }
            if env.prog.sleepable {
                return env.reject(Attach::NotSleepable { name: Text::new(ty.name()) });
            }
            if env.prog.attach_type == AttachType::MODIFY_RETURN {
                return env.reject(Attach::ModifyReturnOfProgram);
            }
            env.unsupported("attaching to a BPF program", "")
        }
        _ => bare,
    }
}
