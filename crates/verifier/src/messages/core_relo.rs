// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Messages about CO-RE relocations that the kernel applies. Most stand in
//! `tools/lib/bpf/relo_core.c`, which libbpf and the kernel share, and name no program.

use crate::mem::Text;

messages! {
    /// CO-RE relocations.
    CoreRelo {
        /// `check_core_relo`
        RecordTail E2BIG => bare "nonzero tailing record in core_relo";
        /// `check_core_relo`
        Offset { index: u32, offset: u32, len: u32 } EINVAL => "Invalid core_relo[{index}].insn_off:{offset} prog->len:{len}";
        /// `bpf_core_apply` (`kernel/bpf/btf.c`)
        BadType { index: u32, type_id: u32 } EINVAL => "relo #{index}: bad type id {type_id}";
        /// `bpf_core_apply` (`kernel/bpf/btf.c`)
        NoSearch { type_id: i32 } EINVAL => "target candidate search failed for {type_id}";
        /// `bpf_core_apply` (`kernel/bpf/btf.c`)
        Candidate { kind: &'static str, name: Text, id: u32 } NOTE => "CO-RE relocating {kind} {name}: found target candidate [{id}]";
        /// `bpf_core_parse_spec`
        UnexpectedKind { root: u32, position: u32, id: u32, kind: &'static str } EINVAL => "prog '': relo for [{root}]  (at idx {position}) captures type [{id}] of unexpected kind {kind}";
        /// `bpf_core_calc_relo_insn`
        NotParsed { index: u32, id: u32, kind: &'static str, name: Text, access: Text, errno: i32 } EINVAL => "prog '': relo #{index}: parsing [{id}] {kind} {name} + {access} failed: {errno}";
        /// `bpf_core_calc_relo_insn`
        Parsed { index: u32, path: Text } NOTE => "prog '': relo #{index}: {path}";
        /// `bpf_core_calc_relo_insn`; 6.12 begins the next line with a space.
        MatchFailed { index: u32, candidate: u32, path: Text, errno: i32 } EINVAL => bare "prog '': relo #{index}: error matching candidate #{candidate} {path}: {errno}\n" | V6_12 "prog '': relo #{index}: error matching candidate #{candidate} {path}: {errno}\n ";
        /// `bpf_core_calc_relo_insn`
        Matching { index: u32, candidate: u32, path: Text } NOTE => "prog '': relo #{index}: matching candidate #{candidate} {path}";
        /// `bpf_core_calc_relo_insn`
        NotMatching { index: u32, candidate: u32, path: Text } NOTE => "prog '': relo #{index}: non-matching candidate #{candidate} {path}";
        /// `bpf_core_calc_relo_insn`
        NoTarget { index: u32 } NOTE => "prog '': relo #{index}: no matching targets found";
        /// `bpf_core_calc_relo_insn`
        OffsetAmbiguity { index: u32, other: u32, first: u32 } EINVAL => "prog '': relo #{index}: field offset ambiguity: {other} != {first}";
        /// `bpf_core_calc_relo_insn`
        DecisionAmbiguity { index: u32, other_word: &'static str, other: u64, first_word: &'static str, first: u64 } EINVAL => "prog '': relo #{index}: relocation decision ambiguity: {other_word} {other} != {first_word} {first}";
        /// `bpf_core_calc_field_relo`
        ArrayAccess { kind: u32, insn: u32 } EINVAL => "prog '': relo {kind} at insn #{insn} can't be applied to array access";
        /// `bpf_core_calc_field_relo`
        BitField { kind: u32, insn: u32 } E2BIG => "prog '': relo {kind} at insn #{insn} can't be satisfied for bitfield";
        /// `bpf_core_poison_insn`
        Substituted { index: u32, insn: u32 } NOTE => "prog '': relo #{index}: substituting insn #{insn} w/ invalid insn";
        /// `bpf_core_patch_insn`
        UnexpectedImm { index: u32, insn: u32, found: u32, original: u64, new: u64 } EINVAL => "prog '': relo #{index}: unexpected insn #{insn} (ALU/ALU64) value: got {found}, exp {original} -> {new}";
        /// `bpf_core_patch_insn`
        PatchedImm { index: u32, insn: u32, old: u64, new: u64 } NOTE => "prog '': relo #{index}: patched insn #{insn} (ALU/ALU64) imm {old} -> {new}";
        /// `bpf_core_patch_insn`
        UnexpectedOffset { index: u32, insn: u32, found: u32, original: u64, new: u64 } EINVAL => "prog '': relo #{index}: unexpected insn #{insn} (LDX/ST/STX) value: got {found}, exp {original} -> {new}";
        /// `bpf_core_patch_insn`
        OffsetTooBig { index: u32, insn: u32, new: u64 } ERANGE => "prog '': relo #{index}: insn #{insn} (LDX/ST/STX) value too big: {new}";
        /// `bpf_core_patch_insn`
        WrongAccess { index: u32, insn: u32 } NOTE => "prog '': relo #{index}: insn #{insn} (LDX/ST/STX) accesses field incorrectly. Make sure you are accessing pointers, unsigned integers, or fields of matching type and size.";
        /// `bpf_core_patch_insn`
        PatchedOffset { index: u32, insn: u32, old: u64, new: u64 } NOTE => "prog '': relo #{index}: patched insn #{insn} (LDX/ST/STX) off {old} -> {new}";
        /// `bpf_core_patch_insn`
        UnexpectedSize { index: u32, insn: u32, found: u32, expected: u32 } EINVAL => "prog '': relo #{index}: insn #{insn} (LDX/ST/STX) unexpected mem size: got {found}, exp {expected}";
        /// `bpf_core_patch_insn`
        InvalidSize { index: u32, insn: u32, new: u32 } EINVAL => "prog '': relo #{index}: insn #{insn} (LDX/ST/STX) invalid new mem size: {new}";
        /// `bpf_core_patch_insn`
        PatchedSize { index: u32, insn: u32, old: u32, new: u32 } NOTE => "prog '': relo #{index}: patched insn #{insn} (LDX/ST/STX) mem_sz {old} -> {new}";
        /// `bpf_core_patch_insn`
        UnexpectedForm { index: u32, insn: u32 } EINVAL => "prog '': relo #{index}: insn #{insn} (LDIMM64) has unexpected form";
        /// `bpf_core_patch_insn`
        UnexpectedImm64 { index: u32, insn: u32, found: u64, original: u64, new: u64 } EINVAL => "prog '': relo #{index}: unexpected insn #{insn} (LDIMM64) value: got {found}, exp {original} -> {new}";
        /// `bpf_core_patch_insn`
        PatchedImm64 { index: u32, insn: u32, old: u64, new: u64 } NOTE => "prog '': relo #{index}: patched insn #{insn} (LDIMM64) imm64 {old} -> {new}";
        /// `bpf_core_patch_insn`
        Unrecognized { index: u32, insn: u32, code: u8, src: u8, dst: u8, off: i32, imm: i32 } EINVAL => "prog '': relo #{index}: trying to relocate unrecognized insn #{insn}, code:{code:#x}, src:{src:#x}, dst:{dst:#x}, off:{off:#x}, imm:{imm:#x}";
    }
}
