// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What the system call tests before the verifier begins: `bpf_prog_load` in
//! `kernel/bpf/syscall.c` (6.18). No refusal here comes with a message.

use crate::env::Env;
use crate::errno::Errno;
use crate::outcome::{Step, Stop};
use crate::trace::Observer;
use veristable_kernel::{AttachType, Behaviour, JitFeature, ProgType};
use veristable_program::{Attach, Capabilities, LoadRequest, LogRequest, ProgFlags};

/// The load flags that 6.18 knows; all others are refused. `BPF_F_TOKEN_FD` (1 << 16) is known,
/// too, but no token goes with a request: descriptor 0, which is passed for it, is none
/// (`bpf_token_get_from_fd`), and the refusal is that of an unknown flag.
const KNOWN_FLAGS: ProgFlags = ProgFlags::STRICT_ALIGNMENT
    .union(ProgFlags::ANY_ALIGNMENT)
    .union(ProgFlags::TEST_RND_HI32)
    .union(ProgFlags::TEST_STATE_FREQ)
    .union(ProgFlags::SLEEPABLE)
    .union(ProgFlags::XDP_HAS_FRAGS)
    .union(ProgFlags::XDP_DEV_BOUND_ONLY)
    .union(ProgFlags::TEST_REG_INVARIANTS);

/// `BTF_MAX_TYPE` (`include/uapi/linux/btf.h`)
const BTF_MAX_TYPE: u32 = 0x000f_ffff;

/// Bytes of a program name that the kernel takes (`BPF_OBJ_NAME_LEN` less the zero).
const NAME_LEN: usize = 15;

/// Tests the request as the system call does, up to and with the log's attributes, which
/// `bpf_check` tests before it can say anything.
///
/// # Errors
///
/// The refusal.
pub fn check<O: Observer>(env: &mut Env<'_, O>) -> Step {
    let request = env.request;
    let flags = request.flags;
    if !KNOWN_FLAGS.contains(flags) {
        return refuse(Errno::EINVAL);
    }
    if request.fd_array_counted
        && !request.fd_array.is_empty()
        && !env.has(Behaviour::CountedFdArray)
    {
        // Beyond what the kernel knows of this command everything must be 0 (`CHECK_ATTR`).
        return refuse(Errno::EINVAL);
    }
    env.prog.attach_type = fixed_attach_type(request);
    check_capabilities(env)?;
    check_attach_arguments(request, env.prog.attach_type)?;
    if env.kernel.prog_type(&request.context())?.is_none() {
        return refuse(Errno::EINVAL);
    }
    let name = request.name.as_bytes();
    if !name.iter().take(NAME_LEN).all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.')) {
        return refuse(Errno::EINVAL);
    }
    check_log(request.log)?;
    set_privileges(env)
}

/// What the architecture and its JIT add to the privileges (`bpf_bypass_spec_v1`,
/// `bpf_bypass_spec_v4` in `include/linux/bpf.h`) and to alignment (`bpf_check`).
fn set_privileges<O: Observer>(env: &mut Env<'_, O>) -> Step {
    let privileges = &mut env.privileges;
    if !privileges.bypass_spec_v1 {
        privileges.bypass_spec_v1 = env.kernel.jit(JitFeature::BypassSpecV1)?;
    }
    if !privileges.bypass_spec_v4 {
        privileges.bypass_spec_v4 = env.kernel.jit(JitFeature::BypassSpecV4)?;
    }
    if !env.kernel.jit(JitFeature::EfficientUnalignedAccess)? {
        env.prog.strict_alignment = !env.request.flags.contains(ProgFlags::ANY_ALIGNMENT);
    }
    Ok(())
}

fn refuse<T>(errno: Errno) -> Step<T> {
    Err(Stop::Rejected(errno))
}

