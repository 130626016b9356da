// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! 100,000 commits: under 10 seconds and 500 MiB. Takes a while to make, so only if
//! `VERISTABLE_HISTORY_LARGE` is set.

mod support;

use std::time::Instant;
use support::{Builder, Mark, source};
use veristable_history::analysis::analyse;
use veristable_history::boundary::{Preset, VERIFIER};

/// Peak of this process's memory in MiB, where the system tells.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib / 1024)
}

/// One of ten commits changes the verifier; eight of a hundred come in sets of four that are merged.
fn stream(commits: usize) -> Builder {
    let mut b = Builder::default();
    let mut last = b.commit("main", &[], "root", &[(VERIFIER, Some(&source(20, &[])))]);
    let mut made = 1;
    let change = |n: usize, b: &mut Builder, branch: &str, parent: Mark| {
        let text = format!("\tcount += {n};");
        let file = format!("drivers/d{}/f{}.c", n % 40, n % 1000);
        let content = format!("int value = {n};\n");
        let verifier = source(20, &[(n % 20, &text)]);
        let message = format!(
            "subsystem: change number {n}\n\nA body of some lines that says why, which takes about as much room\n\
             as bodies of commits do.\n\nFixes: {:012x} (\"x\")\nLink: https://lore.kernel.org/r/2024.{}-{}-a@b.c\n\
             Signed-off-by: A Developer <dev@example.org>",
            n * 7919,
            n / 4,
            n % 4
        );
        if n.is_multiple_of(10) {
            b.commit(
                branch,
                &[parent],
                &message,
                &[(VERIFIER, Some(&verifier)), (&file, Some(&content))],
            )
        } else {
            b.commit(branch, &[parent], &message, &[(&file, Some(&content))])
        }
    };
    while made < commits {
        for _ in 0..46 {
            last = change(made, &mut b, "main", last);
            made += 1;
        }
        let mut side = last;
        for _ in 0..4 {
            side = change(made, &mut b, "side", side);
            made += 1;
        }
        last = change(made, &mut b, "main", last);
        let verifier = source(20, &[(made % 20, "\tmerged();")]);
        last =
            b.commit("main", &[last, side], "Merge branch 'side'", &[(VERIFIER, Some(&verifier))]);
        made += 2;
    }
    b
}

#[test]
fn a_hundred_thousand_commits() {
    if std::env::var_os("VERISTABLE_HISTORY_LARGE").is_none() {
        eprintln!("skipped: VERISTABLE_HISTORY_LARGE is not set");
        return;
    }
    let repo = stream(100_000).build("large");
    let before = peak();
    let started = Instant::now();
    let what = support::read(&repo.path, Preset::Xu, "");
    let read = started.elapsed();
    let report = analyse(support::input(&what, true), &mut |_, _| {}).unwrap();
    let all = started.elapsed();
    eprintln!(
        "{} commits inside, {} sets: read {read:?}, all {all:?}, memory before {before:?} and after {:?} MiB",
        report.figures.commits,
        report.figures.sets,
        peak()
    );
    assert!(report.figures.commits > 9000 && report.figures.sets > 300);
    assert!(all.as_secs() < 10, "{all:?}");
    // What was needed to make the repository does not count.
    if let (Some(before), Some(after)) = (before, peak()) {
        assert!(after.saturating_sub(before) < 500, "{before} {after}");
    }
}
