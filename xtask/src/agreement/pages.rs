// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Where figures stand: a page per oracle with every table, and one line per table in `docs/agreement.md`.

use std::fmt::Write as _;
use std::ops::Add;
use std::path::Path;

use anyhow::{Context, Result};
use veristable_corpus::cache;

/// Ends a section of a page, and the summary.
const END: &str = "<!-- end -->\n";
/// Begins the summary in `docs/agreement.md`.
const SUMMARY: &str = "<!-- begin summary -->\n";

/// What a section is about: the words of its first line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// Who was asked, as `--oracle` says it without the number of guests.
    pub(super) oracle: String,
    /// The set.
    pub(super) set: String,
    /// Which of its programs count: `all`, `structural`, `reached`.
    pub(super) only: String,
    /// The log level of both sides.
    pub(super) level: u32,
}

impl Key {
    fn begin(&self) -> String {
        format!("<!-- begin {} {} {} {} -->\n", self.set, self.oracle, self.only, self.level)
    }

    fn parse(line: &str) -> Option<Key> {
        let words = line.trim().strip_prefix("<!-- begin ")?.strip_suffix(" -->")?;
        let [set, oracle, only, level] = *words.split(' ').collect::<Vec<_>>() else { return None };
        Some(Key {
            oracle: oracle.to_owned(),
            set: set.to_owned(),
            only: only.to_owned(),
            level: level.parse().ok()?,
        })
    }

    /// The page's file name, `6.18.15.md` or `live.md`.
    fn page(&self) -> String {
        format!("{}.md", self.oracle.strip_prefix("vm:").unwrap_or(&self.oracle))
    }
}

/// A table with its title and command.
struct Section {
    key: Key,
    text: String,
}

/// Puts the section into its oracle's page, in the place of the one with the same key, and makes the
/// summary anew.
pub(super) fn record(docs: &Path, key: Key, text: &str) -> Result<()> {
    let folder = docs.join("agreement");
    let path = folder.join(key.page());
    let mut sections = match std::fs::read_to_string(&path) {
        Ok(page) => sections(&page),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(e).with_context(|| path.display().to_string()),
    };
    sections.retain(|s| s.key != key);
    sections.push(Section { key, text: text.to_owned() });
    sections.sort_by(|a, b| a.key.cmp(&b.key));
    cache::write_whole(&path, page(&sections).as_bytes())?;

    let mut pages: Vec<_> = std::fs::read_dir(&folder)
        .with_context(|| folder.display().to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "md"))
        .collect();
    pages.sort();
    let mut all = Vec::new();
    for path in pages {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        all.extend(self::sections(&text));
    }
    let path = docs.join("agreement.md");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    cache::write_whole(&path, replace(&text, SUMMARY, &summary(&all)).as_bytes())
}

fn page(sections: &[Section]) -> String {
    let oracle = sections.first().map_or("", |s| s.key.oracle.as_str());
    let mut page = format!(
        "# Agreement with {oracle}\n\nEvery table with its command; what the words mean stands in \
         [agreement.md](../agreement.md). Written by `cargo xtask agreement --write`.\n"
    );
    for s in sections {
        let _ = write!(page, "\n{}{}{END}", s.key.begin(), s.text);
    }
    page
}

fn sections(page: &str) -> Vec<Section> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find("<!-- begin ") {
        let (line, after) = rest[at..].split_once('\n').unwrap_or((&rest[at..], ""));
        let (text, tail) = after.split_once(END).unwrap_or((after, ""));
        if let Some(key) = Key::parse(line) {
            found.push(Section { key, text: text.to_owned() });
        }
        rest = tail;
    }
    found
}

/// The page with what stands between `begin` and the next end replaced, or added at its end.
fn replace(page: &str, begin: &str, text: &str) -> String {
    match page.split_once(begin) {
        Some((before, rest)) => {
            let after = rest.split_once(END).map_or("", |(_, after)| after);
            format!("{before}{begin}{text}{END}{after}")
        }
        None => format!("{}\n\n{begin}{text}{END}", page.trim_end()),
    }
}

/// So many of so many.
#[derive(Default, Clone, Copy, PartialEq, Debug)]
struct Share {
    part: u64,
    whole: u64,
}

impl Add for Share {
    type Output = Share;

    fn add(self, other: Share) -> Share {
        Share { part: self.part + other.part, whole: self.whole + other.whole }
    }
}

impl Share {
    /// Reads the end of a cell, `100.00 % (643 of 643)`.
    fn parse(cell: &str) -> Option<Share> {
        let (part, whole) = cell.split_once('(')?.1.split_once(')')?.0.split_once(" of ")?;
        Some(Share { part: part.parse().ok()?, whole: whole.parse().ok()? })
    }

