// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! JSON: one object a line for each fact or difference.

use serde::Serialize;
use std::io;
use veristable_profiles::listing::{Change, Difference, Section};

#[derive(Serialize)]
struct Fact<'a> {
    kernel: &'a str,
    section: &'a str,
    origin: &'a str,
    name: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    items: &'a [String],
}

pub(super) fn facts(out: &mut dyn io::Write, kernel: &str, sections: &[Section]) -> io::Result<()> {
    for section in sections {
        for entry in &section.entries {
            let fact = Fact {
                kernel,
                section: section.name,
                origin: section.origin,
                name: &entry.name,
                text: &entry.text,
                note: &entry.note,
                items: &entry.items,
            };
            serde_json::to_writer(&mut *out, &fact)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Line<'a> {
    left_kernel: &'a str,
    right_kernel: &'a str,
    section: &'a str,
    name: &'a str,
    left: Option<&'a str>,
    right: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    lost: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    gained: &'a [String],
}

pub(super) fn differences(
    out: &mut dyn io::Write,
    kernels: [&str; 2],
    differences: &[Difference],
) -> io::Result<()> {
    for difference in differences {
        let (left, right, lost, gained): (_, _, &[String], &[String]) = match &difference.change {
            Change::OnlyLeft(text) => (Some(&**text), None, &[], &[]),
            Change::OnlyRight(text) => (None, Some(&**text), &[], &[]),
            Change::Differs { left, right, lost, gained } => {
                (Some(&**left), Some(&**right), lost, gained)
            }
        };
        let line = Line {
            left_kernel: kernels[0],
            right_kernel: kernels[1],
            section: difference.section,
            name: &difference.name,
            left,
            right,
            note: &difference.note,
            lost,
            gained,
        };
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)?;
    }
    Ok(())
}
