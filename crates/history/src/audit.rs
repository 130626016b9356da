// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a stable tree has of the fixes, and of the tests that came with them.

use crate::boundary::Boundary;
use crate::fixes::{FixGraph, Target};
use crate::ids::ObjectId;
use crate::message::{Message, StableRequest};
use crate::model::{Commit, CommitIndex, History};
use crate::presence::{Lookup, Place};
use crate::series::SeriesMap;
use crate::verdict::Patches;
use crate::version::{Branch, Release};
use serde::Serialize;
use std::collections::HashSet;

/// Whether a fix is in a tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It is.
    Present,
    /// It was, and was taken back.
    Reverted,
    /// It is not, and what it mends is.
    Missing,
    /// It is not, and neither is what it mends.
    NotApplicable,
    /// It is not, and whether what it mends is cannot be said.
    Unknown,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Present, Self::Reverted, Self::Missing, Self::NotApplicable, Self::Unknown];

    /// Its word in text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Reverted => "reverted",
            Self::Missing => "missing",
            Self::NotApplicable => "not-applicable",
            Self::Unknown => "unknown",
        }
    }
}

/// The state of a fix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FixState {
    /// The fix.
    pub commit: CommitIndex,
    /// Whether it is there.
    pub status: Status,
    /// Where.
    pub place: Option<Place>,
    /// Why it is judged so.
    pub reason: String,
    /// What it mends was carried over into the tree, and it was not.
    pub fix_of_backport: bool,
}

/// What of a fix's tests a tree lacks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestStatus {
    /// The commit is in the tree.
    Present,
    /// It is not, but all of the files that it changes are.
    FilesPresent,
    /// It is not.
    Missing,
    /// It is not, and something that it uses is not either.
    MissingHelper,
}

impl TestStatus {
    /// Its word in text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::FilesPresent => "files-present",
            Self::Missing => "missing",
            Self::MissingHelper => "missing-helper",
        }
    }

    /// Whether the test stayed behind.
    #[must_use]
    pub fn is_behind(self) -> bool {
        self != Self::Present
    }
}

/// A commit with tests that came with a fix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestState {
    /// The fix.
    pub fix: CommitIndex,
    /// The commit with tests; the fix itself if it has them.
    pub test: CommitIndex,
    /// Whether it is in the tree.
    pub status: TestStatus,
    /// What is missing for it: files, headers, macros.
    pub lacks: Vec<String>,
}

/// What is asked of one tree.
pub struct Audit<'a> {
    /// The commits.
    pub history: &'a History,
    /// What is inside.
    pub boundary: &'a Boundary,
    /// What came together.
    pub series: &'a SeriesMap,
    /// What mends what.
    pub fixes: &'a FixGraph,
    /// Patches, where there are some.
    pub patches: &'a Patches,
    /// Where commits are in the tree.
    pub lookup: &'a Lookup<'a>,
    /// The branch that the tree continues.
    pub branch: Option<Branch>,
    /// Commits outside of the history that the tree's base does not reach; `None` if nobody knows.
    pub missing_elsewhere: Option<&'a HashSet<ObjectId>>,
    /// Paths of the tree's tests, where known.
    pub tests: Option<&'a HashSet<String>>,
}

/// How what a fix mends stands in the tree.
#[derive(PartialEq, Eq)]
enum TargetState {
    /// It was carried over.
    Backported(String),
    /// The tree had it from its beginning.
    InBase,
    /// It is older than the range, and without a repository that is taken for the same.
    Older,
    /// It is not there.
    Absent,
    /// That cannot be said.
    Unknown(&'static str),
}

impl Audit<'_> {
    /// The state of a commit, as a fix.
    #[must_use]
    pub fn fix(&self, commit: CommitIndex) -> FixState {
        let place = self.lookup.find(self.history, self.patches, commit);
        let state = |status, reason: String, place, fix_of_backport| FixState {
            commit,
            status,
            place,
            reason,
            fix_of_backport,
        };
        if let Some(place) = place {
            return match &place.reverted {
                Some(by) => {
                    let reason = format!("taken back by {by}");
                    state(Status::Reverted, reason, Some(place), false)
                }
                None => state(Status::Present, String::new(), Some(place), false),
            };
        }
        let targets: Vec<TargetState> =
            self.fixes.of(commit).map(|edge| self.target(&edge.target)).collect();
        let backported = targets.iter().find_map(|target| match target {
            TargetState::Backported(text) => Some(text),
            _ => None,
        });
        if let Some(what) = backported {
            let reason = format!("mends {what}, which was carried over");
            return state(Status::Missing, reason, None, true);
        }
        let unsure = !self.is_after_base();
        let status = if unsure { Status::Unknown } else { Status::Missing };
        let reasons = [
            (TargetState::InBase, "what it mends is part of the tree from its beginning"),
            (
                TargetState::Older,
                "what it mends is older than the range: taken for part of the tree",
            ),
        ];
        for (what, reason) in reasons {
            if targets.contains(&what) {
                return state(status, reason.to_owned(), None, false);
            }
        }
        let unknown = targets.iter().find_map(|target| match target {
            TargetState::Unknown(why) => Some(*why),
            _ => None,
        });
        // Where nothing says what is mended, the message may say for whom.
        if let (Some(since), Some(branch), true) =
            (self.since(commit), self.branch, unknown.is_some() || targets.is_empty())
        {
            let status = if branch < since { Status::NotApplicable } else { Status::Missing };
            let reason = format!("its message asks for {since} and newer");
            return state(status, reason, None, false);
        }
        match unknown {
            Some(why) => state(Status::Unknown, why.to_owned(), None, false),
            None if targets.is_empty() => {
                let reason = "it does not say what it mends".to_owned();
                state(Status::Unknown, reason, None, false)
            }
            None => {
                let reason = "what it mends is not part of the tree".to_owned();
                state(Status::NotApplicable, reason, None, false)
            }
        }
    }

