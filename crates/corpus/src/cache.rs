// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The cache directory and files that are either whole or absent.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

/// The product's cache: `$VERISTABLE_CACHE`, else `$XDG_CACHE_HOME/veristable`, else
/// `~/.cache/veristable`.
///
/// # Errors
///
/// None of the variables is set.
pub fn root() -> Result<PathBuf> {
    let named = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(path) = named("VERISTABLE_CACHE") {
        return std::path::absolute(&path).with_context(|| path.display().to_string());
    }
    if let Some(path) = named("XDG_CACHE_HOME") {
        return Ok(path.join("veristable"));
    }
    match named("HOME") {
        Some(home) => Ok(home.join(".cache/veristable")),
        None => bail!("no cache directory: set VERISTABLE_CACHE, XDG_CACHE_HOME or HOME"),
    }
}

/// Directory of one test set inside the cache.
///
/// # Errors
///
/// As [`root`].
pub fn set_dir(set: &str) -> Result<PathBuf> {
    Ok(root()?.join("corpus").join(set))
}

/// Writes a file under a temporary name beside its own and renames it, so that an interrupted run
/// leaves no half file under the final name. Missing directories are made.
///
/// # Errors
///
/// The directory or the file cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    let temporary = temporary_beside(path);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A name in the same directory that no finished file has: it ends in `.tmp` and holds this
/// process' id.
#[must_use]
pub fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// SHA-256 in lower-case hexadecimal digits, the name of a content everywhere in the cache.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_the_known_one() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn whole_file_replaces_and_leaves_nothing_else() {
        let dir = env::temp_dir().join(format!("veristable-cache-{}", std::process::id()));
        let path = dir.join("deep/file");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::remove_dir_all(&dir).unwrap();
    }
}
