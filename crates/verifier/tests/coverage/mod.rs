// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which messages the tests provoke, and the list of those that no rule case provokes
//! (`data/uncovered.txt`: `Area.Name reason`, see there).

use std::collections::{BTreeMap, BTreeSet};

use veristable_verifier::log::KernelLog;
use veristable_verifier::messages::Message;
use veristable_verifier::trace::Mark;
use veristable_verifier::{Errno, Event, Level, Observer, Outcome};

/// The kernel's log, and which messages are in it.
#[derive(Debug)]
pub(crate) struct Watching {
    pub(crate) log: KernelLog,
    /// Messages that reject nothing by their nature.
    notes: Names,
    /// The texts of all others. A caller may go on after one, so that they are no rejection.
    others: BTreeSet<(String, String)>,
}

/// Messages as `Area.Name`.
pub(crate) type Names = BTreeSet<String>;

impl Watching {
    pub(crate) const fn new(log: KernelLog) -> Self {
        Self { log, notes: Names::new(), others: BTreeSet::new() }
    }

    /// The messages of an answer: those of the rejection, the notes on the way, and those that are
    /// one of the expected `lines`.
    pub(crate) fn said(self, outcome: &Outcome, lines: &[String]) -> Names {
        let mut names = self.notes;
        if let Outcome::Rejected(rejected) = outcome {
            names.extend(rejected.messages.iter().map(name));
        }
        let expected = self.others.into_iter().filter(|(_, text)| lines.contains(text));
        names.extend(expected.map(|(name, _)| name));
        names
    }
}

impl Observer for Watching {
    const LEVEL: Level = KernelLog::LEVEL;

    fn wants(&self, level: Level) -> bool {
        self.log.wants(level)
    }

    fn event(&mut self, event: Event<'_>) {
        if let Event::Message(message) = &event {
            if message.errno().is_none() {
                self.notes.insert(name(message));
            } else {
                self.others.insert((name(message), message.to_string()));
            }
        }
        self.log.event(event);
    }

    fn mark(&self) -> Mark {
        self.log.mark()
    }

    fn finish(&mut self) -> Result<(), Errno> {
        self.log.finish()
    }
}

fn name(message: &Message) -> String {
    format!("{}.{}", message.area(), message.id())
}

/// The exceptions and the reason of each.
pub(crate) fn exceptions() -> BTreeMap<String, String> {
    let lines = include_str!("../data/uncovered.txt").lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut exceptions = BTreeMap::new();
    for line in lines {
        let (name, reason) = line.split_once(' ').unwrap_or_else(|| panic!("{line}: no reason"));
        let before = exceptions.insert(name.to_owned(), reason.trim().to_owned());
        assert_eq!(before, None, "{name} is listed twice");
    }
    exceptions
}
