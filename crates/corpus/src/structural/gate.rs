// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What is asked before the verifier begins: `bpf_prog_load`, `bpf_prog_load_check_attach`
//! (`kernel/bpf/syscall.c`), and who may load what.

use veristable_isa::Insn;
use veristable_kernel::{AttachType, ProgType};
use veristable_program::{Capabilities, LoadRequest, ProgFlags};

use super::code::{EXIT, KTIME_GET_NS, TRACE_PRINTK, ZERO, helper, mov, op};
use super::{Cases, filter, program};

pub(super) fn add(cases: &mut Cases) {
    lengths(cases);
    flags(cases);
    types(cases);
    attach_types(cases);
    capabilities(cases);
    licenses(cases);
}

/// How many instructions (`BPF_MAXINSNS`, `BPF_COMPLEXITY_LIMIT_INSNS`).
fn lengths(cases: &mut Cases) {
    cases.filter("gate/no instruction", []);
    for count in [4095usize, 4096, 4097, 5000] {
        let mut insns: Vec<Insn> = vec![ZERO; count - 1];
        insns.push(EXIT);
        cases.filter(format!("gate/{count} instructions"), insns.clone());
        let mut request = filter(insns);
        request.capabilities = Capabilities::empty();
        cases.add(format!("gate/{count} instructions, unprivileged"), request);
    }
    let mut none = filter([]);
    none.capabilities = Capabilities::empty();
    cases.add("gate/no instruction, unprivileged", none);
}

fn flags(cases: &mut Cases) {
    for bit in 0..32 {
        let flags = ProgFlags::from_bits_retain(1 << bit);
        let request = LoadRequest { flags, ..filter([ZERO, EXIT]) };
        cases.add(format!("gate/flag {bit}"), request);
        if bit < 8 {
            let pass = mov(0, 2);
            let request = LoadRequest { flags, ..program(ProgType::XDP, [pass, EXIT]) };
            cases.add(format!("gate/flag {bit} of XDP"), request);
        }
    }
    let both = ProgFlags::STRICT_ALIGNMENT | ProgFlags::ANY_ALIGNMENT;
    cases.add("gate/strict and any alignment", LoadRequest { flags: both, ..filter([ZERO, EXIT]) });
    for (prog_type, name) in ProgType::NAMED {
        let flags = ProgFlags::SLEEPABLE;
        let request = LoadRequest { flags, ..program(*prog_type, [ZERO, EXIT]) };
        cases.add(format!("gate/sleepable {name}"), request);
    }
    for (attach_type, name) in [
        (AttachType::TRACE_ITER, "iter"),
        (AttachType::TRACE_FENTRY, "fentry"),
        (AttachType::TRACE_RAW_TP, "raw tp"),
        (AttachType::LSM_CGROUP, "cgroup lsm"),
        (AttachType::TRACE_KPROBE_MULTI, "kprobe multi"),
        (AttachType::TRACE_UPROBE_MULTI, "uprobe multi"),
    ] {
        for prog_type in [ProgType::TRACING, ProgType::LSM, ProgType::KPROBE] {
            let mut request = program(prog_type, [ZERO, EXIT]);
            request.flags = ProgFlags::SLEEPABLE;
            request.expected_attach_type = attach_type;
            let of = prog_type.name().unwrap_or_default();
            cases.add(format!("gate/sleepable {of} of {name}"), request);
        }
    }
}

/// Every program type, those past the last one too.
fn types(cases: &mut Cases) {
    for number in (0..36).chain([100, 1 << 16, u32::MAX]) {
        let insns = [ZERO, EXIT];
        let request = program(ProgType(number), insns);
        cases.add(format!("gate/program type {number}"), request);
        let one = program(ProgType(number), [mov(0, 1), EXIT]);
        cases.add(format!("gate/program type {number} returning 1"), one);
        let packet =
            program(ProgType(number), [op(0xbf, 6, 1, 0, 0), op(0x20, 0, 0, 0, 0), ZERO, EXIT]);
        cases.add(format!("gate/program type {number} with a packet load"), packet);
    }
}

