// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The user's cache, and the unpacked kernels in it.
//!
//! ```text
//! magic "VSCACHE1", SHA-256 of the payload it was made from (32 bytes),
//! XXH64 of everything after this field (u64),
//! lengths of the four parts (u64 each), the parts: facts, BTF, index of offsets, index of names
//! ```
//!
//! The file's name carries the payload's hash, so that a new version of the program never reads
//! an old file. The checksum finds accidents, not malice: who may write the user's cache may also
//! change the user's programs.

use crate::builtin::BuiltIn;
use crate::error::ProfileError;
use crate::pack::{self, Header};
use memmap2::Mmap;
use std::borrow::Cow;
use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use twox_hash::XxHash64;
use veristable_btf::{Btf, Indexes};
use veristable_kernel::Profile;

const MAGIC: &[u8; 8] = b"VSCACHE1";

/// Magic, hash, checksum and four lengths.
const HEADER_LEN: usize = 8 + 32 + 8 + 4 * 8;

/// The cache: `$VERISTABLE_CACHE`, else `$XDG_CACHE_HOME/veristable`, else `~/.cache/veristable`;
/// `None` where none of the variables is set.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    var("VERISTABLE_CACHE")
        .or_else(|| Some(var("XDG_CACHE_HOME")?.join("veristable")))
        .or_else(|| Some(var("HOME")?.join(".cache/veristable")))
}

/// Where unpacked kernels are.
fn kernels() -> Option<PathBuf> {
    directory().map(|cache| cache.join("kernels"))
}

/// The parts of an unpacked kernel.
struct Parts<'a> {
    facts: &'a [u8],
    btf: &'a [u8],
    offsets: &'a [u8],
    names: &'a [u8],
}

impl<'a> Parts<'a> {
    const fn all(&self) -> [&'a [u8]; 4] {
        [self.facts, self.btf, self.offsets, self.names]
    }

    fn checksum(&self) -> u64 {
        let mut hash = XxHash64::with_seed(0);
        for part in self.all() {
            hash.write(&(part.len() as u64).to_le_bytes());
        }
        for part in self.all() {
            hash.write(part);
        }
        hash.finish()
    }

    fn write(&self, sha256: &[u8; 32], out: &mut impl Write) -> io::Result<()> {
        out.write_all(MAGIC)?;
        out.write_all(sha256)?;
        out.write_all(&self.checksum().to_le_bytes())?;
        for part in self.all() {
            out.write_all(&(part.len() as u64).to_le_bytes())?;
        }
        self.all().into_iter().try_for_each(|part| out.write_all(part))
    }

    /// Takes a cache file apart; `None` if it is not what was written.
    fn parse(file: &'a [u8], sha256: &[u8; 32]) -> Option<Self> {
        let (magic, rest) = file.split_first_chunk::<8>()?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let (checksum, rest) = rest.split_first_chunk::<8>()?;
        if magic != MAGIC || hash != sha256 {
            return None;
        }
        let mut lens = [0; 4];
        for (len, bytes) in lens.iter_mut().zip(rest.as_chunks::<8>().0) {
            *len = usize::try_from(u64::from_le_bytes(*bytes)).ok()?;
        }
        let parts = Self::split(file, lens)?;
        (parts.checksum() == u64::from_le_bytes(*checksum)).then_some(parts)
    }

    /// The parts of these lengths, which fill the file after its header.
    fn split(file: &'a [u8], lens: [usize; 4]) -> Option<Self> {
        let mut rest = file.get(HEADER_LEN..)?;
        let mut part = |len| {
            let (part, after) = rest.split_at_checked(len)?;
            rest = after;
            Some(part)
        };
        let [facts, btf, offsets, names] = lens.map(&mut part);
        let parts = Self { facts: facts?, btf: btf?, offsets: offsets?, names: names? };
        rest.is_empty().then_some(parts)
    }
}

/// Opens a cache file; `None` if it is not there or not what was written.
fn read(path: &Path, sha256: &[u8; 32]) -> Option<Profile> {
    let map = map(&File::open(path).ok()?).ok()?;
    // Only a good file is kept.
    let parts = Parts::parse(&map, sha256)?;
    let lens = parts.all().map(<[u8]>::len);
    // A profile lives as long as the program wants, usually to its end. What is leaked is a mapping
    // of a file: no memory of the process.
    let map: &'static Mmap = Box::leak(Box::new(map));
    let parts = Parts::split(map, lens)?;
    let facts = pack::read_facts(parts.facts).ok()?;
    let indexes = Indexes {
        offsets: Some(Cow::Owned(numbers(parts.offsets))),
        names: Some(Cow::Owned(numbers(parts.names))),
    };
    let btf = Btf::open_with(parts.btf, None, indexes).ok()?;
    Profile::new(facts, Some(btf)).ok()
}

/// Maps a file: reading five megabytes into fresh memory takes longer than everything else.
#[allow(unsafe_code)]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapped bytes must not change. `store` gives a cache file its name when it is
    // complete and nothing writes to one afterwards: it is replaced by another file of the same
    // name, which leaves this mapping alone. Who may write the user's cache in other ways may
    // also change the user's programs.
    unsafe { Mmap::map(file) }
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    let (chunks, _) = bytes.as_chunks::<4>();
    chunks.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect()
}