    /// The oldest branch that a message asks to be carried over to.
    fn since(&self, commit: CommitIndex) -> Option<Branch> {
        let message = Message::parse(&self.history.commit(commit)?.message);
        message.stable.iter().filter_map(StableRequest::since).min()
    }

    fn target(&self, target: &Target) -> TargetState {
        match target {
            Target::Known(index) => match self.lookup.find(self.history, self.patches, *index) {
                Some(place) if place.reverted.is_some() => TargetState::Absent,
                Some(place) if place.method == crate::presence::Method::Ancestor => {
                    TargetState::InBase
                }
                Some(place) => TargetState::Backported(format!(
                    "{} ({})",
                    self.history.commit(*index).map_or_else(String::new, |c| c.id.short()),
                    place.place
                )),
                None if self.is_after_base() => TargetState::Absent,
                None => {
                    TargetState::Unknown("what it mends may be part of the tree from its beginning")
                }
            },
            Target::Elsewhere(id) => match self.missing_elsewhere {
                Some(missing) if missing.contains(id) => TargetState::Absent,
                Some(_) => TargetState::InBase,
                None => TargetState::Older,
            },
            Target::Unknown if self.missing_elsewhere.is_some() => {
                TargetState::Unknown("the repository has no commit like the one that it mends")
            }
            Target::Unknown => TargetState::Older,
            Target::Ambiguous => TargetState::Unknown("several commits begin as what it mends"),
            Target::Malformed => TargetState::Unknown("its Fixes line names no commit"),
        }
    }

    /// Whether no commit of the range can be part of the tree from its beginning without being known to be:
    /// its history is known, or the range begins after it.
    #[must_use]
    pub fn is_after_base(&self) -> bool {
        if self.lookup.knows_base() {
            return true;
        }
        let start = self.history.range.start.trim_end_matches(['^', '~', '1']);
        let start =
            Release::parse(self.history.range.start.split(['^', '~']).next().unwrap_or(start));
        match (self.branch, start) {
            (Some(branch), Some(start)) => branch < start.branch,
            _ => false,
        }
    }

    /// The commits with tests that came with a fix: those of its series that change tests and nothing that
    /// counts.
    #[must_use]
    pub fn companions(&self, fix: CommitIndex) -> Vec<CommitIndex> {
        let mut found: Vec<CommitIndex> = Vec::new();
        if let Some(series) = self.series.of(fix) {
            let tests = |index: &&CommitIndex| {
                self.history.commit(**index).is_some_and(|commit| self.is_tests_only(commit))
            };
            found.extend(series.commits.iter().filter(tests));
        }
        found
    }

    fn is_tests_only(&self, commit: &Commit) -> bool {
        !commit.files.is_empty() && commit.files.iter().all(|path| self.boundary.is_test(path))
    }

    /// The tests that a fix changes itself, if it was carried over without some of them: files that the tree
    /// does not have.
    #[must_use]
    pub fn own_tests(&self, fix: CommitIndex) -> Option<TestState> {
        let there = self.tests?;
        let files = &self.history.commit(fix)?.files;
        let lacks: Vec<String> = files
            .iter()
            .filter(|path| self.boundary.is_test(path) && !there.contains(path.as_str()))
            .map(ToString::to_string)
            .collect();
        let some = !lacks.is_empty();
        some.then_some(TestState { fix, test: fix, status: TestStatus::Missing, lacks })
    }

    /// The state of a commit with tests. `needs` is what its patch uses: headers and macros that the tree
    /// lacks.
    #[must_use]
    pub fn test(&self, fix: CommitIndex, test: CommitIndex, needs: &[String]) -> TestState {
        let present = self.lookup.find(self.history, self.patches, test);
        if present.is_some_and(|place| place.reverted.is_none()) {
            return TestState { fix, test, status: TestStatus::Present, lacks: Vec::new() };
        }
        let files = self.history.commit(test).map_or(&[][..], |commit| &commit.files);
        let mut lacks: Vec<String> = Vec::new();
        let mut all_there = false;
        if let Some(tests) = self.tests {
            all_there = files.iter().all(|path| tests.contains(path.as_str()));
            let absent = files.iter().filter(|path| !tests.contains(path.as_str()));
            lacks.extend(absent.map(ToString::to_string));
        }
        let status = match (needs.is_empty(), all_there) {
            (false, _) => TestStatus::MissingHelper,
            (true, true) => TestStatus::FilesPresent,
            (true, false) => TestStatus::Missing,
        };
        lacks.extend(needs.iter().cloned());
        TestState { fix, test, status, lacks }
    }
}
