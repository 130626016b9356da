// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! HTML: one page, with its style and its pictures in it, and no script.

use super::svg::{self, Bar};
use super::{BY_MERGES, figures, meaning, plain, prerequisites};
use std::collections::BTreeSet;
use std::io::{self, Write};
use veristable_history::audit::Status;
use veristable_history::cve::CveStatus;
use veristable_history::report::{CveReport, FixRow, Report, TreeReport};
use veristable_history::verdict::Verdict;

const STYLE: &str = include_str!("page.css");

/// A text in which nothing is markup.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// Writes a table. Headings that begin with `#` are those of numbers.
fn table(out: &mut dyn Write, headings: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let class = |column: usize| match headings.get(column) {
        Some(text) if text.starts_with('#') => " class=\"number\"",
        // Ids and single words are not broken.
        Some(&("commit" | "fix" | "verdict" | "known by")) => " class=\"word\"",
        _ => "",
    };
    write!(out, "<div class=\"wide\"><table><thead><tr>")?;
    for (column, heading) in headings.iter().enumerate() {
        write!(out, "<th{}>{}</th>", class(column), escape(heading.trim_start_matches('#')))?;
    }
    write!(out, "</tr></thead><tbody>")?;
    for row in rows {
        write!(out, "<tr>")?;
        for (column, cell) in row.iter().enumerate() {
            write!(out, "<td{}>{}</td>", class(column), escape(cell))?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody></table></div>")
}

fn notes(out: &mut dyn Write, warnings: &[String]) -> io::Result<()> {
    warnings.iter().try_for_each(|text| writeln!(out, "<p class=\"note\">{}</p>", escape(text)))
}

/// Writes something that is closed at first.
fn closed(
    out: &mut dyn Write,
    title: &str,
    inner: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    writeln!(out, "<details><summary>{}</summary>", escape(title))?;
    inner(out)?;
    writeln!(out, "</details>")
}

pub(super) fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let range = &report.range;
    let from = if range.start.is_empty() { "the beginning" } else { &range.start };
    let title = format!("History of {}", report.range.target);
    writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{0}</title>\n<style>\n{STYLE}</style></head>\n<body>\n<h1>{0}</h1>\n\
         <p>{1} commits from {2} to {3} change something inside (boundary {4}).</p>",
        escape(&title),
        report.figures.commits,
        escape(from),
        escape(&range.end),
        escape(&report.boundary.name)
    )?;
    notes(out, &report.warnings)?;
    summary(out, report)?;
    pictures(out, report)?;
    series(out, report)?;
    if let Some(cves) = &report.cves {
        vulnerabilities(out, cves)?;
    }
    for tree in &report.trees {
        write_tree(out, tree)?;
    }
    writeln!(out, "<h2>Commits</h2>")?;
    closed(out, &format!("All {} commits", report.commits.len()), |out| commits(out, report))?;
    writeln!(out, "</body></html>")
}

fn summary(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(out, "<h2>Figures</h2>")?;
    let rows: Vec<Vec<String>> = figures(report)
        .into_iter()
        .map(|figure| vec![figure.name.to_owned(), figure.count.to_string(), figure.correction()])
        .collect();
    table(out, &["", "#count", "corrected"], &rows)?;
    writeln!(out, "<h2>Could it be shipped outside of the kernel’s tree?</h2>")?;
    let bars: Vec<Bar> = Verdict::ALL
        .into_iter()
        .filter_map(|verdict| {
            let count = report.verdicts.get(&verdict)?;
            let name = verdict.word().to_owned();
            Some(Bar { name, values: vec![count.commits, count.fixes] })
        })
        .collect();
    writeln!(out, "{}", svg::bars("Commits by verdict", &bars, &["commits", "fixes"]))?;
    let rows: Vec<Vec<String>> = Verdict::ALL
        .into_iter()
        .filter_map(|verdict| {
            let count = report.verdicts.get(&verdict)?;
            let merged = report.merged.verdicts.get(&verdict).copied().unwrap_or_default();
            Some(vec![
                verdict.word().to_owned(),
                count.commits.to_string(),
                count.fixes.to_string(),
                merged.commits.to_string(),
                merged.fixes.to_string(),
                meaning(verdict).to_owned(),
            ])
        })
        .collect();
    let headings = ["verdict", "#commits", "#fixes", "#by merges", "#fixes", "meaning"];
    table(out, &headings, &rows)?;
    writeln!(out, "<p>{BY_MERGES}</p>")
}

