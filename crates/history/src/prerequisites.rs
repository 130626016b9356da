// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a fix needs before it can be carried over into a tree.
//!
//! Best is what its message names. Else `git blame` tells which commits brought the lines that its hunks
//! expect, and which of those the tree lacks; all of them are then tried together in memory, and those
//! without which the fix applies too are told apart. Where git cannot answer (a shallow or partial clone) the
//! newest commits that added such lines stand in; without a repository the commits before it in its series.

use crate::analysis::Context;
use crate::audit::{FixState, Status};
use crate::git::{Blamed, GitError, Progress, Repository, Stage};
use crate::ids::{FilePath, IdPrefix, ObjectId};
use crate::message::Message;
use crate::model::{Commit, CommitIndex};
use crate::patch::{FilePatch, Hunk, LineKind};
use crate::presence::{Confidence, Lookup};
use crate::report::{Because, Prerequisite};
use crate::trial::{self, Applies, Files, LineOrigins, Trial, significant};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

type Result<T> = std::result::Result<T, GitError>;

/// Most that are listed for one fix.
const MOST: usize = 10;
/// Most questions to `git blame`: each is a process.
const MOST_QUESTIONS: usize = 500;

/// What trials on a tree's files found, and what they were made with.
#[derive(Default)]
pub(crate) struct Trials {
    /// The tree's files; nothing if they are not known.
    pub(crate) contents: BTreeMap<String, Vec<u8>>,
    /// The patches that were tried.
    pub(crate) patches: HashMap<CommitIndex, Vec<FilePatch>>,
    /// How they apply.
    pub(crate) trials: HashMap<CommitIndex, Trial>,
}

/// What one fix needs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Needs {
    /// The commits, those that are most surely needed first.
    pub(crate) list: Vec<Prerequisite>,
    /// How the fix applies after those of them that apply.
    pub(crate) with: Option<Applies>,
}

/// A commit that the tree lacks, and the lines that a fix expects of it.
struct Lacked {
    commit: Commit,
    lines: usize,
    /// How many of them stand nowhere in the tree's file; `None` if the file is not known.
    absent: Option<usize>,
}

/// Looks for prerequisites in one tree.
pub(crate) struct Search<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) lookup: &'a Lookup<'a>,
    /// The commit whose history the tree has.
    pub(crate) base: Option<ObjectId>,
    pub(crate) trials: &'a Trials,
}

/// What was found for a tree.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) needs: HashMap<CommitIndex, Needs>,
    pub(crate) warnings: Vec<String>,
}

