// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Whether a commit could be shipped in a verifier outside the kernel's tree.

use crate::boundary::{Boundary, Count, is_fix};
use crate::model::{Commit, CommitIndex, History};
use crate::patch::{FilePatch, PatchId, lines_id, patch_id};
use crate::series::{Series, SeriesMap};
use crate::symbols;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The answer for one commit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It changes nothing outside and came alone.
    Standalone,
    /// It and its whole series change nothing outside.
    WholeSet,
    /// It changes nothing outside, and no commit of its series before it does.
    OrderSafe,
    /// Something outside changed before it in its series, or in it, but nothing that it uses by name.
    SymbolSafe,
    /// It changes nothing outside, but comes after commits of its series that do.
    NeedsAnalysis,
    /// It changes something outside.
    Outside,
}

impl Verdict {
    /// All, in the order in which tables have them.
    pub const ALL: [Self; 6] = [
        Self::Standalone,
        Self::WholeSet,
        Self::OrderSafe,
        Self::SymbolSafe,
        Self::NeedsAnalysis,
        Self::Outside,
    ];

    /// Its word in text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::WholeSet => "whole-set",
            Self::OrderSafe => "order-safe",
            Self::SymbolSafe => "symbol-safe",
            Self::NeedsAnalysis => "needs-analysis",
            Self::Outside => "outside",
        }
    }
}

/// A verdict and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// One sentence.
    pub reason: String,
    /// Symbols that were changed outside and are used inside.
    pub symbols: BTreeSet<String>,
}

/// What is kept of a commit's patch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PatchFacts {
    /// By which the same patch is found elsewhere.
    pub id: Option<PatchId>,
    /// The same by the lines that change alone.
    pub lines: Option<PatchId>,
    /// Symbols changed outside; `None` if that cannot be said.
    pub changed: Option<Vec<Arc<str>>>,
    /// Symbols used by changed lines inside.
    pub used: Vec<Arc<str>>,
}

/// Keeps one copy of each name.
#[derive(Debug, Default)]
pub struct Names(HashSet<Arc<str>>);

impl Names {
    fn all(&mut self, names: BTreeSet<String>) -> Vec<Arc<str>> {
        names
            .into_iter()
            .map(|name| match self.0.get(name.as_str()) {
                Some(known) => Arc::clone(known),
                None => {
                    let new: Arc<str> = name.into();
                    self.0.insert(Arc::clone(&new));
                    new
                }
            })
            .collect()
    }
}

impl PatchFacts {
    /// Reads a patch.
    #[must_use]
    pub fn of(files: &[FilePatch], boundary: &Boundary, names: &mut Names) -> Self {
        let mut changed = BTreeSet::new();
        let known = files
            .iter()
            .filter(|file| counts_outside(boundary, file))
            .all(|file| !file.binary && symbols::changed(file, &mut changed));
        let mut used = BTreeSet::new();
        for file in files.iter().filter(|file| file.paths().any(|path| boundary.contains(path))) {
            symbols::used(file, &mut used);
        }
        let (id, lines) = identity(files, boundary);
        Self { id, lines, changed: known.then(|| names.all(changed)), used: names.all(used) }
    }
}

