// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Programs made in code, in the form of rule files (`crates/corpus/src/rules.rs`).

use std::fmt::Write as _;

/// Writes a line; a `String` takes everything.
macro_rules! line {
    ($out:ident, $($what:tt)*) => {
        let _ = writeln!($out, $($what)*);
    };
}

/// A file of one case: its settings, its instructions and the end that all have.
fn case(settings: &str, body: &str) -> String {
    format!("; case: made\n{settings}\n{body}\nout:\n    r0 = 0\n    exit ; accept\n")
}

/// Arithmetic on numbers that are not known, without branches.
pub(crate) fn straight() -> String {
    let mut body = String::from("    r6 = *(u32 *)(r1 + 0)\n    r7 = *(u32 *)(r1 + 4)\n");
    for step in 0..400 {
        line!(body, "    r6 += r7");
        line!(body, "    r7 ^= {}", step * 7 + 1);
        line!(body, "    w7 *= 3");
        line!(body, "    r7 >>= {}", step % 5);
        line!(body, "    r6 &= 0xffffff");
        line!(body, "    r8 = r6");
        line!(body, "    r8 -= r7");
        line!(body, "    *(u64 *)(r10 - {}) = r8", 8 + step % 16 * 8);
    }
    case("; type: socket_filter", &body)
}

/// Branches that part and meet again.
pub(crate) fn diamonds() -> String {
    let mut body = String::from("    r6 = r1\n    r7 = 0\n");
    for step in 0..300 {
        line!(body, "    r2 = *(u32 *)(r6 + {})", step % 4 * 4);
        line!(body, "    if r2 > {} goto more{step}", step + 1);
        line!(body, "    r7 += r2");
        line!(body, "    goto met{step}");
        line!(body, "more{step}:");
        line!(body, "    r7 ^= {step}");
        line!(body, "    *(u64 *)(r10 - {}) = r7", 8 + step % 8 * 8);
        line!(body, "met{step}:");
        line!(body, "    r7 &= 0xffff");
    }
    case("; type: socket_filter", &body)
}

/// A loop that is walked to its end.
pub(crate) fn bounded_loop() -> String {
    let body = "
    r6 = r1
    r7 = 0
again:
    r2 = *(u32 *)(r6 + 0)
    r2 &= 7
    r2 <<= 3
    r3 = r10
    r3 += -64
    r3 += r2
    *(u64 *)(r10 - 64) = r7
    r4 = *(u64 *)(r10 - 64)
    r7 += 1
    if r7 < 2000 goto again";
    case("; type: socket_filter", body)
}

/// Loops in loops, with a branch inside.
pub(crate) fn nested_loops() -> String {
    let body = "
    r6 = *(u32 *)(r1 + 0)
    r7 = 0
outer:
    r8 = 0
inner:
    if r6 == r8 goto skip
    *(u64 *)(r10 - 8) = r8
skip:
    r8 += 1
    if r8 < 12 goto inner
    r7 += 1
    if r7 < 12 goto outer";
    case("; type: socket_filter", body)
}

/// Functions with spills, called again and again, three frames deep.
pub(crate) fn subprograms() -> String {
    let mut body = String::from("    r6 = r1\n    r9 = 0\n");
    for step in 0..80 {
        line!(body, "    r1 = *(u32 *)(r6 + {})", step % 4 * 4);
        line!(body, "    r2 = r10");
        line!(body, "    r2 += -{}", 8 + step % 4 * 8);
        line!(body, "    call outer");
        line!(body, "    r9 += r0");
    }
    // It has an end of its own, before the functions.
    body.push_str(
        "    r0 = 0
    exit
outer:
    r6 = r1
    r7 = r2
    *(u64 *)(r10 - 8) = r6
    *(u64 *)(r10 - 16) = r7
    if r6 > 100 goto large
    call inner
    r6 = r0
large:
    r2 = *(u64 *)(r10 - 16)
    *(u64 *)(r2 + 0) = r6
    r1 = *(u64 *)(r10 - 8)
    call inner
    r0 += r6
    exit
inner:
    *(u64 *)(r10 - 8) = r1
    r3 = 4
spin:
    r4 = *(u64 *)(r10 - 8)
    r4 += r3
    *(u64 *)(r10 - 8) = r4
    r3 -= 1
    if r3 != 0 goto spin
    r0 = *(u64 *)(r10 - 8)
    r0 &= 0xff
    exit
",
    );
    format!("; case: made\n; type: socket_filter\n; accept\n{body}")
}

