// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Arguments of iterators that may be null (`ctx_arg_info` of `struct bpf_iter_reg`).
//!
//! Which they are and what modifiers they have is nowhere in the kernel's BTF: it is read from the
//! sources of Linux 6.18, in `kernel/bpf/*_iter.c`, `kernel/kallsyms.c` and where the network
//! registers its own, and held against the kernel by the rules of this crate.

use veristable_kernel::TypeFlags;

/// An argument of an iterator that may be null.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Nullable {
    /// A pointer to the structure that the prototype names.
    Object {
        /// It is trusted.
        trusted: bool,
    },
    /// A buffer whose size is known when the program attaches.
    Buffer {
        /// It may not be written.
        read_only: bool,
    },
}

impl Nullable {
    /// The modifiers of a register that holds it.
    pub(super) const fn flags(self) -> TypeFlags {
        let more = match self {
            Self::Object { trusted: true } => TypeFlags::PTR_TRUSTED,
            Self::Buffer { read_only: true } => TypeFlags::MEM_RDONLY,
            Self::Object { .. } | Self::Buffer { .. } => TypeFlags::empty(),
        };
        TypeFlags::PTR_MAYBE_NULL.union(more)
    }
}

const PLAIN: Nullable = Nullable::Object { trusted: false };
const TRUSTED: Nullable = Nullable::Object { trusted: true };
const KEY: Nullable = Nullable::Buffer { read_only: true };
const VALUE: Nullable = Nullable::Buffer { read_only: false };

/// The arguments of a target that may be null, by their places from 0; `None` for a target that
/// is not known.
pub(super) fn nullable_arguments(target: &str) -> Option<&'static [(u32, Nullable)]> {
    Some(match target {
        "bpf_link" | "bpf_prog" | "dmabuf" | "ipv6_route" | "ksym" | "netlink" | "unix" => {
            &[(1, PLAIN)]
        }
        "bpf_map" | "cgroup" | "kmem_cache" | "task" | "tcp" | "udp" => &[(1, TRUSTED)],
        "bpf_map_elem" => &[(2, KEY), (3, VALUE)],
        "bpf_sk_storage_map" => &[(2, PLAIN), (3, VALUE)],
        "sockmap" => &[(2, KEY), (3, PLAIN)],
        "task_file" => &[(1, PLAIN), (3, PLAIN)],
        "task_vma" => &[(1, PLAIN), (2, PLAIN)],
        _ => return None,
    })
}
