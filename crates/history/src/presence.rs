// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Whether a commit is part of a tree, by which method that is known, and how sure it is.

use crate::ids::{Found, IdIndex, ObjectId};
use crate::message;
use crate::model::{Commit, CommitIndex, History};
use crate::patch::PatchId;
use crate::tree::{Entry, Tree, TreeKind};
use crate::verdict::Patches;
use serde::Serialize;
use std::collections::{HashMap, HashSet};

/// How presence is known, most certain first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The tree's history reaches the commit itself.
    Ancestor,
    /// An entry says to be a copy of it.
    Marker,
    /// The CNA pairs it with a commit of the branch.
    Cna,
    /// An entry changes the same in the same surroundings.
    PatchId,
    /// An entry has its title and its author.
    TitleAndAuthor,
    /// An entry changes the same lines.
    ChangedLines,
    /// An entry has its title; who wrote it is not known.
    Title,
    /// The tree has the lines that it adds, and lacks those that it removes.
    Content,
}

/// How sure that is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Nothing else is possible.
    Certain,
    /// Something else would be strange.
    High,
    /// Something else happens.
    Medium,
    /// A hint.
    Low,
}

impl Confidence {
    /// Its word in text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

impl Method {
    /// How sure the method is.
    #[must_use]
    pub fn confidence(self) -> Confidence {
        match self {
            Self::Ancestor => Confidence::Certain,
            Self::Marker | Self::Cna | Self::PatchId | Self::TitleAndAuthor => Confidence::High,
            Self::ChangedLines | Self::Title => Confidence::Medium,
            Self::Content => Confidence::Low,
        }
    }

    /// Its words in text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ancestor => "ancestor",
            Self::Marker => "marker",
            Self::Cna => "cna",
            Self::PatchId => "patch-id",
            Self::TitleAndAuthor => "title-and-author",
            Self::ChangedLines => "changed-lines",
            Self::Title => "title",
            Self::Content => "content",
        }
    }
}

/// Where a commit is in a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// How that is known.
    pub method: Method,
    /// The entry's place: a version, a file, a commit.
    pub place: String,
    /// When it came, where known.
    pub month: Option<String>,
    /// How it came, where the entry has a message.
    pub path: Option<message::Path>,
    /// The entry that takes it back again.
    pub reverted: Option<String>,
}

impl Place {
    /// A place of which nothing else is known.
    fn of(method: Method, place: String) -> Self {
        Self { method, place, month: None, path: None, reverted: None }
    }
}

/// Looks up commits in one tree.
pub struct Lookup<'a> {
    tree: &'a Tree,
    by_copy: HashMap<CommitIndex, usize>,
    by_patch: HashMap<PatchId, usize>,
    by_lines: HashMap<PatchId, usize>,
    by_title: HashMap<&'a str, Vec<usize>>,
    /// Titles that are taken back, with the newest entry that does.
    reverted: HashMap<String, usize>,
    reverted_ids: Vec<usize>,
    own: IdIndex<usize>,
    /// Commits that the tree's own history does not reach; `None` if there is no such history.
    not_reached: Option<HashSet<ObjectId>>,
    /// Commits known by content.
    by_content: HashMap<CommitIndex, String>,
}

impl<'a> Lookup<'a> {
    /// Prepares a tree.
    #[must_use]
    pub fn new(tree: &'a Tree, history: &History, not_reached: Option<HashSet<ObjectId>>) -> Self {
        let by_id = history.by_id();
        let mut lookup = Self {
            tree,
            by_copy: HashMap::new(),
            by_patch: HashMap::new(),
            by_lines: HashMap::new(),
            by_title: HashMap::new(),
            reverted: HashMap::new(),
            reverted_ids: Vec::new(),
            own: tree
                .entries
                .iter()
                .enumerate()
                .filter_map(|(index, entry)| Some((entry.id?, index)))
                .collect(),
            not_reached,
            by_content: HashMap::new(),
        };
        for (index, entry) in tree.entries.iter().enumerate() {
            for copy in &entry.copies {
                if let Found::One(commit) = by_id.find(copy) {
                    lookup.by_copy.entry(commit).or_insert(index);
                }
            }
            if let Some(id) = entry.facts.id {
                lookup.by_patch.entry(id).or_insert(index);
            }
            if let Some(id) = entry.facts.lines {
                lookup.by_lines.entry(id).or_insert(index);
            }
            if !entry.normal.is_empty() {
                lookup.by_title.entry(&entry.normal).or_default().push(index);
            }
            if let Some(title) = message::reverted_title(&entry.title) {
                lookup.reverted.entry(message::normal_title(title)).or_insert(index);
            }
            if !entry.reverts.is_empty() {
                lookup.reverted_ids.push(index);
            }
        }
        lookup
    }

