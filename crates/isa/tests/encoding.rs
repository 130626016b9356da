// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Table, decoder, encoder and field checks against each other.

use proptest::prelude::*;
use veristable_isa::consts::*;
use veristable_isa::table::{Group, TABLE, entry, opcode};
use veristable_isa::{
    DecodeError, FieldError, Flow, Insn, Op, OpcodeSet, check_fields, decode, decode_strict,
    encode, opcode_in_insntable, successors,
};

fn any_insn() -> impl Strategy<Value = Insn> {
    let small =
        prop_oneof![Just(0i32), -2..40i32, any::<i32>(), Just(0xe1), Just(0x100), Just(0x110)];
    let code = prop_oneof![any::<u8>(), prop::sample::select(TABLE).prop_map(|e| e.code)];
    let off = prop_oneof![Just(0i16), -2..40i16, any::<i16>()];
    let reg = || prop_oneof![3 => Just(0u8), 3 => 0u8..11, 1 => 0u8..16];
    (code, reg(), reg(), off, small).prop_map(|(c, d, s, o, i)| Insn::new(c, d, s, o, i))
}

fn any_pair() -> impl Strategy<Value = Vec<Insn>> {
    let second = prop_oneof![
        any::<i32>().prop_map(|imm| Insn::new(0, 0, 0, 0, imm)),
        Just(Insn::default()),
        any_insn()
    ];
    (any_insn(), second).prop_map(|(a, b)| vec![a, b])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn bytes_round_trip(bytes: [u8; 8]) {
        prop_assert_eq!(Insn::from_bytes(bytes).to_bytes(), bytes);
    }

    #[test]
    fn strict_decoding_loses_nothing(insns in any_pair()) {
        if let Ok(op) = decode_strict(&insns, 0) {
            let slots: Vec<_> = encode(op).iter().collect();
            prop_assert_eq!(&slots[..], &insns[..op.slots()]);
            prop_assert_eq!(slots.len(), insns[0].slots());
        }
    }

    #[test]
    fn encoding_loses_nothing(insns in any_pair()) {
        if let Ok(op) = decode(&insns, 0) {
            let slots: Vec<_> = encode(op).iter().collect();
            prop_assert_eq!(decode(&slots, 0), Ok(op));
        }
    }

    #[test]
    fn checked_fields_decode(insns in any_pair()) {
        let checked = check_fields(insns[0], insns.get(1).copied());
        if checked.is_ok() {
            prop_assert!(decode(&insns, 0).is_ok());
        }
        if decode_strict(&insns, 0).is_ok() {
            prop_assert_eq!(checked, Ok(()));
        }
    }

    #[test]
    fn arbitrary_programs(insns in prop::collection::vec(any_insn(), 0..20), idx in 0usize..25) {
        let _ = decode(&insns, idx);
        let _ = decode_strict(&insns, idx);
        prop_assert!(successors(&insns, idx).all(|i| i < insns.len()));
        for index in [idx, usize::MAX] {
            prop_assert!(successors(&insns, usize::MAX).next().is_none());
            if let Some(insn) = insns.get(idx) {
                let _ = insn.jump_target(index);
                let _ = insn.subprog_target(index);
            }
        }
    }
}

#[test]
fn typed_instruction_is_small() {
    assert_eq!(size_of::<Op>(), 16);
    assert_eq!(size_of::<Result<Op, DecodeError>>(), 16);
}

/// Every row's form leads back to the row's opcode, and names match opcodes.
#[test]
fn rows_agree_with_encoding() {
    for row in TABLE {
        let imm = if row.name.contains("END") { 16 } else { 0 };
        let op = decode(&[Insn::new(row.code, 0, 0, 0, imm), Insn::default()], 0).unwrap();
        assert_eq!(encode(op).first().code, row.code, "{}", row.name);
        assert_eq!(entry(row.code), Some(row));
    }
    let known = (0..=255u8).filter(|&c| entry(c).is_some()).count();
    assert_eq!(known, TABLE.len());
}

