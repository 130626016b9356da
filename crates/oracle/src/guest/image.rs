// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Kernel images: from the list, through the cache, to a `vmlinux`.
//!
//! In the cache, `kernels/VERSION/` holds `vmlinux`, the kernel's `config` where it was found, and
//! snapshots. Packages are looked for in `kernels/packages/` and `apt/packages/` before any mirror
//! is asked.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde::Deserialize;

use super::{apt, bzimage};
use crate::cache;
use crate::error::{Doing as _, OracleError};

const LIST: &str = include_str!("../../data/kernels.json");

/// Largest file taken out of a package.
const MAX_FILE: u64 = 256 << 20;

/// One Debian kernel (`data/kernels.json`).
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestKernel {
    /// Version as on the command line, e.g. `6.18.15`.
    pub version: String,
    /// Suite of the Debian archive.
    pub suite: String,
    /// Package that holds the image.
    pub package: String,
    /// Package that holds the configuration, if it is another one (from 6.19 on).
    #[serde(default)]
    pub config: Option<String>,
    /// Pattern for the package names of the same line.
    pub line: String,
}

/// Every kernel that a guest can run.
///
/// # Panics
/// Never outside this crate's own tests: the list is part of the program and a test reads it.
#[must_use]
#[expect(clippy::expect_used, reason = "the list is built in and tested")]
pub fn kernels() -> &'static [GuestKernel] {
    static PARSED: OnceLock<Vec<GuestKernel>> = OnceLock::new();
    PARSED.get_or_init(|| serde_json::from_str(LIST).expect("data/kernels.json is well-formed"))
}

/// Finds a kernel by its version.
pub(super) fn find(version: &str) -> Result<&'static GuestKernel, OracleError> {
    kernels().iter().find(|kernel| kernel.version == version).ok_or_else(|| {
        let known: Vec<_> = kernels().iter().map(|kernel| kernel.version.as_str()).collect();
        OracleError::UnknownKernel { wanted: version.to_owned(), known: known.join(", ") }
    })
}

impl GuestKernel {
    /// The kernel's directory in the cache.
    ///
    /// # Errors
    /// There is no cache directory, or it cannot be written.
    pub fn directory(&self) -> Result<PathBuf, OracleError> {
        cache::directory(cache::root()?.join("kernels").join(&self.version))
    }

    /// Whether the image is in the cache, so that no network is needed.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        let package = || -> Result<bool, OracleError> {
            let unpacked = self.directory()?.join("vmlinux").exists();
            Ok(unpacked || kept_package(&self.package)?.is_some())
        };
        package().unwrap_or(false)
    }

    /// The unpacked image, from the cache or the archive.
    ///
    /// # Errors
    /// It is in neither, or damaged.
    pub fn vmlinux(&self) -> Result<PathBuf, OracleError> {
        let path = self.directory()?.join("vmlinux");
        if path.exists() {
            return Ok(path);
        }
        let package = self.package(&self.package)?;
        let file = from_package(&package, |name| file_name(name).starts_with("vmlinuz"))?
            .ok_or_else(|| damaged(&package, "no vmlinuz in it"))?;
        let elf = bzimage::unpack(&file).map_err(|why| damaged(&package, &why))?;
        if self.config.is_none()
            && let Some(config) = from_package(&package, is_config)?
        {
            cache::write_whole(&self.directory()?.join("config"), &config)?;
        }
        cache::write_whole(&path, &elf)?;
        Ok(path)
    }

    /// The kernel's build configuration (`.config`), from the cache or the archive.
    ///
    /// # Errors
    /// It is in neither.
    pub fn build_config(&self) -> Result<PathBuf, OracleError> {
        let path = self.directory()?.join("config");
        if !path.exists() {
            let package = self.package(self.config.as_ref().unwrap_or(&self.package))?;
            let config = from_package(&package, is_config)?
                .ok_or_else(|| damaged(&package, "no configuration in it"))?;
            cache::write_whole(&path, &config)?;
        }
        Ok(path)
    }

    /// A package file, from the cache or the archive.
    fn package(&self, name: &str) -> Result<PathBuf, OracleError> {
        if let Some(path) = kept_package(name)? {
            return Ok(path);
        }
        let root = cache::root()?;
        let apt = apt::Apt::open(&root, &self.suite)?;
        let Some(arrived) = apt.download(name)? else {
            let newest = apt.newest(&self.line)?;
            let newest = newest.map_or_else(
                || "no other version of it is there".to_owned(),
                |name| format!("the newest of its line is {name}"),
            );
            return Err(OracleError::Missing {
                what: format!(
                    "guest kernel {}: {name} has left Debian's {} ({newest})",
                    self.version, self.suite
                ),
                help: format!("put a copy of the package into {}/kernels/packages", root.display()),
            });
        };
        let kept = cache::directory(root.join("kernels/packages"))?
            .join(arrived.file_name().unwrap_or_default());
        fs::rename(&arrived, &kept).doing(|| format!("keeping {}", kept.display()))?;
        Ok(kept)
    }
}

