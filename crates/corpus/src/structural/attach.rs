// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Attach targets: `check_attach_btf_id`, `bpf_check_attach_target`, `check_struct_ops_btf_id`
//! (`kernel/bpf/verifier.c`) and the part of `bpf_prog_load` in front of them.

use veristable_btf::{Btf, Kind, TypeId};
use veristable_isa::Insn;
use veristable_kernel::{AttachType, ProgType};
use veristable_program::{Attach, Blob, LoadRequest, ProgFlags};

use super::code::{EXIT, Types, ZERO, call, functions, mov};
use super::{Cases, program};

/// `BTF_MAX_TYPE` (`include/uapi/linux/btf.h`).
const MAX_TYPE: u32 = 0x000f_ffff;

/// Attach types that name a target by id, with the program type that they go with.
const TARGETED: [(ProgType, AttachType, &str); 7] = [
    (ProgType::TRACING, AttachType::TRACE_FENTRY, "fentry"),
    (ProgType::TRACING, AttachType::TRACE_FEXIT, "fexit"),
    (ProgType::TRACING, AttachType::MODIFY_RETURN, "fmod_ret"),
    (ProgType::TRACING, AttachType::TRACE_RAW_TP, "tp_btf"),
    (ProgType::TRACING, AttachType::TRACE_ITER, "iter"),
    (ProgType::LSM, AttachType::LSM_MAC, "lsm"),
    (ProgType::LSM, AttachType::LSM_CGROUP, "lsm_cgroup"),
];

pub(super) fn add(cases: &mut Cases) {
    kernel_ids(cases);
    other_types(cases);
    programs(cases);
}

/// Targets of the kernel's own types.
pub(super) fn add_linked(cases: &mut Cases, btf: &Btf<'_>) {
    for (name, kind) in [
        ("vfs_read", Kind::Func),
        ("bpf_fentry_test1", Kind::Func),
        ("bpf_modify_return_test", Kind::Func),
        ("security_file_open", Kind::Func),
        ("bpf_lsm_file_open", Kind::Func),
        ("bpf_lsm_inode_need_killpriv", Kind::Func),
        ("bpf_lsm_task_to_inode", Kind::Func),
        ("bpf_lsm_vm_enough_memory", Kind::Func),
        ("bpf_iter_task", Kind::Func),
        ("bpf_iter_bpf_map", Kind::Func),
        ("migrate_disable", Kind::Func),
        ("rcu_read_unlock_strict", Kind::Func),
        ("__rcu_read_lock", Kind::Func),
        ("do_exit", Kind::Func),
        ("__x64_sys_getpgid", Kind::Func),
        ("should_failslab", Kind::Func),
        ("printk", Kind::Func),
        ("_printk", Kind::Func),
        ("task_struct", Kind::Struct),
        ("int", Kind::Int),
        ("pid_t", Kind::Typedef),
        ("btf_trace_sched_switch", Kind::Typedef),
        ("btf_trace_task_newtask", Kind::Typedef),
    ] {
        let Some(id) = btf.find_by_name(name, kind) else { continue };
        for (prog_type, attach_type, how) in TARGETED {
            for flags in [ProgFlags::empty(), ProgFlags::SLEEPABLE] {
                let mut request = to_kernel(prog_type, attach_type, name, id.0);
                request.flags = flags;
                let sleepable = if flags.is_empty() { "" } else { ", sleepable" };
                cases.add(format!("attach/{how} of {name}{sleepable}"), request);
            }
        }
        let other = to_kernel(ProgType::TRACING, AttachType(0), name, id.0);
        cases.add(format!("attach/tracing without an attach type of {name}"), other);
        let replaced = to_kernel(ProgType::EXT, AttachType(0), name, id.0);
        cases.add(format!("attach/replacement of {name}"), replaced);
    }
    struct_ops(cases, btf);
}

/// A program that returns 0 and attaches to this id.
fn to_kernel(prog_type: ProgType, attach_type: AttachType, name: &str, id: u32) -> LoadRequest {
    let mut request = program(prog_type, [ZERO, EXIT]);
    request.expected_attach_type = attach_type;
    request.attach = Attach::Kernel { name: name.into(), btf_id: id, module: None, member: None };
    request
}

