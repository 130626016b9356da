// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Subprograms, callbacks and kernel functions: `add_subprog_and_kfunc`, `check_subprogs`,
//! `check_btf_func`, `bpf_find_exception_callback_insn_off` (`kernel/bpf/verifier.c`).

use veristable_btf::{Btf, DeclTag, Kind, Linkage, TypeId};
use veristable_isa::Insn;
use veristable_kernel::{MapType, ProgType};
use veristable_program::{Blob, Capabilities, FdEntry, LoadRequest};

use super::code::{
    EXIT, KTIME_GET_NS, LOOP, TAIL_CALL, Types, ZERO, call, copy, functions, gotol, helper, ja,
    jeq, join, kfunc, map, mov, op, unknown, wide,
};
use super::{Cases, filter, program};

/// `BPF_PSEUDO_FUNC`.
const FUNC: u8 = 4;

pub(super) fn add(cases: &mut Cases) {
    calls(cases);
    borders(cases);
    depth(cases);
    counts(cases);
    callbacks(cases);
    legacy(cases);
    exceptions(cases);
    kernel_functions(cases);
}

/// Kernel functions that the kernel's types know, and types that are none.
pub(super) fn add_linked(cases: &mut Cases, btf: &Btf<'_>) {
    for (name, kind) in [
        ("vfs_read", Kind::Func),
        ("bpf_obj_new_impl", Kind::Func),
        ("bpf_rcu_read_lock", Kind::Func),
        ("bpf_cpumask_create", Kind::Func),
        ("bpf_throw", Kind::Func),
        ("task_struct", Kind::Struct),
        ("int", Kind::Int),
        ("pid_t", Kind::Typedef),
    ] {
        let Some(id) = btf.find_by_name(name, kind) else { continue };
        let id = i32::try_from(id.0).unwrap_or(i32::MAX);
        let insns = [kfunc(id, 0), ZERO, EXIT];
        cases.filter(format!("subprograms/kernel function {name}"), insns);
        let dead = [ZERO, jeq(0, 0, 1), kfunc(id, 0), ZERO, EXIT];
        cases.filter(format!("subprograms/kernel function {name}, dead"), dead);
        let tracing = program(ProgType::KPROBE, insns);
        cases.add(format!("subprograms/kernel function {name}, kprobe"), tracing);
        let mut proprietary = filter(insns);
        proprietary.license = "Proprietary".into();
        cases.add(format!("subprograms/kernel function {name}, not GPL"), proprietary);
    }
}

/// A filter with the types, and functions at these instructions.
fn typed(insns: impl Into<Vec<Insn>>, types: &Types, records: &[(u32, TypeId)]) -> LoadRequest {
    LoadRequest { btf: Some(types.finish()), func_info: functions(records), ..filter(insns) }
}

/// Where calls may go.
fn calls(cases: &mut Cases) {
    cases.filter("subprograms/one", [call(1), EXIT, ZERO, EXIT]);
    cases.filter("subprograms/the same twice", [call(2), call(1), EXIT, ZERO, EXIT]);
    for imm in [i32::MIN, -100, -2, 3, 4, 1000, i32::MAX] {
        let insns = [call(imm), EXIT, ZERO, EXIT];
        cases.filter(format!("subprograms/call {imm:+} of four"), insns);
        let dead = [ZERO, jeq(0, 0, 1), call(imm), EXIT];
        cases.filter(format!("subprograms/dead call {imm:+} of four"), dead);
    }
    let load = wide(0, 0, 1, 0);
    cases.filter("subprograms/call of a wide load", join(&[&[call(1), EXIT], &load, &[EXIT]]));
    cases.filter("subprograms/call into a wide load", join(&[&[call(2), EXIT], &load, &[EXIT]]));
    cases.filter("subprograms/call of an unknown kind", [op(0x85, 0, 3, 0, 1), EXIT, ZERO, EXIT]);
    cases.filter("subprograms/call of kind 15", [op(0x85, 0, 15, 0, 1), EXIT, ZERO, EXIT]);
    let mut unprivileged = filter([call(1), EXIT, ZERO, EXIT]);
    unprivileged.capabilities = Capabilities::empty();
    cases.add("subprograms/one, unprivileged", unprivileged);
    let mut unprivileged = filter([ZERO, jeq(0, 0, 1), call(1), EXIT, ZERO, EXIT]);
    unprivileged.capabilities = Capabilities::empty();
    cases.add("subprograms/one in dead code, unprivileged", unprivileged);
}

