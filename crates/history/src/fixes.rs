// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which commit mends or takes back which.

use crate::ids::{Found, IdPrefix, ObjectId};
use crate::message::Message;
use crate::model::{CommitIndex, History};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a `Fixes:` line or a revert leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A commit of the history.
    Known(CommitIndex),
    /// A commit of the repository outside of what was read.
    Elsewhere(ObjectId),
    /// A commit that is not part of what was read; no repository tells more.
    Unknown,
    /// Several commits begin so.
    Ambiguous,
    /// No id.
    Malformed,
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edge {
    /// The commit that has it.
    pub from: CommitIndex,
    /// What it leads to.
    pub target: Target,
    /// The id as it stands.
    pub text: String,
    /// It takes back instead of mending.
    pub revert: bool,
}

/// All lines of a history.
#[derive(Clone, Debug, Default)]
pub struct FixGraph {
    /// The lines, in the order of commits.
    pub edges: Vec<Edge>,
    by_commit: HashMap<CommitIndex, Vec<usize>>,
    fixed_by: HashMap<CommitIndex, Vec<CommitIndex>>,
}

/// Counts of lines.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct FixFigures {
    /// `Fixes:` lines of commits that change something inside.
    pub fixes: usize,
    /// Those that lead to such a commit.
    pub inside_range: usize,
    /// Those that lead elsewhere.
    pub elsewhere: usize,
    /// Those that lead to several commits.
    pub ambiguous: usize,
    /// Those without an id.
    pub malformed: usize,
    /// Commits taken back.
    pub reverts: usize,
    /// Commits by how many levels of fixes followed: 1 was mended, 2 had a fix that was mended.
    pub depth: BTreeMap<usize, usize>,
}

/// More levels of fixes are not counted.
const DEEPEST: usize = 100;

impl FixGraph {
    /// Reads all lines. `elsewhere` looks up what the history does not have.
    #[must_use]
    pub fn new(history: &History, elsewhere: &HashMap<IdPrefix, Found<ObjectId>>) -> Self {
        let by_id = history.by_id();
        let find = |prefix: &IdPrefix| match by_id.find(prefix) {
            Found::One(index) => Target::Known(index),
            Found::Ambiguous => Target::Ambiguous,
            Found::Nothing => match elsewhere.get(prefix) {
                Some(Found::One(id)) => by_id.get(id).map_or(Target::Elsewhere(*id), Target::Known),
                Some(Found::Ambiguous) => Target::Ambiguous,
                Some(Found::Nothing) | None => Target::Unknown,
            },
        };
        let mut graph = Self::default();
        for (from, commit) in history.indexed() {
            let message = Message::parse(&commit.message);
            for tag in message.fixes {
                let (target, text) = match &tag.target {
                    Some(prefix) => (find(prefix), prefix.to_string()),
                    None => (Target::Malformed, tag.text.clone()),
                };
                graph.add(Edge { from, target, text, revert: false });
            }
            for prefix in message.reverts {
                let target = find(&prefix);
                graph.add(Edge { from, target, text: prefix.to_string(), revert: true });
            }
        }
        graph
    }

    /// The beginnings of ids that the history does not have.
    #[must_use]
    pub fn wanted(history: &History) -> Vec<IdPrefix> {
        let by_id = history.by_id();
        let mut wanted: Vec<IdPrefix> = history
            .indexed()
            .flat_map(|(_, commit)| {
                let message = Message::parse(&commit.message);
                message.fixes.into_iter().filter_map(|tag| tag.target).chain(message.reverts)
            })
            .filter(|prefix| by_id.find(prefix) == Found::Nothing)
            .collect();
        wanted.sort();
        wanted.dedup();
        wanted
    }

    fn add(&mut self, edge: Edge) {
        self.by_commit.entry(edge.from).or_default().push(self.edges.len());
        if let (Target::Known(target), false) = (edge.target, edge.revert) {
            let list = self.fixed_by.entry(target).or_default();
            if !list.contains(&edge.from) {
                list.push(edge.from);
            }
        }
        self.edges.push(edge);
    }

    /// The lines of a commit.
    pub fn of(&self, commit: CommitIndex) -> impl Iterator<Item = &Edge> {
        let indices = self.by_commit.get(&commit).map_or(&[][..], Vec::as_slice);
        indices.iter().filter_map(|index| self.edges.get(*index))
    }

    /// The commits that mend a commit.
    #[must_use]
    pub fn fixed_by(&self, commit: CommitIndex) -> &[CommitIndex] {
        self.fixed_by.get(&commit).map_or(&[], Vec::as_slice)
    }

    /// How many levels of fixes follow a commit: 1 if it was mended, 2 if a fix of it was mended in turn.
    /// Lines that lead in a circle, which only a forged message has, end there, and so do very long chains.
    #[must_use]
    pub fn depth(&self, commit: CommitIndex) -> usize {
        let mut level = vec![commit];
        let mut seen = HashSet::from([commit]);
        let mut depth = 0;
        loop {
            let later = level.iter().flat_map(|index| self.fixed_by(*index)).copied();
            let next: Vec<CommitIndex> = later.filter(|index| seen.insert(*index)).collect();
            if next.is_empty() || depth >= DEEPEST {
                return depth;
            }
            depth += 1;
            level = next;
        }
    }

    /// Counts over the commits that change something inside.
    #[must_use]
    pub fn figures(&self, history: &History) -> FixFigures {
        let mut figures = FixFigures::default();
        for (index, _) in history.touching() {
            for edge in self.of(index) {
                if edge.revert {
                    figures.reverts += 1;
                    continue;
                }
                figures.fixes += 1;
                match edge.target {
                    Target::Known(target) if target.get() < history.inside => {
                        figures.inside_range += 1;
                    }
                    Target::Known(_) | Target::Elsewhere(_) | Target::Unknown => {
                        figures.elsewhere += 1;
                    }
                    Target::Ambiguous => figures.ambiguous += 1,
                    Target::Malformed => figures.malformed += 1,
                }
            }
            *figures.depth.entry(self.depth(index)).or_default() += 1;
        }
        figures
    }
}
