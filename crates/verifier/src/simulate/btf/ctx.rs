// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Contexts that are the arguments of a kernel function (`btf_ctx_access` of `kernel/bpf/btf.c`).

use crate::outcome::Step;
use crate::simulate::memory::CtxLoad;
use crate::simulate::sim::Sim;
use crate::trace::Observer;
use veristable_kernel::CtxAccess;

impl<O: Observer> Sim<'_, '_, O> {
    /// What an access to the context yields, by the prototype of what the program attaches to;
    /// `None` if it is refused, which the caller says. Asked once for an instruction.
    pub(crate) fn access_ctx_by_btf(&mut self, access: CtxAccess) -> Step<Option<CtxLoad>> {
        let _ = access;
        self.env.unsupported("context access", "by BTF")
    }
}
