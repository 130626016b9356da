// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Sections with a line for each fact; differences with `-`, `+` and `~`.

use crate::table::paint;
use anstyle::{AnsiColor, Style};
use std::io;
use veristable_profiles::listing::{Change, Difference, Entry, Section};

/// Width of a line that lists things.
const WIDTH: usize = 96;

pub(super) fn facts(out: &mut dyn io::Write, color: bool, sections: &[Section]) -> io::Result<()> {
    for (at, section) in sections.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        let title = paint(color, Style::new().bold(), section.name);
        let comma = if section.origin.is_empty() { "" } else { ", " };
        writeln!(out, "{title} ({}{comma}{})", section.entries.len(), section.origin)?;
        let width = section.entries.iter().map(|e| e.name.chars().count()).max().unwrap_or(0);
        for entry in &section.entries {
            one(out, entry, width.min(40))?;
        }
    }
    Ok(())
}

fn one(out: &mut dyn io::Write, entry: &Entry, width: usize) -> io::Result<()> {
    if width + entry.text.len() + 4 > WIDTH && entry.items.is_empty() {
        writeln!(out, "  {}", entry.name)?;
        wrapped(out, "      ", entry.text.split_whitespace(), " ")?;
    } else {
        writeln!(out, "{}", format!("  {:width$}  {}", entry.name, entry.text).trim_end())?;
    }
    wrapped(out, "      ", entry.note.split_whitespace(), " ")?;
    wrapped(out, "      ", entry.items.iter().map(String::as_str), ", ")
}

/// Writes words or items over as many lines as they need.
fn wrapped<'t>(
    out: &mut dyn io::Write,
    indent: &str,
    parts: impl Iterator<Item = &'t str>,
    between: &str,
) -> io::Result<()> {
    let mut line = String::new();
    for part in parts {
        if !line.is_empty() && indent.len() + line.len() + between.len() + part.len() > WIDTH {
            writeln!(out, "{indent}{line}")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push_str(between);
        }
        line.push_str(part);
    }
    if line.is_empty() { Ok(()) } else { writeln!(out, "{indent}{line}") }
}

pub(super) fn differences(
    out: &mut dyn io::Write,
    color: bool,
    kernels: [&str; 2],
    differences: &[Difference],
) -> io::Result<()> {
    let [left, right] = kernels;
    let red = AnsiColor::Red.on_default();
    let green = AnsiColor::Green.on_default();
    let yellow = AnsiColor::Yellow.on_default();
    writeln!(out, "{}", paint(color, red, &format!("- {left}")))?;
    writeln!(out, "{}", paint(color, green, &format!("+ {right}")))?;
    let mut section = "";
    for difference in differences {
        if difference.section != section {
            section = difference.section;
            let count = differences.iter().filter(|d| d.section == section).count();
            let title = paint(color, Style::new().bold(), section);
            writeln!(out, "\n{title} ({count} differences)")?;
        }
        let name = &difference.name;
        let line = |sign: char, style, text: &str| {
            let line = format!("{sign} {name}  {text}");
            paint(color, style, line.trim_end())
        };
        match &difference.change {
            Change::OnlyLeft(text) => writeln!(out, "  {}", line('-', red, text))?,
            Change::OnlyRight(text) => writeln!(out, "  {}", line('+', green, text))?,
            Change::Differs { left, right, lost, gained } => {
                let short = left.len() + right.len() < WIDTH / 2;
                let text = match (left == right, short) {
                    (true, _) | (_, false) => String::new(),
                    (false, true) => format!("{left} -> {right}"),
                };
                writeln!(out, "  {}", line('~', yellow, &text))?;
                if left != right && !short {
                    writeln!(out, "      - {left}")?;
                    writeln!(out, "      + {right}")?;
                }
                for (sign, items) in [("      - ", lost), ("      + ", gained)] {
                    wrapped(out, sign, items.iter().map(String::as_str), ", ")?;
                }
            }
        }
        wrapped(out, "      ", difference.note.split_whitespace(), " ")?;
    }
    if differences.is_empty() {
        writeln!(out, "\nNo differences.")?;
    }
    Ok(())
}
