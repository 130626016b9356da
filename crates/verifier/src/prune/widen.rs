// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Forgetting numbers that change from one round of a loop to the next, so that loops over
//! iterators and callbacks converge (`find_prev_entry`, `widen_imprecise_scalars`).

use super::Checkpoints;
use super::equal::{CompareRules, Comparison, Exact};
use crate::design::Design;
use crate::mem::Budget;
use crate::outcome::{Abort, Step};
use crate::simulate::{Sim, last_branch};
use crate::state::{CheckpointId, State, Store};
use crate::trace::Observer;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// The newest checkpoint at `insn` on the current path with the calls of the current state and
    /// fewer than `depth` checkpoints above it (`find_prev_entry`).
    pub(crate) fn previous_entry(&mut self, insn: u32, depth: u32) -> Step<Option<CheckpointId>> {
        let mut next = self.checkpoints.first(self.bucket_of(insn)?);
        while let Some(id) = next {
            self.env.tick()?;
            let checkpoint = self.checkpoints.at(id)?;
            let state = &checkpoint.state;
            next = checkpoint.next;
            if state.insn == insn
                && state.branches > 0
                && state.dfs_depth < depth
                && self.has_same_calls(id)?
            {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// For `next` of an iterator: the entry of the round before, and if there is one, numbers that
    /// differ from it and matter nowhere so far are forgotten in the branch that waits last, which
    /// begins the next round. The current state's parent must be its checkpoint at this instruction.
    pub(crate) fn widen_iteration(&mut self) -> Step {
        let parent = self.cur.parent.ok_or(Abort::Internal("no parent"))?;
        let depth = self.checkpoints.at(parent)?.state.dfs_depth;
        let Some(previous) = self.previous_entry(self.insn, depth)? else { return Ok(()) };
        let Self { env, store, pending, checkpoints, id_gen, .. } = self;
        let branch = last_branch(pending)?;
        let all = !env.privileges.bpf_capable;
        widen(&env.budget, store, checkpoints, *id_gen, all, previous, branch)
    }

    /// The current state came back to the call at `insn` from a callback: numbers that differ from
    /// the entry before and matter nowhere so far are forgotten.
    pub(crate) fn widen_callback(&mut self, insn: u32) -> Step {
        let Some(previous) = self.previous_entry(insn, self.cur.dfs_depth)? else {
            return Ok(());
        };
        let Self { env, store, cur, checkpoints, id_gen, .. } = self;
        let all = !env.privileges.bpf_capable;
        widen(&env.budget, store, checkpoints, *id_gen, all, previous, cur)
    }
}

/// `widen_imprecise_scalars`. `all_precise`: every number matters.
fn widen(
    budget: &Budget,
    store: &mut Store,
    checkpoints: &mut Checkpoints,
    last_id: u32,
    all_precise: bool,
    previous: CheckpointId,
    new: &mut State,
) -> Step {
    if all_precise {
        return Ok(());
    }
    let Checkpoints { arena, ids, .. } = checkpoints;
    let old = arena.at(previous)?;
    ids.reset(last_id);
    for number in (0..=old.state.depth).rev() {
        let marks = old.marks_of(number);
        let (old_id, new_id) = (old.state.frame(number)?, new.frame(number)?);
        let mut comparison = Comparison {
            store,
            budget,
            aux: &[],
            ids,
            exact: Exact::Yes,
            all_precise,
            allow_uninit_stack: false,
            strict_numbers: false,
            rules: CompareRules::empty(),
            differed: None,
        };
        let (regs, slots) = comparison.changed_numbers(old_id, &marks, new_id)?;
        if regs != 0 {
            let frame = store.frame_mut(budget, new.frame_mut(number)?)?;
            let changed = frame.regs.iter_mut().enumerate().filter(|(i, _)| regs & 1 << i != 0);
            changed.for_each(|(_, reg)| reg.set_unknown());
        }
        if slots != 0 {
            let stack = store.stack_mut(budget, new.frame_mut(number)?)?;
            let changed = stack.iter_mut().enumerate().take(64);
            let changed = changed.filter(|(i, _)| slots & 1 << i != 0);
            changed.for_each(|(_, slot)| slot.reg.set_unknown());
        }
    }
    Ok(())
}
