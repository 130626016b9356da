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
pub mod offer;
mod parse_record;
pub mod postorder;
pub(crate) mod prog_context;
mod program_target;
pub mod record;
pub mod rewrites;
pub mod scc;
pub mod stack_depth;
pub mod subprograms;
pub mod text;
pub mod wide_loads;

use crate::env::{DecodedOp, Env, InsnAux, Subprog, SubprogFlags};
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
        let mut depths = List::new();
        let removed = |subprog: &Subprog| subprog.flags.contains(SubprogFlags::REMOVED);
        for subprog in self.subprogs.iter().filter(|subprog| !removed(subprog)) {
            if depths.push(&self.budget, u32::from(subprog.stack_depth)).is_err() {
                break;
            }
        }
        if self.hidden_subprogram {
            // Its frame has nothing; without memory the statistics are shorter.
            let _ = depths.push(&self.budget, 0);
        }
        self.stats.stack_depths = depths.into_vec(&self.budget);
        if self.wants(Level::Messages) {
            self.observer.event(Event::Stats(&self.stats));
        }
    }
}
