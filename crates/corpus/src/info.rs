// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The selftests of function and line information: `info-6.18` and its like.
//!
//! `cargo xtask corpus info` dumps the table `info_raw_tests` of the tree's
//! `prog_tests/btf.c` as it stands in C; here each entry becomes a load request, as that file's
//! `do_test_info_raw` makes one.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use veristable_isa::Insn;
use veristable_kernel::ProgType;
use veristable_program::{Blob, InfoTable, LoadRequest, LogRequest};

use crate::cache;

/// The dump's name in the set's directory: first a line about it, then one test a line.
pub const FILE: &str = "tests.jsonl";

/// Version of the dump's form.
const FORMAT: u32 = 1;

/// `NAME_TBD` of `prog_tests/btf.c`: the offset of the next string that has no use yet.
const NAME_TBD: u32 = 0xdead_b33f;

/// `NAME_NTH`: in the low half, the number of a string, counted from 1.
const NAME_NTH: u32 = 0xfffe_0000;

/// `BTF_LOG_BUF_SIZE`.
const LOG_SIZE: u32 = 65_535;

/// One selftest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InfoTest {
    /// The test's description, made unique within the set.
    pub id: String,
    /// What it loads.
    pub request: LoadRequest,
    /// Whether the selftest expects that the kernel refuses it.
    pub fails: bool,
    /// What the selftest expects in the log.
    pub message: Option<String>,
}

#[derive(Deserialize)]
struct Head {
    format: u32,
    btf_header_len: u32,
}

/// A test as the table has it. Tables of words and bytes are hexadecimal.
#[derive(Deserialize)]
struct Record {
    descr: String,
    prog_type: u32,
    fails: bool,
    message: Option<String>,
    types: String,
    strings: String,
    insns: String,
    func_info: String,
    func_info_rec_size: u32,
    func_info_cnt: u32,
    line_info: String,
    line_info_rec_size: u32,
}

/// Loads a set by its name, `info-6.18`.
///
/// # Errors
///
/// As [`read`].
pub fn load(set: &str) -> Result<Vec<InfoTest>> {
    read(&cache::set_dir(set)?)
}

