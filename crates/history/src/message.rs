// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What a commit's message says about other commits, in the words of the kernel's process
//! (`Documentation/process/submitting-patches.rst` and `stable-kernel-rules.rst`).

use crate::ids::{IdPrefix, MessageId};
use crate::version::{Branch, Release};

/// A `Fixes:` line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FixesTag {
    /// The commit that is mended; `None` if what stands there is no id.
    pub target: Option<IdPrefix>,
    /// The title that follows the id.
    pub title: Option<String>,
    /// The line as it stands.
    pub text: String,
}

/// A request for stable trees: `Cc: stable@vger.kernel.org # 5.15+`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StableRequest {
    /// What follows `#`, e.g. `5.15+` or `5.10.x: 1234567: title`.
    pub note: String,
    /// Commits that must be applied before, if the note names some.
    pub prerequisites: Vec<IdPrefix>,
}

impl StableRequest {
    /// The oldest branch that it is meant for: `6.1+`, `v6.1`, `5.15.x: …` mean that branch and newer ones.
    #[must_use]
    pub fn since(&self) -> Option<Branch> {
        let first =
            self.note.split(|c: char| c.is_whitespace() || matches!(c, ':' | ',')).next()?;
        Release::parse(first).map(|release| release.branch)
    }
}

/// How a commit came into a stable tree, as far as its message tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// Its author asked with `Cc: stable`.
    CcStable,
    /// Chosen by a stable maintainer's tool: signed off by Sasha Levin, without `Cc: stable`.
    Autosel,
    /// Nothing tells.
    #[default]
    Other,
}

impl Path {
    /// Its word in text.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::CcStable => "cc-stable",
            Self::Autosel => "autosel",
            Self::Other => "other",
        }
    }
}

/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Message {
    /// `Fixes:` lines.
    pub fixes: Vec<FixesTag>,
    /// Commits that are taken back.
    pub reverts: Vec<IdPrefix>,
    /// Mails of archives that are linked.
    pub links: Vec<MessageId>,
    /// Requests for stable trees.
    pub stable: Vec<StableRequest>,
    /// The commits that this one is a copy of: `commit X upstream.`, `[ Upstream commit X ]`,
    /// `(cherry picked from commit X)`.
    pub copies: Vec<IdPrefix>,
    /// Numbers of the CNA: `CVE-2024-12345`.
    pub cves: Vec<String>,
    /// A fuzzer found it: `syzbot` or `syzkaller` is named.
    pub fuzzer: bool,
    /// Signed off by the stable maintainer whose tool chooses.
    pub sasha: bool,
}

/// More than this many of each kind are not kept: a message is at most a few pages long.
const MOST: usize = 1000;

impl Message {
    /// Reads a message. Nothing that stands there is an error.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut message = Self::default();
        for line in text.lines() {
            message.line(line.trim());
        }
        message.reverts = reverts(text);
        message.cves = cves(text);
        let lower = text.to_ascii_lowercase();
        message.fuzzer = lower.contains("syzbot") || lower.contains("syzkaller");
        message.fixes.truncate(MOST);
        message.links.truncate(MOST);
        message.stable.truncate(MOST);
        message.copies.truncate(MOST);
        message
    }

    fn line(&mut self, line: &str) {
        if let Some(rest) = tag(line, "fixes") {
            self.fixes.push(fixes(line, rest));
        } else if let Some(rest) = tag(line, "link") {
            self.links.extend(rest.split_whitespace().next().and_then(MessageId::from_url));
        } else if let Some(rest) = tag(line, "cc") {
            self.stable.extend(stable_request(rest));
        } else if let Some(rest) = tag(line, "signed-off-by") {
            self.sasha |= rest.to_ascii_lowercase().starts_with("sasha levin");
        } else if let Some(id) = copy_of(line) {
            self.copies.push(id);
        }
    }

    /// How it came into a stable tree.
    #[must_use]
    pub fn path(&self) -> Path {
        match (self.stable.is_empty(), self.sasha) {
            (false, _) => Path::CcStable,
            (true, true) => Path::Autosel,
            (true, false) => Path::Other,
        }
    }
}

