// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Every field of every form of instruction, one changed at a time: `check_alu_op`,
//! `check_cond_jmp_op`, `do_check_insn`, `check_atomic` (`kernel/bpf/verifier.c`). From 7.0 on some
//! of these are looked at before simulation, so each also stands once where no path leads.

use veristable_isa::Insn;

use super::Cases;
use super::code::{EXIT, KTIME_GET_NS, ZERO, copy, jeq, join, mov, op, wide};

pub(super) fn add(cases: &mut Cases) {
    for (name, insn) in forms() {
        one_field_changed(cases, name, insn);
    }
    pair_fields(cases);
    offsets(cases);
    immediates(cases);
    atomics(cases);
    modes(cases);
    registers(cases);
}

/// All registers hold something; the stack's upper 16 bytes are written; R6 is the context.
fn start() -> Vec<Insn> {
    let mut insns = vec![copy(6, 1)];
    insns.extend([0, 1, 2, 3, 4, 5, 7, 8, 9].map(|register| mov(register, 1)));
    insns.extend([op(0x7a, 10, 0, -8, 0), op(0x7a, 10, 0, -16, 0)]);
    insns
}

/// The instructions on a path that is taken, and on one that is not.
fn both(cases: &mut Cases, id: &str, insns: &[Insn]) {
    taken(cases, id, insns);
    let skip = i16::try_from(insns.len()).unwrap_or(i16::MAX);
    let dead = join(&[&start(), &[ZERO, jeq(0, 0, skip)], insns, &[ZERO, EXIT]]);
    cases.filter(format!("fields/{id}, dead"), dead);
}

fn taken(cases: &mut Cases, id: &str, insns: &[Insn]) {
    cases.filter(format!("fields/{id}"), join(&[&start(), insns, &[ZERO, EXIT]]));
}

/// One instruction of every form that has fields of its own, valid as it stands.
fn forms() -> Vec<(&'static str, Insn)> {
    vec![
        ("add imm", op(0x07, 1, 0, 0, 1)),
        ("add reg", op(0x0f, 1, 2, 0, 0)),
        ("add32 imm", op(0x04, 1, 0, 0, 1)),
        ("add32 reg", op(0x0c, 1, 2, 0, 0)),
        ("lsh imm", op(0x67, 1, 0, 0, 1)),
        ("arsh32 reg", op(0xcc, 1, 2, 0, 0)),
        ("div imm", op(0x37, 1, 0, 0, 2)),
        ("mod32 reg", op(0x9c, 1, 2, 0, 0)),
        ("neg", op(0x87, 1, 0, 0, 0)),
        ("neg32", op(0x84, 1, 0, 0, 0)),
        ("to_le", op(0xd4, 1, 0, 0, 16)),
        ("to_be", op(0xdc, 1, 0, 0, 32)),
        ("bswap", op(0xd7, 1, 0, 0, 64)),
        ("mov imm", mov(1, 5)),
        ("mov reg", copy(1, 2)),
        ("mov32 imm", op(0xb4, 1, 0, 0, 5)),
        ("mov32 reg", op(0xbc, 1, 2, 0, 0)),
        ("jeq imm", op(0x15, 1, 0, 0, 1)),
        ("jgt reg", op(0x2d, 1, 2, 0, 0)),
        ("jset32 imm", op(0x46, 1, 0, 0, 1)),
        ("jsle32 reg", op(0xde, 1, 2, 0, 0)),
        ("goto", op(0x05, 0, 0, 0, 0)),
        ("gotol", op(0x06, 0, 0, 0, 0)),
        ("may_goto", op(0xe5, 0, 0, 0, 0)),
        ("call", op(0x85, 0, 0, 0, KTIME_GET_NS)),
        ("exit", EXIT),
        ("load u64", op(0x79, 1, 10, -8, 0)),
        ("load u32", op(0x61, 1, 10, -8, 0)),
        ("load s8", op(0x91, 1, 10, -8, 0)),
        ("store imm u64", op(0x7a, 10, 0, -8, 1)),
        ("store imm u8", op(0x72, 10, 0, -8, 1)),
        ("store reg u64", op(0x7b, 10, 1, -8, 0)),
        ("store reg u16", op(0x6b, 10, 1, -8, 0)),
        ("atomic add", op(0xdb, 10, 1, -8, 0)),
        ("atomic32 fetch xor", op(0xc3, 10, 1, -8, 0xa1)),
        ("atomic cmpxchg", op(0xdb, 10, 1, -8, 0xf1)),
        ("load acquire", op(0xdb, 1, 10, -8, 0x100)),
        ("store release", op(0xdb, 10, 1, -8, 0x110)),
        ("packet load", op(0x20, 0, 0, 0, 0)),
        ("packet load byte", op(0x30, 0, 0, 0, 0)),
        ("packet load at register", op(0x40, 0, 1, 0, 0)),
    ]
}

