// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Pointers to kernel objects in map values.

use crate::analysis::record::{Field, Kptr};
use crate::outcome::Step;
use crate::simulate::memory::Access;
use crate::simulate::sim::Sim;
use crate::trace::Observer;
use veristable_isa::Reg;
use veristable_kernel::TypeFlags;

impl<O: Observer> Sim<'_, '_, O> {
    /// A load or store of a pointer field, which was found to be of the right size and place
    /// (`check_map_kptr_access`). Sets the register of a load.
    pub(crate) fn access_kptr(&mut self, field: &Field, access: Access) -> Step {
        let _ = (field, access);
        self.env.unsupported("kptr", "access")
    }

    /// The modifiers of a pointer that is loaded from such a field (`btf_ld_kptr_type`).
    pub(crate) fn kptr_flags(&mut self, kptr: &Kptr) -> Step<TypeFlags> {
        let _ = kptr;
        self.env.unsupported("kptr", "load")
    }

    /// Whether a register may be stored to such a field; says so if not (`map_kptr_match_type`).
    /// The errno is the caller's.
    pub(crate) fn matches_kptr(&mut self, kptr: &Kptr, reg: Reg) -> Step<bool> {
        let _ = (kptr, reg);
        self.env.unsupported("kptr", "store")
    }

    /// The referenced pointer field that the first argument of `bpf_kptr_xchg` points to
    /// (`process_kptr_func`), in a map's value or an allocated object.
    pub(crate) fn check_kptr_field(&mut self, reg: Reg) -> Step<Kptr> {
        let _ = reg;
        self.env.unsupported("kptr", "exchange")
    }
}
