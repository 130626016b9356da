// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Reserved fields of instructions. Linux 6.18 tests most of them when it simulates the
//! instruction, so the simulation calls [`check`] at that point.

use crate::env::Env;
use crate::outcome::Step;
use crate::trace::Observer;

/// Refuses an instruction whose reserved fields are in use, with the kernel's message.
///
/// # Errors
///
/// The rejection.
pub fn check<O: Observer>(env: &mut Env<'_, O>, index: u32) -> Step {
    let _ = index;
    env.unsupported("phase", "fields")
}
