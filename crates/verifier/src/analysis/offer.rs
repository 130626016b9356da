// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a loader with fewer capabilities gets of what a kernel's tables give one that has them all.

use crate::env::Env;
use crate::outcome::Step;
use crate::trace::Observer;
use core::ops::Range;
use veristable_kernel::{CtxAccess, Direction, HelperId, LoaderNeeds, ProgContext, ProgType};
use veristable_program::Capabilities;

/// Whether the loader's capabilities suffice for a helper that the program's type has
/// (`bpf_base_func_proto` and its kin). `program` is what the helper is looked up for.
///
/// # Errors
///
/// If that is not known for programs of this type.
pub fn is_offered<O: Observer>(
    env: &Env<'_, O>,
    id: HelperId,
    program: &ProgContext<'_>,
) -> Step<bool> {
    let may = |capability| env.request.capabilities.allows(capability);
    let all = Capabilities::BPF | Capabilities::PERFMON | Capabilities::SYS_ADMIN;
    if env.request.capabilities.contains(all) {
        return Ok(true);
    }
    let needs = env.kernel.helper_needs(id, program)?;
    let lacks = |need, capability| needs.contains(need) && !may(capability);
    Ok(!lacks(LoaderNeeds::BPF, Capabilities::BPF)
        && !lacks(LoaderNeeds::PERFMON, Capabilities::PERFMON)
        && !lacks(LoaderNeeds::SYS_ADMIN, Capabilities::SYS_ADMIN))
}

/// Whether a function has a helper that its replacement has not: what gives it asks for the
/// program's own type (`bpf_prog_has_trampoline`), or is missing (`bpf_struct_ops_verifier_ops`).
pub fn is_withheld<O: Observer>(env: &Env<'_, O>, name: &str) -> bool {
    const OF_TRAMPOLINES: [&str; 4] =
        ["get_func_arg", "get_func_ret", "get_func_arg_cnt", "get_attach_cookie"];
    env.replaces()
        && match env.prog.rules {
            ProgType::STRUCT_OPS => true,
            ProgType::TRACING | ProgType::LSM => OF_TRAMPOLINES.contains(&name),
            _ => false,
        }
}

/// `data` and `data_end` of `struct __sk_buff` (`include/uapi/linux/bpf.h`).
const SKB_DATA: Range<i32> = 76..84;
/// `tstamp` of it.
const SKB_TSTAMP: Range<i32> = 152..160;

/// Whether the loader's capabilities suffice for an access to the context: of the functions that
/// judge these only `cg_skb_is_valid_access` (`net/core/filter.c`) asks. Programs of cgroups see
/// packets, and write their time stamps, with `CAP_BPF` only.
#[must_use]
pub fn is_context_open<O: Observer>(env: &Env<'_, O>, access: CtxAccess) -> bool {
    if env.privileges.bpf_capable || env.prog.rules != ProgType::CGROUP_SKB {
        return true;
    }
    let of_packet = SKB_DATA.contains(&access.offset);
    let of_time = access.direction == Direction::Write && SKB_TSTAMP.contains(&access.offset);
    !of_packet && !of_time
}