/// Counts and members of `bpf_opcode_in_insntable`, as read in the kernels' `kernel/bpf/core.c`.
#[test]
fn insntable() {
    let count = |set| (0..=255u8).filter(|&c| opcode_in_insntable(c, set)).count();
    assert_eq!(count(OpcodeSet::LINUX_6_12), 126);
    assert_eq!(count(OpcodeSet::LINUX_6_18), 128);
    assert_eq!(count(OpcodeSet::LINUX_7_3), 129);
    assert!(!opcode_in_insntable(opcode::STX_ATOMIC_B, OpcodeSet::LINUX_6_12));
    assert!(!opcode_in_insntable(opcode::JMP_JA_X, OpcodeSet::LINUX_6_18));
    assert!(!OpcodeSet::ALL.without(Group::Jmp32).contains(Group::Jmp32));
    for code in [
        0x00, 0x06, 0x0e, 0x38, 0x58, 0x8c, 0x8d, 0x8f, 0x86, 0x96, 0x99, 0x9d, 0xdf, 0xe6, 0xed,
        0xe4, 0xf5, 0xc2, 0x0d,
    ] {
        let expected = matches!(code, 0x06 | 0x0d);
        assert_eq!(opcode_in_insntable(code, OpcodeSet::ALL), expected, "{code:02x}");
    }
}

#[test]
fn fields() {
    fn check(insn: Insn, second: Option<Insn>, expected: Result<(), FieldError>) {
        assert_eq!(check_fields(insn, second), expected, "{insn:?} {second:?}");
    }
    let plain = Some(Insn::default());
    let one = |code: u8, dst, src, off, imm, expected| {
        check(Insn::new(code, dst, src, off, imm), plain, expected);
    };
    use opcode::*;
    one(LDX_MEM_W, 0, 1, 4, 1, Err(FieldError::Ldx));
    one(BPF_LDX | BPF_ATOMIC, 0, 1, 4, 0, Err(FieldError::Ldx));
    one(BPF_LDX | BPF_MEMSX | BPF_DW, 0, 1, 4, 0, Err(FieldError::UnknownOpcode));
    one(ALU64_NEG, 1, 0, 0, 1, Err(FieldError::Neg));
    one(ALU64_NEG, 1, 2, 0, 0, Err(FieldError::Neg));
    one(ALU64_END_TO_LE, 1, 0, 0, 8, Err(FieldError::End));
    one(ALU_END_TO_BE, 1, 0, 1, 16, Err(FieldError::End));
    one(ALU_END_TO_BE, 1, 0, 0, 64, Ok(()));
    one(ALU64_MOV_X, 1, 2, 32, 0, Ok(()));
    one(ALU_MOV_X, 1, 2, 32, 0, Err(FieldError::Mov));
    one(ALU_MOV_X, 1, 2, 1, 1, Err(FieldError::Mov));
    one(ALU64_MOV_X, 1, 2, 1, 1, Ok(()));
    one(ALU64_MOV_X, 1, 2, 1, 1 << 16, Ok(()));
    one(ALU64_MOV_X, 1, 2, 1, 2, Err(FieldError::AddrSpaceCast));
    one(ALU64_MOV_K, 1, 0, 8, 2, Err(FieldError::Mov));
    one(ALU64_MOV_K, 1, 1, 0, 2, Err(FieldError::Mov));
    one(ALU64_DIV_K, 1, 0, 1, 2, Ok(()));
    one(ALU64_MOD_X, 1, 2, 2, 0, Err(FieldError::Alu));
    one(ALU64_ADD_X, 1, 2, 1, 0, Err(FieldError::Alu));
    one(ALU64_ADD_X, 1, 2, 0, 1, Err(FieldError::Alu));
    one(ALU64_ADD_K, 1, 2, 0, 1, Err(FieldError::Alu));
    one(STX_MEM_B, 1, 2, 0, 1, Err(FieldError::Stx));
    one(ST_MEM_B, 1, 2, 0, 1, Err(FieldError::St));
    one(STX_ATOMIC_DW, 1, 2, 0, 1, Ok(()));
    one(STX_ATOMIC_DW, 1, 2, 0, 2, Err(FieldError::AtomicOp));
    one(STX_ATOMIC_B, 1, 2, 0, 0x110, Ok(()));
    one(JMP_CALL, 0, 0, 1, 1, Err(FieldError::Call));
    one(JMP_CALL, 0, 2, 1, 1, Ok(()));
    one(JMP_CALL, 0, 3, 0, 1, Err(FieldError::Call));
    one(JMP_CALL, 1, 1, 0, 1, Err(FieldError::Call));
    one(JMP_JA, 0, 0, 1, 1, Err(FieldError::Ja));
    one(JMP32_JA, 0, 0, 1, 1, Err(FieldError::Ja));
    one(JMP_JA_X, 1, 0, 0, 0, Ok(()));
    one(JMP_JA_X, 1, 0, 1, 0, Err(FieldError::JaX));
    one(JMP_EXIT, 0, 0, 7, 0, Ok(()));
    one(JMP_EXIT, 0, 0, 0, 1, Err(FieldError::Exit));
    one(JMP_JCOND, 0, 1, 0, 0, Err(FieldError::MayGoto));
    one(JMP_JCOND, 0, 0, 5, 0, Ok(()));
    one(JMP_JEQ_K, 1, 1, 0, 0, Err(FieldError::Jmp));
    one(JMP32_JEQ_X, 1, 1, 0, 1, Err(FieldError::Jmp));
    one(LD_ABS_W, 0, 1, 0, 1, Err(FieldError::LdAbs));
    one(LD_IND_W, 0, 1, 0, 1, Ok(()));
    one(LD_IND_W, 1, 1, 0, 1, Err(FieldError::LdAbs));
    one(LD_IMM_DW, 1, 0, 1, 1, Err(FieldError::LdImm64));
    one(LD_IMM_DW, 1, 7, 0, 1, Err(FieldError::LdImm64Kind));
    check(Insn::new(LD_IMM_DW, 1, 0, 0, 1), None, Err(FieldError::LdImm64SecondSlot));
    for (kind, expected) in [
        (0, Ok(())),
        (1, Err(FieldError::LdImm64Kind)),
        (2, Ok(())),
        (3, Ok(())),
        (4, Ok(())),
        (5, Err(FieldError::LdImm64Kind)),
        (6, Ok(())),
    ] {
        let first = Insn::new(LD_IMM_DW, 1, kind, 0, 1);
        check(first, Some(Insn::new(0, 0, 0, 0, 5)), expected);
        check(first, Some(Insn::new(0, 0, 0, 1, 0)), Err(FieldError::LdImm64SecondSlot));
    }
}

