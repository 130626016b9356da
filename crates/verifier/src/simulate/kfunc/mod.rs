// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Calls of kfuncs (`check_kfunc_call`).

use super::sim::Sim;
use super::step::Next;
use crate::outcome::Step;
use crate::trace::Observer;

impl<O: Observer> Sim<'_, '_, O> {
    /// A call of a kfunc; the instruction's target says which.
    pub(crate) fn call_kfunc(&mut self) -> Step<Next> {
        self.env.unsupported("kfunc call", "")
    }
}
