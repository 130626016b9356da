// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What is found, as plain data: every format renders this, and JSON is this.

use crate::audit::{Status, TestStatus};
use crate::boundary::{Companion, Count, FileSet, GrowthStep};
use crate::cve::CveStatus;
use crate::figures::Figures;
use crate::fixes::FixFigures;
use crate::ids::{FilePath, ObjectId};
use crate::model::{Date, Range};
use crate::presence::{Confidence, Method};
use crate::series::{LinkFigures, Source};
use crate::tree::TreeKind;
use crate::trial::{Applies, Trial};
use crate::verdict::{SeriesFigures, Verdict};
use crate::version::Branch;
use serde::Serialize;
use std::collections::BTreeMap;

/// Version of the JSON form. It grows when a member changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// Everything that is found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub veristable_history: u32,
    /// Which commits were looked at.
    pub range: Range,
    /// What is inside.
    pub boundary: crate::boundary::Boundary,
    /// What limits the answers.
    pub warnings: Vec<String>,
    /// Xu's figures and corrected ones.
    pub figures: Figures,
    /// Verdicts by merges, over the commits that are inside by Xu's definition.
    pub merged: SeriesFigures,
    /// Verdicts over all commits by merges and, where there is none, by links.
    pub verdicts: BTreeMap<Verdict, Count>,
    /// What links tell of series.
    pub links: LinkFigures,
    /// Series that links know and merges do not, or know otherwise.
    pub disagreements: Vec<Disagreement>,
    /// What each file would let through.
    pub growth: Vec<GrowthStep>,
    /// Commits inside of boundaries with names.
    pub presets: Vec<PresetRow>,
    /// Commits by how many files they change.
    pub files_per_commit: BTreeMap<usize, Count>,
    /// Files that are changed together with something inside.
    pub co_occurrence: Vec<Companion>,
    /// Sets of files that are changed together.
    pub file_sets: Vec<FileSet>,
    /// What mends what.
    pub fixes: FixFigures,
    /// What messages say beside.
    pub signals: Signals,
    /// Fixes by the month in which they were committed.
    pub time_line: BTreeMap<String, usize>,
    /// The commits that change something inside.
    pub commits: Vec<CommitRow>,
    /// Lines of messages that lead to no single commit.
    pub unresolved: Vec<Unresolved>,
    /// What stable trees have.
    pub trees: Vec<TreeReport>,
    /// Vulnerabilities, if they are known.
    pub cves: Option<CveReport>,
}

/// A series on which links and merges do not agree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Disagreement {
    /// What the ids of its mails have in common.
    pub series: String,
    /// In which way.
    pub agreement: crate::series::Agreement,
    /// Its commits.
    pub commits: Vec<Named>,
}

/// A commit with its title.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Named {
    /// Its id.
    pub id: ObjectId,
    /// Its title.
    pub subject: String,
}

/// Commits inside of a boundary with a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PresetRow {
    /// The name.
    pub name: String,
    /// Commits of the range that are inside of it.
    pub inside: Count,
}

/// What messages say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Signals {
    /// Commits with `Cc: stable`. The BPF subsystem asks not to use it, so that few have it.
    pub cc_stable: usize,
    /// Commits that name syzbot or syzkaller.
    pub fuzzer: usize,
    /// Fixes that change tests themselves.
    pub fixes_with_tests: usize,
    /// Fixes whose series has a commit with tests.
    pub fixes_with_companions: usize,
}

/// The series of a commit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SeriesRef {
    /// Where it is known from.
    pub source: Source,
    /// Its name.
    pub name: String,
    /// Its place in there, counted from 1.
    pub number: usize,
    /// How many commits it has.
    pub of: usize,
}

/// A commit that changes something inside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CommitRow {
    /// Its id.
    pub id: ObjectId,
    /// When it was committed.
    pub date: Date,
    /// Who wrote it.
    pub author: String,
    /// Its title.
    pub subject: String,
    /// The files that count.
    pub files: Vec<FilePath>,
    /// It changes nothing outside.
    pub inside: bool,
    /// It mends something.
    pub fix: bool,
    /// Whether it could be shipped outside of the kernel's tree.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// Symbols that were changed outside and that it uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub symbols: Vec<String>,
    /// Names that it changes outside itself, the first 40 by the alphabet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// The series that it came in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesRef>,
    /// Vulnerabilities that it fixes, by the CNA or its message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cves: Vec<String>,
    /// Words in its message that security fixes often have: hints, no more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// `Cc: stable`, a fuzzer, a revert.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<String>,
}

/// A line that leads to no single commit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unresolved {
    /// The commit that has it.
    pub commit: Named,
    /// The line or the id in it.
    pub text: String,
    /// `ambiguous` or `malformed`.
    pub why: String,
}

/// What a stable tree has.
#[derive(Clone, Debug, Serialize)]
pub struct TreeReport {
    /// Its name.
    pub name: String,
    /// What it is known from.
    pub kind: TreeKind,
    /// The branch that it continues.
    pub branch: Option<Branch>,
    /// Changes that were looked at.
    pub entries: usize,
    /// What limits the answers.
    pub warnings: Vec<String>,
    /// Fixes by state: (all, those inside).
    pub counts: BTreeMap<Status, StateCount>,
    /// Present fixes by how that is known.
    pub methods: BTreeMap<Method, usize>,
    /// Present fixes by how they came, as far as messages tell.
    pub paths: BTreeMap<crate::message::Path, usize>,
    /// Present fixes by the month in which they came.
    pub time_line: BTreeMap<String, usize>,
    /// The fixes.
    pub fixes: Vec<FixRow>,
    /// Tests that came with present fixes.
    pub tests: Vec<TestRow>,
    /// Fixes that are there and whose tests all, or in part, are not.
    pub tests_behind: TestsBehind,
    /// Missing fixes of commits that were carried over.
    pub fixes_of_backports: Vec<Named>,
    /// What could be asked for, oldest first.
    pub request: Vec<RequestRow>,
    /// Vulnerabilities by state, if they and the branch are known.
    pub cves: Option<BTreeMap<CveStatus, StateCount>>,
    /// Security fixes that are not there.
    pub missing_security: Vec<SecurityRow>,
}

