// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Tables of text with aligned columns.

use anstyle::Style;
use std::io;

/// A cell: its text and, where colour is written, its style.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) style: Option<Style>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: None }
    }
}

impl Cell {
    /// A cell with a style.
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style: Some(style) }
    }
}

/// A column: its heading and whether it is aligned to the right.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) heading: String,
    pub(crate) right: bool,
}

impl Column {
    pub(crate) fn left(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), right: false }
    }

    pub(crate) fn right(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), right: true }
    }
}

/// Text with a style, if colour is written.
pub(crate) fn paint(color: bool, style: Style, text: &str) -> String {
    if color {
        format!("{}{text}{}", style.render(), style.render_reset())
    } else {
        text.to_owned()
    }
}

/// Writes a table: headings, a rule, rows.
pub(crate) fn write(
    out: &mut dyn io::Write,
    color: bool,
    columns: &[Column],
    rows: &[Vec<Cell>],
) -> io::Result<()> {
    let len = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = columns.iter().map(|column| len(&column.heading)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(len(&cell.text));
        }
    }
    let mut line = |cells: &[Cell]| -> io::Result<()> {
        let mut text = String::new();
        for ((cell, column), width) in cells.iter().zip(columns).zip(&widths) {
            if !text.is_empty() {
                text.push_str("  ");
            }
            let fill = " ".repeat(width.saturating_sub(len(&cell.text)));
            let painted = match cell.style {
                Some(style) => paint(color, style, &cell.text),
                None => cell.text.clone(),
            };
            let (before, after) = if column.right { (&*fill, "") } else { ("", &*fill) };
            text.push_str(before);
            text.push_str(&painted);
            text.push_str(after);
        }
        writeln!(out, "{}", text.trim_end())
    };
    let headings: Vec<Cell> = columns.iter().map(|c| c.heading.as_str().into()).collect();
    line(&headings)?;
    let rule: Vec<Cell> = widths.iter().map(|width| "-".repeat(*width).into()).collect();
    line(&rule)?;
    rows.iter().try_for_each(|row| line(row))
}

/// The beginning of a text that is longer than `most` characters, with an ellipsis.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}