/// Nothing crosses from one function into another but calls.
fn borders(cases: &mut Cases) {
    let mut case = |name: &str, insns: &[Insn]| {
        cases.filter(format!("subprograms/{name}"), insns);
    };
    case("main falls into the next", &[call(1), ZERO, ZERO, EXIT]);
    case("main branches into the next", &[call(3), jeq(0, 0, 2), ZERO, EXIT, ZERO, EXIT]);
    case("main jumps into the next", &[call(1), ja(0), ZERO, EXIT]);
    case("main jumps with gotol into the next", &[call(1), gotol(1), ZERO, EXIT]);
    case("the next jumps back into main", &[call(1), EXIT, ZERO, ja(-3)]);
    case("the next branches back into main", &[call(1), EXIT, ZERO, jeq(0, 0, -3), EXIT]);
    case("the first ends with a call", &[call(2), EXIT, call(1), ZERO, EXIT]);
    case("the last falls off the end", &[call(1), EXIT, ZERO]);
    case("the last ends with a jump back", &[call(1), EXIT, ja(2), ZERO, EXIT, ja(-3)]);
    case("the last never ends", &[call(1), EXIT, ZERO, ja(-1)]);
    case("unreachable inside the next", &[call(1), EXIT, ZERO, EXIT, ZERO, EXIT]);
    case("unreachable call", &[ZERO, EXIT, call(1), EXIT, ZERO, EXIT]);
    case(
        "the next is called from dead code only",
        &[ZERO, jeq(0, 0, 1), call(1), EXIT, ZERO, EXIT],
    );
    case("a call splits main", &[call(0), ZERO, EXIT]);
    case("main is called", &[ZERO, jeq(0, 0, 1), call(-3), EXIT]);
    case("call of a branch's target", &[ZERO, jeq(0, 1, 2), call(1), EXIT, ZERO, EXIT]);
}

/// Recursion and depth.
fn depth(cases: &mut Cases) {
    cases.filter("subprograms/main calls itself", [call(-1), EXIT]);
    cases.filter("subprograms/recursion", [call(1), EXIT, call(-1), EXIT]);
    cases.filter(
        "subprograms/recursion that ends",
        [unknown(1), call(1), EXIT, ZERO, jeq(1, 0, 1), call(-3), EXIT],
    );
    cases.filter("subprograms/recursion of two", [call(1), EXIT, call(1), EXIT, call(-3), EXIT]);
    cases.filter(
        "subprograms/recursion in dead code",
        [call(1), EXIT, ZERO, jeq(0, 0, 1), call(-3), EXIT],
    );
    for frames in [7usize, 8, 9, 10] {
        let mut insns: Vec<Insn> = Vec::new();
        for _ in 1..frames {
            insns.extend([call(1), EXIT]);
        }
        insns.extend([ZERO, EXIT]);
        cases.filter(format!("subprograms/{frames} frames"), insns);
    }
    for bytes in [248i16, 256, 264, 512] {
        let store = op(0x7a, 10, 0, -bytes, 1);
        let insns = [store, call(2), ZERO, EXIT, store, ZERO, EXIT];
        cases.filter(format!("subprograms/two frames of {bytes} bytes"), insns);
    }
}

/// How many there may be (`BPF_MAX_SUBPROGS`).
fn counts(cases: &mut Cases) {
    for count in [255i32, 256, 257, 300] {
        let subprograms = count - 1;
        let mut insns: Vec<Insn> = Vec::new();
        for number in 0..subprograms {
            // From behind this call: the other calls, the exit, then two instructions each.
            insns.push(call(subprograms + number));
        }
        insns.push(EXIT);
        for _ in 0..subprograms {
            insns.extend([ZERO, EXIT]);
        }
        cases.filter(format!("subprograms/{count} in all"), insns);
    }
}

