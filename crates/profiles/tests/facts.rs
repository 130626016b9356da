// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Known cells and invariants of the built-in kernels, without the decoded data that they were
//! made of (`cargo xtask profile compare` looks at every cell).

use veristable_btf::Kind;
use veristable_kernel::{
    Allowed, ArgBase, AttachType, Behaviour, CtxAccess, CtxAnswer, DesignId, Direction, FactKind,
    HelperAnswer, HelperBtf, HelperId, JitFeature, Kernel, KfuncFlags, KfuncRef, MapType, NameList,
    Origin, Profile, ProgContext, ProgType, RegBase, ReturnRange, Sleepable, TypeFlags,
};

fn kernels() -> Vec<Profile> {
    veristable_profiles::list()
        .map(|kernel| veristable_profiles::open(&kernel.to_string()).unwrap())
        .collect()
}

fn kernel(name: &str) -> Profile {
    veristable_profiles::open(name).unwrap()
}

const fn of(prog_type: ProgType) -> ProgContext<'static> {
    ProgContext::of(prog_type)
}

fn attached(
    prog_type: ProgType,
    attach: AttachType,
    name: Option<&'static str>,
) -> ProgContext<'static> {
    ProgContext { expected_attach_type: attach, attach_name: name, ..of(prog_type) }
}

fn helper_id(kernel: &Profile, name: &str) -> HelperId {
    let mut ids = (0..).map(HelperId).take_while(|id| kernel.helper_name(*id).is_some());
    ids.find(|id| kernel.helper_name(*id) == Some(name)).unwrap()
}

/// The prototype that a program gets, `-` if none, or the unknown fact.
fn proto(kernel: &Profile, name: &str, program: &ProgContext<'_>) -> String {
    match kernel.helper(helper_id(kernel, name), program) {
        Ok(HelperAnswer::Available(helper)) => helper.proto.to_owned(),
        Ok(HelperAnswer::NotForProgram) => "-".to_owned(),
        Ok(HelperAnswer::NoSuchHelper) => "no such helper".to_owned(),
        Err(fact) => format!("unknown: {fact}"),
    }
}

#[test]
fn names_and_aliases() {
    for name in ["6.18.15", "6.18.15-amd64", "6.12.117", "6.12.117-amd64"] {
        assert!(veristable_profiles::find(name).is_some(), "{name}");
    }
    for name in ["6.18", "6.18.150", "6.18.15-arm64", "6.18.15-", ""] {
        assert!(veristable_profiles::find(name).is_none(), "{name}");
    }
    let error = veristable_profiles::open("6.18.99").unwrap_err().to_string();
    assert!(error.contains("6.18.99") && error.contains("6.18.15"), "{error}");
    assert_eq!(veristable_profiles::list().next().unwrap().name, veristable_profiles::DEFAULT);
}

#[test]
fn a_function_may_have_a_type_and_no_symbol() {
    let kernel = veristable_profiles::open("6.18.15").unwrap();
    let btf = kernel.btf(None).unwrap().unwrap();
    assert!(btf.find_by_name("blk_account_io_done", Kind::Func).is_some());
    assert_eq!(kernel.symbol("blk_account_io_done"), Ok(None));
}

#[test]
fn every_kernel_holds_together() {
    for kernel in kernels() {
        let name = &kernel.id().name;
        let btf = kernel.btf(None).unwrap().unwrap();
        assert!(btf.find_by_name("task_struct", Kind::Struct).is_some(), "{name}");
        assert_eq!(kernel.config("CONFIG_BPF_SYSCALL"), Ok(Some("y")), "{name}");
        assert_eq!(kernel.config("CONFIG_NO_SUCH"), Ok(None), "{name}");
        for kind in FactKind::ALL {
            assert_ne!(kernel.origin(*kind), Origin::Unknown, "{name} {kind}");
        }
        // Every kernel has this function; of others only the type is left.
        assert_eq!(kernel.symbol("vfs_read"), Ok(Some(0)), "{name}");
        assert!(kernel.symbol("no_such_symbol").is_err(), "{name}");
        // Every kernel type that a table names has the id that it says.
        let mut facts = kernel.facts().clone();
        let strings = facts.strings.clone();
        for row in facts.type_rows_mut() {
            let ty = btf.type_by_id(veristable_btf::TypeId(row.id)).unwrap();
            assert_eq!((ty.name(), row.id != 0), (strings.get(row.name), true), "{name}");
        }
        for kfunc in &kernel.facts().kfuncs {
            let ty = btf.type_by_id(veristable_btf::TypeId(kfunc.btf_id)).unwrap();
            assert_eq!(ty.name(), strings.get(kfunc.name), "{name}");
        }
        assert!(kernel.facts().inputs.iter().all(|input| input.sha256.len() == 64), "{name}");
        assert!(kernel.btf(Some("nf_conntrack")).is_err(), "{name}: modules are not described");
    }
}

