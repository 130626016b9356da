// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which files could be replaced together, and what that would let through.
//!
//! A change can be shipped in a verifier outside the kernel's tree if every file that it changes is part of
//! that verifier. The *boundary* is the set of those files. Files that have no part in a kernel (tests,
//! documents, tools, samples) do not count.

use crate::glob::{BadGlob, Glob};
use crate::ids::FilePath;
use crate::message::Message;
use crate::model::{Commit, History};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The file that all began with.
pub const VERIFIER: &str = "kernel/bpf/verifier.c";
/// Its header.
pub const VERIFIER_HEADER: &str = "include/linux/bpf_verifier.h";

/// The files that `kernel/bpf/verifier.c` became in 2026, and those that were never part of it but of the
/// verifier (`kernel/bpf/Makefile` of 7.3).
pub const SPLIT_FILES: [&str; 12] = [
    VERIFIER,
    "kernel/bpf/states.c",
    "kernel/bpf/backtrack.c",
    "kernel/bpf/fixups.c",
    "kernel/bpf/cfg.c",
    "kernel/bpf/liveness.c",
    "kernel/bpf/const_fold.c",
    "kernel/bpf/check_btf.c",
    "kernel/bpf/cnum.c",
    "kernel/bpf/tnum.c",
    "kernel/bpf/log.c",
    "kernel/bpf/diagnostics.c",
];

/// Parts of the split verifier that older trees have inside of `kernel/bpf/verifier.c`.
pub const ONCE_IN_VERIFIER: &[&str] = SPLIT_FILES.split_at(8).0.split_at(1).1;

/// Paths with tests of BPF; Xu's scripts leave out what contains this word.
const TESTS: [&str; 1] = ["**selftests**"];
/// Paths that have no part in a kernel.
const ASIDE: [&str; 4] = ["**selftests**", "tools/", "samples/", "Documentation/"];

/// Boundaries with names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// `kernel/bpf/verifier.c`, as Daniel Xu counted in 2025.
    Xu,
    /// The files that it was split into.
    #[serde(rename = "verifier-7")]
    Verifier7,
    /// Everything in `kernel/bpf`.
    KernelBpf,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Xu, Self::Verifier7, Self::KernelBpf];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Xu => "xu",
            Self::Verifier7 => "verifier-7",
            Self::KernelBpf => "kernel-bpf",
        }
    }

    fn patterns(self) -> &'static [&'static str] {
        match self {
            Self::Xu => &[VERIFIER],
            Self::Verifier7 => &SPLIT_FILES,
            Self::KernelBpf => &["kernel/bpf/**"],
        }
    }
}

/// A set of files, and files that do not count.
#[derive(Clone, Debug, Serialize)]
pub struct Boundary {
    /// Its name, or the patterns joined by spaces.
    pub name: String,
    /// Files inside.
    pub inside: Vec<Glob>,
    /// Files that do not count.
    pub aside: Vec<Glob>,
    /// Files with tests: the narrower list of what does not count that Xu used.
    pub tests: Vec<Glob>,
}

impl Boundary {
    /// A boundary of patterns.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, BadGlob> {
        let read = |texts: &[&str]| -> Result<Vec<Glob>, BadGlob> {
            texts.iter().map(|text| text.parse()).collect()
        };
        let inside: Vec<Glob> =
            patterns.into_iter().map(str::parse).collect::<Result<_, BadGlob>>()?;
        let names: Vec<String> = inside.iter().map(ToString::to_string).collect();
        Ok(Self { name: names.join(" "), inside, aside: read(&ASIDE)?, tests: read(&TESTS)? })
    }

    /// A boundary with a name.
    ///
    /// # Errors
    /// None: the patterns are our own. The type is that of [`Boundary::new`].
    pub fn preset(preset: Preset) -> Result<Self, BadGlob> {
        let mut boundary = Self::new(preset.patterns().iter().copied())?;
        preset.name().clone_into(&mut boundary.name);
        Ok(boundary)
    }

    /// Adds patterns of files that do not count.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn ignore<'a>(
        mut self,
        patterns: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, BadGlob> {
        for pattern in patterns {
            self.aside.push(pattern.parse()?);
        }
        Ok(self)
    }

    /// The files inside as patterns of git's.
    pub(crate) fn pathspecs(&self) -> Vec<String> {
        self.inside.iter().map(Glob::pathspec).collect()
    }

    /// Whether a file is inside.
    #[must_use]
    pub fn contains(&self, path: &FilePath) -> bool {
        any(&self.inside, path)
    }

    /// Whether a file does not count.
    #[must_use]
    pub fn is_aside(&self, path: &FilePath) -> bool {
        any(&self.aside, path) && !self.contains(path)
    }

    /// Whether a file holds tests.
    #[must_use]
    pub fn is_test(&self, path: &FilePath) -> bool {
        any(&self.tests, path)
    }

    /// The files that count.
    pub fn counted<'a>(&'a self, commit: &'a Commit) -> impl Iterator<Item = &'a FilePath> {
        commit.files.iter().filter(|path| !self.is_aside(path))
    }

    /// The files outside that count.
    pub fn outside<'a>(&'a self, commit: &'a Commit) -> impl Iterator<Item = &'a FilePath> {
        self.counted(commit).filter(|path| !self.contains(path))
    }

    /// Whether nothing outside is changed. A commit that only changes what does not count is inside of
    /// every boundary.
    #[must_use]
    pub fn holds(&self, commit: &Commit) -> bool {
        self.outside(commit).next().is_none()
    }

    /// Whether something inside is changed.
    #[must_use]
    pub fn touches(&self, commit: &Commit) -> bool {
        commit.files.iter().any(|path| self.contains(path))
    }
}

