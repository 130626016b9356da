// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The graph of a range's commits, and the merged sets in it.

use super::records::Source;
use super::{GitError, Repository, Result};
use crate::ids::ObjectId;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// More commits than this are no patch set.
const LARGEST_SET: usize = 1000;

/// Commits of a range; children stand before their parents.
#[derive(Default)]
pub(super) struct Graph {
    ids: Vec<ObjectId>,
    /// Parents in the range, and whether the commit has several parents anywhere.
    parents: Vec<Vec<u32>>,
    merges: Vec<bool>,
    by_id: HashMap<ObjectId, u32>,
}

/// A merge and what it merged.
pub(super) struct Merged {
    pub(super) merge: ObjectId,
    /// Oldest first.
    pub(super) commits: Vec<ObjectId>,
}

impl Graph {
    /// Reads the commits of a range with their parents: no trees, no messages.
    pub(super) fn read(repository: &Repository, range: &[&str]) -> Result<Self> {
        let mut arguments = vec!["--parents", "--topo-order"];
        arguments.extend(range);
        let mut stream = repository.stream("rev-list", &arguments, Vec::new())?;
        let mut rows: Vec<Vec<ObjectId>> = Vec::new();
        let mut graph = Self::default();
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line)? {
            let text = String::from_utf8_lossy(&line);
            let mut ids = text.split(' ').map_while(ObjectId::from_hex);
            let Some(id) = ids.next() else {
                let what = text.chars().take(80).collect();
                return Err(GitError::Output { command: "rev-list", what });
            };
            let index = u32::try_from(graph.ids.len()).map_err(|_| GitError::TooMany)?;
            graph.ids.push(id);
            graph.by_id.insert(id, index);
            rows.push(ids.collect());
        }
        stream.finish()?;
        for (index, row) in rows.into_iter().enumerate() {
            graph.merges.push(row.len() > 1);
            // A parent outside of the range is kept as itself: it is in nobody's set.
            let own = u32::try_from(index).map_err(|_| GitError::TooMany)?;
            let known = |id: &ObjectId| graph.by_id.get(id).copied().unwrap_or(own);
            graph.parents.push(row.iter().map(known).collect());
        }
        Ok(graph)
    }

    fn parents_of(&self, index: u32) -> &[u32] {
        self.parents.get(index as usize).map_or(&[], Vec::as_slice)
    }

    fn is_merge(&self, index: u32) -> bool {
        self.merges.get(index as usize).copied().unwrap_or(false)
    }

    /// The merges whose other side holds no merge and at least one commit that `touches` takes.
    pub(super) fn merged_sets(&self, touches: impl Fn(&ObjectId) -> bool) -> Vec<Merged> {
        let touching: Vec<bool> = self.ids.iter().map(touches).collect();
        // Whether something touches on the way from a commit down to the next merge.
        let mut ahead = touching.clone();
        for index in (0..self.ids.len()).rev() {
            let below = match self.parents.get(index).map(Vec::as_slice) {
                Some([parent]) if *parent as usize > index => {
                    !self.is_merge(*parent) && ahead.get(*parent as usize) == Some(&true)
                }
                _ => false,
            };
            if let Some(place) = ahead.get_mut(index) {
                *place |= below;
            }
        }
        let mut found = Vec::new();
        let mut marks = Marks { paint: vec![0; self.ids.len()], used: Vec::new() };
        for (index, id) in (0..).zip(&self.ids) {
            let [first, others @ ..] = self.parents_of(index) else { continue };
            let worth = others
                .iter()
                .any(|other| *other != index && ahead.get(*other as usize) == Some(&true));
            if !worth {
                continue;
            }
            let Some(side) = self.side(&mut marks, index, *first, others) else { continue };
            if side.iter().any(|commit| touching.get(*commit as usize) == Some(&true)) {
                let commits = side.iter().filter_map(|i| self.ids.get(*i as usize)).copied();
                found.push(Merged { merge: *id, commits: commits.collect() });
            }
        }
        found
    }

    /// The commits that other parents reach and the first does not, oldest first; `None` if there is a
    /// merge among them. A commit is looked at after all of its children, so that its marks are final.
    fn side(&self, marks: &mut Marks, own: u32, first: u32, others: &[u32]) -> Option<Vec<u32>> {
        let mut queue = BinaryHeap::new();
        let mut open = 0_usize;
        let add = |marks: &mut Marks, queue: &mut BinaryHeap<_>, open: &mut usize, index, how| {
            let before = marks.get(index);
            if before == 0 {
                queue.push(Reverse(index));
            }
            let after = before | how;
            // Open are those that only the other side is known to reach.
            match (before, after) {
                (0, OTHER) => *open += 1,
                (OTHER, BOTH) => *open -= 1,
                _ => {}
            }
            marks.set(index, after);
        };
        if first != own {
            add(marks, &mut queue, &mut open, first, FIRST);
        }
        for other in others.iter().filter(|other| **other != own) {
            add(marks, &mut queue, &mut open, *other, OTHER);
        }
        let mut side = Vec::new();
        let mut good = true;
        while let (true, Some(Reverse(index))) = (open > 0, queue.pop()) {
            let paint = marks.get(index);
            if paint == OTHER {
                open -= 1;
                if self.is_merge(index) || side.len() >= LARGEST_SET {
                    good = false;
                    break;
                }
                side.push(index);
            }
            for parent in self.parents_of(index).iter().filter(|parent| **parent > index) {
                add(marks, &mut queue, &mut open, *parent, paint);
            }
        }
        marks.clear();
        side.reverse();
        (good && !side.is_empty()).then_some(side)
    }
}

const FIRST: u8 = 1;
const OTHER: u8 = 2;
const BOTH: u8 = 3;

/// Marks of commits that are taken back without a walk over all.
struct Marks {
    paint: Vec<u8>,
    used: Vec<u32>,
}

impl Marks {
    fn get(&self, index: u32) -> u8 {
        self.paint.get(index as usize).copied().unwrap_or(BOTH)
    }

    fn set(&mut self, index: u32, paint: u8) {
        if let Some(place) = self.paint.get_mut(index as usize) {
            if *place == 0 {
                self.used.push(index);
            }
            *place = paint;
        }
    }

    fn clear(&mut self) {
        for index in std::mem::take(&mut self.used) {
            if let Some(place) = self.paint.get_mut(index as usize) {
                *place = 0;
            }
        }
    }
}