#[test]
fn helpers_by_program() {
    let check = |name: &str, helper: &str, program: &ProgContext<'_>, want: &str| {
        let got = proto(&kernel(name), helper, program);
        assert!(got.starts_with(want), "{name} {helper} {program:?}: {got}");
    };
    for name in ["6.18.15", "6.12.117"] {
        let xdp = of(ProgType::XDP);
        check(name, "map_lookup_elem", &xdp, "bpf_map_lookup_elem_proto");
        check(name, "xdp_adjust_head", &xdp, "bpf_xdp_adjust_head_proto");
        check(name, "xdp_adjust_head", &of(ProgType::SCHED_CLS), "-");
        check(name, "unspec", &xdp, "-");
        // The attach type decides.
        let kprobe = |attach| attached(ProgType::KPROBE, attach, None);
        let multi = kprobe(AttachType::TRACE_KPROBE_MULTI);
        check(name, "get_func_ip", &of(ProgType::KPROBE), "bpf_get_func_ip_proto_kprobe");
        check(name, "get_func_ip", &multi, "bpf_get_func_ip_proto_kprobe_multi");
        // Not measured, and the measured ones differ.
        let unknown = kprobe(AttachType(1000));
        check(name, "get_func_ip", &unknown, "unknown: helper bpf_get_func_ip");
        check(name, "map_lookup_elem", &unknown, "bpf_map_lookup_elem_proto");
        // Any target is like the measured one.
        let fentry = attached(ProgType::TRACING, AttachType::TRACE_FENTRY, Some("vfs_read"));
        check(name, "get_func_arg", &fentry, "bpf_get_func_arg_proto");
        check(name, "seq_printf", &fentry, "-");
        // Sleepable iterators were not measured; sleepable fentry programs were.
        let iter = ProgContext {
            sleepable: true,
            ..attached(ProgType::TRACING, AttachType::TRACE_ITER, Some("cgroup"))
        };
        check(name, "seq_printf", &iter, "bpf_seq_printf_proto");
        // The hook decides.
        let cgroup = |hook| attached(ProgType::LSM, AttachType::LSM_CGROUP, Some(hook));
        check(name, "setsockopt", &cgroup("socket_bind"), "-");
        check(
            name,
            "setsockopt",
            &cgroup("socket_post_create"),
            "bpf_unlocked_sk_setsockopt_proto",
        );
        check(name, "setsockopt", &cgroup("sock_graft"), "bpf_sk_setsockopt_proto");
        let member = |member| ProgContext {
            struct_ops: Some(("tcp_congestion_ops", member)),
            ..of(ProgType::STRUCT_OPS)
        };
        check(name, "tcp_send_ack", &member("ssthresh"), "bpf_tcp_send_ack_proto");
        check(name, "setsockopt", &member("release"), "-");
        check(name, "setsockopt", &member("no_such"), "unknown");
    }
    // Where there are sessions, those of uprobes have what uprobes of several places have.
    let session = attached(ProgType::KPROBE, AttachType::TRACE_UPROBE_SESSION, None);
    check("6.18.15", "get_func_ip", &session, "bpf_get_func_ip_proto_uprobe_multi");
    check("6.12.117", "get_func_ip", &session, "unknown: helper bpf_get_func_ip");
    let last = HelperId(10_000);
    let kernel = kernel("6.18.15");
    assert_eq!(kernel.helper(last, &of(ProgType::XDP)), Ok(HelperAnswer::NoSuchHelper));
}