/// Types that take only some attach types, with all that they take and those beside them.
fn attach_types(cases: &mut Cases) {
    let taken: [(ProgType, &[u32]); 9] = [
        (ProgType::CGROUP_SOCK, &[2, 34, 12, 13]),
        (
            ProgType::CGROUP_SOCK_ADDR,
            &[8, 9, 10, 11, 49, 29, 30, 52, 31, 32, 53, 14, 15, 50, 19, 20, 51],
        ),
        (ProgType::CGROUP_SKB, &[0, 1]),
        (ProgType::CGROUP_SOCKOPT, &[21, 22]),
        (ProgType::SK_LOOKUP, &[36]),
        (ProgType::SK_REUSEPORT, &[39, 40]),
        (ProgType::NETFILTER, &[45]),
        (ProgType::SYSCALL, &[0]),
        (ProgType::EXT, &[0]),
    ];
    for (prog_type, attach_types) in taken {
        let mut numbers: Vec<u32> = attach_types
            .iter()
            .flat_map(|number| number.saturating_sub(1)..=number + 1)
            .chain([0, 60, 1000, u32::MAX])
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            let mut request = program(prog_type, [mov(0, 1), EXIT]);
            request.expected_attach_type = AttachType(number);
            if prog_type == ProgType::SYSCALL {
                request.flags = ProgFlags::SLEEPABLE;
            }
            let name = prog_type.name().unwrap_or_default();
            cases.add(format!("gate/{name} of attach type {number}"), request);
        }
    }
    for prog_type in [ProgType::XDP, ProgType::SOCKET_FILTER, ProgType::KPROBE, ProgType::SK_MSG] {
        for number in [1, 24, 33, 35, 37, 42, 60, u32::MAX] {
            let mut request = program(prog_type, [ZERO, EXIT]);
            request.expected_attach_type = AttachType(number);
            let name = prog_type.name().unwrap_or_default();
            cases.add(format!("gate/{name} of attach type {number}"), request);
        }
    }
}

/// Who may load each type.
fn capabilities(cases: &mut Cases) {
    for (prog_type, type_name) in ProgType::NAMED {
        for (capabilities, who) in [
            (Capabilities::empty(), "nothing"),
            (Capabilities::BPF, "CAP_BPF"),
            (Capabilities::BPF | Capabilities::PERFMON, "CAP_BPF and CAP_PERFMON"),
            (Capabilities::BPF | Capabilities::NET_ADMIN, "CAP_BPF and CAP_NET_ADMIN"),
            (Capabilities::PERFMON | Capabilities::NET_ADMIN, "all but CAP_BPF"),
            (Capabilities::SYS_ADMIN, "CAP_SYS_ADMIN"),
        ] {
            let request = LoadRequest { capabilities, ..program(*prog_type, [ZERO, EXIT]) };
            cases.add(format!("gate/{type_name} with {who}"), request);
        }
    }
}

/// Licenses that count as GPL (`include/linux/license.h`), and others.
fn licenses(cases: &mut Cases) {
    let long = "x".repeat(200);
    let cut = format!("GPL{}", " ".repeat(200));
    for license in [
        "GPL",
        "GPL v2",
        "GPL and additional rights",
        "Dual BSD/GPL",
        "Dual MIT/GPL",
        "Dual MPL/GPL",
        "gpl",
        "GPLv2",
        "GPL v3",
        "GPL ",
        " GPL",
        "BSD",
        "Dual BSD/gpl",
        "Proprietary",
        "",
        &long,
        &cut,
    ] {
        let short: String = license.chars().take(20).collect();
        for (name, id) in [("any", KTIME_GET_NS), ("a GPL", TRACE_PRINTK)] {
            let mut request = program(
                ProgType::KPROBE,
                [
                    op(0x7a, 10, 0, -8, 0),
                    op(0xbf, 1, 10, 0, 0),
                    op(0x07, 1, 0, 0, -8),
                    mov(2, 8),
                    helper(id),
                    ZERO,
                    EXIT,
                ],
            );
            request.license = license.to_owned();
            let length = license.len();
            cases.add(format!("gate/{name} helper under `{short}` of {length}"), request);
        }
    }
}
