// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Records about functions, lines and relocations: `check_btf_func_early`, `check_btf_func`,
//! `check_btf_line`, `check_core_relo` (`kernel/bpf/verifier.c`), `bpf_core_apply`
//! (`kernel/bpf/btf.c`).

use veristable_isa::Insn;
use veristable_program::{InfoTable, LoadRequest};

use super::code::{EXIT, Types, ZERO, call, functions, join, mov, op, table, wide};
use super::{Cases, filter};

pub(super) fn add(cases: &mut Cases) {
    let types = Types::new();
    function_records(cases, &types);
    function_sizes(cases, &types);
    line_records(cases, &types);
    line_sizes(cases, &types);
    relocation_records(cases, &types);
    relocation_sizes(cases, &types);
}

/// Main and one subprogram at 2.
const TWO: [Insn; 4] = [call(1), EXIT, ZERO, EXIT];

/// Two functions, sound function records.
fn sound(types: &Types) -> LoadRequest {
    LoadRequest {
        btf: Some(types.finish()),
        func_info: functions(&[(0, types.main), (2, types.sub)]),
        ..filter(TWO)
    }
}

fn function_records(cases: &mut Cases, types: &Types) {
    let (main, sub) = (types.main.0, types.sub.0);
    let mut case = |name: &str, words: &[u32]| {
        let count = u32::try_from(words.len() / 2).unwrap_or(u32::MAX);
        let request = LoadRequest { func_info: table(8, count, words), ..sound(types) };
        cases.add(format!("tables/functions: {name}"), request);
    };
    case("sound", &[0, main, 2, sub]);
    case("none", &[]);
    case("too few", &[0, main]);
    case("too many", &[0, main, 2, sub, 3, sub]);
    case("first not at 0", &[1, main, 2, sub]);
    case("first missing", &[2, sub]);
    case("the same twice", &[0, main, 0, sub]);
    case("not sorted", &[0, main, 2, sub, 1, sub]);
    case("second at a wrong place", &[0, main, 1, sub]);
    case("second at the last instruction", &[0, main, 3, sub]);
    case("second behind the end", &[0, main, 4, sub]);
    case("second far behind the end", &[0, main, u32::MAX, sub]);
    case("type 0", &[0, 0, 2, sub]);
    case("second of type 0", &[0, main, 2, 0]);
    case("a type that is an integer", &[0, types.int.0, 2, sub]);
    case("a type that is a prototype", &[0, types.main_proto.0, 2, sub]);
    case("second is a prototype", &[0, main, 2, types.sub_proto.0]);
    case("second is a struct", &[0, main, 2, types.structure.0]);
    case("a type behind the last", &[0, 10_000, 2, sub]);
    case("a type that is negative", &[0, u32::MAX, 2, sub]);
    case("main's type twice", &[0, main, 2, main]);
    case("global", &[0, main, 2, types.global_sub.0]);
    case("static main", &[0, sub, 2, sub]);
    for (name, id) in &types.returning {
        case(&format!("returning {name}"), &[0, main, 2, id.0]);
    }
    let mut request = sound(types);
    request.btf = None;
    cases.add("tables/functions: without types", request.clone());
    request.func_info = InfoTable::default();
    cases.add("tables/functions: neither records nor types", request);
    let single = functions(&[(0, types.main)]);
    let request = LoadRequest { insns: vec![ZERO, EXIT], func_info: single, ..sound(types) };
    cases.add("tables/functions: one function", request);
}

/// Records of other sizes, with a tail that is zero or not.
fn function_sizes(cases: &mut Cases, types: &Types) {
    for rec_size in [0u32, 1, 4, 7, 8, 9, 10, 12, 16, 248, 252, 256, 260, 1024] {
        for tail in [0u32, 1] {
            let words = |insn: u32, id: u32| sized(rec_size, &[insn, id], tail);
            let bytes = [words(0, types.main.0), words(2, types.sub.0)].concat();
            let func_info = InfoTable { rec_size, count: 2, bytes: bytes.into() };
            let request = LoadRequest { func_info, ..sound(types) };
            cases.add(format!("tables/functions: records of {rec_size}, tail {tail}"), request);
        }
    }
    let request = LoadRequest { func_info: table(4, 0, &[]), ..sound(types) };
    cases.add("tables/functions: none of a bad size", request);
}

