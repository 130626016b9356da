// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Descriptions of stable trees: what was carried over into them.
//!
//! A tree is a list of entries, newest first. Where they come from differs in what an entry tells: a commit
//! of a repository has everything, a patch of a queue has its message and its patch, a line of a Debian
//! changelog has a title, a CNA pair has an id.

use crate::boundary::Boundary;
use crate::cve::Cve;
use crate::ids::{IdPrefix, ObjectId};
use crate::message::{self, Message};
use crate::model::Commit;
use crate::patch;
use crate::verdict::{Names, PatchFacts};
use crate::version::{Branch, Release};
use serde::Serialize;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

/// What a tree is known from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TreeKind {
    /// A branch, tag or commit of the repository.
    Git,
    /// A directory of patches, with or without a `series`.
    Patches,
    /// The changelog of a Debian package.
    DebianChangelog,
    /// Pairs of the CNA.
    Cna,
}

/// One change of a tree.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// Title as it stands.
    pub title: String,
    /// Title as it is compared.
    pub normal: String,
    /// The author's name, where known.
    pub author: Option<String>,
    /// Commits of mainline that it says to be a copy of.
    pub copies: Vec<IdPrefix>,
    /// Ids that it takes back.
    pub reverts: Vec<IdPrefix>,
    /// Its own id.
    pub id: Option<ObjectId>,
    /// Its patch, where known.
    pub facts: PatchFacts,
    /// Numbers of vulnerabilities that it names.
    pub cves: Vec<String>,
    /// How it came, as far as its message tells; nothing if only its title is known.
    pub path: Option<message::Path>,
    /// Where it stands: a version, a file, a commit.
    pub place: String,
    /// When it came, where known: `2024-01`.
    pub month: Option<String>,
}

/// A stable tree.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Its name in tables.
    pub name: String,
    /// What it is known from.
    pub kind: TreeKind,
    /// The branch that it continues.
    pub branch: Option<Branch>,
    /// What was carried over, newest first.
    pub entries: Vec<Entry>,
    /// Its newest commit, in the repository.
    pub tip: Option<ObjectId>,
    /// Paths of its tests, where a repository gives them.
    pub tests: Option<HashSet<String>>,
    /// What could not be read.
    pub warnings: Vec<String>,
}

/// Why a description cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A file or directory.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is compressed, and damaged.
    #[error("{0}: not a gzip file, or damaged")]
    Gzip(PathBuf),
    /// A file that is no changelog.
    #[error("{0}: not a Debian changelog: no line like 'linux (6.1.192-1) …'")]
    NoChangelog(PathBuf),
    /// A directory without patches.
    #[error("{0}: neither a 'series' nor patches nor .dyad files in it")]
    NoPatches(PathBuf),
}

/// More than this of a compressed file is not read: a changelog has a few megabytes.
const LARGEST: usize = 1 << 28;

fn read(path: &Path) -> Result<Vec<u8>, TreeError> {
    std::fs::read(path).map_err(|source| TreeError::Io { path: path.to_owned(), source })
}

