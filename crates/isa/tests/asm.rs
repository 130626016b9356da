// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The assembler by itself and against decoder and disassembler.

use proptest::prelude::*;
use veristable_isa::asm::{Comment, ErrorKind, Line, Resolver, assemble, listing};
use veristable_isa::table::TABLE;
use veristable_isa::{
    CallKind, Dialect, Imm64, Insn, Names, Op, Style, decode_strict, disassemble,
};

struct World;

impl Resolver for World {
    fn helper(&self, name: &str) -> Option<i32> {
        (name == "bpf_map_lookup_elem").then_some(1)
    }

    fn kfunc(&self, name: &str) -> Option<(i32, i16)> {
        (name == "bpf_rcu_read_lock").then_some((77, 3))
    }

    fn map(&self, name: &str) -> Option<i32> {
        matches!(name, "counters" | ".rodata").then_some(9)
    }

    fn symbol(&self, name: &str) -> Option<(u32, i32)> {
        (name == "runqueues").then_some((42, 0))
    }
}

fn slots(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Vec<Insn> {
    vec![Insn::new(code, dst, src, off, imm)]
}

fn wide(dst: u8, kind: u8, first: i32, second: i32) -> Vec<Insn> {
    vec![Insn::new(0x18, dst, kind, 0, first), Insn::new(0, 0, 0, 0, second)]
}

#[test]
fn instructions() {
    fn check(text: &str, expected: &[Insn]) {
        match assemble(text, &World) {
            Ok(program) => assert_eq!(program.insns, expected, "{text}"),
            Err(error) => panic!("{text}: {error}"),
        }
    }
    let one = |text, code, dst, src, off, imm| check(text, &slots(code, dst, src, off, imm));
    one("r1 = 0", 0xb7, 1, 0, 0, 0);
    one("r1=0x10", 0xb7, 1, 0, 0, 16);
    one("  w1 = 0xffffffff ; all ones", 0xb4, 1, 0, 0, -1);
    one("(b7) r1 = -5", 0xb7, 1, 0, 0, -5);
    one("0: (bf) r6 = r1", 0xbf, 6, 1, 0, 0);
    one("w6 = w15", 0xbc, 6, 15, 0, 0);
    one("r1 = (s32)r2", 0xbf, 1, 2, 32, 0);
    one("w1 = ( s8 ) w2", 0xbc, 1, 2, 8, 0);
    one("r1 += -8", 0x07, 1, 0, 0, -8);
    one("r1 s>>= r2", 0xcf, 1, 2, 0, 0);
    one("w1 s/= w2", 0x3c, 1, 2, 1, 0);
    one("r1 s%= 3", 0x97, 1, 0, 1, 3);
    one("r1 <<= 3", 0x67, 1, 0, 0, 3);
    one("r1 = -r1", 0x87, 1, 0, 0, 0);
    one("w1 = - w1", 0x84, 1, 0, 0, 0);
    one("r1 = be16 r1", 0xdc, 1, 0, 0, 16);
    one("r1 = le64 r1", 0xd4, 1, 0, 0, 64);
    one("r1 = bswap32 r1", 0xd7, 1, 0, 0, 32);
    one("r1 = addr_space_cast(r2, 0, 1)", 0xbf, 1, 2, 1, 1);
    one("r1 = &(void __percpu *)(r2)", 0xbf, 1, 2, -1, 0);
    one("r0 = *(u32 *)(r1 + 4)", 0x61, 0, 1, 4, 0);
    one("r0 = *(u32 *)(r1 +4)", 0x61, 0, 1, 4, 0);
    one("r0=*(u64*)(r10-8)", 0x79, 0, 10, -8, 0);
    one("r0 = *(u8 *)(r1 + -0x8)", 0x71, 0, 1, -8, 0);
    one("w0 = *(u16 *)(r1)", 0x69, 0, 1, 0, 0);
    one("r0 = *(s16 *)(r1 +2)", 0x89, 0, 1, 2, 0);
    one("*(u64 *)(r10 -8) = r1", 0x7b, 10, 1, -8, 0);
    one("*(u8 *)(r10 -8) = w1", 0x73, 10, 1, -8, 0);
    one("*(u32 *)(r10 -8) = 0xffffffff", 0x62, 10, 0, -8, -1);
    one("r0 = *(u8 *)skb[12]", 0x30, 0, 0, 0, 12);
    one("r0 = *(u16 *)skb[r3 + -4]", 0x48, 0, 3, 0, -4);
    one("r0 = *(u32 *) skb[r3]", 0x40, 0, 3, 0, 0);
    one("lock *(u64 *)(r1 + 0) += r2", 0xdb, 1, 2, 0, 0);
    one("lock *(u32 *)(r1 - 4) ^= w2", 0xc3, 1, 2, -4, 0xa0);
    one("r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)", 0xdb, 1, 2, 0, 1);
    one("w2 = atomic_fetch_and((u32 *)(r1 +0), w2)", 0xc3, 1, 2, 0, 0x51);
    one("r2 = atomic_xchg((u32 *)(r1 +0), r2)", 0xc3, 1, 2, 0, 0xe1);
    one("r2 = atomic_fetch_or((u64 *)(r1 +0), r2)", 0xdb, 1, 2, 0, 0x41);
    one("r2 = xchg_64(r1 + 8, r2)", 0xdb, 1, 2, 8, 0xe1);
    one("w2 = xchg32_32(r1 + 8, w2)", 0xc3, 1, 2, 8, 0xe1);
    one("r0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r2)", 0xdb, 1, 2, 8, 0xf1);
    one("w0 = cmpxchg32_32(r1 + 8, w0, w2)", 0xc3, 1, 2, 8, 0xf1);
    one("r3 = load_acquire((u16 *)(r1 +8))", 0xcb, 3, 1, 8, 0x100);
    one("store_release((u8 *)(r1 +8), r3)", 0xd3, 1, 3, 8, 0x110);
    one("goto +3", 0x05, 0, 0, 3, 0);
    one("goto pc-3", 0x05, 0, 0, -3, 0);
    one("gotol pc+70000", 0x06, 0, 0, 0, 70000);
    one("may_goto pc+5", 0xe5, 0, 0, 5, 0);
    one("gotox r3", 0x0d, 3, 0, 0, 0);
    one("if r1 == 0xffffffff goto pc+2", 0x15, 1, 0, 2, -1);
    one("if w1 s>= -1 goto +2", 0x76, 1, 0, 2, -1);
    one("if r1 & r2 goto pc-2", 0x4d, 1, 2, -2, 0);
    one("if r1 s< r2 goto pc-2", 0xcd, 1, 2, -2, 0);
    one("call 5", 0x85, 0, 0, 0, 5);
    one("call -1", 0x85, 0, 0, 0, -1);
    one("call unknown#999", 0x85, 0, 0, 0, 999);
    one("call bpf_map_lookup_elem", 0x85, 0, 0, 0, 1);
    one("(85) call bpf_map_lookup_elem#1", 0x85, 0, 0, 0, 1);
    one("call bpf_rcu_read_lock", 0x85, 0, 2, 3, 77);
    one("call bpf_rcu_read_lock#77", 0x85, 0, 2, 3, 77);
    one("call kfunc bpf_rcu_read_lock", 0x85, 0, 2, 3, 77);
    one("call kfunc 78", 0x85, 0, 2, 0, 78);
    one("call kfunc 78 off 2", 0x85, 0, 2, 2, 78);
    one("call kernel-function#78", 0x85, 0, 2, 0, 78);
    one("call pc+3", 0x85, 0, 1, 0, 3);
    one("exit", 0x95, 0, 0, 0, 0);
    one("nospec", 0xc2, 0, 0, 0, 0);
    one(".raw 0xff 15 15 -32768 0xffffffff", 0xff, 15, 15, -32768, -1);
    check("r1 = 5 ll", &wide(1, 0, 5, 0));
    check("r1 = -1 ll", &wide(1, 0, -1, -1));
    check("r1 = 0xfedcba9876543210 ll", &wide(1, 0, 0x7654_3210, 0xfedc_ba98_u32 as i32));
    check("(18) r1 = 0x5", &wide(1, 0, 5, 0));
    check("r1 = map[counters]", &wide(1, 1, 9, 0));
    check("r1 = map[counters][16]", &wide(1, 2, 9, 16));
    check("r1 = map[.rodata][0]", &wide(1, 2, 9, 0));
    check("r1 = map[fd:-1]", &wide(1, 1, -1, 0));
    check("r1 = map[fd:3][0xffffffff]", &wide(1, 2, 3, -1));
    check("r1 = map[idx:3]", &wide(1, 5, 3, 0));
    check("r1 = map[idx:3][4]", &wide(1, 6, 3, 4));
    check("r1 = btf[runqueues]", &wide(1, 3, 42, 0));
    check("r1 = btf[id:5]", &wide(1, 3, 5, 0));
    check("r1 = btf[id:5][7]", &wide(1, 3, 5, 7));
    check("r1 = func[pc+5]", &wide(1, 4, 5, 0));
}

#[test]
fn labels_and_comments() {
    let text = "; head
start: r1 = func[callee] ; first
again: more:
    if r1 > 5 goto start

    ; in between
    call callee
    goto again
    gotol out;
    call unheard
out:
    exit
callee: exit
unheard: 9: exit
end:";
    let program = assemble(text, &()).unwrap();
    let expected = [
        Insn::new(0x18, 1, 4, 0, 7),
        Insn::default(),
        Insn::new(0x25, 1, 0, -3, 5),
        Insn::new(0x85, 0, 1, 0, 4),
        Insn::new(0x05, 0, 0, -3, 0),
        Insn::new(0x06, 0, 0, 0, 1),
        Insn::new(0x85, 0, 1, 0, 2),
        Insn::new(0x95, 0, 0, 0, 0),
        Insn::new(0x95, 0, 0, 0, 0),
        Insn::new(0x95, 0, 0, 0, 0),
    ];
    assert_eq!(program.insns, expected);
    let lines: Vec<_> = program.lines.iter().map(|l| (l.slot, l.line)).collect();
    assert_eq!(lines, [(0, 2), (2, 4), (3, 7), (4, 8), (5, 9), (6, 10), (7, 12), (8, 13), (9, 14)]);
    assert_eq!(program.lines[0], Line { slot: 0, line: 2, comment: Some("first") });
    assert_eq!(program.lines[4].comment, Some(""));
    assert_eq!(
        program.comments,
        [
            Comment { slot: 0, line: 1, text: "head" },
            Comment { slot: 3, line: 6, text: "in between" }
        ]
    );
    assert_eq!(
        program.labels,
        [
            ("start", 0),
            ("again", 2),
            ("more", 2),
            ("out", 7),
            ("callee", 8),
            ("unheard", 9),
            ("end", 10)
        ]
    );
}

#[test]
fn errors() {
    fn check(text: &str, line: usize, column: usize, message: &str) {
        let error = assemble(text, &World).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
        assert!(error.to_string().contains(message), "{text}: {error}");
    }
    check("r1 = 5\n r2 =", 2, 6, "expected a value");
    check("frobnicate", 1, 1, "expected an instruction");
    check("r16 = 1", 1, 1, "expected an instruction");
    check("r01 = 1", 1, 1, "expected an instruction");
    check("r1 = 5 5", 1, 8, "after the instruction");
    check("r1 = w2", 1, 6, "wrong width");
    check("w1 = 5 ll", 1, 6, "wrong width");
    check("r1 = 0xffffffff", 1, 6, "does not fit 32 bits");
    check("r1 = 0x10000000000000000 ll", 1, 6, "not a number");
    check("r1 = 5x", 1, 6, "not a number");
    check("r1 = 0x", 1, 6, "not a number");
    check("r1 = -0x8000000000000001 ll", 1, 6, "does not fit 64 bits");
    check("r1 = -r2", 1, 6, "same register");
    check("r1 = be16 r2", 1, 11, "same register");
    check("r1 = be15 r1", 1, 6, "expected a value");
    check("w1 = (s32)w2", 1, 7, "expected s8");
    check("r0 = *(s64 *)(r1 +0)", 1, 8, "expected a type");
    check("*(s32 *)(r1 +0) = r2", 1, 2, "unsigned");
    check("r0 = *(u32 *)(r1 +40000)", 1, 18, "16 signed bits");
    check("r0 = *(u32 *)(w1 +4)", 1, 15, "wrong width");
    check("w0 = *(u64 *)(r1 +4)", 1, 7, "wrong width");
    check("r1 = *(u32 *)skb[4]", 1, 7, "r0");
    check("r0 = *(u64 *)skb[4]", 1, 7, "type u8");
    check("*(u64 *)(r1 +0) = 0xffffffff", 1, 19, "sign-extended");
    check("lock *(u64 *)(r1 +0) -= r2", 1, 22, "expected +=");
    check("r3 = atomic64_fetch_add((u64 *)(r1 +0), r2)", 1, 41, "same register");
    check("r2 = atomic64_fetch_add((u32 *)(r1 +0), r2)", 1, 25, "u64");
    check("r1 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)", 1, 39, "same register");
    check("goto 3", 1, 6, "expected a label");
    check("goto pc", 1, 8, "expected a number");
    check("goto pc+40000", 1, 8, "does not fit");
    check("goto nowhere", 1, 6, "unknown label `nowhere`");
    check("a:\na:", 2, 1, "exists already");
    check("call nobody", 1, 6, "`nobody` is no label");
    check("call nobody#5", 1, 6, "`nobody` is no label");
    check("call bpf_map_lookup_elem#2", 1, 6, "number 1, not 2");
    check("call +3", 1, 6, "pc+3");
    check("call", 1, 5, "name or number");
    check("r1 = map[nothing]", 1, 10, "unknown map");
    check("r1 = map[id:5]", 1, 10, "`fd` or `idx`");
    check("r1 = btf[nothing]", 1, 10, "unknown kernel symbol");
    check("if r1 = 5 goto a", 1, 7, "a comparison");
    check("if r1 == 5 a", 1, 12, "expected goto");
    check("(b7) r1 = r2", 1, 1, "opcode is (bf), not (b7)");
    check("1: exit", 1, 1, "this is slot 0");
    check(".raw 0xb7 16 0 0 0", 1, 11, "four bits");
    check(".raw 0xb7 1 0 0", 1, 16, "expected a number");
    check("r1 = \u{e4}\u{f6} ; \u{fc}", 1, 6, "expected a value");
    check("\u{e4}: exit", 1, 1, "expected an instruction");
    let far = format!("goto end\n{}end: exit", "r0 = 0\n".repeat(40000));
    check(&far, 1, 6, "too far");
}

#[test]
fn error_kinds_are_typed() {
    let error = assemble("call nobody", &()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownFunction("nobody".into()));
}

fn any_insn() -> impl Strategy<Value = Insn> {
    let imm =
        prop_oneof![Just(0i32), -2..70i32, any::<i32>(), Just(0xe1), Just(0x100), Just(0x110)];
    let code = prop_oneof![1 => any::<u8>(), 9 => prop::sample::select(TABLE).prop_map(|e| e.code)];
    let off = prop_oneof![3 => Just(0i16), 1 => -2..40i16, 1 => any::<i16>()];
    let reg = || prop_oneof![3 => Just(0u8), 3 => 0u8..11, 1 => 0u8..16];
    (code, reg(), reg(), off, imm).prop_map(|(c, d, s, o, i)| Insn::new(c, d, s, o, i))
}

/// Slots that decode strictly: fields of any slot are zeroed until they do.
fn good_insns() -> impl Strategy<Value = Vec<Insn>> {
    let second = prop_oneof![Just(0), any::<i32>()];
    (any_insn(), second).prop_filter_map("no way to make it strict", |(first, second)| {
        let Insn { code, off, imm, .. } = first;
        let keep = |mask: u8, bit: u8, value: u8| if mask & bit == 0 { value } else { 0 };
        (0..16u8).find_map(|mask| {
            let off = if mask & 1 == 0 { off } else { 0 };
            let imm = if mask & 2 == 0 { imm } else { [0, 16][usize::from(first.dst() & 1)] };
            let (dst, src) = (keep(mask, 4, first.dst()), keep(mask, 8, first.src()));
            let second = if matches!(src, 1 | 4 | 5) { 0 } else { second };
            let both = vec![Insn::new(code, dst, src, off, imm), Insn::new(0, 0, 0, 0, second)];
            let op = decode_strict(&both, 0).ok()?;
            Some(both[..op.slots()].to_vec())
        })
    })
}

struct KernelNames;

impl Names for KernelNames {
    fn helper(&self, id: u32) -> Option<&str> {
        (id == 1).then_some("bpf_map_lookup_elem")
    }

    fn call(&self, insn: Insn) -> Option<&str> {
        (insn.is_kfunc_call() && insn.imm == 77 && insn.off == 3).then_some("bpf_rcu_read_lock")
    }
}

const STYLE: Style = Style { dialect: Dialect::LINUX_7_3, allow_ptr_leaks: true };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    /// The kernel's text comes back as the same slots, except for what it does not show.
    #[test]
    fn kernel_text_assembles(insns in good_insns()) {
        let shown = match decode_strict(&insns, 0).unwrap() {
            Op::Call(CallKind::Kfunc { btf_id, fd_idx }) => fd_idx == 0 || (btf_id, fd_idx) == (77, 3),
            Op::LoadImm64 { value, .. } => matches!(value, Imm64::Value(_)),
            _ => true,
        };
        let mut text = String::new();
        disassemble(&mut text, insns[0], insns.get(1).copied(), STYLE, &KernelNames).unwrap();
        if shown {
            let program = assemble(&text, &World).unwrap();
            prop_assert_eq!(&program.insns, &insns, "{}", text);
            if insns.len() == 1 {
                let without_opcode = &text["(00) ".len()..];
                let program = assemble(without_opcode, &World).unwrap();
                prop_assert_eq!(&program.insns, &insns, "{}", without_opcode);
            }
        }
    }

    /// A listing of any slots assembles to them.
    #[test]
    fn listings_assemble(insns in prop::collection::vec(any_insn(), 0..12)) {
        let text = listing(&insns).to_string();
        let program = assemble(&text, &()).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(program.insns, insns, "{}", text);
    }

    #[test]
    fn good_listings_assemble(insns in prop::collection::vec(good_insns(), 0..12)) {
        let insns = insns.concat();
        let text = listing(&insns).to_string();
        prop_assert!(!text.contains(".raw"), "{}", text);
        let program = assemble(&text, &()).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(program.insns, insns, "{}", text);
    }

    #[test]
    fn any_text(text in "\\PC*") {
        let _ = assemble(&text, &World);
    }

    /// Words of the language in any order.
    #[test]
    fn any_words(words in prop::collection::vec(prop::sample::select(WORDS), 0..16)) {
        for separator in ["", " "] {
            let _ = assemble(&words.join(separator), &World);
        }
    }
}

const WORDS: &[&str] = &[
    "r0",
    "r1",
    "r15",
    "w2",
    "=",
    "+=",
    "s>>=",
    "-",
    "+",
    "*",
    "(",
    ")",
    "[",
    "]",
    ",",
    "#",
    ":",
    ";",
    "\n",
    "5",
    "0x",
    "0xffffffffffffffff",
    "99999999999999999999",
    "ll",
    "if",
    "goto",
    "gotol",
    "pc",
    "call",
    "kfunc",
    "map",
    "fd",
    "idx",
    "btf",
    "id",
    "func",
    "a",
    "a:",
    "u8",
    "u64",
    "s32",
    "skb",
    "lock",
    "atomic64_fetch_add",
    "atomic_cmpxchg",
    "xchg_64",
    "load_acquire",
    "store_release",
    "&",
    "void",
    "__percpu",
    "addr_space_cast",
    "be16",
    "(b7)",
    "(18)",
    ".raw",
    "exit",
    ">",
    "s<=",
    "\u{e4}",
    "0:",
    "off",
    "kernel-function#",
];
