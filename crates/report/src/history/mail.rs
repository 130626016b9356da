// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Drafts of mails that ask the maintainers of a stable tree for what it lacks, in the words of
//! `Documentation/process/stable-kernel-rules.rst` (option 2: commits by id and title, and for which trees). Nothing
//! is sent: who sends one has read it, and has tried what it asks for.

use super::plain;
use std::io::{self, Write};
use veristable_history::report::{Report, RequestKind, RequestRow, TreeReport};

/// Headings of the parts of a mail, in its order.
const PARTS: [(&[RequestKind], &str); 2] = [
    (&[RequestKind::Fix, RequestKind::Prerequisite], "Please apply these commits, in this order:"),
    (&[RequestKind::Test], "These commits test fixes that the tree has, and were left behind:"),
];

pub(super) fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    report.trees.iter().try_for_each(|tree| draft(out, tree))
}

fn draft(out: &mut dyn Write, tree: &TreeReport) -> io::Result<()> {
    let name = tree.branch.map_or_else(|| plain(&tree.name), |branch| branch.to_string());
    writeln!(out, "To: stable@vger.kernel.org\nCc: bpf@vger.kernel.org")?;
    writeln!(out, "Subject: bpf: commits to be carried over to {name}\n")?;
    if tree.request.is_empty() {
        writeln!(out, "{name} lacks nothing that is known of.\n")?;
    }
    for (kinds, heading) in PARTS {
        let rows = || tree.request.iter().filter(|row| kinds.contains(&row.kind));
        if rows().next().is_some() {
            writeln!(out, "{heading}\n")?;
            rows().try_for_each(|row| line(out, row))?;
            writeln!(out)?;
        }
    }
    Ok(())
}

/// A commit as messages of the kernel quote it, and why.
fn line(out: &mut dyn Write, row: &RequestRow) -> io::Result<()> {
    writeln!(out, "  {} (\"{}\")\n    {}", row.id.short(), plain(&row.subject), plain(&row.why))
}
