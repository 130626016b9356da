// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The history of a verifier.
//!
//! Messages of commits are strangers' text: no format lets through what a terminal, a browser or a
//! spreadsheet would obey.

mod csv;
mod html;
mod json;
mod mail;
mod references;
mod svg;
mod text;

pub use references::write_references;

use crate::Format;
use std::io;
use veristable_history::report::{FixRow, Report, TreeReport};
use veristable_history::trial::Applies;
use veristable_history::verdict::Verdict;

/// In which form a history is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HistoryFormat {
    /// A form that other commands have too. JSON is one object here.
    Common(Format),
    /// One page that needs nothing else.
    Html,
    /// Drafts of mails that ask for what trees lack.
    Mail,
}

/// Writes a report. `list` adds every commit to the text.
///
/// # Errors
/// Those of the stream.
pub fn write(
    out: &mut dyn io::Write,
    format: HistoryFormat,
    report: &Report,
    list: bool,
) -> io::Result<()> {
    match format {
        HistoryFormat::Common(Format::Text { color }) => text::write(out, color, report, list)?,
        HistoryFormat::Common(Format::Json) => {
            json::write(out, report)?;
        }
        HistoryFormat::Common(Format::Csv) => csv::write(out, report)?,
        HistoryFormat::Html => html::write(out, report)?,
        HistoryFormat::Mail => mail::write(out, report)?,
    }
    out.flush()
}

/// What moves a terminal's cursor or turns the direction of writing around.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text on one line without odd characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if is_odd(c) { '\u{fffd}' } else { c }).collect()
}

/// What a verdict means, for people.
fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Standalone => "inside, came alone",
        Verdict::WholeSet => "inside, and so is its whole series",
        Verdict::OrderSafe => "inside, and nothing before it in its series is outside",
        Verdict::SymbolSafe => "by names alone: uses no symbol that its series changes outside",
        Verdict::NeedsAnalysis => "inside, after commits of its series that are not",
        Verdict::Outside => "changes something outside",
    }
}

/// What stands in two columns of verdicts.
const BY_MERGES: &str = "By merges: only commits of one file inside, and only merged sets as series, as the figures above count.";

/// A figure with its name.
struct Figure {
    name: &'static str,
    count: usize,
    /// The figure without its quirk, and in which way.
    corrected: Option<(usize, &'static str)>,
}

impl Figure {
    fn new(name: &'static str, count: usize) -> Self {
        Self { name, count, corrected: None }
    }

    /// `count how`, or nothing.
    fn correction(&self) -> String {
        self.corrected.map_or(String::new(), |(count, how)| format!("{count} {how}"))
    }
}

/// Xu's figures, and those with a quirk beside the corrected ones.
fn figures(report: &Report) -> Vec<Figure> {
    let f = &report.figures;
    vec![
        Figure::new("commits that change something inside", f.commits),
        Figure::new("... exactly one file, tests left out, and that inside", f.inside),
        Figure::new("    of them fixes", f.inside_fixes),
        Figure::new("... one file inside and bpf_verifier.h", f.with_header),
        Figure::new("... fixes", f.fixes),
        Figure {
            name: "... fixes of several files, tests counted",
            count: f.multi_file_fixes,
            corrected: Some((f.multi_file_fixes_corrected, "with tests left out")),
        },
        Figure::new("merged patch sets", f.sets),
        Figure::new("    their commits", f.set_commits),
        Figure::new("    of them inside, one file", f.inside_in_sets),
        Figure {
            name: "sets with such a commit and others",
            count: f.mixed_sets,
            corrected: Some((f.sets_with_inside, "with such a commit")),
        },
        Figure::new("sets wholly inside", report.merged.whole),
    ]
}

/// A row of the table of what missing fixes need before.
struct NeedRow {
    /// The fix, in its first row.
    fix: String,
    /// How it applies, in its first row.
    how: String,
    /// What it needs; nothing if nobody knows.
    needs: String,
    by: String,
    sure: String,
    lines: String,
    title: String,
}

/// The fixes that a tree lacks and that do not apply as they are, with what they need before. Commits without
/// which a fix applies too are left out; JSON has them.
fn prerequisites(tree: &TreeReport) -> Vec<NeedRow> {
    let mut rows = Vec::new();
    let fails = |fix: &&FixRow| {
        !fix.prerequisites.is_empty()
            || fix.trial.as_ref().is_some_and(|trial| trial.applies == Applies::No)
    };
    for fix in tree.fixes.iter().filter(fails) {
        let mut how = fix.trial.as_ref().map_or(String::new(), |trial| match trial.applies {
            Applies::No => format!("{} of {} hunks do not", trial.failed, trial.hunks),
            applies => applies.word().to_owned(),
        });
        if fix.with_prerequisites.is_some_and(|with| with != Applies::No) {
            how.push_str(", with these all do");
        }
        let mut first = Some((fix.id.short(), how));
        let needs = fix.prerequisites.iter().filter(|needs| needs.needed != Some(false));
        for needs in needs {
            let (fix, how) = first.take().unwrap_or_default();
            let lines = match (needs.lines, needs.absent) {
                (Some(lines), Some(absent)) => format!("{lines}, {absent} absent"),
                (Some(lines), None) => lines.to_string(),
                (None, _) => String::new(),
            };
            let sure = match needs.needed {
                Some(true) => "needed".to_owned(),
                _ => needs.confidence.word().to_owned(),
            };
            let by = needs.because.word().to_owned();
            let title = needs.subject.clone();
            let needs = needs.id.chars().take(12).collect();
            rows.push(NeedRow { fix, how, needs, by, sure, lines, title });
        }
        if let Some((fix_id, how)) = first {
            let title = "nothing is known to make it apply".to_owned();
            let [needs, by, sure, lines] = [const { String::new() }; 4];
            rows.push(NeedRow { fix: fix_id, how, needs, by, sure, lines, title });
        }
    }
    rows
}