/// Addresses of functions.
fn callbacks(cases: &mut Cases) {
    let types = Types::new();
    // r1 = 4, r2 = callback, r3 = r4 = 0, bpf_loop; the callback stands at 8.
    let with = |load: [Insn; 2]| {
        join(&[&[mov(1, 4)], &load, &[mov(3, 0), mov(4, 0), helper(LOOP), ZERO, EXIT, ZERO, EXIT]])
    };
    let good = wide(2, FUNC, 6, 0);
    let records = [(0, types.main), (8, types.sub)];
    cases.add("subprograms/callback", typed(with(good), &types, &records));
    cases.filter("subprograms/callback without types", with(good));
    let mut request = filter(with(good));
    request.btf = Some(types.finish());
    cases.add("subprograms/callback without function records", request);
    let global = [(0, types.main), (8, types.global_sub)];
    cases.add("subprograms/callback that is global", typed(with(good), &types, &global));
    for (name, load) in [
        ("behind the end", wide(2, FUNC, 100, 0)),
        ("in front of the program", wide(2, FUNC, -100, 0)),
        ("with a second immediate", wide(2, FUNC, 6, 1)),
        ("with an offset", [op(0x18, 2, FUNC, 1, 6), op(0, 0, 0, 0, 0)]),
        ("to register 10", wide(10, FUNC, 6, 0)),
    ] {
        let request = typed(with(load), &types, &records);
        cases.add(format!("subprograms/callback {name}"), request);
    }
    let main = typed(with(wide(2, FUNC, -2, 0)), &types, &[(0, types.main)]);
    cases.add("subprograms/callback that is main", main);
    let both = [(0, types.main), (2, types.sub)];
    let inside = typed(with(wide(2, FUNC, 0, 0)), &types, &both);
    cases.add("subprograms/callback at its own load", inside);
    let unused = join(&[&good, &[ZERO, EXIT, mov(0, 1), ZERO, mov(0, 1), ZERO, EXIT]]);
    cases.filter("subprograms/address that is never used, no types", unused);
}

/// Packet loads and tail calls in subprograms (`check_abnormal_return`, `check_btf_func`).
fn legacy(cases: &mut Cases) {
    let packet = [copy(6, 1), call(1), EXIT, copy(6, 1), op(0x20, 0, 0, 0, 0), EXIT];
    let tail = join(&[
        &[call(2), ZERO, EXIT],
        &wide(2, 1, 0, 0),
        &[mov(3, 0), helper(TAIL_CALL), ZERO, EXIT],
    ]);
    let with_array = |mut request: LoadRequest| {
        request.maps = vec![map(MapType::PROG_ARRAY, 1)];
        request
    };
    cases.filter("subprograms/packet load without types", packet);
    cases.add("subprograms/tail call without types", with_array(filter(tail.clone())));
    let types = Types::new();
    let plain = [("int", types.sub), ("int, global", types.global_sub)];
    for (name, id) in plain.into_iter().chain(types.returning.iter().copied()) {
        let request = typed(packet, &types, &[(0, types.main), (3, id)]);
        cases.add(format!("subprograms/packet load, returning {name}"), request);
        let request = typed(tail.clone(), &types, &[(0, types.main), (3, id)]);
        cases.add(format!("subprograms/tail call, returning {name}"), with_array(request));
    }
    let dead = [ZERO, jeq(0, 0, 1), call(1), EXIT, op(0x20, 0, 0, 0, 0), EXIT];
    cases.filter("subprograms/packet load in dead code, without types", dead);
}