    /// Percent to two places, cut, not rounded: 100 means all.
    fn percent(self) -> String {
        match (self.part.checked_mul(10_000)).and_then(|n| n.checked_div(self.whole)) {
            None => "–".to_owned(),
            Some(_) if self.part == self.whole => "100".to_owned(),
            Some(n) => format!("{}.{:02}", n / 100, n % 100),
        }
    }
}

impl Section {
    fn cell(&self, label: &str) -> Option<&str> {
        self.text.lines().find_map(|line| {
            let (name, value) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
            (name == label).then_some(value)
        })
    }

    fn share(&self, labels: &[&str]) -> Share {
        labels
            .iter()
            .filter_map(|label| Share::parse(self.cell(label)?))
            .fold(Share::default(), Share::add)
    }
}

/// One table per oracle, one line per section.
fn summary(sections: &[Section]) -> String {
    let mut text = String::new();
    let mut oracle = None;
    for s in sections {
        if oracle != Some(&s.key.oracle) {
            oracle = Some(&s.key.oracle);
            let _ = write!(
                text,
                "\n### {} ([all tables](agreement/{}))\n\n\
                 | set | level | answered | undecided | accepted | rejected | false accepts | message | statistics | log |\n\
                 |---|---|---|---|---|---|---|---|---|---|\n",
                s.key.oracle,
                s.key.page()
            );
        }
        let only = match s.key.only.as_str() {
            "all" => String::new(),
            only => format!(", {only}"),
        };
        let _ = writeln!(
            text,
            "| {}{only} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            s.key.set,
            s.key.level,
            s.cell("answered by the kernel").unwrap_or("?"),
            s.share(&["unsupported"]).part,
            s.share(&["verdict, accepted by the kernel"]).percent(),
            s.share(&["verdict, rejected by the kernel"]).percent(),
            s.cell("**false accepts**").unwrap_or("?"),
            s.share(&["message (both reject)"]).percent(),
            s.share(&["all statistics (both accept)", "all statistics (both reject)"]).percent(),
            s.share(&["log (both accept)", "log (both reject)"]).percent(),
        );
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(set: &str, oracle: &str) -> Key {
        Key { oracle: oracle.to_owned(), set: set.to_owned(), only: "all".to_owned(), level: 5 }
    }

    const TABLE: &str = "### a\n\n| a | vm:1 |\n|---|---|\n| answered by the kernel | 9 |\n\
        | unsupported | 0.00 % (0 of 9) |\n| verdict, accepted by the kernel | 75.00 % (3 of 4) |\n\
        | verdict, rejected by the kernel | 100.00 % (5 of 5) |\n| **false accepts** | 0 |\n\
        | all statistics (both accept) | 99.99 % (29998 of 29999) |\n\
        | all statistics (both reject) | 100.00 % (1 of 1) |\n";

    #[test]
    fn a_section_replaces_its_predecessor_and_the_summary_follows() {
        let docs = std::env::temp_dir().join(format!("veristable-pages-{}", std::process::id()));
        std::fs::create_dir_all(&docs).unwrap();
        let page = format!("# Agreement\n\n{SUMMARY}old\n{END}\n## Open\n");
        std::fs::write(docs.join("agreement.md"), page).unwrap();
        record(&docs, key("b", "vm:1"), "old table\n").unwrap();
        record(&docs, key("a", "live"), TABLE).unwrap();
        record(&docs, key("b", "vm:1"), TABLE).unwrap();
        let one = std::fs::read_to_string(docs.join("agreement/1.md")).unwrap();
        let page = std::fs::read_to_string(docs.join("agreement.md")).unwrap();
        std::fs::remove_dir_all(&docs).unwrap();
        assert!(one.contains(TABLE) && !one.contains("old table"), "{one}");
        assert!(page.starts_with("# Agreement") && page.ends_with("\n## Open\n"), "{page}");
        assert!(page.contains("| b | 5 | 9 | 0 | 75.00 | 100 | 0 | – | 99.99 | – |"), "{page}");
        assert_eq!(page.matches("### ").count(), 2, "{page}");
    }

    #[test]
    fn keys_survive_their_marker() {
        for key in
            [key("mutants:raw-6.18:3000:7", "vm:6.18.15"), key("raw-5.10@bpf+net_admin", "live")]
        {
            assert_eq!(Key::parse(&key.begin()), Some(key));
        }
        assert_eq!(Key::parse("<!-- begin summary -->"), None);
    }
}
