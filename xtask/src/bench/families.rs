// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Programs that grow: the same piece of code, repeated 2ⁿ times.
//!
//! A family shows how time grows with size where one thing is all that there is. Every program is
//! accepted: it stays below the limit of a million simulated instructions, and of 8192 branches that
//! wait (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).

use std::fmt::Write as _;

use anyhow::{Context, Result, anyhow};
use veristable_agreement::Case;
use veristable_btf::writer::Writer;
use veristable_btf::{Linkage, TypeId};
use veristable_isa::asm::{Program, assemble};
use veristable_kernel::ProgType;
use veristable_program::{Blob, InfoTable, LoadRequest};

/// A kind of programs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// Its name.
    pub(super) name: &'static str,
    /// Binary logarithms of the smallest and the largest size.
    sizes: (u32, u32),
    /// Writes the program of a size in the assembler's text.
    text: fn(u32) -> String,
}

/// All of them.
pub(super) const FAMILIES: [Family; 6] = [
    Family { name: "straight", sizes: (7, 15), text: straight },
    Family { name: "diamonds", sizes: (6, 13), text: diamonds },
    Family { name: "loops", sizes: (5, 12), text: loops },
    Family { name: "callbacks", sizes: (5, 12), text: callbacks },
    Family { name: "subprograms", sizes: (4, 13), text: subprograms },
    Family { name: "spills", sizes: (6, 13), text: spills },
];

impl Family {
    /// How often the piece is repeated: doubling, ascending.
    pub(super) fn sizes(self) -> impl Iterator<Item = u32> {
        (self.sizes.0..=self.sizes.1).map(|power| 1 << power)
    }

    /// The name of the program of a size.
    pub(super) fn id(self, size: u32) -> String {
        format!("{}/{size}", self.name)
    }

    /// The program of a size.
    pub(super) fn request(self, size: u32) -> Result<LoadRequest> {
        let text = (self.text)(size);
        let program = assemble(&text, &())
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| format!("{} {size}", self.name))?;
        let (btf, func_info) = functions(&program)?;
        Ok(LoadRequest {
            name: self.name.into(),
            section: "socket".into(),
            prog_type: ProgType::SOCKET_FILTER,
            license: "GPL".into(),
            insns: program.insns,
            btf: Some(btf),
            func_info,
            ..LoadRequest::default()
        })
    }
}

/// What marks labels where functions begin.
const FUNCTION: &str = "fn_";

/// Types and records of a program's functions: `int NAME(void *)`, all static but the first.
fn functions(program: &Program<'_>) -> Result<(Blob, InfoTable)> {
    let mut types = Writer::new();
    let int = types.add_int("int", 4, 1);
    let pointer = types.add_ptr(TypeId(0));
    let proto = types.add_func_proto(int, &[("ctx", pointer)]);
    let mut bytes = Vec::new();
    let mut count = 0;
    let labels = program.labels.iter().filter(|(name, _)| name.starts_with(FUNCTION));
    for (name, slot) in std::iter::once(&("main", 0)).chain(labels) {
        let linkage = if *slot == 0 { Linkage::Global } else { Linkage::Static };
        let function = types.add_func(name, proto, linkage);
        bytes.extend(u32::try_from(*slot)?.to_le_bytes());
        bytes.extend(function.0.to_le_bytes());
        count += 1;
    }
    Ok((types.finish().into(), InfoTable { rec_size: 8, count, bytes: bytes.into() }))
}

/// Every size of every family.
pub(super) fn cases() -> Result<Vec<Case>> {
    let all =
        FAMILIES.into_iter().flat_map(|family| family.sizes().map(move |size| (family, size)));
    all.map(|(family, size)| Ok(Case { id: family.id(size), request: family.request(size)? }))
        .collect()
}

/// The beginning of most: the context in `r9`, two numbers of which little is known.
const START: &str = "r9 = r1\nr6 = *(u32 *)(r9 + 0)\nr7 = *(u32 *)(r9 + 4)\nr0 = 0\n";

/// Between [`START`] and `exit`, the text of each piece.
fn repeated(size: u32, mut piece: impl FnMut(&mut String, u32)) -> String {
    let mut text = String::from(START);
    for number in 0..size {
        piece(&mut text, number);
    }
    text.push_str("r0 = 0\nexit\n");
    text
}

/// No branch: sixteen instructions of arithmetic with unknown numbers.
fn straight(size: u32) -> String {
    repeated(size, |text, number| {
        let _ = writeln!(
            text,
            "r2 = r6\nr2 += r7\nr2 &= {mask}\nr3 = r2\nr3 <<= 3\nr3 -= r2\nw3 ^= {mask}\nr4 = r3\n\
             r4 s>>= 2\nr4 |= r2\nw4 += w3\nr4 *= 5\nr5 = r4\nr5 >>= 7\nr5 += {number}\nr6 = r5",
            mask = 0xff + (number & 0xff),
        );
    })
}

