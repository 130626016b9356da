// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Patterns over paths.

use core::fmt;
use core::str::FromStr;

/// A pattern over whole paths: `?` is one character and `*` any number of them, but for `/`; `**` is any
/// number of characters; a pattern that ends in `/` means everything below. Everything else is itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Glob {
    text: Box<str>,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// This character.
    One(char),
    /// Any character but `/`.
    Any,
    /// Any number of characters but `/`.
    Some,
    /// Any number of characters.
    All,
}

/// Why a text is no pattern.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{0}' is not a pattern over paths: {1}")]
pub struct BadGlob(String, &'static str);

impl FromStr for Glob {
    type Err = BadGlob;

    fn from_str(text: &str) -> Result<Self, BadGlob> {
        let bad = |why| Err(BadGlob(text.chars().take(60).collect(), why));
        if text.is_empty() {
            return bad("it is empty");
        }
        if text.len() > 4096 {
            return bad("it is longer than 4096 bytes");
        }
        if text.contains('\0') {
            return bad("paths have no zero bytes");
        }
        if text.starts_with('/') || text.split('/').any(|part| part == "..") {
            return bad("it must be relative to the repository's root");
        }
        let text = text.strip_prefix("./").unwrap_or(text);
        let mut parts = Vec::new();
        for c in text.chars() {
            let part = match c {
                '?' => Part::Any,
                '*' => match parts.last() {
                    Some(Part::Some | Part::All) => {
                        parts.pop();
                        Part::All
                    }
                    _ => Part::Some,
                },
                c => Part::One(c),
            };
            parts.push(part);
        }
        if text.ends_with('/') {
            parts.push(Part::All);
        }
        Ok(Self { text: text.into(), parts })
    }
}

impl Glob {
    /// Whether the pattern means `path`. Takes time of the product of both lengths at most.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        // What nearly all patterns are: a file, everything below a directory, a part of the path.
        let plain = |text: &str| !text.contains(['*', '?']);
        let text = self.text.strip_suffix("**").unwrap_or(&self.text);
        let open = text.len() < self.text.len() || text.ends_with('/');
        match text.strip_prefix("**") {
            None if plain(text) && open => return path.starts_with(text),
            None if plain(text) => return *text == *path,
            Some(part) if plain(part) && open => return path.contains(part),
            _ => {}
        }
        let count = self.parts.len();
        // `reached[i]`: the first `i` parts match what was read so far.
        let mut reached = vec![false; count + 1];
        let mut next = vec![false; count + 1];
        set(&mut reached, 0);
        self.skip(&mut reached);
        for c in path.chars() {
            next.fill(false);
            for (index, part) in self.parts.iter().enumerate() {
                if !reached.get(index).copied().unwrap_or(false) {
                    continue;
                }
                match part {
                    Part::One(one) if *one == c => set(&mut next, index + 1),
                    Part::Any if c != '/' => set(&mut next, index + 1),
                    Part::Some if c != '/' => set(&mut next, index),
                    Part::All => set(&mut next, index),
                    Part::One(_) | Part::Any | Part::Some => {}
                }
            }
            self.skip(&mut next);
            core::mem::swap(&mut reached, &mut next);
        }
        reached.last().copied().unwrap_or(false)
    }

    /// Parts that may stand for nothing are passed.
    fn skip(&self, reached: &mut [bool]) {
        for (index, part) in self.parts.iter().enumerate() {
            if matches!(part, Part::Some | Part::All) && reached.get(index) == Some(&true) {
                set(reached, index + 1);
            }
        }
    }

    /// What git's `:(glob)` takes for the same.
    #[must_use]
    pub fn pathspec(&self) -> String {
        let below = if self.text.ends_with('/') { "**" } else { "" };
        format!(":(top,glob){}{below}", self.text)
    }
}

fn set(reached: &mut [bool], index: usize) {
    if let Some(place) = reached.get_mut(index) {
        *place = true;
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for Glob {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_over_paths() {
        let check = |pattern: &str, path: &str, want: bool| {
            let glob: Glob = pattern.parse().unwrap();
            assert_eq!(glob.matches(path), want, "{pattern} {path}");
        };
        check("kernel/bpf/verifier.c", "kernel/bpf/verifier.c", true);
        check("kernel/bpf/verifier.c", "kernel/bpf/verifier.cc", false);
        check("kernel/bpf/*.c", "kernel/bpf/log.c", true);
        check("kernel/bpf/*.c", "kernel/bpf/preload/log.c", false);
        check("kernel/bpf/**", "kernel/bpf/preload/log.c", true);
        check("kernel/bpf/", "kernel/bpf/preload/log.c", true);
        check("kernel/bpf/", "kernel/bpf", false);
        check("**selftests**", "tools/testing/selftests/bpf/a.c", true);
        check("**selftests**", "selftests", true);
        check("**selftests**", "tools/self/tests", false);
        check("**/", "a/b", true);
        check("**", "a/b", true);
        check("tools/**", "tools/a/b", true);
        check("tools/**", "tool", false);
        check("a?c", "abc", true);
        check("a?c", "a/c", false);
        check("*", "", true);
        check("***", "a/b", true);
        // A pattern that would take time without end if each star were tried at each place.
        check(&"*a".repeat(60), &"a".repeat(2000), true);
        check(&"**a".repeat(60), &format!("{}b", "a".repeat(2000)), false);
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        for bad in ["", "/a", "../a", "a/../b", "a\0"] {
            assert!(bad.parse::<Glob>().is_err(), "{bad:?}");
        }
    }
}
