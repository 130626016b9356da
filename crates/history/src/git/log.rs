// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Commits, merged sets, patches and trees out of git's streams.

use super::graph::Graph;
use super::records::{Records, Source, read_patches};
use super::{GitError, Repository, Result};
use crate::boundary::Boundary;
use crate::ids::{Found, IdPrefix, ObjectId, Paths};
use crate::model::{Commit, CommitIndex, History, PatchSet, Range};
use crate::patch::FilePatch;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What is being read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Commits that change something inside.
    Commits,
    /// The graph of the range.
    Graph,
    /// Merged sets and their commits.
    Sets,
    /// Patches.
    Patches,
    /// Commits of another tree.
    Tree,
    /// Who brought lines that fixes expect.
    Blame,
}

/// Is told how many of a stage are read, now and then.
pub type Progress<'a> = dyn FnMut(Stage, usize) + 'a;

/// What is read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// `A..B`, or `B` for all of its history; `HEAD` if it is empty.
    pub range: String,
}

const FORMAT: &str = "--format=tformat:%x00%H%x00%an <%ae>%x00%ci%x00%B%x00";

/// Options that every log has.
const LOG: [&str; 9] = [
    "-z",
    "--no-color",
    "--no-notes",
    "--no-show-signature",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--encoding=UTF-8",
    FORMAT,
];

/// Those of a log of the commits that its standard input names.
const NO_WALK: [&str; 2] = ["--no-walk=unsorted", "--stdin"];

/// A range as ids: the newer end and what it excludes.
struct Ends {
    range: Range,
    arguments: Vec<String>,
}

/// How often progress is told.
const EVERY: usize = 1000;

impl Repository {
    fn ends(&self, text: &str, target: &str) -> Result<Ends> {
        if text.contains("...") {
            return Err(GitError::Revision { name: text.to_owned(), why: "no range A..B" });
        }
        let (start, end) = match text.split_once("..") {
            Some((start, end)) => (Some(start), end),
            None => (None, text),
        };
        let head = |name: &str| if name.is_empty() { "HEAD".to_owned() } else { name.to_owned() };
        let end = head(end);
        let mut arguments = vec![self.commit(&end)?.to_string()];
        if let Some(start) = start {
            arguments.push(format!("^{}", self.commit(&head(start))?));
        }
        let start = start.map(head).unwrap_or_default();
        Ok(Ends { range: Range { target: target.to_owned(), start, end }, arguments })
    }

    /// Reads the commits of a range that change something inside of a boundary, and the sets that they were
    /// merged in.
    ///
    /// # Errors
    /// Those of git.
    pub fn history(
        &self,
        options: &ReadOptions,
        boundary: &Boundary,
        progress: &mut Progress<'_>,
    ) -> Result<History> {
        let target: Vec<String> = boundary.inside.iter().map(ToString::to_string).collect();
        let ends = self.ends(&options.range, &target.join(" "))?;
        let range: Vec<&str> = ends.arguments.iter().map(String::as_str).collect();
        let pathspecs = boundary.pathspecs();
        let mut arguments: Vec<&str> = LOG.to_vec();
        arguments.extend(["--no-merges", "--full-diff", "--name-only"]);
        arguments.extend(&range);
        arguments.push("--");
        arguments.extend(pathspecs.iter().map(String::as_str));
        let mut paths = Paths::default();
        // Two walks that do not need each other.
        let (commits, graph) = std::thread::scope(|scope| {
            let graph = scope.spawn(|| Graph::read(self, &range));
            let commits = self.inside(&arguments, &mut paths, progress);
            progress(Stage::Graph, 0);
            let graph = graph.join().map_err(|_| GitError::Output {
                command: "rev-list",
                what: "a thread ended early".to_owned(),
            });
            (commits, graph)
        });
        let (commits, graph) = (commits?, graph??);
        let inside = commits.len();
        let mut history = History { range: ends.range, commits, inside, sets: Vec::new() };
        let known: HashMap<ObjectId, CommitIndex> =
            history.indexed().map(|(index, commit)| (commit.id, index)).collect();
        let merged = graph.merged_sets(|commit| known.contains_key(commit));
        self.sets(merged, known, &mut history, &mut paths, progress)?;
        Ok(history)
    }