impl Tree {
    fn new(name: &str, kind: TreeKind, branch: Option<Branch>) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            branch,
            entries: Vec::new(),
            tip: None,
            tests: None,
            warnings: Vec::new(),
        }
    }

    /// A tree of commits, newest first.
    #[must_use]
    pub fn of_commits(name: &str, tip: ObjectId, commits: &[Commit]) -> Self {
        let mut tree = Self::new(name, TreeKind::Git, Branch::in_name(name));
        tree.tip = Some(tip);
        tree.entries = commits
            .iter()
            .map(|commit| Entry {
                author: Some(commit.author_name().to_owned()),
                id: Some(commit.id),
                place: commit.id.short(),
                month: Some(commit.date.month()),
                ..Entry::of_message(commit.subject(), &commit.message)
            })
            .collect();
        tree
    }

    /// Reads a changelog of a Debian kernel package, compressed or not.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn of_changelog(name: Option<&str>, path: &Path) -> Result<Self, TreeError> {
        let entries = changelog(&read(path)?).ok_or_else(|| TreeError::Gzip(path.to_owned()))?;
        let Some(newest) = entries.first() else {
            return Err(TreeError::NoChangelog(path.to_owned()));
        };
        let branch = Release::parse(&newest.place).map(|release| release.branch);
        let name = name.map_or_else(|| newest.place.clone(), str::to_owned);
        let mut tree = Self::new(&name, TreeKind::DebianChangelog, branch);
        tree.entries = entries;
        Ok(tree)
    }

    /// Reads a directory of patches: those that its `series` names in that order, else all by name.
    ///
    /// # Errors
    /// It cannot be read, or has none.
    pub fn of_patches(
        name: &str,
        directory: &Path,
        boundary: &Boundary,
    ) -> Result<Self, TreeError> {
        let mut tree = Self::new(name, TreeKind::Patches, Branch::in_name(name));
        let mut names = Names::default();
        let series = directory.join("series");
        let files: Vec<String> = if series.is_file() {
            series_files(&String::from_utf8_lossy(&read(&series)?))
        } else {
            listing(directory, |name| name.ends_with(".patch") || name.ends_with(".diff"))?
        };
        if files.is_empty() && !series.is_file() {
            return Err(TreeError::NoPatches(directory.to_owned()));
        }
        for file in files {
            if !is_within(&file) {
                tree.warnings.push(format!("{file}: not a file of the directory"));
                continue;
            }
            match std::fs::read(directory.join(&file)) {
                Ok(bytes) => tree.entries.push(Entry::of_mail(&file, &bytes, boundary, &mut names)),
                Err(why) => tree.warnings.push(format!("{file}: {why}")),
            }
        }
        tree.entries.reverse();
        tree.warnings.extend(end_of_life(directory, tree.branch));
        Ok(tree)
    }

    /// What the CNA's pairs say of a branch.
    #[must_use]
    pub fn of_cves(name: &str, branch: Branch, cves: &[Cve]) -> Self {
        let mut tree = Self::new(name, TreeKind::Cna, Some(branch));
        for cve in cves {
            let Some(pair) = cve.fix_in(branch) else { continue };
            let ids = cve.fixes.iter().filter_map(|id| IdPrefix::new(&id.to_string()));
            let title = cve.title.clone().unwrap_or_default();
            tree.entries.push(Entry {
                normal: message::normal_title(&title),
                title,
                copies: ids.collect(),
                id: pair.fix,
                cves: vec![cve.number.clone()],
                place: cve.number.clone(),
                ..Entry::default()
            });
        }
        tree
    }
}

/// A note if the list of branches that still get fixes, beside the directories of a stable queue, lacks a
/// branch.
fn end_of_life(directory: &Path, branch: Option<Branch>) -> Option<String> {
    let branch = branch?;
    let parent = directory.canonicalize().ok()?.parent()?.join("active_kernel_versions");
    let text = std::fs::read(parent).ok()?;
    let active = active_branches(&String::from_utf8_lossy(&text));
    let ended = !active.is_empty() && !active.contains(&branch);
    ended.then(|| format!("{branch} gets no fixes any more: active_kernel_versions lacks it"))
}

/// The branches that `active_kernel_versions` of a stable queue names.
#[must_use]
pub fn active_branches(text: &str) -> Vec<Branch> {
    let lines = text.lines().filter_map(|line| line.split('#').next());
    lines.filter_map(|line| Release::parse(line.trim())).map(|release| release.branch).collect()
}

