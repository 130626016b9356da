// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which commits came together: by merges, and by the ids of the mails that commits link.
//!
//! Merges miss series that were applied without one; links miss commits without a link. Both are kept, and
//! where they disagree it is said.

use crate::ids::{ObjectId, SeriesKey};
use crate::message::Message;
use crate::model::{CommitIndex, History};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Where a series is known from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// It was merged at once.
    Merge,
    /// Its commits link mails of one series.
    Links,
}

/// Commits that came together, oldest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Series {
    /// Where it is known from.
    pub source: Source,
    /// Title of the merge, or what the ids of its mails have in common.
    pub name: String,
    /// The merge.
    pub merge: Option<ObjectId>,
    /// Its commits.
    pub commits: Vec<CommitIndex>,
}

/// How a group by links stands to merges.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// All of its commits came in one merge.
    Agrees,
    /// None of its commits came in a merge: merges alone miss this series.
    NotMerged,
    /// Some came in a merge and others in another or in none.
    Conflict,
}

/// Commits that link mails of one series.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkGroup {
    /// What their ids have in common.
    pub key: SeriesKey,
    /// The commits by the numbers of their mails, then oldest first.
    pub commits: Vec<CommitIndex>,
    /// Whether the merges say the same.
    pub agreement: Agreement,
}

/// What links tell.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct LinkFigures {
    /// Commits that link a mail or a page.
    pub commits_with_link: usize,
    /// Groups of commits whose mails belong together, with those of one commit.
    pub groups: usize,
    /// Groups of several commits.
    pub larger: usize,
    /// Larger groups that came in one merge.
    pub agree: usize,
    /// Larger groups that came in no merge.
    pub not_merged: usize,
    /// Larger groups that came in several, or only in part.
    pub conflict: usize,
}

/// Groups of the commits that change something inside, by their links. A commit with several links counts
/// by its first.
#[must_use]
pub fn by_links(history: &History) -> (Vec<LinkGroup>, LinkFigures) {
    let mut figures = LinkFigures::default();
    let mut groups: BTreeMap<SeriesKey, Vec<(Option<u32>, CommitIndex)>> = BTreeMap::new();
    for (index, commit) in history.touching() {
        let message = Message::parse(&commit.message);
        figures.commits_with_link += usize::from(has_link(&commit.message));
        if let Some(link) = message.links.first() {
            let (key, number) = link.series();
            groups.entry(key).or_default().push((number, index));
        }
    }
    let merge_of: HashMap<CommitIndex, ObjectId> =
        history.set_of().into_iter().map(|(index, set)| (index, set.merge)).collect();
    figures.groups = groups.len();
    let mut list = Vec::new();
    for (key, mut members) in groups {
        if members.len() < 2 {
            continue;
        }
        // The history is newest first: of equal numbers the later index is the older commit.
        members.sort_by_key(|(number, index)| (*number, std::cmp::Reverse(*index)));
        let commits: Vec<CommitIndex> = members.into_iter().map(|(_, index)| index).collect();
        let merges: BTreeSet<Option<&ObjectId>> =
            commits.iter().map(|index| merge_of.get(index)).collect();
        let agreement = match (merges.len(), merges.first()) {
            (1, Some(None)) => Agreement::NotMerged,
            (1, _) => Agreement::Agrees,
            _ => Agreement::Conflict,
        };
        figures.larger += 1;
        match agreement {
            Agreement::Agrees => figures.agree += 1,
            Agreement::NotMerged => figures.not_merged += 1,
            Agreement::Conflict => figures.conflict += 1,
        }
        list.push(LinkGroup { key, commits, agreement });
    }
    (list, figures)
}

fn has_link(message: &str) -> bool {
    message.lines().any(|line| line.trim_start().starts_with("Link:"))
}

/// The series of each commit that has one: by merges first, and where there is no merge by links.
#[derive(Clone, Debug, Default)]
pub struct SeriesMap {
    /// All series.
    pub series: Vec<Series>,
    of: HashMap<CommitIndex, usize>,
}

impl SeriesMap {
    /// Series by merges alone, as Xu counted.
    #[must_use]
    pub fn by_merges(history: &History) -> Self {
        let mut map = Self::default();
        for set in &history.sets {
            map.add(Series {
                source: Source::Merge,
                name: set.subject.clone(),
                merge: Some(set.merge),
                commits: set.commits.clone(),
            });
        }
        map
    }

    /// Series by merges, and by links where there is no merge.
    #[must_use]
    pub fn by_both(history: &History, groups: &[LinkGroup]) -> Self {
        let mut map = Self::by_merges(history);
        for group in groups.iter().filter(|group| group.agreement == Agreement::NotMerged) {
            map.add(Series {
                source: Source::Links,
                name: group.key.as_str().to_owned(),
                merge: None,
                commits: group.commits.clone(),
            });
        }
        map
    }

    fn add(&mut self, series: Series) {
        for index in &series.commits {
            self.of.entry(*index).or_insert(self.series.len());
        }
        self.series.push(series);
    }

    /// The series that a commit came in.
    #[must_use]
    pub fn of(&self, index: CommitIndex) -> Option<&Series> {
        self.series.get(*self.of.get(&index)?)
    }
}
