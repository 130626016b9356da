// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Who loads a program, and what such a loader may use.

use veristable_kernel::{LoaderNeeds, MapType, ProgType};
use veristable_program::Capabilities;

use crate::choices::Choices;

/// The capabilities that change what a program may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a set of capabilities")]
pub(crate) struct Loader {
    pub(crate) bpf: bool,
    pub(crate) perfmon: bool,
    pub(crate) net_admin: bool,
    sys_admin: bool,
}

impl Loader {
    /// How many differ in what helpers they are offered.
    pub(crate) const COUNT: usize = 8;

    pub(crate) fn of(capabilities: Capabilities) -> Self {
        Self {
            bpf: capabilities.allows(Capabilities::BPF),
            perfmon: capabilities.allows(Capabilities::PERFMON),
            net_admin: capabilities.allows(Capabilities::NET_ADMIN),
            sys_admin: capabilities.allows(Capabilities::SYS_ADMIN),
        }
    }

    /// Below [`Loader::COUNT`].
    pub(crate) fn number(self) -> usize {
        usize::from(self.bpf) + 2 * usize::from(self.perfmon) + 4 * usize::from(self.sys_admin)
    }

    pub(crate) fn has(self, needs: LoaderNeeds) -> bool {
        (self.bpf || !needs.contains(LoaderNeeds::BPF))
            && (self.perfmon || !needs.contains(LoaderNeeds::PERFMON))
            && (self.sys_admin || !needs.contains(LoaderNeeds::SYS_ADMIN))
    }

    /// Whether programs of a type load (`is_net_admin_prog_type`, `is_perfmon_prog_type` and
    /// `bpf_prog_load` of `kernel/bpf/syscall.c`).
    pub(crate) fn may_load(self, prog_type: ProgType) -> bool {
        use ProgType as P;
        match prog_type {
            P::SOCKET_FILTER | P::CGROUP_SKB => true,
            P::KPROBE
            | P::TRACEPOINT
            | P::PERF_EVENT
            | P::RAW_TRACEPOINT
            | P::RAW_TRACEPOINT_WRITABLE
            | P::TRACING
            | P::LSM
            | P::STRUCT_OPS => self.bpf && self.perfmon,
            P::EXT => self.bpf && self.perfmon && self.net_admin,
            P::SK_REUSEPORT | P::SYSCALL => self.bpf,
            _ => self.bpf && self.net_admin,
        }
    }

    /// Whether maps of a type can be made (`map_create` of `kernel/bpf/syscall.c`).
    pub(crate) fn may_make(self, map_type: MapType) -> bool {
        use MapType as M;
        match map_type {
            M::ARRAY
            | M::PERCPU_ARRAY
            | M::PROG_ARRAY
            | M::PERF_EVENT_ARRAY
            | M::CGROUP_ARRAY
            | M::ARRAY_OF_MAPS
            | M::HASH
            | M::PERCPU_HASH
            | M::HASH_OF_MAPS
            | M::RINGBUF
            | M::USER_RINGBUF
            | M::CGROUP_STORAGE
            | M::PERCPU_CGROUP_STORAGE => true,
            M::SOCKMAP | M::SOCKHASH | M::DEVMAP | M::DEVMAP_HASH | M::XSKMAP => self.net_admin,
            M::ARENA => self.bpf && self.perfmon,
            _ => self.bpf,
        }
    }
}

/// Capabilities as loaders have them, most often all.
pub(crate) fn mixed(choices: &mut Choices<'_>) -> Capabilities {
    use Capabilities as C;
    let net = C::NET_ADMIN;
    let mix = [
        (70, C::all()),
        (4, C::BPF | C::PERFMON | net),
        (7, C::BPF | net),
        (2, C::BPF | C::PERFMON),
        (3, C::BPF),
        (12, C::empty()),
        (1, C::PERFMON),
        (1, net),
    ];
    choices.weighted(&mix).unwrap_or_else(C::all)
}
