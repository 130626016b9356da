// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Known disagreements: a checked-in list per kernel that only shrinks.
//!
//! One entry a line: the case, its class, and the reason, separated by tabs. `#` starts a comment.

use crate::Class;
use std::collections::BTreeMap;

/// The list of one kernel.
#[derive(Clone, Debug, Default)]
pub struct Known(BTreeMap<String, Entry>);

#[derive(Clone, Debug)]
struct Entry {
    class: String,
    reason: String,
}

/// What a run found against the list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Disagreements that the list does not have, with their class.
    pub new: Vec<(String, Class)>,
    /// Entries that were run and agree again (or changed their class): they must go.
    pub gone: Vec<String>,
}

impl Changes {
    /// Whether the list still tells the truth.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.new.is_empty() && self.gone.is_empty()
    }
}

/// A line of a list that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct KnownError {
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

impl Known {
    /// Reads a list.
    ///
    /// # Errors
    /// The first line without a case, a class and a reason, or that repeats a case.
    pub fn parse(text: &str) -> Result<Self, KnownError> {
        let mut entries = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let error = |why| KnownError { line: at + 1, why };
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let mut fields = line.splitn(3, '\t');
            let (Some(case), Some(class), Some(reason)) =
                (fields.next(), fields.next(), fields.next())
            else {
                return Err(error("expected case, class and reason, separated by tabs"));
            };
            if reason.trim().is_empty() {
                return Err(error("an entry needs a reason"));
            }
            let entry = Entry { class: class.to_owned(), reason: reason.to_owned() };
            if entries.insert(case.to_owned(), entry).is_some() {
                return Err(error("the case stands in the list already"));
            }
        }
        Ok(Self(entries))
    }

    /// The reason why a case disagrees, if it is known to, in this class.
    #[must_use]
    pub fn reason(&self, case: &str, class: Class) -> Option<&str> {
        self.0.get(case).filter(|e| e.class == class.word()).map(|e| e.reason.as_str())
    }

    /// Compares the list with what a run found for the cases it ran.
    pub fn changes<'a>(&self, found: impl IntoIterator<Item = (&'a str, Class)>) -> Changes {
        let mut changes = Changes::default();
        for (case, class) in found {
            let listed = self.reason(case, class).is_some();
            if class.disagrees() && !listed {
                changes.new.push((case.to_owned(), class));
            }
            if !listed && self.0.contains_key(case) && class != Class::NoAnswer {
                changes.gone.push(case.to_owned());
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_and_vanished_disagreements_are_found() {
        let known = Known::parse("# list\na\tfalse-reject\twhy\nb\terrno-differs\twhy\n").unwrap();
        let changes = known.changes([
            ("a", Class::FalseReject),
            ("b", Class::BothReject),
            ("c", Class::FalseAccept),
            ("d", Class::UnsupportedAccepted),
        ]);
        assert_eq!(changes.new, [("c".to_owned(), Class::FalseAccept)]);
        assert_eq!(changes.gone, ["b"]);
    }

    #[test]
    fn a_list_without_reasons_is_refused() {
        let check = |text: &str, line: usize| {
            assert_eq!(Known::parse(text).unwrap_err().line, line, "{text:?}");
        };
        check("a\tfalse-reject\n", 1);
        check("\na\tfalse-reject\t \n", 2);
        check("a\tx\ty\na\tx\ty\n", 2);
    }
}