/// Ids that name nothing in any kernel.
fn kernel_ids(cases: &mut Cases) {
    let more = [
        (ProgType::TRACING, AttachType(0), "tracing without an attach type"),
        (ProgType::TRACING, AttachType(1000), "tracing of attach type 1000"),
        (ProgType::LSM, AttachType(0), "lsm without an attach type"),
        (ProgType::LSM, AttachType::TRACE_FENTRY, "lsm as fentry"),
        (ProgType::STRUCT_OPS, AttachType(0), "struct_ops"),
        (ProgType::EXT, AttachType(0), "replacement"),
    ];
    for (prog_type, attach_type, how) in TARGETED.into_iter().chain(more) {
        for id in [0, 0xf_0000, MAX_TYPE, MAX_TYPE + 1, u32::MAX] {
            let request = to_kernel(prog_type, attach_type, "", id);
            cases.add(format!("attach/{how} of type {id:#x}"), request);
        }
    }
}

/// Program types that take no id.
fn other_types(cases: &mut Cases) {
    for prog_type in [
        ProgType::SOCKET_FILTER,
        ProgType::KPROBE,
        ProgType::XDP,
        ProgType::RAW_TRACEPOINT,
        ProgType::SYSCALL,
        ProgType::NETFILTER,
    ] {
        let mut request = to_kernel(prog_type, AttachType(0), "", 1);
        if prog_type == ProgType::NETFILTER {
            request.expected_attach_type = AttachType::NETFILTER;
        }
        let name = prog_type.name().unwrap_or_default();
        cases.add(format!("attach/{name} with an id"), request);
    }
}

/// The program that others attach to: main, a static and a global subprogram.
fn target(types: &Types, prog_type: ProgType) -> LoadRequest {
    let insns: [Insn; 7] = [call(2), call(3), EXIT, ZERO, EXIT, ZERO, EXIT];
    LoadRequest {
        btf: Some(types.finish()),
        func_info: functions(&[(0, types.main), (3, types.sub), (5, types.global_sub)]),
        ..program(prog_type, insns)
    }
}

/// Attaches to a function of `target`.
fn to_program(mut request: LoadRequest, target: &LoadRequest, func: &str, id: u32) -> LoadRequest {
    // Nothing that the serialiser refuses can stand in a request.
    let target = target.to_bytes().map(Blob::from).unwrap_or_default();
    request.attach = Attach::Program { target, func: func.into(), btf_id: id };
    request
}

/// Targets in another program.
fn programs(cases: &mut Cases) {
    let types = Types::new();
    let bare = program(ProgType::SOCKET_FILTER, [ZERO, EXIT]);
    let targets = [
        ("a filter", target(&types, ProgType::SOCKET_FILTER)),
        ("XDP", target(&types, ProgType::XDP)),
        ("a filter without types", bare),
    ];
    let functions = [
        ("main", types.main),
        ("sub", types.sub),
        ("global_sub", types.global_sub),
        ("s", types.structure),
        ("sub_enum", function(&types, "enum")),
        ("nothing", TypeId(0)),
        ("what is not there", TypeId(10_000)),
        ("what no types have", TypeId(MAX_TYPE + 1)),
    ];
    let more = [
        (ProgType::EXT, AttachType(0), "replacement"),
        (ProgType::EXT, AttachType(5), "replacement of attach type 5"),
        (ProgType::TRACING, AttachType(0), "tracing without an attach type"),
        (ProgType::STRUCT_OPS, AttachType(0), "struct_ops"),
        (ProgType::XDP, AttachType(0), "XDP"),
    ];
    for (of, target) in &targets {
        for (name, id) in functions {
            for (prog_type, attach_type, how) in TARGETED.into_iter().chain(more) {
                let mut request = replacement(&types, name);
                request.prog_type = prog_type;
                request.expected_attach_type = attach_type;
                let request = to_program(request, target, name, id.0);
                cases.add(format!("attach/{how} of {name} in {of}"), request);
            }
        }
    }
    replacements(cases, &types, &targets[0].1);
}

