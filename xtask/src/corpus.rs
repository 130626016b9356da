// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask corpus …`: fills the cache with test sets; `docs/corpora.md` describes them.

mod apt;
mod bpftool;
mod dump;
mod image;
mod info;
mod raw;
mod realworld;
mod selftests;
mod source;
mod status;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Subcommand;

/// Arguments of `cargo xtask corpus`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Carve the BPF objects out of distribution packages
    Realworld(realworld::Args),
    /// Compile the kernel's selftests (needs clang-22 and python3)
    Selftests(selftests::Args),
    /// Dump the raw-instruction tests of the kernel's selftests (needs gcc)
    Raw(dump::Args),
    /// Dump the selftests of function and line information (needs gcc)
    Info(dump::Args),
    /// Say what the cache holds
    Status(status::Args),
}

/// Runs one of the subcommands.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Realworld(args) => realworld::run(args),
        What::Selftests(args) => selftests::run(args),
        What::Raw(args) => raw::run(args),
        What::Status(args) => status::run(args),
        What::Info(args) => info::run(args),
    }
}

/// Regular files below a directory, in order; links are not followed.
fn walk(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Removes a directory and what is in it, if it is there.
fn remove_dir(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    Ok(())
}
