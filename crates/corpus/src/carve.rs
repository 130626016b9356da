// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Finds BPF objects inside other files: skeletons embed them in an executable's read-only data.
//!
//! Input is untrusted: every read is checked, work is linear in the input plus the section headers
//! of what looks like an object, and a candidate can never reach past the end of the input.

/// `e_machine` of BPF (`EM_BPF`, `include/uapi/linux/elf-em.h`).
pub const EM_BPF: u16 = 247;

/// Most bytes that one carved object may have.
pub const MAX_OBJECT: usize = 64 << 20;

/// Most section headers that one carved object may have.
pub const MAX_SECTIONS: usize = 16384;

const ELF_HEADER: usize = 64;
const SECTION_HEADER: usize = 64;
const SHT_PROGBITS: u32 = 1;
const SHT_NOBITS: u32 = 8;
const SHF_EXECINSTR: u64 = 4;

/// A BPF object found inside some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Carved<'a> {
    /// Where it begins.
    pub offset: usize,
    /// The object, from its header to the end of its last part.
    pub bytes: &'a [u8],
}

/// All little-endian BPF objects with at least one instruction, in order of their offsets.
///
/// The length of an object is the end of whatever its headers name last: section contents or the
/// header table. Objects inside a found object are not looked for.
#[must_use]
pub fn carve(data: &[u8]) -> Vec<Carved<'_>> {
    const MAGIC: &[u8] = b"\x7fELF\x02\x01\x01";
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = find(data, MAGIC, at) {
        match data.get(next..).and_then(object_len) {
            Some(len) => {
                found.push(Carved { offset: next, bytes: &data[next..next + len] });
                at = next + len;
            }
            None => at = next + MAGIC.len(),
        }
    }
    found
}

fn find(data: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = from;
    loop {
        at += data.get(at..)?.iter().position(|&byte| byte == first)?;
        if data[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
}

/// Length of the BPF object that `data` begins with; nothing if it is none or has no code.
fn object_len(data: &[u8]) -> Option<usize> {
    if u16_at(data, 18)? != EM_BPF || u16_at(data, 58)? as usize != SECTION_HEADER {
        return None;
    }
    let table = usize::try_from(u64_at(data, 40)?).ok()?;
    let count = match u16_at(data, 60)? as usize {
        // More than 0xff00 sections: the count is in the first header.
        0 => usize::try_from(u64_at(data, table.checked_add(32)?)?).ok()?,
        count => count,
    };
    if table < ELF_HEADER || count == 0 || count > MAX_SECTIONS {
        return None;
    }
    let mut end = table.checked_add(count.checked_mul(SECTION_HEADER)?)?;
    let mut has_code = false;
    for index in 0..count {
        let section = data.get(table.checked_add(index * SECTION_HEADER)?..)?;
        let kind = u32_at(section, 4)?;
        if kind == SHT_NOBITS || kind == 0 {
            continue;
        }
        let offset = usize::try_from(u64_at(section, 24)?).ok()?;
        let size = usize::try_from(u64_at(section, 32)?).ok()?;
        end = end.max(offset.checked_add(size)?);
        has_code |= kind == SHT_PROGBITS
            && u64_at(section, 8)? & SHF_EXECINSTR != 0
            && size > 0
            && size.is_multiple_of(8);
    }
    (has_code && end <= data.len() && end <= MAX_OBJECT).then_some(end)
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(data: &[u8], at: usize) -> Option<u64> {
    let bytes = data.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minimal object: header, one executable section of 16 bytes, then the header table.
    fn object() -> Vec<u8> {
        let mut data = vec![0; ELF_HEADER + 16 + 2 * SECTION_HEADER];
        data[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        put(&mut data, 18, &EM_BPF.to_le_bytes());
        put(&mut data, 40, &80_u64.to_le_bytes());
        put(&mut data, 58, &64_u16.to_le_bytes());
        put(&mut data, 60, &2_u16.to_le_bytes());
        let section = 80 + SECTION_HEADER;
        put(&mut data, section + 4, &SHT_PROGBITS.to_le_bytes());
        put(&mut data, section + 8, &SHF_EXECINSTR.to_le_bytes());
        put(&mut data, section + 24, &64_u64.to_le_bytes());
        put(&mut data, section + 32, &16_u64.to_le_bytes());
        data
    }

    fn put(data: &mut [u8], at: usize, bytes: &[u8]) {
        data[at..at + bytes.len()].copy_from_slice(bytes);
    }

    #[test]
    fn finds_objects_between_other_bytes() {
        let object = object();
        let mut data = b"\x7fELF\x02\x01\x01 host executable".to_vec();
        let first = data.len();
        data.extend_from_slice(&object);
        data.extend_from_slice(b"\x7f\x7fELF");
        let second = data.len();
        data.extend_from_slice(&object);
        data.push(0);
        let found = carve(&data);
        assert_eq!(
            found,
            [Carved { offset: first, bytes: &object }, Carved { offset: second, bytes: &object }]
        );
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_survived() {
        let object = object();
        for len in 0..object.len() {
            assert!(carve(&object[..len]).is_empty(), "truncated to {len}");
        }
        for at in 0..object.len() {
            for value in [0, 0x7f, 0x80, 0xff] {
                let mut changed = object.clone();
                changed[at] = value;
                for carved in carve(&changed) {
                    assert!(carved.offset + carved.bytes.len() <= changed.len());
                }
            }
        }
    }

    #[test]
    fn refuses_what_is_no_bpf_object() {
        let check = |at: usize, bytes: &[u8], why: &str| {
            let mut data = object();
            put(&mut data, at, bytes);
            assert!(carve(&data).is_empty(), "{why}");
        };
        check(18, &62_u16.to_le_bytes(), "another machine");
        check(5, &[2], "big-endian");
        check(40, &u64::MAX.to_le_bytes(), "header table past the end");
        check(80 + 64 + 8, &0_u64.to_le_bytes(), "no code");
        check(80 + 64 + 32, &15_u64.to_le_bytes(), "code of odd size");
        check(80 + 64 + 24, &u64::MAX.to_le_bytes(), "section past the end");
    }
}
