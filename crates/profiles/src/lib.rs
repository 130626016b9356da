// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The built-in kernels, and the running one.
//!
//! A built-in kernel is one compressed file in `data/`, part of the program. [`open`] unpacks it
//! into the user's cache when it is first used and reads it from there afterwards, with the
//! indexes of its BTF computed; see [`pack`] for the formats and `docs/profiles.md` for where the
//! data comes from.
//!
//! [`live`] describes the running kernel from files alone.

mod builtin;
mod cache;
mod error;
mod inflate;
mod live;
pub mod pack;

pub use builtin::{BuiltIn, DEFAULT, find, list};
pub use error::ProfileError;
pub use live::live;

use veristable_kernel::Profile;

/// Opens a built-in kernel by its name or an alias: `6.18.15`, `6.18.15-amd64`.
///
/// # Errors
/// If there is no such kernel, or its data is damaged. A cache that cannot be written or read is
/// no error: the data is unpacked in memory.
pub fn open(name: &str) -> Result<Profile, ProfileError> {
    let builtin = find(name).ok_or_else(|| ProfileError::no_such_kernel(name))?;
    cache::open(builtin)
}
