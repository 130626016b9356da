// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Inputs that were kept, and a short, fixed stream for every target: random bytes, and the examples and the
//! kept inputs with bytes changed.

use std::path::Path;
use std::time::{Duration, Instant};
use veristable_fuzz::TARGETS;

/// Marsaglia's xorshift, so that every run sees the same stream.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut files: Vec<_> = std::fs::read_dir(examples)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "o"))
        .collect();
    files.sort();
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Plausible instructions: known opcodes, low registers, small offsets and immediates.
fn instructions(random: &mut Random) -> Vec<u8> {
    const CODES: [u8; 24] = [
        0xb7, 0xbf, 0x07, 0x0f, 0x17, 0x1f, 0x57, 0x67, 0x77, 0xb4, 0xbc, 0x04, 0x7b, 0x7a, 0x79,
        0x61, 0x15, 0x1d, 0x25, 0xa5, 0x05, 0x85, 0x18, 0x95,
    ];
    let mut bytes = vec![1u8];
    if random.below(2) == 0 {
        // Relocations before the instructions: of the first ones, of any type and kind.
        let count = random.below(4);
        bytes = vec![129, count as u8];
        for _ in 0..count {
            bytes.extend(
                [random.below(4), random.next() as usize, random.below(11), random.below(14)]
                    .map(|byte| byte as u8),
            );
        }
    }
    for _ in 0..1 + random.below(40) {
        let code = CODES[random.below(CODES.len())];
        let regs = (random.below(11) | random.below(11) << 4) as u8;
        let off = (random.below(64) as i16 - 32).to_le_bytes();
        let imm = (random.below(256) as i32 - 64).to_le_bytes();
        bytes.extend([code, regs, off[0], off[1], imm[0], imm[1], imm[2], imm[3]]);
    }
    bytes.extend([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

#[test]
fn every_target_survives() {
    let seeds = seeds();
    assert!(seeds.len() > 10, "the examples are the seeds");
    for (name, target) in TARGETS {
        let kept = kept(name);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let started = Instant::now();
        let mut runs = 0;
        for seed in &seeds {
            target(seed);
        }
        // Fixed stream, but no longer than a few seconds on a slow machine.
        while runs < 20_000 && started.elapsed() < Duration::from_secs(8) {
            let data = match runs % 4 {
                0 => (0..random.below(400)).map(|_| random.next() as u8).collect(),
                1 => instructions(&mut random),
                kind => {
                    let from = if kind == 2 { &seeds } else { &kept };
                    let mut data = from[random.below(from.len())].clone();
                    for _ in 0..(1 + random.below(8)).min(data.len()) {
                        let at = random.below(data.len());
                        data[at] = random.next() as u8;
                    }
                    if random.below(2) == 1 {
                        data.truncate(random.below(data.len()));
                    }
                    data
                }
            };
            target(&data);
            runs += 1;
        }
        println!("{name}: {runs} inputs in {:?}", started.elapsed());
    }
}

/// Reads `inputs/TARGET.txt`: one input a line, in hexadecimal, `#` for comments.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("inputs/{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let byte = |pair: &[u8]| {
        let digit = |c: u8| char::from(c).to_digit(16).expect("hexadecimal digits") as u8;
        digit(pair[0]) << 4 | digit(pair[1])
    };
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.as_bytes().chunks_exact(2).map(byte).collect())
        .collect()
}

#[test]
fn kept_inputs_are_survived() {
    for (name, target) in TARGETS {
        let inputs = kept(name);
        assert!(!inputs.is_empty(), "fuzz/inputs/{name}.txt");
        for input in &inputs {
            target(input);
        }
        println!("{name}: {} inputs", inputs.len());
    }
}
