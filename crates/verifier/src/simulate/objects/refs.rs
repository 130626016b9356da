// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! References (`acquire_reference`, `release_reference`, `check_resource_leak`).

use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::{RefKind, Reference};
use crate::trace::Observer;

impl<O: Observer> Sim<'_, '_, O> {
    /// Takes a reference at the current instruction; its id (`acquire_reference`).
    pub(crate) fn acquire_reference(&mut self) -> Step<u32> {
        let id = self.new_id();
        let reference = Reference { kind: RefKind::Ptr, id, insn: self.insn, object: 0 };
        self.cur.resources.refs.push(&self.env.budget, reference)?;
        Ok(id)
    }

    /// Gives a reference back and makes everything that belongs to it unreadable
    /// (`release_reference`). False if it is not held.
    pub(crate) fn release_reference(&mut self, id: u32) -> Step<bool> {
        let _ = id;
        self.env.unsupported("reference", "release")
    }

    /// Refuses what is still held where nothing may be (`check_resource_leak`). `place` is the
    /// kernel's prefix, `whole_program`: references count in every frame.
    pub(crate) fn check_resource_leak(
        &mut self,
        place: &'static str,
        exception: bool,
        locks: bool,
    ) -> Step {
        let _ = (place, exception, locks);
        if self.cur.resources.refs.is_empty() {
            return Ok(());
        }
        self.env.unsupported("reference", "leak")
    }
}
