// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The kinds of programs, and what each of them may do on a kernel.

use std::sync::OnceLock;

use veristable_btf::{Btf, Kind as TypeKind, TypeData, TypeId};
use veristable_kernel::{
    Allowed, AttachType, CtxAccess, CtxAnswer, Direction, Helper, HelperAnswer, HelperId, Kernel,
    KfuncFlags, KfuncRef, ProgContext, ProgType, RegBase, RegType, ReturnRange,
};
use veristable_program::{Attach, ProgFlags};

use crate::loader::Loader;

use crate::value::{Range, Value, What};

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// How often it is chosen, relative to the others.
    pub(crate) weight: u32,
    pub(crate) prog_type: ProgType,
    pub(crate) attach_type: AttachType,
    /// Name in the kernel's BTF of what it attaches to; `STRUCTURE.MEMBER` for struct_ops.
    pub(crate) target: &'static str,
    /// Flags that it cannot do without.
    pub(crate) flags: ProgFlags,
}

const fn row(weight: u32, prog_type: ProgType) -> Row {
    attached(weight, prog_type, AttachType(0))
}

const fn attached(weight: u32, prog_type: ProgType, attach_type: AttachType) -> Row {
    Row { weight, prog_type, attach_type, target: "", flags: ProgFlags::empty() }
}

const fn tracing(weight: u32, attach_type: AttachType, target: &'static str) -> Row {
    Row { target, ..attached(weight, ProgType::TRACING, attach_type) }
}

const fn lsm(weight: u32, attach_type: AttachType, target: &'static str) -> Row {
    Row { target, ..attached(weight, ProgType::LSM, attach_type) }
}

const fn ops(weight: u32, target: &'static str) -> Row {
    Row { target, ..row(weight, ProgType::STRUCT_OPS) }
}

const fn sleepable(row: Row) -> Row {
    Row { flags: ProgFlags::SLEEPABLE, ..row }
}

use AttachType as A;
use ProgType as P;

/// Every kind.
pub(crate) const ROWS: &[Row] = &[
    row(12, P::SOCKET_FILTER),
    row(16, P::SCHED_CLS),
    row(3, P::SCHED_ACT),
    row(14, P::XDP),
    row(10, P::KPROBE),
    row(6, P::TRACEPOINT),
    row(6, P::RAW_TRACEPOINT),
    row(1, P::RAW_TRACEPOINT_WRITABLE),
    row(3, P::PERF_EVENT),
    attached(2, P::CGROUP_SKB, A::CGROUP_INET_INGRESS),
    attached(2, P::CGROUP_SKB, A::CGROUP_INET_EGRESS),
    attached(1, P::CGROUP_SOCK, A::CGROUP_INET_SOCK_CREATE),
    attached(1, P::CGROUP_SOCK, A::CGROUP_INET4_POST_BIND),
    attached(1, P::CGROUP_SOCK_ADDR, A::CGROUP_INET4_BIND),
    attached(2, P::CGROUP_SOCK_ADDR, A::CGROUP_INET6_CONNECT),
    attached(1, P::CGROUP_SOCK_ADDR, A::CGROUP_UDP4_SENDMSG),
    attached(2, P::CGROUP_DEVICE, A::CGROUP_DEVICE),
    attached(2, P::CGROUP_SYSCTL, A::CGROUP_SYSCTL),
    attached(1, P::CGROUP_SOCKOPT, A::CGROUP_GETSOCKOPT),
    attached(2, P::CGROUP_SOCKOPT, A::CGROUP_SETSOCKOPT),
    attached(4, P::SOCK_OPS, A::CGROUP_SOCK_OPS),
    attached(4, P::SK_SKB, A::SK_SKB_STREAM_VERDICT),
    attached(3, P::SK_MSG, A::SK_MSG_VERDICT),
    attached(3, P::SK_LOOKUP, A::SK_LOOKUP),
    attached(2, P::SK_REUSEPORT, A::SK_REUSEPORT_SELECT_OR_MIGRATE),
    attached(2, P::FLOW_DISSECTOR, A::FLOW_DISSECTOR),
    row(1, P::LWT_IN),
    row(2, P::LWT_XMIT),
    row(1, P::LWT_SEG6LOCAL),
    attached(2, P::NETFILTER, A::NETFILTER),
    sleepable(row(8, P::SYSCALL)),
    tracing(4, A::TRACE_FENTRY, "tcp_v4_connect"),
    tracing(2, A::TRACE_FENTRY, "vfs_read"),
    tracing(2, A::TRACE_FEXIT, "vfs_open"),
    tracing(2, A::TRACE_FEXIT, "tcp_sendmsg"),
    sleepable(tracing(1, A::TRACE_FENTRY, "__x64_sys_getpgid")),
    tracing(2, A::MODIFY_RETURN, "security_file_open"),
    tracing(2, A::MODIFY_RETURN, "security_socket_bind"),
    tracing(1, A::MODIFY_RETURN, "__x64_sys_getpgid"),
    tracing(3, A::TRACE_RAW_TP, "btf_trace_sched_switch"),
    tracing(2, A::TRACE_RAW_TP, "btf_trace_task_newtask"),
    tracing(2, A::TRACE_RAW_TP, "btf_trace_kfree_skb"),
    tracing(3, A::TRACE_ITER, "bpf_iter_task"),
    tracing(1, A::TRACE_ITER, "bpf_iter_bpf_map"),
    tracing(1, A::TRACE_ITER, "bpf_iter_tcp"),
    tracing(1, A::TRACE_ITER, "bpf_iter_bpf_map_elem"),
    tracing(1, A::TRACE_ITER, "bpf_iter_cgroup"),
    lsm(3, A::LSM_MAC, "bpf_lsm_file_open"),
    lsm(2, A::LSM_MAC, "bpf_lsm_socket_bind"),
    sleepable(lsm(3, A::LSM_MAC, "bpf_lsm_bprm_check_security")),
    sleepable(lsm(1, A::LSM_MAC, "bpf_lsm_inode_unlink")),
    lsm(2, A::LSM_CGROUP, "bpf_lsm_socket_bind"),
    ops(2, "tcp_congestion_ops.ssthresh"),
    ops(2, "tcp_congestion_ops.cong_avoid"),
    ops(1, "tcp_congestion_ops.init"),
    ops(2, "tcp_congestion_ops.undo_cwnd"),
    ops(2, "sched_ext_ops.enqueue"),
    ops(2, "sched_ext_ops.select_cpu"),
    ops(1, "sched_ext_ops.init"),
    ops(1, "Qdisc_ops.enqueue"),
];

