// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `cargo xtask corpus status`: what the cache holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use veristable_corpus::raw::{Expected, Loader, RawSet};
use veristable_corpus::sets::{self, ObjectSet};
use veristable_corpus::{Annotation, Manifest, Origin, cache};

/// Arguments of `corpus status`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Read every object again: compare hashes and count annotations
    #[arg(long)]
    full: bool,
}

/// Prints one paragraph a set.
pub(crate) fn run(args: &Args) -> Result<()> {
    println!("cache: {}", cache::root()?.display());
    for set in std::iter::once(sets::REALWORLD).chain(sets::SELFTESTS) {
        if present(set)? {
            objects(set, args.full).with_context(|| set.to_owned())?;
        }
    }
    for set in sets::RAW {
        if present(set)? {
            raw(set).with_context(|| set.to_owned())?;
        }
    }
    Ok(())
}

fn present(set: &str) -> Result<bool> {
    let there = cache::set_dir(set)?.join("manifest.json").exists()
        || cache::set_dir(set)?.join(veristable_corpus::raw::FILE).exists();
    if !there {
        let command = set.split_once('-').map_or_else(
            || format!("corpus {set}"),
            |(kind, line)| format!("corpus {kind} {line}"),
        );
        println!("{set}: not there (cargo xtask {command})");
    }
    Ok(there)
}

fn objects(name: &str, full: bool) -> Result<()> {
    let set = ObjectSet::open(name)?;
    let bytes: u64 = set.manifest.objects.iter().map(|object| object.size).sum();
    println!("{name}: {} objects, {} KiB", set.manifest.objects.len(), bytes / 1024);
    println!("  from {}", packages(&set.manifest).join(", "));
    if let Some(compiler) = &set.manifest.compiler {
        println!("  compiled by {compiler}");
    }
    for failure in &set.manifest.failures {
        println!("  failed: {}: {}", failure.path, failure.reason);
    }
    if full {
        verify(&set)?;
        annotations(&set)?;
    }
    Ok(())
}

/// `package version (objects)`; an object that several packages have counts for each.
fn packages(manifest: &Manifest) -> Vec<String> {
    let mut counts: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for object in &manifest.objects {
        for Origin { package, version, .. } in &object.origins {
            counts.entry((package, version)).or_default().insert(&object.file);
        }
    }
    counts
        .iter()
        .map(|((package, version), files)| format!("{package} {version} ({})", files.len()))
        .collect()
}

fn verify(set: &ObjectSet) -> Result<()> {
    for (path, object) in set.objects() {
        match std::fs::read(&path) {
            Ok(bytes) if cache::sha256(&bytes) == object.sha256 => {}
            Ok(_) => println!("  damaged: {}", object.file),
            Err(error) => println!("  missing: {}: {error}", object.file),
        }
    }
    Ok(())
}

fn annotations(set: &ObjectSet) -> Result<()> {
    let mut all: Vec<Annotation> = Vec::new();
    let mut files = 0;
    for object in &set.manifest.objects {
        match set.annotations(object) {
            Ok(found) => {
                files += usize::from(!found.is_empty());
                all.extend(found);
            }
            Err(error) => println!("  unreadable: {error:#}"),
        }
    }
    if all.is_empty() {
        return Ok(());
    }
    let count = |test: &dyn Fn(&Annotation) -> bool| all.iter().filter(|one| test(one)).count();
    let privileged = |failure: bool| {
        count(&|one| {
            !one.auxiliary && one.privileged.as_ref().is_some_and(|e| e.failure == failure)
        })
    };
    let either = |test: &dyn Fn(&veristable_corpus::Expectation) -> bool| {
        count(&|one| one.privileged.iter().chain(&one.unprivileged).any(test))
    };
    println!(
        "  {} annotated functions in {files} files, {} auxiliary",
        all.len(),
        count(&|one| one.auxiliary)
    );
    println!(
        "  privileged: {} success, {} failure; unprivileged as well: {}",
        privileged(false),
        privileged(true),
        count(&|one| one.unprivileged.is_some())
    );
    println!(
        "  with messages {}, log level 2 {}, return value {}, rewritten code {}, machine code {}",
        either(&|e| !e.messages.is_empty()),
        count(&|one| one.log_level & 2 != 0),
        either(&|e| e.retval.is_some()),
        either(&|e| !e.xlated.is_empty()),
        either(&|e| !e.jited.is_empty()),
    );
    for one in all.iter().filter(|one| !one.unknown.is_empty()) {
        println!("  not understood: {}: {}", one.program, one.unknown.join(", "));
    }
    Ok(())
}

fn raw(name: &str) -> Result<()> {
    let dir = cache::set_dir(name)?;
    let set = RawSet::read(&dir)?;
    println!("{name}: {} tests in {} files, {}", set.tests.len(), set.file_count(), source(&dir));
    let count = |expected: &[Expected]| {
        set.tests.iter().filter(|test| expected.contains(&test.result)).count()
    };
    println!(
        "  {} accept, {} reject; {} also unprivileged; {} call kernel functions",
        count(&[Expected::Accept, Expected::VerboseAccept]),
        count(&[Expected::Reject]),
        set.tests.iter().filter(|test| test.runs_unprivileged()).count(),
        set.tests.iter().filter(|test| !test.kfuncs.is_empty()).count(),
    );
    let loader = Loader { privileged: true, reg_invariants: true, btf: None };
    for test in &set.tests {
        if let Err(error) = set.request(test, loader) {
            println!("  no load request: {error:#}");
        }
    }
    Ok(())
}

fn source(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("source.txt"))
        .map_or_else(|_| "source unknown".to_owned(), |text| format!("from {}", text.trim()))
}
