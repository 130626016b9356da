// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Would a patch apply to a tree, is it in there already, and what would it need before?
//!
//! All of this happens in memory on the tree's files: no work tree is touched.

use crate::ids::{FilePath, ObjectId};
use crate::patch::{FilePatch, Hunk, LineKind, once_named};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// How a patch applies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Applies {
    /// At the very lines that it names.
    Exactly,
    /// At other lines.
    WithOffset,
    /// Not all of it.
    No,
}

impl Applies {
    /// Its words in text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Exactly => "applies",
            Self::WithOffset => "applies at other lines",
            Self::No => "does not apply",
        }
    }
}

/// What a trial found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Trial {
    /// How it applies.
    pub applies: Applies,
    /// Hunks that do not, out of all.
    pub failed: usize,
    /// All hunks.
    pub hunks: usize,
    /// Those that do not: index of the file in the patch, index of the hunk in the file.
    #[serde(skip)]
    pub places: Vec<(usize, usize)>,
    /// Lines that the failed hunks expect and the tree lacks.
    #[serde(skip)]
    pub wanted: Vec<String>,
}

/// The lines of files by path.
#[derive(Clone)]
pub struct Files<'a> {
    lines: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Files<'a> {
    /// Takes contents; what is no UTF-8 has no lines.
    #[must_use]
    pub fn new(contents: &'a BTreeMap<String, Vec<u8>>) -> Self {
        let lines = contents
            .iter()
            .map(|(path, bytes)| {
                let text = std::str::from_utf8(bytes).unwrap_or("");
                (path.as_str(), text.lines().collect())
            })
            .collect();
        Self { lines }
    }

    /// The lines of a file, or of the one that older trees have for it.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&[&'a str]> {
        let found = self.lines.get(path).or_else(|| self.lines.get(once_named(path)));
        found.map(Vec::as_slice)
    }

    /// Applies the patches of files that `which` takes. `false`, and nothing is changed, if one of their
    /// hunks does not fit.
    pub fn patch(&mut self, patches: &'a [FilePatch], which: impl Fn(&str) -> bool) -> bool {
        let mut changed: HashMap<&'a str, Vec<&'a str>> = HashMap::new();
        for patch in patches {
            let Some(path) = patch.paths().next().map(FilePath::as_str) else { continue };
            let empty = patch.hunks.is_empty() && !patch.binary;
            if empty || !which(path) {
                continue;
            }
            let key = if self.lines.contains_key(path) { path } else { once_named(path) };
            let before = match changed.remove(key) {
                Some(lines) => Some(lines),
                None if patch.old.is_none() => Some(Vec::new()),
                None => self.lines.get(key).cloned(),
            };
            let after = before.filter(|_| !patch.binary).and_then(|lines| patched(lines, patch));
            let Some(after) = after else { return false };
            changed.insert(key, after);
        }
        self.lines.extend(changed);
        true
    }
}

/// The lines of a file after a patch; `None` if a hunk does not fit.
fn patched<'a>(mut lines: Vec<&'a str>, patch: &'a FilePatch) -> Option<Vec<&'a str>> {
    let mut offset = 0_i64;
    for hunk in &patch.hunks {
        offset = find(&lines, hunk, offset)?;
        let at = usize::try_from(i64::from(hunk.old_start) - 1 + offset).unwrap_or(0);
        let at = at.min(lines.len());
        let rest = lines.split_off(at);
        let mut old = rest.into_iter();
        let mut taken = 0;
        for (kind, text) in &hunk.lines {
            match kind {
                LineKind::Added => lines.push(text),
                LineKind::Context => lines.extend(old.next()),
                LineKind::Removed => taken += usize::from(old.next().is_some()),
            }
        }
        let added = hunk.of(LineKind::Added).count();
        lines.extend(old);
        offset += i64::try_from(added).ok()? - i64::try_from(taken).ok()?;
    }
    Some(lines)
}