/// How many, and how many of them are inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct StateCount {
    /// All.
    pub all: usize,
    /// Those that change nothing outside.
    pub inside: usize,
}

impl StateCount {
    /// Counts one more.
    pub fn add(&mut self, inside: bool) {
        self.all += 1;
        self.inside += usize::from(inside);
    }
}

/// Tests that stayed behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct TestsBehind {
    /// Present fixes that came with separate commits of tests.
    pub fixes: usize,
    /// Those with at least one such commit that is not there.
    pub some: usize,
    /// Those with none that is.
    pub all: usize,
}

/// A fix in a tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FixRow {
    /// Its id.
    pub id: ObjectId,
    /// Its title.
    pub subject: String,
    /// It changes nothing outside.
    pub inside: bool,
    /// Whether it is there.
    pub status: Status,
    /// How that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// How sure that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// Where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why it is judged so.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// It is missing, and what it mends was carried over.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fix_of_backport: bool,
    /// Vulnerabilities that it fixes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cves: Vec<String>,
    /// Whether its part inside would apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// How it applies after those of the prerequisites that apply themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_prerequisites: Option<Applies>,
    /// Commits that it needs, or may need, before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prerequisites: Vec<Prerequisite>,
}

/// How a prerequisite is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// The message asks for it.
    Named,
    /// `git blame`: it brought lines that the fix expects.
    Blame,
    /// It is the newest that added such lines, by their text alone.
    Text,
    /// It comes before in the series and changes the same files.
    Series,
}

impl Because {
    /// Its word in text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Named => "named",
            Self::Blame => "blame",
            Self::Text => "text",
            Self::Series => "series",
        }
    }
}

/// A commit that another one needs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Prerequisite {
    /// Its id, or the beginning of it.
    pub id: String,
    /// Its title, where known.
    pub subject: String,
    /// How it is known.
    pub because: Because,
    /// How sure it is that the tree needs it.
    pub confidence: Confidence,
    /// How many lines that the fix expects it brought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<usize>,
    /// How many of them the tree's file has nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absent: Option<usize>,
    /// Whether the fix applies with the others and not without it; only said if it applies with all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed: Option<bool>,
}

/// Tests of a fix in a tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TestRow {
    /// The fix.
    pub fix: ObjectId,
    /// The commit with tests.
    pub id: ObjectId,
    /// Its title.
    pub subject: String,
    /// Whether it is there.
    pub status: TestStatus,
    /// What it needs and the tree lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
}

/// Why a commit could be asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestKind {
    /// It is a fix that the tree lacks.
    Fix,
    /// Such a fix does not apply without it.
    Prerequisite,
    /// It tests a fix that the tree has.
    Test,
}

impl RequestKind {
    /// Its word in text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fix => "fix",
            Self::Prerequisite => "prerequisite",
            Self::Test => "test",
        }
    }
}

/// A commit that could be asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RequestRow {
    /// Its id.
    pub id: ObjectId,
    /// Its title.
    pub subject: String,
    /// What it is.
    pub kind: RequestKind,
    /// Why.
    pub why: String,
}

/// A security fix that is not in a tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SecurityRow {
    /// The vulnerability.
    pub cve: String,
    /// Commits of mainline that fix it.
    pub fixes: Vec<ObjectId>,
    /// The title, where known.
    pub subject: String,
    /// The fix changes nothing outside.
    pub inside: bool,
}

/// Vulnerabilities whose fix changes something inside.
#[derive(Clone, Debug, Serialize)]
pub struct CveReport {
    /// All that were read.
    pub read: usize,
    /// Those whose fix changes something inside.
    pub touching: usize,
    /// Those whose fix changes nothing outside.
    pub inside: usize,
    /// Commits of the range that fix one.
    pub commits: usize,
    /// Those of them with a `Fixes:` line: how many fixes of vulnerabilities it finds.
    pub commits_with_fixes: usize,
    /// Open ones by branch.
    pub branches: Vec<BranchRow>,
    /// What the words in messages are worth as a hint, measured over the fixes of the range.
    pub hints: HintQuality,
}

/// The state of a branch.
#[derive(Clone, Debug, Serialize)]
pub struct BranchRow {
    /// The branch.
    pub branch: Branch,
    /// Vulnerabilities by state.
    pub states: BTreeMap<CveStatus, StateCount>,
    /// The open ones.
    pub open: Vec<String>,
}

/// How well hints agree with the CNA.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct HintQuality {
    /// With hint and number.
    pub true_positives: usize,
    /// With a number only.
    pub false_negatives: usize,
    /// With a hint only.
    pub false_positives: usize,
    /// With neither.
    pub true_negatives: usize,
    /// Of those with a hint, how many percent have a number.
    pub precision: Option<u32>,
    /// Of those with a number, how many percent have a hint.
    pub recall: Option<u32>,
}
