// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-or-later
//! Forking a path and ending one.

use super::sim::{Pending, Sim};
use super::step::{Next, target};
use crate::design::{Design, Liveness};
use crate::errno::Errno;
use crate::log::state::Touched;
use crate::messages::Path;
use crate::outcome::Step;
use crate::state::{Access, HistoryEntry, LinkedRegs};
use crate::trace::{Event, Observer};
use veristable_kernel::Behaviour;

/// Branches that may wait at once (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
pub(super) const MAX_PENDING: usize = 8192;

impl<D: Design, O: Observer> Sim<'_, '_, D, O> {
    /// Sets a copy of the current state aside, to go on at `insn` (`push_stack`). The copy is
    /// the last of [`Sim::pending`]. `errno` is what the caller returns if there are too many.
    pub(crate) fn push_branch(
        &mut self,
        insn: u32,
        previous: u32,
        speculative: bool,
        errno: Errno,
    ) -> Step {
        let mut state = self.cur.share(&self.env.budget, &mut self.store)?;
        state.speculative |= speculative;
        let parent = state.parent;
        let mark = self.env.observer.mark();
        self.pending.push(&self.env.budget, Pending { state, insn, previous, mark })?;
        D::Liveness::forked(self)?;
        if self.pending.len() > MAX_PENDING {
            let branches = u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
            let everywhere = self.env.has(Behaviour::BranchLimitE2big);
            let errno = if everywhere { Errno::E2BIG } else { errno };
            return self.env.reject_with(errno, Path::TooComplex { branches });
        }
        if let Some(parent) = parent {
            self.checkpoints.at_mut(parent)?.state.branches += 1;
        }
        Ok(())
    }

    /// `may_goto`: goes on with the jump; the branch that waits goes round once more (the part of
    /// `check_cond_jmp_op` about it).
    pub(crate) fn may_goto(&mut self, off: i32) -> Step<Next> {
        self.push_branch(self.insn + 1, self.insn, false, Errno::ENOMEM)?;
        self.last_branch()?.may_goto_depth += 1;
        self.widen_iteration()?;
        Ok(Next::Insn(target(self.insn, off)))
    }

    /// Ends the current path and takes up the branch that waits last. False if none waits.
    pub(crate) fn end_path(&mut self) -> Step<bool> {
        self.touched = Touched::ALL;
        self.finish_branch()?;
        D::Liveness::path_ended(self)?;
        let Some(Pending { state, insn, previous, mark }) = self.pending.pop() else {
            return Ok(false);
        };
        let ended = core::mem::replace(&mut self.cur, state);
        ended.release(&self.env.budget, &mut self.store)?;
        D::Liveness::resumed(self);
        self.env.emit(Event::Rewind(mark));
        self.insn = insn;
        self.last = i32::try_from(previous).unwrap_or(i32::MAX);
        Ok(true)
    }

    /// Notes the current instruction in the history of jumps (`push_jmp_history`). Once an
    /// instruction is there, later notes add to its entry and replace its linked registers.
    pub(crate) fn note_history(&mut self, access: Access, linked: LinkedRegs) -> Step {
        if self.in_history
            && let Some(entry) = self.cur.history.last_mut()
        {
            entry.access = entry.access.and(access);
            entry.linked = linked;
            return Ok(());
        }
        let entry = HistoryEntry { insn: self.insn, previous: self.previous, access, linked };
        self.cur.history.push(&self.env.budget, entry)?;
        self.in_history = true;
        Ok(())
    }
}