/// Tries the patches of files that `which` takes.
#[must_use]
pub fn apply(patches: &[FilePatch], files: &Files<'_>, which: impl Fn(&str) -> bool) -> Trial {
    let mut trial = Trial {
        applies: Applies::Exactly,
        failed: 0,
        hunks: 0,
        places: Vec::new(),
        wanted: Vec::new(),
    };
    for (number, patch) in patches.iter().enumerate() {
        let Some(path) = patch.paths().next().filter(|path| which(path.as_str())) else { continue };
        let lines = if patch.old.is_none() { Some(&[][..]) } else { files.get(path.as_str()) };
        // How far the last hunk was off: the next one is off as much, most likely.
        let mut offset = 0_i64;
        for (place, hunk) in patch.hunks.iter().enumerate() {
            trial.hunks += 1;
            let at = lines.and_then(|lines| find(lines, hunk, offset));
            match at {
                Some(0) => {}
                Some(found) => {
                    offset = found;
                    trial.applies = trial.applies.max(Applies::WithOffset);
                }
                None => {
                    trial.applies = Applies::No;
                    trial.failed += 1;
                    trial.places.push((number, place));
                    let there: HashSet<&str> =
                        lines.unwrap_or(&[]).iter().map(|line| line.trim()).collect();
                    let expected = hunk.lines.iter().filter(|line| line.0 != LineKind::Added);
                    let wanted = expected
                        .map(|line| line.1.trim())
                        .filter(|line| significant(line) && !there.contains(line));
                    trial.wanted.extend(wanted.map(str::to_owned));
                }
            }
        }
        if patch.binary {
            trial.hunks += 1;
            trial.failed += 1;
            trial.applies = Applies::No;
        }
    }
    trial
}

/// More lines than this are not looked at around the place that a hunk names.
const FARTHEST: i64 = 100_000;

/// How far from the place that it names a hunk fits, nearest first.
fn find(lines: &[&str], hunk: &Hunk, guess: i64) -> Option<i64> {
    let expected: Vec<&str> = hunk
        .lines
        .iter()
        .filter(|line| line.0 != LineKind::Added)
        .map(|line| line.1.as_str())
        .collect();
    if expected.is_empty() {
        return Some(0);
    }
    let start = i64::from(hunk.old_start) - 1;
    let fits = |offset: i64| {
        let from = usize::try_from(start + offset).ok()?;
        let there = lines.get(from..from.checked_add(expected.len())?)?;
        let equal = there.iter().zip(&expected).all(|(a, b)| a.trim_end() == b.trim_end());
        equal.then_some(offset)
    };
    let longest = i64::try_from(lines.len()).unwrap_or(FARTHEST).min(FARTHEST);
    (0..=longest).find_map(|step| fits(guess + step).or_else(|| fits(guess - step)))
}

/// Whether a line is worth looking for: braces, blank lines and comments are everywhere.
#[must_use]
pub fn significant(line: &str) -> bool {
    let line = line.trim();
    line.len() >= 10
        && !line.starts_with(['*', '/', '#'])
        && line.contains(|c: char| c.is_alphabetic())
}

/// Whether a tree has what patches add and lacks what they remove. Fewer than two lines prove nothing.
#[must_use]
pub fn contained(patches: &[FilePatch], files: &Files<'_>, which: impl Fn(&str) -> bool) -> bool {
    let mut seen = 0;
    for patch in patches {
        let Some(path) = patch.paths().next().filter(|path| which(path.as_str())) else { continue };
        let Some(lines) = files.get(path.as_str()) else { return false };
        let there: HashSet<&str> = lines.iter().map(|line| line.trim()).collect();
        let of = |kind| {
            let lines = patch.hunks.iter().flat_map(move |hunk| hunk.of(kind));
            lines.map(str::trim).filter(|line| significant(line))
        };
        let added: HashSet<&str> = of(LineKind::Added).collect();
        if !added.iter().all(|line| there.contains(line)) {
            return false;
        }
        if of(LineKind::Removed).any(|line| !added.contains(line) && there.contains(line)) {
            return false;
        }
        seen += added.len();
    }
    seen >= 2
}

/// Which commits added lines, the newest of each: where the patches of a range are read in that order.
#[derive(Default)]
pub struct LineOrigins {
    wanted: HashMap<String, Option<ObjectId>>,
}