fn one_field_changed(cases: &mut Cases, name: &str, insn: Insn) {
    both(cases, name, &[insn]);
    let Insn { code, off, imm, .. } = insn;
    let (dst, src) = (insn.dst(), insn.src());
    for value in [1, 10, 11] {
        if value != dst {
            taken(cases, &format!("{name}, dst {value}"), &[op(code, value, src, off, imm)]);
        }
        if value != src {
            taken(cases, &format!("{name}, src {value}"), &[op(code, dst, value, off, imm)]);
        }
    }
    for change in [1, -1] {
        let changed = op(code, dst, src, off + change, imm);
        taken(cases, &format!("{name}, off {:+}", off + change), &[changed]);
        let changed = op(code, dst, src, off, imm + i32::from(change));
        taken(cases, &format!("{name}, imm {:+}", imm + i32::from(change)), &[changed]);
    }
    for (field, changed) in [
        ("dst", op(code, dst ^ 11, src, off, imm)),
        ("src", op(code, dst, src ^ 11, off, imm)),
        ("imm", op(code, dst, src, off, imm ^ 0x4000_0000)),
    ] {
        both(cases, &format!("{name}, other {field}"), &[changed]);
    }
}

/// The fields of both slots of a 64-bit load.
fn pair_fields(cases: &mut Cases) {
    let [first, second] = wide(1, 0, 1, 1);
    both(cases, "wide load", &[first, second]);
    for (name, pair) in [
        ("dst 10", wide(10, 0, 1, 1)),
        ("dst 11", wide(11, 0, 1, 1)),
        ("off 1", [op(0x18, 1, 0, 1, 1), second]),
        ("second code", [first, op(0xb7, 0, 0, 0, 1)]),
        ("second code of a wide load", [first, op(0x18, 0, 0, 0, 1)]),
        ("second dst", [first, op(0, 1, 0, 0, 1)]),
        ("second src", [first, op(0, 0, 1, 0, 1)]),
        ("second off", [first, op(0, 0, 0, 1, 1)]),
        ("without the first", [op(0, 0, 0, 0, 0), ZERO]),
        ("of 4 bytes", [op(0x00, 1, 0, 0, 1), second]),
        ("of 2 bytes", [op(0x08, 1, 0, 0, 1), second]),
        ("of 1 byte", [op(0x10, 1, 0, 0, 1), second]),
    ] {
        both(cases, &format!("wide load, {name}"), &pair);
    }
}

/// Offsets that choose an operation: signed division, sign extension, casts.
fn offsets(cases: &mut Cases) {
    for off in [-1, 1, 2, 8, 16, 24, 32, 64] {
        for (name, code) in [
            ("div", 0x37),
            ("div32", 0x34),
            ("mod", 0x97),
            ("mod32", 0x94),
            ("mov imm", 0xb7),
            ("mov32 imm", 0xb4),
            ("xor", 0xa7),
        ] {
            taken(cases, &format!("{name} by off {off}"), &[op(code, 1, 0, off, 3)]);
        }
        for (name, code) in
            [("div reg", 0x3f), ("mod32 reg", 0x9c), ("mov reg", 0xbf), ("mov32 reg", 0xbc)]
        {
            taken(cases, &format!("{name} by off {off}"), &[op(code, 1, 2, off, 0)]);
        }
    }
    for imm in [0, 1, 2, 1 << 16, (1 << 16) + 1] {
        both(cases, &format!("addr_space_cast {imm:#x}"), &[op(0xbf, 1, 2, 1, imm)]);
    }
    for off in [8, 16, 32] {
        let pointer = op(0xbf, 1, 10, off, 0);
        taken(cases, &format!("sign extension of a pointer from {off}"), &[pointer]);
    }
}

