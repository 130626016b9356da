// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What is found out without simulating: before the simulation, and after it.

pub mod attach;
pub mod btf_info;
pub mod calls;
pub mod cfg;
pub mod fastcall;
pub mod fields;
pub mod fixups;
pub mod gate;
pub mod kfuncs;
pub mod live_registers;
pub mod maps;
mod parse_record;
pub mod postorder;
pub(crate) mod prog_context;
mod program_target;
pub mod record;
pub mod scc;
pub mod stack_depth;
pub mod subprograms;
pub mod text;
pub mod wide_loads;

use crate::env::{DecodedOp, Env, InsnAux};
use crate::mem::List;
use crate::outcome::Step;
use crate::trace::{Event, Level, Observer};
use veristable_isa::Insn;

impl<O: Observer> Env<'_, O> {
    /// Takes the instructions over and decodes them.
    pub(crate) fn load_code(&mut self) -> Step {
        let insns = &self.request.insns;
        self.code.insns = List::collect(&self.budget, insns.iter().copied())?;
        self.code.aux = List::filled(&self.budget, insns.len(), InsnAux::default())?;
        let mut second = false;
        for (index, (insn, aux)) in insns.iter().zip(self.code.aux.iter_mut()).enumerate() {
            self.meter.tick()?;
            aux.op = if second {
                DecodedOp::SecondSlot
            } else {
                veristable_isa::decode(insns, index).map_or(DecodedOp::Malformed, DecodedOp::Op)
            };
            second = !second && Insn::is_ldimm64(*insn);
        }
        Ok(())
    }

    /// Completes the statistics and emits them.
    pub(crate) fn finish_stats(&mut self) {
        let depths = self.subprogs.iter().map(|subprog| u32::from(subprog.stack_depth));
        if let Ok(depths) = List::collect(&self.budget, depths) {
            self.stats.stack_depths = depths.into_vec(&self.budget);
        }
        if self.wants(Level::Messages) {
            self.observer.event(Event::Stats(&self.stats));
        }
    }
}
