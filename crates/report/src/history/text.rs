// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Text: tables for people.

use super::{BY_MERGES, figures, meaning, plain, prerequisites};
use crate::table::{self, Cell, Column, cut};
use anstyle::Style;
use std::io::{self, Write};
use veristable_history::audit::Status;
use veristable_history::boundary::Count;
use veristable_history::report::{CveReport, Report, TreeReport};
use veristable_history::verdict::Verdict;

const BOLD: Style = Style::new().bold();
/// Longest title in a table.
const TITLE: usize = 70;
/// Most rows of a table whose rest is in the other formats.
const ROWS: usize = 15;
/// The same of prerequisites.
const NEEDS: usize = 60;

struct Text<'a> {
    out: &'a mut dyn Write,
    color: bool,
}

impl Text<'_> {
    fn heading(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n{}", table::paint(self.color, BOLD, &plain(text)))
    }

    fn table(&mut self, columns: &[Column], rows: &[Vec<Cell>]) -> io::Result<()> {
        table::write(self.out, self.color, columns, rows)
    }

    fn warnings(&mut self, warnings: &[String]) -> io::Result<()> {
        warnings.iter().try_for_each(|text| writeln!(self.out, "note: {}", plain(text)))
    }
}

pub(super) fn write(
    out: &mut dyn Write,
    color: bool,
    report: &Report,
    list: bool,
) -> io::Result<()> {
    let mut text = Text { out, color };
    let range = &report.range;
    let from = if range.start.is_empty() { "the beginning" } else { &range.start };
    writeln!(
        text.out,
        "{} commits from {} to {} change {} (boundary {})",
        report.figures.commits,
        plain(from),
        plain(&range.end),
        plain(&range.target),
        plain(&report.boundary.name)
    )?;
    text.warnings(&report.warnings)?;
    write_figures(&mut text, report)?;
    write_verdicts(&mut text, report)?;
    write_growth(&mut text, report)?;
    write_series(&mut text, report)?;
    if list {
        write_commits(&mut text, report)?;
    }
    if let Some(cves) = &report.cves {
        write_cves(&mut text, cves)?;
    }
    report.trees.iter().try_for_each(|tree| write_tree(&mut text, tree))
}

fn count_cells(count: Count) -> [Cell; 2] {
    [count.commits.to_string().into(), count.fixes.to_string().into()]
}

fn write_figures(text: &mut Text<'_>, report: &Report) -> io::Result<()> {
    text.heading("Figures")?;
    let columns = [Column::left(""), Column::right("count"), Column::left("corrected")];
    let rows: Vec<Vec<Cell>> = figures(report)
        .into_iter()
        .map(|figure| {
            let corrected = figure.correction();
            vec![figure.name.into(), figure.count.to_string().into(), corrected.into()]
        })
        .collect();
    text.table(&columns, &rows)
}

fn write_verdicts(text: &mut Text<'_>, report: &Report) -> io::Result<()> {
    text.heading("Could it be shipped outside of the kernel's tree?")?;
    let columns = [
        Column::left("verdict"),
        Column::right("commits"),
        Column::right("fixes"),
        Column::right("by merges"),
        Column::right("fixes"),
        Column::left("meaning"),
    ];
    let rows: Vec<Vec<Cell>> = Verdict::ALL
        .into_iter()
        .filter_map(|verdict| {
            let [commits, fixes] = count_cells(*report.verdicts.get(&verdict)?);
            let merged = report.merged.verdicts.get(&verdict).copied().unwrap_or_default();
            let [by_merges, their_fixes] = count_cells(merged);
            let meaning = meaning(verdict).into();
            Some(vec![verdict.word().into(), commits, fixes, by_merges, their_fixes, meaning])
        })
        .collect();
    text.table(&columns, &rows)?;
    writeln!(text.out, "{BY_MERGES}")
}

