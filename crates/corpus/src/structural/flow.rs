// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Control flow inside one function: `check_subprogs`, `check_cfg` (`kernel/bpf/verifier.c`).

use veristable_program::Capabilities;

use super::code::{
    EXIT, KTIME_GET_NS, ZERO, copy, gotol, helper, ja, jeq, join, may_goto, mov, op, unknown, wide,
};
use super::{Cases, filter};

pub(super) fn add(cases: &mut Cases) {
    reach(cases);
    ends(cases);
    ranges(cases);
    wide_targets(cases);
    loops(cases);
    deferred(cases);
}

/// What can be reached.
fn reach(cases: &mut Cases) {
    cases.filter("flow/two instructions", [ZERO, EXIT]);
    cases.filter("flow/jump to the next instruction", [ZERO, ja(0), EXIT]);
    cases.filter("flow/gotol to the next instruction", [ZERO, gotol(0), EXIT]);
    cases.filter("flow/conditional jump to the next instruction", [ZERO, jeq(0, 0, 0), EXIT]);
    cases.filter("flow/backward but no loop", [ja(2), ZERO, EXIT, ja(-3)]);
    cases.filter("flow/backward gotol but no loop", [gotol(2), ZERO, EXIT, gotol(-3)]);
    cases.filter("flow/unreachable after exit", [ZERO, EXIT, ZERO, EXIT]);
    cases.filter("flow/unreachable last exit", [ZERO, EXIT, EXIT]);
    cases.filter("flow/unreachable after a jump", [ZERO, ja(1), ZERO, EXIT]);
    cases.filter("flow/unreachable after gotol", [ZERO, gotol(1), ZERO, EXIT]);
    cases.filter("flow/unreachable jump", [ZERO, ja(1), ja(0), EXIT]);
    cases.filter("flow/unreachable loop", [ZERO, EXIT, ja(-1)]);
    cases.filter("flow/unreachable wide load", join(&[&[ZERO, ja(2)], &wide(1, 0, 1, 1), &[EXIT]]));
    cases.filter("flow/unreachable pair that jumps to itself", [ZERO, EXIT, ja(0), ja(-2)]);
    cases.filter(
        "flow/reached only by a branch that is never taken",
        [ZERO, jeq(0, 1, 1), EXIT, ZERO, EXIT],
    );
    cases.filter(
        "flow/reached only by falling through what is always taken",
        [ZERO, jeq(0, 0, 1), mov(0, 7), EXIT],
    );
    cases.filter("flow/diamond", [unknown(0), jeq(0, 1, 2), mov(0, 2), ja(1), mov(0, 3), EXIT]);
    cases.filter(
        "flow/every path has its own exit",
        [unknown(0), jeq(0, 1, 2), mov(0, 2), EXIT, mov(0, 3), EXIT],
    );
}

/// What a function ends with.
fn ends(cases: &mut Cases) {
    cases.filter("flow/ends with an assignment", [EXIT, ZERO]);
    cases.filter("flow/only an assignment", [ZERO]);
    cases.filter("flow/only exit", [EXIT]);
    cases.filter("flow/ends with a helper call", [ZERO, helper(KTIME_GET_NS)]);
    cases.filter("flow/ends with a conditional jump back", [ZERO, EXIT, jeq(0, 0, -2)]);
    cases.filter("flow/ends with may_goto", [ZERO, ja(1), EXIT, may_goto(-2)]);
    cases.filter("flow/ends with a wide load", join(&[&[ZERO, EXIT], &wide(0, 0, 0, 0)]));
    cases.filter("flow/ends with a store", [ZERO, op(0x7b, 10, 0, -8, 0)]);
    cases.filter("flow/ends with exit of the 32-bit class", [ZERO, op(0x96, 0, 0, 0, 0)]);
    cases.filter("flow/ends with exit of a register", [ZERO, op(0x9d, 0, 0, 0, 0)]);
    cases.filter("flow/ends with a jump back", [ja(1), EXIT, ZERO, ja(-3)]);
    cases.filter("flow/ends with a gotol back", [ja(1), EXIT, ZERO, gotol(-3)]);
    cases.filter("flow/jump by register", [ZERO, op(0x0d, 0, 0, 0, 0), EXIT]);
    cases.filter("flow/gotol by register", [ZERO, op(0x0e, 0, 0, 0, 0), EXIT]);
}

