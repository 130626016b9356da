// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! From commits and trees to a report.

use crate::boundary::{self, Boundary, Preset, is_fix};
use crate::cve::{Cve, CveStatus};
use crate::figures;
use crate::fixes::{FixGraph, Target};
use crate::git::{GitError, Progress, Repository};
use crate::ids::{Found, IdIndex, IdPrefix, ObjectId};
use crate::message::Message;
use crate::model::{Commit, CommitIndex, History};
use crate::report::*;
use crate::series::{self, Agreement, LinkGroup, SeriesMap};
use crate::tree::Tree;
use crate::tree_analysis;
use crate::verdict::{self, Names, PatchFacts, Patches, judge, series_figures};
use crate::version::{Branch, LONG_TERM};
use std::collections::{BTreeMap, HashMap};

/// Steps of growth that a report has.
const GROWTH: usize = 10;
/// Changed names that a commit's row has.
const CHANGES: usize = 40;
/// Most frequent files and sets of files that a report has.
const FREQUENT: usize = 25;

/// What a report is made of.
pub struct Input<'a> {
    /// The commits.
    pub history: &'a History,
    /// What is inside.
    pub boundary: &'a Boundary,
    /// Where patches and contents come from, if there is a repository.
    pub repository: Option<&'a Repository>,
    /// Stable trees.
    pub trees: Vec<Tree>,
    /// Vulnerabilities.
    pub cves: Vec<Cve>,
    /// Read patches: needed for symbols, patch ids and trials.
    pub with_patches: bool,
}

/// What several parts need.
pub(crate) struct Context<'a> {
    pub(crate) history: &'a History,
    /// Its commits by id.
    pub(crate) by_id: IdIndex<CommitIndex>,
    pub(crate) boundary: &'a Boundary,
    pub(crate) repository: Option<&'a Repository>,
    pub(crate) cves: &'a [Cve],
    /// Vulnerabilities by the commits of the history that fix them.
    pub(crate) cve_of: HashMap<CommitIndex, Vec<String>>,
    pub(crate) fixes: FixGraph,
    pub(crate) series: SeriesMap,
    pub(crate) patches: Patches,
}

/// Makes a report.
///
/// # Errors
/// Those of git.
pub fn analyse(input: Input<'_>, progress: &mut Progress<'_>) -> Result<Report, GitError> {
    let Input { history, boundary, repository, mut trees, cves, with_patches } = input;
    let (groups, links) = series::by_links(history);
    let merges = SeriesMap::by_merges(history);
    let elsewhere = elsewhere(history, repository)?;
    let context = Context {
        history,
        by_id: history.by_id(),
        boundary,
        repository,
        cve_of: cve_of(history, &cves),
        cves: &cves,
        fixes: FixGraph::new(history, &elsewhere),
        series: SeriesMap::by_both(history, &groups),
        patches: match repository {
            Some(repository) if with_patches => patches(history, boundary, repository, progress)?,
            _ => Patches::new(),
        },
    };
    let commits: Vec<CommitRow> =
        history.touching().map(|(index, commit)| context.row(index, commit)).collect();
    let mut verdicts: BTreeMap<verdict::Verdict, boundary::Count> = BTreeMap::new();
    for row in &commits {
        verdicts.entry(row.verdict).or_default().add(row.fix);
    }
    let mut time_line: BTreeMap<String, usize> = BTreeMap::new();
    for row in commits.iter().filter(|row| row.fix) {
        *time_line.entry(row.date.month()).or_default() += 1;
    }
    let mut co_occurrence = boundary::co_occurrence(history, boundary);
    co_occurrence.truncate(FREQUENT);
    let mut file_sets = boundary::file_sets(history, boundary);
    file_sets.truncate(FREQUENT);
    let mut reports = Vec::new();
    for tree in &mut trees {
        reports.push(tree_analysis::analyse(&context, tree, &elsewhere, progress)?);
    }
    let branches: Vec<Branch> = trees.iter().filter_map(|tree| tree.branch).collect();
    Ok(Report {
        veristable_history: SCHEMA,
        range: history.range.clone(),
        boundary: boundary.clone(),
        warnings: repository.map_or_else(Vec::new, |repository| repository.warnings.clone()),
        figures: figures::figures(history, boundary),
        merged: series_figures(history, boundary, &merges, |commit| {
            figures::is_inside(boundary, commit)
        }),
        verdicts,
        links,
        disagreements: disagreements(history, &groups),
        growth: boundary::growth(history, boundary, GROWTH),
        presets: presets(history),
        files_per_commit: boundary::files_per_commit(history, boundary),
        co_occurrence,
        file_sets,
        fixes: context.fixes.figures(history),
        signals: context.signals(),
        time_line,
        unresolved: context.unresolved(),
        cves: (!cves.is_empty()).then(|| context.cve_report(&commits, &branches)),
        commits,
        trees: reports,
    })
}

