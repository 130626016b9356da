// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Why a kernel cannot be described.

use crate::list;

/// Why a kernel cannot be described.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// No built-in kernel has the name.
    #[error(
        "no kernel is named `{name}`, and no file; there are {known}, and `live` \
         (`veristable profile list` lists them)"
    )]
    NoSuchKernel {
        /// The name.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// Stored data cannot be read.
    #[error("the stored data of kernel {name} is damaged: {problem}")]
    Damaged {
        /// The kernel.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The file of a captured kernel cannot be read or written.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A file of the running kernel cannot be read.
    #[error("{path}: {problem}")]
    Live {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
}

impl ProfileError {
    pub(crate) fn no_such_kernel(name: &str) -> Self {
        let built_in = list().map(|kernel| kernel.name.to_owned());
        let known: Vec<String> = built_in.chain(crate::captured::list()).collect();
        Self::NoSuchKernel { name: name.to_owned(), known: known.join(", ") }
    }

    pub(crate) fn damaged(name: &str, problem: impl ToString) -> Self {
        Self::Damaged { name: name.to_owned(), problem: problem.to_string() }
    }
}