/// The function of [`Types::returning`] that returns this.
fn function(types: &Types, returned: &str) -> TypeId {
    let found = types.returning.iter().find(|(name, _)| *name == returned);
    found.map_or(TypeId(0), |(_, id)| *id)
}

/// A program of one function, typed like the one that it is to replace.
fn replacement(types: &Types, of: &str) -> LoadRequest {
    let id = if of == "main" { types.main } else { types.global_sub };
    LoadRequest {
        btf: Some(types.finish()),
        func_info: functions(&[(0, id)]),
        ..program(ProgType::EXT, [ZERO, EXIT])
    }
}

/// Replacements whose own type does not fit, and chains.
fn replacements(cases: &mut Cases, types: &Types, target: &LoadRequest) {
    let global = types.global_sub.0;
    let mut case = |name: &str, request: LoadRequest| {
        let request = to_program(request, target, "global_sub", global);
        cases.add(format!("attach/replacement {name}"), request);
    };
    let with = |id: TypeId| LoadRequest {
        func_info: functions(&[(0, id)]),
        ..replacement(types, "global_sub")
    };
    case("with main's type", with(types.main));
    case("that is static", with(types.sub));
    for (name, id) in &types.returning {
        case(&format!("returning {name}"), with(*id));
    }
    let mut untyped = replacement(types, "global_sub");
    untyped.btf = None;
    untyped.func_info = functions(&[]);
    case("without types", untyped);
    let mut sleepable = replacement(types, "global_sub");
    sleepable.flags = ProgFlags::SLEEPABLE;
    case("that sleeps", sleepable);
    case(
        "that returns 1",
        LoadRequest { insns: vec![mov(0, 1), EXIT], ..replacement(types, "global_sub") },
    );
    let first = to_program(replacement(types, "global_sub"), target, "global_sub", global);
    let second = to_program(replacement(types, "global_sub"), &first, "global_sub", global);
    cases.add("attach/replacement of a replacement", second);
    let mut watcher = replacement(types, "global_sub");
    watcher.prog_type = ProgType::TRACING;
    watcher.expected_attach_type = AttachType::TRACE_FENTRY;
    let watcher_main = to_program(watcher.clone(), target, "global_sub", global);
    let again = to_program(watcher.clone(), &watcher_main, "global_sub", global);
    cases.add("attach/fentry of an fentry program", again);
    let replaced =
        to_program(replacement(types, "global_sub"), &watcher_main, "global_sub", global);
    cases.add("attach/replacement of an fentry program", replaced);
    cases.add("attach/fentry of a replacement", to_program(watcher, &first, "global_sub", global));
}

/// Members of the kernel's tables of operations.
fn struct_ops(cases: &mut Cases, btf: &Btf<'_>) {
    for name in ["tcp_congestion_ops", "sched_ext_ops", "hid_bpf_ops", "Qdisc_ops", "task_struct"] {
        let Some(id) = btf.find_by_name(name, Kind::Struct) else { continue };
        let Ok(found) = btf.type_by_id(id) else { continue };
        let members: Vec<String> =
            found.members().iter().map(|member| member.name().to_owned()).take(40).collect();
        let past = u32::try_from(found.members().len()).unwrap_or(u32::MAX);
        let numbers = (0u32..).zip(members).chain([
            (past, "behind the last".to_owned()),
            (u32::MAX, "far behind the last".to_owned()),
        ]);
        for (number, member) in numbers {
            for license in ["GPL", "Proprietary"] {
                if license != "GPL" && number != 0 {
                    continue;
                }
                let mut request = program(ProgType::STRUCT_OPS, [ZERO, EXIT]);
                request.license = license.into();
                request.expected_attach_type = AttachType(number);
                request.attach = Attach::Kernel {
                    name: name.into(),
                    btf_id: id.0,
                    module: None,
                    member: Some(member.clone()),
                };
                let id = format!("attach/struct_ops {name} {number} {member}, {license}");
                cases.add(id, request);
            }
        }
    }
}