/// Looks up the ids that messages name and the history does not have.
fn elsewhere(
    history: &History,
    repository: Option<&Repository>,
) -> Result<HashMap<IdPrefix, Found<ObjectId>>, GitError> {
    let Some(repository) = repository else { return Ok(HashMap::new()) };
    let wanted = FixGraph::wanted(history);
    let found = repository.find(&wanted.iter().collect::<Vec<_>>())?;
    Ok(wanted.into_iter().zip(found).collect())
}

/// Reads the patches of all commits and keeps what is needed of them.
fn patches(
    history: &History,
    boundary: &Boundary,
    repository: &Repository,
    progress: &mut Progress<'_>,
) -> Result<Patches, GitError> {
    let by_id = history.by_id();
    let mut names = Names::default();
    let mut patches = Patches::new();
    let ids = history.commits.iter().map(|commit| commit.id).collect();
    repository.patches(ids, &[], progress, |id, files| {
        if let Some(index) = by_id.get(&id) {
            patches.insert(index, PatchFacts::of(&files, boundary, &mut names));
        }
    })?;
    Ok(patches)
}

/// Vulnerabilities of commits: by the CNA, and those that messages name.
fn cve_of(history: &History, cves: &[Cve]) -> HashMap<CommitIndex, Vec<String>> {
    let by_id = history.by_id();
    let mut of: HashMap<CommitIndex, Vec<String>> = HashMap::new();
    for cve in cves {
        for index in cve.fixes.iter().filter_map(|id| by_id.get(id)) {
            of.entry(index).or_default().push(cve.number.clone());
        }
    }
    of
}

fn presets(history: &History) -> Vec<PresetRow> {
    let preset = |preset: Preset| {
        let boundary = Boundary::preset(preset).ok()?;
        let name = preset.name().to_owned();
        Some(PresetRow { name, inside: boundary::inside(history, &boundary) })
    };
    Preset::ALL.into_iter().filter_map(preset).collect()
}

fn disagreements(history: &History, groups: &[LinkGroup]) -> Vec<Disagreement> {
    groups
        .iter()
        .filter(|group| group.agreement != Agreement::Agrees)
        .map(|group| Disagreement {
            series: group.key.as_str().to_owned(),
            agreement: group.agreement,
            commits: group.commits.iter().filter_map(|index| named(history, *index)).collect(),
        })
        .collect()
}

/// A commit with its title.
pub(crate) fn named(history: &History, index: CommitIndex) -> Option<Named> {
    let commit = history.commit(index)?;
    Some(Named { id: commit.id, subject: commit.subject().to_owned() })
}

/// Words in messages that security fixes often have.
const HINTS: [&str; 16] = [
    "out-of-bound",
    "out of bound",
    "oob",
    "use-after-free",
    "use after free",
    "uaf",
    "overflow",
    "underflow",
    "null pointer",
    "null-ptr",
    "crash",
    "syzbot",
    "syzkaller",
    "unprivileged",
    "memory leak",
    "double free",
];

/// The words that a message has. Whole words: "oob" is part of others.
pub(crate) fn hints(message: &str) -> Vec<String> {
    let lower = message.to_ascii_lowercase();
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    HINTS
        .iter()
        .filter(|hint| {
            lower.match_indices(**hint).any(|(at, _)| {
                let before = lower.get(..at).and_then(|text| text.chars().next_back());
                let after = lower.get(at + hint.len()..).and_then(|text| text.chars().next());
                // "out-of-bounds", "crashes": an ending is no other word.
                !is_word(before) && (hint.len() > 4 || !is_word(after))
            })
        })
        .map(|hint| (*hint).to_owned())
        .collect()
}

