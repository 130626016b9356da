// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Types of the kernel and of the program as the simulation asks about them.

pub(crate) mod ctx;
pub(crate) mod ids;
mod iterators;
pub(crate) mod loaded;
pub(crate) mod trust;
mod walk;
mod write;

use super::sim::Sim;
use crate::analysis::maps::btf_of;
use crate::design::Design;
use crate::outcome::Step;
use crate::state::BtfRef;
use crate::trace::Observer;
use veristable_btf::{Btf, TypeId};

impl<'a, D: Design, O: Observer> Sim<'_, 'a, D, O> {
    /// The BTF that a register's type counts in.
    pub(crate) fn btf(&self, which: BtfRef) -> Step<&'a Btf<'a>> {
        let prog = &self.env.prog;
        match btf_of(which, self.env.kernel, prog.btf, prog.map_btfs, &self.env.used_btfs)? {
            Some(btf) => Ok(btf),
            // Registers have types of a BTF only where it was read before.
            None => self.env.unsupported(
                "BTF",
                match which {
                    BtfRef::Kernel => "of the kernel",
                    BtfRef::Program => "of the program",
                    BtfRef::Maps(_) => "of a map",
                    BtfRef::Module(_) => "of a module or of the loader",
                },
            ),
        }
    }

    /// The name of a type; empty if it has none (`btf_name_by_offset`).
    pub(crate) fn name_of_type(&self, which: BtfRef, id: TypeId) -> Step<&'a str> {
        Ok(self.btf(which)?.type_by_id(id).map_or("", |ty| ty.name()))
    }
}