/// One record: its words, then the last byte as given, cut to the size.
fn sized(rec_size: u32, words: &[u32], tail: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let known = bytes.len();
    bytes.resize(rec_size as usize, 0);
    if let Some(last) = bytes.get_mut(known..).and_then(<[u8]>::last_mut) {
        *last = u8::try_from(tail).unwrap_or(u8::MAX);
    }
    bytes
}

fn line_records(cases: &mut Cases, types: &Types) {
    let text = types.text;
    let mut case = |name: &str, insns: &[Insn], records: &[[u32; 4]]| {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let mut request = sound(types);
        if insns.len() != TWO.len() {
            request.func_info = functions(&[(0, types.main)]);
        }
        request.insns = insns.to_vec();
        request.line_info = table(16, count, records.as_flattened());
        cases.add(format!("tables/lines: {name}"), request.clone());
        request.func_info = InfoTable::default();
        cases.add(format!("tables/lines: {name}, no functions"), request);
    };
    let at = |insn: u32| [insn, text, text, 1 << 10 | 1];
    case("sound", &TWO, &[at(0), at(2)]);
    case("every instruction", &TWO, &[at(0), at(1), at(2), at(3)]);
    case("no text", &TWO, &[[0, 0, 0, 0], [2, 0, 0, 0]]);
    case("text within a string", &TWO, &[[0, text + 2, text + 3, 0], at(2)]);
    case("first missing", &TWO, &[at(1), at(2)]);
    case("second function missing", &TWO, &[at(0)]);
    case("second function a little late", &TWO, &[at(0), at(3)]);
    case("both missing", &TWO, &[at(1)]);
    case("the same twice", &TWO, &[at(0), at(0), at(2)]);
    case("not sorted", &TWO, &[at(0), at(2), at(1)]);
    case("behind the end", &TWO, &[at(0), at(2), at(4)]);
    case("far behind the end", &TWO, &[at(0), at(2), at(u32::MAX)]);
    case("first behind the end", &TWO, &[at(4)]);
    case("line behind the strings", &TWO, &[[0, text, 0x10_0000, 0], at(2)]);
    case("file behind the strings", &TWO, &[[0, 0x10_0000, text, 0], at(2)]);
    case("line far behind the strings", &TWO, &[at(0), [2, text, u32::MAX, 0]]);
    case("file far behind the strings", &TWO, &[at(0), [2, u32::MAX, text, 0]]);
    case("largest line and column", &TWO, &[at(0), [2, text, text, u32::MAX]]);
    let load = join(&[&[ZERO], &wide(1, 0, 1, 1), &[mov(0, 0), EXIT]]);
    case("at a wide load", &load, &[at(0), at(1), at(3)]);
    case("inside a wide load", &load, &[at(0), at(2), at(3)]);
    case("at opcode 0", &[ZERO, op(0, 0, 0, 0, 0), EXIT], &[at(0), at(1)]);
    let mut request = sound(types);
    request.line_info = table(16, 2, [at(0), at(2)].as_flattened());
    request.btf = None;
    request.func_info = InfoTable::default();
    cases.add("tables/lines: without types", request);
}

fn line_sizes(cases: &mut Cases, types: &Types) {
    for rec_size in [1u32, 4, 8, 12, 15, 16, 17, 18, 20, 24, 252, 256, 1024] {
        for tail in [0u32, 1] {
            let words = |insn: u32| sized(rec_size, &[insn, types.text, types.text, 1 << 10], tail);
            let bytes = [words(0), words(2)].concat();
            let line_info = InfoTable { rec_size, count: 2, bytes: bytes.into() };
            let request = LoadRequest { line_info, ..sound(types) };
            cases.add(format!("tables/lines: records of {rec_size}, tail {tail}"), request);
        }
    }
    let request = LoadRequest { line_info: table(0, 2, &[0; 8]), ..sound(types) };
    cases.add("tables/lines: records of 0", request);
    let request = LoadRequest { line_info: table(4, 0, &[]), ..sound(types) };
    cases.add("tables/lines: none of a bad size", request);
}

/// `BPF_CORE_TYPE_ID_LOCAL` of `enum bpf_core_relo_kind`: needs nothing of the kernel's types.
const TYPE_ID_LOCAL: u32 = 6;
/// `BPF_CORE_TYPE_EXISTS`.
const TYPE_EXISTS: u32 = 8;
/// `BPF_CORE_FIELD_BYTE_OFFSET`.
const FIELD_BYTE_OFFSET: u32 = 0;

