// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Under construction.

use crate::env::Env;
use crate::outcome::Step;
use crate::trace::Observer;

/// Under construction.
///
/// # Errors
///
/// Always.
pub fn check<O: Observer>(env: &mut Env<'_, O>) -> Step {
    env.unsupported("phase", "stack_depth")
}
