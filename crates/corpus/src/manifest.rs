// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a set holds and where each object came from: `manifest.json` beside the objects.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::cache;

/// Version of the manifest's form; a reader refuses any other.
pub const FORMAT: u32 = 1;

/// One set of objects.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the set, also of its directory.
    pub set: String,
    /// What made the objects, where that matters: `clang version 22.1.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiler: Option<String>,
    /// The objects, unique by content, ordered by file name.
    pub objects: Vec<Object>,
    /// What should have become an object and did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failure>,
}

/// One object of a set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Object {
    /// Path below the set's directory.
    pub file: String,
    /// SHA-256 of the content, hexadecimal.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// For selftests: the test loader drops `CAP_SYS_ADMIN` before it loads this object
    /// (`prog_tests/verifier.c:run_tests_aux`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_sys_admin: bool,
    /// Every place where this content was found, in order; never empty.
    pub origins: Vec<Origin>,
}

/// A place in a package.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// Distribution package, `libbpf-tools`.
    pub package: String,
    /// Its version, `0.31.0+ds-7`.
    pub version: String,
    /// Path inside the package, without the leading slash; for compiled objects the source file.
    pub path: String,
    /// Byte offset inside that file, or inside its decompressed content.
    pub offset: u64,
}

/// A file that did not become an object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Path of the source inside its package.
    pub path: String,
    /// The first complaint.
    pub reason: String,
}

impl Manifest {
    /// An empty set.
    #[must_use]
    pub fn new(set: &str) -> Self {
        Self {
            format: FORMAT,
            set: set.to_owned(),
            compiler: None,
            objects: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Reads the manifest of a set's directory.
    ///
    /// # Errors
    ///
    /// The file is missing (the message says which command makes it), no manifest, or of another
    /// [`FORMAT`].
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("manifest.json");
        let text = fs::read(&path).with_context(|| {
            format!("{}: no such set yet, see `cargo xtask corpus --help`", path.display())
        })?;
        let manifest: Self =
            serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        if manifest.format != FORMAT {
            bail!(
                "{}: format {}, this program reads {FORMAT}; make the set again",
                path.display(),
                manifest.format
            );
        }
        Ok(manifest)
    }

    /// Writes the manifest into the set's directory, objects and origins in their order.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&mut self, dir: &Path) -> Result<()> {
        self.objects.sort_by(|a, b| a.file.cmp(&b.file));
        self.failures.sort_by(|a, b| a.path.cmp(&b.path));
        for object in &mut self.objects {
            object.origins.sort();
        }
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        cache::write_whole(&dir.join("manifest.json"), &text)
    }

    /// The set's files, ordered by name.
    #[must_use]
    pub fn files(&self, dir: &Path) -> Vec<PathBuf> {
        self.objects.iter().map(|object| dir.join(&object.file)).collect()
    }
}