fn write_growth(text: &mut Text<'_>, report: &Report) -> io::Result<()> {
    text.heading("Growth: what is inside as the boundary takes in one file after the other")?;
    let columns = [Column::left("file"), Column::right("commits"), Column::right("fixes")];
    let row = |name: String, count: Count| {
        let [commits, fixes] = count_cells(count);
        vec![plain(&name).into(), commits, fixes]
    };
    let steps = report.growth.iter().map(|step| {
        let added = step.added.as_ref().map(|path| format!("+ {path}"));
        row(added.unwrap_or_else(|| report.boundary.name.clone()), step.inside)
    });
    let presets = report.presets.iter().map(|p| row(format!("preset {}", p.name), p.inside));
    text.table(&columns, &steps.chain(presets).collect::<Vec<_>>())?;
    text.heading("Files changed in the same commits")?;
    let files = report.co_occurrence.iter().take(ROWS);
    let rows: Vec<Vec<Cell>> = files.map(|file| row(file.path.to_string(), file.changed)).collect();
    text.table(&columns, &rows)
}

fn write_series(text: &mut Text<'_>, report: &Report) -> io::Result<()> {
    let links = &report.links;
    text.heading("Series")?;
    writeln!(
        text.out,
        "{} merged sets. By links: {} of {} commits have one; {} series of several commits, of which {} were \
         merged at once, {} without a merge, {} otherwise.",
        report.merged.series,
        links.commits_with_link,
        report.figures.commits,
        links.larger,
        links.agree,
        links.not_merged,
        links.conflict
    )?;
    let fixes = &report.fixes;
    writeln!(
        text.out,
        "{} Fixes lines: {} lead to these commits, {} elsewhere, {} to several, {} to none. {} commits were \
         mended, {} of them by a fix that was mended too.",
        fixes.fixes,
        fixes.inside_range,
        fixes.elsewhere,
        fixes.ambiguous,
        fixes.malformed,
        fixes.depth.iter().filter(|(depth, _)| **depth > 0).map(|(_, n)| n).sum::<usize>(),
        fixes.depth.iter().filter(|(depth, _)| **depth > 1).map(|(_, n)| n).sum::<usize>()
    )?;
    let signals = &report.signals;
    writeln!(
        text.out,
        "{} commits have Cc: stable (BPF asks not to use it), {} name a fuzzer; {} fixes change tests \
         themselves, {} came with commits that do.",
        signals.cc_stable, signals.fuzzer, signals.fixes_with_tests, signals.fixes_with_companions
    )
}

fn write_commits(text: &mut Text<'_>, report: &Report) -> io::Result<()> {
    text.heading("Commits")?;
    let columns = ["commit", "date", "verdict", "title", "why"].map(Column::left);
    let rows: Vec<Vec<Cell>> = report
        .commits
        .iter()
        .map(|row| {
            vec![
                row.id.short().into(),
                row.date.day().into(),
                row.verdict.word().into(),
                cut(&plain(&row.subject), TITLE).into(),
                plain(&row.reason).into(),
            ]
        })
        .collect();
    text.table(&columns, &rows)
}

fn write_cves(text: &mut Text<'_>, cves: &CveReport) -> io::Result<()> {
    text.heading("Vulnerabilities by the CNA")?;
    writeln!(
        text.out,
        "The fixes of {} change something inside, those of {} nothing outside. {} commits of the range fix one; \
         {} of them have a Fixes line.",
        cves.touching, cves.inside, cves.commits, cves.commits_with_fixes
    )?;
    if let (Some(precision), Some(recall)) = (cves.hints.precision, cves.hints.recall) {
        writeln!(
            text.out,
            "Words in messages are hints only: of the fixes that have some, {precision} % fix a vulnerability; of \
             those that do, {recall} % have some."
        )?;
    }
    let columns = [
        Column::left("branch"),
        Column::right("open"),
        Column::right("inside"),
        Column::left("numbers"),
    ];
    let rows: Vec<Vec<Cell>> = cves
        .branches
        .iter()
        .map(|row| {
            let open = row.states.get(&veristable_history::cve::CveStatus::Open);
            let open = open.copied().unwrap_or_default();
            let mut numbers = row.open.clone();
            numbers.truncate(4);
            if numbers.len() < row.open.len() {
                numbers.push("…".to_owned());
            }
            vec![
                row.branch.to_string().into(),
                open.all.to_string().into(),
                open.inside.to_string().into(),
                numbers.join(" ").into(),
            ]
        })
        .collect();
    text.table(&columns, &rows)
}

