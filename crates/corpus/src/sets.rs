// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The sets by their names.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::manifest::{Manifest, Object};
use crate::{annotation, cache};

/// Objects that real programs ship.
pub const REALWORLD: &str = "realworld";

/// Sets of compiled selftests.
pub const SELFTESTS: [&str; 3] = ["selftests-6.12", "selftests-6.18", "selftests-7.3"];

/// Sets of raw-instruction selftests.
pub const RAW: [&str; 5] = ["raw-5.10", "raw-6.1", "raw-6.12", "raw-6.18", "raw-7.3"];

/// A set of objects in the cache.
#[derive(Clone, Debug)]
pub struct ObjectSet {
    /// Its directory.
    pub dir: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
}

impl ObjectSet {
    /// Opens a set of objects by its name: [`REALWORLD`] or one of [`SELFTESTS`].
    ///
    /// # Errors
    ///
    /// It is not in the cache (the message says which command makes it), or its manifest is
    /// damaged.
    pub fn open(name: &str) -> Result<Self> {
        let dir = cache::set_dir(name)?;
        let manifest = Manifest::read(&dir)?;
        Ok(Self { dir, manifest })
    }

    /// The objects with their paths, ordered by name.
    pub fn objects(&self) -> impl Iterator<Item = (PathBuf, &Object)> {
        self.manifest.objects.iter().map(|object| (self.dir.join(&object.file), object))
    }

    /// The annotations of one of the set's objects.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no ELF object with proper BTF.
    pub fn annotations(&self, object: &Object) -> Result<Vec<annotation::Annotation>> {
        let path = self.dir.join(&object.file);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        annotation::of_object(&bytes).with_context(|| path.display().to_string())
    }
}
