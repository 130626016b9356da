// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The repository's examples, linked for a small kernel.

#[allow(dead_code)]
mod common;
#[path = "common/types.rs"]
mod types;

use std::fmt::Write as _;
use std::path::Path;
use veristable_object::{LinkOptions, Linked, Object};
use veristable_program::{Attach, FixupKind, LoadRequest};

fn read(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn link(name: &str, options: &LinkOptions) -> Linked {
    let object = Object::parse(&read(name), name).expect(name);
    object.link(&types::kernel(), options)
}

/// What a test looks at: one line for each program, then what it names.
fn summary(linked: &Linked) -> String {
    let mut text = String::new();
    for (info, result) in &linked.programs {
        match result {
            Ok(request) => describe(&info.section, request, &mut text),
            Err(error) => writeln!(text, "{} ({}): {error}", info.name, info.section).unwrap(),
        }
    }
    text
}

fn describe(section: &str, request: &LoadRequest, text: &mut String) {
    let kind = request.prog_type.name().unwrap_or("?");
    let attach = request.expected_attach_type.0;
    write!(text, "{} ({section}): {kind}/{attach}", request.name).unwrap();
    if let Attach::Kernel { name, btf_id, member, .. } = &request.attach {
        let member = member.as_deref().map(|member| format!(".{member}")).unwrap_or_default();
        write!(text, " to {name}{member} [{btf_id}]").unwrap();
    }
    // How many instructions there are depends on the compiler; there is info for all of them.
    assert!(!request.insns.is_empty() && request.func_info.count > 0, "{}", request.name);
    assert!(request.line_info.count > 0, "{}", request.name);
    for map in &request.maps {
        let spec = &map.spec;
        write!(
            text,
            "; map {} type {} {}/{}/{} flags {:#x}{}{}",
            spec.name,
            spec.map_type.name().unwrap_or("?"),
            spec.key_size,
            spec.value_size,
            spec.max_entries,
            spec.flags.bits(),
            if map.frozen { " frozen" } else { "" },
            if map.inner.is_some() { " with inner" } else { "" },
        )
        .unwrap();
    }
    for fixup in &request.fixups {
        if let FixupKind::Kfunc(name) = &fixup.kind {
            let insn = request.insns[fixup.insn as usize];
            write!(text, "; {name} is [{}]", insn.imm).unwrap();
        }
    }
    text.push('\n');
}

#[track_caller]
fn check(name: &str, options: &LinkOptions, expected: &str) {
    let found = summary(&link(name, options));
    assert_eq!(found.trim(), expected.trim(), "{name}");
}

#[test]
fn examples_link() {
    let options = LinkOptions::default();
    for (name, expected) in EXAMPLES {
        check(name, &options, expected);
    }
}

#[rustfmt::skip]
const EXAMPLES: &[(&str, &str)] = &[
    (
        "lsm_open.bpf.o",
        "\
refuse_direct (lsm/file_open): LSM/27 to file_open [21]
positive_result (lsm/file_open): LSM/27 to file_open [21]",
    ),
    (
        "xdp_ports.bpf.o",
        "\
count_ports (xdp): XDP/37; map xdp_port.rodata type ARRAY 4/2/1 flags 0x480 frozen; map ports type HASH 2/8/1024 flags 0x0
no_bounds_check (xdp): XDP/37",
    ),
    (
        "cgroup_connect.bpf.o",
        "\
no_telnet (cgroup/connect4): CGROUP_SOCK_ADDR/10
result_out_of_range (cgroup/connect4): CGROUP_SOCK_ADDR/10
pass_all (cgroup_skb/egress): CGROUP_SKB/1",
    ),
    (
        "tp_switch.bpf.o",
        "\
on_switch (tracepoint/sched/sched_switch): TRACEPOINT/0; map switches type PERCPU_ARRAY 4/8/2 flags 0x0",
    ),
    (
        "perf_sample.bpf.o",
        "\
on_sample (perf_event): PERF_EVENT/0; map stacks type STACK_TRACE 4/1016/1 flags 0x0; map samples type PERF_EVENT_ARRAY 4/4/1 flags 0x0",
    ),
    (
        "tcp_fixed.bpf.o",
        "\
fixed_ssthresh (struct_ops): STRUCT_OPS/3 to tcp_congestion_ops.ssthresh [32]
fixed_cong_avoid (struct_ops): STRUCT_OPS/2 to tcp_congestion_ops.cong_avoid [32]
fixed_undo_cwnd (struct_ops): STRUCT_OPS/1 to tcp_congestion_ops.undo_cwnd [32]",
    ),
    (
        "ringbuf_events.bpf.o",
        "\
send_event (raw_tp/sys_enter): RAW_TRACEPOINT/0; map events type RINGBUF 0/0/65536 flags 0x0
leak_event (raw_tp/sys_enter): RAW_TRACEPOINT/0; map events type RINGBUF 0/0/65536 flags 0x0",
    ),
    (
        "fentry_exec.bpf.o",
        "\
on_exec (fentry/bprm_execve): TRACING/24 to bprm_execve [20]; map fentry_e.bss type ARRAY 4/4/1 flags 0x400
on_process_exec (tp_btf/sched_process_exec): TRACING/23 to sched_process_exec [23]; map fentry_e.bss type ARRAY 4/4/1 flags 0x400",
    ),
    (
        "kconfig_kfunc.bpf.o",
        "\
version (socket): SOCKET_FILTER/0; map kconfig.kconfig type ARRAY 4/8/1 flags 0x480 frozen
find_init (syscall): SYSCALL/0; bpf_task_from_pid is [16]; bpf_task_release is [18]
leak_task (syscall): SYSCALL/0; bpf_task_from_pid is [16]",
    ),
    (
        "kprobe_open.bpf.o",
        "\
count_open (kprobe/do_sys_openat2): KPROBE/0; map opened type HASH 4/8/4096 flags 0x0
no_null_check (kprobe/do_sys_openat2): KPROBE/0; map opened type HASH 4/8/4096 flags 0x0",
    ),
    (
        "iter_tasks.bpf.o",
        "\
dump_task (iter/task): TRACING/28 to task [22]; map iter_tas.rodata type ARRAY 4/4/1 flags 0x80 frozen",
    ),
];

#[test]
fn values() {
    // What the linked programs and maps contain, not only how they look.
    let linked = link("kconfig_kfunc.bpf.o", &LinkOptions::default());
    let config = linked.maps.iter().find(|map| map.spec.name.ends_with(".kconfig")).unwrap();
    let contents: Vec<u32> = words(config.contents.as_deref().unwrap());
    assert_eq!(contents, [250, 6 << 16 | 18 << 8 | 15], "CONFIG_HZ, LINUX_KERNEL_VERSION");
    let find_init = linked.programs[1].1.as_ref().unwrap();
    let weak: Vec<_> = find_init.insns.iter().filter(|insn| insn.imm >= 2_002_000_000).collect();
    assert_eq!(weak.len(), 1, "the call of the weak kfunc that is missing is poisoned");

    let linked = link("tcp_fixed.bpf.o", &LinkOptions::default());
    let table = linked.maps.last().unwrap();
    let contents = table.contents.as_deref().unwrap();
    assert_eq!((contents.len(), &contents[72..78]), (112, &b"fixed\0"[..]), "moved by name");
    assert_eq!(table.spec.value_size, 112);

    // CO-RE: pid is at 40 in the test's kernel.
    let linked = link("iter_tasks.bpf.o", &LinkOptions::default());
    let program = linked.programs[0].1.as_ref().unwrap();
    assert!(program.insns.iter().any(|insn| insn.code == 0x61 && insn.off == 40));
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

#[test]
fn options() {
    let all = LinkOptions::default;
    let names = |map: &str| [(map.to_owned(), 7)].into();
    let linked = link("xdp_ports.bpf.o", &LinkOptions { max_entries: names("ports"), ..all() });
    assert!(linked.maps.iter().any(|map| map.spec.name == "ports" && map.spec.max_entries == 7));
    let linked =
        link("ringbuf_events.bpf.o", &LinkOptions { max_entries: names("events"), ..all() });
    assert_eq!(linked.maps[0].spec.max_entries, 4096, "ring buffers are of whole pages");
    let linked = link("perf_sample.bpf.o", &LinkOptions { possible_cpus: 6, ..all() });
    let spec = |name: &str| &linked.maps.iter().find(|map| map.spec.name == name).unwrap().spec;
    assert_eq!(spec("samples").max_entries, 6, "one for each CPU");
    let stacks = spec("stacks");
    assert_eq!((stacks.max_entries, stacks.value_size), (1, 127 * 8), "a stack trace of any size");

    let none = [("ports".to_owned(), false)].into();
    let linked = link("xdp_ports.bpf.o", &LinkOptions { autocreate: none, ..all() });
    let program = linked.programs[0].1.as_ref().unwrap();
    let poisoned = program.insns.iter().filter(|insn| insn.imm == 2_001_000_000).count();
    assert!(poisoned >= 2 && poisoned % 2 == 0, "both slots of loads of `ports` are poisoned");

    let only = Some(["no_bounds_check".to_owned()].into());
    let linked = link("xdp_ports.bpf.o", &LinkOptions { programs: only, ..all() });
    assert_eq!(linked.programs.len(), 1);

    let preset = |text: &str| LinkOptions { presets: vec![text.parse().unwrap()], ..all() };
    let linked = link("xdp_ports.bpf.o", &preset("blocked_port = 0x1bb"));
    let rodata = linked.maps.iter().find(|map| map.spec.name.ends_with(".rodata")).unwrap();
    assert_eq!(rodata.contents.as_deref().unwrap(), &[0xbb, 0x01]);
    for (text, problem) in [
        ("blocked_port = 65536", "does not fit 2 bytes"),
        ("blocked_port = ONE", "no value named `ONE`"),
        ("blocked_port[1] = 1", "has no elements"),
        ("blocked_port.x = 1", "has no fields"),
        ("nothing = 1", "no global variable `nothing`"),
    ] {
        let linked = link("xdp_ports.bpf.o", &preset(text));
        let error = linked.programs[0].1.as_ref().unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
}

/// One program of the object fails, the others do not; in strict mode all do.
#[test]
fn failures_stay_apart() {
    let mut kernel = types::kernel();
    kernel.config.clear();
    let object = Object::parse(&read("kconfig_kfunc.bpf.o"), "kconfig_kfunc.bpf.o").unwrap();
    let weak = object.link(&kernel, &LinkOptions::default());
    assert!(weak.programs.iter().all(|(_, result)| result.is_ok()), "CONFIG_HZ is weak");
    kernel.btf = None;
    let count = |linked: Linked| linked.programs.iter().filter(|(_, r)| r.is_ok()).count();
    assert_eq!(count(object.link(&kernel, &LinkOptions::default())), 1, "one needs no kfunc");
    let strict = LinkOptions { libbpf_strict: true, ..LinkOptions::default() };
    assert_eq!(count(object.link(&kernel, &strict)), 0);
}
