// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Interning in two passes: the tables are built once to collect their strings and once more when
//! every string has its number.

use anyhow::Context;
use std::cell::RefCell;
use std::collections::BTreeSet;
use veristable_kernel::{StrId, Strings};

/// Gives strings numbers.
pub(crate) enum Names {
    /// First pass: every number is 0.
    Collect(RefCell<BTreeSet<String>>),
    /// Second pass.
    Number(Strings),
}

impl Names {
    pub(crate) fn collect() -> Self {
        Self::Collect(RefCell::default())
    }

    /// Goes over to the second pass.
    pub(crate) fn number(self) -> anyhow::Result<Self> {
        Ok(match self {
            Self::Collect(set) => {
                let set = set.into_inner();
                let strings = Strings::new(set.iter().map(String::as_str));
                Self::Number(strings.context("more than 4 GiB of names")?)
            }
            number @ Self::Number(_) => number,
        })
    }

    /// The number of a string.
    pub(crate) fn id(&self, string: &str) -> StrId {
        match self {
            Self::Collect(set) => {
                set.borrow_mut().insert(string.to_owned());
                StrId(0)
            }
            Self::Number(strings) => strings.find(string).unwrap_or_default(),
        }
    }

    pub(crate) fn into_strings(self) -> Strings {
        match self {
            Self::Collect(_) => Strings::default(),
            Self::Number(strings) => strings,
        }
    }
}
