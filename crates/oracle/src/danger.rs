// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Programs that are never loaded into the live kernel.
//!
//! The list is data (`data/danger.json`): each entry names programs by name, section or the SHA-256
//! of their instructions, the kernels that it holds for, the reason and where that is known from.

use std::sync::OnceLock;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use veristable_program::LoadRequest;

use crate::pattern::matches;

const LIST: &str = include_str!("../data/danger.json");

/// One entry. Every field that is given must fit; one of the first three is.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Danger {
    /// Program name; `*` stands for any letters.
    #[serde(default)]
    pub program: Option<String>,
    /// Section; `*` stands for any letters.
    #[serde(default)]
    pub section: Option<String>,
    /// SHA-256 of the instructions as in [`instruction_hash`].
    #[serde(default)]
    pub insns_sha256: Option<String>,
    /// Releases of the kernels that it hurts; `*` stands for any letters.
    pub kernels: String,
    /// What happens.
    pub reason: String,
    /// Where that is known from.
    pub source: String,
}

/// The list.
///
/// # Panics
/// Never outside this crate's own tests: the list is part of the program and a test reads it.
#[must_use]
#[expect(clippy::expect_used, reason = "the list is built in and tested")]
pub fn list() -> &'static [Danger] {
    static PARSED: OnceLock<Vec<Danger>> = OnceLock::new();
    PARSED.get_or_init(|| serde_json::from_str(LIST).expect("data/danger.json is well-formed"))
}

/// The entry that keeps a program out of a live kernel.
#[must_use]
pub fn find(request: &LoadRequest, release: &str) -> Option<&'static Danger> {
    let mut hash = None;
    list().iter().find(|entry| {
        let fits = |pattern: &Option<String>, text: &str| {
            pattern.as_ref().is_none_or(|pattern| matches(pattern, text))
        };
        matches(&entry.kernels, release)
            && fits(&entry.program, &request.name)
            && fits(&entry.section, &request.section)
            && entry
                .insns_sha256
                .as_ref()
                .is_none_or(|want| want == hash.get_or_insert_with(|| instruction_hash(request)))
    })
}

/// SHA-256, in hexadecimal digits, of the program's instructions as they stand in the request.
#[must_use]
pub fn instruction_hash(request: &LoadRequest) -> String {
    let mut hash = Sha256::new();
    for insn in &request.insns {
        hash.update(insn.to_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_names_programs_and_why() {
        assert!(!list().is_empty());
        for entry in list() {
            assert!(
                entry.program.is_some() || entry.section.is_some() || entry.insns_sha256.is_some(),
                "{entry:?}"
            );
            assert!(!entry.reason.is_empty() && !entry.source.is_empty(), "{entry:?}");
        }
    }

    #[test]
    fn known_ones_are_found() {
        let request =
            LoadRequest { name: "ld_abs_backtrack_both_paths".into(), ..LoadRequest::default() };
        assert!(find(&request, "6.18.44-anything").is_some());
        assert!(find(&LoadRequest::default(), "6.18.44").is_none());
    }
}