fn pictures(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let parts = ["commits", "fixes"];
    writeln!(out, "<h2>What one more file would let through</h2>")?;
    let bars: Vec<Bar> = report
        .growth
        .iter()
        .map(|step| {
            let added = step.added.as_ref().map(|path| format!("+ {path}"));
            let name = added.unwrap_or_else(|| report.boundary.name.clone());
            Bar { name, values: vec![step.inside.commits, step.inside.fixes] }
        })
        .collect();
    writeln!(out, "{}", svg::bars("Growth of the boundary", &bars, &parts))?;
    let rows: Vec<Vec<String>> = report
        .presets
        .iter()
        .map(|preset| {
            let inside = preset.inside;
            vec![preset.name.clone(), inside.commits.to_string(), inside.fixes.to_string()]
        })
        .collect();
    table(out, &["preset", "#commits inside", "#fixes"], &rows)?;
    writeln!(out, "<h2>Files per commit</h2>")?;
    let bars: Vec<Bar> = report
        .files_per_commit
        .iter()
        .map(|(files, count)| Bar {
            name: if *files == 1 { "1 file".to_owned() } else { format!("{files} files") },
            values: vec![count.commits, count.fixes],
        })
        .collect();
    writeln!(out, "{}", svg::bars("Commits by number of files", &bars, &parts))?;
    writeln!(out, "<h2>Files changed in the same commits</h2>")?;
    let bars: Vec<Bar> = report
        .co_occurrence
        .iter()
        .map(|file| Bar {
            name: file.path.to_string(),
            values: vec![file.changed.commits, file.changed.fixes],
        })
        .collect();
    writeln!(out, "{}", svg::bars("Files changed in the same commits", &bars, &parts))?;
    time_line(out, report)
}

fn time_line(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(out, "<h2>Fixes by month</h2>")?;
    let lines = || {
        let trees = report.trees.iter().map(|tree| (tree.name.as_str(), &tree.time_line));
        std::iter::once(("mainline", &report.time_line)).chain(trees)
    };
    let months: BTreeSet<&String> = lines().flat_map(|(_, line)| line.keys()).collect();
    let names: Vec<String> = every_month(&months);
    let series: Vec<(&str, Vec<usize>)> = lines()
        .filter(|(_, line)| !line.is_empty())
        .map(|(name, line)| {
            let values = names.iter().map(|month| line.get(month).copied().unwrap_or(0));
            (name, values.collect())
        })
        .collect();
    writeln!(out, "{}", svg::columns("Fixes by month", &names, &series))
}

/// All months from the first to the last, those without anything too.
fn every_month(months: &BTreeSet<&String>) -> Vec<String> {
    let number = |text: &str| -> Option<u32> {
        let (year, month) = text.split_once('-')?;
        Some(year.parse::<u32>().ok()?.checked_mul(12)?.checked_add(month.parse().ok()?)? - 1)
    };
    let ends = months.first().zip(months.last());
    let ends = ends.and_then(|(first, last)| Some((number(first)?, number(last)?)));
    let Some((first, last)) = ends else { return Vec::new() };
    // Clocks of commits are strangers' clocks.
    let first = first.max(last.saturating_sub(239));
    (first..=last).map(|month| format!("{:04}-{:02}", month / 12, month % 12 + 1)).collect()
}

fn series(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let (links, fixes, signals) = (&report.links, &report.fixes, &report.signals);
    writeln!(out, "<h2>Series and messages</h2>")?;
    let rows: Vec<Vec<String>> = [
        ("merged sets", report.merged.series),
        ("commits with a link", links.commits_with_link),
        ("series of several commits, by links", links.larger),
        ("... merged at once", links.agree),
        ("... without a merge", links.not_merged),
        ("... otherwise", links.conflict),
        ("Fixes lines", fixes.fixes),
        ("... that lead to these commits", fixes.inside_range),
        ("... that lead elsewhere", fixes.elsewhere),
        ("... that lead to several commits", fixes.ambiguous),
        ("... that lead to none", fixes.malformed),
        ("commits with Cc: stable (BPF asks not to use it)", signals.cc_stable),
        ("commits that name a fuzzer", signals.fuzzer),
        ("fixes that change tests", signals.fixes_with_tests),
        ("fixes that came with commits of tests", signals.fixes_with_companions),
    ]
    .into_iter()
    .map(|(name, count)| vec![name.to_owned(), count.to_string()])
    .collect();
    table(out, &["", "#count"], &rows)?;
    let rows: Vec<Vec<String>> = report
        .disagreements
        .iter()
        .flat_map(|d| d.commits.iter().map(move |c| (d, c)))
        .map(|(d, c)| vec![d.series.clone(), c.id.short(), c.subject.clone()])
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let title = format!("{} series on which links and merges differ", report.disagreements.len());
    closed(out, &title, |out| table(out, &["series", "commit", "title"], &rows))
}

fn vulnerabilities(out: &mut dyn Write, cves: &CveReport) -> io::Result<()> {
    writeln!(
        out,
        "<h2>Vulnerabilities by the CNA</h2>\n<p>The fixes of {} change something inside, those of {} nothing \
         outside. {} commits of the range fix one; {} of them have a Fixes line.</p>",
        cves.touching, cves.inside, cves.commits, cves.commits_with_fixes
    )?;
    if let (Some(precision), Some(recall)) = (cves.hints.precision, cves.hints.recall) {
        writeln!(
            out,
            "<p>Words in messages are hints only: of the fixes that have some, {precision} % fix a vulnerability; \
             of those that do, {recall} % have some.</p>"
        )?;
    }
    let bars: Vec<Bar> = cves
        .branches
        .iter()
        .map(|row| {
            let open = row.states.get(&CveStatus::Open).copied().unwrap_or_default();
            Bar { name: row.branch.to_string(), values: vec![open.all, open.inside] }
        })
        .collect();
    writeln!(out, "{}", svg::bars("Open by branch", &bars, &["open", "of them inside"]))?;
    let rows: Vec<Vec<String>> =
        cves.branches.iter().map(|row| vec![row.branch.to_string(), row.open.join(" ")]).collect();
    closed(out, "Numbers", |out| table(out, &["branch", "open"], &rows))
}