/// The exception callback that a tag on main names.
fn exceptions(cases: &mut Cases) {
    let insns = [ZERO, EXIT, ZERO, EXIT];
    let tag_main = |types: &mut Types, text: &str| {
        let tag = DeclTag { target: types.main, component: None, attribute: false };
        types.writer.add_decl_tag(text, tag);
    };
    let callback = |types: &mut Types, linkage: Linkage| {
        let long = types.writer.add_int("u64", 8, 0);
        let proto = types.writer.add_func_proto(types.int, &[("cookie", long)]);
        types.writer.add_func("handler", proto, linkage)
    };
    for (name, tags, linkage, place) in [
        ("global", &["exception_callback:handler"][..], Linkage::Global, Some(2)),
        ("static", &["exception_callback:handler"], Linkage::Static, Some(2)),
        ("not among the functions", &["exception_callback:handler"], Linkage::Global, None),
        ("behind the end", &["exception_callback:handler"], Linkage::Global, Some(4)),
        ("that does not exist", &["exception_callback:nobody"], Linkage::Global, Some(2)),
        ("without a name", &["exception_callback:"], Linkage::Global, Some(2)),
        (
            "named twice",
            &["exception_callback:handler", "exception_callback:sub"],
            Linkage::Global,
            Some(2),
        ),
        ("named by another tag", &["exception:handler"], Linkage::Global, Some(2)),
    ] {
        let mut types = Types::new();
        let handler = callback(&mut types, linkage);
        for text in tags {
            tag_main(&mut types, text);
        }
        let records: Vec<(u32, TypeId)> =
            [(0, types.main)].into_iter().chain(place.map(|at| (at, handler))).collect();
        let request = typed(insns, &types, &records);
        cases.add(format!("subprograms/exception callback {name}"), request);
        let called =
            typed([mov(1, 0), call(1), EXIT, ZERO, EXIT], &types, &[(0, types.main), (3, handler)]);
        cases.add(format!("subprograms/exception callback {name}, and called"), called);
    }
    let mut types = Types::new();
    tag_main(&mut types, "exception_callback:main");
    let request = typed([ZERO, EXIT], &types, &[(0, types.main)]);
    cases.add("subprograms/exception callback that is main", request);
    let mut types = Types::new();
    tag_main(&mut types, "exception_callback:global_sub");
    let records = [(0, types.main), (2, types.global_sub)];
    let request = typed(insns, &types, &records);
    cases.add("subprograms/exception callback without the argument", request);
}

/// Calls of kernel functions whose ids no kernel has, and their table of descriptors.
fn kernel_functions(cases: &mut Cases) {
    for (name, insn) in [
        ("0", kfunc(0, 0)),
        ("0 with a slot", kfunc(0, 1)),
        ("-1", kfunc(-1, 0)),
        ("out of range", kfunc(0x7fff_ffff, 0)),
        ("1 with slot 1 and no table", kfunc(1, 1)),
        ("1 with slot -1 and no table", kfunc(1, -1)),
        ("0 to a register", op(0x85, 1, 2, 0, 0)),
    ] {
        cases.filter(format!("subprograms/kernel function {name}"), [insn, ZERO, EXIT]);
        let dead = [ZERO, jeq(0, 0, 1), insn, ZERO, EXIT];
        cases.filter(format!("subprograms/kernel function {name}, dead"), dead);
    }
    let own: Blob = Types::new().finish();
    for (name, entry) in [
        ("of nothing", FdEntry::Empty),
        ("of a map", FdEntry::Map(0)),
        ("of the program's types", FdEntry::Btf(own)),
    ] {
        for counted in [false, true] {
            let mut request = filter([kfunc(4, 1), ZERO, EXIT]);
            request.maps = vec![map(MapType::ARRAY, 1)];
            request.fd_array = vec![FdEntry::Map(0), entry.clone()];
            request.fd_array_counted = counted;
            let how = if counted { ", counted" } else { "" };
            cases.add(format!("subprograms/kernel function in a slot {name}{how}"), request);
        }
    }
    let mut proprietary = filter([ZERO, jeq(0, 0, 1), kfunc(0, 0), ZERO, EXIT]);
    proprietary.license = "Proprietary".into();
    cases.add("subprograms/kernel function 0, dead, not GPL", proprietary);
    let mut unprivileged = filter([kfunc(0, 0), ZERO, EXIT]);
    unprivileged.capabilities = Capabilities::empty();
    cases.add("subprograms/kernel function 0, unprivileged", unprivileged);
    cases.filter("subprograms/helper of everybody", [helper(KTIME_GET_NS), ZERO, EXIT]);
}