fn write_tree(text: &mut Text<'_>, tree: &TreeReport) -> io::Result<()> {
    text.heading(&format!("Tree {}: {} changes", tree.name, tree.entries))?;
    text.warnings(&tree.warnings)?;
    let columns = [Column::left("fixes"), Column::right("all"), Column::right("inside")];
    let rows: Vec<Vec<Cell>> = Status::ALL
        .into_iter()
        .filter_map(|status| {
            let count = tree.counts.get(&status)?;
            Some(vec![
                status.word().into(),
                count.all.to_string().into(),
                count.inside.to_string().into(),
            ])
        })
        .collect();
    text.table(&columns, &rows)?;
    let methods: Vec<String> = tree
        .methods
        .iter()
        .map(|(method, count)| format!("{count} by {}", method.word()))
        .collect();
    if !methods.is_empty() {
        writeln!(text.out, "Present: {}.", methods.join(", "))?;
    }
    let paths: Vec<String> =
        tree.paths.iter().map(|(path, count)| format!("{count} {}", path.word())).collect();
    if !paths.is_empty() {
        writeln!(text.out, "How they came, by their messages: {}.", paths.join(", "))?;
    }
    let tests = &tree.tests_behind;
    writeln!(
        text.out,
        "{} present fixes came with commits of tests; of {} some are not there, of {} none is.",
        tests.fixes, tests.some, tests.all
    )?;
    for fix in &tree.fixes_of_backports {
        writeln!(
            text.out,
            "Missing, and what it mends was carried over: {} {}",
            fix.id.short(),
            plain(&fix.subject)
        )?;
    }
    if !tree.missing_security.is_empty() {
        text.heading(&format!("Security fixes that {} lacks", tree.name))?;
        for row in &tree.missing_security {
            let place = if row.inside { "inside " } else { "outside" };
            writeln!(text.out, "{:<15} {place} {}", row.cve, plain(&row.subject))?;
        }
    }
    write_prerequisites(text, tree)?;
    write_request(text, tree)
}

fn write_request(text: &mut Text<'_>, tree: &TreeReport) -> io::Result<()> {
    if tree.request.is_empty() {
        return Ok(());
    }
    text.heading(&format!("To ask for in {}, oldest first", tree.name))?;
    let columns = ["commit", "kind", "title", "why"].map(Column::left);
    let rows: Vec<Vec<Cell>> = tree
        .request
        .iter()
        .map(|row| {
            let title = cut(&plain(&row.subject), TITLE);
            let id = row.id.short();
            vec![id.into(), row.kind.word().into(), title.into(), plain(&row.why).into()]
        })
        .collect();
    text.table(&columns, &rows)
}

/// Fixes that are not there and do not apply as they are, with what they need before.
fn write_prerequisites(text: &mut Text<'_>, tree: &TreeReport) -> io::Result<()> {
    let all = prerequisites(tree);
    let more = all.len().saturating_sub(NEEDS);
    let rows: Vec<Vec<Cell>> = all
        .into_iter()
        .take(NEEDS)
        .map(|row| {
            let title = cut(&plain(&row.title), TITLE);
            let [fix, how] = [row.fix, row.how].map(Cell::from);
            let [needs, by, sure] = [row.needs, row.by, row.sure].map(Cell::from);
            vec![fix, how, needs, by, sure, row.lines.into(), title.into()]
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    text.heading(&format!("What missing fixes need before in {}", tree.name))?;
    let columns = ["fix", "applies", "commit", "known by", "sure", "lines", "title"];
    text.table(&columns.map(Column::left), &rows)?;
    if more > 0 {
        writeln!(text.out, "… and {more} rows more, which the other forms have.")?;
    }
    Ok(())
}
