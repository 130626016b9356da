// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Which messages the tests provoke, and the list of those that no rule case provokes
//! (`data/uncovered.txt`: `Area.Name reason`, see there).

use std::collections::{BTreeMap, BTreeSet};

use veristable_verifier::log::KernelLog;
use veristable_verifier::messages::Message;
use veristable_verifier::trace::Mark;
use veristable_verifier::{Errno, Event, Level, Observer, Outcome};

/// The kernel's log, and which notes (messages that reject nothing) were said.
#[derive(Debug)]
pub struct Watching {
    pub log: KernelLog,
    notes: Names,
}

/// Messages as `Area.Name`.
pub type Names = BTreeSet<String>;

impl Watching {
    pub const fn new(log: KernelLog) -> Self {
        Self { log, notes: Names::new() }
    }

    /// The messages of an answer: those of the rejection, and the notes on the way.
    pub fn said(self, outcome: &Outcome) -> Names {
        let Outcome::Rejected(rejected) = outcome else { return self.notes };
        rejected.messages.iter().map(name).chain(self.notes).collect()
    }
}

impl Observer for Watching {
    const LEVEL: Level = KernelLog::LEVEL;

    fn wants(&self, level: Level) -> bool {
        self.log.wants(level)
    }

    fn event(&mut self, event: Event<'_>) {
        if let Event::Message(message) = &event
            && message.errno().is_none()
        {
            self.notes.insert(name(message));
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
pub fn exceptions() -> BTreeMap<String, String> {
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