#[test]
fn prototypes_are_typed() {
    let kernel = kernel("6.18.15");
    let get = |name: &str, program| match kernel.helper(helper_id(&kernel, name), program) {
        Ok(HelperAnswer::Available(helper)) => helper,
        other => panic!("{name}: {other:?}"),
    };
    let xdp = of(ProgType::XDP);
    let update = get("map_update_elem", &xdp);
    assert!(update.pkt_access && !update.gpl_only);
    assert_eq!(
        update.args.map(|arg| arg.ty.base),
        [
            ArgBase::ConstMapPtr,
            ArgBase::MapKey,
            ArgBase::MapValue,
            ArgBase::Anything,
            ArgBase::DontCare
        ]
    );
    let sysctl = of(ProgType::CGROUP_SYSCTL);
    let strtol = get("strtol", &sysctl);
    assert_eq!(strtol.args[3].size, 8);
    assert!(strtol.args[3].ty.flags.contains(TypeFlags::MEM_FIXED_SIZE | TypeFlags::MEM_WRITE));
    let program = attached(ProgType::TRACING, AttachType::TRACE_FENTRY, Some("vfs_read"));
    let stack = get("get_task_stack", &program);
    let HelperBtf::Type(ty) = stack.args[0].btf else { panic!("{:?}", stack.args[0].btf) };
    assert_eq!((ty.name, kernel.kernel_type(&ty)), ("task_struct", ty.id));
    // bpf_d_path_allowed.
    assert_eq!(get("d_path", &program).allowed, Allowed::No);
    let getattr = ProgContext { attach_name: Some("vfs_getattr"), ..program };
    assert_eq!(get("d_path", &getattr).allowed, Allowed::Yes);
    let unnamed = ProgContext { attach_name: None, ..program };
    assert!(matches!(get("d_path", &unnamed).allowed, Allowed::Unknown(_)));
}

#[test]
fn kfuncs_by_program() {
    let kernel = kernel("6.18.15");
    let ask = |name: &str, program: &ProgContext<'_>| {
        kernel.kfunc(KfuncRef::Name(name), program).map(|kfunc| kfunc.map(|k| k.allowed))
    };
    assert_eq!(ask("bpf_iter_num_new", &of(ProgType::SOCKET_FILTER)), Ok(Some(true)));
    assert_eq!(ask("bpf_cgroup_acquire", &of(ProgType::SK_MSG)), Ok(Some(false)));
    assert_eq!(ask("bpf_cgroup_acquire", &of(ProgType::XDP)), Ok(Some(true)));
    assert_eq!(ask("no_such_kfunc", &of(ProgType::XDP)), Ok(None));
    // Filters: by attach type, and by program type.
    let iter = attached(ProgType::TRACING, AttachType::TRACE_ITER, Some("udp"));
    let fentry = attached(ProgType::TRACING, AttachType::TRACE_FENTRY, Some("vfs_read"));
    assert_eq!(ask("bpf_sock_destroy", &iter), Ok(Some(true)));
    assert_eq!(ask("bpf_sock_destroy", &fentry), Ok(Some(false)));
    let kprobe = |attach| attached(ProgType::KPROBE, attach, None);
    let uprobe = kprobe(AttachType::TRACE_UPROBE_SESSION);
    assert_eq!(ask("bpf_session_cookie", &uprobe), Ok(Some(true)));
    assert_eq!(ask("bpf_session_cookie", &kprobe(AttachType::TRACE_UPROBE_MULTI)), Ok(Some(false)));
    let member =
        |ops, member| ProgContext { struct_ops: Some((ops, member)), ..of(ProgType::STRUCT_OPS) };
    assert_eq!(ask("scx_bpf_dsq_insert", &member("sched_ext_ops", "enqueue")), Ok(Some(true)));
    assert_eq!(ask("bpf_qdisc_skb_drop", &member("Qdisc_ops", "enqueue")), Ok(Some(true)));
    assert_eq!(ask("bpf_qdisc_skb_drop", &member("Qdisc_ops", "init")), Ok(Some(false)));
    let kfunc = kernel.kfunc(KfuncRef::Name("bpf_cgroup_acquire"), &of(ProgType::XDP));
    let kfunc = kfunc.unwrap().unwrap();
    assert_eq!(kfunc.flags, KfuncFlags::ACQUIRE | KfuncFlags::RET_NULL | KfuncFlags::RCU);
    let by_id = kernel.kfunc(KfuncRef::BtfId(kfunc.btf_id.unwrap()), &of(ProgType::XDP));
    assert_eq!(by_id, Ok(Some(kfunc)));
}

