// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Program types and what their programs may read and write of the context.

use super::{Entry, spelled};
use veristable_kernel::profile::{CtxRun, CtxTable, Facts, Variant};
use veristable_kernel::{Profile, ReturnRange};

pub(super) fn types(profile: &Profile) -> Vec<Entry> {
    let facts = profile.facts();
    let entry = |row: &veristable_kernel::profile::ProgTypeRow| {
        let context = match facts.strings.get(row.context_struct) {
            "" => "no structure for context".to_owned(),
            name => format!("context struct {name}"),
        };
        let of_type = facts.variants.iter().filter(|v| v.prog_type == row.prog_type);
        let ty = row.prog_type;
        Entry::new(spelled(ty.name(), ty.0), context)
            .with(of_type.map(|variant| kind(facts, variant)))
    };
    facts.prog_types.iter().map(entry).collect()
}

/// A kind of program with what it may return and whether it may sleep.
fn kind(facts: &Facts, variant: &Variant) -> String {
    let mut text = facts.strings.get(variant.name).to_owned();
    let returns = match variant.ret {
        Some(ReturnRange::Within(low, high)) => format!("returns [{low}, {high}]"),
        Some(ReturnRange::Any) => "returns anything".to_owned(),
        None => String::new(),
    };
    let sleeps = match variant.sleepable_ok.map(|text| facts.strings.get(text)) {
        Some("") => "may sleep",
        Some(_) => "may not sleep",
        None => "",
    };
    let words: Vec<&str> =
        [&*returns, sleeps].into_iter().filter(|word| !word.is_empty()).collect();
    if !words.is_empty() {
        text.push_str(&format!(" ({})", words.join(", ")));
    }
    text
}

pub(super) fn contexts(profile: &Profile) -> Vec<Entry> {
    let facts = profile.facts();
    let variants = facts.variants.iter();
    let with = variants.filter_map(|variant| {
        let table = facts.contexts.get(usize::from(variant.context?))?;
        Some((variant, table))
    });
    with.map(|(variant, table)| {
        let end = table.end.map_or_else(String::new, |end| format!("nothing from offset {end} on"));
        Entry::new(facts.strings.get(variant.name), end).with(accesses(facts, table))
    })
    .collect()
}

fn accesses(facts: &Facts, table: &CtxTable) -> Vec<String> {
    let mut runs: Vec<&CtxRun> = table.runs.iter().collect();
    runs.sort_by_key(|run| (run.start, run.write, run.size));
    runs.into_iter()
        .map(|run| {
            let verb = if run.write { "write" } else { "read" };
            let last = run.start + u32::from(run.step) * u32::from(run.count.saturating_sub(1));
            let place = if run.count > 1 {
                format!("{}..{last} by {}", run.start, run.step)
            } else {
                run.start.to_string()
            };
            let result = table.results.get(usize::from(run.result));
            let what = result.map_or_else(String::new, |result| {
                let named = result.btf.map(|ty| format!(" {}", facts.strings.get(ty.name)));
                format!(": {}{}", result.ty, named.unwrap_or_default())
            });
            format!("{verb} {} at {place}{what}", run.size)
        })
        .collect()
}
