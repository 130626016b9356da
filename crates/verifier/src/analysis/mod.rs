// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! What is found out without simulating: before the simulation, and after it.

pub mod attach;
pub mod btf_info;
pub mod calls;
pub mod cfg;
mod core_candidates;
mod core_relo;
pub mod fastcall;
pub mod fields;
pub mod fixups;
pub mod gate;
pub mod graph;
pub mod kfuncs;
pub mod live_registers;
pub mod maps;
pub mod offer;
mod parse_record;
pub mod postorder;
pub(crate) mod prog_context;
mod program_target;
pub mod record;
pub mod removed;
pub mod rewrites;
pub mod scc;
pub mod stack_depth;
pub mod subprograms;
pub mod text;
pub mod wide_loads;

use crate::env::{DecodedOp, Env, InsnAux, Subprog, SubprogFlags};
use crate::mem::List;
use crate::outcome::{Abort, Step};
use crate::prune::Concerns;
use crate::trace::{Event, Level, Observer};
use veristable_isa::Insn;
use veristable_program::FixupKind;

impl<O: Observer> Env<'_, O> {
    /// Takes the instructions over and decodes them.
    pub(crate) fn load_code(&mut self) -> Step {
        let insns = &self.request.insns;
        self.code.insns = List::collect(&self.budget, insns.iter().copied())?;
        self.place_symbols()?;
        self.code.aux = List::filled(&self.budget, insns.len(), InsnAux::default())?;
        self.decode()
    }

    /// Decodes the slots.
    pub(crate) fn decode(&mut self) -> Step {
        let mut second = false;
        let insns = &*self.code.insns;
        for (index, (insn, aux)) in insns.iter().zip(self.code.aux.iter_mut()).enumerate() {
            self.meter.tick()?;
            aux.op = if second {
                DecodedOp::SecondSlot
            } else {
                veristable_isa::decode(insns, index).map_or(DecodedOp::Malformed, DecodedOp::Op)
            };
            if let DecodedOp::Op(op) = &aux.op {
                aux.concerns = Concerns::of(op);
            }
            second = !second && Insn::is_ldimm64(*insn);
        }
        Ok(())
    }

    /// Gives symbols that exist somewhere an address, if the request has none for them: one in the
    /// kernel's text, another for each name. A verdict that depends on more than that differs from
    /// boot to boot.
    fn place_symbols(&mut self) -> Step {
        const TEXT: u64 = 0xffff_ffff_8100_0000;
        const DISTANCE: u64 = 0x40;
        let mut wanted: List<(&str, u32)> = List::new();
        for fixup in &self.request.fixups {
            if let FixupKind::SymbolAddress(name) = &fixup.kind {
                wanted.push(&self.budget, (name, fixup.insn))?;
            }
        }
        wanted.sort_unstable();
        let mut address = TEXT;
        let mut previous = "";
        for (name, insn) in wanted.iter().copied() {
            if name != previous {
                address = address.wrapping_add(DISTANCE);
                previous = name;
            }
            let load = self.code.insns.get_mut(insn as usize..).and_then(<[_]>::first_chunk_mut);
            let Some([low, high]) = load else { continue };
            if (low.imm, high.imm) == (0, 0) && self.kernel.symbol(name)?.is_some() {
                low.imm = (address as u32).cast_signed();
                high.imm = ((address >> 32) as u32).cast_signed();
            }
        }
        wanted.release(&self.budget);
        Ok(())
    }

    /// Completes the statistics and emits them.
    ///
    /// # Errors
    ///
    /// If memory does not suffice.
    pub(crate) fn finish_stats(&mut self) -> Result<(), Abort> {
        let removed = |subprog: &&Subprog| subprog.flags.contains(SubprogFlags::REMOVED);
        let count = self.subprogs.iter().filter(|subprog| !removed(subprog)).count();
        let hidden = usize::from(self.hidden_subprogram);
        let mut depths = List::with_room(&self.budget, count.saturating_add(hidden))?;
        for subprog in self.subprogs.iter().filter(|subprog| !removed(subprog)) {
            depths.push(&self.budget, u32::from(subprog.stack_depth))?;
        }
        if self.hidden_subprogram {
            // Its frame has nothing.
            depths.push(&self.budget, 0)?;
        }
        self.stats.stack_depths = depths.into_vec(&self.budget);
        if self.wants(Level::Messages) {
            self.observer.event(Event::Stats(&self.stats));
        }
        Ok(())
    }
}