/// Helpers that look keys up, null checks, values read and written.
pub(crate) fn map_values() -> String {
    let mut body = String::from("    r6 = r1\n");
    for step in 0..120 {
        line!(body, "    r2 = *(u32 *)(r6 + 0)");
        line!(body, "    *(u32 *)(r10 - 4) = r2");
        line!(body, "    r1 = map[words]");
        line!(body, "    r2 = r10");
        line!(body, "    r2 += -4");
        line!(body, "    call bpf_map_lookup_elem");
        line!(body, "    if r0 == 0 goto none{step}");
        line!(body, "    r3 = *(u64 *)(r0 + {})", step % 8 * 8);
        line!(body, "    r3 += 1");
        line!(body, "    *(u64 *)(r0 + {}) = r3", step % 8 * 8);
        line!(body, "none{step}:");
        line!(body, "    r7 = {step}");
    }
    case("; type: socket_filter\n; map: words hash key=4 value=64 entries=16", &body)
}

/// Numbers whose precision matters many branches after they were made.
pub(crate) fn precision() -> String {
    let mut body =
        String::from("    r6 = r1\n    r7 = 0\n    r8 = *(u32 *)(r1 + 4)\n    r8 &= 15\n");
    body.push_str("    *(u64 *)(r10 - 8) = r8\n");
    for step in 0..60 {
        line!(body, "    r2 = *(u32 *)(r6 + {})", step % 4 * 4);
        line!(body, "    if r2 > {} goto more{step}", step + 1);
        line!(body, "    r7 = {}", step % 3);
        line!(body, "    goto met{step}");
        line!(body, "more{step}:");
        line!(body, "    r7 = {}", step % 5);
        line!(body, "met{step}:");
        line!(body, "    *(u64 *)(r10 - 16) = r7");
        line!(body, "    r3 = *(u64 *)(r10 - 8)");
        line!(body, "    r4 = *(u64 *)(r10 - 16)");
        line!(body, "    r3 += r4");
        line!(body, "    r5 = map[numbers][0]");
        line!(body, "    r5 += r3");
        line!(body, "    r0 = *(u8 *)(r5 + 0)");
    }
    case("; type: socket_filter\n; map: numbers array key=4 value=64 entries=1", &body)
}

/// A function that `bpf_loop` calls back, with a context on the stack.
pub(crate) fn callback() -> String {
    let mut body = String::from("    r6 = r1\n    *(u64 *)(r10 - 8) = 0\n");
    for _ in 0..20 {
        body.push_str(
            "    r1 = 100\n    r2 = func[step]\n    r3 = r10\n    r3 += -8\n    r4 = 0\n    call bpf_loop\n",
        );
    }
    body.push_str(
        "    r0 = 0
    exit
step:
    r6 = r1
    r7 = r2
    *(u32 *)(r10 - 4) = r6
    r1 = map[words]
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
    if r0 == 0 goto stop
    r3 = *(u64 *)(r0 + 0)
    if r3 > 100 goto next
    r4 = *(u64 *)(r7 + 0)
    r4 += 1
    *(u64 *)(r7 + 0) = r4
next:
    r0 = 0
    exit
stop:
    r0 = 1
    exit
",
    );
    let settings = "; type: tracepoint\n; map: words hash key=4 value=8 entries=4\n\
                    ; func: main global int(u64 *)\n; func: step static int(u64, void *)";
    // It has an end of its own, before the callback.
    format!("; case: made\n{settings}\n; accept\n{body}")
}