/// A helper that a kind of program may call.
#[derive(Clone, Debug)]
pub(crate) struct KnownHelper<'k> {
    pub(crate) id: i32,
    pub(crate) name: &'k str,
    pub(crate) helper: Helper<'k>,
}

/// A kfunc that a kind of program may call.
#[derive(Clone, Debug)]
pub(crate) struct KnownKfunc<'k> {
    pub(crate) id: u32,
    pub(crate) name: &'k str,
    pub(crate) flags: KfuncFlags,
}

/// A place of the context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) off: i16,
    pub(crate) size: u8,
    pub(crate) direction: Direction,
    /// What a load gives.
    pub(crate) value: Loaded,
}

/// What a load from the context gives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loaded {
    Value(Value),
    /// The beginning of packet data.
    Packet,
    /// The beginning of packet metadata.
    PacketMeta,
    /// A kernel object, which may be NULL.
    Nullable(What),
}

impl Place {
    const fn is_packet(&self) -> bool {
        matches!(self.value, Loaded::Packet | Loaded::PacketMeta | Loaded::Value(Value::PacketEnd))
    }
}

/// A kind of program on a kernel.
#[derive(Debug)]
pub(crate) struct Kind<'k> {
    pub(crate) row: Row,
    pub(crate) attach: Attach,
    /// As the load request has it: for struct_ops the member's number.
    pub(crate) expected_attach_type: AttachType,
    /// Name of the context's structure.
    pub(crate) context: Option<&'k str>,
    /// One for each [`Loader::number`].
    facts: [OnceLock<Facts<'k>>; Loader::COUNT],
}

/// What a kind may do; looked up once.
#[derive(Debug)]
pub(crate) struct Facts<'k> {
    pub(crate) helpers: Vec<KnownHelper<'k>>,
    pub(crate) kfuncs: Vec<KnownKfunc<'k>>,
    pub(crate) places: Vec<Place>,
    pub(crate) returns: ReturnRange,
}

/// The kinds that a kernel has.
pub(crate) fn kinds<'k>(kernel: &'k dyn Kernel) -> Vec<Kind<'k>> {
    ROWS.iter().filter_map(|row| kind(*row, kernel)).collect()
}

