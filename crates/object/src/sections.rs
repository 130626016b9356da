// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Section names: what type of program, attached how (`section_defs` of libbpf 1.7).

use veristable_kernel::{AttachType, ProgType};
use veristable_program::ProgFlags;

/// What follows from a section name besides the two types.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SectionFlags {
    /// The target is a BTF id in the kernel or in another program (`SEC_ATTACH_BTF`).
    pub attach_btf: bool,
    /// `BPF_F_SLEEPABLE` (`SEC_SLEEPABLE`).
    pub sleepable: bool,
    /// `BPF_F_XDP_HAS_FRAGS` (`SEC_XDP_FRAGS`).
    pub xdp_frags: bool,
    /// USDT probes take multi-uprobe links where the kernel has them (`SEC_USDT`).
    pub usdt: bool,
}

impl SectionFlags {
    const NONE: Self = Self { attach_btf: false, sleepable: false, xdp_frags: false, usdt: false };
    const SLEEPABLE: Self = Self { sleepable: true, ..Self::NONE };
    const BTF: Self = Self { attach_btf: true, ..Self::NONE };
    const BTF_SLEEPABLE: Self = Self { attach_btf: true, sleepable: true, ..Self::NONE };
    const FRAGS: Self = Self { xdp_frags: true, ..Self::NONE };
    const USDT: Self = Self { usdt: true, ..Self::NONE };
    const USDT_SLEEPABLE: Self = Self { usdt: true, sleepable: true, ..Self::NONE };

    /// The load flags that follow.
    #[must_use]
    pub fn prog_flags(self) -> ProgFlags {
        let mut flags = ProgFlags::empty();
        flags.set(ProgFlags::SLEEPABLE, self.sleepable);
        flags.set(ProgFlags::XDP_HAS_FRAGS, self.xdp_frags);
        flags
    }
}

/// What a section name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SectionDef {
    /// The name, without what may follow after `/`.
    pub name: &'static str,
    /// Whether `/` and more may follow.
    pub extra: bool,
    /// Program type.
    pub prog_type: ProgType,
    /// Expected attach type.
    pub attach_type: AttachType,
    /// What else follows.
    pub flags: SectionFlags,
}

impl SectionDef {
    fn matches(&self, name: &str) -> bool {
        match name.strip_prefix(self.name) {
            Some("") => true,
            Some(rest) => self.extra && rest.starts_with('/'),
            None => false,
        }
    }
}

/// Finds what a section name, without a leading `?`, stands for: the first definition that
/// matches, in libbpf's order.
#[must_use]
pub fn section_def(name: &str) -> Option<&'static SectionDef> {
    SECTION_DEFS.iter().find(|def| def.matches(name))
}

macro_rules! defs {
    ($($name:literal $prog:ident $attach:ident $flags:ident,)+) => {
        &[$(def($name, ProgType::$prog, attach_type::$attach, SectionFlags::$flags)),+]
    };
}

/// A definition; a `+` at the end of the name says that `/` and more may follow.
const fn def(
    name: &'static str,
    prog_type: ProgType,
    attach_type: AttachType,
    flags: SectionFlags,
) -> SectionDef {
    match name.as_bytes() {
        [start @ .., b'+'] => {
            let (name, _) = name.split_at(start.len());
            SectionDef { name, extra: true, prog_type, attach_type, flags }
        }
        _ => SectionDef { name, extra: false, prog_type, attach_type, flags },
    }
}

/// Attach types, with a name for none and one that is newer than the named ones of 6.18.
mod attach_type {
    use super::AttachType as A;

    macro_rules! same {
        ($($name:ident)+) => { $(pub(super) const $name: A = A::$name;)+ };
    }

