// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The facts of a profile in words, by section, and how two profiles differ.
//!
//! A section is a list of entries sorted by name; an entry has a text and may have a list of items,
//! such as the programs that may call a helper. Two profiles are compared entry by entry, so that
//! whatever can be shown can be compared.

mod calls;
mod facts;
mod programs;

use std::collections::{BTreeMap, BTreeSet};
use veristable_kernel::{FactKind, Kernel, Profile};

/// One fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What it is about.
    pub name: String,
    /// What it says.
    pub text: String,
    /// What it means, where the name alone does not say; not compared.
    pub note: String,
    /// What else belongs to it.
    pub items: Vec<String>,
}

impl Entry {
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let (name, text) = (name.into(), text.into());
        Self { name, text, note: String::new(), items: Vec::new() }
    }

    pub(crate) fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    pub(crate) fn with(mut self, items: impl IntoIterator<Item = String>) -> Self {
        self.items = items.into_iter().collect();
        self
    }
}

/// Facts of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Its name.
    pub name: &'static str,
    /// How the facts are known; empty where that is no question.
    pub origin: &'static str,
    /// The facts.
    pub entries: Vec<Entry>,
}

type Make = fn(&Profile) -> Vec<Entry>;

/// Every section: name, the kind whose origin is given, whether it is part of the overview,
/// whether two profiles are compared by it unless something else is asked for.
const SECTIONS: &[(&str, Option<FactKind>, bool, bool, Make)] = &[
    ("kernel", None, true, false, facts::kernel),
    ("inputs", None, true, false, facts::inputs),
    ("limits", Some(FactKind::Limits), true, true, facts::limits),
    ("behaviours", Some(FactKind::Behaviours), true, true, facts::behaviours),
    ("jit", Some(FactKind::Jit), true, true, facts::jit),
    ("helpers", Some(FactKind::Helpers), false, true, calls::helpers),
    ("kfuncs", Some(FactKind::Kfuncs), false, true, calls::kfuncs),
    ("program-types", Some(FactKind::ProgTypes), false, true, programs::types),
    ("contexts", Some(FactKind::Contexts), false, true, programs::contexts),
    ("map-types", Some(FactKind::MapTypes), false, true, facts::map_types),
    ("struct-ops", Some(FactKind::StructOps), false, true, facts::struct_ops),
    ("lsm-hooks", Some(FactKind::LsmHooks), false, true, facts::lsm_hooks),
    ("tracepoints", Some(FactKind::Tracepoints), false, false, facts::tracepoints),
    ("lists", Some(FactKind::NameLists), false, false, facts::lists),
    ("destructors", Some(FactKind::Dtors), false, false, facts::destructors),
    ("config", Some(FactKind::Config), false, false, facts::config),
];

/// Which sections are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selection<'a> {
    /// Those that describe a kernel on one page, and how much the others hold.
    Overview,
    /// Those in which verifiers differ.
    Comparison,
    /// All.
    All,
    /// By name.
    Named(&'a [String]),
}

/// The names of all sections.
pub fn names() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().map(|(name, ..)| *name)
}

/// The sections of a profile.
#[must_use]
pub fn sections(profile: &Profile, selection: Selection<'_>) -> Vec<Section> {
    let wanted = |name: &str, overview: bool, comparison: bool| match selection {
        Selection::Overview => overview,
        Selection::Comparison => comparison,
        Selection::All => true,
        Selection::Named(names) => names.iter().any(|wanted| wanted == name),
    };
    let mut found = Vec::new();
    let mut rest = Vec::new();
    for (name, kind, overview, comparison, make) in SECTIONS {
        let origin = kind.map_or("", |kind| profile.origin(kind).name());
        if !wanted(name, *overview, *comparison) {
            if selection == Selection::Overview {
                rest.push(Entry::new(*name, format!("{} ({origin})", make(profile).len())));
            }
            continue;
        }
        let mut entries = make(profile);
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        found.push(Section { name, origin, entries });
    }
    if !rest.is_empty() {
        found.push(Section { name: "further sections", origin: "", entries: rest });
    }
    found
}

/// One difference between two profiles.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The section.
    pub section: &'static str,
    /// The entry.
    pub name: String,
    /// What it means, where the name alone does not say.
    pub note: String,
    /// What differs.
    pub change: Change,
}

/// What differs in an entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Only the first has it.
    OnlyLeft(String),
    /// Only the second has it.
    OnlyRight(String),
    /// Both have it.
    Differs {
        /// What the first says.
        left: String,
        /// What the second says.
        right: String,
        /// Items that only the first has.
        lost: Vec<String>,
        /// Items that only the second has.
        gained: Vec<String>,
    },
}

/// How two profiles differ.
#[must_use]
pub fn differences(left: &Profile, right: &Profile, selection: Selection<'_>) -> Vec<Difference> {
    let (left, right) = (sections(left, selection), sections(right, selection));
    let pairs = left.iter().zip(&right);
    pairs.flat_map(|(left, right)| section_differences(left, right)).collect()
}

fn section_differences(left: &Section, right: &Section) -> Vec<Difference> {
    let by_name = |section: &'_ Section| -> BTreeMap<String, Entry> {
        section.entries.iter().map(|entry| (entry.name.clone(), entry.clone())).collect()
    };
    let (lefts, rights) = (by_name(left), by_name(right));
    let names: BTreeSet<&String> = lefts.keys().chain(rights.keys()).collect();
    let change = |name: &String| match (lefts.get(name), rights.get(name)) {
        (Some(one), None) => Some(Change::OnlyLeft(one.text.clone())),
        (None, Some(one)) => Some(Change::OnlyRight(one.text.clone())),
        (Some(left), Some(right)) if left != right => {
            let missing = |from: &Entry, other: &Entry| -> Vec<String> {
                from.items.iter().filter(|item| !other.items.contains(item)).cloned().collect()
            };
            let (lost, gained) = (missing(left, right), missing(right, left));
            let same = left.text == right.text && lost.is_empty() && gained.is_empty();
            // Only the order of the items differs.
            (!same).then(|| Change::Differs {
                left: left.text.clone(),
                right: right.text.clone(),
                lost,
                gained,
            })
        }
        _ => None,
    };
    let section = left.name;
    let difference = |name: &String| {
        let entry = rights.get(name).or_else(|| lefts.get(name));
        let note = entry.map_or_else(String::new, |entry| entry.note.clone());
        change(name).map(|change| Difference { section, name: name.clone(), note, change })
    };
    names.into_iter().filter_map(difference).collect()
}

/// A name in the lower-case spelling of its constant, or the number.
pub(crate) fn spelled(name: Option<&'static str>, number: u32) -> String {
    name.map_or_else(|| number.to_string(), str::to_ascii_lowercase)
}
