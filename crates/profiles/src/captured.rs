// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Captured kernels: descriptions of a running kernel in files of the same form as the built-in ones.
//!
//! Those in the cache (`profiles/RELEASE.profile`) can be named by their release.

use crate::cache;
use crate::error::ProfileError;
use crate::live::with_later_helpers;
use crate::pack::{self, Payload};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use veristable_kernel::{FactKind, Kernel, Origin, Profile};

/// Longer than any packed kernel.
const MAX_FILE: u64 = 256 << 20;

/// What ends the names of files in the cache.
const EXTENSION: &str = "profile";

/// Where captured kernels are that can be named by their release.
fn directory() -> Option<PathBuf> {
    cache::directory().map(|cache| cache.join("profiles"))
}

/// The file in the cache for a release; `None` if there is no cache, or the name is no file name.
#[must_use]
pub fn path_of(release: &str) -> Option<PathBuf> {
    let plain = !release.is_empty()
        && !release.starts_with('.')
        && release.chars().all(|c| c.is_ascii_alphanumeric() || "._+-~".contains(c));
    directory().filter(|_| plain).map(|dir| dir.join(format!("{release}.{EXTENSION}")))
}

/// The releases of the kernels captured in the cache, sorted.
#[must_use]
pub fn list() -> Vec<String> {
    let entries = directory().and_then(|directory| fs::read_dir(directory).ok());
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Some(name.strip_suffix(EXTENSION)?.strip_suffix('.')?.to_owned())
        })
        .collect();
    names.sort();
    names
}

/// Writes a profile to a file, under a temporary name first. Addresses of symbols are left out:
/// they hold until the machine is started again, and are nobody else's business.
///
/// # Errors
/// If it cannot be written.
pub fn save(profile: &Profile, path: &Path) -> Result<(), ProfileError> {
    let error = |problem: String| ProfileError::File { path: path.display().to_string(), problem };
    let mut facts = profile.facts().clone();
    if let Some(symbols) = &mut facts.symbols {
        symbols.forget_addresses();
    }
    let btf = profile.btf(None).ok().flatten();
    let btf = btf.ok_or_else(|| error("a kernel without BTF cannot be captured".into()))?;
    let payload =
        Payload { facts: pack::write_facts(&facts).map_err(error)?, btf: btf.bytes().to_vec() };
    let payload = payload.to_bytes().map_err(error)?;
    let packed = pack::wrap(&payload, &compress_to_vec(&payload[..], CompressionLevel::Fastest));
    cache::store(path, |out| out.write_all(&packed)).map_err(|problem| error(problem.to_string()))
}

/// The file that a name stands for: a path, or the release of one in the cache.
pub(crate) fn named(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    if name.contains('/') || path.is_file() {
        return Some(path.to_owned());
    }
    path_of(name).filter(|path| path.is_file())
}

/// SHA-256 of what a file that [`save`] wrote holds, as its header says; [`open`] verifies it.
pub(crate) fn digest(path: &Path) -> Option<[u8; 32]> {
    // Nothing but the header is read.
    let mut header = Vec::new();
    fs::File::open(path).ok()?.take(pack::HEADER_LEN).read_to_end(&mut header).ok()?;
    pack::Header::parse(&header).ok().map(|header| header.sha256)
}

/// Opens a file that [`save`] wrote.
///
/// # Errors
/// If it cannot be read, is no packed kernel, or was written by another version of this program.
pub fn open(path: &Path) -> Result<Profile, ProfileError> {
    let error = |problem: String| ProfileError::File { path: path.display().to_string(), problem };
    let len = fs::metadata(path).map_err(|problem| error(problem.to_string()))?.len();
    if len > MAX_FILE {
        return Err(error("it is longer than 256 MiB, and no captured profile".into()));
    }
    let packed = fs::read(path).map_err(|problem| error(problem.to_string()))?;
    let profile = cache::open_captured(&packed).map_err(|problem| {
        error(format!(
            "not a profile that this version can read: {problem}; `veristable profile capture` \
             writes one"
        ))
    })?;
    let assumed = profile.origin(FactKind::Helpers) == Origin::Assumed;
    Ok(if assumed { with_later_helpers(profile) } else { profile })
}

/// The behaviours that were found out when this very kernel was captured: of the same release, with
/// the same BTF.
pub(crate) fn with_known_behaviours(live: Profile) -> Profile {
    let known = path_of(&live.id().release).filter(|path| path.exists());
    let Some(known) = known.and_then(|path| open(&path).ok()) else { return live };
    let bytes = |profile: &Profile| profile.btf(None).ok().flatten().map(|b| b.bytes().to_vec());
    if known.id().release != live.id().release || bytes(&known) != bytes(&live) {
        return live;
    }
    live.with_behaviours_of(&known)
}