    /// No expected attach type.
    pub(super) const NONE: A = A(0);
    /// `BPF_TRACE_FSESSION` (7.0).
    pub(super) const TRACE_FSESSION: A = A(58);
    same! {
        SK_REUSEPORT_SELECT SK_REUSEPORT_SELECT_OR_MIGRATE TRACE_KPROBE_MULTI TRACE_KPROBE_SESSION
        TRACE_UPROBE_MULTI TRACE_UPROBE_SESSION TCX_INGRESS TCX_EGRESS NETKIT_PRIMARY NETKIT_PEER
        TRACE_RAW_TP TRACE_FENTRY TRACE_FEXIT MODIFY_RETURN LSM_MAC LSM_CGROUP TRACE_ITER
        XDP_DEVMAP XDP_CPUMAP XDP CGROUP_SOCK_OPS SK_SKB_STREAM_PARSER SK_SKB_STREAM_VERDICT
        SK_SKB_VERDICT SK_MSG_VERDICT LIRC_MODE2 FLOW_DISSECTOR CGROUP_INET_INGRESS
        CGROUP_INET_EGRESS CGROUP_INET_SOCK_CREATE CGROUP_INET_SOCK_RELEASE
        CGROUP_INET4_POST_BIND CGROUP_INET6_POST_BIND CGROUP_INET4_BIND CGROUP_INET6_BIND
        CGROUP_INET4_CONNECT CGROUP_INET6_CONNECT CGROUP_UNIX_CONNECT CGROUP_UDP4_SENDMSG
        CGROUP_UDP6_SENDMSG CGROUP_UNIX_SENDMSG CGROUP_UDP4_RECVMSG CGROUP_UDP6_RECVMSG
        CGROUP_UNIX_RECVMSG CGROUP_INET4_GETPEERNAME CGROUP_INET6_GETPEERNAME
        CGROUP_UNIX_GETPEERNAME CGROUP_INET4_GETSOCKNAME CGROUP_INET6_GETSOCKNAME
        CGROUP_UNIX_GETSOCKNAME CGROUP_SYSCTL CGROUP_GETSOCKOPT CGROUP_SETSOCKOPT CGROUP_DEVICE
        SK_LOOKUP NETFILTER
    }
}