/// The value of a line `Name: value`, whatever the case of its name.
fn tag<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (before, after) = line.split_once(':')?;
    before.trim_end().eq_ignore_ascii_case(name).then(|| after.trim())
}

fn fixes(line: &str, rest: &str) -> FixesTag {
    let rest = strip_word(rest, "commit").unwrap_or(rest);
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (id, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let after = after.trim().trim_start_matches(['(', ':', ',', '-', ' ']);
    let quoted = after.strip_prefix('"').map(|text| text.trim_end_matches(')'));
    let title = quoted.map(|text| text.strip_suffix('"').unwrap_or(text).to_owned());
    FixesTag { target: IdPrefix::new(id), title, text: line.to_owned() }
}

/// The text after a first word, whatever its case.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (first, rest) = text.split_once(char::is_whitespace)?;
    first.eq_ignore_ascii_case(word).then(|| rest.trim_start())
}

fn stable_request(rest: &str) -> Option<StableRequest> {
    let lower = rest.to_ascii_lowercase();
    if !lower.contains("stable@vger.kernel.org") && !lower.contains("stable@kernel.org") {
        return None;
    }
    let note = rest.split_once('#').map_or("", |(_, note)| note).trim();
    let prerequisites = note
        .split(|c: char| !c.is_ascii_alphanumeric())
        // A version has letters that are no digits, or a point: `5.15`, `v6`. A plain number of seven
        // digits would be a strange version.
        .filter_map(IdPrefix::new)
        .collect();
    Some(StableRequest { note: note.to_owned(), prerequisites })
}

/// The commit that a line of a copy names.
fn copy_of(line: &str) -> Option<IdPrefix> {
    let line = line.trim_matches(['[', ']', '(', ')', ' ', '.']);
    if let Some(rest) = strip_words(line, &["upstream", "commit"])
        .or_else(|| strip_words(line, &["cherry", "picked", "from", "commit"]))
        .or_else(|| strip_words(line, &["backported", "from", "commit"]))
    {
        return IdPrefix::new(
            rest.split_whitespace().next()?.trim_end_matches([']', ')', '.', ',']),
        );
    }
    let rest = strip_words(line, &["commit"])?;
    let mut words = rest.split_whitespace();
    let id = IdPrefix::new(words.next()?.trim_end_matches(','))?;
    let upstream = words.next()?.trim_end_matches(['.', ':', ',']);
    (upstream.eq_ignore_ascii_case("upstream") && words.next().is_none()).then_some(id)
}

fn strip_words<'a>(text: &'a str, words: &[&str]) -> Option<&'a str> {
    words.iter().try_fold(text, |rest, word| strip_word(rest, word))
}

/// `This reverts commit X`, also where the line breaks between the words.
fn reverts(text: &str) -> Vec<IdPrefix> {
    let mut found = Vec::new();
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let is_verb = word.eq_ignore_ascii_case("reverts") || word.eq_ignore_ascii_case("revert");
        if !is_verb || found.len() >= MOST {
            continue;
        }
        let mut ahead = words.clone();
        if !ahead.next().is_some_and(|word| word.eq_ignore_ascii_case("commit")) {
            continue;
        }
        let id = ahead.next().map(|id| id.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()));
        found.extend(id.and_then(IdPrefix::new));
    }
    found
}

/// Numbers of vulnerabilities, each once.
#[must_use]
pub fn cves(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let Some(rest) = word.strip_prefix("CVE-") else { continue };
        let Some((year, number)) = rest.split_once('-') else { continue };
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let good = year.len() == 4 && (4..=9).contains(&number.len());
        if good && digits(year) && digits(number) && !found.iter().any(|known| known == word) {
            found.push(word.to_owned());
            if found.len() >= MOST {
                break;
            }
        }
    }
    found
}

