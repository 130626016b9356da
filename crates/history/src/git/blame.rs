// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which commits brought the lines of a file last: `git blame`, one process for each file of a patch.

use super::records::Source;
use super::{GitError, Repository, Result};
use crate::ids::{FilePath, ObjectId};

/// Lines that stand together and came last with one commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blamed {
    /// The commit; `None` if it is one of those that were not to be asked about.
    pub commit: Option<ObjectId>,
    /// The first line, counted from 1.
    pub start: u32,
    /// How many.
    pub count: u32,
}

/// Reads what `git blame --incremental` writes: records that begin with `ID OLD NEW COUNT` and end with
/// `filename …`. What else is told of a commit stands in its first record only.
#[derive(Debug, Default)]
pub struct Reader {
    open: Option<(ObjectId, Blamed)>,
    boundary: std::collections::HashSet<ObjectId>,
    found: Vec<Blamed>,
}

impl Reader {
    /// A line without its end.
    ///
    /// # Errors
    /// A record does not begin as it should: the line as text.
    pub fn line(&mut self, line: &[u8]) -> std::result::Result<(), String> {
        let text = String::from_utf8_lossy(line);
        let Some((id, _)) = self.open else {
            self.open = Some(head(&text).ok_or_else(|| text.chars().take(60).collect::<String>())?);
            return Ok(());
        };
        if text == "boundary" {
            self.boundary.insert(id);
        } else if text.starts_with("filename ")
            && let Some((id, mut blamed)) = self.open.take()
        {
            blamed.commit = Some(id).filter(|id| !self.boundary.contains(id));
            self.found.push(blamed);
        }
        Ok(())
    }

    /// What was read, in the order of lines.
    #[must_use]
    pub fn finish(mut self) -> Vec<Blamed> {
        self.found.sort_by_key(|blamed| blamed.start);
        self.found
    }
}

fn head(text: &str) -> Option<(ObjectId, Blamed)> {
    let mut words = text.split(' ');
    let id = ObjectId::from_hex(words.next()?)?;
    let _old: u32 = words.next()?.parse().ok()?;
    let (start, count) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((id, Blamed { commit: None, start, count }))
}

/// Most ranges of lines that one question has: a command line is not endless.
const MOST_RANGES: usize = 500;

impl Repository {
    /// Who brought lines of a file as it is before a commit. `ranges` are (first line, how many). What
    /// `known` reaches is not asked about. Lines that a commit moved from another file are those of who
    /// brought them there.
    ///
    /// # Errors
    /// Those of git, e.g. that the file is not there.
    pub fn blame(
        &self,
        before: ObjectId,
        path: &FilePath,
        ranges: &[(u32, u32)],
        known: ObjectId,
    ) -> Result<Vec<Blamed>> {
        let lines: Vec<String> = ranges
            .iter()
            .filter(|(start, count)| *start > 0 && *count > 0)
            .take(MOST_RANGES)
            .map(|(start, count)| format!("-L{start},+{count}"))
            .collect();
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments = vec!["--incremental", "--root", "--no-textconv", "-C"];
        arguments.extend(lines.iter().map(String::as_str));
        let (before, known) = (format!("{before}^"), format!("^{known}"));
        // Paths are taken from where git runs.
        let path = format!("{}{path}", self.up);
        arguments.extend([before.as_str(), &known, "--", &path]);
        let mut stream = self.stream("blame", &arguments, Vec::new())?;
        let mut reader = Reader::default();
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line)? {
            reader.line(&line).map_err(|what| GitError::Output { command: "blame", what })?;
        }
        stream.finish()?;
        Ok(reader.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let text = format!(
            "{a} 3 5 2\nauthor boundary\nsummary filename x\nboundary\nfilename f\n{b} 1 1 4\nfilename g\n\
             {a} 9 8 1\nfilename f"
        );
        let mut reader = Reader::default();
        text.lines().for_each(|line| reader.line(line.as_bytes()).unwrap());
        let known = ObjectId::from_hex(&b);
        let want = [(known, 1, 4), (None, 5, 2), (None, 8, 1)];
        let found = reader.finish();
        assert_eq!(found.iter().map(|b| (b.commit, b.start, b.count)).collect::<Vec<_>>(), want);
        assert!(Reader::default().line(b"fatal").is_err());
    }
}
