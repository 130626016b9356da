// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Random programs: nothing panics, nothing goes wrong inside, and watching changes nothing.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, missing_docs)]

use proptest::prelude::*;
use veristable_isa::Insn;
use veristable_kernel::{Profile, ProgType};
use veristable_program::{Capabilities, LoadRequest, LogRequest, ProgFlags};
use veristable_verifier::log::KernelLog;
use veristable_verifier::{Abort, Dialect, Machine, Options, Outcome, Silent, verify};

/// Opcodes of arithmetic (64 and 32 bits wide, by constant and by register), jumps, stack accesses.
const CODES: [u8; 40] = [
    0x07, 0x0f, 0x04, 0x0c, 0x17, 0x1f, 0x27, 0x2f, 0x47, 0x4f, 0x57, 0x5f, 0x67, 0x6f, 0x77, 0x7f,
    0x87, 0xa7, 0xb7, 0xbf, 0xb4, 0xbc, 0xc7, 0xcf, 0xdc, 0xd7, 0x15, 0x1d, 0x25, 0x2d, 0x55, 0x65,
    0xa5, 0xd6, 0x61, 0x79, 0x63, 0x7b, 0x7a, 0xdb,
];

fn imm() -> impl Strategy<Value = i32> {
    prop_oneof![-64..64i32, any::<i32>(), Just(16), Just(32)]
}

/// Mostly an instruction of the kind that is simulated; its fields mostly make sense.
fn insn() -> impl Strategy<Value = Insn> {
    let sensible = (prop::sample::select(&CODES[..]), 0..10u8, 0..10u8, -4..5i16, imm(), 0..8i16)
        .prop_map(|(code, dst, src, jump, imm, slot)| match code & 7 {
            0..=3 => {
                let (dst, src) = if code & 7 < 2 { (dst, 10) } else { (10, src) };
                let src = if code & 7 == 2 { 0 } else { src };
                Insn::new(code, dst, src, -8 - slot * 8, if code & 7 == 2 { imm } else { 0 })
            }
            5 | 6 if code & 8 != 0 => Insn::new(code, dst, src, jump, 0),
            5 | 6 => Insn::new(code, dst, 0, jump, imm),
            _ if code & 8 != 0 && code != 0xdc => Insn::new(code, dst, src, 0, 0),
            _ if code == 0x87 => Insn::new(code, dst, 0, 0, 0),
            _ => Insn::new(code, dst, 0, 0, imm),
        });
    let any_insn = (any::<u8>(), any::<u8>(), any::<i16>(), any::<i32>())
        .prop_map(|(code, regs, off, imm)| Insn::new(code, regs & 15, regs >> 4, off, imm));
    prop_oneof![60 => sensible, 1 => any_insn]
}

fn request(body: Vec<Insn>, flags: u32, privileged: bool) -> LoadRequest {
    let start = (2..10u8).map(|reg| Insn::new(0x79, reg, 10, -8 * i16::from(reg), 0));
    let mut insns = vec![Insn::new(0xb7, 0, 0, 0, 0)];
    if privileged {
        insns.extend(start);
    }
    insns.extend(body);
    insns.extend([Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)]);
    LoadRequest {
        prog_type: ProgType::SOCKET_FILTER,
        license: "GPL".to_owned(),
        flags: ProgFlags::from_bits_retain(flags),
        capabilities: if privileged { Capabilities::all() } else { Capabilities::empty() },
        insns,
        log: LogRequest { level: 6, size: 1 << 16 },
        ..LoadRequest::default()
    }
}

fn check(kernel: &Profile, request: &LoadRequest) -> Result<(), TestCaseError> {
    let machine = Machine { unprivileged_disabled: false, ..Machine::default() };
    let options = Options { machine, fuel: Some(200_000), memory: 64 << 20, ..Options::default() };
    let silent = verify(request, kernel, &options, &mut Silent);
    let mut log = KernelLog::new(request.log, Dialect::V6_18);
    let watched = verify(request, kernel, &options, &mut log);
    if let Outcome::Aborted(Abort::Internal(what)) = &silent {
        prop_assert!(false, "internal error: {what}");
    }
    // A log that does not fit refuses the load; nothing else may depend on it.
    let cut_off =
        matches!(&watched, Outcome::Rejected(r) if r.errno == veristable_verifier::Errno::ENOSPC);
    if !cut_off {
        prop_assert_eq!(silent.stats(), watched.stats());
        prop_assert_eq!(silent, watched);
    }
    Ok(())
}

#[test]
fn random_programs() {
    let kernel = veristable_profiles::open("6.18.15").expect("built in");
    let config =
        ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() };
    let programs = (
        prop::collection::vec(insn(), 1..40),
        prop::sample::select(vec![0u32, 0, 1, 8, 128]),
        prop::bool::weighted(0.8),
    );
    proptest!(config, |((body, flags, privileged) in programs)| {
        check(&kernel, &request(body, flags, privileged))?;
    });
}