impl Search<'_> {
    /// The prerequisites of the fixes that a tree lacks.
    pub(crate) fn all(&self, states: &[FixState], progress: &mut Progress<'_>) -> Result<Found> {
        let mut found = Found::default();
        let wanted: Vec<CommitIndex> = states
            .iter()
            .filter(|state| matches!(state.status, Status::Missing | Status::Unknown))
            .map(|state| state.commit)
            .collect();
        for index in &wanted {
            let needs = Needs { list: self.named(*index), with: None };
            found.needs.insert(*index, needs);
        }
        // What applies as it is needs nothing before.
        let failing: Vec<CommitIndex> = wanted
            .into_iter()
            .filter(|index| {
                self.trials.trials.get(index).is_none_or(|trial| trial.applies == Applies::No)
            })
            .collect();
        match (self.context.repository, self.base) {
            (Some(repository), Some(base)) if !self.context.patches.is_empty() => {
                self.by_lines(repository, base, &failing, &mut found, progress)?;
            }
            _ => {
                for index in failing {
                    let list = self.by_series(index);
                    found.needs.entry(index).or_default().list.extend(list);
                }
            }
        }
        for needs in found.needs.values_mut() {
            needs.tidy();
        }
        Ok(found)
    }

    /// The commits that a message asks for: `Cc: stable … # ID`.
    fn named(&self, index: CommitIndex) -> Vec<Prerequisite> {
        let history = self.context.history;
        let Some(commit) = history.commit(index) else { return Vec::new() };
        let by_id = &self.context.by_id;
        let message = Message::parse(&commit.message);
        let row = |prefix: &IdPrefix| match by_id.find(prefix).one() {
            Some(known) => {
                let there = self.lookup.find(history, &self.context.patches, known).is_some();
                let commit = history.commit(known).filter(|_| !there)?;
                Some(prerequisite(commit, Because::Named, Confidence::High))
            }
            None => Some(Prerequisite {
                id: prefix.to_string(),
                subject: String::new(),
                because: Because::Named,
                confidence: Confidence::High,
                lines: None,
                absent: None,
                needed: None,
            }),
        };
        message.stable.iter().flat_map(|request| &request.prerequisites).filter_map(row).collect()
    }

    /// The commits before one in its series that change the same files, where nothing better is known.
    fn by_series(&self, index: CommitIndex) -> Vec<Prerequisite> {
        let context = self.context;
        let (Some(series), Some(own)) = (context.series.of(index), context.history.commit(index))
        else {
            return Vec::new();
        };
        let inside: HashSet<&FilePath> =
            own.files.iter().filter(|path| context.boundary.contains(path)).collect();
        let before = series.commits.iter().take_while(|other| **other != index);
        before
            .filter(|other| self.lookup.find(context.history, &context.patches, **other).is_none())
            .filter_map(|other| context.history.commit(*other))
            .filter(|commit| commit.files.iter().any(|path| inside.contains(path)))
            .map(|commit| prerequisite(commit, Because::Series, Confidence::Low))
            .collect()
    }

    /// By the lines that hunks expect.
    fn by_lines(
        &self,
        repository: &Repository,
        base: ObjectId,
        failing: &[CommitIndex],
        found: &mut Found,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let mut patches: HashMap<CommitIndex, Vec<FilePatch>> = HashMap::new();
        let untried: Vec<CommitIndex> = failing
            .iter()
            .filter(|index| !self.trials.patches.contains_key(index))
            .copied()
            .collect();
        self.read(repository, &untried, &[], progress, |index, files| {
            patches.insert(index, files);
        })?;
        let files = Files::new(&self.trials.contents);
        let mut unanswered = Vec::new();
        let mut questions = 0;
        for (count, index) in failing.iter().enumerate() {
            progress(Stage::Blame, count);
            let Some(patch) = self.trials.patches.get(index).or_else(|| patches.get(index)) else {
                continue;
            };
            let Some(commit) = self.context.history.commit(*index) else { continue };
            let asked = self.expected(*index, patch);
            questions += asked.len();
            let lines = match questions > MOST_QUESTIONS {
                true => None,
                false => self.blame(repository, commit.id, base, &asked, found)?,
            };
            let Some(lines) = lines else {
                unanswered.push(*index);
                continue;
            };
            let lacked = self.lacked(repository, lines, &files)?;
            let needs = found.needs.entry(*index).or_default();
            needs.list.extend(lacked.iter().map(Lacked::row));
            if self.trials.trials.contains_key(index) {
                self.try_with(repository, patch, &lacked, needs, progress)?;
            }
        }
        if questions > MOST_QUESTIONS {
            found.warnings.push(format!(
                "only {MOST_QUESTIONS} files of fixes were asked about who brought their lines"
            ));
        }
        self.by_text(repository, &unanswered, found, progress)
    }

    /// Reads patches of commits of the history.
    fn read(
        &self,
        repository: &Repository,
        commits: &[CommitIndex],
        only: &[String],
        progress: &mut Progress<'_>,
        mut take: impl FnMut(CommitIndex, Vec<FilePatch>),
    ) -> Result<()> {
        let history = self.context.history;
        let by_id = &self.context.by_id;
        let ids = commits.iter().filter_map(|index| history.commit(*index)).map(|c| c.id).collect();
        repository.patches(ids, only, progress, |id, files| {
            if let Some(index) = by_id.get(&id) {
                take(index, files);
            }
        })
    }

    /// The hunks of a patch whose lines are to be asked about, by file: those that do not apply, or all
    /// inside if that was not tried.
    fn expected<'p>(
        &self,
        index: CommitIndex,
        patch: &'p [FilePatch],
    ) -> Vec<(&'p FilePath, Vec<&'p Hunk>)> {
        let trial = self.trials.trials.get(&index);
        let mut asked = Vec::new();
        for (number, file) in patch.iter().enumerate() {
            let Some(old) = file.old.as_ref().filter(|old| self.context.boundary.contains(old))
            else {
                continue;
            };
            let failed = |place| trial.is_none_or(|trial| trial.places.contains(&(number, place)));
            let hunks: Vec<&Hunk> = file
                .hunks
                .iter()
                .enumerate()
                .filter(|(place, _)| failed(*place))
                .map(|(_, hunk)| hunk)
                .collect();
            if !hunks.is_empty() {
                asked.push((old, hunks));
            }
        }
        asked
    }

    /// The lines that hunks expect, by the commits that brought them: (path, text). `None` if git cannot
    /// tell.
    fn blame<'p>(
        &self,
        repository: &Repository,
        commit: ObjectId,
        base: ObjectId,
        asked: &[(&'p FilePath, Vec<&'p Hunk>)],
        found: &mut Found,
    ) -> Result<Option<BTreeMap<ObjectId, Vec<Expected<'p>>>>> {
        let mut of: BTreeMap<ObjectId, Vec<Expected<'p>>> = BTreeMap::new();
        for (path, hunks) in asked {
            let ranges: Vec<(u32, u32)> =
                hunks.iter().map(|hunk| (hunk.old_start, hunk.old_lines)).collect();
            let blamed = match repository.blame(commit, path, &ranges, base) {
                Ok(blamed) => blamed,
                Err(GitError::Failed { message, .. }) => {
                    let short = commit.short();
                    found.warnings.push(format!("{short}: {path}: git blame: {message}"));
                    return Ok(None);
                }
                Err(other) => return Err(other),
            };
            for (number, text) in hunks.iter().flat_map(|hunk| numbered(hunk)) {
                if let Some(id) = who(&blamed, number) {
                    of.entry(id).or_default().push(Expected { path: path.as_str(), text });
                }
            }
        }
        Ok(Some(of))
    }

    /// Which of the commits the tree lacks. The newest are looked at if there are very many.
    fn lacked(
        &self,
        repository: &Repository,
        lines: BTreeMap<ObjectId, Vec<Expected<'_>>>,
        files: &Files<'_>,
    ) -> Result<Vec<Lacked>> {
        let context = self.context;
        let by_id = &context.by_id;
        let ids: Vec<ObjectId> = lines.keys().copied().collect();
        let mut lacked = Vec::new();
        for commit in repository.commits(&ids)? {
            let there = match by_id.get(&commit.id) {
                Some(index) => self.lookup.find(context.history, &context.patches, index).is_some(),
                None => self.lookup.has(&commit),
            };
            let Some(expected) = lines.get(&commit.id).filter(|_| !there) else { continue };
            let known = self.trials.contents.is_empty();
            let absent = || expected.iter().filter(|line| line.is_absent(files)).count();
            let absent = (!known).then(absent);
            lacked.push(Lacked { commit, lines: expected.len(), absent });
        }
        lacked.sort_by_key(|one| (Reverse(one.absent), Reverse(one.lines), one.commit.id));
        lacked.truncate(MOST);
        Ok(lacked)
    }

    /// Tries a fix after the commits that it may need, and says without which of them it does not apply.
    fn try_with(
        &self,
        repository: &Repository,
        patch: &[FilePatch],
        lacked: &[Lacked],
        needs: &mut Needs,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let by_id = &self.context.by_id;
        let mut order: Vec<&Commit> = lacked.iter().map(|one| &one.commit).collect();
        // Oldest first. Commits of a series often have the same second; the history has newer ones first.
        order.sort_by_key(|commit| (commit.date.seconds, Reverse(by_id.get(&commit.id))));
        let mut patches: HashMap<ObjectId, Vec<FilePatch>> = HashMap::new();
        let ids = order.iter().map(|commit| commit.id).collect();
        repository.patches(ids, &self.context.boundary.pathspecs(), progress, |id, files| {
            patches.insert(id, files);
        })?;
        let steps: Vec<(ObjectId, &[FilePatch])> = order
            .iter()
            .filter_map(|commit| Some((commit.id, patches.get(&commit.id)?.as_slice())))
            .collect();
        let inside = |path: &str| self.context.boundary.contains(&path.into());
        let (with, needed) = smallest(&Files::new(&self.trials.contents), &steps, patch, &inside);
        needs.with = Some(with);
        for row in &mut needs.list {
            let id = ObjectId::from_hex(&row.id);
            row.needed = id.and_then(|id| needed.get(&id).copied()).or(row.needed);
        }
        Ok(())
    }

    /// The newest commits that added lines which the tree lacks: for fixes of which git cannot tell more.
    fn by_text(
        &self,
        repository: &Repository,
        fixes: &[CommitIndex],
        found: &mut Found,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let history = self.context.history;
        let mut origins = LineOrigins::default();
        let trials = || fixes.iter().filter_map(|i| Some((*i, self.trials.trials.get(i)?)));
        trials().for_each(|(_, trial)| origins.want(&trial.wanted));
        if origins.is_empty() {
            return Ok(());
        }
        let commits: Vec<CommitIndex> = history
            .touching()
            .filter(|(_, commit)| self.lookup.reaches(&commit.id) != Some(true))
            .map(|(index, _)| index)
            .collect();
        let only = self.context.boundary.pathspecs();
        self.read(repository, &commits, &only, progress, |index, files| {
            if let Some(commit) = history.commit(index) {
                origins.add(commit.id, &files);
            }
        })?;
        let by_id = &self.context.by_id;
        for (index, trial) in trials() {
            let rows = origins.of(&trial.wanted).into_iter().filter_map(|(id, lines)| {
                let other = by_id.get(&id).filter(|other| *other != index)?;
                let commit = history.commit(other)?;
                let row = prerequisite(commit, Because::Text, Confidence::Low);
                Some(Prerequisite { lines: Some(lines), absent: Some(lines), ..row })
            });
            found.needs.entry(index).or_default().list.extend(rows.take(MOST));
        }
        Ok(())
    }
}