/// Where jumps may go.
fn ranges(cases: &mut Cases) {
    for off in [-32768, -3, -2, 1, 2, 100, 32767] {
        cases.filter(format!("flow/goto {off:+} of three"), [ZERO, ja(off), EXIT]);
        cases.filter(format!("flow/if goto {off:+} of three"), [ZERO, jeq(0, 1, off), EXIT]);
        let register = op(0x1d, 0, 0, off, 0);
        cases.filter(format!("flow/if register goto {off:+} of three"), [ZERO, register, EXIT]);
        let word = op(0x16, 0, 0, off, 1);
        cases.filter(format!("flow/if w goto {off:+} of three"), [ZERO, word, EXIT]);
        cases.filter(format!("flow/may_goto {off:+} of three"), [ZERO, may_goto(off), EXIT]);
    }
    for imm in [i32::MIN, -40_000, -3, -2, 1, 2, 40_000, 65_536, i32::MAX] {
        cases.filter(format!("flow/gotol {imm:+} of three"), [ZERO, gotol(imm), EXIT]);
    }
}

/// Jumps at and into 64-bit loads.
fn wide_targets(cases: &mut Cases) {
    let load = wide(0, 0, 1, 0);
    cases.filter("flow/jump to a wide load", join(&[&[ja(0)], &load, &[EXIT]]));
    cases.filter("flow/jump over a wide load", join(&[&[ZERO, jeq(0, 0, 2)], &load, &[EXIT]]));
    cases.filter("flow/jump into a wide load", join(&[&[ja(1)], &load, &[EXIT]]));
    cases.filter("flow/gotol into a wide load", join(&[&[gotol(1)], &load, &[EXIT]]));
    cases.filter("flow/branch into a wide load", join(&[&[ZERO, jeq(0, 1, 1)], &load, &[EXIT]]));
    cases.filter("flow/may_goto into a wide load", join(&[&[ZERO, may_goto(1)], &load, &[EXIT]]));
    cases.filter("flow/jump back into a wide load", join(&[&load, &[jeq(0, 0, -2), EXIT]]));
    cases.filter("flow/jump back to a wide load", join(&[&load, &[jeq(0, 0, -3), EXIT]]));
}

/// Ways back.
fn loops(cases: &mut Cases) {
    let mut both = |name: &str, insns: &[veristable_isa::Insn]| {
        cases.filter(format!("flow/{name}"), insns);
        let mut request = filter(insns);
        request.capabilities = Capabilities::empty();
        cases.add(format!("flow/{name}, unprivileged"), request);
    };
    both("jump to itself", &[ZERO, ja(-1), EXIT]);
    both("jump to itself, nothing behind", &[ZERO, ja(-1)]);
    both("gotol to itself", &[ZERO, gotol(-1)]);
    both("endless loop of two", &[ZERO, ZERO, ja(-2)]);
    both("branch to itself", &[ZERO, jeq(0, 0, -1), EXIT]);
    both("branch to itself that is never taken", &[ZERO, jeq(0, 1, -1), EXIT]);
    both("branch on the unknown to itself", &[unknown(0), jeq(0, 1, -1), ZERO, EXIT]);
    both("four rounds", &[ZERO, op(0x07, 0, 0, 0, 1), op(0x55, 0, 0, -2, 4), EXIT]);
    both("loop to the first instruction", &[ZERO, jeq(0, 1, -2), EXIT]);
    both("loop that only a dead branch closes", &[ZERO, jeq(0, 0, 1), ja(-3), EXIT]);
    both("may_goto to itself", &[ZERO, may_goto(-1), EXIT]);
    both("loop with may_goto", &[ZERO, may_goto(2), op(0x07, 0, 0, 0, 1), ja(-3), EXIT]);
    both("may_goto forward", &[ZERO, may_goto(1), ZERO, EXIT]);
    both(
        "two loops, one inside the other",
        &[
            mov(6, 0),
            mov(7, 0),
            op(0x07, 7, 0, 0, 1),
            op(0x55, 7, 0, -2, 3),
            op(0x07, 6, 0, 0, 1),
            op(0x55, 6, 0, -5, 3),
            ZERO,
            EXIT,
        ],
    );
}

/// What the kernel looks at late: the path there is taken, or is dead.
fn deferred(cases: &mut Cases) {
    for (name, insn) in [
        ("exit with a value", op(0x95, 0, 0, 0, 1)),
        ("goto with a register", op(0x05, 1, 0, 0, 0)),
        ("an unknown helper", helper(9999)),
        ("a read of what was not written", copy(0, 9)),
        ("register 11", mov(11, 0)),
    ] {
        cases.filter(format!("flow/{name}, taken"), [ZERO, insn, ZERO, EXIT]);
        cases.filter(format!("flow/{name}, dead"), [ZERO, jeq(0, 0, 1), insn, ZERO, EXIT]);
    }
}