#[test]
fn context_access() {
    let kernel = kernel("6.18.15");
    let check = |program: &ProgContext<'_>, (offset, size, direction), want: &str| {
        let access = CtxAccess { offset, size, direction, sign_extend: false };
        let got = match kernel.context(access, program) {
            Ok(CtxAnswer::Allowed(field)) => format!("{} {}", field.ty, field.field_size),
            Ok(CtxAnswer::Refused) => "refused".to_owned(),
            Ok(CtxAnswer::ByBtf) => "by BTF".to_owned(),
            Err(fact) => format!("unknown: {fact}"),
        };
        assert!(got.starts_with(want), "{program:?} {access:?}: {got}");
    };
    use Direction::{Read, Write};
    let xdp = of(ProgType::XDP);
    check(&xdp, (0, 4, Read), "PTR_TO_PACKET 0");
    check(&xdp, (4, 4, Read), "PTR_TO_PACKET_END 0");
    check(&xdp, (0, 2, Read), "refused");
    check(&xdp, (0, 4, Write), "refused");
    check(&xdp, (-4, 4, Read), "refused");
    check(&xdp, (400_000, 4, Read), "refused");
    let tc = of(ProgType::SCHED_CLS);
    check(&tc, (2, 1, Read), "SCALAR_VALUE 4");
    check(&tc, (8, 4, Write), "SCALAR_VALUE 0");
    check(&of(ProgType::TRACEPOINT), (4000, 8, Read), "SCALAR_VALUE 0");
    check(&of(ProgType::TRACEPOINT), (4001, 8, Read), "refused");
    check(&of(ProgType::TRACEPOINT), (8192, 8, Read), "refused");
    // Beyond what was measured the rule is known: below U16_MAX, aligned (syscall_prog_is_valid_access).
    check(&of(ProgType::SYSCALL), (40_000, 8, Read), "SCALAR_VALUE 0");
    check(&of(ProgType::SYSCALL), (40_004, 8, Read), "refused");
    check(&of(ProgType::SYSCALL), (65_534, 1, Write), "SCALAR_VALUE 0");
    check(&of(ProgType::SYSCALL), (65_535, 1, Write), "refused");
    let fentry = attached(ProgType::TRACING, AttachType::TRACE_FENTRY, Some("vfs_read"));
    check(&fentry, (0, 8, Read), "by BTF");
    // A sign-extending load of a packet pointer.
    let access = CtxAccess { offset: 0, size: 4, direction: Read, sign_extend: true };
    assert_eq!(kernel.context(access, &xdp), Ok(CtxAnswer::Refused));
}