/// A title as it is compared: without marks in brackets before it, in lower case, single spaces.
#[must_use]
pub fn normal_title(title: &str) -> String {
    let mut rest = title.trim();
    while let Some((_, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        rest = after.trim_start();
    }
    let mut normal = String::with_capacity(rest.len());
    for word in rest.split_whitespace() {
        if !normal.is_empty() {
            normal.push(' ');
        }
        normal.extend(word.chars().flat_map(char::to_lowercase));
    }
    normal
}

/// The title that a title of a revert names: of `Revert "x"` it is `x`.
#[must_use]
pub fn reverted_title(title: &str) -> Option<&str> {
    let at = title.to_ascii_lowercase().find("revert \"")?;
    let rest = title.get(at + "revert \"".len()..)?;
    Some(rest.rsplit_once('"').map_or(rest, |(inner, _)| inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "41f6f64e6999a837048b1bd13a2f8742964eca6b";

    #[test]
    fn copies_in_every_spelling() {
        for line in [
            format!("commit {ID} upstream."),
            format!("Commit {ID} Upstream"),
            format!("[ Upstream commit {ID} ]"),
            format!("[Upstream commit {ID}]"),
            format!("(cherry picked from commit {ID})"),
            format!("commit {} upstream.", ID.to_uppercase()),
        ] {
            let message = Message::parse(&format!("title\n\n{line}\n\nbody"));
            assert_eq!(message.copies.len(), 1, "{line}");
            assert_eq!(message.copies[0].as_str(), ID, "{line}");
        }
        for line in
            ["commit upstream.", "a commit 41f6f64e6999 upstream", "commit zzzzzzzz upstream"]
        {
            assert!(Message::parse(line).copies.is_empty(), "{line}");
        }
    }

    #[test]
    fn fixes_and_reverts() {
        let text = "x\n\nThis reverts\ncommit 41f6f64e6999.\n\nFixes: 41f6f64e6999 (\"a (b) \"c\"\")\n\
                    fixes: commit 1234567 (\"t\")\nFixes: nothing\nFixes: 12345\n  Fixes: abcdef012345";
        let message = Message::parse(text);
        assert_eq!(message.reverts, [IdPrefix::new("41f6f64e6999").unwrap()]);
        let targets: Vec<Option<&str>> =
            message.fixes.iter().map(|f| f.target.as_ref().map(IdPrefix::as_str)).collect();
        let want = [Some("41f6f64e6999"), Some("1234567"), None, None, Some("abcdef012345")];
        assert_eq!(targets, want);
        assert_eq!(message.fixes[0].title.as_deref(), Some("a (b) \"c\""));
    }

    #[test]
    fn requests_for_stable_trees() {
        let text = "t\n\nCc: <stable@vger.kernel.org> # 5.15.x: a1b2c3d4: title\nCc: x@y.z\n\
                    Cc: stable@vger.kernel.org # 6.1+\n";
        let message = Message::parse(text);
        assert_eq!(message.stable.len(), 2);
        assert_eq!(message.stable[0].prerequisites, [IdPrefix::new("a1b2c3d4").unwrap()]);
        assert_eq!(message.stable[1].note, "6.1+");
        assert!(message.stable[1].prerequisites.is_empty());
        let since: Vec<_> = message.stable.iter().map(|r| r.since().unwrap().to_string()).collect();
        assert_eq!(since, ["5.15", "6.1"]);
        let plain = Message::parse("t\n\nCc: stable@vger.kernel.org\nCc: stable@kernel.org # all");
        assert!(plain.stable.iter().all(|request| request.since().is_none()));
        assert_eq!(message.path(), Path::CcStable);
        let autosel = Message::parse("t\n\nSigned-off-by: Sasha Levin <sashal@kernel.org>");
        assert_eq!(autosel.path(), Path::Autosel);
    }

    #[test]
    fn titles() {
        assert_eq!(normal_title("[x86] [PATCH 1/2]  bpf: Fix\tIt "), "bpf: fix it");
        assert_eq!(reverted_title("Revert \"bpf: x \"y\"\""), Some("bpf: x \"y\""));
        assert_eq!(reverted_title("bpf: x"), None);
        assert_eq!(
            cves("(CVE-2024-1234, CVE-2024-1234) CVE-24-1 CVE-2024-99999"),
            ["CVE-2024-1234", "CVE-2024-99999"]
        );
    }
}
