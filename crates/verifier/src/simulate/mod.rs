// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! The simulation: every path of the program with every value that a register can have.

use crate::design::Design;
use crate::env::Env;
use crate::outcome::Step;
use crate::trace::Observer;

/// Simulates the main program and the global functions that it calls.
///
/// # Errors
///
/// Why the program is refused, or why that cannot be said.
pub fn run<D: Design, O: Observer>(env: &mut Env<'_, O>) -> Step {
    env.unsupported("simulation", D::NAME)
}
