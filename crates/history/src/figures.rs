// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The figures of Daniel Xu's count of 2025 (github.com/danobi/verifier-analysis), by the same definitions,
//! and beside those that have a quirk the corrected ones.
//!
//! By his definitions only tests do not count, a fix is a message that contains `Fixes: `, and patch sets
//! are merges.

use crate::boundary::{Boundary, VERIFIER_HEADER};
use crate::model::{Commit, History};
use serde::Serialize;
use std::collections::HashSet;

/// Figures of a history.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Figures {
    /// Commits that change something inside.
    pub commits: usize,
    /// Those that change exactly one file, tests left out, and that inside.
    pub inside: usize,
    /// Fixes among them.
    pub inside_fixes: usize,
    /// Commits that change one file inside and `bpf_verifier.h`, tests left out, and nothing else.
    pub with_header: usize,
    /// Fixes that change several files. Quirk: tests are counted as files here.
    pub multi_file_fixes: usize,
    /// The same with tests left out.
    pub multi_file_fixes_corrected: usize,
    /// All fixes.
    pub fixes: usize,
    /// Merged patch sets.
    pub sets: usize,
    /// Their commits, whatever they change.
    pub set_commits: usize,
    /// Commits of sets that change something inside.
    pub set_commits_touching: usize,
    /// How many of `inside` came in a set.
    pub inside_in_sets: usize,
    /// Sets said to contain a commit of `inside`. Quirk: only those are counted that have another too.
    pub mixed_sets: usize,
    /// Sets that contain a commit of `inside`.
    pub sets_with_inside: usize,
    /// Sets that contain nothing else.
    pub pure_sets: usize,
}

/// By these definitions a fix.
fn is_fix(commit: &Commit) -> bool {
    commit.message.contains("Fixes: ")
}

/// Whether a commit changes one file, tests left out, and that is inside.
#[must_use]
pub fn is_inside(boundary: &Boundary, commit: &Commit) -> bool {
    let mut files = commit.files.iter().filter(|path| !boundary.is_test(path));
    files.next().is_some_and(|path| boundary.contains(path)) && files.next().is_none()
}

fn is_with_header(boundary: &Boundary, commit: &Commit) -> bool {
    let (headers, others): (Vec<_>, Vec<_>) = commit
        .files
        .iter()
        .filter(|path| !boundary.is_test(path))
        .partition(|path| path.as_str() == VERIFIER_HEADER);
    headers.len() == 1 && others.len() == 1 && others.iter().all(|path| boundary.contains(path))
}

/// Counts.
#[must_use]
pub fn figures(history: &History, boundary: &Boundary) -> Figures {
    let mut figures = Figures::default();
    let mut inside = HashSet::new();
    for (index, commit) in history.touching() {
        let fix = usize::from(is_fix(commit));
        let without_tests = commit.files.iter().filter(|path| !boundary.is_test(path)).count();
        figures.commits += 1;
        figures.fixes += fix;
        figures.with_header += usize::from(is_with_header(boundary, commit));
        figures.multi_file_fixes += if commit.files.len() > 1 { fix } else { 0 };
        figures.multi_file_fixes_corrected += if without_tests > 1 { fix } else { 0 };
        if is_inside(boundary, commit) {
            figures.inside += 1;
            figures.inside_fixes += fix;
            inside.insert(index);
        }
    }
    let set_of = history.set_of();
    figures.inside_in_sets = inside.iter().filter(|index| set_of.contains_key(index)).count();
    for set in &history.sets {
        let ours = set.commits.iter().filter(|index| inside.contains(index)).count();
        figures.sets += 1;
        figures.set_commits += set.commits.len();
        figures.set_commits_touching +=
            set.commits.iter().filter(|index| index.get() < history.inside).count();
        figures.sets_with_inside += usize::from(ours > 0);
        figures.pure_sets += usize::from(ours > 0 && ours == set.commits.len());
        figures.mixed_sets += usize::from(ours > 0 && ours < set.commits.len());
    }
    figures
}