/// Loops by the kernel's iterators, one within the other.
pub(crate) fn iterator() -> String {
    let mut body = String::from("    r6 = *(u32 *)(r1 + 0)\n    r6 &= 15\n");
    for step in 0..6 {
        let _ = write!(
            body,
            "    r1 = r10
    r1 += -8
    r2 = 0
    r3 = 10
    call kfunc bpf_iter_num_new
outer{step}:
    r1 = r10
    r1 += -8
    call kfunc bpf_iter_num_next
    if r0 == 0 goto done{step}
    r7 = *(u32 *)(r0 + 0)
    r1 = r10
    r1 += -16
    r2 = 0
    r3 = r6
    call kfunc bpf_iter_num_new
inner{step}:
    r1 = r10
    r1 += -16
    call kfunc bpf_iter_num_next
    if r0 == 0 goto end{step}
    r8 = *(u32 *)(r0 + 0)
    if r8 > 63 goto inner{step}
    r2 = map[numbers][0]
    r2 += r8
    r3 = *(u8 *)(r2 + 0)
    if r3 > r7 goto inner{step}
    *(u8 *)(r2 + 0) = r7
    goto inner{step}
end{step}:
    r1 = r10
    r1 += -16
    call kfunc bpf_iter_num_destroy
    goto outer{step}
done{step}:
    r1 = r10
    r1 += -8
    call kfunc bpf_iter_num_destroy
"
        );
    }
    case("; type: sched_cls\n; map: numbers array key=4 value=64 entries=1", &body)
}

/// Members of the kernel's structures, at the places where this kernel has them.
pub(crate) fn kernel_types() -> String {
    let mut body = String::from("    r6 = *(u64 *)(r1 + 0)\n");
    for step in 0..200 {
        line!(body, "    r1 = *(u64 *)(r6 + 32)"); // f_inode
        line!(body, "    r2 = *(u32 *)(r6 + 40)"); // f_flags
        line!(body, "    if r2 > {step} goto next{step}");
        line!(body, "    r3 = *(u64 *)(r6 + 16)"); // f_mapping
        line!(body, "    r4 = *(u64 *)(r3 + 0)"); // host
        line!(body, "    r5 = *(u16 *)(r4 + 0)");
        line!(body, "    r5 = *(u16 *)(r1 + 0)");
        line!(body, "next{step}:");
        line!(body, "    r5 = 0");
    }
    case("; type: lsm\n; attach: lsm_mac\n; target: bpf_lsm_file_open", &body)
}

/// Headers behind one another in a packet, each compared with its end.
pub(crate) fn packet() -> String {
    let mut body =
        String::from("    r6 = *(u32 *)(r1 + 0)\n    r7 = *(u32 *)(r1 + 4)\n    r9 = 0\n");
    for step in 0..60 {
        line!(body, "    r3 = r6");
        line!(body, "    r3 += 20");
        line!(body, "    if r3 > r7 goto out");
        line!(body, "    r4 = *(u8 *)(r6 + 0)");
        line!(body, "    r4 &= 15");
        line!(body, "    r4 <<= 2");
        line!(body, "    r5 = *(u16 *)(r6 + 2)");
        line!(body, "    r5 = be16 r5");
        line!(body, "    if r5 == {} goto next{step}", step + 80);
        line!(body, "    r9 += r5");
        line!(body, "next{step}:");
        line!(body, "    r6 += r4");
    }
    case("; type: xdp", &body)
}

/// Records that are reserved, filled and given back on every way.
pub(crate) fn references() -> String {
    let mut body = String::from("    r6 = r1\n");
    for step in 0..80 {
        line!(body, "    r1 = map[ring]");
        line!(body, "    r2 = 64");
        line!(body, "    r3 = 0");
        line!(body, "    call bpf_ringbuf_reserve");
        line!(body, "    if r0 == 0 goto next{step}");
        line!(body, "    r7 = r0");
        line!(body, "    call bpf_get_current_pid_tgid");
        line!(body, "    *(u64 *)(r7 + 8) = r0");
        line!(body, "    if r0 == {step} goto drop{step}");
        line!(body, "    r1 = r7");
        line!(body, "    r1 += 16");
        line!(body, "    r2 = 16");
        line!(body, "    call bpf_get_current_comm");
        line!(body, "    r1 = r7");
        line!(body, "    r2 = 0");
        line!(body, "    call bpf_ringbuf_submit");
        line!(body, "    goto next{step}");
        line!(body, "drop{step}:");
        line!(body, "    r1 = r7");
        line!(body, "    r2 = 0");
        line!(body, "    call bpf_ringbuf_discard");
        line!(body, "next{step}:");
        line!(body, "    r7 = 0");
    }
    case("; type: tracepoint\n; map: ring ringbuf key=0 value=0 entries=4096", &body)
}
