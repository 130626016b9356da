// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! CSV: one line for each fact or difference; lists are joined by `;`.

use std::io;
use veristable_profiles::listing::{Change, Difference, Section};

pub(super) fn facts(out: &mut dyn io::Write, kernel: &str, sections: &[Section]) -> io::Result<()> {
    let mut csv = ::csv::Writer::from_writer(out);
    csv.write_record(["kernel", "section", "origin", "name", "text", "items"])?;
    for section in sections {
        for entry in &section.entries {
            let items = entry.items.join(";");
            let cells =
                [kernel, section.name, section.origin, &entry.name, &entry.text, items.as_str()];
            csv.write_record(cells)?;
        }
    }
    csv.flush()
}

pub(super) fn differences(
    out: &mut dyn io::Write,
    kernels: [&str; 2],
    differences: &[Difference],
) -> io::Result<()> {
    let mut csv = ::csv::Writer::from_writer(out);
    csv.write_record(["section", "name", "change", kernels[0], kernels[1], "lost", "gained"])?;
    for difference in differences {
        let (change, left, right, lost, gained) = match &difference.change {
            Change::OnlyLeft(text) => {
                ("only-left", text.as_str(), "", String::new(), String::new())
            }
            Change::OnlyRight(text) => {
                ("only-right", "", text.as_str(), String::new(), String::new())
            }
            Change::Differs { left, right, lost, gained } => {
                ("differs", left.as_str(), right.as_str(), lost.join(";"), gained.join(";"))
            }
        };
        let name = difference.name.as_str();
        csv.write_record([difference.section, name, change, left, right, &lost, &gained])?;
    }
    csv.flush()
}
