// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The table of the design's section 7: agreement, separately for what the kernel accepts and for
//! what it rejects.

use crate::{Class, Comparison, Match};
use std::fmt;
use std::time::Duration;

/// A share of cases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Share {
    /// Cases that have the property.
    pub hits: usize,
    /// Cases that were asked.
    pub of: usize,
}

impl Share {
    pub(crate) fn add(&mut self, hit: bool) {
        self.of += 1;
        self.hits += usize::from(hit);
    }

    fn add_match(&mut self, m: Match) {
        match m {
            Match::Same => self.add(true),
            Match::Different => self.add(false),
            Match::NotCompared => {}
        }
    }

    /// In per cent; 100 where nothing was asked.
    #[must_use]
    pub fn percent(self) -> f64 {
        if self.of == 0 { 100.0 } else { 100.0 * self.hits as f64 / self.of as f64 }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.of == 0 {
            return f.write_str("-");
        }
        write!(f, "{:.2} % ({} of {})", self.percent(), self.hits, self.of)
    }
}

/// What agrees beside the verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Details {
    /// Processed instructions.
    pub processed: Share,
    /// All counts.
    pub counts: Share,
    /// The log.
    pub log: Share,
}

/// How long both sides took for the same programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Times {
    /// How many programs.
    pub programs: usize,
    /// `verify`, summed.
    pub ours: Duration,
    /// The kernel's `verification time`, summed.
    pub theirs: Duration,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = self.ours.as_secs_f64() / self.theirs.as_secs_f64().max(f64::MIN_POSITIVE);
        let Self { programs, ours, theirs } = self;
        write!(f, "{ratio:.2} ({ours:.2?} to {theirs:.2?}, {programs} programs)")
    }
}

/// Sums over a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Table {
    /// Programs in the set.
    pub programs: usize,
    /// Those for which the kernel gave an answer.
    pub answered: usize,
    /// Those that reached the kernel's verifier.
    pub reached: usize,
    /// Undecided by us, of those answered.
    pub unsupported: Share,
    /// Verdict equal, of those decided that the kernel accepts.
    pub accepted: Share,
    /// Verdict equal, of those decided that the kernel rejects.
    pub rejected: Share,
    /// Error number equal, of those that both reject.
    pub errno: Share,
    /// Message equal, of those that both reject.
    pub message: Share,
    /// What else agrees, of those that both accept.
    pub both_accept: Details,
    /// What else agrees, of those that both reject.
    pub both_reject: Details,
    /// Time of those decided, where the kernel's was taken in the same run.
    pub time: Option<Times>,
    /// We accept what the kernel rejects.
    pub false_accepts: usize,
    /// We reject what the kernel accepts.
    pub false_rejects: usize,
}

impl Table {
    /// Adds one comparison.
    pub fn add(&mut self, c: &Comparison) {
        self.programs += 1;
        if c.class == Class::NoAnswer {
            return;
        }
        self.answered += 1;
        self.reached += usize::from(c.reached);
        let undecided = matches!(c.class, Class::UnsupportedAccepted | Class::UnsupportedRejected);
        self.unsupported.add(undecided);
        match c.class {
            Class::BothAccept => self.accepted.add(true),
            Class::BothReject | Class::ErrnoDiffers => {
                self.rejected.add(true);
                self.errno.add(c.class == Class::BothReject);
            }
            Class::FalseReject => {
                self.accepted.add(false);
                self.false_rejects += 1;
            }
            Class::FalseAccept => {
                self.rejected.add(false);
                self.false_accepts += 1;
            }
            Class::UnsupportedAccepted | Class::UnsupportedRejected | Class::NoAnswer => {}
        }
        self.message.add_match(c.message);
        let details = match c.class {
            Class::BothAccept => &mut self.both_accept,
            _ => &mut self.both_reject,
        };
        details.processed.add_match(c.processed);
        details.counts.add_match(c.counts);
        details.log.add_match(c.log);
    }

    /// Adds the times of a program that was decided.
    pub fn add_times(&mut self, ours: Duration, theirs: Duration) {
        let times = self.time.get_or_insert_default();
        times.programs += 1;
        times.ours += ours;
        times.theirs += theirs;
    }

    /// The rows as Markdown, under a heading that names the set and the kernel.
    #[must_use]
    pub fn to_markdown(&self, set: &str, kernel: &str) -> String {
        let mut rows: Vec<(&str, String)> = vec![
            ("programs", self.programs.to_string()),
            ("answered by the kernel", self.answered.to_string()),
            ("reached its verifier", self.reached.to_string()),
            ("unsupported", self.unsupported.to_string()),
            ("verdict, accepted by the kernel", self.accepted.to_string()),
            ("verdict, rejected by the kernel", self.rejected.to_string()),
            ("**false accepts**", self.false_accepts.to_string()),
            ("false rejects", self.false_rejects.to_string()),
            ("error number (both reject)", self.errno.to_string()),
            ("message (both reject)", self.message.to_string()),
            ("processed instructions (both accept)", self.both_accept.processed.to_string()),
            ("all statistics (both accept)", self.both_accept.counts.to_string()),
            ("log (both accept)", self.both_accept.log.to_string()),
            ("processed instructions (both reject)", self.both_reject.processed.to_string()),
            ("all statistics (both reject)", self.both_reject.counts.to_string()),
            ("log (both reject)", self.both_reject.log.to_string()),
        ];
        if let Some(times) = self.time {
            rows.push(("our time to the kernel's", times.to_string()));
        }
        let mut out = format!("| {set} | {kernel} |\n|---|---|\n");
        for (name, value) in rows {
            out.push_str(&format!("| {name} | {value} |\n"));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_what_was_decided() {
        let c = |class| Comparison {
            class,
            reached: true,
            message: Match::NotCompared,
            processed: Match::NotCompared,
            counts: Match::NotCompared,
            log: Match::NotCompared,
        };
        let mut table = Table::default();
        for class in [
            Class::BothAccept,
            Class::FalseReject,
            Class::BothReject,
            Class::ErrnoDiffers,
            Class::FalseAccept,
            Class::UnsupportedAccepted,
            Class::NoAnswer,
        ] {
            table.add(&c(class));
        }
        assert_eq!((table.programs, table.answered), (7, 6));
        assert_eq!(table.accepted, Share { hits: 1, of: 2 });
        assert_eq!(table.rejected, Share { hits: 2, of: 3 });
        assert_eq!(table.errno, Share { hits: 1, of: 2 });
        assert_eq!(table.unsupported, Share { hits: 1, of: 6 });
        assert_eq!((table.false_accepts, table.false_rejects), (1, 1));
        assert!(table.to_markdown("set", "k").contains("66.67 % (2 of 3)"));
    }
}
