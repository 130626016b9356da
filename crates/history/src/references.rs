// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which symbols of the kernel a verifier refers to: those that a verifier outside of the kernel's tree would
//! need to be exported, or given in another way.
//!
//! An object file tells exactly. A source tree tells nearly: names in the verifier's files that another file
//! defines with external linkage. Nothing is preprocessed, so that names that macros paste together are not
//! seen (`bpf_prog_types` and its `…_verifier_ops`), nor is it known which code the configuration leaves out.

use crate::boundary::SPLIT_FILES;
use crate::csource::{definitions, tokens, uses};
use object::{Object, ObjectSymbol};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// What names are taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReferenceSource {
    /// Undefined symbols of an object file.
    Object,
    /// Source files.
    Tree,
    /// A list of names, or of `EXPORT_SYMBOL…(NAME)`.
    List,
}

/// The symbols that one verifier refers to.
#[derive(Clone, Debug, Serialize)]
pub struct References {
    /// The path as it was given.
    pub name: String,
    /// What they are taken from.
    pub source: ReferenceSource,
    /// The symbols, with the file that defines each, where known.
    pub symbols: BTreeMap<String, String>,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// A file or directory.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An object file that is damaged.
    #[error("{0}: not an ELF file: {1}")]
    Object(PathBuf, object::Error),
    /// A directory that is no kernel.
    #[error("{0}: no kernel/bpf/verifier.c in it")]
    NoVerifier(PathBuf),
}

/// Directories in which definitions are looked for: a verifier refers to nothing of drivers.
const SEARCHED: [&str; 10] = [
    "kernel",
    "lib",
    "mm",
    "net/core",
    "net/bpf",
    "net/xdp",
    "net/sched",
    "security",
    "init",
    "fs/bpf_fs_kfuncs.c",
];

/// Largest source file, and most files.
const LARGEST: u64 = 16 << 20;
const MOST_FILES: usize = 50_000;

fn read(path: &Path) -> Result<Vec<u8>, ReferenceError> {
    std::fs::read(path).map_err(|source| ReferenceError::Io { path: path.to_owned(), source })
}

/// Reads the references of an object file, a source tree or a list.
///
/// # Errors
/// It cannot be read.
pub fn read_references(path: &Path) -> Result<References, ReferenceError> {
    let name = path.display().to_string();
    if path.is_dir() {
        let symbols = of_tree(path)?;
        return Ok(References { name, source: ReferenceSource::Tree, symbols });
    }
    let bytes = read(path)?;
    if bytes.starts_with(b"\x7fELF") {
        let symbols = of_object(&bytes).map_err(|e| ReferenceError::Object(path.to_owned(), e))?;
        return Ok(References { name, source: ReferenceSource::Object, symbols });
    }
    let symbols = of_list(&String::from_utf8_lossy(&bytes));
    Ok(References { name, source: ReferenceSource::List, symbols })
}

/// The undefined symbols of an object file.
///
/// # Errors
/// It is damaged.
pub fn of_object(bytes: &[u8]) -> Result<BTreeMap<String, String>, object::Error> {
    let file = object::File::parse(bytes)?;
    let undefined = file.symbols().filter(ObjectSymbol::is_undefined);
    let names = undefined.filter_map(|symbol| symbol.name().ok().map(str::to_owned));
    Ok(names.filter(|name| !name.is_empty()).map(|name| (name, String::new())).collect())
}

/// The names of a list: one a line, or those in `EXPORT_SYMBOL_GPL(NAME)`.
#[must_use]
pub fn of_list(text: &str) -> BTreeMap<String, String> {
    let name = |line: &str| {
        let line = line.trim();
        let inner = match line.strip_prefix("EXPORT_SYMBOL") {
            Some(rest) => rest.split_once('(')?.1.split([')', ',']).next()?,
            None => line.split_whitespace().next()?,
        };
        let good = inner.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
        (good && !inner.is_empty()).then(|| (inner.to_owned(), String::new()))
    };
    text.lines().filter_map(name).collect()
}

/// The names that a C source defines with external linkage, and those that it may refer to.
#[must_use]
pub fn of_source(text: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let tokens = tokens(text);
    let mut names = BTreeSet::new();
    definitions(&tokens, false, |name| _ = names.insert(name));
    (names, uses(&tokens))
}

/// The references of the verifier in a source tree.
fn of_tree(root: &Path) -> Result<BTreeMap<String, String>, ReferenceError> {
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut own: BTreeSet<String> = BTreeSet::new();
    let mut verifier = BTreeSet::new();
    for name in SPLIT_FILES {
        let path = root.join(name);
        if !path.is_file() {
            continue;
        }
        let text = String::from_utf8_lossy(&read(&path)?).into_owned();
        let tokens = tokens(&text);
        used.extend(uses(&tokens).into_iter().map(str::to_owned));
        definitions(&tokens, true, |name| {
            own.insert(name.to_owned());
        });
        verifier.insert(path);
    }
    if verifier.is_empty() {
        return Err(ReferenceError::NoVerifier(root.to_owned()));
    }
    let mut found = BTreeMap::new();
    for path in sources(root)? {
        if verifier.contains(&path) {
            continue;
        }
        let text = String::from_utf8_lossy(&read(&path)?).into_owned();
        let short = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        definitions(&tokens(&text), false, |name| {
            if used.contains(name) && !own.contains(name) {
                found.entry(name.to_owned()).or_insert_with(|| short.clone());
            }
        });
    }
    Ok(found)
}

/// The C files of the directories that are looked at, sorted; links are not followed.
fn sources(root: &Path) -> Result<Vec<PathBuf>, ReferenceError> {
    let mut open: Vec<PathBuf> = SEARCHED.iter().map(|name| root.join(name)).collect();
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            let io = |source| ReferenceError::Io { path: path.clone(), source };
            for entry in std::fs::read_dir(&path).map_err(io)? {
                open.push(entry.map_err(io)?.path());
            }
        } else if meta.is_file()
            && meta.len() <= LARGEST
            && path.extension().is_some_and(|end| end == "c")
            && !is_apart(&path)
            && files.len() < MOST_FILES
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Tests of the kernel's own, and what unpacks it before it runs: they define names like those of everything
/// else, and nobody links to them.
fn is_apart(path: &Path) -> bool {
    let text = path.to_string_lossy();
    ["kunit", "test", "inflate", "decompress", "nommu"]
        .iter()
        .any(|word| text.rsplit('/').take(2).any(|part| part.contains(word)))
}

/// How two differ.
#[derive(Clone, Debug, Serialize)]
pub struct ReferenceDiff {
    /// In the first only.
    pub left: Vec<String>,
    /// In the second only.
    pub right: Vec<String>,
    /// In both.
    pub both: usize,
}

/// Compares.
#[must_use]
pub fn compare(left: &References, right: &References) -> ReferenceDiff {
    let only = |a: &References, b: &References| {
        a.symbols.keys().filter(|name| !b.symbols.contains_key(*name)).cloned().collect()
    };
    let both = left.symbols.keys().filter(|name| right.symbols.contains_key(*name)).count();
    ReferenceDiff { left: only(left, right), right: only(right, left), both }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names() {
        let list = of_list("EXPORT_SYMBOL_GPL(tnum_add);\nbtf_vmlinux 1\n\n// comment\n");
        assert_eq!(list.keys().collect::<Vec<_>>(), ["btf_vmlinux", "tnum_add"]);
    }
}
