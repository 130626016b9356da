// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Numbers of the BPF system call that have names.
//!
//! They are newtypes and not enums: a program may carry a number that no kernel knows, and the
//! verifier must say what the kernel says about it.

use serde::{Deserialize, Serialize};

macro_rules! named_ids {
    ($(#[$doc:meta])* $ty:ident, $prefix:literal, $($value:literal $name:ident),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $ty(pub u32);

        impl $ty {
            $(#[doc = concat!("`", $prefix, stringify!($name), "`")]
              pub const $name: Self = Self($value);)+

            /// Every value that has a name, in order of the numbers.
            pub const NAMED: &'static [(Self, &'static str)] =
                &[$((Self($value), stringify!($name))),+];

            /// The name without the kernel's prefix, in upper case, or `None` for an unknown number.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                Self::NAMED.iter().find(|(id, _)| *id == self).map(|(_, name)| *name)
            }

            /// Finds a value by its name without the kernel's prefix, in upper case.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::NAMED.iter().find(|(_, n)| *n == name).map(|(id, _)| *id)
            }
        }
    };
}

named_ids! {
    /// Program type: `enum bpf_prog_type` of `include/uapi/linux/bpf.h` (6.18).
    ProgType, "BPF_PROG_TYPE_",
    0 UNSPEC, 1 SOCKET_FILTER, 2 KPROBE, 3 SCHED_CLS, 4 SCHED_ACT, 5 TRACEPOINT, 6 XDP,
    7 PERF_EVENT, 8 CGROUP_SKB, 9 CGROUP_SOCK, 10 LWT_IN, 11 LWT_OUT, 12 LWT_XMIT, 13 SOCK_OPS,
    14 SK_SKB, 15 CGROUP_DEVICE, 16 SK_MSG, 17 RAW_TRACEPOINT, 18 CGROUP_SOCK_ADDR,
    19 LWT_SEG6LOCAL, 20 LIRC_MODE2, 21 SK_REUSEPORT, 22 FLOW_DISSECTOR, 23 CGROUP_SYSCTL,
    24 RAW_TRACEPOINT_WRITABLE, 25 CGROUP_SOCKOPT, 26 TRACING, 27 STRUCT_OPS, 28 EXT, 29 LSM,
    30 SK_LOOKUP, 31 SYSCALL, 32 NETFILTER,
}

named_ids! {
    /// Expected attach type: `enum bpf_attach_type` (6.18). For struct_ops programs the field
    /// carries the member index instead.
    AttachType, "BPF_",
    0 CGROUP_INET_INGRESS, 1 CGROUP_INET_EGRESS, 2 CGROUP_INET_SOCK_CREATE, 3 CGROUP_SOCK_OPS,
    4 SK_SKB_STREAM_PARSER, 5 SK_SKB_STREAM_VERDICT, 6 CGROUP_DEVICE, 7 SK_MSG_VERDICT,
    8 CGROUP_INET4_BIND, 9 CGROUP_INET6_BIND, 10 CGROUP_INET4_CONNECT, 11 CGROUP_INET6_CONNECT,
    12 CGROUP_INET4_POST_BIND, 13 CGROUP_INET6_POST_BIND, 14 CGROUP_UDP4_SENDMSG,
    15 CGROUP_UDP6_SENDMSG, 16 LIRC_MODE2, 17 FLOW_DISSECTOR, 18 CGROUP_SYSCTL,
    19 CGROUP_UDP4_RECVMSG, 20 CGROUP_UDP6_RECVMSG, 21 CGROUP_GETSOCKOPT, 22 CGROUP_SETSOCKOPT,
    23 TRACE_RAW_TP, 24 TRACE_FENTRY, 25 TRACE_FEXIT, 26 MODIFY_RETURN, 27 LSM_MAC,
    28 TRACE_ITER, 29 CGROUP_INET4_GETPEERNAME, 30 CGROUP_INET6_GETPEERNAME,
    31 CGROUP_INET4_GETSOCKNAME, 32 CGROUP_INET6_GETSOCKNAME, 33 XDP_DEVMAP,
    34 CGROUP_INET_SOCK_RELEASE, 35 XDP_CPUMAP, 36 SK_LOOKUP, 37 XDP, 38 SK_SKB_VERDICT,
    39 SK_REUSEPORT_SELECT, 40 SK_REUSEPORT_SELECT_OR_MIGRATE, 41 PERF_EVENT,
    42 TRACE_KPROBE_MULTI, 43 LSM_CGROUP, 44 STRUCT_OPS, 45 NETFILTER, 46 TCX_INGRESS,
    47 TCX_EGRESS, 48 TRACE_UPROBE_MULTI, 49 CGROUP_UNIX_CONNECT, 50 CGROUP_UNIX_SENDMSG,
    51 CGROUP_UNIX_RECVMSG, 52 CGROUP_UNIX_GETPEERNAME, 53 CGROUP_UNIX_GETSOCKNAME,
    54 NETKIT_PRIMARY, 55 NETKIT_PEER, 56 TRACE_KPROBE_SESSION, 57 TRACE_UPROBE_SESSION,
}

named_ids! {
    /// Map type: `enum bpf_map_type` (6.18).
    MapType, "BPF_MAP_TYPE_",
    0 UNSPEC, 1 HASH, 2 ARRAY, 3 PROG_ARRAY, 4 PERF_EVENT_ARRAY, 5 PERCPU_HASH, 6 PERCPU_ARRAY,
    7 STACK_TRACE, 8 CGROUP_ARRAY, 9 LRU_HASH, 10 LRU_PERCPU_HASH, 11 LPM_TRIE, 12 ARRAY_OF_MAPS,
    13 HASH_OF_MAPS, 14 DEVMAP, 15 SOCKMAP, 16 CPUMAP, 17 XSKMAP, 18 SOCKHASH, 19 CGROUP_STORAGE,
    20 REUSEPORT_SOCKARRAY, 21 PERCPU_CGROUP_STORAGE, 22 QUEUE, 23 STACK, 24 SK_STORAGE,
    25 DEVMAP_HASH, 26 STRUCT_OPS, 27 RINGBUF, 28 INODE_STORAGE, 29 TASK_STORAGE,
    30 BLOOM_FILTER, 31 USER_RINGBUF, 32 CGRP_STORAGE, 33 ARENA, 34 INSN_ARRAY,
}

impl MapType {
    /// Whether such a map belongs to the first program that is loaded with it, so that programs
    /// of other kinds are refused (`map_type_contains_progs`, `__bpf_prog_map_compatible`).
    #[must_use]
    pub const fn belongs_to_programs(self) -> bool {
        matches!(self, Self::PROG_ARRAY | Self::DEVMAP | Self::CPUMAP)
    }
}

/// Helper number: the immediate of a helper call (`BPF_FUNC_*`).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct HelperId(pub u32);
