// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! CSV: one line for each commit that changes something inside, two columns for each tree.

use super::plain;
use std::collections::HashMap;
use std::io;
use veristable_history::ids::ObjectId;
use veristable_history::report::{FixRow, Report};

const HEADER: [&str; 13] = [
    "commit", "date", "author", "subject", "inside", "fix", "verdict", "reason", "series",
    "number", "cves", "hints", "files",
];

/// Spreadsheets take a text that begins so for a formula.
fn text(text: &str) -> String {
    let text = plain(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

pub(super) fn write(out: &mut dyn io::Write, report: &Report) -> io::Result<()> {
    let mut csv = ::csv::Writer::from_writer(out);
    let mut header: Vec<String> = HEADER.map(str::to_owned).to_vec();
    for tree in &report.trees {
        header.push(format!("{} status", text(&tree.name)));
        header.push(format!("{} method", text(&tree.name)));
    }
    csv.write_record(&header)?;
    let trees: Vec<HashMap<ObjectId, &FixRow>> = report
        .trees
        .iter()
        .map(|tree| tree.fixes.iter().map(|row| (row.id, row)).collect())
        .collect();
    let yes = |value: bool| if value { "yes" } else { "no" }.to_owned();
    for row in &report.commits {
        let files: Vec<&str> = row.files.iter().map(|path| path.as_str()).collect();
        let series = row.series.as_ref();
        let mut record = vec![
            row.id.to_string(),
            row.date.to_string(),
            text(&row.author),
            text(&row.subject),
            yes(row.inside),
            yes(row.fix),
            row.verdict.word().to_owned(),
            text(&row.reason),
            series.map_or_else(String::new, |series| text(&series.name)),
            series.map_or_else(String::new, |series| format!("{}/{}", series.number, series.of)),
            row.cves.join(" "),
            row.hints.join("; "),
            text(&files.join(" ")),
        ];
        for tree in &trees {
            let fix = tree.get(&row.id);
            record.push(fix.map_or("", |fix| fix.status.word()).to_owned());
            let method = fix.and_then(|fix| fix.method);
            record.push(method.map_or("", |method| method.word()).to_owned());
        }
        csv.write_record(&record)?;
    }
    csv.flush()
}