fn any(globs: &[Glob], path: &FilePath) -> bool {
    globs.iter().any(|glob| glob.matches(path.as_str()))
}

/// How many commits, and how many of them are fixes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Count {
    /// Commits.
    pub commits: usize,
    /// Those with a `Fixes:` line.
    pub fixes: usize,
}

impl Count {
    /// Counts one more.
    pub fn add(&mut self, fix: bool) {
        self.commits += 1;
        self.fixes += usize::from(fix);
    }
}

/// Whether a commit says that it mends another one.
#[must_use]
pub fn is_fix(commit: &Commit) -> bool {
    Message::parse(&commit.message).fixes.iter().any(|tag| tag.target.is_some())
}

/// What one more file would let through.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GrowthStep {
    /// The file that is added; `None` for the boundary itself.
    pub added: Option<FilePath>,
    /// Commits inside then.
    pub inside: Count,
}

/// How many commits are inside of a boundary as it is, and as it takes in one file after the other. Each
/// time that file is taken which lets through most; where none does alone, the one that most commits wait
/// for.
#[must_use]
pub fn growth(history: &History, boundary: &Boundary, steps: usize) -> Vec<GrowthStep> {
    let mut waiting: Vec<(bool, BTreeSet<&FilePath>)> = history
        .touching()
        .map(|(_, commit)| (is_fix(commit), boundary.outside(commit).collect()))
        .collect();
    let mut inside = Count::default();
    let mut table = Vec::new();
    let mut added = None;
    for _ in 0..=steps {
        waiting.retain(|(fix, outside)| {
            if outside.is_empty() {
                inside.add(*fix);
            }
            !outside.is_empty()
        });
        table.push(GrowthStep { added, inside });
        // (let through at once, waited for): by file.
        let mut gain: HashMap<&FilePath, (usize, usize)> = HashMap::new();
        for (_, outside) in &waiting {
            for path in outside {
                let entry = gain.entry(path).or_default();
                entry.0 += usize::from(outside.len() == 1);
                entry.1 += 1;
            }
        }
        let best = gain.into_iter().max_by(|a, b| (a.1, b.0).cmp(&(b.1, a.0)));
        let Some((path, _)) = best else { break };
        added = Some(path.clone());
        for (_, outside) in &mut waiting {
            outside.remove(path);
        }
    }
    table
}

/// How many commits are inside of a boundary.
#[must_use]
pub fn inside(history: &History, boundary: &Boundary) -> Count {
    let mut count = Count::default();
    for (_, commit) in history.touching().filter(|(_, commit)| boundary.holds(commit)) {
        count.add(is_fix(commit));
    }
    count
}

/// A file and in how many commits it is changed together with something inside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Companion {
    /// The file.
    pub path: FilePath,
    /// Whether it is inside.
    pub inside: bool,
    /// Commits.
    pub changed: Count,
}

/// The files that are changed in the same commits, most frequent first. Tests do not count.
#[must_use]
pub fn co_occurrence(history: &History, boundary: &Boundary) -> Vec<Companion> {
    let mut counts: BTreeMap<&FilePath, Count> = BTreeMap::new();
    for (_, commit) in history.touching() {
        let fix = is_fix(commit);
        for path in commit.files.iter().filter(|path| !boundary.is_test(path)) {
            counts.entry(path).or_default().add(fix);
        }
    }
    let mut list: Vec<Companion> = counts
        .into_iter()
        .map(|(path, changed)| Companion {
            path: path.clone(),
            inside: boundary.contains(path),
            changed,
        })
        .collect();
    list.sort_by(|a, b| b.changed.commits.cmp(&a.changed.commits).then(a.path.cmp(&b.path)));
    list
}

/// The exact set of files of commits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FileSet {
    /// The files that count, sorted.
    pub files: Vec<FilePath>,
    /// Commits that change just these.
    pub changed: Count,
}

/// The sets of files that are changed together, most frequent first. Tests do not count.
#[must_use]
pub fn file_sets(history: &History, boundary: &Boundary) -> Vec<FileSet> {
    let mut counts: BTreeMap<Vec<&FilePath>, Count> = BTreeMap::new();
    for (_, commit) in history.touching() {
        let files = commit.files.iter().filter(|path| !boundary.is_test(path)).collect();
        counts.entry(files).or_default().add(is_fix(commit));
    }
    let mut list: Vec<FileSet> = counts
        .into_iter()
        .map(|(files, changed)| FileSet { files: files.into_iter().cloned().collect(), changed })
        .collect();
    list.sort_by(|a, b| b.changed.commits.cmp(&a.changed.commits).then(a.files.cmp(&b.files)));
    list
}

/// How many commits change so many files.
#[must_use]
pub fn files_per_commit(history: &History, boundary: &Boundary) -> BTreeMap<usize, Count> {
    let mut counts: BTreeMap<usize, Count> = BTreeMap::new();
    for (_, commit) in history.touching() {
        let files = commit.files.iter().filter(|path| !boundary.is_test(path)).count();
        counts.entry(files).or_default().add(is_fix(commit));
    }
    counts
}