fn kind<'k>(row: Row, kernel: &'k dyn Kernel) -> Option<Kind<'k>> {
    let (attach, expected_attach_type) = attach(row, kernel)?;
    let context = ProgContext { expected_attach_type, ..ProgContext::of(row.prog_type) };
    let facts = kernel.prog_type(&context).ok().flatten()?;
    let context = facts.context_struct;
    Some(Kind { row, attach, expected_attach_type, context, facts: Default::default() })
}

fn attach(row: Row, kernel: &dyn Kernel) -> Option<(Attach, AttachType)> {
    if row.target.is_empty() {
        return Some((Attach::None, row.attach_type));
    }
    let btf = kernel.btf(None).ok().flatten()?;
    let (name, member) = match row.target.split_once('.') {
        Some((name, member)) => (name, Some(member)),
        None => (row.target, None),
    };
    let kinds = [TypeKind::Func, TypeKind::Typedef, TypeKind::Struct];
    let id = kinds.iter().find_map(|kind| btf.find_by_name(name, *kind))?;
    let mut attach_type = row.attach_type;
    if let Some(member) = member {
        let mut members = btf.type_by_id(id).ok()?.members();
        attach_type = AttachType(members.position(|m| m.name() == member)?.try_into().ok()?);
    }
    let plain = ["bpf_lsm_", "btf_trace_", "bpf_iter_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    let attach = Attach::Kernel {
        name: plain.to_owned(),
        btf_id: id.0,
        module: None,
        member: member.map(str::to_owned),
    };
    Some((attach, attach_type))
}

impl<'k> Kind<'k> {
    fn program(&self) -> ProgContext<'_> {
        let (attach_name, struct_ops) = match &self.attach {
            Attach::Kernel { name, member: Some(member), .. } => {
                (None, Some((name.as_str(), member.as_str())))
            }
            Attach::Kernel { name, .. } => (Some(name.as_str()), None),
            _ => (None, None),
        };
        ProgContext {
            prog_type: self.row.prog_type,
            expected_attach_type: self.expected_attach_type,
            sleepable: self.row.flags.contains(ProgFlags::SLEEPABLE),
            attach_name,
            struct_ops,
        }
    }

    /// What it may do on this kernel if such a loader loads it.
    pub(crate) fn facts(&self, kernel: &'k dyn Kernel, loader: Loader) -> &Facts<'k> {
        self.facts[loader.number()].get_or_init(|| {
            let program = self.program();
            let mut helpers = helpers(kernel, &program);
            helpers.retain(|helper| {
                let needs = kernel.helper_needs(HelperId(helper.id.cast_unsigned()), &program);
                needs.is_ok_and(|needs| loader.has(needs))
            });
            let kfuncs = if loader.bpf { kfuncs(kernel, &program) } else { Vec::new() };
            let mut places = places(self, kernel, &program);
            // `cg_skb_is_valid_access` shows packets to those with CAP_BPF only.
            let shows_packet = loader.bpf || self.row.prog_type != ProgType::CGROUP_SKB;
            places.retain(|place| shows_packet || !place.is_packet());
            let returns = kernel.return_range(&program).unwrap_or(ReturnRange::Any);
            Facts { helpers, kfuncs, places, returns }
        })
    }
}

fn helpers<'k>(kernel: &'k dyn Kernel, program: &ProgContext<'_>) -> Vec<KnownHelper<'k>> {
    let mut found = Vec::new();
    let names = (1..).map_while(|id| Some((id, kernel.helper_name(HelperId(id))?)));
    for (id, name) in names {
        if let Ok(HelperAnswer::Available(helper)) = kernel.helper(HelperId(id), program)
            && helper.allowed == Allowed::Yes
        {
            found.push(KnownHelper { id: id.cast_signed(), name, helper });
        }
    }
    found
}

/// Kfuncs are what the kernel's BTF tags as such.
fn kfuncs<'k>(kernel: &'k dyn Kernel, program: &ProgContext<'_>) -> Vec<KnownKfunc<'k>> {
    let Ok(Some(btf)) = kernel.btf(None) else { return Vec::new() };
    let tags = btf.types().filter(|ty| ty.kind() == TypeKind::DeclTag && ty.name() == "bpf_kfunc");
    let mut found = Vec::new();
    for tag in tags {
        let Some(target) = tag.as_decl_tag().map(|tag| tag.target) else { continue };
        let Ok(func) = btf.type_by_id(target) else { continue };
        let name = func.name();
        if let Ok(Some(kfunc)) = kernel.kfunc(KfuncRef::Name(name), program)
            && kfunc.allowed
        {
            found.push(KnownKfunc { id: target.0, name, flags: kfunc.flags });
        }
    }
    found.sort_by_key(|kfunc| kfunc.id);
    found.dedup_by_key(|kfunc| kfunc.id);
    found
}