/// The struct of our own that no kernel has, and its member.
fn relocatable() -> (Types, u32, u32, u32) {
    let mut types = Types::new();
    let int = types.int;
    let member = veristable_btf::writer::NewMember::at("member", int, 0);
    let own = types.writer.add_struct("veristable_nowhere", 4, &[member]).0;
    let (whole, member) = (types.writer.string("0"), types.writer.string("0:0"));
    (types, own, whole, member)
}

fn relocation_records(cases: &mut Cases, _: &Types) {
    let (mut types, own, whole, member) = relocatable();
    let bad = types.writer.string("zero");
    let far = types.writer.string("0:9");
    let insns = [mov(1, 7), mov(2, 7), ZERO, EXIT];
    let request = |records: &[[u32; 4]], insns: &[Insn]| LoadRequest {
        btf: Some(types.finish()),
        func_info: functions(&[(0, types.main)]),
        core_relos: table(
            16,
            u32::try_from(records.len()).unwrap_or(u32::MAX),
            records.as_flattened(),
        ),
        ..filter(insns)
    };
    let local = |insn: u32| [insn, own, whole, TYPE_ID_LOCAL];
    for (name, records) in [
        ("sound", vec![local(0)]),
        ("two", vec![local(0), local(8)]),
        ("not sorted", vec![local(8), local(0)]),
        ("twice the same", vec![local(0), local(0)]),
        ("between instructions", vec![local(4)]),
        ("at the end", vec![local(32)]),
        ("far behind the end", vec![local(0xffff_fff8)]),
        ("at exit", vec![local(24)]),
        ("type 0", vec![[0, 0, whole, TYPE_ID_LOCAL]]),
        ("type behind the last", vec![[0, 10_000, whole, TYPE_ID_LOCAL]]),
        ("text behind the strings", vec![[0, own, 0x10_0000, TYPE_ID_LOCAL]]),
        ("text that is no number", vec![[0, own, bad, TYPE_ID_LOCAL]]),
        ("empty text", vec![[0, own, 0, TYPE_ID_LOCAL]]),
        ("member of a type relocation", vec![[0, own, member, TYPE_ID_LOCAL]]),
        ("unknown kind", vec![[0, own, whole, 13]]),
        ("far unknown kind", vec![[0, own, whole, u32::MAX]]),
        ("type that no kernel has", vec![[0, own, whole, TYPE_EXISTS]]),
        ("member of a type that no kernel has", vec![[0, own, member, FIELD_BYTE_OFFSET]]),
        ("member that there is not", vec![[0, own, far, FIELD_BYTE_OFFSET]]),
        ("member of an integer", vec![[0, types.int.0, member, FIELD_BYTE_OFFSET]]),
        ("first bad, second sound", vec![local(4), local(8)]),
    ] {
        cases.add(format!("tables/relocations: {name}"), request(&records, &insns));
    }
    let copied = [op(0xbf, 1, 2, 0, 0), ZERO, EXIT];
    cases.add("tables/relocations: of a copy", request(&[local(0)], &copied));
    let load = join(&[&wide(1, 0, 7, 0), &[ZERO, EXIT]]);
    cases.add("tables/relocations: of a wide load", request(&[local(0)], &load));
    cases.add("tables/relocations: inside a wide load", request(&[local(8)], &load));
    let mut alone = request(&[local(4)], &insns);
    alone.func_info = InfoTable::default();
    cases.add("tables/relocations: bad, but no functions and lines", alone.clone());
    alone.btf = None;
    cases.add("tables/relocations: bad, but no types", alone);
}

fn relocation_sizes(cases: &mut Cases, _: &Types) {
    let (types, own, whole, _) = relocatable();
    for rec_size in [0u32, 4, 8, 12, 15, 16, 17, 18, 20, 252, 256, 1024] {
        for tail in [0u32, 1] {
            let bytes = sized(rec_size, &[0, own, whole, TYPE_ID_LOCAL], tail);
            let request = LoadRequest {
                btf: Some(types.finish()),
                func_info: functions(&[(0, types.main)]),
                core_relos: InfoTable { rec_size, count: 1, bytes: bytes.into() },
                ..filter([mov(1, 7), ZERO, EXIT])
            };
            cases.add(format!("tables/relocations: records of {rec_size}, tail {tail}"), request);
        }
    }
}