/// Every section name of libbpf 1.7, in its order.
pub const SECTION_DEFS: &[SectionDef] = defs! {
    "socket" SOCKET_FILTER NONE NONE,
    "sk_reuseport/migrate" SK_REUSEPORT SK_REUSEPORT_SELECT_OR_MIGRATE NONE,
    "sk_reuseport" SK_REUSEPORT SK_REUSEPORT_SELECT NONE,
    "kprobe+" KPROBE NONE NONE,
    "uprobe+" KPROBE NONE NONE,
    "uprobe.s+" KPROBE NONE SLEEPABLE,
    "kretprobe+" KPROBE NONE NONE,
    "uretprobe+" KPROBE NONE NONE,
    "uretprobe.s+" KPROBE NONE SLEEPABLE,
    "kprobe.multi+" KPROBE TRACE_KPROBE_MULTI NONE,
    "kretprobe.multi+" KPROBE TRACE_KPROBE_MULTI NONE,
    "kprobe.session+" KPROBE TRACE_KPROBE_SESSION NONE,
    "uprobe.multi+" KPROBE TRACE_UPROBE_MULTI NONE,
    "uretprobe.multi+" KPROBE TRACE_UPROBE_MULTI NONE,
    "uprobe.session+" KPROBE TRACE_UPROBE_SESSION NONE,
    "uprobe.multi.s+" KPROBE TRACE_UPROBE_MULTI SLEEPABLE,
    "uretprobe.multi.s+" KPROBE TRACE_UPROBE_MULTI SLEEPABLE,
    "uprobe.session.s+" KPROBE TRACE_UPROBE_SESSION SLEEPABLE,
    "ksyscall+" KPROBE NONE NONE,
    "kretsyscall+" KPROBE NONE NONE,
    "usdt+" KPROBE NONE USDT,
    "usdt.s+" KPROBE NONE USDT_SLEEPABLE,
    "tc/ingress" SCHED_CLS TCX_INGRESS NONE,
    "tc/egress" SCHED_CLS TCX_EGRESS NONE,
    "tcx/ingress" SCHED_CLS TCX_INGRESS NONE,
    "tcx/egress" SCHED_CLS TCX_EGRESS NONE,
    "tc" SCHED_CLS NONE NONE,
    "classifier" SCHED_CLS NONE NONE,
    "action" SCHED_ACT NONE NONE,
    "netkit/primary" SCHED_CLS NETKIT_PRIMARY NONE,
    "netkit/peer" SCHED_CLS NETKIT_PEER NONE,
    "tracepoint+" TRACEPOINT NONE NONE,
    "tp+" TRACEPOINT NONE NONE,
    "raw_tracepoint+" RAW_TRACEPOINT NONE NONE,
    "raw_tp+" RAW_TRACEPOINT NONE NONE,
    "raw_tracepoint.w+" RAW_TRACEPOINT_WRITABLE NONE NONE,
    "raw_tp.w+" RAW_TRACEPOINT_WRITABLE NONE NONE,
    "tp_btf+" TRACING TRACE_RAW_TP BTF,
    "fentry+" TRACING TRACE_FENTRY BTF,
    "fmod_ret+" TRACING MODIFY_RETURN BTF,
    "fexit+" TRACING TRACE_FEXIT BTF,
    "fentry.s+" TRACING TRACE_FENTRY BTF_SLEEPABLE,
    "fmod_ret.s+" TRACING MODIFY_RETURN BTF_SLEEPABLE,
    "fexit.s+" TRACING TRACE_FEXIT BTF_SLEEPABLE,
    "fsession+" TRACING TRACE_FSESSION BTF,
    "fsession.s+" TRACING TRACE_FSESSION BTF_SLEEPABLE,
    "freplace+" EXT NONE BTF,
    "lsm+" LSM LSM_MAC BTF,
    "lsm.s+" LSM LSM_MAC BTF_SLEEPABLE,
    "lsm_cgroup+" LSM LSM_CGROUP BTF,
    "iter+" TRACING TRACE_ITER BTF,
    "iter.s+" TRACING TRACE_ITER BTF_SLEEPABLE,
    "syscall" SYSCALL NONE SLEEPABLE,
    "xdp.frags/devmap" XDP XDP_DEVMAP FRAGS,
    "xdp/devmap" XDP XDP_DEVMAP NONE,
    "xdp.frags/cpumap" XDP XDP_CPUMAP FRAGS,
    "xdp/cpumap" XDP XDP_CPUMAP NONE,
    "xdp.frags" XDP XDP FRAGS,
    "xdp" XDP XDP NONE,
    "perf_event" PERF_EVENT NONE NONE,
    "lwt_in" LWT_IN NONE NONE,
    "lwt_out" LWT_OUT NONE NONE,
    "lwt_xmit" LWT_XMIT NONE NONE,
    "lwt_seg6local" LWT_SEG6LOCAL NONE NONE,
    "sockops" SOCK_OPS CGROUP_SOCK_OPS NONE,
    "sk_skb/stream_parser" SK_SKB SK_SKB_STREAM_PARSER NONE,
    "sk_skb/stream_verdict" SK_SKB SK_SKB_STREAM_VERDICT NONE,
    "sk_skb/verdict" SK_SKB SK_SKB_VERDICT NONE,
    "sk_skb" SK_SKB NONE NONE,
    "sk_msg" SK_MSG SK_MSG_VERDICT NONE,
    "lirc_mode2" LIRC_MODE2 LIRC_MODE2 NONE,
    "flow_dissector" FLOW_DISSECTOR FLOW_DISSECTOR NONE,
    "cgroup_skb/ingress" CGROUP_SKB CGROUP_INET_INGRESS NONE,
    "cgroup_skb/egress" CGROUP_SKB CGROUP_INET_EGRESS NONE,
    "cgroup/skb" CGROUP_SKB NONE NONE,
    "cgroup/sock_create" CGROUP_SOCK CGROUP_INET_SOCK_CREATE NONE,
    "cgroup/sock_release" CGROUP_SOCK CGROUP_INET_SOCK_RELEASE NONE,
    "cgroup/sock" CGROUP_SOCK CGROUP_INET_SOCK_CREATE NONE,
    "cgroup/post_bind4" CGROUP_SOCK CGROUP_INET4_POST_BIND NONE,
    "cgroup/post_bind6" CGROUP_SOCK CGROUP_INET6_POST_BIND NONE,
    "cgroup/bind4" CGROUP_SOCK_ADDR CGROUP_INET4_BIND NONE,
    "cgroup/bind6" CGROUP_SOCK_ADDR CGROUP_INET6_BIND NONE,
    "cgroup/connect4" CGROUP_SOCK_ADDR CGROUP_INET4_CONNECT NONE,
    "cgroup/connect6" CGROUP_SOCK_ADDR CGROUP_INET6_CONNECT NONE,
    "cgroup/connect_unix" CGROUP_SOCK_ADDR CGROUP_UNIX_CONNECT NONE,
    "cgroup/sendmsg4" CGROUP_SOCK_ADDR CGROUP_UDP4_SENDMSG NONE,
    "cgroup/sendmsg6" CGROUP_SOCK_ADDR CGROUP_UDP6_SENDMSG NONE,
    "cgroup/sendmsg_unix" CGROUP_SOCK_ADDR CGROUP_UNIX_SENDMSG NONE,
    "cgroup/recvmsg4" CGROUP_SOCK_ADDR CGROUP_UDP4_RECVMSG NONE,
    "cgroup/recvmsg6" CGROUP_SOCK_ADDR CGROUP_UDP6_RECVMSG NONE,
    "cgroup/recvmsg_unix" CGROUP_SOCK_ADDR CGROUP_UNIX_RECVMSG NONE,
    "cgroup/getpeername4" CGROUP_SOCK_ADDR CGROUP_INET4_GETPEERNAME NONE,
    "cgroup/getpeername6" CGROUP_SOCK_ADDR CGROUP_INET6_GETPEERNAME NONE,
    "cgroup/getpeername_unix" CGROUP_SOCK_ADDR CGROUP_UNIX_GETPEERNAME NONE,
    "cgroup/getsockname4" CGROUP_SOCK_ADDR CGROUP_INET4_GETSOCKNAME NONE,
    "cgroup/getsockname6" CGROUP_SOCK_ADDR CGROUP_INET6_GETSOCKNAME NONE,
    "cgroup/getsockname_unix" CGROUP_SOCK_ADDR CGROUP_UNIX_GETSOCKNAME NONE,
    "cgroup/sysctl" CGROUP_SYSCTL CGROUP_SYSCTL NONE,
    "cgroup/getsockopt" CGROUP_SOCKOPT CGROUP_GETSOCKOPT NONE,
    "cgroup/setsockopt" CGROUP_SOCKOPT CGROUP_SETSOCKOPT NONE,
    "cgroup/dev" CGROUP_DEVICE CGROUP_DEVICE NONE,
    "struct_ops+" STRUCT_OPS NONE NONE,
    "struct_ops.s+" STRUCT_OPS NONE SLEEPABLE,
    "sk_lookup" SK_LOOKUP SK_LOOKUP NONE,
    "netfilter" NETFILTER NETFILTER NONE,
};

