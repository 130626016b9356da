// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Loops, as 6.4 to 6.14 see them: a state that met an open checkpoint belongs to the loop that the
//! checkpoint enters, and so do the states before it (`get_loop_entry`, `update_loop_entry`).

use crate::design::{Design, Loops};
use crate::env::InsnFlags;
use crate::mem::List;
use crate::outcome::{Abort, Step};
use crate::simulate::Sim;
use crate::state::CheckpointId;
use crate::trace::Observer;

/// What is known of a checkpoint.
#[derive(Clone, Copy, Default, Debug)]
struct Place {
    /// The checkpoint that enters the loop that this one is in.
    entry: Option<CheckpointId>,
    /// It enters a loop of another state.
    enters: bool,
}

/// The loops of all states.
#[derive(Debug, Default)]
pub(crate) struct LoopEntries {
    /// Of the checkpoints, by their numbers.
    checkpoints: List<Place>,
    /// Of the current state, which ends when it gets one.
    current: Option<CheckpointId>,
}

impl LoopEntries {
    fn at(&self, id: CheckpointId) -> Result<&Place, Abort> {
        self.checkpoints.at(id.number() as usize)
    }

    fn at_mut(&mut self, id: CheckpointId) -> Result<&mut Place, Abort> {
        self.checkpoints.at_mut(id.number() as usize)
    }

    /// Where it stands which loop a checkpoint is in, or the current state.
    fn entry_mut(&mut self, of: Option<CheckpointId>) -> Result<&mut Option<CheckpointId>, Abort> {
        Ok(match of {
            Some(id) => &mut self.at_mut(id)?.entry,
            None => &mut self.current,
        })
    }

    /// What enters the outermost loop that a checkpoint is in, or the current state
    /// (`get_loop_entry`). All on the way lead there directly from now on, which changes where
    /// they will lead when one of them gets another entry.
    fn outermost(&mut self, of: Option<CheckpointId>) -> Result<Option<CheckpointId>, Abort> {
        let Some(mut top) = *self.entry_mut(of)? else { return Ok(None) };
        while let Some(next) = self.at(top)?.entry.filter(|next| *next != top) {
            top = next;
        }
        let mut on_the_way = of;
        loop {
            let entry = self.entry_mut(on_the_way)?;
            if *entry == Some(top) {
                break;
            }
            let Some(next) = entry.replace(top) else { break };
            on_the_way = Some(next);
        }
        Ok(Some(top))
    }
}

impl<D: Design<Loops = LoopEntries>, O: Observer> Sim<'_, '_, D, O> {
    fn depth_of(&self, state: Option<CheckpointId>) -> Result<u32, Abort> {
        Ok(match state {
            Some(id) => self.checkpoints.at(id)?.state.dfs_depth,
            None => self.cur.dfs_depth,
        })
    }

    /// A state, the current one or a checkpoint, is in the loop that `entry` enters
    /// (`update_loop_entry`).
    fn enter_loop(&mut self, state: Option<CheckpointId>, entry: CheckpointId) -> Step {
        let outer = self.loops.outermost(state)?.or(state);
        let top = self.loops.outermost(Some(entry))?.unwrap_or(entry);
        let outermost = &self.checkpoints.at(top)?.state;
        if outermost.branches > 0 && outermost.dfs_depth <= self.depth_of(outer)? {
            *self.loops.entry_mut(state)? = Some(entry);
            self.loops.at_mut(entry)?.enters = true;
        }
        Ok(())
    }
}

impl Loops for LoopEntries {
    fn is_open<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) -> Step<bool> {
        Ok(match sim.loops.outermost(Some(id))? {
            Some(top) => sim.checkpoints.at(top)?.state.branches > 0,
            None => false,
        })
    }

    fn passed<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) -> Step {
        sim.loops.outermost(Some(id))?;
        Ok(())
    }

    fn made<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) -> Step {
        sim.env.stats.peak_states += 1;
        let Sim { env, loops, .. } = sim;
        let place = id.number() as usize;
        while loops.checkpoints.len() <= place {
            loops.checkpoints.push(&env.budget, Place::default())?;
        }
        *loops.checkpoints.at_mut(place)? = Place::default();
        Ok(())
    }

    fn explored<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: Option<CheckpointId>,
    ) -> Step {
        let parent = match id {
            Some(id) => sim.checkpoints.at(id)?.state.parent,
            None => sim.cur.parent,
        };
        let entry = *sim.loops.entry_mut(id)?;
        if let (Some(parent), Some(entry)) = (parent, entry) {
            sim.enter_loop(Some(parent), entry)?;
        }
        if id.is_none() {
            sim.loops.current = None;
        }
        Ok(())
    }

    fn met<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
        insn: u32,
    ) -> Step {
        let entry = if sim.checkpoints.at(id)?.state.branches == 0 {
            sim.loops.outermost(Some(id))?
        } else if sim.has_flag(insn, InsnFlags::CALLS_CALLBACK)? {
            // Unrolled callbacks do not count as loops.
            None
        } else {
            Some(id)
        };
        match entry {
            Some(entry) => sim.enter_loop(None, entry),
            None => Ok(()),
        }
    }

    /// The kernel frees it at once if nothing is left to find out, and only then it no longer
    /// counts.
    fn retired<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) -> Step {
        if sim.checkpoints.at(id)?.cleaned && !sim.loops.at(id)?.enters {
            let states = &mut sim.env.stats.peak_states;
            *states = states.saturating_sub(1);
        }
        Ok(())
    }

    fn needs<D: Design<Loops = Self>, O: Observer>(
        sim: &mut Sim<'_, '_, D, O>,
        id: CheckpointId,
    ) -> Step<bool> {
        Ok(sim.loops.at(id)?.enters)
    }
}
