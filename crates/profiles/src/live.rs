// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The running kernel, from files alone.

use crate::error::ProfileError;
use veristable_kernel::Profile;

/// Describes the running kernel.
///
/// # Errors
/// If its files cannot be read.
pub fn live() -> Result<Profile, ProfileError> {
    Err(ProfileError::Live { path: "/".to_owned(), problem: "not yet".to_owned() })
}