fn bytes(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// Opens a built-in kernel through the cache.
pub(crate) fn open(kernel: &BuiltIn) -> Result<Profile, ProfileError> {
    open_in(kernel, kernels().as_deref())
}

fn open_in(kernel: &BuiltIn, cache: Option<&Path>) -> Result<Profile, ProfileError> {
    let damaged = |problem: String| ProfileError::damaged(kernel.name, problem);
    open_packed(kernel.packed, &kernel.to_string(), cache).map_err(damaged)
}

/// Opens a packed kernel through the cache; the name is for the file there.
pub(crate) fn open_captured(packed: &[u8]) -> Result<Profile, String> {
    open_packed(packed, "captured", kernels().as_deref())
}

fn open_packed(packed: &[u8], name: &str, cache: Option<&Path>) -> Result<Profile, String> {
    let header = Header::parse(packed)?;
    let path = cache.map(|cache| cache.join(file_name(name, &header)));
    if let Some(profile) = path.as_deref().and_then(|path| read(path, &header.sha256)) {
        return Ok(profile);
    }
    let payload = pack::unpack(packed)?;
    let mut btf = Btf::open(payload.btf).map_err(|e| format!("its BTF: {e}"))?;
    btf.build_name_index();
    if let Some(path) = path {
        let offsets = bytes(btf.offset_index());
        let names = bytes(btf.name_index().unwrap_or(&[]));
        let parts =
            Parts { facts: &payload.facts, btf: btf.bytes(), offsets: &offsets, names: &names };
        // Without a cache everything works, only slower.
        let _ = store(&path, |out| parts.write(&header.sha256, out));
    }
    let facts = pack::read_facts(&payload.facts)?;
    Profile::new(facts, Some(btf)).map_err(|fact| fact.to_string())
}

fn file_name(kernel: &str, header: &Header<'_>) -> String {
    let hash: String = header.sha256.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{kernel}-{hash}.kernel")
}

/// Writes a file under a temporary name first, so that nobody reads half of it. Missing directories
/// are made.
///
/// # Errors
/// If it cannot be written; nothing is left then.
pub fn store(
    path: &Path,
    contents: impl FnOnce(&mut io::BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::create_dir_all(directory)?;
    }
    let unique = std::process::id();
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = nanos.map_or(0, |time| time.subsec_nanos());
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{unique}.{nanos}.tmp"));
    let temporary = PathBuf::from(temporary);
    let write = || {
        let file = File::options().write(true).create_new(true).open(&temporary)?;
        let mut out = io::BufWriter::new(file);
        contents(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use veristable_kernel::Kernel;

    fn kernel() -> &'static BuiltIn {
        crate::find("6.12.117").unwrap()
    }

    fn files(directory: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn the_cache_is_written_once_and_mended() {
        let cache = std::env::temp_dir().join(format!("veristable-cache-{}", std::process::id()));
        let first = open_in(kernel(), Some(&cache)).unwrap();
        let [path] = &files(&cache)[..] else { panic!("{:?}", files(&cache)) };
        let written = fs::metadata(path).unwrap().modified().unwrap();
        let second = open_in(kernel(), Some(&cache)).unwrap();
        assert_eq!(first.facts(), second.facts());
        assert_eq!(fs::metadata(path).unwrap().modified().unwrap(), written);
        // Damage anywhere is seen, and the file written again.
        let good = fs::read(path).unwrap();
        for at in [0, 20, 45, 60, 100, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(path, &bad).unwrap();
            let profile = open_in(kernel(), Some(&cache)).unwrap();
            assert_eq!(profile.facts(), first.facts(), "byte {at}");
            assert!(fs::read(path).unwrap() == good, "byte {at} is not mended");
        }
        fs::write(path, &good[..good.len() / 2]).unwrap();
        assert!(open_in(kernel(), Some(&cache)).is_ok());
        assert_eq!(files(&cache).len(), 1, "temporary files are left");
        fs::remove_dir_all(&cache).unwrap();
    }

    #[test]
    fn without_a_cache_it_works_too() {
        // A directory cannot be made below a file.
        let file = std::env::temp_dir().join(format!("veristable-file-{}", std::process::id()));
        fs::write(&file, "").unwrap();
        for cache in [None, Some(file.join("below"))] {
            let profile = open_in(kernel(), cache.as_deref()).unwrap();
            assert_eq!(profile.id().name, "6.12.117");
        }
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn damaged_data_is_an_error() {
        let packed = kernel().packed;
        let check = |bytes: Vec<u8>, what: &str| {
            assert!(pack::open(&bytes).is_err(), "{what}");
        };
        for end in [0, 7, 11, 43, 51, 60, 1000, packed.len() - 1] {
            check(packed[..end].to_vec(), &format!("cut at {end}"));
        }
        for at in [0, 8, 12, 44, 200, packed.len() / 2] {
            let mut bytes = packed.to_vec();
            bytes[at] ^= 1;
            check(bytes, &format!("byte {at}"));
        }
    }
}
