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
pub mod cache;
pub mod captured;
mod error;
mod inflate;
pub mod listing;
mod live;
pub mod pack;

pub use builtin::{BuiltIn, DEFAULT, find, list};
pub use error::ProfileError;
pub use live::{FileError, Files, describe, live};

use veristable_kernel::Profile;

/// The name of the running kernel.
pub const LIVE: &str = "live";

/// Opens a kernel by name: a built-in one by its name or an alias (`6.18.15`, `6.18.15-amd64`),
/// the running one (`live`), one that was captured into the cache by its release, or the file of
/// one that was captured.
///
/// # Errors
/// If there is no such kernel, or its data is damaged. A cache that cannot be written or read is
/// no error: the data is unpacked in memory.
pub fn open(name: &str) -> Result<Profile, ProfileError> {
    if let Some(builtin) = find(name) {
        return cache::open(builtin);
    }
    if name == LIVE {
        return live();
    }
    match captured::named(name) {
        Some(path) => captured::open(&path),
        None => Err(ProfileError::no_such_kernel(name)),
    }
}

/// SHA-256 of everything that is known of a kernel which [`open`] finds by this name; `None` for the
/// running kernel, whose facts are read from many places, and where there is no such kernel.
#[must_use]
pub fn digest(name: &str) -> Option<[u8; 32]> {
    if let Some(builtin) = find(name) {
        return pack::Header::parse(builtin.packed).ok().map(|header| header.sha256);
    }
    if name == LIVE {
        return None;
    }
    captured::digest(&captured::named(name)?)
}