/// Immediates that have a range of their own.
fn immediates(cases: &mut Cases) {
    for imm in [i32::MIN, -1, 0, 31, 32, 63, 64, 65] {
        for (name, code) in [
            ("lsh", 0x67),
            ("rsh", 0x77),
            ("arsh", 0xc7),
            ("lsh32", 0x64),
            ("rsh32", 0x74),
            ("arsh32", 0xc4),
        ] {
            taken(cases, &format!("{name} by {imm}"), &[op(code, 1, 0, 0, imm)]);
        }
    }
    for (name, code) in [("div", 0x37), ("div32", 0x34), ("mod", 0x97), ("mod32", 0x94)] {
        for off in [0, 1] {
            let insn = op(code, 1, 0, off, 0);
            both(cases, &format!("{name} by zero, off {off}"), &[insn]);
        }
    }
    for (name, code) in [("to_le", 0xd4), ("to_be", 0xdc), ("bswap", 0xd7), ("bswap of X", 0xdf)] {
        for imm in [-16, 0, 1, 8, 16, 24, 32, 48, 64, 128] {
            taken(cases, &format!("{name} of {imm} bits"), &[op(code, 1, 0, 0, imm)]);
        }
    }
}

/// What an atomic does is in its immediate.
fn atomics(cases: &mut Cases) {
    let operations = [
        -1, 0x00, 0x01, 0x02, 0x10, 0x11, 0x20, 0x30, 0x40, 0x41, 0x50, 0x51, 0x60, 0x70, 0x80,
        0x90, 0xa0, 0xa1, 0xb0, 0xc0, 0xd0, 0xe0, 0xe1, 0xf0, 0xf1, 0xff, 0x101, 0x111, 0x120,
        0x200,
    ];
    for imm in operations {
        both(cases, &format!("atomic {imm:#x}"), &[op(0xdb, 10, 1, -8, imm)]);
        taken(cases, &format!("atomic32 {imm:#x}"), &[op(0xc3, 10, 1, -8, imm)]);
    }
    for (size, code) in [("u8", 0xd3), ("u16", 0xcb), ("u32", 0xc3), ("u64", 0xdb)] {
        for (name, insn) in [
            ("add", op(code, 10, 1, -8, 0)),
            ("xchg", op(code, 10, 1, -8, 0xe1)),
            ("load acquire", op(code, 1, 10, -8, 0x100)),
            ("store release", op(code, 10, 1, -8, 0x110)),
        ] {
            both(cases, &format!("atomic {name} of {size}"), &[insn]);
        }
    }
    let context = op(0xdb, 6, 1, 0, 0);
    taken(cases, "atomic add in the context", &[context]);
    taken(cases, "load acquire from the context", &[op(0xc3, 1, 6, 0, 0x100)]);
    taken(cases, "load acquire from a number", &[op(0xdb, 1, 2, 0, 0x100)]);
    taken(cases, "store release to a number", &[op(0xdb, 1, 2, 0, 0x110)]);
}

/// Each addressing mode with each class that loads or stores.
fn modes(cases: &mut Cases) {
    for (class, name) in [(0, "ld"), (1, "ldx"), (2, "st"), (3, "stx")] {
        for mode in 0..8u8 {
            for (size, bits) in [("u32", 0x00), ("u16", 0x08), ("u8", 0x10), ("u64", 0x18)] {
                let insn = match class {
                    0 => op(mode << 5 | bits, 0, 0, 0, 0),
                    1 => op(mode << 5 | bits | class, 1, 10, -8, 0),
                    _ => op(mode << 5 | bits | class, 10, if class == 3 { 1 } else { 0 }, -8, 0),
                };
                taken(cases, &format!("{name} {size} of mode {mode}"), &[insn]);
            }
        }
    }
}

/// Register numbers past the last one, where a register is read or written.
fn registers(cases: &mut Cases) {
    for register in 10..16u8 {
        for (name, insn) in [
            ("written", mov(register, 1)),
            ("read", copy(1, register)),
            ("compared", jeq(register, 1, 0)),
            ("base of a load", op(0x79, 1, register, -8, 0)),
            ("base of a store", op(0x7a, register, 0, -8, 0)),
            ("stored", op(0x7b, 10, register, -8, 0)),
        ] {
            taken(cases, &format!("R{register} {name}"), &[insn]);
        }
    }
    for register in 0..10u8 {
        let insns = [copy(1, register), ZERO, EXIT];
        cases.filter(format!("fields/R{register} before anything is written"), insns);
    }
}
