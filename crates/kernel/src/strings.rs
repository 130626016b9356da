// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Interned strings.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Number of an interned string. Numbers sort as their strings do.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct StrId(pub u32);

/// Sorted distinct strings in one piece of text. The empty string has the number 0.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Strings {
    text: String,
    /// Where each string ends.
    ends: Vec<u32>,
}

impl Strings {
    /// Interns strings; the empty one is added. `None` if they exceed 4 GiB.
    pub fn new<'a>(strings: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut sorted: Vec<&str> = strings.into_iter().chain([""]).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut this = Self::default();
        for string in sorted {
            this.text.push_str(string);
            this.ends.push(u32::try_from(this.text.len()).ok()?);
        }
        Some(this)
    }

    /// The string with this number; empty if there is none.
    #[must_use]
    pub fn get(&self, id: StrId) -> &str {
        let at = usize::try_from(id.0).unwrap_or(usize::MAX);
        let end = |at: usize| self.ends.get(at).and_then(|end| usize::try_from(*end).ok());
        let start = at.checked_sub(1).map_or(Some(0), end);
        start.zip(end(at)).and_then(|(start, end)| self.text.get(start..end)).unwrap_or("")
    }

    /// The number of a string.
    #[must_use]
    pub fn find(&self, string: &str) -> Option<StrId> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let mid = low + (high - low) / 2;
            match self.get(StrId(mid)).cmp(string) {
                core::cmp::Ordering::Less => low = mid.saturating_add(1),
                core::cmp::Ordering::Equal => return Some(StrId(mid)),
                core::cmp::Ordering::Greater => high = mid,
            }
        }
        None
    }

    /// How many strings there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is none, not even the empty one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_found_again() {
        let strings = Strings::new(["b", "a", "abc", "b"]).unwrap();
        assert_eq!(strings.len(), 4);
        for string in ["", "a", "abc", "b"] {
            assert_eq!(strings.find(string).map(|id| strings.get(id)), Some(string));
        }
        assert_eq!(strings.find("c"), None);
        assert_eq!(strings.get(StrId(99)), "");
    }
}