/// `bpf_prog_load_fixup_attach_type`
fn fixed_attach_type(request: &LoadRequest) -> AttachType {
    match (request.prog_type, request.expected_attach_type) {
        (ProgType::CGROUP_SOCK, AttachType(0)) => AttachType::CGROUP_INET_SOCK_CREATE,
        (ProgType::SK_REUSEPORT, AttachType(0)) => AttachType::SK_REUSEPORT_SELECT,
        (_, given) => given,
    }
}

fn check_capabilities<O: Observer>(env: &Env<'_, O>) -> Step {
    let request = env.request;
    let may = |capability| request.capabilities.allows(capability);
    let limits = env.kernel.limits();
    if request.flags.contains(ProgFlags::ANY_ALIGNMENT)
        && !may(Capabilities::BPF)
        && !env.kernel.jit(JitFeature::EfficientUnalignedAccess)?
    {
        return refuse(Errno::EPERM);
    }
    if env.machine.unprivileged_disabled && !may(Capabilities::BPF) {
        return refuse(Errno::EPERM);
    }
    let most =
        if may(Capabilities::BPF) { limits.complexity_insns } else { limits.unprivileged_insns };
    if request.insns.is_empty() || request.insns.len() > most as usize {
        return refuse(Errno::E2BIG);
    }
    let prog_type = request.prog_type;
    let for_anyone = matches!(prog_type, ProgType::SOCKET_FILTER | ProgType::CGROUP_SKB);
    if !for_anyone && !may(Capabilities::BPF)
        || needs_net_admin(prog_type) && !may(Capabilities::NET_ADMIN)
        || needs_perfmon(prog_type) && !may(Capabilities::PERFMON)
    {
        return refuse(Errno::EPERM);
    }
    Ok(())
}

/// `is_net_admin_prog_type`
const fn needs_net_admin(prog_type: ProgType) -> bool {
    matches!(
        prog_type,
        ProgType::SCHED_CLS
            | ProgType::SCHED_ACT
            | ProgType::XDP
            | ProgType::LWT_IN
            | ProgType::LWT_OUT
            | ProgType::LWT_XMIT
            | ProgType::LWT_SEG6LOCAL
            | ProgType::SK_SKB
            | ProgType::SK_MSG
            | ProgType::FLOW_DISSECTOR
            | ProgType::CGROUP_DEVICE
            | ProgType::CGROUP_SOCK
            | ProgType::CGROUP_SOCK_ADDR
            | ProgType::CGROUP_SOCKOPT
            | ProgType::CGROUP_SYSCTL
            | ProgType::SOCK_OPS
            | ProgType::EXT
            | ProgType::NETFILTER
    )
}

/// `is_perfmon_prog_type`
const fn needs_perfmon(prog_type: ProgType) -> bool {
    matches!(
        prog_type,
        ProgType::KPROBE
            | ProgType::TRACEPOINT
            | ProgType::PERF_EVENT
            | ProgType::RAW_TRACEPOINT
            | ProgType::RAW_TRACEPOINT_WRITABLE
            | ProgType::TRACING
            | ProgType::LSM
            | ProgType::STRUCT_OPS
            | ProgType::EXT
    )
}

/// `bpf_prog_load_check_attach`, as far as the request can express what it refuses: a BTF id and
/// the BTF or program that it counts in always come together there.
fn check_attach_arguments(request: &LoadRequest, attach_type: AttachType) -> Step {
    let prog_type = request.prog_type;
    let fine = match &request.attach {
        Attach::None => true,
        Attach::Kernel { btf_id, module, .. } => {
            // An id of 0 in the kernel's own BTF is the same as no id.
            (*btf_id != 0 || module.is_none()) && takes_btf_id(prog_type, *btf_id)
        }
        Attach::Program { btf_id, .. } => {
            matches!(prog_type, ProgType::TRACING | ProgType::EXT)
                && takes_btf_id(prog_type, *btf_id)
        }
    };
    if fine && attach_type_fits(prog_type, attach_type) { Ok(()) } else { refuse(Errno::EINVAL) }
}