/// By which a patch is found elsewhere: by its part inside, where it has one, since tests and documents often
/// stay behind; else by its tests; else by all of it.
fn identity(files: &[FilePatch], boundary: &Boundary) -> (Option<PatchId>, Option<PatchId>) {
    type Which<'a> = &'a dyn Fn(&crate::ids::FilePath) -> bool;
    let parts: [Which<'_>; 3] =
        [&|path| boundary.contains(path), &|path| boundary.is_test(path), &|_| true];
    for which in parts {
        let part = || files.iter().filter(|file| file.paths().any(which));
        if part().next().is_some() {
            return (patch_id(part()), lines_id(part()));
        }
    }
    (None, None)
}

/// Patches of commits, where a repository gives them.
pub type Patches = HashMap<CommitIndex, PatchFacts>;

/// Judges one commit.
#[must_use]
pub fn judge(
    history: &History,
    boundary: &Boundary,
    series: &SeriesMap,
    patches: &Patches,
    index: CommitIndex,
) -> Judged {
    let plain = |verdict, reason: String| Judged { verdict, reason, symbols: BTreeSet::new() };
    let Some(commit) = history.commit(index) else {
        return plain(Verdict::NeedsAnalysis, "the commit is not known".to_owned());
    };
    let series = series.of(index);
    if !boundary.holds(commit) {
        let before = series.map_or_else(Vec::new, |s| outside_before(history, boundary, s, index));
        let reason = format!("changes {}", list(boundary.outside(commit)));
        let all: Vec<CommitIndex> = before.into_iter().chain([index]).collect();
        return by_symbols(patches, index, &all, Verdict::Outside, reason);
    }
    let Some(series) = series else {
        return plain(Verdict::Standalone, "came alone".to_owned());
    };
    let outside: Vec<&Commit> = series
        .commits
        .iter()
        .filter_map(|index| history.commit(*index))
        .filter(|commit| !boundary.holds(commit))
        .collect();
    if outside.is_empty() {
        let reason = format!("all {} commits of its series are inside", series.commits.len());
        return plain(Verdict::WholeSet, reason);
    }
    let before = outside_before(history, boundary, series, index);
    let Some(last) = before.last().and_then(|index| history.commit(*index)) else {
        let reason = "no commit before it in its series changes anything outside".to_owned();
        return plain(Verdict::OrderSafe, reason);
    };
    let reason = format!(
        "comes after {} of its series that {} something outside, last {} ({})",
        commits(before.len()),
        if before.len() == 1 { "changes" } else { "change" },
        last.id.short(),
        list(boundary.outside(last)),
    );
    by_symbols(patches, index, &before, Verdict::NeedsAnalysis, reason)
}

fn commits(count: usize) -> String {
    if count == 1 { "1 commit".to_owned() } else { format!("{count} commits") }
}

/// Up to three paths.
fn list<'a>(paths: impl Iterator<Item = &'a crate::ids::FilePath>) -> String {
    let mut all: Vec<&str> = paths.map(crate::ids::FilePath::as_str).collect();
    let more = all.len().saturating_sub(3);
    all.truncate(3);
    let mut text = all.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// The commits before one in its series that change something outside.
fn outside_before(
    history: &History,
    boundary: &Boundary,
    series: &Series,
    index: CommitIndex,
) -> Vec<CommitIndex> {
    series
        .commits
        .iter()
        .take_while(|other| **other != index)
        .filter(|other| history.commit(**other).is_some_and(|commit| !boundary.holds(commit)))
        .copied()
        .collect()
}

/// Compares what changed outside in `others` with what the commit's lines inside use. Without patches the
/// answer stays what it is.
fn by_symbols(
    patches: &Patches,
    index: CommitIndex,
    others: &[CommitIndex],
    otherwise: Verdict,
    reason: String,
) -> Judged {
    let plain = |reason| Judged { verdict: otherwise, reason, symbols: BTreeSet::new() };
    let Some(own) = patches.get(&index) else { return plain(reason) };
    let mut changed: BTreeSet<&str> = BTreeSet::new();
    for other in others {
        // What cannot be read may be anything.
        let Some(names) = patches.get(other).and_then(|facts| facts.changed.as_ref()) else {
            return plain(reason);
        };
        changed.extend(names.iter().map(|name| &**name));
    }
    let used = own.used.iter().filter(|name| changed.contains(&***name));
    let both: BTreeSet<String> = used.map(ToString::to_string).collect();
    if !both.is_empty() {
        let names: Vec<&str> = both.iter().take(4).map(String::as_str).collect();
        let reason = format!("{reason}; uses {} of it", names.join(", "));
        return Judged { verdict: otherwise, reason, symbols: both };
    }
    let reason = format!(
        "{reason}; by their names it uses none of the {} symbols changed there",
        changed.len()
    );
    Judged { verdict: Verdict::SymbolSafe, reason, symbols: both }
}

fn counts_outside(boundary: &Boundary, file: &FilePatch) -> bool {
    file.paths().any(|path| !boundary.contains(path) && !boundary.is_aside(path))
}

/// How many series could be shipped, and how the commits of `which` came.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SeriesFigures {
    /// Series.
    pub series: usize,
    /// Series that change nothing outside.
    pub whole: usize,
    /// Commits by verdict.
    pub verdicts: BTreeMap<Verdict, Count>,
}

/// Counts verdicts over the commits that change something inside and that `which` takes.
#[must_use]
pub fn series_figures(
    history: &History,
    boundary: &Boundary,
    series: &SeriesMap,
    which: impl Fn(&Commit) -> bool,
) -> SeriesFigures {
    let mut figures = SeriesFigures { series: series.series.len(), ..SeriesFigures::default() };
    let holds = |index: &CommitIndex| history.commit(*index).is_some_and(|c| boundary.holds(c));
    figures.whole = series.series.iter().filter(|s| s.commits.iter().all(holds)).count();
    let none = Patches::new();
    for (index, commit) in history.touching().filter(|(_, commit)| which(commit)) {
        let judged = judge(history, boundary, series, &none, index);
        figures.verdicts.entry(judged.verdict).or_default().add(is_fix(commit));
    }
    figures
}