/// Reads the dump in a set's directory.
///
/// # Errors
///
/// The file is missing (the message says which command makes it), of another form, or damaged: the
/// message names the line.
pub fn read(dir: &Path) -> Result<Vec<InfoTest>> {
    let path = dir.join(FILE);
    let text = fs::read_to_string(&path).with_context(|| {
        format!("{}: no such set yet, run `cargo xtask corpus info`", path.display())
    })?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Vec<InfoTest>> {
    let mut lines = text.lines();
    let head: Head = serde_json::from_str(lines.next().unwrap_or_default()).context("line 1")?;
    if head.format != FORMAT {
        bail!("format {}, this program reads {FORMAT}; make the set again", head.format);
    }
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut tests = Vec::new();
    for (number, line) in lines.enumerate() {
        let place = || format!("line {}", number + 2);
        let record: Record = serde_json::from_str(line).with_context(place)?;
        let request = request(&record, head.btf_header_len)
            .with_context(|| format!("line {} ({})", number + 2, record.descr))?;
        let count = seen.entry(record.descr.clone()).or_default();
        *count += 1;
        let id = if *count == 1 { record.descr } else { format!("{} ({count})", record.descr) };
        tests.push(InfoTest { id, request, fails: record.fails, message: record.message });
    }
    Ok(tests)
}

/// The load that `do_test_info_raw` makes.
fn request(record: &Record, btf_header_len: u32) -> Result<LoadRequest> {
    let strings = unhex(&record.strings).context("strings")?;
    let index = string_offsets(&strings, 0);
    let mut next = index.iter().copied();
    let types = words(&record.types).context("types")?;
    let types = resolve(&types, &mut next, Some(&index)).context("types")?;
    // Here only the next string stands for a name, never a numbered one; and the walk starts inside
    // the first string, whose first letter is lost (`patch_name_tbd`).
    let rest = next.next().map_or_else(Vec::new, |at| string_offsets(&strings, at));
    let line_words = words(&record.line_info).context("line_info")?;
    let lines = resolve(&line_words, &mut rest.into_iter(), None).context("line_info")?;
    let line_info = if lines.is_empty() {
        InfoTable::default()
    } else {
        let rec_size = record.line_info_rec_size;
        let count = u32::try_from(lines.len())?.checked_div(rec_size);
        let count = count.ok_or_else(|| anyhow!("line_info records of no size"))?;
        InfoTable { rec_size, count, bytes: lines.into() }
    };
    Ok(LoadRequest {
        name: String::new(),
        section: "info".into(),
        prog_type: ProgType(record.prog_type),
        license: "GPL".into(),
        insns: insns(&record.insns)?,
        btf: Some(btf(btf_header_len, &types, &strings)?),
        func_info: InfoTable {
            rec_size: record.func_info_rec_size,
            count: record.func_info_cnt,
            bytes: unhex(&record.func_info).context("func_info")?.into(),
        },
        line_info,
        log: LogRequest { level: 1, size: LOG_SIZE },
        ..LoadRequest::default()
    })
}

/// Where each string past `start` begins (`get_next_str`: the walk stops when none can begin in
/// front of the section's last byte).
fn string_offsets(strings: &[u8], start: u32) -> Vec<u32> {
    let mut offsets = Vec::new();
    let mut at = start as usize;
    while at + 1 < strings.len() {
        at += 1;
        offsets.push(u32::try_from(at).unwrap_or(u32::MAX));
        let rest = strings.get(at..).unwrap_or_default();
        at += rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    }
    offsets
}

/// Puts offsets where the words stand for names: the next string's, or, if `index` is given, that
/// of a numbered one.
fn resolve(
    words: &[u32],
    next: &mut impl Iterator<Item = u32>,
    index: Option<&[u32]>,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(words.len() * 4);
    for &word in words {
        let word = if word == NAME_TBD {
            next.next().ok_or_else(|| anyhow!("more names than strings"))?
        } else if let Some(index) = index
            && word & 0xffff_0000 == NAME_NTH
        {
            let number = usize::try_from(word & 0xffff)?;
            let at = number.checked_sub(1).and_then(|number| index.get(number));
            *at.ok_or_else(|| anyhow!("no string {number}"))?
        } else {
            word
        };
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    Ok(bytes)
}

/// Header, types, strings (`struct btf_header`, `include/uapi/linux/btf.h`).
fn btf(header_len: u32, types: &[u8], strings: &[u8]) -> Result<Blob> {
    const MAGIC: u16 = 0xeb9f;
    let (type_len, str_len) = (u32::try_from(types.len())?, u32::try_from(strings.len())?);
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&[1, 0]);
    for word in [header_len, 0, type_len, type_len, str_len] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    // Fields that later kernels added are zero.
    let header_len = usize::try_from(header_len)?;
    if !(bytes.len()..=256).contains(&header_len) {
        bail!("a BTF header of {header_len} bytes");
    }
    bytes.resize(header_len, 0);
    bytes.extend_from_slice(types);
    bytes.extend_from_slice(strings);
    Ok(bytes.into())
}

fn insns(text: &str) -> Result<Vec<Insn>> {
    let bytes = unhex(text).context("insns")?;
    let (slots, rest) = bytes.as_chunks::<{ Insn::SIZE }>();
    if !rest.is_empty() {
        bail!("insns: not a multiple of 8 bytes");
    }
    Ok(slots.iter().map(|slot| Insn::from_bytes(*slot)).collect())
}

fn words(text: &str) -> Result<Vec<u32>> {
    let bytes = unhex(text)?;
    let (words, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        bail!("not a multiple of 4 bytes");
    }
    Ok(words.iter().map(|word| u32::from_le_bytes(*word)).collect())
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        bail!("an odd number of hexadecimal digits");
    }
    pairs
        .iter()
        .map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?))
        .collect::<Option<_>>()
        .ok_or_else(|| anyhow!("not a hexadecimal digit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "{\"format\":1,\"btf_header_len\":24}\n";

    fn record(types: &[u32], strings: &str, lines: &[u32], line_rec_size: u32) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let words =
            |words: &[u32]| hex(&words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>());
        format!(
            "{{\"descr\":\"t\",\"prog_type\":5,\"fails\":true,\"message\":\"m\",\"types\":\"{}\",\
             \"strings\":\"{}\",\"insns\":\"9500000000000000\",\"func_info\":\"0000000001000000\",\
             \"func_info_rec_size\":4,\"func_info_cnt\":2,\"line_info\":\"{}\",\
             \"line_info_rec_size\":{line_rec_size}}}\n",
            words(types),
            hex(strings.as_bytes()),
            words(lines)
        )
    }

    #[test]
    fn names_are_found_in_their_order() {
        let check = |strings: &str, want: &[u32]| {
            assert_eq!(string_offsets(strings.as_bytes(), 0), want, "{strings:?}");
        };
        assert_eq!(string_offsets(b"\0int\0abc\0d\0", 5), [6, 9]);
        check("\0int\0a\0", &[1, 5]);
        // C puts a zero behind a literal that ends in one: the walk then sees an empty string.
        check("\0int\0\0", &[1, 5]);
        check("\0", &[]);
        check("", &[]);
        check("\0abc", &[1]);
    }

    #[test]
    fn requests_hold_what_the_table_says() {
        let types = [NAME_TBD, 7, NAME_NTH | 2, NAME_TBD];
        let text = format!(
            "{HEAD}{0}{0}",
            record(&types, "\0int\0a\0x y\0", &[0, 0, NAME_TBD, NAME_NTH | 1], 16)
        );
        let tests = parse(&text).unwrap();
        assert_eq!(tests.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(), ["t", "t (2)"]);
        let InfoTest { request, fails, message, .. } = &tests[0];
        assert!(*fails);
        assert_eq!(message.as_deref(), Some("m"));
        let btf = request.btf.as_ref().unwrap();
        let words: Vec<u32> =
            btf.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w)).collect();
        assert_eq!(words[..10], [0x0001_eb9f, 24, 0, 16, 16, 11, 1, 7, 5, 5]);
        let lines: Vec<u8> =
            [0, 0, 8, NAME_NTH | 1].iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
        assert_eq!(request.line_info, InfoTable { rec_size: 16, count: 1, bytes: lines.into() });
        assert_eq!((request.func_info.rec_size, request.func_info.count), (4, 2));
        assert_eq!(request.insns, [Insn::new(0x95, 0, 0, 0, 0)]);
    }

    #[test]
    fn damage_is_named() {
        let check = |text: &str, want: &str| {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(want), "{error}");
        };
        check("", "line 1");
        check("{\"format\":2,\"btf_header_len\":24}\n", "format 2");
        check(&format!("{HEAD}{{}}"), "line 2");
        check(&format!("{HEAD}{}", record(&[NAME_TBD], "\0", &[], 0)), "more names than strings");
        check(&format!("{HEAD}{}", record(&[NAME_NTH | 9], "\0a\0", &[], 0)), "no string 9");
        check(&format!("{HEAD}{}", record(&[], "\0a\0", &[1], 0)), "no size");
        let header = "{\"format\":1,\"btf_header_len\":8}\n";
        check(&format!("{header}{}", record(&[], "\0", &[], 0)), "header of 8 bytes");
    }
}
