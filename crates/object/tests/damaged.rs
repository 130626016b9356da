// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Files that are damaged or lie: an error or a result, never a panic, and soon.

#[allow(dead_code)]
mod common;
#[path = "common/types.rs"]
mod types;

use proptest::prelude::*;
use std::path::Path;
use std::time::{Duration, Instant};
use veristable_object::{Error, LinkOptions, Object};

const SMALL: &[&str] =
    &["xdp_ports.bpf.o", "kconfig_kfunc.bpf.o", "tcp_fixed.bpf.o", "loop_sum.bpf.o"];

fn read(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Reads and links whatever it is.
fn try_all(bytes: &[u8], kernel: &common::LinkKernel) -> Result<(), Error> {
    let start = Instant::now();
    let object = Object::parse(bytes, "damaged.bpf.o");
    if let Ok(object) = &object {
        let linked = object.link(kernel, &LinkOptions::default());
        assert!(linked.programs.len() <= bytes.len());
    }
    assert!(start.elapsed() < Duration::from_secs(10), "it takes too long");
    object.map(drop)
}

#[test]
fn truncated_at_every_byte() {
    let kernel = types::kernel();
    for name in SMALL {
        let whole = read(name);
        for len in 0..whole.len() {
            let error = try_all(&whole[..len], &kernel).expect_err("it is not whole");
            let text = error.to_string();
            assert!(!text.contains('\n') && !text.is_empty(), "{name} cut at {len}: {text}");
        }
        try_all(&whole, &kernel).expect("it is whole");
    }
}

#[test]
fn any_word_made_large() {
    let kernel = types::kernel();
    let whole = read("kconfig_kfunc.bpf.o");
    for at in (0..whole.len() - 8).step_by(4) {
        for value in [u64::MAX, 1 << 60, 0xffff_fff0, 0x7fff_ffff] {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            let _ = try_all(&bytes, &kernel);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn random_changes(
        which in 0..SMALL.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = read(SMALL[which]);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = try_all(&bytes, &types::kernel());
    }
}

/// Changes bytes of a good object and gives the message.
#[track_caller]
fn message(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = read(name);
    change(&mut bytes);
    match try_all(&bytes, &types::kernel()) {
        Ok(()) => "none".into(),
        Err(error) => error.to_string(),
    }
}

/// Offset of a section's header in the file.
fn header_of(bytes: &[u8], wanted: &str) -> usize {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let half = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let (table, count, names) = (word(40), half(60), half(62));
    let strings = word(table + 64 * names + 24);
    let name = |header: usize| {
        let at = strings + (word(header) & 0xffff_ffff);
        let len = bytes[at..].iter().position(|byte| *byte == 0).unwrap();
        &bytes[at..at + len]
    };
    let headers = (0..count).map(|index| table + 64 * index);
    headers.into_iter().find(|header| name(*header) == wanted.as_bytes()).unwrap()
}

#[test]
fn messages() {
    let set = |at: usize, value: u8| move |bytes: &mut Vec<u8>| bytes[at] = value;
    let size = |section: &'static str, size: u64| {
        move |bytes: &mut Vec<u8>| {
            let at = header_of(bytes, section) + 32;
            bytes[at..at + 8].copy_from_slice(&size.to_le_bytes());
        }
    };
    let xdp = "xdp_ports.bpf.o";
    let cases = [
        (message(xdp, |bytes| bytes.clear()), "not an ELF file"),
        (message(xdp, set(4, 1)), "32-bit"),
        (message(xdp, set(5, 2)), "big-endian"),
        (message(xdp, set(18, 62)), "machine 62"),
        (message(xdp, set(16, 2)), "ELF type 2"),
        (message(xdp, size(".BTF", 1 << 60)), "section `.BTF` at offset"),
        (message(xdp, size("xdp", 1 << 40)), "section `xdp` at offset"),
        (message(xdp, size("xdp", 8)), "reach past the section's end"),
        (message(xdp, size(".maps", 4)), "map `ports`"),
        (
            message("fentry_exec.bpf.o", size(".bss", 1 << 60)),
            "(.bss): the ELF section has 1152921504606846976 bytes",
        ),
    ];
    for (found, expected) in cases {
        assert!(found.contains(expected), "`{found}` lacks `{expected}`");
    }
}