/// A line that a hunk expects.
struct Expected<'a> {
    path: &'a str,
    text: &'a str,
}

impl Expected<'_> {
    /// Whether it says something and stands nowhere in the file.
    fn is_absent(&self, files: &Files<'_>) -> bool {
        let line = self.text.trim();
        let there = files.get(self.path).unwrap_or(&[]);
        significant(line) && !there.iter().any(|other| other.trim() == line)
    }
}

/// The lines that a hunk expects, with their numbers in the old file.
fn numbered(hunk: &Hunk) -> impl Iterator<Item = (u32, &str)> {
    let old = hunk.lines.iter().filter(|line| line.0 != LineKind::Added);
    (hunk.old_start..).zip(old.map(|line| line.1.as_str()))
}

/// Who brought a line.
fn who(blamed: &[Blamed], line: u32) -> Option<ObjectId> {
    let holds = |b: &&Blamed| line.checked_sub(b.start).is_some_and(|after| after < b.count);
    blamed.iter().find(holds)?.commit
}

fn prerequisite(commit: &Commit, because: Because, confidence: Confidence) -> Prerequisite {
    Prerequisite {
        id: commit.id.to_string(),
        subject: commit.subject().to_owned(),
        because,
        confidence,
        lines: None,
        absent: None,
        needed: None,
    }
}