/// The names of files in a directory that `which` takes, sorted.
pub(crate) fn listing(
    directory: &Path,
    which: impl Fn(&str) -> bool,
) -> Result<Vec<String>, TreeError> {
    let io = |source| TreeError::Io { path: directory.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        names.extend(name.to_str().filter(|name| which(name)).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

impl Entry {
    /// A patch in the form of a mail, whose name is that of its file.
    #[must_use]
    pub fn of_mail(file: &str, bytes: &[u8], boundary: &Boundary, names: &mut Names) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let end = text.find("\n---\n").or_else(|| text.find("\ndiff --git ")).unwrap_or(text.len());
        let head = text.get(..end).unwrap_or("");
        let mut title = String::new();
        let mut author = None;
        let mut lines = head.lines().peekable();
        while let Some(line) = lines.next() {
            if line.trim().is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("Subject:") {
                rest.trim().clone_into(&mut title);
                // Long headers go on in lines that begin with a blank.
                while let Some(more) = lines.next_if(|next| next.starts_with([' ', '\t'])) {
                    title.push(' ');
                    title.push_str(more.trim());
                }
            } else if let Some(rest) = line.strip_prefix("From:") {
                let name = rest.split('<').next().unwrap_or("").trim().trim_matches('"');
                author = Some(name.to_owned());
            }
        }
        // The author of a mail that somebody else sent stands in its text.
        let body_from = head.lines().skip_while(|line| !line.trim().is_empty()).find_map(|line| {
            let name = line.strip_prefix("From:")?.split('<').next()?.trim().trim_matches('"');
            Some(name.to_owned())
        });
        if title.is_empty() {
            title = file.trim_end_matches(".patch").replace('-', " ");
        }
        let facts = PatchFacts::of(&patch::parse(bytes), boundary, names);
        Self {
            author: body_from.or(author),
            facts,
            place: file.to_owned(),
            ..Self::of_message(&title, head)
        }
    }

    fn of_message(title: &str, text: &str) -> Self {
        let message = Message::parse(text);
        Self {
            path: Some(message.path()),
            title: title.to_owned(),
            normal: message::normal_title(title),
            copies: message.copies,
            reverts: message.reverts,
            cves: message.cves,
            ..Self::default()
        }
    }
}

/// The files that a `series` of quilt names, in its order.
#[must_use]
pub fn series_files(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split('#').next()?.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// Whether a series names a file in its directory, not elsewhere.
fn is_within(file: &str) -> bool {
    Path::new(file).components().all(|c| matches!(c, std::path::Component::Normal(_)))
}

/// The entries of a changelog of Debian's kernel packages, compressed or not, newest first. `None` if it is
/// compressed and damaged.
#[must_use]
pub fn changelog(bytes: &[u8]) -> Option<Vec<Entry>> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return gunzip(bytes).map(|bytes| entries(&String::from_utf8_lossy(&bytes)));
    }
    Some(entries(&String::from_utf8_lossy(bytes)))
}

/// Under a line `linux (VERSION) …` items begin with `*` or `-`, and longer ones go on in lines that are
/// indented further.
fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut version = String::new();
    // The text of an item, where it begins, and whether it is a change of its own.
    let mut open: Option<(String, usize)> = None;
    let mut first_of_version = 0;
    let close = |open: &mut Option<(String, usize)>, version: &str, entries: &mut Vec<Entry>| {
        if let Some((item, _)) = open.take() {
            entries.push(changelog_entry(&item, version));
        }
    };
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        let item = content.strip_prefix("- ").or_else(|| content.strip_prefix("* "));
        if indent == 0 && !content.is_empty() {
            close(&mut open, &version, &mut entries);
            // A section's date stands after its items.
            if let Some((_, rest)) = line.split_once(" (")
                && let Some((number, _)) = rest.split_once(')')
            {
                number.clone_into(&mut version);
                first_of_version = entries.len();
            }
        } else if let Some(date) = content.strip_prefix("-- ").filter(|_| indent == 1) {
            close(&mut open, &version, &mut entries);
            let month = changelog_month(date);
            let section = entries.iter_mut().skip(first_of_version);
            section.for_each(|entry| entry.month.clone_from(&month));
            first_of_version = entries.len();
        } else if let Some(item) = item.filter(|_| !version.is_empty()) {
            close(&mut open, &version, &mut entries);
            open = Some((item.to_owned(), indent));
        } else if content.is_empty() {
            close(&mut open, &version, &mut entries);
        } else if let Some((item, _)) = open.as_mut().filter(|(_, from)| indent > *from) {
            item.push(' ');
            item.push_str(content);
        } else {
            close(&mut open, &version, &mut entries);
        }
    }
    close(&mut open, &version, &mut entries);
    entries
}

/// A section's date, `… Mon, 16 Nov 2026 11:17:40 +0100`, as `2026-11`.
fn changelog_month(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.rsplit("  ").next()?.split_whitespace().skip(2);
    let month = words.next()?;
    let year = words.next().filter(|y| y.len() == 4 && y.bytes().all(|b| b.is_ascii_digit()))?;
    let number = MONTHS.iter().position(|name| *name == month)?;
    Some(format!("{year}-{:02}", number + 1))
}

