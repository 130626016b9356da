// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! gzip (RFC 1952), for `/proc/config.gz`.

use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// Longer than any configuration.
const MAX_LEN: usize = 16 << 20;

/// Unpacks a file of one member. The checksum is not looked at: the kernel made the file.
pub(crate) fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let body = skip_header(bytes).ok_or_else(|| "it is not gzip".to_owned())?;
    decompress_to_vec_with_limit(body, MAX_LEN).map_err(|error| error.to_string())
}

fn skip_header(bytes: &[u8]) -> Option<&[u8]> {
    const CRC: u8 = 1 << 1;
    const EXTRA: u8 = 1 << 2;
    const NAME: u8 = 1 << 3;
    const COMMENT: u8 = 1 << 4;
    let (header, mut rest) = bytes.split_first_chunk::<10>()?;
    let [0x1f, 0x8b, 8, flags, ..] = *header else { return None };
    if flags & EXTRA != 0 {
        let (len, after) = rest.split_first_chunk::<2>()?;
        rest = after.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for flag in [NAME, COMMENT] {
        if flags & flag != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & CRC != 0 { rest.get(2..) } else { Some(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_unpacked_and_damage_is_an_error() {
        let deflated = miniz_oxide::deflate::compress_to_vec(b"CONFIG_BPF=y\n", 6);
        let mut file = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3];
        file.extend_from_slice(b"name\0");
        file.extend_from_slice(&deflated);
        file.extend_from_slice(&[0; 8]);
        assert_eq!(gunzip(&file).unwrap(), b"CONFIG_BPF=y\n");
        for end in 0..15 + deflated.len() {
            assert!(gunzip(&file[..end]).is_err(), "cut at {end}");
        }
    }
}