#[test]
fn strictness() {
    fn check(insns: &[Insn], expected: DecodeError) {
        assert_eq!(decode_strict(insns, 0), Err(expected), "{insns:?}");
    }
    check(&[], DecodeError::OutOfBounds);
    check(&[Insn::new(0xff, 0, 0, 0, 0)], DecodeError::UnknownOpcode(0xff));
    check(&[Insn::new(opcode::LD_IMM_DW, 0, 0, 0, 0)], DecodeError::MissingSecondSlot);
    check(&[Insn::new(opcode::ALU64_MOV_K, 11, 0, 0, 0)], DecodeError::Register(11));
    check(&[Insn::new(opcode::ALU64_MOV_X, 1, 12, 0, 0)], DecodeError::Register(12));
    check(&[Insn::new(opcode::JMP_EXIT, 0, 0, 1, 0)], DecodeError::Unread);
    check(
        &[Insn::new(opcode::LD_IMM_DW, 1, 4, 0, 0), Insn::new(0, 0, 0, 0, 9)],
        DecodeError::Unread,
    );
}

#[test]
fn control_flow() {
    use opcode::*;
    fn check(insn: Insn, flow: Flow, successors_of_4: &[usize], target: Option<i64>) {
        let mut program = vec![Insn::new(ALU64_MOV_K, 0, 0, 0, 0); 10];
        program[4] = insn;
        assert_eq!(insn.flow(), flow, "{insn:?}");
        assert_eq!(successors(&program, 4).collect::<Vec<_>>(), successors_of_4, "{insn:?}");
        assert_eq!(insn.jump_target(4), target, "{insn:?}");
    }
    check(Insn::new(ALU64_MOV_K, 0, 0, 3, 0), Flow::Next, &[5], None);
    check(Insn::new(LD_IMM_DW, 0, 0, 0, 0), Flow::Next, &[6], None);
    check(Insn::new(JMP_CALL, 0, 1, 0, 3), Flow::Next, &[5], None);
    check(Insn::new(JMP_JA, 0, 0, -5, 0), Flow::Jump, &[0], Some(0));
    check(Insn::new(JMP_JA, 0, 0, -6, 0), Flow::Jump, &[], Some(-1));
    check(Insn::new(JMP32_JA, 0, 0, 9, 2), Flow::Jump, &[7], Some(7));
    check(Insn::new(JMP32_JEQ_K, 0, 0, 2, 9), Flow::Branch, &[5, 7], Some(7));
    check(Insn::new(JMP_JCOND, 0, 0, 5, 0), Flow::Branch, &[5], Some(10));
    check(Insn::new(JMP_EXIT, 0, 0, 0, 0), Flow::End, &[], None);
    check(Insn::new(0xf5, 0, 0, 1, 0), Flow::Next, &[5], Some(6));
    let call = Insn::new(JMP_CALL, 0, 1, 0, 3);
    assert_eq!(call.subprog_target(4), Some(8));
}