fn changelog_entry(item: &str, version: &str) -> Entry {
    let mut title = item.trim();
    // "(CVE-2024-1)", "(Closes: #1)" at the end are the package's own.
    while let Some((before, tail)) = title.rsplit_once(" (") {
        if !(tail.ends_with(')') && (tail.starts_with("CVE-") || tail.starts_with("Closes:"))) {
            break;
        }
        title = before.trim_end();
    }
    Entry {
        cves: message::cves(item),
        place: version.to_owned(),
        title: title.to_owned(),
        normal: message::normal_title(title),
        ..Entry::default()
    }
}

/// Unpacks a gzip file of one member.
fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let flags = *bytes.get(3)?;
    if bytes.get(2) != Some(&8) {
        return None;
    }
    let mut at = 10_usize;
    if flags & 4 != 0 {
        let extra = bytes.get(at..at.checked_add(2)?)?;
        let extra = usize::from(u16::from_le_bytes(extra.try_into().ok()?));
        at = at.checked_add(2 + extra)?;
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            at += bytes.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    if flags & 2 != 0 {
        at = at.checked_add(2)?;
    }
    miniz_oxide::inflate::decompress_to_vec_with_limit(bytes.get(at..)?, LARGEST).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_is_read() {
        let text = "linux (6.1.9-1) bookworm; urgency=high\n\n  * New upstream stable update:\n    \
            https://x/ChangeLog-6.1.9\n    - bpf: first (CVE-2024-1111)\n    - [x86] bpf: a long title that\n      \
            goes on (CVE-2024-2222, CVE-2024-3333)\n    - Revert \"bpf: third\"\n\n  [ Somebody ]\n  * own (Closes: #1)\n\n \
            -- Name <m@x>  Mon, 16 Nov 2026 11:17:40 +0100\n\nlinux (6.1.8-1) x; urgency=low\n\n  * bpf: third\n";
        let entries = entries(text);
        let titles: Vec<&str> = entries.iter().map(|entry| entry.normal.as_str()).collect();
        assert_eq!(
            &titles[1..],
            [
                "bpf: first",
                "bpf: a long title that goes on",
                "revert \"bpf: third\"",
                "own",
                "bpf: third"
            ]
        );
        assert_eq!(entries[2].cves, ["CVE-2024-2222", "CVE-2024-3333"]);
        assert_eq!(entries[1].month.as_deref(), Some("2026-11"));
        assert_eq!((entries[5].place.as_str(), entries[5].month.as_deref()), ("6.1.8-1", None));
    }

    #[test]
    fn branches_that_get_fixes() {
        let branches = active_branches("# active\n6.12\n6.1.y # long\n\nnothing\n");
        let names: Vec<String> = branches.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["6.12", "6.1"]);
    }

    #[test]
    fn a_patch_of_a_queue_is_read() {
        let text = "From 41f6 Mon Sep 17 00:00:00 2001\nFrom: Sasha Levin <s@k.org>\nSubject: [PATCH] bpf: A long\n title\n\n\
            From: A Developer <a@b>\n\n[ Upstream commit 41f6f64e6999a837048b1bd13a2f8742964eca6b ]\n---\n\
            diff --git a/x.c b/x.c\n--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-a\n+b\n";
        let boundary = Boundary::new(["x.c"]).unwrap();
        let entry = Entry::of_mail("a.patch", text.as_bytes(), &boundary, &mut Names::default());
        assert_eq!(entry.normal, "bpf: a long title");
        assert_eq!(entry.author.as_deref(), Some("A Developer"));
        assert_eq!(entry.copies.len(), 1);
        assert!(entry.facts.id.is_some());
    }

    #[test]
    fn damaged_gzip_is_an_answer() {
        let mut good = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        good.extend(miniz_oxide::deflate::compress_to_vec(b"linux (1.2-3) x\n", 6));
        good.extend([0; 8]);
        assert_eq!(gunzip(&good).unwrap(), b"linux (1.2-3) x\n");
        for end in 0..good.len() - 8 {
            assert_eq!(gunzip(&good[..end]), None, "{end}");
        }
        for flags in 1..32 {
            good[3] = flags;
            let _ = gunzip(&good);
        }
    }
}
