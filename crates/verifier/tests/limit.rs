// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Programs at the limits are refused as the kernel does it, within the default budget.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, missing_docs)]

use veristable_corpus::rules;
use veristable_isa::asm::assemble;
use veristable_kernel::ProgType;
use veristable_program::LoadRequest;
use veristable_verifier::{Abort, Errno, Options, Outcome, Silent, verify};

/// The program must be too large, and its verification must fit into 512 MiB.
fn check(name: &str, text: &str) {
    let kernel = veristable_profiles::open(veristable_profiles::DEFAULT).unwrap();
    let request = LoadRequest {
        name: name.into(),
        prog_type: ProgType::SOCKET_FILTER,
        license: "GPL".into(),
        insns: assemble(text, &()).unwrap().insns,
        ..LoadRequest::default()
    };
    let options = Options { memory: 512 << 20, ..Options::default() };
    let outcome = verify(&request, &kernel, &options, &mut Silent);
    let Outcome::Rejected(rejected) = outcome else { panic!("{name}: {outcome:?}") };
    assert_eq!(rejected.errno, Errno::E2BIG, "{name}");
    assert_eq!(rejected.stats.unwrap().processed_insns, 1_000_001, "{name}");
}

#[test]
fn a_counted_loop_without_end() {
    check(
        "counted",
        "r6 = 0\nr7 = 0\nloop:\nr6 += 1\nr7 += r6\nif r6 < 100000000 goto loop\nr0 = 0\nexit\n",
    );
}

#[test]
fn a_counted_loop_that_writes_its_stack() {
    let slots: String =
        (1..=16).map(|slot| format!("*(u64 *)(r10 - {}) = r6\n", slot * 8)).collect();
    check(
        "stack",
        &format!("r6 = 0\nloop:\nr6 += 1\n{slots}if r6 < 100000000 goto loop\nr0 = 0\nexit\n"),
    );
}

#[test]
fn thousands_of_branches_that_hold_references() {
    let kernel = veristable_profiles::open(veristable_profiles::DEFAULT).unwrap();
    let text = "; map: ring ringbuf key=0 value=0 entries=4096\n\
                ; case: reservations pile up\n\
                r6 = 0\nloop:\n\
                r1 = map[ring]\nr2 = 8\nr3 = 0\ncall bpf_ringbuf_reserve\n\
                if r0 == 0 goto out\nr6 += 1\nif r6 < 100000 goto loop\n\
                out:\nr0 = 0\nexit\n; error: too complex\n";
    let cases = rules::parse(text, &kernel).unwrap();
    let options = Options { memory: 512 << 20, ..Options::default() };
    let outcome = verify(&cases[0].request, &kernel, &options, &mut Silent);
    let Outcome::Rejected(rejected) = outcome else { panic!("{outcome:?}") };
    let said: Vec<_> = rejected.messages.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["The sequence of 8193 jumps is too complex."]);
}

/// Whatever step the memory ends in, there is no answer; with enough of it, the answer is whole.
#[test]
fn memory_that_ends_anywhere_gives_no_answer() {
    let kernel = veristable_profiles::open(veristable_profiles::DEFAULT).unwrap();
    let text = "*(u64 *)(r10 - 8) = r1\ncall f\nr1 = *(u64 *)(r10 - 8)\nr0 = 0\nexit\n\
                f:\nif r1 == 0 goto out\n*(u64 *)(r10 - 16) = 0\nout:\nr0 = 1\nexit\n";
    let request = LoadRequest {
        prog_type: ProgType::SOCKET_FILTER,
        license: "GPL".into(),
        insns: assemble(text, &()).unwrap().insns,
        ..LoadRequest::default()
    };
    let run = |memory| {
        let options = Options { memory, ..Options::default() };
        verify(&request, &kernel, &options, &mut Silent)
    };
    let enough = (0..1 << 16).step_by(8).find(|memory| {
        let outcome = run(*memory);
        let aborted =
            matches!(outcome, Outcome::Aborted(Abort::Memory { limit }) if limit == *memory);
        assert!(aborted || outcome == run(1 << 20), "{memory}: {outcome:?}");
        !aborted
    });
    assert!(enough.is_some_and(|bytes| bytes > 1000));
    let Outcome::Accepted(accepted) = run(1 << 20) else { panic!("refused") };
    assert_eq!(accepted.stats.stack_depths, [8, 16]);
}
