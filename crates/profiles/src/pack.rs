// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The stored form of a kernel.
//!
//! ```text
//! packed    magic "VSKERNEL", format version (u32), SHA-256 of the payload (32 bytes),
//!           length of the payload (u64), payload compressed by zstd
//! payload   length of the facts (u32), length of the BTF (u32), facts in postcard's wire format,
//!           BTF as the kernel shows it
//! ```
//!
//! All numbers are little-endian.

use sha2::{Digest, Sha256};
use std::io::Read;
use veristable_btf::Btf;
use veristable_kernel::Profile;
use veristable_kernel::profile::{FACTS_VERSION, Facts};

const MAGIC: &[u8; 8] = b"VSKERNEL";

/// Version of the container. [`FACTS_VERSION`] is that of the facts within.
pub const PACK_VERSION: u32 = 1;

/// More than any kernel takes: bounds what damaged data can ask for.
const MAX_PAYLOAD: u64 = 256 << 20;

/// The two parts of a payload.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The facts as stored.
    pub facts: Vec<u8>,
    /// The kernel's BTF.
    pub btf: Vec<u8>,
}

impl Payload {
    /// Puts the parts together.
    ///
    /// # Errors
    /// If they are too long.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let len = |part: &[u8]| u32::try_from(part.len()).map_err(|_| "longer than 4 GiB");
        let mut bytes = Vec::with_capacity(8 + self.facts.len() + self.btf.len());
        bytes.extend_from_slice(&len(&self.facts)?.to_le_bytes());
        bytes.extend_from_slice(&len(&self.btf)?.to_le_bytes());
        bytes.extend_from_slice(&self.facts);
        bytes.extend_from_slice(&self.btf);
        Ok(bytes)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (facts_len, rest) = bytes.split_first_chunk::<4>()?;
        let (btf_len, rest) = rest.split_first_chunk::<4>()?;
        let len = |bytes: &[u8; 4]| usize::try_from(u32::from_le_bytes(*bytes)).ok();
        let (facts, btf) = rest.split_at_checked(len(facts_len)?)?;
        (btf.len() == len(btf_len)?).then(|| Self { facts: facts.to_vec(), btf: btf.to_vec() })
    }
}

/// Puts a header before a compressed payload.
#[must_use]
pub fn wrap(payload: &[u8], compressed: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&PACK_VERSION.to_le_bytes());
    bytes.extend_from_slice(&Sha256::digest(payload));
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(compressed);
    bytes
}

/// Bytes of the header: magic, version, SHA-256 and length of the payload.
pub(crate) const HEADER_LEN: u64 = 8 + 4 + 32 + 8;

/// The header of a packed kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// SHA-256 of the payload.
    pub sha256: [u8; 32],
    /// Length of the payload.
    pub len: u64,
    compressed: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads the header of a packed kernel.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(packed: &'a [u8]) -> Result<Self, String> {
        let short = || "it is truncated".to_owned();
        let (magic, rest) = packed.split_first_chunk::<8>().ok_or_else(short)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let (sha256, rest) = rest.split_first_chunk::<32>().ok_or_else(short)?;
        let (len, compressed) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let version = u32::from_le_bytes(*version);
        if magic != MAGIC {
            return Err("it is not a packed kernel".to_owned());
        }
        if version != PACK_VERSION {
            return Err(format!("it has format version {version}, not {PACK_VERSION}"));
        }
        Ok(Self { sha256: *sha256, len: u64::from_le_bytes(*len), compressed })
    }
}

/// Unpacks a kernel and checks that the payload is the one that was packed.
///
/// # Errors
/// What is wrong.
pub fn unpack(packed: &[u8]) -> Result<Payload, String> {
    let header = Header::parse(packed)?;
    if header.len > MAX_PAYLOAD {
        return Err(format!("a payload of {} bytes", header.len));
    }
    let decoder = ruzstd::decoding::StreamingDecoder::new(header.compressed);
    let mut bytes = Vec::new();
    decoder
        .map_err(|error| error.to_string())?
        .take(header.len + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 != header.len || Sha256::digest(&bytes)[..] != header.sha256 {
        return Err("its content does not have the hash that it names".to_owned());
    }
    Payload::parse(&bytes).ok_or_else(|| "its parts do not fit".to_owned())
}

/// Unpacks and opens a kernel, without the cache.
///
/// # Errors
/// What is wrong.
pub fn open(packed: &[u8]) -> Result<Profile, String> {
    let payload = unpack(packed)?;
    let facts = read_facts(&payload.facts)?;
    let mut btf = Btf::open(payload.btf).map_err(|error| format!("its BTF: {error}"))?;
    btf.build_name_index();
    Profile::new(facts, Some(btf)).map_err(|fact| fact.to_string())
}

/// Reads stored facts.
///
/// # Errors
/// What is wrong.
pub fn read_facts(bytes: &[u8]) -> Result<Facts, String> {
    let (version, _) = postcard::take_from_bytes::<u32>(bytes).map_err(|e| e.to_string())?;
    if version != FACTS_VERSION {
        return Err(format!("facts of version {version}, not {FACTS_VERSION}"));
    }
    postcard::from_bytes(bytes).map_err(|error| error.to_string())
}

/// Stores facts.
///
/// # Errors
/// If the serialiser fails, which no valid facts cause.
pub fn write_facts(facts: &Facts) -> Result<Vec<u8>, String> {
    postcard::to_allocvec(facts).map_err(|error| error.to_string())
}
