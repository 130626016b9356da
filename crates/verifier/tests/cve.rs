// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! `docs/cve.md` and the cases of `rules/cve_*.bpfasm` tell of the same CVEs and the same verdicts.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use veristable_corpus::rules::{self, Verdict};

/// What a kernel says of all cases of a CVE, and in which file they are.
#[derive(PartialEq, Eq, Debug)]
struct Entry {
    file: String,
    /// Kernel and verdict.
    verdicts: BTreeMap<&'static str, &'static str>,
}

/// The kernels with a column, in order.
const KERNELS: [&str; 2] = ["6.18.15", "6.12.117"];

/// The rows of the table with this many columns, cut into cells.
fn rows(page: &str, columns: usize) -> Vec<Vec<&str>> {
    let rows = page.lines().filter(|line| line.starts_with("| CVE-"));
    let cells = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    cells.filter(|cells| cells.len() == columns).collect()
}

fn listed(page: &str) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for row in rows(page, 7) {
        let [cve, _, _, _, newer, older, file] = row[..] else { panic!("{row:?}") };
        let verdict = |cell: &str| match cell.split(',').next() {
            Some("accepted") => "accepted",
            Some("refused") => "refused",
            _ => panic!("{cve}: {cell:?} is no verdict"),
        };
        let verdicts = KERNELS.into_iter().zip([verdict(newer), verdict(older)]).collect();
        let entry = Entry { file: file.trim_matches('`').to_owned(), verdicts };
        assert!(entries.insert(cve.to_owned(), entry).is_none(), "{cve} is listed twice");
    }
    entries
}

fn cases() -> BTreeMap<String, Entry> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !file.starts_with("cve_") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for name in KERNELS {
            let kernel = veristable_profiles::open(name).unwrap();
            for case in rules::parse(&text, &kernel).unwrap() {
                // What another case replaces a function of.
                if case.name.ends_with(", target") {
                    continue;
                }
                // "CVE-2021-3490, XOR"
                let cve = case.name.split(',').next().unwrap_or_default().to_owned();
                assert!(cve.starts_with("CVE-"), "{file}: {} names no CVE", case.name);
                let verdict = match case.expect.verdict {
                    Verdict::Accept => "accepted",
                    Verdict::Reject => "refused",
                    other => panic!("{file}: {}: {other:?}", case.name),
                };
                let entry = entries
                    .entry(cve)
                    .or_insert_with(|| Entry { file: file.clone(), verdicts: BTreeMap::new() });
                assert_eq!(entry.file, file, "{}: cases in two files", case.name);
                let before = entry.verdicts.insert(name, verdict);
                assert!(before.is_none_or(|before| before == verdict), "{}: {name}", case.name);
            }
        }
    }
    entries
}

#[test]
fn the_page_and_the_cases_agree() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cve.md");
    let page = fs::read_to_string(page).unwrap();
    let (listed, cases) = (listed(&page), cases());
    let without: Vec<_> = rows(&page, 5).into_iter().map(|row| row[0]).collect();
    for (cve, entry) in &listed {
        assert_eq!(Some(entry), cases.get(cve), "{cve}");
        assert!(!without.contains(&cve.as_str()), "{cve} is in both tables");
    }
    for cve in cases.keys() {
        assert!(listed.contains_key(cve), "{cve} is not on the page");
    }
    let all = page.lines().filter(|line| line.starts_with("| CVE-")).count();
    assert_eq!(all, listed.len() + without.len(), "a row has a wrong number of columns");
    let mut once = without.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), without.len(), "a CVE is listed twice");
}
