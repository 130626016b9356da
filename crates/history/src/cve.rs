// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Vulnerabilities as the kernel's CNA publishes them: per vulnerability pairs of the commit that brought it
//! and the commit that ended it, in mainline and in each stable tree.

use crate::ids::{FilePath, ObjectId};
use crate::version::{Branch, Release};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// From where to where a kernel is vulnerable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pair {
    /// Since which release; `None` if since always.
    pub since: Option<Release>,
    /// By which commit.
    pub by: Option<ObjectId>,
    /// The release that ends it; `None` if none does.
    pub fixed: Option<Release>,
    /// The commit that does.
    pub fix: Option<ObjectId>,
}

/// A vulnerability.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cve {
    /// `CVE-2024-12345`.
    pub number: String,
    /// Commits of mainline that fix it.
    pub fixes: Vec<ObjectId>,
    /// Files that the fix changes, where known; tests may be among them.
    pub files: Vec<FilePath>,
    /// Title of the fix, where known.
    pub title: Option<String>,
    /// Who is vulnerable.
    pub pairs: Vec<Pair>,
}

/// Whether a branch is vulnerable. This reads pairs; it is not the CNA's own tool.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CveStatus {
    /// It never had it.
    NotAffected,
    /// It had it.
    Fixed,
    /// It has it.
    Open,
}

impl Cve {
    /// The state of a branch.
    #[must_use]
    pub fn status(&self, branch: Branch) -> CveStatus {
        let reaches = |release: Release| match release.patch {
            0 => release.branch <= branch,
            _ => release.branch == branch,
        };
        let affected = self.pairs.iter().any(|pair| pair.since.is_none_or(reaches));
        let fixed = self.pairs.iter().any(|pair| pair.fixed.is_some_and(reaches));
        match (affected, fixed) {
            (false, _) => CveStatus::NotAffected,
            (true, true) => CveStatus::Fixed,
            (true, false) => CveStatus::Open,
        }
    }

    /// The commit that fixes it in a branch.
    #[must_use]
    pub fn fix_in(&self, branch: Branch) -> Option<&Pair> {
        let of = |pair: &&Pair| pair.fixed.is_some_and(|fixed| fixed.branch == branch);
        self.pairs.iter().rfind(of)
    }
}

/// Why a description cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CveError {
    /// Not JSON of the form.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A line that is no pair.
    #[error("line {0} is not of the form VERSION:COMMIT:VERSION:COMMIT")]
    Line(usize),
    /// A text that is not the id of a commit.
    #[error("{0}: '{1}' is not the id of a commit")]
    Id(String, String),
}

fn pair(fields: [&str; 4]) -> Option<Pair> {
    let [since, by, fixed, fix] = fields.map(str::trim);
    let release = |text: &str| match text {
        "0" | "" => Some(None),
        text => Release::parse(text).map(Some),
    };
    let id = |text: &str| match text {
        "0" | "" => Some(None),
        text => ObjectId::from_hex(text).map(Some),
    };
    Some(Pair { since: release(since)?, by: id(by)?, fixed: release(fixed)?, fix: id(fix)? })
}

/// Reads a `.dyad` file: lines `VERSION:COMMIT:VERSION:COMMIT`, comments with `#`.
///
/// # Errors
/// Another line.
pub fn read_dyad(number: &str, text: &str) -> Result<Cve, CveError> {
    let mut cve = Cve { number: number.to_owned(), ..Cve::default() };
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split(':').collect();
        let fields = <[&str; 4]>::try_from(fields).ok();
        cve.pairs.push(fields.and_then(pair).ok_or(CveError::Line(index + 1))?);
    }
    cve.fixes = mainline_fixes(&cve.pairs);
    Ok(cve)
}

/// The fixes that are part of a first release: those of mainline.
fn mainline_fixes(pairs: &[Pair]) -> Vec<ObjectId> {
    let mut fixes: Vec<ObjectId> = pairs
        .iter()
        .filter(|pair| pair.fixed.is_some_and(|fixed| fixed.patch == 0))
        .filter_map(|pair| pair.fix)
        .collect();
    fixes.sort();
    fixes.dedup();
    fixes
}

#[derive(Deserialize)]
struct Record {
    sha: Vec<String>,
    files: Vec<String>,
    pairs: Vec<[String; 4]>,
    #[serde(default)]
    title: Option<String>,
}

/// Reads many at once: an object with a member per number, each with `sha`, `files`, `pairs` (four texts
/// each, as in a `.dyad` line) and `title`.
///
/// # Errors
/// JSON that is not so.
pub fn read_json(bytes: &[u8]) -> Result<Vec<Cve>, CveError> {
    let records: BTreeMap<String, Record> = serde_json::from_slice(bytes)?;
    let mut list = Vec::new();
    for (number, record) in records {
        let mut cve = Cve { number, title: record.title, ..Cve::default() };
        for text in record.sha {
            let id = ObjectId::from_hex(&text);
            cve.fixes.push(id.ok_or_else(|| CveError::Id(cve.number.clone(), text))?);
        }
        cve.files = record.files.iter().map(|path| path.as_str().into()).collect();
        cve.files.sort();
        for (index, fields) in record.pairs.iter().enumerate() {
            let fields = fields.each_ref().map(String::as_str);
            cve.pairs.push(pair(fields).ok_or(CveError::Line(index + 1))?);
        }
        list.push(cve);
    }
    Ok(list)
}

#[derive(Deserialize)]
struct Published {
    containers: Containers,
}

#[derive(Deserialize)]
struct Containers {
    cna: Cna,
}

#[derive(Deserialize)]
struct Cna {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    affected: Vec<Affected>,
}

#[derive(Deserialize)]
struct Affected {
    #[serde(default, rename = "programFiles")]
    files: Vec<String>,
}

/// Adds files and title from a published record (`CVE-….json`, format CVE 5).
///
/// # Errors
/// JSON that is not so.
pub fn add_published(cve: &mut Cve, bytes: &[u8]) -> Result<(), CveError> {
    let record: Published = serde_json::from_slice(bytes)?;
    cve.title = record.containers.cna.title;
    cve.files = record
        .containers
        .cna
        .affected
        .iter()
        .flat_map(|affected| &affected.files)
        .map(|path| path.as_str().into())
        .collect();
    cve.files.sort();
    cve.files.dedup();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "b5dc0163d8fd78e64a7e21f309cf932fda34353e";

    #[test]
    fn pairs_tell_who_is_vulnerable() {
        let text = format!("# c\n5.3:{A}:6.6.64:{A}\n5.3:{A}:6.8:{A}\n5.4.7:{A}:0:0\n");
        let cve = read_dyad("CVE-2023-1", &text).unwrap();
        assert_eq!(cve.fixes.len(), 1);
        let status = |major, minor| cve.status(Branch { major, minor });
        assert_eq!(status(5, 2), CveStatus::NotAffected);
        assert_eq!(status(6, 1), CveStatus::Open);
        assert_eq!(status(6, 6), CveStatus::Fixed);
        assert_eq!(status(6, 12), CveStatus::Fixed);
        assert!(read_dyad("x", "5.3:abc:0:0").is_err());
        assert!(read_dyad("x", "5.3:0").is_err());
    }
}