impl LineOrigins {
    /// Lines whose origin is wanted.
    pub fn want(&mut self, lines: &[String]) {
        for line in lines {
            self.wanted.entry(line.clone()).or_insert(None);
        }
    }

    /// Whether there is anything to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// A commit's patch. Commits come newest first; an older one does not take a line away.
    pub fn add(&mut self, commit: ObjectId, patches: &[FilePatch]) {
        let hunks = patches.iter().flat_map(|patch| &patch.hunks);
        for line in hunks.flat_map(|hunk| hunk.of(LineKind::Added)) {
            if let Some(origin @ None) = self.wanted.get_mut(line.trim()) {
                *origin = Some(commit);
            }
        }
    }

    /// The commits that lines came with, those that brought most lines first.
    #[must_use]
    pub fn of(&self, lines: &[String]) -> Vec<(ObjectId, usize)> {
        let mut counts: BTreeMap<ObjectId, usize> = BTreeMap::new();
        for line in lines {
            if let Some(Some(commit)) = self.wanted.get(line) {
                *counts.entry(*commit).or_default() += 1;
            }
        }
        let mut list: Vec<(ObjectId, usize)> = counts.into_iter().collect();
        list.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::parse;

    const PATCH: &str = "diff --git a/a.c b/a.c\n--- a/a.c\n+++ b/a.c\n@@ -2,3 +2,4 @@\n first line here\n\
        -second line here\n+other line in here\n+another line in here\n third line here\n";

    fn files(text: &str) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::from([("a.c".to_owned(), text.as_bytes().to_vec())])
    }

    #[test]
    fn patches_are_tried() {
        let patch = parse(PATCH.as_bytes());
        let check = |text: &str, applies| {
            let files = files(text);
            assert_eq!(apply(&patch, &Files::new(&files), |_| true).applies, applies, "{text}");
        };
        check("x\nfirst line here\nsecond line here\nthird line here\n", Applies::Exactly);
        check("x\ny\ny\nfirst line here\nsecond line here\nthird line here\n", Applies::WithOffset);
        check("first line here\nsecond line here\nthird line here\n", Applies::WithOffset);
        check("first line here\nthird line here\n", Applies::No);
        check("", Applies::No);
        let files = files("first line here\n");
        let trial = apply(&patch, &Files::new(&files), |_| true);
        assert_eq!((trial.failed, trial.hunks), (1, 1));
        assert_eq!(trial.wanted, ["second line here", "third line here"]);
    }

    #[test]
    fn patches_are_applied() {
        let patch = parse(PATCH.as_bytes());
        let before = files("y\nx\nfirst line here\nsecond line here\nthird line here\nend\n");
        let mut files = Files::new(&before);
        assert!(files.patch(&patch, |_| true));
        let after = ["y", "x", "first line here", "other line in here", "another line in here"];
        assert_eq!(files.get("a.c").unwrap(), [&after[..], &["third line here", "end"]].concat());
        // Applied already.
        assert!(!files.patch(&patch, |_| true));
        assert!(files.patch(&patch, |_| false));
        let new = parse(b"--- /dev/null\n+++ b/n.c\n@@ -0,0 +1,2 @@\n+one\n+two\n");
        assert!(files.patch(&new, |_| true));
        assert_eq!(files.get("n.c").unwrap(), ["one", "two"]);
        // Hunks after others are found where those moved them.
        let two =
            "--- a/a.c\n+++ b/a.c\n@@ -1,1 +1,3 @@\n y\n+1\n+2\n@@ -7,1 +9,1 @@\n-end\n+End\n";
        let two = parse(two.as_bytes());
        assert!(files.patch(&two, |_| true));
        assert_eq!(files.get("a.c").unwrap().last(), Some(&"End"));
    }

    #[test]
    fn contents_tell() {
        let patch = parse(PATCH.as_bytes());
        let check = |text: &str, want: bool| {
            let files = files(text);
            assert_eq!(contained(&patch, &Files::new(&files), |_| true), want, "{text}");
        };
        check("other line in here\nanother line in here\n", true);
        check("other line in here\nanother line in here\nsecond line here\n", false);
        check("other line in here\n", false);
    }
}