    /// Reads the commits of a log.
    fn inside(
        &self,
        arguments: &[&str],
        paths: &mut Paths,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<Commit>> {
        let mut commits: Vec<Commit> = Vec::new();
        let mut records = Records::new(self.stream("log", arguments, Vec::new())?, paths);
        while let Some(record) = records.next()? {
            commits.push(record.into());
            if commits.len().is_multiple_of(EVERY) {
                progress(Stage::Commits, commits.len());
            }
        }
        records.source.finish()?;
        Ok(commits)
    }

    /// Completes the merged sets: messages of the merges, and the commits that are not known yet.
    fn sets(
        &self,
        merged: Vec<super::graph::Merged>,
        mut known: HashMap<ObjectId, CommitIndex>,
        history: &mut History,
        paths: &mut Paths,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        if merged.is_empty() {
            return Ok(());
        }
        let merges: Vec<ObjectId> = merged.iter().map(|set| set.merge).collect();
        let messages: HashMap<ObjectId, Commit> =
            self.commits(&merges)?.into_iter().map(|commit| (commit.id, commit)).collect();
        let is_set = |id: &ObjectId| {
            messages.get(id).is_some_and(|record| !record.subject().contains("Merge tag"))
        };
        let missing: Vec<String> = merged
            .iter()
            .filter(|set| is_set(&set.merge))
            .flat_map(|set| &set.commits)
            .filter(|id| !known.contains_key(*id))
            .map(ToString::to_string)
            .collect();
        if !missing.is_empty() {
            let mut arguments: Vec<&str> = LOG.to_vec();
            arguments.extend(NO_WALK);
            arguments.push("--name-only");
            let mut records = Records::new(self.stream("log", &arguments, missing)?, paths);
            while let Some(record) = records.next()? {
                let index = u32::try_from(history.commits.len()).map_err(|_| GitError::TooMany)?;
                known.insert(record.id, CommitIndex(index));
                history.commits.push(record.into());
                progress(Stage::Sets, history.commits.len() - history.inside);
            }
            records.source.finish()?;
        }
        for set in merged.into_iter().filter(|set| is_set(&set.merge)) {
            let Some(record) = messages.get(&set.merge) else { continue };
            let (subject, body) = record.message.split_once('\n').unwrap_or((&record.message, ""));
            history.sets.push(PatchSet {
                merge: set.merge,
                subject: subject.to_owned(),
                body: body.trim_start_matches('\n').to_owned(),
                author: record.author.clone(),
                date: record.date,
                commits: set.commits.iter().filter_map(|id| known.get(id)).copied().collect(),
            });
        }
        Ok(())
    }

    /// Reads the patches of commits, one after the other, by one process. `only` limits them to paths.
    ///
    /// # Errors
    /// Those of git.
    pub fn patches(
        &self,
        commits: Vec<ObjectId>,
        only: &[String],
        progress: &mut Progress<'_>,
        mut take: impl FnMut(ObjectId, Vec<FilePatch>),
    ) -> Result<()> {
        if commits.is_empty() {
            return Ok(());
        }
        let mut arguments = vec![
            "--stdin",
            "-r",
            "-p",
            "--root",
            "--no-renames",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--unified=3",
            "--",
        ];
        arguments.extend(only.iter().map(String::as_str));
        let input = commits.iter().map(ToString::to_string).collect();
        let mut stream = self.stream("diff-tree", &arguments, input)?;
        let mut count = 0;
        read_patches(&mut stream, |id, files| {
            count += 1;
            if count % EVERY == 0 {
                progress(Stage::Patches, count);
            }
            take(id, files);
        })?;
        stream.finish()
    }

    /// Reads the commits of another tree that a range does not have, messages only.
    ///
    /// # Errors
    /// Those of git.
    pub fn tree(&self, name: &str, end: &str, progress: &mut Progress<'_>) -> Result<RefTree> {
        let tip = self.commit(name)?;
        let end = self.commit(if end.is_empty() { "HEAD" } else { end })?;
        let exclude = format!("^{end}");
        let own = tip.to_string();
        let mut arguments: Vec<&str> = LOG.to_vec();
        arguments.extend(["--no-merges", &own, &exclude]);
        let mut paths = Paths::default();
        let mut records = Records::new(self.stream("log", &arguments, Vec::new())?, &mut paths);
        let mut tree = RefTree { tip, commits: Vec::new() };
        while let Some(record) = records.next()? {
            tree.commits.push(record.into());
            if tree.commits.len().is_multiple_of(EVERY) {
                progress(Stage::Tree, tree.commits.len());
            }
        }
        records.source.finish()?;
        Ok(tree)
    }

    /// Reads single commits, without their files, in no order.
    ///
    /// # Errors
    /// Those of git.
    pub fn commits(&self, ids: &[ObjectId]) -> Result<Vec<Commit>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments: Vec<&str> = LOG.to_vec();
        arguments.extend(NO_WALK);
        let input = ids.iter().map(ToString::to_string).collect();
        let mut paths = Paths::default();
        let mut records = Records::new(self.stream("log", &arguments, input)?, &mut paths);
        let mut commits = Vec::new();
        while let Some(record) = records.next()? {
            commits.push(record.into());
        }
        records.source.finish()?;
        Ok(commits)
    }

