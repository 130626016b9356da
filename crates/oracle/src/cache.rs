// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The product's cache directory.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::{Doing as _, OracleError};

/// `$VERISTABLE_CACHE`, else `$XDG_CACHE_HOME/veristable`, else `~/.cache/veristable`.
pub(crate) fn root() -> Result<PathBuf, OracleError> {
    let named = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let path = named("VERISTABLE_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|path| path.join("veristable")))
        .or_else(|| named("HOME").map(|path| path.join(".cache/veristable")));
    let path = path.ok_or_else(|| OracleError::Missing {
        what: "there is no cache directory".into(),
        help: "set VERISTABLE_CACHE, XDG_CACHE_HOME or HOME".into(),
    })?;
    std::path::absolute(&path).doing(|| path.display().to_string())
}

/// A name beside `path` for a file that is being written.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Writes a file that is either whole or absent.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), OracleError> {
    let temporary = temporary(path);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        fs::rename(&temporary, path)
    };
    write().doing(|| format!("writing {}", path.display()))
}

/// Makes a directory and those above it.
pub(crate) fn directory(path: PathBuf) -> Result<PathBuf, OracleError> {
    fs::create_dir_all(&path).doing(|| format!("making {}", path.display()))?;
    Ok(path)
}
