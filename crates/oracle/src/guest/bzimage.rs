// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! From a compressed kernel image to the ELF file inside.
//!
//! QEMU enters an ELF `vmlinux` directly (PVH), which spares the firmware and the kernel's own slow
//! decompression under emulation.

use std::io::Read as _;

/// Most bytes of an unpacked kernel.
const MAX: u64 = 1 << 30;

/// The ELF file inside a bzImage: `payload_offset` and `payload_length` of the boot header
/// (`Documentation/arch/x86/boot.rst`).
///
/// # Errors
/// Not a bzImage, or compressed in a way that is not known here; the text says which.
pub(super) fn unpack(image: &[u8]) -> Result<Vec<u8>, String> {
    let payload = payload(image).ok_or("not a bzImage (no boot header, or cut short)")?;
    // Behind the stream stands its unpacked size, which not every decoder would overlook.
    let stream = payload.get(..payload.len().saturating_sub(4)).unwrap_or_default();
    let elf = match payload {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => zstd(stream)?,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => xz(stream)?,
        [0x02, 0x21, 0x4c, 0x18, ..] => lz4(stream).ok_or("damaged LZ4 stream")?,
        [0x7f, b'E', b'L', b'F', ..] => payload.to_vec(),
        [0x1f, 0x8b, ..] => return Err("compressed with gzip, which no kernel here uses".into()),
        _ => return Err("compressed in an unknown way".into()),
    };
    if elf.starts_with(b"\x7fELF") { Ok(elf) } else { Err("no ELF file inside".into()) }
}

fn payload(image: &[u8]) -> Option<&[u8]> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let word = |at: usize| -> Option<usize> {
        let bytes = image.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes) as usize)
    };
    // 0 means 4 (the same document).
    let sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512 + word(0x248)?;
    image.get(start..start.checked_add(word(0x24c)?)?)
}

fn zstd(stream: &[u8]) -> Result<Vec<u8>, String> {
    let decoder = ruzstd::decoding::StreamingDecoder::new(stream)
        .map_err(|error| format!("damaged zstd stream: {error}"))?;
    let mut out = Vec::new();
    let read = decoder.take(MAX).read_to_end(&mut out);
    read.map_err(|error| format!("damaged zstd stream: {error}"))?;
    Ok(out)
}

fn xz(stream: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    lzma_rust2::XzReader::new(stream, false)
        .take(MAX)
        .read_to_end(&mut out)
        .map_err(|error| format!("damaged xz stream: {error}"))?;
    Ok(out)
}

/// The legacy frame of `lz4 -l`: blocks of at most 8 MiB, each behind its length.
fn lz4(stream: &[u8]) -> Option<Vec<u8>> {
    const MAGIC: u32 = 0x184c_2102;
    let mut out = Vec::new();
    let mut rest = stream;
    while let Some((word, behind)) = rest.split_first_chunk::<4>() {
        let len = u32::from_le_bytes(*word);
        rest = behind;
        if len == MAGIC {
            continue;
        }
        let (block, behind) = rest.split_at_checked(len as usize)?;
        lz4_block(block, &mut out)?;
        if out.len() as u64 > MAX {
            return None;
        }
        rest = behind;
    }
    Some(out)
}

fn lz4_block(mut block: &[u8], out: &mut Vec<u8>) -> Option<()> {
    fn byte(block: &mut &[u8]) -> Option<usize> {
        let (first, rest) = block.split_first()?;
        *block = rest;
        Some(usize::from(*first))
    }
    fn length(short: usize, block: &mut &[u8]) -> Option<usize> {
        let mut len = short;
        if short == 15 {
            loop {
                let more = byte(block)?;
                len += more;
                if more != 255 {
                    break;
                }
            }
        }
        Some(len)
    }
    let start = out.len();
    while !block.is_empty() {
        let token = byte(&mut block)?;
        let (literals, rest) = {
            let len = length(token >> 4, &mut block)?;
            block.split_at_checked(len)?
        };
        out.extend_from_slice(literals);
        block = rest;
        if block.is_empty() {
            break; // the last sequence has no match
        }
        let distance = byte(&mut block)? | byte(&mut block)? << 8;
        let len = length(token & 15, &mut block)? + 4;
        let from = out.len().checked_sub(distance).filter(|from| distance > 0 && *from >= start)?;
        for at in from..from + len {
            out.push(*out.get(at)?);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lz4_blocks() {
        // "abcd", then 8 bytes from 4 back, then "xy"
        let block = [0x44, b'a', b'b', b'c', b'd', 4, 0, 0x20, b'x', b'y'];
        let mut stream = vec![0x02, 0x21, 0x4c, 0x18];
        stream.extend((block.len() as u32).to_le_bytes());
        stream.extend(block);
        assert_eq!(lz4(&stream).unwrap(), b"abcdabcdabcdxy");
        for end in 5..stream.len() {
            assert!(lz4(&stream[..end]).is_none_or(|out| out.len() < 14), "cut at {end}");
        }
        let wrong = [0x02, 0x21, 0x4c, 0x18, 4, 0, 0, 0, 0x10, b'a', 9, 0];
        assert_eq!(lz4(&wrong), None, "a match before the beginning");
    }

    #[test]
    fn other_files_are_refused() {
        for image in [&b""[..], b"MZ", &[0; 4096]] {
            assert!(unpack(image).unwrap_err().starts_with("not a bzImage"));
        }
    }
}