    /// Which of the commits a tip does not reach.
    ///
    /// # Errors
    /// Those of git.
    pub fn not_reached(&self, tip: ObjectId, commits: &[ObjectId]) -> Result<HashSet<ObjectId>> {
        let wanted: HashSet<ObjectId> = commits.iter().copied().collect();
        if wanted.is_empty() {
            return Ok(HashSet::new());
        }
        let mut input: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        input.sort();
        input.push(format!("^{tip}"));
        let mut stream = self.stream("rev-list", &["--stdin"], input)?;
        let mut missing = HashSet::new();
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line)? {
            let id = std::str::from_utf8(&line).ok().and_then(ObjectId::from_hex);
            missing.extend(id.filter(|id| wanted.contains(id)));
        }
        stream.finish()?;
        Ok(missing)
    }

    /// The commits that beginnings of ids lead to.
    ///
    /// # Errors
    /// Those of git.
    pub fn find(&self, prefixes: &[&IdPrefix]) -> Result<Vec<Found<ObjectId>>> {
        let names: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
        self.resolve(&names)
    }

    /// All paths below `under` in a commit.
    ///
    /// # Errors
    /// Those of git.
    pub fn paths(&self, commit: ObjectId, under: &str) -> Result<HashSet<String>> {
        let id = commit.to_string();
        let arguments = ["-r", "-z", "--name-only", "--full-tree", &id, "--", under];
        let mut stream = self.stream("ls-tree", &arguments, Vec::new())?;
        let mut paths = HashSet::new();
        while let Some(path) = stream.until(0)? {
            paths.insert(String::from_utf8_lossy(&path).into_owned());
        }
        stream.finish()?;
        Ok(paths)
    }

    /// The contents of files in a commit; those that it lacks are left out.
    ///
    /// # Errors
    /// Those of git.
    pub fn files(&self, commit: ObjectId, paths: &[String]) -> Result<BTreeMap<String, Vec<u8>>> {
        let paths: Vec<&String> =
            paths.iter().filter(|path| !path.contains(['\n', '\0'])).collect();
        let mut contents = BTreeMap::new();
        if paths.is_empty() {
            return Ok(contents);
        }
        let input = paths.iter().map(|path| format!("{commit}:{path}")).collect();
        let mut stream =
            self.stream("cat-file", &["--batch=%(objecttype) %(objectsize)"], input)?;
        for path in paths {
            let Some(head) = stream.until(b'\n')? else { break };
            let head = String::from_utf8_lossy(&head).into_owned();
            let Some((kind, size)) = head.rsplit_once(' ') else { continue };
            let Ok(size) = size.parse::<usize>() else { continue };
            let bytes = stream.exactly(size)?;
            stream.until(b'\n')?;
            if kind == "blob" {
                contents.insert(path.clone(), bytes);
            }
        }
        stream.finish()?;
        Ok(contents)
    }
}

/// Another tree of the repository.
#[derive(Clone, Debug)]
pub struct RefTree {
    /// Its newest commit.
    pub tip: ObjectId,
    /// Its commits that the range's end does not have, newest first, without files.
    pub commits: Vec<Commit>,
}
