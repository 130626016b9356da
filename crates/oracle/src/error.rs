// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What stands between the caller and an oracle.

use std::io;

/// Why an oracle cannot be opened or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// The name is none that [`crate::open`] understands.
    #[error("no oracle is called `{0}`: say `live`, or `vm:VERSION` such as `vm:6.18.15`")]
    BadSpec(String),
    /// No kernel of the list has this version.
    #[error("no guest kernel `{wanted}`: known are {known}")]
    UnknownKernel {
        /// What was asked for.
        wanted: String,
        /// Versions of the list, separated by commas.
        known: String,
    },
    /// Something that must be there is not.
    #[error("{what}; {help}")]
    Missing {
        /// What is missing.
        what: String,
        /// What would help.
        help: String,
    },
    /// The operating system refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The guest did not come up or does not answer.
    #[error("guest {kernel}: {what}{}", console_tail(.console))]
    Guest {
        /// Version of its kernel.
        kernel: String,
        /// What happened.
        what: String,
        /// Last lines of its console.
        console: String,
    },
}

fn console_tail(console: &str) -> String {
    if console.trim().is_empty() {
        String::new()
    } else {
        format!("; its console ends with:\n{}", console.trim_end())
    }
}

/// Names what was being done when the system refused.
pub(crate) trait Doing<T> {
    /// Wraps the error.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, OracleError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, OracleError> {
        self.map_err(|source| OracleError::Io { doing: what(), source })
    }
}

/// Name of an error number as the kernel's headers spell it, or the number itself.
#[must_use]
pub fn errno_name(errno: i32) -> String {
    veristable_kernel::errno_name(errno).map_or_else(|| format!("errno {errno}"), str::to_owned)
}
