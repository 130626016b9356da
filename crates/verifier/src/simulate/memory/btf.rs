// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Accesses through pointers to kernel objects (`check_ptr_to_btf_access`).

use super::{Access, Span};
use crate::log::state::TypeName;
use crate::outcome::Step;
use crate::simulate::sim::Sim;
use crate::state::RegState;
use crate::trace::Observer;

impl<O: Observer> Sim<'_, '_, O> {
    /// An access through a pointer to a kernel object.
    pub(super) fn access_btf(&mut self, span: Span, pointer: &RegState, access: Access) -> Step {
        let _ = (span, access);
        self.env.unsupported("memory access", TypeName::of(pointer).text())
    }
}
