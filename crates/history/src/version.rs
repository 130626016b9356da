// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Numbers of kernels.

use core::fmt;
use serde::{Serialize, Serializer};

/// A branch of the kernel, e.g. 6.1, in which stable kernels 6.1.1, 6.1.2, … appear.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Branch {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
}

/// A released kernel: the first of a branch or a stable one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Release {
    /// Its branch.
    pub branch: Branch,
    /// The third number; 0 for the first of a branch.
    pub patch: u32,
}

/// Branches with long support whose state is shown unless others are asked for.
pub const LONG_TERM: [Branch; 6] = [
    Branch { major: 5, minor: 10 },
    Branch { major: 5, minor: 15 },
    Branch { major: 6, minor: 1 },
    Branch { major: 6, minor: 6 },
    Branch { major: 6, minor: 12 },
    Branch { major: 6, minor: 18 },
];

impl Release {
    /// Reads `6.1`, `v6.1.76`, `6.1.192-1`, `6.13-rc1` or `6.1.y`; what follows the numbers does not count.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts = text.split('.');
        let major = leading(parts.next()?, true)?;
        let minor = leading(parts.next()?, false)?;
        let patch = parts.next().and_then(|part| leading(part, false)).unwrap_or(0);
        Some(Self { branch: Branch { major, minor }, patch })
    }
}

/// The number at the beginning of a text of at most six digits; `whole` if nothing may follow.
fn leading(text: &str, whole: bool) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let digits = text.get(..end).filter(|digits| (1..=6).contains(&digits.len()))?;
    if whole && end != text.len() { None } else { digits.parse().ok() }
}

impl Branch {
    /// Finds a branch in a name: `linux-6.1.y`, `queue-6.1`, `v6.1.76`.
    #[must_use]
    pub fn in_name(name: &str) -> Option<Self> {
        name.split(|c: char| !c.is_ascii_digit() && c != '.')
            .find_map(|part| Release::parse(part.trim_matches('.')).map(|release| release.branch))
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Serialize for Branch {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names() {
        let branch = |text| Branch::in_name(text).map(|branch| branch.to_string());
        for (name, want) in [
            ("linux-6.1.y", Some("6.1")),
            ("queue-5.15", Some("5.15")),
            ("v6.13-rc1", Some("6.13")),
            ("6.1.192-1", Some("6.1")),
            ("master", None),
            ("a1b2", None),
            ("", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(branch(name).as_deref(), want, "{name}");
        }
        assert!(Release::parse("6.9") < Release::parse("6.12.1"));
    }
}
