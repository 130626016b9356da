// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! All 256 opcodes, with every other field zero: `bpf_opcode_in_insntable` (`kernel/bpf/core.c`).

use super::Cases;
use super::code::{EXIT, ZERO, jeq, op};

pub(super) fn add(cases: &mut Cases) {
    for code in 0..=u8::MAX {
        let insn = op(code, 0, 0, 0, 0);
        cases.filter(format!("opcodes/{code:#04x}"), [ZERO, insn, ZERO, EXIT]);
        let dead = [ZERO, jeq(0, 0, 1), insn, ZERO, EXIT];
        cases.filter(format!("opcodes/{code:#04x}, dead"), dead);
    }
}
