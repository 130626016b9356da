// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What git writes, taken apart: records of a log, and patches of many commits.

use super::{GitError, Result};
use crate::ids::{FilePath, ObjectId, Paths};
use crate::model::{Commit, Date};
use crate::patch::{FilePatch, Parser};

/// Where git's bytes come from: a process, or what one wrote before.
pub(super) trait Source {
    /// Reads up to the next `end` and leaves that out; `false` at the end of all.
    fn read_until(&mut self, end: u8, into: &mut Vec<u8>) -> Result<bool>;
}

impl Source for &[u8] {
    fn read_until(&mut self, end: u8, into: &mut Vec<u8>) -> Result<bool> {
        into.clear();
        if self.is_empty() {
            return Ok(false);
        }
        let mut parts = self.splitn(2, |byte| *byte == end);
        into.extend_from_slice(parts.next().unwrap_or(b""));
        *self = parts.next().unwrap_or(b"");
        Ok(true)
    }
}

/// One record of a log: fields of the commit, and its files if they were asked for.
pub(super) struct Record {
    pub(super) id: ObjectId,
    author: String,
    date: Date,
    message: String,
    files: Vec<FilePath>,
}

/// Reads the records of a log.
pub(super) struct Records<'a, S> {
    pub(super) source: S,
    paths: &'a mut Paths,
    /// The id of the next record, if it was read already.
    next: Option<ObjectId>,
    field: Vec<u8>,
}

impl<'a, S: Source> Records<'a, S> {
    pub(super) fn new(source: S, paths: &'a mut Paths) -> Self {
        Self { source, paths, next: None, field: Vec::new() }
    }

    fn bad(&self, what: &str) -> GitError {
        let field: String = String::from_utf8_lossy(&self.field).chars().take(60).collect();
        GitError::Output { command: "log", what: format!("{what}: {field:?}") }
    }

    /// The next field; `None` at the end of all.
    fn field(&mut self) -> Result<Option<&[u8]>> {
        let more = self.source.read_until(0, &mut self.field)?;
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
    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        let id = match self.next.take() {
            Some(id) => id,
            None => match self.id()? {
                Some(id) => id,
                None => return Ok(None),
            },
        };
        let author = self.text()?;
        let date = self.date()?;
        let message = self.text()?.trim_end().to_owned();
        let files = self.files()?;
        Ok(Some(Record { id, author, date, message, files }))
    }

    /// A date. Years of six digits and more are possible, and nothing that matters hangs on them.
    fn date(&mut self) -> Result<Date> {
        let text = self.text()?;
        let digits = text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
        match Date::parse(&text) {
            Some(date) => Ok(date),
            None if digits => Ok(Date::UNKNOWN),
            None => Err(self.bad("not a date")),
        }
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
}

impl From<Record> for Commit {
    fn from(r: Record) -> Self {
        Self { id: r.id, author: r.author, date: r.date, message: r.message, files: r.files }
    }
}

/// Reads the patches of commits: each begins with a line that is its id.
pub(super) fn read_patches(
    source: &mut impl Source,
    mut take: impl FnMut(ObjectId, Vec<FilePatch>),
) -> Result<()> {
    let mut parser = Parser::default();
    let mut current: Option<ObjectId> = None;
    let mut line = Vec::new();
    while source.read_until(b'\n', &mut line)? {
        let id = match parser.in_hunk() {
            true => None,
            false => std::str::from_utf8(&line).ok().and_then(ObjectId::from_hex),
        };
        match id {
            Some(id) => {
                if let Some(last) = current.replace(id) {
                    take(last, parser.take());
                }
            }
            None => parser.line(&line),
        }
    }
    if let Some(last) = current {
        take(last, parser.take());
    }
    Ok(())
}

/// Reads the commits of a log that git wrote before, in the form that repositories are asked for: fields that
/// end with a zero byte.
///
/// # Errors
/// It is not of that form.
pub fn commits_of_log(bytes: &[u8]) -> Result<Vec<Commit>> {
    let mut paths = Paths::default();
    let mut records = Records::new(bytes, &mut paths);
    let mut commits = Vec::new();
    while let Some(record) = records.next()? {
        commits.push(record.into());
    }
    Ok(commits)
}

/// Reads the patches that `git diff-tree --stdin -p` wrote before.
#[must_use]
pub fn patches_of_diff(mut bytes: &[u8]) -> Vec<(ObjectId, Vec<FilePatch>)> {
    let mut patches = Vec::new();
    // A slice is read without errors.
    let _ = read_patches(&mut bytes, |id, files| patches.push((id, files)));
    patches
}