fn write_tree(out: &mut dyn Write, tree: &TreeReport) -> io::Result<()> {
    writeln!(out, "<h2>Tree {}</h2>\n<p>{} changes.</p>", escape(&tree.name), tree.entries)?;
    notes(out, &tree.warnings)?;
    let bars: Vec<Bar> = Status::ALL
        .into_iter()
        .filter_map(|status| {
            let count = tree.counts.get(&status)?;
            Some(Bar { name: status.word().to_owned(), values: vec![count.all, count.inside] })
        })
        .collect();
    writeln!(out, "{}", svg::bars("Fixes by state", &bars, &["fixes", "of them inside"]))?;
    let tests = &tree.tests_behind;
    writeln!(
        out,
        "<p>{} present fixes came with commits of tests; of {} some are not there, of {} none is.</p>",
        tests.fixes, tests.some, tests.all
    )?;
    let rows: Vec<Vec<String>> = tree
        .fixes_of_backports
        .iter()
        .map(|fix| vec![fix.id.short(), fix.subject.clone()])
        .collect();
    if !rows.is_empty() {
        writeln!(out, "<h3>Missing, and what they mend was carried over</h3>")?;
        table(out, &["commit", "title"], &rows)?;
    }
    let rows: Vec<Vec<String>> = tree
        .missing_security
        .iter()
        .map(|row| {
            let place = if row.inside { "inside" } else { "outside" };
            vec![row.cve.clone(), place.to_owned(), row.subject.clone()]
        })
        .collect();
    if !rows.is_empty() {
        writeln!(out, "<h3>Security fixes that it lacks</h3>")?;
        table(out, &["number", "place", "title"], &rows)?;
    }
    tree_tables(out, tree)
}

/// The tables of a tree that are closed at first.
fn tree_tables(out: &mut dyn Write, tree: &TreeReport) -> io::Result<()> {
    let rows: Vec<Vec<String>> = prerequisites(tree)
        .into_iter()
        .map(|row| vec![row.fix, row.how, row.needs, row.by, row.sure, row.lines, row.title])
        .collect();
    if !rows.is_empty() {
        let headings = ["fix", "applies", "commit", "known by", "sure", "lines", "title"];
        let title = "What missing fixes need before";
        closed(out, title, |out| table(out, &headings, &rows))?;
    }
    let rows: Vec<Vec<String>> = tree
        .request
        .iter()
        .map(|row| {
            vec![row.id.short(), row.kind.word().to_owned(), row.subject.clone(), row.why.clone()]
        })
        .collect();
    let title = format!("{} commits to ask for, oldest first", rows.len());
    closed(out, &title, |out| table(out, &["commit", "kind", "title", "why"], &rows))?;
    let rows: Vec<Vec<String>> = tree.fixes.iter().map(fix).collect();
    let headings =
        ["commit", "title", "state", "method", "sure", "place", "why", "applies", "numbers"];
    closed(out, &format!("{} fixes", rows.len()), |out| table(out, &headings, &rows))?;
    let rows: Vec<Vec<String>> = tree
        .tests
        .iter()
        .map(|test| {
            let status = test.status.word().to_owned();
            vec![
                test.fix.short(),
                test.id.short(),
                test.subject.clone(),
                status,
                test.lacks.join(", "),
            ]
        })
        .collect();
    let headings = ["fix", "commit", "title", "state", "lacks"];
    closed(out, &format!("{} commits of tests", rows.len()), |out| table(out, &headings, &rows))
}

fn fix(row: &FixRow) -> Vec<String> {
    vec![
        row.id.short(),
        row.subject.clone(),
        row.status.word().to_owned(),
        row.method.map_or("", |method| method.word()).to_owned(),
        row.confidence.map_or("", |sure| sure.word()).to_owned(),
        row.place.clone().unwrap_or_default(),
        row.reason.clone(),
        row.trial.as_ref().map_or("", |trial| trial.applies.word()).to_owned(),
        row.cves.join(" "),
    ]
}

fn commits(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let rows: Vec<Vec<String>> = report
        .commits
        .iter()
        .map(|row| {
            vec![
                row.id.short(),
                row.date.day(),
                row.subject.clone(),
                if row.fix { "fix".to_owned() } else { String::new() },
                row.verdict.word().to_owned(),
                row.reason.clone(),
                row.cves.join(" "),
            ]
        })
        .collect();
    table(out, &["commit", "date", "title", "", "verdict", "why", "numbers"], &rows)
}
