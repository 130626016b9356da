// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! JSON: the report as it is. Characters that a terminal would obey are written as `\uXXXX`.

use super::is_odd;
use std::io::{self, Write};
use veristable_history::report::Report;

pub(super) fn write(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    let mut rest = text.as_str();
    // Line ends are the layout's: those of strings are escaped already. What is odd stands in strings, and takes one
    // unit of UTF-16.
    while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_odd(*c) && *c != '\n') {
        let (before, after) = rest.split_at(at);
        write!(out, "{before}\\u{:04x}", u32::from(c))?;
        rest = after.get(c.len_utf8()..).unwrap_or("");
    }
    writeln!(out, "{rest}")
}