#[cfg(test)]
mod tests {
    use super::section_def;
    use veristable_kernel::{AttachType, ProgType};

    #[test]
    fn section_names() {
        let cases = [
            ("xdp", Some((ProgType::XDP, AttachType::XDP, false))),
            ("xdp.frags/devmap", Some((ProgType::XDP, AttachType::XDP_DEVMAP, false))),
            ("xdp/other", None),
            ("kprobe", Some((ProgType::KPROBE, AttachType(0), false))),
            ("kprobe/do_unlinkat", Some((ProgType::KPROBE, AttachType(0), false))),
            ("kprobe.multi/tcp_*", Some((ProgType::KPROBE, AttachType::TRACE_KPROBE_MULTI, false))),
            ("kprobes", None),
            ("fentry.s/x", Some((ProgType::TRACING, AttachType::TRACE_FENTRY, true))),
            ("syscall", Some((ProgType::SYSCALL, AttachType(0), true))),
            ("tc/ingress", Some((ProgType::SCHED_CLS, AttachType::TCX_INGRESS, false))),
            ("tc/x", None),
            ("struct_ops.s/init", Some((ProgType::STRUCT_OPS, AttachType(0), true))),
            (
                "cgroup/connect_unix",
                Some((ProgType::CGROUP_SOCK_ADDR, AttachType::CGROUP_UNIX_CONNECT, false)),
            ),
            ("", None),
        ];
        for (name, expected) in cases {
            let found = section_def(name).map(|d| (d.prog_type, d.attach_type, d.flags.sleepable));
            assert_eq!(found, expected, "{name}");
        }
    }
}
