// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The guest oracle, where QEMU and a kernel image in the cache are.
//!
//! Without the usual test harness, because this very program is the guest's first process.

mod common;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use veristable_isa::Insn;
use veristable_kernel::ProgType;
use veristable_oracle::guest::{agent_if_init, kernels};
use veristable_oracle::{Guest, GuestOptions, LoadOptions, Oracle, Verdict};
use veristable_program::{Capabilities, LoadRequest, MapDesc, MapSpec};

fn main() {
    agent_if_init();
    // What `cargo test` hands to a harness, e.g. `--list` from editors.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    if !cfg!(target_arch = "x86_64") {
        println!("guest tests skipped: guests need an x86-64 machine");
        return;
    }
    if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
        println!("guest tests skipped: there is no qemu-system-x86_64");
        return;
    }
    for version in ["6.18.15", "6.12.117"] {
        let cached = kernels().iter().any(|k| k.version == version && k.is_cached());
        if !cached {
            println!("guest tests of {version} skipped: its image is not in the cache");
            continue;
        }
        let start = Instant::now();
        let mut guest = Guest::open(version, GuestOptions::default()).unwrap();
        println!("guest {version}: {} up in {:?}", guest.kernel(), start.elapsed());
        assert!(guest.kernel().starts_with(version), "{}", guest.kernel());
        common::check(&mut guest);
        files(&mut guest);
        unprivileged(&mut guest);
        time_out(&mut guest);
        println!("guest {version}: passed in {:?}", start.elapsed());
    }
}

fn files(guest: &mut Guest) {
    let btf = guest.read_file("/sys/kernel/btf/vmlinux").unwrap();
    assert_eq!(btf[..2], [0x9f, 0xeb]);
    let error = guest.read_file("/no/such/file").unwrap_err().to_string();
    assert!(error.contains("/no/such/file"), "{error}");
}

/// Without capabilities a program reaches the verifier, which then knows no mercy.
fn unprivileged(guest: &mut Guest) {
    let leak = |capabilities| LoadRequest {
        name: "leak".into(),
        prog_type: ProgType::SOCKET_FILTER,
        license: "GPL".into(),
        capabilities,
        insns: vec![Insn::new(0xbf, 0, 10, 0, 0), Insn::new(0x95, 0, 0, 0, 0)],
        ..LoadRequest::default()
    };
    let (without, with) = (leak(Capabilities::empty()), leak(Capabilities::all()));
    guest
        .load(&[&without, &with, &without], &LoadOptions::default(), &mut |index, answer| {
            let log = answer.log_text().into_owned();
            let refused = matches!(answer.verdict, Verdict::Refused { errno: 13 });
            assert_eq!(refused, index != 1, "{index}: {:?}: {log}", answer.verdict);
            assert!(answer.reached_verifier(), "{index}: {log}");
        })
        .unwrap();
}

/// A load that takes too long is killed, and the programs behind it are answered.
fn time_out(guest: &mut Guest) {
    // A million turns of a loop, each with a state of its own.
    let slow = LoadRequest {
        name: "slow".into(),
        prog_type: ProgType::SOCKET_FILTER,
        license: "GPL".into(),
        insns: vec![
            Insn::new(0xb7, 0, 0, 0, 0),
            Insn::new(0x07, 0, 0, 0, 1),
            Insn::new(0xa5, 0, 0, -2, 400_000),
            Insn::new(0xb7, 0, 0, 0, 0),
            Insn::new(0x95, 0, 0, 0, 0),
        ],
        ..LoadRequest::default()
    };
    let quick = LoadRequest {
        insns: vec![Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)],
        maps: vec![Arc::new(MapDesc {
            spec: MapSpec {
                map_type: veristable_kernel::MapType::HASH,
                key_size: 4,
                value_size: 4,
                max_entries: 1,
                ..MapSpec::default()
            },
            ..MapDesc::default()
        })],
        ..slow.clone()
    };
    let options = LoadOptions { timeout: Duration::from_millis(300), ..LoadOptions::default() };
    let mut verdicts = vec![None; 3];
    guest
        .load(&[&quick, &slow, &quick], &options, &mut |index, answer| {
            verdicts[index] = Some(answer.verdict);
        })
        .unwrap();
    let want = [Verdict::Loaded, Verdict::TimedOut, Verdict::Loaded].map(Some);
    assert_eq!(verdicts, want);
}