/// Bytes of a context that are looked at.
const CONTEXT: i16 = 320;

fn places(kind: &Kind<'_>, kernel: &dyn Kernel, program: &ProgContext<'_>) -> Vec<Place> {
    let mut found = Vec::new();
    let mut by_btf = false;
    for off in (0..CONTEXT).step_by(4) {
        for size in [1_u8, 2, 4, 8] {
            for direction in [Direction::Read, Direction::Write] {
                let access = CtxAccess {
                    offset: off.into(),
                    size: size.into(),
                    direction,
                    sign_extend: false,
                };
                match kernel.context(access, program) {
                    Ok(CtxAnswer::Allowed(field)) if !field.conversion_fails => {
                        let id = field.btf.and_then(|btf| {
                            let id = btf.id.map(TypeId);
                            id.or_else(|| {
                                kernel.btf(None).ok()??.find_by_name(btf.name, btf.kind.into())
                            })
                        });
                        let value = loaded(field.ty, id, size);
                        found.push(Place { off, size, direction, value });
                    }
                    Ok(CtxAnswer::ByBtf) => by_btf = true,
                    _ => {}
                }
            }
        }
    }
    if by_btf {
        found.extend(arguments(kind, kernel).unwrap_or_default());
    }
    found
}

fn loaded(ty: RegType, btf: Option<TypeId>, size: u8) -> Loaded {
    use veristable_kernel::TypeFlags;
    let what = match ty.base {
        RegBase::Scalar if size < 8 => {
            return Loaded::Value(Value::Scalar(Range::up_to((1 << (8 * size)) - 1)));
        }
        RegBase::Scalar => return Loaded::Value(Value::ANY),
        RegBase::Packet => return Loaded::Packet,
        RegBase::PacketMeta => return Loaded::PacketMeta,
        RegBase::PacketEnd => return Loaded::Value(Value::PacketEnd),
        RegBase::Socket => What::Socket,
        RegBase::SockCommon => What::SockCommon,
        RegBase::FlowKeys => What::FlowKeys,
        RegBase::BtfId => match btf {
            Some(id) => What::Kernel(id.0, !ty.flags.contains(TypeFlags::PTR_UNTRUSTED)),
            None => return Loaded::Value(Value::Opaque),
        },
        _ => return Loaded::Value(Value::Opaque),
    };
    if ty.flags.contains(TypeFlags::PTR_MAYBE_NULL) {
        return Loaded::Nullable(what);
    }
    Loaded::Value(Value::Object { what, null: 0, owner: 0 })
}

/// The arguments of the function that the program attaches to, eight bytes each.
fn arguments(kind: &Kind<'_>, kernel: &dyn Kernel) -> Option<Vec<Place>> {
    let btf = kernel.btf(None).ok()??;
    let Attach::Kernel { btf_id, member, .. } = &kind.attach else { return None };
    let target = btf.type_by_id(TypeId(*btf_id)).ok()?;
    let (proto, skip) = match member {
        Some(member) => (target.members().find(|found| found.name() == member)?.type_id, 0),
        None if target.kind() == TypeKind::Typedef => (target.target()?, 1),
        None => (target.target()?, 0),
    };
    let mut proto = btf.skip_modifiers(proto).ok()?;
    if proto.kind() == TypeKind::Ptr {
        proto = btf.skip_modifiers(proto.target()?).ok()?;
    }
    let TypeData::FuncProto(proto) = proto.data() else { return None };
    let mut found = Vec::new();
    for (number, param) in (0_i16..).zip(proto.params.iter().skip(skip)) {
        let value = argument(btf, param.type_id);
        found.push(Place { off: number * 8, size: 8, direction: Direction::Read, value });
    }
    Some(found)
}

fn argument(btf: &Btf<'_>, ty: TypeId) -> Loaded {
    let pointee = || {
        let ty = btf.skip_modifiers(ty).ok().filter(|ty| ty.kind() == TypeKind::Ptr)?;
        btf.skip_modifiers(ty.target()?).ok()
    };
    match pointee() {
        Some(ty) if ty.kind().is_composite() => {
            let what = What::Kernel(ty.id().0, true);
            Loaded::Value(Value::Object { what, null: 0, owner: 0 })
        }
        Some(_) => Loaded::Value(Value::ANY),
        None => Loaded::Value(Value::ANY),
    }
}