impl Lacked {
    /// Who brought a line is certain. Whether the tree needs it is surer if the line is not there.
    fn row(&self) -> Prerequisite {
        let confidence = match self.absent {
            Some(0) => Confidence::Low,
            Some(_) => Confidence::High,
            None => Confidence::Medium,
        };
        let row = prerequisite(&self.commit, Because::Blame, confidence);
        Prerequisite { lines: Some(self.lines), absent: self.absent, ..row }
    }
}

impl Needs {
    /// One row for each commit, those that are most surely needed first.
    fn tidy(&mut self) {
        self.list.sort_by_key(|row| {
            let needed = match row.needed {
                Some(true) => 0,
                None => 1,
                Some(false) => 2,
            };
            (row.because, needed, row.confidence, Reverse(row.lines), row.id.clone())
        });
        let mut seen = BTreeSet::new();
        self.list.retain(|row| seen.insert(row.id.clone()));
        self.list.truncate(MOST);
    }
}

/// Applies `steps` one after the other, as far as they apply, and then a patch: how that applies, and for each
/// step that was of use whether the patch, or a step that it needs, does not apply without it.
fn smallest<'a>(
    files: &Files<'a>,
    steps: &[(ObjectId, &'a [FilePatch])],
    patch: &[FilePatch],
    inside: &dyn Fn(&str) -> bool,
) -> (Applies, BTreeMap<ObjectId, bool>) {
    let run = |without: &HashSet<ObjectId>| {
        let mut files = files.clone();
        let mut applied = HashSet::new();
        for (id, step) in steps.iter().filter(|(id, _)| !without.contains(id)) {
            if files.patch(step, inside) {
                applied.insert(*id);
            }
        }
        (trial::apply(patch, &files, inside).applies, applied)
    };
    let mut without = HashSet::new();
    let (all, applied) = run(&without);
    let mut needed = BTreeMap::new();
    if all == Applies::No {
        return (all, needed);
    }
    // What does not apply cannot be needed. The newest are left out first: older ones may need them not.
    for (id, _) in steps {
        if !applied.contains(id) {
            without.insert(*id);
            needed.insert(*id, false);
        }
    }
    for (id, _) in steps.iter().rev().filter(|(id, _)| applied.contains(id)) {
        without.insert(*id);
        let (applies, rest) = run(&without);
        let same = applied.difference(&without).all(|other| rest.contains(other));
        let needless = applies != Applies::No && same;
        if !needless {
            without.remove(id);
        }
        needed.insert(*id, !needless);
    }
    (all, needed)
}
