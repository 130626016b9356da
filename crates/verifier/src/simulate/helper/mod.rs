// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Calls of helpers (`check_helper_call`).

use super::sim::Sim;
use super::step::Next;
use crate::outcome::Step;
use crate::trace::Observer;
use veristable_kernel::HelperId;

impl<O: Observer> Sim<'_, '_, O> {
    /// A call of a helper.
    pub(crate) fn call_helper(&mut self, id: i32) -> Step<Next> {
        let id = HelperId(u32::try_from(id).unwrap_or(u32::MAX));
        let name = self.env.kernel.helper_name(id);
        self.env.unsupported("helper call", name.unwrap_or("unknown"))
    }
}