fn takes_btf_id(prog_type: ProgType, btf_id: u32) -> bool {
    let takes = matches!(
        prog_type,
        ProgType::TRACING | ProgType::LSM | ProgType::STRUCT_OPS | ProgType::EXT
    );
    btf_id == 0 || (takes && btf_id <= BTF_MAX_TYPE)
}

fn attach_type_fits(prog_type: ProgType, attach_type: AttachType) -> bool {
    match prog_type {
        ProgType::CGROUP_SOCK => matches!(
            attach_type,
            AttachType::CGROUP_INET_SOCK_CREATE
                | AttachType::CGROUP_INET_SOCK_RELEASE
                | AttachType::CGROUP_INET4_POST_BIND
                | AttachType::CGROUP_INET6_POST_BIND
        ),
        ProgType::CGROUP_SOCK_ADDR => matches!(
            attach_type,
            AttachType::CGROUP_INET4_BIND
                | AttachType::CGROUP_INET6_BIND
                | AttachType::CGROUP_INET4_CONNECT
                | AttachType::CGROUP_INET6_CONNECT
                | AttachType::CGROUP_UNIX_CONNECT
                | AttachType::CGROUP_INET4_GETPEERNAME
                | AttachType::CGROUP_INET6_GETPEERNAME
                | AttachType::CGROUP_UNIX_GETPEERNAME
                | AttachType::CGROUP_INET4_GETSOCKNAME
                | AttachType::CGROUP_INET6_GETSOCKNAME
                | AttachType::CGROUP_UNIX_GETSOCKNAME
                | AttachType::CGROUP_UDP4_SENDMSG
                | AttachType::CGROUP_UDP6_SENDMSG
                | AttachType::CGROUP_UNIX_SENDMSG
                | AttachType::CGROUP_UDP4_RECVMSG
                | AttachType::CGROUP_UDP6_RECVMSG
                | AttachType::CGROUP_UNIX_RECVMSG
        ),
        ProgType::CGROUP_SKB => {
            matches!(attach_type, AttachType::CGROUP_INET_INGRESS | AttachType::CGROUP_INET_EGRESS)
        }
        ProgType::CGROUP_SOCKOPT => {
            matches!(attach_type, AttachType::CGROUP_SETSOCKOPT | AttachType::CGROUP_GETSOCKOPT)
        }
        ProgType::SK_LOOKUP => attach_type == AttachType::SK_LOOKUP,
        ProgType::SK_REUSEPORT => matches!(
            attach_type,
            AttachType::SK_REUSEPORT_SELECT | AttachType::SK_REUSEPORT_SELECT_OR_MIGRATE
        ),
        ProgType::NETFILTER => attach_type == AttachType::NETFILTER,
        ProgType::SYSCALL | ProgType::EXT => attach_type == AttachType(0),
        _ => true,
    }
}

/// `bpf_verifier_log_attr_valid` (`kernel/bpf/log.c`): a buffer needs a level, no unknown bits, at
/// most a quarter of the 32-bit range. A request without size has no buffer.
fn check_log(log: LogRequest) -> Step {
    /// `BPF_LOG_MASK` (`include/linux/bpf_verifier.h`)
    const MASK: u32 = 0xf;
    if (log.size != 0 && log.level == 0) || log.level & !MASK != 0 || log.size > u32::MAX >> 2 {
        return refuse(Errno::EINVAL);
    }
    Ok(())
}

/// Whether functions for GPL programs only may be called (`license_is_gpl_compatible` in
/// `include/linux/license.h`, of at most the first 127 bytes).
#[must_use]
pub fn license_is_gpl_compatible(license: &str) -> bool {
    matches!(
        license,
        "GPL"
            | "GPL v2"
            | "GPL and additional rights"
            | "Dual BSD/GPL"
            | "Dual MIT/GPL"
            | "Dual MPL/GPL"
    )
}
