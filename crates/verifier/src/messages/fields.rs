// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about reserved fields and forms of instructions.

messages! {
    /// Reserved fields and forms of instructions.
    Fields {
        /// `resolve_pseudo_ldimm64`
        Ldx EINVAL => "BPF_LDX uses reserved fields";
        /// `check_alu_op`
        Neg EINVAL => "BPF_NEG uses reserved fields";
        /// `check_alu_op`
        End EINVAL => "BPF_END uses reserved fields";
        /// `check_alu_op`
        Mov EINVAL => "BPF_MOV uses reserved fields";
        /// `check_alu_op`
        AddrSpaceCast EINVAL => "addr_space_cast insn can only convert between address space 1 and 0";
        /// `check_alu_op`
        AddrSpaceCastWithoutArena EINVAL => "addr_space_cast insn can only be used in a program that has an associated arena";
        /// `check_alu_op`
        Alu EINVAL => "BPF_ALU uses reserved fields";
        /// `check_atomic`
        AtomicOp { imm: i32 } EINVAL => "BPF_ATOMIC uses invalid atomic opcode {imm:02x}";
        /// `do_check_insn`
        Stx EINVAL => "BPF_STX uses reserved fields";
        /// `do_check_insn`
        St EINVAL => "BPF_ST uses reserved fields";
        /// `do_check_insn`
        Call EINVAL => "BPF_CALL uses reserved fields";
        /// `do_check_insn`
        Ja EINVAL => "BPF_JA uses reserved fields";
        /// `do_check_insn`
        Exit EINVAL => "BPF_EXIT uses reserved fields";
        /// `check_cond_jmp_op`
        MayGoto { off: i16, imm: i32 } EINVAL => "invalid may_goto imm {imm}"
            | V6_12 "invalid may_goto off {off} imm {imm}";
        /// `check_cond_jmp_op`
        Jmp EINVAL => "BPF_JMP/JMP32 uses reserved fields";
        /// `check_ld_imm`
        LdImm64 EINVAL => "BPF_LD_IMM64 uses reserved fields";
        /// `check_ld_abs`
        LdAbs EINVAL => "BPF_LD_[ABS|IND] uses reserved fields";
    }
}
