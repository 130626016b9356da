// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Names the sources that verdicts come from, so that verdicts kept by another build are never taken for
//! this one's.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

fn main() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = vec![crates.join("../Cargo.lock")];
    let folders = fs::read_dir(&crates).into_iter().flatten().flatten();
    for folder in folders.flat_map(|e| [e.path().join("src"), e.path().join("data")]) {
        if folder.is_dir() {
            println!("cargo:rerun-if-changed={}", folder.display());
            // What cannot be read is named by its absence; the compiler will complain of it.
            let _ = collect(&folder, &mut files);
        }
    }
    files.sort();
    let mut hash = DefaultHasher::new();
    for file in &files {
        file.strip_prefix(&crates).unwrap_or(file).hash(&mut hash);
        fs::read(file).unwrap_or_default().hash(&mut hash);
    }
    println!("cargo:rustc-env=VERISTABLE_SOURCES={:016x}", hash.finish());
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
