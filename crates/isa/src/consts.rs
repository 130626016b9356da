// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The kernel's constants for instruction encoding, under the kernel's names.
//!
//! From `include/uapi/linux/bpf_common.h`, `include/uapi/linux/bpf.h` and, where noted, the
//! kernel-internal `include/linux/filter.h`. Opcode parts are `u8`, values of the `imm` field `i32`,
//! values of the `off` field `i16`.

/// Mask of the instruction class in an opcode.
pub const BPF_CLASS_MASK: u8 = 0x07;
/// Mask of the access size in a load or store opcode.
pub const BPF_SIZE_MASK: u8 = 0x18;
/// Mask of the addressing mode in a load or store opcode.
pub const BPF_MODE_MASK: u8 = 0xe0;
/// Mask of the operation in an ALU or jump opcode.
pub const BPF_OP_MASK: u8 = 0xf0;
/// Mask of the source kind in an ALU or jump opcode.
pub const BPF_SRC_MASK: u8 = 0x08;

macro_rules! constants {
    ($( $type:ty { $( $(#[$doc:meta])* $name:ident = $value:expr; )* } )*) => {
        $( $( $(#[$doc])* pub const $name: $type = $value; )* )*
    };
}

constants! { u8 {
    /// Class: load of an immediate or of packet data.
    BPF_LD = 0x00;
    /// Class: load from memory.
    BPF_LDX = 0x01;
    /// Class: store of an immediate.
    BPF_ST = 0x02;
    /// Class: store of a register, and atomics.
    BPF_STX = 0x03;
    /// Class: 32-bit arithmetic.
    BPF_ALU = 0x04;
    /// Class: jumps with 64-bit comparison, call and exit.
    BPF_JMP = 0x05;
    /// Class: jumps with 32-bit comparison.
    BPF_JMP32 = 0x06;
    /// Class: 64-bit arithmetic.
    BPF_ALU64 = 0x07;

    /// Size: 4 bytes.
    BPF_W = 0x00;
    /// Size: 2 bytes.
    BPF_H = 0x08;
    /// Size: 1 byte.
    BPF_B = 0x10;
    /// Size: 8 bytes.
    BPF_DW = 0x18;

    /// Mode: immediate (64-bit immediate load).
    BPF_IMM = 0x00;
    /// Mode: packet data at a constant offset.
    BPF_ABS = 0x20;
    /// Mode: packet data at a register plus a constant.
    BPF_IND = 0x40;
    /// Mode: memory at a register plus `off`.
    BPF_MEM = 0x60;
    /// Mode: as [`BPF_MEM`], with sign extension.
    BPF_MEMSX = 0x80;
    /// Mode: atomic operation, chosen by `imm`.
    BPF_ATOMIC = 0xc0;
    /// Mode: old name of [`BPF_ATOMIC`].
    BPF_XADD = 0xc0;
    /// Mode, kernel-internal (`linux/filter.h`): load that may fault.
    BPF_PROBE_MEM = 0x20;
    /// Mode, kernel-internal (`linux/filter.h`): sign-extending load that may fault.
    BPF_PROBE_MEMSX = 0x40;
    /// Mode, kernel-internal (`linux/filter.h`): arena access.
    BPF_PROBE_MEM32 = 0xa0;
    /// Mode, kernel-internal (`linux/filter.h`): sign-extending arena load.
    BPF_PROBE_MEM32SX = 0xc0;
    /// Mode, kernel-internal (`linux/filter.h`): arena atomic.
    BPF_PROBE_ATOMIC = 0xe0;
    /// Mode of class `BPF_ST`, kernel-internal (`linux/filter.h`): speculation barrier.
    BPF_NOSPEC = 0xc0;

    /// Source is the immediate.
    BPF_K = 0x00;
    /// Source is a register.
    BPF_X = 0x08;

    /// ALU: `dst += src`.
    BPF_ADD = 0x00;
    /// ALU: `dst -= src`.
    BPF_SUB = 0x10;
    /// ALU: `dst *= src`.
    BPF_MUL = 0x20;
    /// ALU: `dst /= src`, signed if `off` is 1.
    BPF_DIV = 0x30;
    /// ALU: `dst |= src`.
    BPF_OR = 0x40;
    /// ALU: `dst &= src`.
    BPF_AND = 0x50;
    /// ALU: `dst <<= src`.
    BPF_LSH = 0x60;
    /// ALU: `dst >>= src`, unsigned.
    BPF_RSH = 0x70;
    /// ALU: `dst = -dst`.
    BPF_NEG = 0x80;
    /// ALU: `dst %= src`, signed if `off` is 1.
    BPF_MOD = 0x90;
    /// ALU: `dst ^= src`.
    BPF_XOR = 0xa0;
    /// ALU: `dst = src`, with sign extension from `off` bits if `off` is 8, 16 or 32.
    BPF_MOV = 0xb0;
    /// ALU: `dst >>= src`, signed.
    BPF_ARSH = 0xc0;
    /// ALU: byte order conversion of `imm` bits.
    BPF_END = 0xd0;

    /// Class `BPF_ALU`, with [`BPF_END`]: to little endian.
    BPF_TO_LE = 0x00;
    /// Class `BPF_ALU`, with [`BPF_END`]: to big endian.
    BPF_TO_BE = 0x08;
    /// Same as [`BPF_TO_LE`].
    BPF_FROM_LE = 0x00;
    /// Same as [`BPF_TO_BE`].
    BPF_FROM_BE = 0x08;

    /// Jump always; in class `BPF_JMP32` the distance is `imm`; with [`BPF_X`] to an address.
    BPF_JA = 0x00;
    /// Jump if equal.
    BPF_JEQ = 0x10;
    /// Jump if greater, unsigned.
    BPF_JGT = 0x20;
    /// Jump if greater or equal, unsigned.
    BPF_JGE = 0x30;
    /// Jump if `dst & src` is not zero.
    BPF_JSET = 0x40;
    /// Jump if not equal.
    BPF_JNE = 0x50;
    /// Jump if greater, signed.
    BPF_JSGT = 0x60;
    /// Jump if greater or equal, signed.
    BPF_JSGE = 0x70;
    /// Call of a helper, a subprogram or a kernel function.
    BPF_CALL = 0x80;
    /// Return.
    BPF_EXIT = 0x90;
    /// Jump if less, unsigned.
    BPF_JLT = 0xa0;
    /// Jump if less or equal, unsigned.
    BPF_JLE = 0xb0;
    /// Jump if less, signed.
    BPF_JSLT = 0xc0;
    /// Jump if less or equal, signed.
    BPF_JSLE = 0xd0;
    /// Conditional pseudo jump, `may_goto`.
    BPF_JCOND = 0xe0;
    /// Kernel-internal (`linux/filter.h`): tail call.
    BPF_TAIL_CALL = 0xf0;
    /// Kernel-internal (`linux/filter.h`): call with arguments, interpreter only.
    BPF_CALL_ARGS = 0xe0;

    /// `src_reg` of [`BPF_JCOND`]: `may_goto`.
    BPF_MAY_GOTO = 0;

    /// `src_reg` of a 64-bit immediate load: a map by file descriptor.
    BPF_PSEUDO_MAP_FD = 1;
    /// `src_reg` of a 64-bit immediate load: the value of a map by file descriptor.
    BPF_PSEUDO_MAP_VALUE = 2;
    /// `src_reg` of a 64-bit immediate load: a kernel variable or function by BTF id.
    BPF_PSEUDO_BTF_ID = 3;
    /// `src_reg` of a 64-bit immediate load: a subprogram.
    BPF_PSEUDO_FUNC = 4;
    /// `src_reg` of a 64-bit immediate load: a map by index into `fd_array`.
    BPF_PSEUDO_MAP_IDX = 5;
    /// `src_reg` of a 64-bit immediate load: the value of a map by index into `fd_array`.
    BPF_PSEUDO_MAP_IDX_VALUE = 6;

    /// `src_reg` of a call: a subprogram.
    BPF_PSEUDO_CALL = 1;
    /// `src_reg` of a call: a kernel function by BTF id.
    BPF_PSEUDO_KFUNC_CALL = 2;

    /// Register number 0.
    BPF_REG_0 = 0;
    /// Register number 1.
    BPF_REG_1 = 1;
    /// Register number 2.
    BPF_REG_2 = 2;
    /// Register number 3.
    BPF_REG_3 = 3;
    /// Register number 4.
    BPF_REG_4 = 4;
    /// Register number 5.
    BPF_REG_5 = 5;
    /// Register number 6.
    BPF_REG_6 = 6;
    /// Register number 7.
    BPF_REG_7 = 7;
    /// Register number 8.
    BPF_REG_8 = 8;
    /// Register number 9.
    BPF_REG_9 = 9;
    /// Register number 10, the frame pointer.
    BPF_REG_10 = 10;
    /// Number of registers a program may name.
    MAX_BPF_REG = 11;
}
i16 {
    /// `off` of `BPF_ALU64 | BPF_MOV | BPF_X`: cast between address spaces.
    BPF_ADDR_SPACE_CAST = 1;
    /// `off` of `BPF_ALU64 | BPF_MOV | BPF_X`, kernel-internal (`kernel/bpf/disasm.c`): address of
    /// this processor's copy of a variable.
    BPF_ADDR_PERCPU = -1;
}
i32 {
    /// `imm` of an atomic: flag, the old value is returned.
    BPF_FETCH = 0x01;
    /// `imm` of an atomic: exchange.
    BPF_XCHG = 0xe1;
    /// `imm` of an atomic: compare with R0 and exchange.
    BPF_CMPXCHG = 0xf1;
    /// `imm` of an atomic: load with acquire semantics.
    BPF_LOAD_ACQ = 0x100;
    /// `imm` of an atomic: store with release semantics.
    BPF_STORE_REL = 0x110;
} }

/// Instruction class of an opcode.
#[must_use]
pub const fn bpf_class(code: u8) -> u8 {
    code & BPF_CLASS_MASK
}

/// Access size bits of a load or store opcode.
#[must_use]
pub const fn bpf_size(code: u8) -> u8 {
    code & BPF_SIZE_MASK
}

/// Addressing mode bits of a load or store opcode.
#[must_use]
pub const fn bpf_mode(code: u8) -> u8 {
    code & BPF_MODE_MASK
}

/// Operation bits of an ALU or jump opcode.
#[must_use]
pub const fn bpf_op(code: u8) -> u8 {
    code & BPF_OP_MASK
}

/// Source kind bit of an ALU or jump opcode.
#[must_use]
pub const fn bpf_src(code: u8) -> u8 {
    code & BPF_SRC_MASK
}
