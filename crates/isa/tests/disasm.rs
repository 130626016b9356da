// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The kernel's texts. All expectations were compared with what the kernels' `disasm.c` of 6.12.117,
//! 6.18.15 and 7.3, compiled for user space, writes.

use proptest::prelude::*;
use veristable_isa::disasm::Text;
use veristable_isa::{Dialect, Insn, Names, Style, disassemble};

struct Some3;

impl Names for Some3 {
    fn helper(&self, id: u32) -> Option<&str> {
        match id {
            0 => Some("bpf_unspec"),
            1 => Some("bpf_map_lookup_elem"),
            _ => None,
        }
    }

    fn call(&self, insn: Insn) -> Option<&str> {
        (insn.is_kfunc_call() && insn.imm == 77).then_some("bpf_rcu_read_lock")
    }
}

fn text(insn: Insn, second: i32, dialect: Dialect, allow_ptr_leaks: bool) -> String {
    let mut out = String::new();
    let next = Some(Insn::new(0, 0, 0, 0, second));
    disassemble(&mut out, insn, next, Style { dialect, allow_ptr_leaks }, &Some3).unwrap();
    out
}

/// In all three dialects.
#[test]
fn common_texts() {
    fn check(code: u8, dst: u8, src: u8, off: i16, imm: i32, expected: &str) {
        let insn = Insn::new(code, dst, src, off, imm);
        for dialect in [Dialect::LINUX_6_12, Dialect::LINUX_6_18, Dialect::LINUX_7_3] {
            assert_eq!(text(insn, 0, dialect, true), expected);
        }
    }
    check(0xb7, 1, 0, 0, 0, "(b7) r1 = 0");
    check(0xb4, 1, 0, 0, -1, "(b4) w1 = -1");
    check(0xbf, 6, 1, 0, 0, "(bf) r6 = r1");
    check(0xbc, 6, 1, 0, 0, "(bc) w6 = w1");
    check(0xbf, 6, 1, 8, 0, "(bf) r6 = (s8)r1");
    check(0xbc, 6, 1, 16, 0, "(bc) w6 = (s16)w1");
    check(0xbf, 6, 1, 32, 0, "(bf) r6 = (s32)r1");
    check(0xbf, 6, 1, 64, 0, "(bf) r6 = r1");
    check(0xbf, 6, 1, 1, 1 << 16, "(bf) r6 = addr_space_cast(r1, 1, 0)");
    check(0xbf, 6, 1, 1, -1, "(bf) r6 = addr_space_cast(r1, 65535, 65535)");
    check(0xbf, 6, 1, -1, 0, "(bf) r6 = &(void __percpu *)(r1)");
    check(0x07, 2, 0, 0, -8, "(07) r2 += -8");
    check(0x3f, 2, 3, 0, 0, "(3f) r2 /= r3");
    check(0x3f, 2, 3, 1, 0, "(3f) r2 s/= r3");
    check(0x94, 2, 3, 1, 9, "(94) w2 s%= 9");
    check(0xc7, 2, 3, 0, 9, "(c7) r2 s>>= 9");
    check(0xe7, 2, 3, 0, 9, "(e7) r2 (null) 9");
    check(0x87, 2, 0, 0, 0, "(87) r2 = -r2");
    check(0x84, 2, 0, 0, 0, "(84) w2 = -w2");
    check(0xd4, 2, 0, 0, 16, "(d4) r2 = le16 r2");
    check(0xdc, 2, 0, 0, 64, "(dc) r2 = be64 r2");
    check(0xd7, 2, 0, 0, 32, "(d7) r2 = bswap32 r2");
    check(0xd7, 2, 0, 0, -3, "(d7) r2 = bswap-3 r2");
    check(0x61, 0, 1, 4, 0, "(61) r0 = *(u32 *)(r1 +4)");
    check(0x79, 0, 10, -8, 0, "(79) r0 = *(u64 *)(r10 -8)");
    check(0x71, 0, 1, 0, 0, "(71) r0 = *(u8 *)(r1 +0)");
    check(0x81, 0, 1, 0, 0, "(81) r0 = *(s32 *)(r1 +0)");
    check(0x89, 0, 1, 0, 0, "(89) r0 = *(s16 *)(r1 +0)");
    check(0x91, 0, 1, 0, 0, "(91) r0 = *(s8 *)(r1 +0)");
    check(0x21, 0, 1, 0, 0, "BUG_ldx_21");
    check(0x7b, 10, 1, -8, 0, "(7b) *(u64 *)(r10 -8) = r1");
    check(0x62, 10, 0, -8, -1, "(62) *(u32 *)(r10 -8) = -1");
    check(0xc2, 0, 0, 0, 0, "(c2) nospec");
    check(0x22, 0, 0, 0, 0, "BUG_st_22");
    check(0x23, 0, 0, 0, 0, "BUG_23");
    check(0xdb, 1, 2, 0, 0, "(db) lock *(u64 *)(r1 +0) += r2");
    check(0xc3, 1, 2, 4, 0xa0, "(c3) lock *(u32 *)(r1 +4) ^= r2");
    check(0xdb, 1, 2, 0, 0x41, "(db) r2 = atomic64_fetch_or((u64 *)(r1 +0), r2)");
    check(0xc3, 1, 2, 0, 0x51, "(c3) r2 = atomic_fetch_and((u32 *)(r1 +0), r2)");
    check(0xdb, 1, 2, 0, 0xe1, "(db) r2 = atomic64_xchg((u64 *)(r1 +0), r2)");
    check(0xc3, 1, 2, -4, 0xf1, "(c3) r0 = atomic_cmpxchg((u32 *)(r1 -4), r0, r2)");
    check(0xc3, 1, 2, -4, 0xf0, "BUG_c3");
    check(0x30, 0, 0, 0, -4, "(30) r0 = *(u8 *)skb[-4]");
    check(0x48, 0, 3, 0, -4, "(48) r0 = *(u16 *)skb[r3 + -4]");
    check(0x18, 1, 0, 0, -1, "(18) r1 = 0xffffffff");
    check(0x10, 1, 0, 0, -1, "BUG_ld_10");
    check(0x05, 0, 0, 3, 0, "(05) goto pc+3");
    check(0x05, 0, 0, -3, 0, "(05) goto pc-3");
    check(0x06, 0, 0, 0, 70000, "(06) gotol pc+70000");
    check(0xe5, 0, 0, 0, 0, "(e5) may_goto pc+0");
    check(0xe5, 0, 1, 0, 0, "(e5) if r0 (null) 0x0 goto pc+0");
    check(0x15, 1, 0, 2, -1, "(15) if r1 == 0xffffffff goto pc+2");
    check(0x6e, 1, 2, -2, 0, "(6e) if w1 s> w2 goto pc-2");
    check(0x4d, 1, 2, -2, 0, "(4d) if r1 & r2 goto pc-2");
    check(0x96, 1, 2, -2, 0, "(96) if w1 exit 0x0 goto pc-2");
    check(0x0e, 1, 2, -2, 0, "(0e) if w1 jmp w2 goto pc-2");
    check(0x95, 0, 0, 0, 0, "(95) exit");
    check(0x85, 0, 0, 0, 0, "(85) call bpf_unspec#0");
    check(0x85, 0, 0, 0, 1, "(85) call bpf_map_lookup_elem#1");
    check(0x85, 0, 0, 0, 9999, "(85) call unknown#9999");
    check(0x85, 0, 0, 0, -1, "(85) call unknown#-1");
    check(0x85, 0, 1, 0, 3, "(85) call pc+3");
    check(0x86, 0, 1, 0, -3, "(86) call pc-3");
    check(0x85, 0, 2, 0, 77, "(85) call bpf_rcu_read_lock#77");
    check(0x85, 0, 2, 0, 78, "(85) call kernel-function#78");
    check(0x85, 0, 3, 0, 1, "(85) call unknown#1");
}

