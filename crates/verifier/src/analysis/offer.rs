// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which helpers a loader with fewer capabilities gets (`bpf_base_func_proto`,
//! `bpf_sk_base_func_proto`). The kernel's tables hold for one that has them all.

use crate::env::Env;
use crate::outcome::Step;
use crate::trace::Observer;
use veristable_kernel::ProgType;

/// What `bpf_base_func_proto` (`kernel/bpf/helpers.c`, 6.18) gives only with `CAP_BPF`.
const BPF: [&str; 28] = [
    "spin_lock",
    "spin_unlock",
    "jiffies64",
    "per_cpu_ptr",
    "this_cpu_ptr",
    "timer_init",
    "timer_set_callback",
    "timer_start",
    "timer_cancel",
    "kptr_xchg",
    "for_each_map_elem",
    "loop",
    "user_ringbuf_drain",
    "ringbuf_reserve_dynptr",
    "ringbuf_submit_dynptr",
    "ringbuf_discard_dynptr",
    "dynptr_from_mem",
    "dynptr_read",
    "dynptr_write",
    "dynptr_data",
    "cgrp_storage_get",
    "cgrp_storage_delete",
    "get_current_cgroup_id",
    "get_current_ancestor_cgroup_id",
    "current_task_under_cgroup",
    "get_cgroup_classid",
    "task_storage_get",
    "task_storage_delete",
];

/// What it, or `bpf_sk_base_func_proto` (`net/core/filter.c`, 6.18), gives only with
/// `CAP_PERFMON` besides.
const PERFMON: [&str; 29] = [
    "trace_printk",
    "get_current_task",
    "get_current_task_btf",
    "get_current_comm",
    "probe_read_user",
    "probe_read_kernel",
    "probe_read_user_str",
    "probe_read_kernel_str",
    "copy_from_user",
    "copy_from_user_task",
    "snprintf_btf",
    "snprintf",
    "task_pt_regs",
    "trace_vprintk",
    "perf_event_read_value",
    "perf_event_read",
    "send_signal",
    "send_signal_thread",
    "get_task_stack",
    "get_branch_snapshot",
    "find_vma",
    "skc_to_tcp6_sock",
    "skc_to_tcp_sock",
    "skc_to_tcp_timewait_sock",
    "skc_to_tcp_request_sock",
    "skc_to_udp6_sock",
    "skc_to_unix_sock",
    "skc_to_mptcp_sock",
    "sys_bpf",
];

/// Whether the loader's capabilities suffice for a helper that the program's type has.
///
/// # Errors
///
/// If that is not known for programs of this type.
pub fn is_offered<O: Observer>(env: &Env<'_, O>, name: &str) -> Step<bool> {
    let privileges = env.privileges;
    if privileges.bpf_capable && privileges.allow_ptr_leaks {
        return Ok(true);
    }
    let needed =
        if BPF.contains(&name) { !privileges.bpf_capable } else { PERFMON.contains(&name) };
    if !needed {
        return Ok(true);
    }
    // Socket filters and programs of cgroups for packets have none of these of their own; what
    // other types have must be looked up in their `get_func_proto`.
    match env.prog.rules {
        ProgType::SOCKET_FILTER | ProgType::CGROUP_SKB => Ok(false),
        _ => env.unsupported("helper without CAP_BPF and CAP_PERFMON", name),
    }
}
