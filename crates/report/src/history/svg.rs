// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Pictures: bars.

use super::html::escape;
use std::fmt::Write as _;

/// One bar: its name, and the lengths of its parts, each within the one before.
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) values: Vec<usize>,
}

/// Height of a bar with its surroundings.
const ROW: usize = 22;
/// Widths of names, bars and numbers.
const NAMES: usize = 300;
const BARS: usize = 420;
const NUMBERS: usize = 110;

/// Writes numbers as coordinates with one decimal.
fn scaled(value: usize, most: usize, width: usize) -> String {
    let tenths = (value * width * 10).checked_div(most).unwrap_or(0);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Bars that lie below each other. `parts` names the colours.
pub(super) fn bars(label: &str, bars: &[Bar], parts: &[&str]) -> String {
    let most = bars.iter().flat_map(|bar| &bar.values).copied().max().unwrap_or(0);
    let (width, height) = (NAMES + BARS + NUMBERS, bars.len() * ROW + 4);
    let mut svg = open(label, width, height);
    for (row, bar) in bars.iter().enumerate() {
        let y = row * ROW + 4;
        let middle = y + 13;
        let name = escape(&shorten(&bar.name));
        let _ = write!(svg, "<g><title>{}: {}</title>", escape(&bar.name), numbers(bar, parts));
        let _ =
            write!(svg, "<text class=\"name\" x=\"{}\" y=\"{middle}\">{name}</text>", NAMES - 8);
        for (part, value) in bar.values.iter().enumerate() {
            let wide = scaled(*value, most, BARS);
            let _ = write!(
                svg,
                "<rect class=\"part{part}\" x=\"{NAMES}\" y=\"{y}\" width=\"{wide}\" height=\"{}\" rx=\"2\"/>",
                ROW - 6
            );
        }
        let end = bar.values.iter().copied().max().unwrap_or(0);
        let end = NAMES + (end * BARS).checked_div(most).unwrap_or(0) + 6;
        let text: Vec<String> = bar.values.iter().map(ToString::to_string).collect();
        let _ = write!(svg, "<text x=\"{end}\" y=\"{middle}\">{}</text></g>", text.join(" / "));
    }
    svg.push_str("</svg>");
    legend(&mut svg, parts);
    svg
}

fn numbers(bar: &Bar, parts: &[&str]) -> String {
    let each = parts.iter().zip(&bar.values).map(|(part, value)| format!("{value} {part}"));
    each.collect::<Vec<_>>().join(", ")
}

/// The end of a long path says more than its beginning.
fn shorten(name: &str) -> String {
    const MOST: usize = 44;
    let count = name.chars().count();
    if count <= MOST {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(count - MOST + 1).collect();
    format!("…{tail}")
}

/// Most columns of a picture: 20 years by month.
const MOST_COLUMNS: usize = 240;

/// Columns beside each other, in groups: for each name a value of each series.
pub(super) fn columns(label: &str, names: &[String], series: &[(&str, Vec<usize>)]) -> String {
    const HEIGHT: usize = 180;
    const LEFT: usize = 40;
    let skip = names.len().saturating_sub(MOST_COLUMNS);
    let names: Vec<&String> = names.iter().skip(skip).collect();
    let group = (760 / names.len().max(1)).clamp(4, 60);
    let each = (group.saturating_sub(2) / series.len().max(1)).max(1);
    let values = || series.iter().flat_map(|(_, values)| values.iter().skip(skip));
    let most = values().copied().max().unwrap_or(0).max(1);
    let width = LEFT + names.len() * group.max(each * series.len() + 1) + 10;
    let group = group.max(each * series.len() + 1);
    let mut svg = open(label, width.max(400), HEIGHT + 50);
    for part in 0..=2 {
        let value = most * part / 2;
        let y = HEIGHT + 10 - (value * HEIGHT) / most;
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{width}\" y2=\"{y}\"/><text class=\"axis\" x=\"{}\" y=\"{}\">{value}</text>",
            LEFT - 6,
            y + 4
        );
    }
    for (index, name) in names.iter().enumerate() {
        let x = LEFT + index * group;
        for (part, (title, values)) in series.iter().enumerate() {
            let value = values.get(skip + index).copied().unwrap_or(0);
            let high = scaled(value, most, HEIGHT);
            let high_number = (value * HEIGHT) / most;
            let _ = write!(
                svg,
                "<rect class=\"part{}\" x=\"{}\" y=\"{}\" width=\"{each}\" height=\"{high}\"><title>{}, {}: {value}</title></rect>",
                part % 5,
                x + part * each,
                HEIGHT + 10 - high_number,
                escape(name),
                escape(title)
            );
        }
        // Names of months are wide: as many as have room.
        let step = 64 / group + 1;
        if index.is_multiple_of(step) {
            let _ = write!(svg, "<text x=\"{x}\" y=\"{}\">{}</text>", HEIGHT + 26, escape(name));
        }
    }
    svg.push_str("</svg>");
    legend(&mut svg, &series.iter().map(|(title, _)| *title).collect::<Vec<_>>());
    svg
}

fn open(label: &str, width: usize, height: usize) -> String {
    format!(
        "<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">",
        escape(label)
    )
}

/// The names of colours; one needs none.
fn legend(svg: &mut String, parts: &[&str]) {
    if parts.len() < 2 {
        return;
    }
    svg.push_str("<p class=\"legend\">");
    for (part, name) in parts.iter().enumerate() {
        let _ = write!(svg, "<span><i class=\"part{}\"></i>{}</span> ", part % 5, escape(name));
    }
    svg.push_str("</p>");
}