impl Context<'_> {
    fn row(&self, index: CommitIndex, commit: &Commit) -> CommitRow {
        let judged = judge(self.history, self.boundary, &self.series, &self.patches, index);
        let message = Message::parse(&commit.message);
        let series = self.series.of(index).map(|series| SeriesRef {
            source: series.source,
            name: series.name.clone(),
            number: 1 + series.commits.iter().position(|other| *other == index).unwrap_or(0),
            of: series.commits.len(),
        });
        let signals = [
            ("cc-stable", !message.stable.is_empty()),
            ("fuzzer", message.fuzzer),
            ("revert", !message.reverts.is_empty()),
        ];
        CommitRow {
            id: commit.id,
            date: commit.date,
            author: commit.author.clone(),
            subject: commit.subject().to_owned(),
            files: self.boundary.counted(commit).cloned().collect(),
            inside: self.boundary.holds(commit),
            fix: message.fixes.iter().any(|tag| tag.target.is_some()),
            verdict: judged.verdict,
            reason: judged.reason,
            symbols: judged.symbols.into_iter().collect(),
            changes: self.changes(index),
            series,
            cves: self.cves_of(index, &message),
            hints: hints(&commit.message),
            signals: signals.into_iter().filter(|s| s.1).map(|s| s.0.to_owned()).collect(),
        }
    }

    /// The names that a commit changes outside.
    fn changes(&self, index: CommitIndex) -> Vec<String> {
        let changed = self.patches.get(&index).and_then(|facts| facts.changed.as_deref());
        changed.unwrap_or(&[]).iter().take(CHANGES).map(ToString::to_string).collect()
    }

    /// The vulnerabilities that a commit fixes.
    pub(crate) fn cves_of(&self, index: CommitIndex, message: &Message) -> Vec<String> {
        let mut numbers = self.cve_of.get(&index).cloned().unwrap_or_default();
        // A message of mainline names vulnerabilities of others at times; the CNA knows better.
        if self.cves.is_empty() {
            numbers.extend(message.cves.iter().cloned());
        }
        numbers.sort();
        numbers.dedup();
        numbers
    }

    fn signals(&self) -> Signals {
        let mut signals = Signals::default();
        for (index, commit) in self.history.touching() {
            let message = Message::parse(&commit.message);
            signals.cc_stable += usize::from(!message.stable.is_empty());
            signals.fuzzer += usize::from(message.fuzzer);
            if !is_fix(commit) {
                continue;
            }
            let own = commit.files.iter().any(|path| self.boundary.is_test(path));
            signals.fixes_with_tests += usize::from(own);
            let others = self.series.of(index).is_some_and(|series| {
                series.commits.iter().filter_map(|index| self.history.commit(*index)).any(|other| {
                    other.id != commit.id
                        && other.files.iter().any(|path| self.boundary.is_test(path))
                })
            });
            signals.fixes_with_companions += usize::from(others);
        }
        signals
    }

    fn unresolved(&self) -> Vec<Unresolved> {
        let why = |target: &Target| match target {
            Target::Ambiguous => Some("ambiguous"),
            Target::Malformed => Some("malformed"),
            Target::Known(_) | Target::Elsewhere(_) | Target::Unknown => None,
        };
        self.fixes
            .edges
            .iter()
            .filter_map(|edge| {
                let commit = named(self.history, edge.from)?;
                let why = why(&edge.target)?.to_owned();
                Some(Unresolved { commit, text: edge.text.clone(), why })
            })
            .collect()
    }

    /// The vulnerabilities whose fix changes something inside, with whether it changes nothing outside.
    pub(crate) fn touching_cves(&self) -> Vec<(&Cve, bool)> {
        self.cves
            .iter()
            .filter_map(|cve| {
                let known = cve.fixes.iter().filter_map(|id| self.by_id.get(id));
                let of_commits = known.filter_map(|index| self.history.commit(index));
                let files: Vec<_> = if cve.files.is_empty() {
                    of_commits.flat_map(|commit| &commit.files).collect()
                } else {
                    cve.files.iter().collect()
                };
                let touches = files.iter().any(|path| self.boundary.contains(path));
                let holds = files
                    .iter()
                    .all(|path| self.boundary.contains(path) || self.boundary.is_aside(path));
                touches.then_some((cve, holds))
            })
            .collect()
    }

    fn cve_report(&self, rows: &[CommitRow], branches: &[Branch]) -> CveReport {
        let touching = self.touching_cves();
        let mut shown: Vec<Branch> = LONG_TERM.iter().chain(branches).copied().collect();
        shown.sort();
        shown.dedup();
        let branch_row = |branch: Branch| {
            let mut states: BTreeMap<CveStatus, StateCount> = BTreeMap::new();
            let mut open = Vec::new();
            for (cve, inside) in &touching {
                let status = cve.status(branch);
                states.entry(status).or_default().add(*inside);
                if status == CveStatus::Open {
                    open.push(cve.number.clone());
                }
            }
            BranchRow { branch, states, open }
        };
        let with: Vec<&CommitRow> = rows.iter().filter(|row| !row.cves.is_empty()).collect();
        CveReport {
            read: self.cves.len(),
            touching: touching.len(),
            inside: touching.iter().filter(|(_, inside)| *inside).count(),
            commits: with.len(),
            commits_with_fixes: with.iter().filter(|row| row.fix).count(),
            branches: shown.into_iter().map(branch_row).collect(),
            hints: hint_quality(rows),
        }
    }
}

fn hint_quality(rows: &[CommitRow]) -> HintQuality {
    let mut quality = HintQuality::default();
    for row in rows.iter().filter(|row| row.fix) {
        match (!row.hints.is_empty(), !row.cves.is_empty()) {
            (true, true) => quality.true_positives += 1,
            (true, false) => quality.false_positives += 1,
            (false, true) => quality.false_negatives += 1,
            (false, false) => quality.true_negatives += 1,
        }
    }
    let percent = |part: usize, rest: usize| {
        let value = (part * 100).checked_div(part + rest)?;
        u32::try_from(value).ok()
    };
    quality.precision = percent(quality.true_positives, quality.false_positives);
    quality.recall = percent(quality.true_positives, quality.false_negatives);
    quality
}