    /// Adds what was found by content.
    pub fn add_content(&mut self, commit: CommitIndex, place: String) {
        self.by_content.insert(commit, place);
    }

    /// Whether it can be said at all that the tree reaches a commit by itself.
    #[must_use]
    pub fn knows_base(&self) -> bool {
        self.not_reached.is_some()
    }

    /// Whether the tree's own history reaches a commit; `None` if it has none.
    #[must_use]
    pub fn reaches(&self, commit: &ObjectId) -> Option<bool> {
        self.not_reached.as_ref().map(|missing| !missing.contains(commit))
    }

    /// Whether the tree has a commit that is not part of the history: an entry says to be a copy of it, or
    /// has its title and its author.
    #[must_use]
    pub fn has(&self, commit: &Commit) -> bool {
        let normal = message::normal_title(commit.subject());
        let titled = self.by_title.get(normal.as_str()).map_or(&[][..], Vec::as_slice);
        let by_author = |at: &usize| {
            let author = self.tree.entries.get(*at).and_then(|entry| entry.author.as_deref());
            author.is_none_or(|author| author == commit.author_name())
        };
        let copies = |entry: &Entry| entry.copies.iter().any(|copy| copy.matches(&commit.id));
        titled.iter().any(by_author) || self.tree.entries.iter().any(copies)
    }

    /// Where a commit is.
    #[must_use]
    pub fn find(&self, history: &History, patches: &Patches, index: CommitIndex) -> Option<Place> {
        let commit = history.commit(index)?;
        if self.reaches(&commit.id) == Some(true) {
            return Some(Place::of(Method::Ancestor, "base".to_owned()));
        }
        let own = patches.get(&index);
        let normal = message::normal_title(commit.subject());
        let titled = self.by_title.get(normal.as_str()).map_or(&[][..], Vec::as_slice);
        let author = commit.author_name();
        let by_author = |entry: &&usize| {
            let entry = self.tree.entries.get(**entry);
            entry.and_then(|entry| entry.author.as_deref()).is_some_and(|name| name == author)
        };
        let marker = match self.tree.kind {
            TreeKind::Cna => Method::Cna,
            TreeKind::Git | TreeKind::Patches | TreeKind::DebianChangelog => Method::Marker,
        };
        let patch = |map: &HashMap<PatchId, usize>, id: Option<PatchId>| {
            id.and_then(|id| map.get(&id).copied())
        };
        // A tree that names authors and has the title under another one has another commit.
        let unnamed = |entry: &&usize| {
            self.tree.entries.get(**entry).is_some_and(|entry| entry.author.is_none())
        };
        let found = [
            (marker, self.by_copy.get(&index).copied()),
            (Method::PatchId, patch(&self.by_patch, own.and_then(|facts| facts.id))),
            (Method::TitleAndAuthor, titled.iter().find(by_author).copied()),
            (Method::ChangedLines, patch(&self.by_lines, own.and_then(|facts| facts.lines))),
            (Method::Title, titled.iter().find(unnamed).copied()),
        ];
        let found = found.into_iter().find_map(|(method, at)| Some((method, at?)));
        let Some((method, at)) = found else {
            let place = self.by_content.get(&index)?.clone();
            return Some(Place::of(Method::Content, place));
        };
        let entry = self.tree.entries.get(at)?;
        let reverted = self.reverted_by(at, &normal);
        let reverted = reverted.and_then(|at| self.tree.entries.get(at));
        Some(Place {
            method,
            place: entry.place.clone(),
            month: entry.month.clone(),
            path: entry.path,
            reverted: reverted.map(|entry| entry.place.clone()),
        })
    }

    /// The newer entry that takes back the entry at `at`.
    fn reverted_by(&self, at: usize, normal: &str) -> Option<usize> {
        let by_title = self.reverted.get(normal).copied().filter(|revert| *revert < at);
        by_title.or_else(|| {
            self.reverted_ids.iter().copied().filter(|revert| *revert < at).find(|revert| {
                let reverts = self.tree.entries.get(*revert).map_or(&[][..], |e| &e.reverts);
                reverts.iter().any(|prefix| self.own.find(prefix) == Found::One(at))
            })
        })
    }
}
