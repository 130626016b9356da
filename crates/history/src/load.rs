// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Descriptions of trees and vulnerabilities as they are named on a command line.

use crate::boundary::Boundary;
use crate::cve::{self, Cve, CveError};
use crate::git::{GitError, Progress, Repository};
use crate::tree::{Tree, TreeError, listing};
use crate::version::Branch;
use std::io;
use std::path::{Path, PathBuf};

/// Why something named cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A tree's description.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The repository.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file or directory.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A description of vulnerabilities.
    #[error("{path}: {source}")]
    Cve {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CveError,
    },
    /// Pairs of the CNA speak of all branches.
    #[error("{0}: which branch? Write e.g. 6.1={0}")]
    NoBranch(String),
    /// Neither a file nor, without a repository, anything else.
    #[error("{0}: no such file or directory, and no repository in which it could be a branch")]
    NoTree(String),
    /// Nothing of vulnerabilities.
    #[error("{0}: no .dyad files in it")]
    NoDyads(PathBuf),
}

/// Reads a tree: `[NAME=]WHAT`, where `WHAT` is a directory with patches, a Debian changelog, a description
/// of vulnerabilities, or else a branch, tag or commit of the repository.
///
/// # Errors
/// It cannot be read.
pub fn tree(
    description: &str,
    boundary: &Boundary,
    repository: Option<&Repository>,
    end: &str,
    progress: &mut Progress<'_>,
) -> Result<Tree, LoadError> {
    let (name, what) = match description.split_once('=') {
        Some((name, what)) if !Path::new(description).exists() => (Some(name), what),
        _ => (None, description),
    };
    let path = Path::new(what);
    let file_name = || {
        path.file_name()
            .and_then(|name| name.to_str())
            .map_or_else(|| what.to_owned(), str::to_owned)
    };
    let shown = name.map_or_else(file_name, str::to_owned);
    if path.is_dir() {
        let dyads = listing(path, |name| name.ends_with(".dyad"))?;
        if dyads.is_empty() {
            return Ok(Tree::of_patches(&shown, path, boundary)?);
        }
    } else if path.is_file() {
        let is_cna = path.extension().is_some_and(|end| end == "dyad" || end == "json");
        if !is_cna {
            return Ok(Tree::of_changelog(name, path)?);
        }
    } else {
        let Some(repository) = repository else { return Err(LoadError::NoTree(what.to_owned())) };
        let tree = repository.tree(what, end, progress)?;
        let name = name.unwrap_or(what);
        return Ok(Tree::of_commits(name, tree.tip, &tree.commits));
    }
    let branch = name.and_then(Branch::in_name);
    let branch = branch.ok_or_else(|| LoadError::NoBranch(what.to_owned()))?;
    Ok(Tree::of_cves(&shown, branch, &cves(path)?))
}

/// Deepest directory below the one that is named, and most files that are read.
const DEEPEST: usize = 4;
const MOST_FILES: usize = 200_000;

/// Reads vulnerabilities: a `.dyad` file, a directory of them (files and titles come from `.json` files
/// beside them), or one JSON file with many.
///
/// # Errors
/// They cannot be read.
pub fn cves(path: &Path) -> Result<Vec<Cve>, LoadError> {
    if path.is_file() {
        if path.extension().is_some_and(|end| end == "dyad") {
            return Ok(vec![dyad(path)?]);
        }
        return cve::read_json(&read(path)?)
            .map_err(|source| LoadError::Cve { path: path.to_owned(), source });
    }
    let mut files = Vec::new();
    let mut open = vec![(path.to_owned(), 0)];
    while let Some((directory, depth)) = open.pop() {
        for name in listing(&directory, |_| true)? {
            let path = directory.join(&name);
            if name.ends_with(".dyad") {
                files.push(path);
            } else if depth < DEEPEST
                && !name.starts_with('.')
                && path.is_dir()
                && !path.is_symlink()
            {
                open.push((path, depth + 1));
            }
        }
    }
    if files.is_empty() {
        return Err(LoadError::NoDyads(path.to_owned()));
    }
    files.sort();
    files.truncate(MOST_FILES);
    files.iter().map(|path| dyad(path)).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|source| LoadError::Io { path: path.to_owned(), source })
}

fn dyad(path: &Path) -> Result<Cve, LoadError> {
    let number = path.file_stem().and_then(|name| name.to_str()).unwrap_or("");
    let bad = |path: &Path, source| LoadError::Cve { path: path.to_owned(), source };
    let bytes = read(path)?;
    let mut cve = cve::read_dyad(number, &String::from_utf8_lossy(&bytes))
        .map_err(|source| bad(path, source))?;
    let record = path.with_extension("json");
    if record.is_file() {
        cve::add_published(&mut cve, &read(&record)?).map_err(|source| bad(&record, source))?;
    }
    Ok(cve)
}