/// A package that is in the cache already.
fn kept_package(name: &str) -> Result<Option<PathBuf>, OracleError> {
    let root = cache::root()?;
    for dir in ["kernels/packages", "apt/packages"] {
        if let Some(path) = apt::find_package(&root.join(dir), name)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn is_config(path: &str) -> bool {
    let name = file_name(path);
    name.starts_with("config-") || (name == "config" && path.contains("lib/modules/"))
}

fn damaged(package: &Path, why: &str) -> OracleError {
    OracleError::Missing {
        what: format!("{}: {why}", package.display()),
        help: "delete it, so that it is downloaded again".into(),
    }
}

/// The first file of a package whose path fits.
fn from_package(
    package: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<Option<Vec<u8>>, OracleError> {
    let mut child = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| OracleError::Missing {
            what: format!("dpkg-deb, which unpacks {}, does not run ({error})", package.display()),
            help: "install the package dpkg".into(),
        })?;
    let found = child.stdout.take().map(|out| first_in_tar(out, wanted)).transpose();
    // It may still want to write what nobody reads.
    let _ = child.kill();
    let _ = child.wait();
    found.map(Option::flatten).doing(|| format!("reading {}", package.display()))
}

/// Reads a tar archive (`ustar`, with GNU's long names) up to the first file that fits.
fn first_in_tar(
    mut archive: impl std::io::Read,
    wanted: impl Fn(&str) -> bool,
) -> std::io::Result<Option<Vec<u8>>> {
    let mut long_name = None;
    let mut header = [0_u8; 512];
    while archive.read_exact(&mut header).is_ok() {
        let text = |range: std::ops::Range<usize>| {
            let field = header.get(range).unwrap_or_default();
            let field = field.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(field).into_owned()
        };
        let size = u64::from_str_radix(text(124..136).trim(), 8).unwrap_or(0);
        let padding = size.next_multiple_of(512) - size;
        let name = long_name.take().unwrap_or_else(|| text(0..100));
        match header[156] {
            b'L' => {
                let bytes = take(&mut archive, size.min(4096))?;
                long_name = Some(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned());
                take(&mut archive, size - size.min(4096) + padding)?;
            }
            b'0' | 0 if wanted(&name) && size <= MAX_FILE => {
                return take(&mut archive, size).map(Some);
            }
            _ => {
                std::io::copy(&mut archive.by_ref().take(size + padding), &mut std::io::sink())?;
            }
        }
    }
    Ok(None)
}

fn take(archive: &mut impl std::io::Read, size: u64) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    archive.by_ref().take(size).read_to_end(&mut out)?;
    if out.len() as u64 == size { Ok(out) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_is_of_its_line() {
        assert_eq!(kernels().len(), 11);
        for kernel in kernels() {
            assert!(crate::pattern::matches(&kernel.line, &kernel.package), "{}", kernel.package);
        }
        assert!(find("6.18.15").is_ok());
        assert!(find("6.18").unwrap_err().to_string().contains("6.18.15"));
    }

    #[test]
    fn files_of_an_archive() {
        let mut archive = Vec::new();
        let mut add = |name: &str, kind: u8, data: &[u8]| {
            let mut header = [0_u8; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{:011o}", data.len()).as_bytes());
            header[156] = kind;
            archive.extend(header);
            archive.extend(data);
            archive.resize(archive.len().next_multiple_of(512), 0);
        };
        add("./boot/", b'5', b"");
        add("././@LongLink", b'L', b"./a/long/name\0");
        add("./a/lo", b'0', b"long");
        add("./boot/config-6.18", b'0', b"CONFIG_BPF=y");
        let get = |name: &str| {
            first_in_tar(&archive[..], |path| path == name).unwrap().map(String::from_utf8)
        };
        assert_eq!(get("./a/long/name").unwrap().unwrap(), "long");
        assert_eq!(get("./boot/config-6.18").unwrap().unwrap(), "CONFIG_BPF=y");
        assert_eq!(get("./boot/vmlinuz"), None);
        assert!(first_in_tar(&archive[..archive.len() - 510], is_config).is_err());
    }
}