#[test]
fn program_types_and_attachment() {
    let new = kernel("6.18.15");
    let xdp = new.prog_type(&of(ProgType::XDP)).unwrap().unwrap();
    assert_eq!((xdp.context_struct, xdp.has_helpers), (Some("xdp_md"), true));
    assert_eq!(new.prog_type(&of(ProgType(999))), Ok(None));
    let check = |program: &ProgContext<'_>, want| {
        assert_eq!(new.return_range(program), Ok(want), "{program:?}");
    };
    check(&of(ProgType::XDP), ReturnRange::Any);
    let skb = |attach| attached(ProgType::CGROUP_SKB, attach, None);
    check(&skb(AttachType::CGROUP_INET_EGRESS), ReturnRange::Within(0, 3));
    let lsm = |hook| attached(ProgType::LSM, AttachType::LSM_MAC, Some(hook));
    check(&lsm("file_open"), ReturnRange::Within(-4095, 0));
    check(&lsm("inode_xattr_skipcap"), ReturnRange::Within(0, 1));
    check(&lsm("file_free_security"), ReturnRange::Any);
    assert_eq!(new.sleepable(&lsm("file_open")), Ok(Sleepable::Yes));
    assert!(
        matches!(new.sleepable(&of(ProgType::XDP)), Ok(Sleepable::No(text)) if !text.is_empty())
    );
    let fentry = attached(ProgType::TRACING, AttachType::TRACE_FENTRY, Some("vfs_read"));
    assert!(new.sleepable(&fentry).is_err(), "the target decides");
    let hook = new.lsm_hook("file_open").unwrap().unwrap();
    assert!(hook.attachable && hook.sleepable && hook.cgroup);
    assert_eq!(new.lsm_hook("no_such_hook"), Ok(None));
    let switch = new.tracepoint("sched_switch").unwrap().unwrap();
    assert_eq!((switch.raw, switch.num_args), (true, 4));
    assert_ne!(new.tracepoint("sched_pi_setprio").unwrap().unwrap().null_args, 0);
    assert!(new.iter_target("task").unwrap().is_some());
    assert_eq!(new.iter_target("no_such_target"), Ok(None));
    let member = new.struct_ops_member("tcp_congestion_ops", "get_info").unwrap().unwrap();
    assert!(!member.implementable);
    let member = new.struct_ops_member("sched_ext_ops", "dispatch").unwrap().unwrap();
    let args: Vec<_> = member.args().map(|arg| (arg.offset, arg.btf.map(|ty| ty.name))).collect();
    assert_eq!(args, [(0, None), (8, Some("task_struct"))]);
    // sched_ext came with 6.12 and Debian's 6.12 does not build it.
    assert_eq!(kernel("6.12.117").struct_ops("sched_ext_ops"), Ok(None));
}

#[test]
fn other_tables() {
    for kernel in kernels() {
        let name = &kernel.id().name;
        let hash = kernel.map_type(MapType::HASH).unwrap().unwrap();
        assert_eq!(hash.op("map_lookup_elem"), Some("htab_map_lookup_elem"), "{name}");
        assert_eq!(hash.btf.map(|ty| ty.name), Some("bpf_htab"), "{name}");
        assert_eq!(kernel.map_type(MapType::INSN_ARRAY), Ok(None), "{name}");
        let special = kernel.names(NameList::SpecialKfuncs).unwrap().unwrap();
        assert!(special.contains(&"bpf_obj_new_impl"), "{name}");
        let deny = kernel.names(NameList::DeniedTargets).unwrap().unwrap();
        assert!(deny.contains(&"migrate_disable"), "{name}");
        // Neither kernel has function error injection, so that the list is empty, not unknown.
        assert_eq!(kernel.config("CONFIG_FUNCTION_ERROR_INJECTION"), Ok(None), "{name}");
        assert!(kernel.names(NameList::ErrorInjection).unwrap().unwrap().is_empty(), "{name}");
        assert!(kernel.names(NameList::PacketChangingHelpers).is_err(), "{name}");
        assert_eq!(kernel.dtor("task_struct"), Ok(Some("bpf_task_release_dtor")), "{name}");
        let regs = kernel.compatible_registers(ArgBase::Timer).unwrap().unwrap();
        assert_eq!(regs.types.iter().map(|ty| ty.base).collect::<Vec<_>>(), [RegBase::MapValue]);
        let sock = kernel.register_btf(RegBase::Socket).unwrap().unwrap();
        assert_eq!(sock.name, "sock", "{name}");
        assert_eq!(kernel.jit(JitFeature::Arena), Ok(true), "{name}");
        assert_eq!(kernel.limits().complexity_insns, 1_000_000, "{name}");
    }
    let (new, old) = (kernel("6.18.15"), kernel("6.12.117"));
    assert_eq!((new.design(), old.design()), (DesignId::V6_18, DesignId::V6_12));
    // A backport: the older package has it, the newer one does not.
    assert!(old.behaviours().has(Behaviour::ForkOnSignMask));
    assert!(!new.behaviours().has(Behaviour::ForkOnSignMask));
    assert_eq!(new.jit(JitFeature::TimedMayGoto), Ok(true));
    assert_eq!(old.jit(JitFeature::TimedMayGoto), Ok(false));
}
