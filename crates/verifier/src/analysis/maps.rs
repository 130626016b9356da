// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The maps that a program uses.

use crate::env::Env;
use crate::outcome::Step;
use crate::trace::Observer;

/// A map in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UsedMap {
    /// Its index in [`veristable_program::LoadRequest::maps`].
    pub request: u32,
}

/// Binds the maps and BTFs of a counted `fd_array` (`process_fd_array`).
///
/// # Errors
///
/// The rejection.
pub fn bind_fd_array<O: Observer>(env: &mut Env<'_, O>) -> Step {
    env.unsupported("phase", "maps")
}
