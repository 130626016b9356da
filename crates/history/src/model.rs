// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Commits and patch sets.

use crate::ids::{FilePath, IdIndex, ObjectId};
use core::fmt;
use serde::{Serialize, Serializer};
use std::collections::HashMap;

/// A moment as git's `%ci` writes it: `2024-12-17 16:09:24 -0800`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Date {
    /// Seconds since 1970 in UTC.
    pub seconds: i64,
    /// Minutes that the clock at the place was ahead of UTC.
    pub offset: i16,
}

impl Date {
    /// That of commits whose date is out of every range.
    pub const UNKNOWN: Self = Self { seconds: 0, offset: 0 };

    /// Reads the form that it is written in; `None` for every other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let (day, time, zone) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let [year, month, date] = numbers(day, '-')?;
        let [hour, minute, second] = numbers(time, ':')?;
        let (sign, digits) = match zone.split_at_checked(1)? {
            ("+", digits) => (1, digits),
            ("-", digits) => (-1, digits),
            _ => return None,
        };
        let digits: i16 = plain(digits)?.try_into().ok()?;
        if !(1..=12).contains(&month) || !(1..=31).contains(&date) || digits > 9999 {
            return None;
        }
        if hour > 23 || minute > 99 || second > 99 {
            return None;
        }
        // Zones are whatever a stranger's clock says; this one is still written with four digits.
        let offset = sign * ((digits / 100) * 60 + (digits % 100).min(59));
        let days = days_from_civil(year, month, date);
        let local = days * 86_400 + hour * 3600 + minute.min(59) * 60 + second.min(59);
        let seconds = local - i64::from(offset) * 60;
        Some(Self { seconds, offset })
    }

    /// Year and month at the place, e.g. `2024-12`.
    #[must_use]
    pub fn month(&self) -> String {
        let (year, month, _) = civil_from_days(self.local().div_euclid(86_400));
        format!("{year:04}-{month:02}")
    }

    /// The day at the place, e.g. `2024-12-17`.
    #[must_use]
    pub fn day(&self) -> String {
        let (year, month, day) = civil_from_days(self.local().div_euclid(86_400));
        format!("{year:04}-{month:02}-{day:02}")
    }

    fn local(&self) -> i64 {
        self.seconds.saturating_add(i64::from(self.offset) * 60)
    }
}

fn plain(text: &str) -> Option<i64> {
    let good = !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit());
    if good { text.parse().ok() } else { None }
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.split(between).map(plain);
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

/// Days since 1970-01-01 of a day of the Gregorian calendar: years begin in March, so that the odd day
/// comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The reverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.local().rem_euclid(86_400);
        let sign = if self.offset < 0 { '-' } else { '+' };
        let zone = self.offset.unsigned_abs();
        write!(
            f,
            "{} {:02}:{:02}:{:02} {sign}{:02}{:02}",
            self.day(),
            second / 3600,
            second / 60 % 60,
            second % 60,
            zone / 60,
            zone % 60
        )
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A commit that is no merge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// Its id.
    pub id: ObjectId,
    /// `Name <address>`.
    pub author: String,
    /// When it was committed.
    pub date: Date,
    /// The whole message, without blank lines at its end.
    pub message: String,
    /// The files that it changes, sorted, each once; renamed files under both names.
    pub files: Vec<FilePath>,
}

impl Commit {
    /// The message's first line.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or("")
    }

    /// The message without its first line.
    #[must_use]
    pub fn body(&self) -> &str {
        self.message.split_once('\n').map_or("", |(_, body)| body.trim_start_matches('\n'))
    }

    /// The author's name without the address.
    #[must_use]
    pub fn author_name(&self) -> &str {
        self.author.split('<').next().unwrap_or("").trim()
    }
}

/// Index of a commit in [`History::commits`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct CommitIndex(pub(crate) u32);

impl CommitIndex {
    /// As an index of slices.
    #[must_use]
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// A series of commits that was merged at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PatchSet {
    /// The merge.
    pub merge: ObjectId,
    /// First line of its message.
    pub subject: String,
    /// The rest of its message: the cover letter, as BPF maintainers keep it.
    pub body: String,
    /// Who merged.
    pub author: String,
    /// When.
    pub date: Date,
    /// What was merged, oldest first.
    pub commits: Vec<CommitIndex>,
}

/// Where commits come from.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Range {
    /// What was asked about, e.g. `kernel/bpf/verifier.c`.
    pub target: String,
    /// The older end, as it was given; empty for the whole history.
    pub start: String,
    /// The newer end.
    pub end: String,
}

/// The commits of a range that change something inside a boundary, and the sets that they came in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    /// Where they come from.
    pub range: Range,
    /// Commits that change something inside, newest first, and after them the others of the sets.
    pub commits: Vec<Commit>,
    /// How many of `commits` change something inside.
    pub inside: usize,
    /// Sets with at least one commit that changes something inside.
    pub sets: Vec<PatchSet>,
}

impl History {
    /// A commit.
    #[must_use]
    pub fn commit(&self, index: CommitIndex) -> Option<&Commit> {
        self.commits.get(index.get())
    }

    /// The commits that change something inside.
    pub fn touching(&self) -> impl Iterator<Item = (CommitIndex, &Commit)> {
        self.indexed().take(self.inside)
    }

    /// All commits.
    pub fn indexed(&self) -> impl Iterator<Item = (CommitIndex, &Commit)> {
        (0..).map(CommitIndex).zip(&self.commits)
    }

    /// The commits of a set.
    pub fn commits_of<'a>(
        &'a self,
        set: &'a PatchSet,
    ) -> impl Iterator<Item = (CommitIndex, &'a Commit)> {
        set.commits.iter().filter_map(|index| Some((*index, self.commit(*index)?)))
    }

    /// Commits by id.
    #[must_use]
    pub fn by_id(&self) -> IdIndex<CommitIndex> {
        self.indexed().map(|(index, commit)| (commit.id, index)).collect()
    }

    /// The first set of each commit that came in one.
    #[must_use]
    pub fn set_of(&self) -> HashMap<CommitIndex, &PatchSet> {
        let mut of = HashMap::new();
        for set in &self.sets {
            for index in &set.commits {
                of.entry(*index).or_insert(set);
            }
        }
        of
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_git_writes_them() {
        for text in [
            "2024-12-17 16:09:24 -0800",
            "1970-01-01 00:00:00 +0000",
            "2000-02-29 23:59:59 +0530",
            "1969-12-31 23:00:00 -0100",
            "9999-12-31 00:00:00 +0000",
            "123456-12-31 23:59:59 -9959",
        ] {
            assert_eq!(Date::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Date::parse("2024-12-17 16:09:24 -0800").unwrap().seconds, 1_734_480_564);
        assert_eq!(Date::parse("2024-12-17 16:09:24 -0800").unwrap().month(), "2024-12");
        // Nonsense of clocks is no error, and is read as it is written.
        let odd = Date::parse("2024-02-31 23:99:60 +9999").unwrap();
        assert_eq!(Date::parse(&odd.to_string()), Some(odd));
        for bad in ["", "2024-12-17", "2024-13-01 00:00:00 +0000", "2024-1-1 0:0:0 é", "a b c"] {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
    }
}
