// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Commits, merged sets, patches and trees out of git's streams.

use super::graph::Graph;
use super::{GitError, Repository, Result, Stream};
use crate::boundary::Boundary;
use crate::glob::Glob;
use crate::ids::{FilePath, Found, IdPrefix, ObjectId, Paths};
use crate::model::{Commit, CommitIndex, Date, History, PatchSet, Range};
use crate::patch::{FilePatch, Parser};
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
}

/// Is told how many of a stage are read, now and then.
pub type Progress<'a> = dyn FnMut(Stage, usize) + 'a;

/// What is read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// `A..B`, or `B` for all of its history; `HEAD` if it is empty.
    pub range: String,
}

/// One record of a log: fields of the commit, and its files if they were asked for.
struct Record {
    id: ObjectId,
    author: String,
    date: Date,
    message: String,
    files: Vec<FilePath>,
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

/// Reads the records of a log.
struct Records<'a> {
    stream: Stream,
    paths: &'a mut Paths,
    /// The id of the next record, if it was read already.
    next: Option<ObjectId>,
    field: Vec<u8>,
}

impl<'a> Records<'a> {
    fn new(stream: Stream, paths: &'a mut Paths) -> Self {
        Self { stream, paths, next: None, field: Vec::new() }
    }

    fn bad(&self, what: &str) -> GitError {
        let field: String = String::from_utf8_lossy(&self.field).chars().take(60).collect();
        GitError::Output { command: "log", what: format!("{what}: {field:?}") }
    }

    /// The next field; `None` at the end of all.
    fn field(&mut self) -> Result<Option<&[u8]>> {
        let more = self.stream.read_until(0, &mut self.field)?;
        Ok(more.then_some(self.field.as_slice()))
    }

    fn text(&mut self) -> Result<String> {
        match self.field()? {
            Some(field) => Ok(String::from_utf8_lossy(field).into_owned()),
            None => Err(self.bad("a record ends early")),
        }
    }

    /// The next record. Between records stand empty fields and line ends; a list of files begins with a
    /// line end and stops at an empty field.
    fn next(&mut self) -> Result<Option<Record>> {
        let id = match self.next.take() {
            Some(id) => id,
            None => match self.id()? {
                Some(id) => id,
                None => return Ok(None),
            },
        };
        let author = self.text()?;
        let date = Date::parse(&self.text()?).ok_or_else(|| self.bad("not a date"))?;
        let message = self.text()?.trim_end().to_owned();
        let files = self.files()?;
        Ok(Some(Record { id, author, date, message, files }))
    }

    /// The id that begins a record, after empty fields.
    fn id(&mut self) -> Result<Option<ObjectId>> {
        loop {
            let Some(field) = self.field()? else { return Ok(None) };
            if field.is_empty() || field == b"\n" {
                continue;
            }
            let text = String::from_utf8_lossy(field);
            return match ObjectId::from_hex(text.trim_start_matches('\n')) {
                Some(id) => Ok(Some(id)),
                None => Err(self.bad("not the id of a commit")),
            };
        }
    }

    fn files(&mut self) -> Result<Vec<FilePath>> {
        let mut files = Vec::new();
        while let Some(field) = self.field()? {
            let text = String::from_utf8_lossy(field).into_owned();
            if text.is_empty() && files.is_empty() {
                continue;
            }
            match text.strip_prefix('\n') {
                Some(path) if files.is_empty() && !path.is_empty() => {
                    files.push(self.paths.get(path));
                }
                _ if files.is_empty() => {
                    // No files: this is the next record already.
                    let id = ObjectId::from_hex(&text);
                    self.next = Some(id.ok_or_else(|| self.bad("not the id of a commit"))?);
                    break;
                }
                _ if text.is_empty() => break,
                _ => files.push(self.paths.get(&text)),
            }
        }
        files.sort();
        files.dedup();
        Ok(files)
    }

    fn finish(self) -> Result<()> {
        self.stream.finish()
    }
}

impl From<Record> for Commit {
    fn from(r: Record) -> Self {
        Self { id: r.id, author: r.author, date: r.date, message: r.message, files: r.files }
    }
}

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
        let pathspecs: Vec<String> = boundary.inside.iter().map(Glob::pathspec).collect();
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
        records.finish()?;
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
        let mut arguments: Vec<&str> = LOG.to_vec();
        arguments.extend(["--no-walk=unsorted", "--stdin"]);
        let merges = merged.iter().map(|set| set.merge.to_string()).collect();
        let mut messages = HashMap::new();
        let mut records = Records::new(self.stream("log", &arguments, merges)?, paths);
        while let Some(record) = records.next()? {
            messages.insert(record.id, record);
        }
        records.finish()?;
        let is_set = |id: &ObjectId| {
            messages.get(id).is_some_and(|record| {
                !record.message.lines().next().unwrap_or("").contains("Merge tag")
            })
        };
        let missing: Vec<String> = merged
            .iter()
            .filter(|set| is_set(&set.merge))
            .flat_map(|set| &set.commits)
            .filter(|id| !known.contains_key(*id))
            .map(ToString::to_string)
            .collect();
        arguments.push("--name-only");
        if !missing.is_empty() {
            let mut records = Records::new(self.stream("log", &arguments, missing)?, paths);
            while let Some(record) = records.next()? {
                let index = u32::try_from(history.commits.len()).map_err(|_| GitError::TooMany)?;
                known.insert(record.id, CommitIndex(index));
                history.commits.push(record.into());
                progress(Stage::Sets, history.commits.len() - history.inside);
            }
            records.finish()?;
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
        let mut parser = Parser::default();
        let mut current: Option<ObjectId> = None;
        let mut line = Vec::new();
        let mut count = 0;
        while stream.read_until(b'\n', &mut line)? {
            let id = match parser.in_hunk() {
                true => None,
                false => std::str::from_utf8(&line).ok().and_then(ObjectId::from_hex),
            };
            match id {
                Some(id) => {
                    if let Some(last) = current.replace(id) {
                        take(last, parser.take());
                    }
                    count += 1;
                    if count % EVERY == 0 {
                        progress(Stage::Patches, count);
                    }
                }
                None => parser.line(&line),
            }
        }
        if let Some(last) = current {
            take(last, parser.take());
        }
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
        records.finish()?;
        Ok(tree)
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
