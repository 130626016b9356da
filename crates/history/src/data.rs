// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Commits and patch sets as JSON, in the form of github.com/danobi/verifier-analysis: `commits.json` holds
//! the commits that touch a file, `patchsets.json` the merged sets with all of their commits.

use crate::ids::{FilePath, ObjectId, Paths};
use crate::model::{Commit, CommitIndex, Date, History, PatchSet, Range};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Why JSON is not in the form.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Not JSON, or not of the form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A date that git would not write.
    #[error("commit {0}: the date '{1}' is not of the form 2024-12-17 16:09:24 -0800")]
    Date(ObjectId, String),
    /// More commits than can be counted.
    #[error("more than 2^32 commits")]
    TooMany,
}

#[derive(Serialize, Deserialize)]
struct Metadata {
    target_file: String,
    start_ref: String,
    end_ref: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commit_count: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patchset_count: Option<usize>,
}

#[derive(Serialize, Deserialize)]
struct CommitsFile {
    metadata: Metadata,
    commits: Vec<CommitRecord>,
}

#[derive(Serialize, Deserialize)]
struct PatchSetsFile {
    metadata: Metadata,
    patchsets: Vec<SetRecord>,
}

/// A commit of either file: in the one the message is whole, in the other without its first line.
#[derive(Serialize, Deserialize)]
struct CommitRecord {
    hash: ObjectId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    message: String,
    author: String,
    date: String,
    modified_files: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct SetRecord {
    merge_hash: ObjectId,
    merge_subject: String,
    merge_body: String,
    merge_author: String,
    merge_date: String,
    commits: Vec<CommitRecord>,
}

fn date(id: ObjectId, text: &str) -> Result<Date, DataError> {
    Date::parse(text).ok_or_else(|| DataError::Date(id, text.chars().take(40).collect()))
}

impl CommitRecord {
    fn into_commit(self, paths: &mut Paths) -> Result<Commit, DataError> {
        let date = date(self.hash, &self.date)?;
        let message = match self.subject {
            Some(subject) if self.message.is_empty() => subject,
            Some(subject) => format!("{subject}\n\n{}", self.message),
            None => self.message,
        };
        let mut files: Vec<FilePath> =
            self.modified_files.iter().map(|path| paths.get(path)).collect();
        files.sort();
        files.dedup();
        let message = message.trim_end().to_owned();
        Ok(Commit { id: self.hash, author: self.author, date, message, files })
    }

    /// A record of `commits.json`.
    fn whole(commit: &Commit) -> Self {
        Self {
            hash: commit.id,
            subject: None,
            message: commit.message.clone(),
            author: commit.author.clone(),
            date: commit.date.to_string(),
            modified_files: commit.files.iter().map(|path| path.as_str().to_owned()).collect(),
        }
    }

    /// A record of `patchsets.json`.
    fn split(commit: &Commit) -> Self {
        let subject = Some(commit.subject().to_owned());
        Self { subject, message: commit.body().to_owned(), ..Self::whole(commit) }
    }
}

/// Reads `commits.json`, and `patchsets.json` if it is there.
///
/// # Errors
/// What is not in the form.
pub fn read(commits: &[u8], patchsets: Option<&[u8]>) -> Result<History, DataError> {
    let mut paths = Paths::default();
    let file: CommitsFile = serde_json::from_slice(commits)?;
    let range = Range {
        target: file.metadata.target_file,
        start: file.metadata.start_ref,
        end: file.metadata.end_ref,
    };
    let mut history = History { range, ..History::default() };
    let mut known: HashMap<ObjectId, CommitIndex> = HashMap::new();
    for record in file.commits {
        add(&mut history.commits, &mut known, record.into_commit(&mut paths)?)?;
    }
    history.inside = history.commits.len();
    let sets = match patchsets {
        Some(bytes) => serde_json::from_slice::<PatchSetsFile>(bytes)?.patchsets,
        None => Vec::new(),
    };
    for record in sets {
        let mut members = Vec::new();
        for commit in record.commits {
            let commit = commit.into_commit(&mut paths)?;
            members.push(add(&mut history.commits, &mut known, commit)?);
        }
        history.sets.push(PatchSet {
            merge: record.merge_hash,
            subject: record.merge_subject,
            body: record.merge_body,
            author: record.merge_author,
            date: date(record.merge_hash, &record.merge_date)?,
            commits: members,
        });
    }
    Ok(history)
}

/// Adds a commit unless it is known.
fn add(
    commits: &mut Vec<Commit>,
    known: &mut HashMap<ObjectId, CommitIndex>,
    commit: Commit,
) -> Result<CommitIndex, DataError> {
    if let Some(index) = known.get(&commit.id) {
        return Ok(*index);
    }
    let index = CommitIndex(u32::try_from(commits.len()).map_err(|_| DataError::TooMany)?);
    known.insert(commit.id, index);
    commits.push(commit);
    Ok(index)
}

fn metadata(range: &Range) -> Metadata {
    Metadata {
        target_file: range.target.clone(),
        start_ref: range.start.clone(),
        end_ref: range.end.clone(),
        commit_count: None,
        patchset_count: None,
    }
}

/// Writes `commits.json`.
///
/// # Errors
/// Those of the stream.
pub fn write_commits(history: &History, out: impl std::io::Write) -> serde_json::Result<()> {
    let metadata = Metadata { commit_count: Some(history.inside), ..metadata(&history.range) };
    let commits = history.touching().map(|(_, commit)| CommitRecord::whole(commit)).collect();
    serde_json::to_writer_pretty(out, &CommitsFile { metadata, commits })
}

/// Writes `patchsets.json`.
///
/// # Errors
/// Those of the stream.
pub fn write_patchsets(history: &History, out: impl std::io::Write) -> serde_json::Result<()> {
    let metadata =
        Metadata { patchset_count: Some(history.sets.len()), ..metadata(&history.range) };
    let patchsets = history
        .sets
        .iter()
        .map(|set| SetRecord {
            merge_hash: set.merge,
            merge_subject: set.subject.clone(),
            merge_body: set.body.clone(),
            merge_author: set.author.clone(),
            merge_date: set.date.to_string(),
            commits: history.commits_of(set).map(|(_, c)| CommitRecord::split(c)).collect(),
        })
        .collect();
    serde_json::to_writer_pretty(out, &PatchSetsFile { metadata, patchsets })
}