/// Two ways that meet again, one after the other. What they differ in is not used later.
fn diamonds(size: u32) -> String {
    repeated(size, |text, number| {
        let _ = writeln!(
            text,
            "r2 = *(u32 *)(r9 + 0)\nif r2 > {limit} goto else_{number}\nr3 = 1\nr3 += r2\n\
             goto end_{number}\nelse_{number}:\nr3 = 2\nr3 *= 7\nend_{number}:\nr4 = r3\nr4 += r7\n\
             r0 = r4",
            limit = number & 0xfff,
        );
    })
}

/// A counted loop in a counted loop of as many turns as `size`: the verifier follows every turn.
fn loops(size: u32) -> String {
    format!(
        "{START}r8 = 0\nouter:\nr2 = 0\ninner:\nr3 = r2\nr3 += r8\nr3 &= 0xff\nr7 += r3\nr2 += 1\n\
         if r2 < 16 goto inner\nr8 += 1\nif r8 < {size} goto outer\nr0 = 0\nexit\n"
    )
}

/// `bpf_loop` once and again, each time with the same callback.
fn callbacks(size: u32) -> String {
    const BPF_LOOP: u32 = 181;
    let mut text = repeated(size, |text, number| {
        let _ = writeln!(
            text,
            "r1 = {turns}\nr2 = func[fn_body]\nr3 = r10\nr4 = 0\ncall {BPF_LOOP}\nr6 = r0",
            turns = 10 + (number & 0xff)
        );
    });
    text = text.replacen(START, &format!("{START}*(u64 *)(r10 - 8) = r6\n"), 1);
    text.push_str(
        "fn_body:\nr3 = *(u64 *)(r2 - 8)\nr3 += r1\nif r3 > 100 goto leave\nr3 &= 0xff\nr3 += 1\n\
         *(u64 *)(r2 - 8) = r3\nleave:\nr0 = 0\nexit\n",
    );
    text
}

/// Calls of a chain of functions as deep as kernels allow, each of which writes to its stack.
fn subprograms(size: u32) -> String {
    /// Frames that a call may be deep, the first one apart (`MAX_CALL_FRAMES`).
    const DEEP: u32 = 7;
    let mut text = repeated(size, |text, number| {
        let _ = writeln!(text, "r1 = r6\nr1 += {number}\ncall fn_1\nr7 = r0");
    });
    for depth in 1..=DEEP {
        let _ = writeln!(text, "fn_{depth}:\nr1 &= 0xffff\n*(u64 *)(r10 - 8) = r1");
        if depth < DEEP {
            let _ = writeln!(text, "r1 += 1\ncall fn_{}", depth + 1);
        }
        text.push_str("r0 = *(u64 *)(r10 - 8)\nr0 += 1\nexit\n");
    }
    text
}

/// Diamonds whose ways read different stack slots, which are written in turns.
fn spills(size: u32) -> String {
    const SLOTS: u32 = 32;
    let mut text = repeated(size, |text, number| {
        let (to, from) = (number % SLOTS + 1, number / 3 % SLOTS + 1);
        let _ = writeln!(
            text,
            "r2 = *(u32 *)(r9 + 0)\n*(u64 *)(r10 - {to}) = r2\nif r2 > {limit} goto else_{number}\n\
             r3 = *(u64 *)(r10 - {to})\ngoto end_{number}\nelse_{number}:\n\
             r3 = *(u64 *)(r10 - {from})\nend_{number}:\nr7 += r3",
            to = 8 * to,
            from = 8 * from,
            limit = number & 0xfff,
        );
    });
    let mut start = String::from(START);
    for slot in 1..=SLOTS {
        let _ = writeln!(start, "*(u64 *)(r10 - {}) = r7", 8 * slot);
    }
    text = text.replacen(START, &start, 1);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use veristable_verifier::{Options, Outcome, Silent, verify};

    /// What the verifier simulates for a size.
    fn processed(family: Family, size: u32) -> u32 {
        let kernel = veristable_profiles::open("6.18.15").unwrap();
        let request = family.request(size).unwrap();
        match verify(&request, &kernel, &Options::default(), &mut Silent) {
            Outcome::Accepted(accepted) => accepted.stats.processed_insns,
            other => panic!("{} {size}: {other:?}", family.name),
        }
    }

    #[test]
    fn programs_are_accepted_and_their_work_doubles() {
        for family in FAMILIES {
            let sizes: Vec<u32> = family.sizes().take(5).collect();
            assert!(sizes.windows(2).all(|pair| pair[1] == 2 * pair[0]), "{family:?}");
            let work: Vec<u32> = sizes.iter().map(|size| processed(family, *size)).collect();
            for pair in work.windows(2) {
                let ratio = f64::from(pair[1]) / f64::from(pair[0]);
                assert!((1.8..2.2).contains(&ratio), "{}: {work:?}", family.name);
            }
        }
    }

    #[test]
    fn the_largest_are_below_the_limit() {
        for family in FAMILIES {
            let size = family.sizes().nth(4).unwrap();
            let largest = family.sizes().last().unwrap();
            // Work doubles with size; a tenth for what does not.
            let expected = u64::from(processed(family, size)) * u64::from(largest / size) * 11 / 10;
            assert!(expected < 1_000_000, "{}: {expected}", family.name);
        }
    }
}