#[test]
fn texts_by_dialect() {
    fn check(insn: Insn, in_6_12: &str, in_6_18: &str, in_7_3: &str) {
        assert_eq!(text(insn, 0, Dialect::LINUX_6_12, true), in_6_12);
        assert_eq!(text(insn, 0, Dialect::LINUX_6_18, true), in_6_18);
        assert_eq!(text(insn, 0, Dialect::LINUX_7_3, true), in_7_3);
    }
    let acquire = "(c3) r1 = load_acquire((u32 *)(r2 +8))";
    check(Insn::new(0xc3, 1, 2, 8, 0x100), "BUG_c3", acquire, acquire);
    let release = "(d3) store_release((u8 *)(r1 +8), r2)";
    check(Insn::new(0xd3, 1, 2, 8, 0x110), "BUG_d3", release, release);
    let branch = "(0d) if r1 jmp r0 goto pc+0";
    check(Insn::new(0x0d, 1, 0, 0, 0), branch, branch, "(0d) gotox r1");
    let probe = "(fb) probe lock *(u64 *)(r1 +0) &= r2";
    check(Insn::new(0xfb, 1, 2, 0, 0x50), "BUG_fb", "BUG_fb", probe);
    let probe = "(fb) probe r1 = load_acquire((u64 *)(r2 +0))";
    check(Insn::new(0xfb, 1, 2, 0, 0x100), "BUG_fb", "BUG_fb", probe);
    assert_eq!(text(Insn::new(0x99, 1, 2, 0, 0), 0, Dialect::LINUX_7_3, true), "BUG_ldx_99");
}

/// 64-bit immediate loads without permission to see pointers.
#[test]
fn masking() {
    fn check(kind: u8, expected: [bool; 3]) {
        let insn = Insn::new(0x18, 1, kind, 0, 7);
        let dialects = [Dialect::LINUX_6_12, Dialect::LINUX_6_18, Dialect::LINUX_7_3];
        for (dialect, masked) in dialects.into_iter().zip(expected) {
            assert_eq!(text(insn, 5, dialect, true), "(18) r1 = 0x500000007");
            let masked = if masked { "(18) r1 = 0x0" } else { "(18) r1 = 0x500000007" };
            assert_eq!(text(insn, 5, dialect, false), masked, "kind {kind} {dialect:?}");
        }
    }
    check(0, [false; 3]);
    check(1, [true; 3]);
    check(2, [true; 3]);
    check(3, [true, false, true]);
    check(4, [false; 3]);
    check(5, [true, false, true]);
    check(6, [true, false, true]);
    check(7, [false; 3]);
}

proptest! {
    #[test]
    fn every_slot_has_a_text(bytes: [u8; 8], next in prop::option::of(any::<[u8; 8]>())) {
        let insn = Insn::from_bytes(bytes);
        for dialect in [Dialect::LINUX_6_12, Dialect::LINUX_6_18, Dialect::LINUX_7_3] {
            let style = Style { dialect, allow_ptr_leaks: false };
            let text = Text { insn, next: next.map(Insn::from_bytes), style, names: &() };
            let text = text.to_string();
            prop_assert!(text.starts_with('(') || text.starts_with("BUG_"));
            prop_assert!(!text.contains('\n'));
        }
    }
}
